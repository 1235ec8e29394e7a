//! A few lists to look at.

use std::fmt::Write;

use super::Told;
use super::markup::{escape, heading, paragraph};
use crate::pipeline::{Example, ExampleItem, Examples};

pub(super) fn write(out: &mut String, told: &Told) {
    let Some(examples) = told.examples.as_ref().filter(|e| !e.people.is_empty()) else { return };
    heading(out, &format!("Lists of {}", examples.model));
    let text = "What somebody had, and what they are recommended; a green border marks items that \
                they took in the test part. People are drawn by chance and not named, unless the \
                run file names them.";
    paragraph(out, text);
    for (number, person) in examples.people.iter().enumerate() {
        example(out, examples, number, person);
    }
}

fn example(out: &mut String, examples: &Examples, number: usize, person: &Example) {
    let who = person.user.clone().unwrap_or_else(|| format!("Person {}", number + 1));
    let hits = person.list.iter().filter(|line| line.hit).count();
    let _ = writeln!(out, "<h3>{}</h3>", escape(&who));
    let text = format!(
        "{} items known, {} in the test part; {hits} of these {} are among them.",
        person.history_len,
        person.held_out,
        person.list.len()
    );
    paragraph(out, &text);
    if !person.history.is_empty() {
        out.push_str("<p>Had, among others:</p><ul class=\"list\">");
        for item in &person.history {
            card(out, examples, item, "", "");
        }
        out.push_str("</ul>\n");
    }
    out.push_str("<p>Recommended:</p><ol class=\"list\">");
    for line in &person.list {
        let mut note = if line.new { "new item. ".to_owned() } else { String::new() };
        note.push_str(&line.reasons.join(", "));
        card(out, examples, &line.item, if line.hit { " class=\"hit\"" } else { "" }, &note);
    }
    out.push_str("</ol>\n");
}

fn card(out: &mut String, examples: &Examples, item: &ExampleItem, class: &str, note: &str) {
    let title = if item.title.is_empty() { &item.item } else { &item.title };
    let _ = write!(out, "<li{class}>");
    // Only addresses that hold their picture: a file may have been changed by anybody.
    let picture = examples.pictures.get(&item.item);
    if let Some(picture) = picture.filter(|p| p.starts_with("data:image/jpeg;base64,")) {
        let _ = write!(out, "<img alt=\"\" src=\"{}\">", escape(picture));
    }
    let _ = write!(out, "{}", escape(title));
    if !note.is_empty() {
        let _ = write!(out, "<small>{}</small>", escape(note));
    }
    out.push_str("</li>");
}
