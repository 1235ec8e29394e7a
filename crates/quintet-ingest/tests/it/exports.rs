//! Datasets that are exported and read back.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, UserIdx};
use quintet_data::{Dataset, Event, Events, Item, Part, User};
use quintet_ingest::{ExportFormat, IngestConfig, Severity, export, export_config, ingest};

use crate::support::{run, shared};

const TABLES: [ExportFormat; 6] = [
    ExportFormat::Csv,
    ExportFormat::Tsv,
    ExportFormat::Jsonl,
    ExportFormat::Json,
    ExportFormat::Parquet,
    ExportFormat::Arrow,
];

fn event(user: u32, item: u32, event: &str, value: f32, timestamp: Option<i64>) -> Event<'_> {
    Event { user: UserIdx(user), item: ItemIdx(item), event, value, timestamp, part: None }
}

fn odd() -> Dataset {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let user = |id: &str, a: &[(&str, &str)]| User { id: id.to_owned(), attributes: map(a) };
    let item = |id: &str, title: &str, text: Option<&str>, a: &[(&str, &str)]| Item {
        id: id.to_owned(),
        title: title.to_owned(),
        text: text.map(str::to_owned),
        attributes: map(a),
    };
    let mut events = Events::new();
    events.push(Event { part: Some(Part::Test), ..event(0, 2, "buy, now", 0.1, Some(7)) });
    events.push(event(2, 0, "view", 1.0, None));
    events.push(Event { part: Some(Part::Valid), ..event(2, 0, "view", -3.25e-7, Some(0)) });
    events.push(event(0, 1, "\"like\"", 3.402_823e38, Some(1_700_000_000)));
    events.push(Event { part: Some(Part::Train), ..event(2, 2, "view", 16_777_216.0, None) });
    Dataset {
        name: "odd ☂".into(),
        users: vec![
            user("007", &[("id", "an attribute"), ("größe", "1,5")]),
            user(" blank ", &[]),
            user("ann \"the\" first, of them", &[("größe", "\"2\"")]),
        ],
        items: vec![
            item("ñ-1", "Quote \" and, comma", Some("first\n\nthird, \"x\"\tend"), &[]),
            item("7", "", None, &[("title", "taken"), ("a.b", "{1}"), ("text", "t")]),
            item("{\"a\":1}", "日本 🎬", Some("日本 🎬"), &[("x:token", "y"), ("id", "3")]),
        ],
        events,
        ..Dataset::default()
    }
}

fn round(dataset: &Dataset, format: ExportFormat) -> quintet_ingest::Ingested {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out");
    let files = export(dataset, format, &to).unwrap();
    assert!(files.iter().all(|file| file.is_file()), "{files:?}");
    // The configuration beside the files is the one that is given.
    #[derive(serde::Deserialize)]
    struct Whole {
        ingest: IngestConfig,
    }
    let text = fs_err::read_to_string(to.join("ingest.toml")).unwrap();
    let config = export_config(dataset, format);
    assert_eq!(toml::from_str::<Whole>(&text).unwrap().ingest, config, "{text}");
    let done = ingest(&config, &to).unwrap();
    assert_eq!(done.report.total(Severity::Error), 0, "{format:?}: {:#?}", done.report.summary());
    done
}

#[test]
fn odd_data_comes_back_from_every_table_format() {
    let odd = odd();
    for format in TABLES {
        let back = round(&odd, format).dataset;
        assert_eq!(back.users, odd.users, "{format:?}");
        assert_eq!(back.items, odd.items, "{format:?}");
        assert_eq!(back.events, odd.events, "{format:?}");
        assert_eq!(back.content_hash(), odd.content_hash(), "{format:?}");
        assert_eq!(back.name, odd.name);
    }
}

#[test]
fn folders_of_others_hold_what_they_can() {
    let odd = odd();
    let mut plain = odd.clone();
    // Titles are repeated in the text, and there is one line of it.
    plain.items[0].text = Some("Quote \" and, comma\nfirst  third, \"x\" end".into());
    // RecBole has columns of its own for these.
    plain.items[1].attributes.remove("title");
    plain.items[1].attributes.remove("text");
    plain.items[2].attributes.remove("x:token");
    let mut given = odd.clone();
    given.items[1].attributes.remove("title");
    given.items[1].attributes.remove("text");
    given.items[2].attributes.remove("x:token");
    let back = round(&given, ExportFormat::RecBole).dataset;
    assert_eq!(back.items, plain.items);
    assert_eq!((&back.users, &back.events), (&odd.users, &odd.events));

    let back = round(&odd, ExportFormat::MmRec).dataset;
    let ids = |d: &Dataset| -> Vec<String> { d.items.iter().map(|i| i.id.clone()).collect() };
    assert_eq!(ids(&back), ids(&odd));
    for (found, event) in back.events.iter().zip(odd.events.iter()) {
        let part = event.part.or(Some(Part::Train));
        assert_eq!(found, Event { event: "interaction", part, ..event });
    }

    let back = round(&odd, ExportFormat::LightGcn).dataset;
    let numbers = |d: &Dataset, ids: bool| {
        let mut all: Vec<(String, String, Option<Part>)> = d
            .events
            .iter()
            .map(|e| {
                let (u, i) = (e.user.index(), e.item.index());
                let (u, i) = if ids {
                    (d.users[u].id.clone(), d.items[i].id.clone())
                } else {
                    (u.to_string(), i.to_string())
                };
                (u, i, e.part.or(Some(Part::Train)))
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(numbers(&back, true), numbers(&odd, false));
    assert_eq!(back.users.len(), 3);
}

#[test]
fn an_export_replaces_only_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let odd = odd();
    export(&odd, ExportFormat::Csv, dir.path()).unwrap();
    export(&odd, ExportFormat::Jsonl, dir.path()).unwrap();
    assert!(!dir.path().join("items.csv").exists());
    let other = tempfile::tempdir().unwrap();
    fs_err::write(other.path().join("mine"), "x").unwrap();
    let error = export(&odd, ExportFormat::Csv, other.path()).unwrap_err();
    assert!(other.path().join("mine").exists(), "{error}");
}

#[test]
fn ids_that_a_line_cannot_hold_are_refused() {
    let mut odd = odd();
    odd.items[0].id = "tab\tbed".into();
    let dir = tempfile::tempdir().unwrap();
    for format in [ExportFormat::RecBole, ExportFormat::MmRec, ExportFormat::LightGcn] {
        let error = export(&odd, format, &dir.path().join("x")).unwrap_err().to_string();
        assert!(error.contains("without tabs") && error.contains("tab\\tbed"), "{error}");
    }
    for format in TABLES {
        assert_eq!(round(&odd, format).dataset.items, odd.items, "{format:?}");
    }
}

#[test]
fn real_data_comes_back_from_every_format() {
    for (name, source) in [
        ("ml-100k-mm", "movielens = { folder = \".\" }"),
        ("amazon-mmrec/baby", "mmrec = { folder = \".\" }"),
    ] {
        let Some(path) = shared(name) else { continue };
        let data = run(&path, source).dataset;
        for format in TABLES {
            let back = round(&data, format).dataset;
            assert_eq!(back.content_hash(), data.content_hash(), "{name} {format:?}");
        }
        let back = round(&data, ExportFormat::RecBole).dataset;
        assert_eq!(back.content_hash(), data.content_hash(), "{name} recbole");
        for format in [ExportFormat::MmRec, ExportFormat::LightGcn] {
            let back = round(&data, format).dataset;
            assert_eq!(
                (back.users.len(), back.events.len()),
                (data.users.len(), data.events.len())
            );
            assert_eq!(back.items.len(), data.items.len(), "{name} {format:?}");
        }
    }
}
