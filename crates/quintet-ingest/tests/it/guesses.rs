//! Proposals for files and folders, and that the proposals can be read.

use std::path::Path;

use quintet_ingest::{Confidence, Guess, IngestConfig, Role, TimeUnit, guess, ingest};

use crate::support::{folder, shared};

/// A proposal whose text is its configuration and that reads so many users, items and events.
fn proposal(path: &Path, expected: (usize, usize, usize)) -> Guess {
    let found = guess(path).unwrap();
    #[derive(serde::Deserialize)]
    struct Whole {
        ingest: IngestConfig,
    }
    let config = toml::from_str::<Whole>(&found.toml).unwrap().ingest;
    assert_eq!(config, found.config, "{}", found.toml);
    let root = if path.is_dir() { path } else { path.parent().unwrap() };
    let d = ingest(&found.config, root).unwrap().dataset;
    assert_eq!((d.users.len(), d.items.len(), d.events.len()), expected, "{}", found.toml);
    let width = found.columns.len().max(1);
    assert!(found.preview.len() <= 5 && found.preview.iter().all(|row| row.len() == width));
    found
}

fn role(guess: &Guess, role: Role) -> Option<(&str, Confidence)> {
    let found = guess.columns.iter().find(|c| c.role == role);
    found.map(|c| (c.column.as_str(), c.confidence))
}

#[test]
fn columns_by_name_in_every_text_format() {
    let rows = "reviewerID,asin,overall,unixReviewTime,action\na,x,5,1400000000,buy\nb,x,3,1400000001,view\n";
    let json = "{\"userId\":\"a\",\"itemId\":\"x\",\"timestamp\":\"2024-01-02T03:04:05Z\"}\n";
    let dir = folder(&[
        ("a.csv", rows),
        ("b.txt", &rows.replace(',', ";")),
        ("c.jsonl", json),
        ("d.tsv", "user\tsku\tts\nu\tv\t1588687728923\n"),
    ]);
    for name in ["a.csv", "b.txt"] {
        let g = proposal(&dir.path().join(name), (2, 1, 2));
        assert_eq!(role(&g, Role::User), Some(("reviewerID", Confidence::High)));
        assert_eq!(role(&g, Role::Event), Some(("action", Confidence::High)));
        assert_eq!(g.preview[0], ["a", "x", "5", "1400000000", "buy"]);
        assert!(g.warnings.is_empty(), "{:?}", g.warnings);
        assert!(g.columns.iter().all(|c| !c.reason.is_empty()));
    }
    let unit = |g: &Guess| g.config.tables.as_ref().unwrap().interactions[0].columns.time_unit;
    assert_eq!(unit(&proposal(&dir.path().join("c.jsonl"), (1, 1, 1))), TimeUnit::Rfc3339);
    assert_eq!(unit(&proposal(&dir.path().join("d.tsv"), (1, 1, 1))), TimeUnit::Ms);
}

#[test]
fn a_file_without_names_is_taken_by_its_contents() {
    let rows: String = (0..50)
        .map(|i| format!("{}::{}::{}::{}\n", i % 7, 900 + i, i % 5, 978_300_760 + i))
        .collect();
    let dir = folder(&[("log.dat", &rows)]);
    let g = proposal(&dir.path().join("log.dat"), (7, 50, 50));
    assert_eq!(role(&g, Role::User), Some(("1", Confidence::Low)));
    assert_eq!(role(&g, Role::Item), Some(("2", Confidence::Low)));
    assert_eq!(role(&g, Role::Value), Some(("3", Confidence::Medium)));
    assert_eq!(role(&g, Role::Timestamp), Some(("4", Confidence::Medium)));
    assert!(g.warnings.iter().any(|w| w.contains("no header line")), "{:?}", g.warnings);
}

#[test]
fn a_folder_of_tables_has_items_beside_interactions() {
    let dir = folder(&[
        ("clicks.csv", "user_id,sku,time\na,x,1400000000\na,y,1400000005\n"),
        ("products.csv", "sku,name,description,brand\nx,One,First,B\ny,Two,Second,\n"),
        ("notes.md", "nothing"),
    ]);
    let g = proposal(dir.path(), (1, 2, 2));
    let items = g.config.tables.as_ref().unwrap().items.as_ref().unwrap();
    assert_eq!(
        (items.path.as_str(), items.columns.title.as_deref()),
        ("products.csv", Some("name"))
    );
    assert_eq!(items.columns.text, ["name", "description"]);
    assert!(g.warnings.iter().any(|w| w.contains("products.csv")));
}

#[test]
fn known_folders_are_known_by_their_files() {
    let dir = folder(&[("train.txt", "0 1 2\n1 2\n"), ("test.txt", "0 3\n")]);
    assert!(proposal(dir.path(), (2, 3, 4)).config.lightgcn.is_some());
    let dir = folder(&[("x.inter", "user_id:token\titem_id:token\trating:float\na\tb\t1\n")]);
    let g = proposal(dir.path(), (1, 1, 1));
    assert!(g.config.recbole.is_some());
    assert_eq!(role(&g, Role::Value), Some(("rating:float", Confidence::High)));
    let review =
        "{\"reviewerID\": \"A\", \"asin\": \"1\", \"overall\": 5.0, \"unixReviewTime\": 100}\n";
    let dir = folder(&[("reviews.json", review), ("meta.json", "{'asin': '1', 'title': 'T'}\n")]);
    let amazon = proposal(dir.path(), (1, 1, 1)).config.amazon.unwrap();
    assert_eq!(amazon.metadata.as_deref(), Some("meta.json"));
}

#[test]
fn what_is_no_table_is_an_error_that_says_so() {
    let dir = folder(&[("a.csv", "colour,size\nred,1\nblue,2\n"), ("b.bin", "\0\0")]);
    let error = guess(&dir.path().join("a.csv")).unwrap_err().to_string();
    assert!(error.contains("users and items") && error.contains("colour"), "{error}");
    let error = guess(dir.path()).unwrap_err().to_string();
    assert!(error.contains("a.csv"), "{error}");
    assert!(guess(&dir.path().join("b.bin")).is_err());
    assert!(guess(&dir.path().join("absent.csv")).is_err());
}

#[test]
fn every_shared_set_is_known() {
    for (name, expected) in [
        ("ml-100k-mm", (943, 1682, 100_000)),
        ("ml-latest-small", (610, 9742, 100_836)),
        ("amazon-mmrec/baby", (19_445, 7050, 160_792)),
        ("tiktok", (9308, 6710, 68_722)),
    ] {
        if let Some(path) = shared(name) {
            proposal(&path, expected);
        }
    }
    if let Some(path) = shared("poi/lbsn/Gowalla/Gowalla_2") {
        assert!(guess(&path).unwrap().config.checkins.is_some());
    }
    if let Some(path) = shared("poi/mat-sum-nyc") {
        proposal(&path.join("foursquare_nyc.csv"), (193, 11_081, 44_809));
    }
}
