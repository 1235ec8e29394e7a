//! Cleaning of texts within whole ingests.

use quintet_ingest::FaultCode;

use crate::support::{fail, folder, run, shared};

const SOURCES: &str = r#"
    tables.interactions = [{ path = "r.csv", columns = { user = "u", item = "i" } }]
    tables.items = { path = "items.csv", columns = { id = "i", text = ["text"] } }
    join = [{ path = "more.csv", id = "i", text = ["text"] }]
"#;

fn files() -> tempfile::TempDir {
    folder(&[
        ("r.csv", "u,i\nann,a\nann,b\nbob,c\n"),
        ("items.csv", "i,text\na,<b>Tom</b> &amp; Jerry\nb,<br>\nc,\nd,plain\n"),
        ("more.csv", "i,text\na,<p>A   cat</p>\n"),
    ])
}

#[test]
fn texts_are_cleaned_after_joins_and_counted() {
    let root = files();
    let done = run(root.path(), &format!("{SOURCES}\n[text]\n"));
    let texts: Vec<_> = done.dataset.items.iter().map(|i| i.text.as_deref()).collect();
    assert_eq!(texts, [Some("Tom & Jerry\nA cat"), None, None, Some("plain")]);
    let report = done.report.text.as_ref().unwrap();
    assert!(report.adds_up());
    assert_eq!((report.texts_in, report.texts_out, report.emptied, report.changed), (3, 2, 1, 1));
    // "<b>Tom</b> &amp; Jerry", a line end, "<p>A   cat</p>"; "<br>"; "plain".
    assert_eq!((report.chars_before, report.chars_after), (22 + 1 + 14 + 4 + 5, 17 + 5));
    assert_eq!(done.report.items_with_text, 2);
    assert_eq!(done.report.count(FaultCode::TextEmptied), 1);
    assert_eq!(
        done.report.faults[0].to_string(),
        "items.csv, line 3, item \"b\": text_emptied: expected text that is left after cleaning, \
         found \"<br>\""
    );
    let summary = done.report.summary().join("\n");
    assert!(summary.contains("texts cleaned: 3 in = 2 kept (1 changed, 0 cut) + 1 emptied"));
    // A note, not a fault that strict ingests stop at.
    run(root.path(), &format!("strict = true\n{SOURCES}\n[text]\n"));
}

#[test]
fn texts_stay_as_they_come_without_the_table() {
    let root = files();
    let done = run(root.path(), SOURCES);
    assert_eq!(
        done.dataset.items[0].text.as_deref(),
        Some("<b>Tom</b> &amp; Jerry\n<p>A   cat</p>")
    );
    assert_eq!(done.report.text, None);
}

#[test]
fn settings_that_cannot_be_carried_out_stop_the_run() {
    let root = files();
    let message = |text: &str| fail(root.path(), &format!("{SOURCES}\n[text]\n{text}")).to_string();
    let unknown = message("stop_words = ['english']");
    assert!(unknown.contains("found \"english\"") && unknown.contains("en, "), "{unknown}");
    assert!(message("max_chars = 0").contains("text.max_chars"));
}

#[test]
fn plots_of_the_real_100k_are_cleaned() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let source = "movielens = { folder = \".\" }\n\
                  join = [{ path = \"omdb.jsonl\", id = \"movieId\", text = [\"plot\"] }]";
    let plain = run(&path, source);
    let done = run(&path, &format!("{source}\n[text]\nstop_words = [\"en\"]\nmax_chars = 200"));
    let report = done.report.text.unwrap();
    println!("{}", report.summary());
    assert!(report.adds_up());
    assert_eq!((report.texts_in, report.emptied), (plain.report.items_with_text, 0));
    assert!(report.stop_words > report.texts_in && report.cut > 0);
    let longest = done.dataset.items.iter().filter_map(|i| i.text.as_deref());
    assert!(longest.map(|text| text.chars().count()).max().unwrap() <= 200);
}
