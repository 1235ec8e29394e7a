//! The page as a whole: well-formed, of one piece, and safe from what strangers write.

use serde_json::json;

use quintet_core::Modality;

use super::*;
use crate::pipeline::{Comparison, Example, ExampleItem, ExampleLine, Interval, ModelResult};

const HOSTILE: &str = "<script>alert('x')</script>\"&\0\u{1b}</svg></td>";

/// Checks that every tag that is opened is closed, in order, and gives back the names of tags.
#[track_caller]
fn tags(page: &str) -> Vec<String> {
    let (mut open, mut names): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = page.strip_prefix("<!doctype html>").unwrap();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag that ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "...{}", &rest[..rest.len().min(80)]);
            continue;
        }
        let name = tag.split([' ', '/', '\n']).next().unwrap().to_owned();
        names.push(name.clone());
        if !tag.ends_with('/') && name != "meta" && name != "img" {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    names
}

/// A page that needs nothing else and has nothing that runs.
#[track_caller]
fn check(page: &str) -> Vec<String> {
    let names = tags(page);
    for name in ["script", "link", "iframe", "object", "a", "image", "use", "base"] {
        assert!(!names.iter().any(|n| n == name), "{name}");
    }
    let own = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    let own = own.replace("src=\"data:image/jpeg;base64,", "");
    for text in ["http", "url(", "@import", "src=", "href", "NaN", "\0", "\u{1b}"] {
        assert!(!own.contains(text), "{text:?}");
    }
    names
}

fn interval(mean: f64) -> Interval {
    Interval { mean, lower: mean - 0.1, upper: mean + 0.1 }
}

fn model(label: &str, model: &str, mean: f64) -> ModelResult {
    serde_json::from_value(json!({
        "label": label, "model": model, "config": {"dim": 8, "name": HOSTILE},
        "n_parameters": 12, "best_epoch": 2, "valid": mean,
        "test": {"ndcg@10": mean, "ndcg@5": 0.1, "coverage@10": 0.7},
        "beyond": {"gini@10": 0.3, "ild_text@10": 0.5, "odd<b>@10": 1.0},
        "primary": interval(mean), "against": null, "new_items": null,
    }))
    .unwrap()
}

fn told() -> Told {
    let mut fused = model("fused", "two_tower", 0.6);
    fused.reads = vec![Modality::Text, Modality::Image];
    fused.modalities = serde_json::from_value(json!({
        "text": {"share": 0.7, "knocked_out": 0.4}, "image": {"share": null, "knocked_out": null},
    }))
    .unwrap();
    let slice = |users: usize| json!({"users": users, "value": interval(0.25)});
    let slices = json!({"head items": slice(40), "tail items": slice(9), "light users": slice(12)});
    fused.slices = serde_json::from_value(slices).unwrap();
    let mut text = model("text only", "two_tower", 0.4);
    text.reads = vec![Modality::Text];
    text.against = Some(Comparison {
        reference: "fused".into(),
        difference: interval(0.2),
        excludes_zero: true,
    });
    let result = RunResult {
        name: HOSTILE.into(),
        seed: 3,
        data: "hash".into(),
        phase: "test".into(),
        primary: "ndcg@10".into(),
        users: 40,
        models: vec![model("popularity", "popularity", 0.2), text, fused],
    };
    let values =
        |shift: f64| (0..40).map(|u| shift + f64::from(u % 5) / 10.0).collect::<Vec<f64>>();
    let per_user = PerUser {
        metric: "ndcg@10".into(),
        users: (0..40).map(|u| u.to_string()).collect(),
        values: [("popularity", 0.0), ("text only", 0.2), ("fused", 0.4)]
            .map(|(label, shift)| (label.to_owned(), values(shift)))
            .into(),
    };
    let epoch = |epoch: usize, value: f64| EpochRecord {
        epoch,
        loss: 1.0 / epoch as f64,
        batches: 1,
        samples: 9,
        train_seconds: 0.1,
        valid_seconds: 0.1,
        valid: [("ndcg@10".to_owned(), value)].into(),
    };
    let item = ExampleItem { item: HOSTILE.into(), title: HOSTILE.into() };
    let line =
        ExampleLine { item: item.clone(), hit: true, new: true, reasons: vec![HOSTILE.into()] };
    let person = Example {
        user: Some(HOSTILE.into()),
        history_len: 1,
        history: vec![item],
        held_out: 1,
        list: vec![line],
    };
    let picture = "data:image/jpeg;base64,/9j/AAAA".to_owned();
    Told {
        result,
        per_user: Some(per_user),
        data: Some(json!({"name": HOSTILE, "n_users": 40, "n_items": 9,
            "features": [[HOSTILE, 3, 4]]})),
        config: Some(format!("name = {HOSTILE:?}")),
        facts: Some(RunFacts { command: vec![HOSTILE.into()], finished: 9, ..RunFacts::default() }),
        examples: Some(Examples {
            model: HOSTILE.into(),
            people: vec![person],
            pictures: [(HOSTILE.to_owned(), picture)].into(),
        }),
        ratings: Vec::new(),
        logs: [("fused".to_owned(), vec![epoch(1, 0.2), epoch(2, f64::NAN), epoch(3, 0.5)])].into(),
    }
}

#[test]
fn a_page_is_whole_and_text_from_strangers_cannot_become_markup() {
    let page = page(&told());
    let names = check(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    // All models, against popularity, text only and fused, two slices, one knock-out, validation
    // and loss.
    assert_eq!(names.iter().filter(|n| *n == "svg").count(), 9, "{names:?}");
    assert_eq!(names.iter().filter(|n| *n == "img").count(), 2);
    assert_eq!(page.matches("role=\"img\" aria-label=").count(), 9);
    for text in [
        "Minus popularity",
        "Minus text only (best single modality)",
        "Minus fused (reference)",
        "&lt; 0.001",
        "without text",
        "<td class=\"n\">-0.2000</td>",
        "diversity by text",
        "class=\"hit\"",
        "prefers-color-scheme:dark",
        "1970-01-01 00:00",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // Nine users of the tail are too few to be told of.
    assert!(!page.contains("ndcg@10: tail items"));
}

#[test]
fn a_page_of_little_is_a_page() {
    let mut told = told();
    told.result.models.clear();
    (told.per_user, told.data, told.config) = (None, None, None);
    (told.facts, told.examples) = (None, None);
    told.logs.clear();
    check(&page(&told));
}

#[test]
fn an_address_that_holds_no_picture_is_left_out() {
    let mut told = told();
    let examples = told.examples.as_mut().unwrap();
    examples.pictures.insert(HOSTILE.into(), "https://example.org/x.png".into());
    assert!(!check(&page(&told)).iter().any(|n| n == "img"));
}

#[test]
fn rules_are_drawn_from_the_lists_before_them_to_those_after() {
    let mut told = told();
    assert!(!page(&told).contains("before and after"));
    for model in &mut told.result.models[1..] {
        model.ruled = [("ndcg@10", 0.15), ("ild_text@10", 0.75)]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
    }
    let page = page(&told);
    check(&page);
    let section = &page[page.find("Lists before and after the rules").unwrap()..];
    let svg = &section[section.find("<svg").unwrap()..section.find("</svg>").unwrap()];
    // Two models, each a ring and a dot.
    assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
    assert!(section.contains("NDCG@10 and diversity by text, before and after"));
    assert!(!section.contains("diversity by image, before and after"));
    assert!(section.contains("0.5000 → 0.7500"), "{section}");
    // Without NDCG before the rules there is no way to draw.
    told.result.models[1].test.remove("ndcg@10");
    told.result.models[2].test.remove("ndcg@10");
    assert!(!super::page(&told).contains("<figcaption>NDCG@10 and"));
}
