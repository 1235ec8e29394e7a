//! The page as a whole: well-formed, of one piece, and safe from what strangers write.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, Modality, UserIdx};
use quintet_data::{
    Dataset, Event, Item, MediaFile, MediaStatus, Part, ShapeReport, SplitReport, User,
};

use super::*;
use crate::media::{DuplicateCount, DuplicateListing, DuplicateReport, Likeness};
use crate::report::{Fault, FaultCode, FileReport, Severity};
use crate::report_stats::DatasetStats;

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
        if !tag.ends_with('/') && name != "meta" {
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
    for name in ["script", "link", "img", "iframe", "object", "a", "image", "use", "base"] {
        assert!(!names.iter().any(|n| n == name), "{name}");
    }
    let foreign = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for text in ["http", "//", "url(", "@import", "src=", "href", "NaN", "\0", "\u{1b}"] {
        assert!(!foreign.contains(text), "{text:?}");
    }
    names
}

fn show(ingest: &IngestReport) -> String {
    page(&Chapters { ingest, shape: None, split: None })
}

fn hostile_dataset() -> Dataset {
    let event = |item: u32| Event {
        user: UserIdx(0),
        item: ItemIdx(item),
        event: if item == 0 { HOSTILE } else { "<script>2" },
        value: item as f32,
        timestamp: Some(i64::from(item) * 1_000_000),
        part: Some(if item == 0 { Part::Train } else { Part::Test }),
    };
    let attributes = BTreeMap::from([(HOSTILE.to_owned(), HOSTILE.to_owned())]);
    let text = Some(HOSTILE.to_owned());
    let id = |n: usize| format!("{HOSTILE}{n}");
    let item =
        |n| Item { id: id(n), title: id(n), text: text.clone(), attributes: attributes.clone() };
    let file = |n: u32, status| MediaFile {
        path: HOSTILE.into(),
        status,
        error: (status == MediaStatus::Error).then(|| format!("corrupt: {HOSTILE}")),
        ..MediaFile::missing(ItemIdx(n), Modality::Image)
    };
    Dataset {
        name: HOSTILE.into(),
        users: vec![User { id: id(0), attributes: attributes.clone() }],
        items: (0..2).map(item).collect(),
        events: (0..2).map(event).collect(),
        media: vec![file(0, MediaStatus::Ok), file(1, MediaStatus::Error)],
        source: BTreeMap::new(),
    }
}

fn hostile_report() -> IngestReport {
    let data = hostile_dataset();
    let fault = Fault {
        severity: Severity::Error,
        code: FaultCode::BadNumber,
        file: HOSTILE.into(),
        line: Some(1),
        item: Some(HOSTILE.into()),
        expected: HOSTILE.into(),
        found: HOSTILE.into(),
    };
    let file = FileReport {
        file: HOSTILE.into(),
        role: HOSTILE.into(),
        blake3: String::new(),
        rows_in: 1,
        rows_kept: 1,
        rows_reported: 0,
        blank_lines: 0,
    };
    let group = DuplicateListing {
        modality: Modality::Image,
        likeness: Likeness::Near,
        items: vec![HOSTILE.into()],
        total: 9,
    };
    IngestReport {
        name: HOSTILE.into(),
        users: 1,
        items: 2,
        events: 2,
        files: vec![file],
        duplicates: DuplicateReport { counts: Vec::<DuplicateCount>::new(), groups: vec![group] },
        stats: DatasetStats::of(&data),
        counts: BTreeMap::from([(FaultCode::BadNumber, 1)]),
        faults: vec![fault],
        ..IngestReport::default()
    }
}

#[test]
fn text_from_strangers_cannot_become_markup() {
    let report = hostile_report();
    let (shape, mut split) = (ShapeReport::default(), SplitReport::default());
    split.strategy = HOSTILE.into();
    let page = page(&Chapters { ingest: &report, shape: Some(&shape), split: Some(&split) });
    let names = check(&page);
    // Per user and item, time, values, kinds, parts twice, cores, three of modalities, text,
    // attributes twice, shape, split.
    assert_eq!(names.iter().filter(|n| *n == "svg").count(), 16);
    assert_eq!(names.iter().filter(|n| *n == "details").count(), 16);
    // Every picture is named.
    assert_eq!(page.matches("role=\"img\" aria-label=").count(), 16);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
}

#[test]
fn a_report_of_nothing_is_a_page() {
    let names = check(&show(&IngestReport::default()));
    assert!(!names.iter().any(|n| n == "svg"));
    // One user, one item, no event; no text and no media.
    let data = Dataset {
        users: vec![User::default()],
        items: vec![Item::default()],
        ..Dataset::default()
    };
    check(&show(&IngestReport { stats: DatasetStats::of(&data), ..IngestReport::default() }));
}

#[test]
fn numbers_that_are_none_leave_a_page() {
    let event = |value, timestamp| Event {
        user: UserIdx(0),
        item: ItemIdx(7),
        event: "e",
        value,
        timestamp,
        part: Some(Part::Valid),
    };
    let events = [
        event(f32::NAN, None),
        event(f32::MAX, Some(i64::MAX)),
        event(f32::MIN, Some(i64::MIN + 1)),
        event(f32::MIN_POSITIVE, Some(0)),
    ];
    let data = Dataset {
        users: vec![User::default()],
        events: events.into_iter().collect(),
        ..Dataset::default()
    };
    let mut report = IngestReport { stats: DatasetStats::of(&data), ..IngestReport::default() };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<IngestReport>(&json).unwrap(), report);
    report.stats.density = Some(f64::NAN);
    report.stats.per_user.gini = 0.5;
    let mut split = SplitReport::default();
    split.train.share = f64::NAN;
    (split.test.first, split.test.last) = (Some(i64::MIN), Some(i64::MAX));
    check(&page(&Chapters { ingest: &report, shape: None, split: Some(&split) }));
}

#[test]
fn a_split_says_what_its_checks_mean() {
    let mut split = SplitReport::default();
    (split.strategy, split.rows_in) = ("random".into(), 10);
    (split.train.rows, split.test.rows, split.dropped_test) = (7, 2, 1);
    (split.test.first, split.test.last) = (Some(86_400), Some(2 * 86_400));
    (split.shared_pairs, split.train_after_test_began) = (0, 3);
    split.duplicate_leaks = Some(2);
    let report = IngestReport::default();
    let page = page(&Chapters { ingest: &report, shape: None, split: Some(&split) });
    check(&page);
    for sentence in [
        "No pair of a user and an item is in two parts.",
        "3 train events are not earlier than the first test event",
        "Leak: 2 groups of near-duplicate items",
        "1 held-out events of 0 users were left out",
        "<td>test</td><td>1970-01-02 00:00</td><td>1970-01-03 00:00</td>",
        "<td>left out of test</td><td class=\"n\">1</td><td class=\"n\">10.00 %</td>",
    ] {
        assert!(page.contains(sentence), "{sentence}\n{page}");
    }
}

#[test]
fn digits_are_grouped() {
    let got = [0, 999, 1_000, 1_234_567].map(grouped);
    assert_eq!(got, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
}
