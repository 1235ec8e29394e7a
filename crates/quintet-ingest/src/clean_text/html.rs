//! HTML to text: tags out, entities decoded. No tree is built: what people paste into fields of
//! shops is no document, and nothing in it may be lost because it is not well formed.
//!
//! What a tag is goes by the tokenizer of the HTML standard (13.2.5): `<` and a letter, `</` and a
//! letter, `<!` or `<?`. Any other `<` is text, as is one whose tag never ends, so that `a < b` and
//! `<3` stay. Cost: linear; a search that has once run to the end is not made again.

use std::borrow::Cow;

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 38] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
    "option",
];
/// Elements whose content is not for readers.
const HIDDEN: [&str; 2] = ["script", "style"];

/// The text of a piece of HTML.
pub(super) fn to_text(html: &str) -> String {
    let stripped: Cow<'_, str> =
        if html.contains('<') { Cow::Owned(strip(html)) } else { Cow::Borrowed(html) };
    html_escape::decode_html_entities(&stripped).into_owned()
}

/// What is known to be absent from here to the end, so that nobody looks again.
#[derive(Default)]
struct Absent {
    tag_end: bool,
    tag_end_outside_quotes: bool,
    comment_end: bool,
    hidden_end: [bool; HIDDEN.len()],
}

fn strip(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut absent = Absent::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match markup(rest, &mut absent) {
            None => {
                out.push('<');
                rest = &rest[1..];
            }
            Some((length, gap)) => {
                match gap {
                    Some('\n') if !out.is_empty() && !out.ends_with('\n') => out.push('\n'),
                    Some(' ') if !out.is_empty() && !out.ends_with([' ', '\n']) => out.push(' '),
                    _ => {}
                }
                rest = &rest[length..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The length of the markup that a text begins with, and what stands in its place.
fn markup(text: &str, absent: &mut Absent) -> Option<(usize, Option<char>)> {
    let after = text.get(1..)?;
    if after.starts_with("!--") {
        if !absent.comment_end {
            if let Some(end) = text.get(4..)?.find("-->") {
                return Some((4 + end + 3, None));
            }
            absent.comment_end = true;
        }
        return None;
    }
    if after.starts_with(['!', '?']) {
        return tag_length(text, absent).map(|length| (length, None));
    }
    let (closing, name) = match after.strip_prefix('/') {
        Some(name) => (true, name),
        None => (false, after),
    };
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let name = name[..end].to_ascii_lowercase();
    let mut length = tag_length(text, absent)?;
    if let Some(which) = HIDDEN.iter().position(|hidden| !closing && name == *hidden) {
        length += hidden_length(&text[length..], which, absent);
    }
    let gap = match name.as_str() {
        block if BLOCKS.contains(&block) => Some('\n'),
        "td" | "th" | "img" => Some(' '),
        _ => None,
    };
    Some((length, gap))
}

/// The length of a tag to its `>`. One within quotes does not count, unless there is no other.
fn tag_length(text: &str, absent: &mut Absent) -> Option<usize> {
    if absent.tag_end {
        return None;
    }
    let mut quote = None;
    let look = if absent.tag_end_outside_quotes { "" } else { text };
    for (at, byte) in look.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            // Quotes open values only; that of `don't` in a broken tag opens nothing.
            (None, b'"' | b'\'') if text[..at].trim_end().ends_with('=') => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            _ => {}
        }
    }
    absent.tag_end_outside_quotes = true;
    let end = text.find('>').map(|at| at + 1);
    absent.tag_end = end.is_none();
    end
}

/// The length of the content of a script or style, which ends where its closing tag begins; 0
/// when there is none, so that nothing goes.
fn hidden_length(text: &str, which: usize, absent: &mut Absent) -> usize {
    if absent.hidden_end[which] {
        return 0;
    }
    let name = HIDDEN[which];
    let mut from = 0;
    while let Some(at) = text[from..].find("</") {
        let tag = from + at;
        let found = text.get(tag + 2..tag + 2 + name.len());
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return tag;
        }
        from = tag + 2;
    }
    absent.hidden_end[which] = true;
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_go_and_blocks_become_lines() {
        for (html, want) in [
            ("<p>One</p><p>Two<br/>three</p>", "One\nTwo\nthree\n"),
            ("<b>bold</b>er", "bolder"),
            ("<td>a</td><td>b</td>", "a b "),
            ("<a href=\"x>y\" title='>'>link</a>", "link"),
            ("a<!-- <b> -->b<!DOCTYPE html><?php x ?>c", "abc"),
            ("<script>if (a < b) {}</SCRIPT >x<style>p{}</style>y", "xy"),
            ("<P CLASS=x>A", "A"),
        ] {
            assert_eq!(to_text(html), want, "{html}");
        }
    }

    #[test]
    fn what_is_no_tag_stays() {
        for text in
            ["a < b > c", "<3", "1<2", "<", "</", "</ x>", "x <y", "<!-- open", "<!", "<é>", "a<b"]
        {
            assert_eq!(to_text(text), text);
        }
        // A quote that never closes, and a script that never ends.
        assert_eq!(to_text("<a href=\"x>text</a> more"), "text more");
        assert_eq!(to_text("<script>text"), "text");
        assert_eq!(to_text("<i don't>text"), "text");
    }

    #[test]
    fn entities_are_decoded_once() {
        for (html, want) in [
            ("Tom &amp; Jerry", "Tom & Jerry"),
            ("&lt;b&gt;", "<b>"),
            ("&amp;lt;", "&lt;"),
            ("&#233;&#xE9;&eacute;", "ééé"),
            ("&unknown; & &;", "&unknown; & &;"),
            ("&#xD800;&#99999999;", "&#xD800;&#99999999;"),
        ] {
            assert_eq!(to_text(html), want, "{html}");
        }
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        for piece in ["<a", "<!--", "<script>", "<a b=\"", "<a b='", "</script", "&", "<a b=\">\" "]
        {
            let text = piece.repeat(100_000);
            let start = std::time::Instant::now();
            to_text(&text);
            assert!(start.elapsed().as_secs() < 5, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn text_without_marks_stays(text in "[^<&]{0,60}") {
            prop_assert_eq!(to_text(&text), text);
        }

        #[test]
        fn any_text_can_be_read(text in "(<|>|/|!|-|\"|'|=|&|#|;|a|p|é| |script|style){0,40}") {
            let found = to_text(&text);
            prop_assert!(found.len() <= text.len());
        }
    }
}
