//! Many kinds of faults, planted at known places of a catalogue of every kind of source: each is
//! found once, under its code and at its place, and nothing else is.

use std::sync::OnceLock;

use image::ImageFormat;
use proptest::prelude::*;
use quintet_data::Item;
use quintet_ingest::{FaultCode as C, Ingested, MediaCode as M, ingest};

use crate::catalogue::{
    CONFIG, Catalogue, Draws, Expected, File, N_ITEMS, Table, gif, picture, wav,
};
use crate::support::config;

/// Makes a bad row of a good one.
type Spoil = fn(&str) -> Vec<u8>;
/// Spoils the media of an item, given by its id.
type SpoilMedia = fn(&mut Catalogue, &str);

#[derive(Clone, Copy)]
enum Plant {
    Row(Table, C, Spoil),
    /// A row that has to come behind the good one.
    Behind(Table, C, Spoil),
    Media(SpoilMedia),
}
use Plant::{Behind, Media, Row};

/// A row with another cell.
fn with(row: &str, column: usize, cell: &str) -> Vec<u8> {
    let mut cells: Vec<&str> = row.split(',').collect();
    cells[column] = cell;
    cells.join(",").into_bytes()
}

fn cell(row: &str, column: usize) -> &str {
    row.split(',').nth(column).unwrap()
}

/// A row of which the time is moved by some seconds.
fn moved(row: &str, by: i64) -> Vec<u8> {
    let time: i64 = cell(row, 3).parse().unwrap();
    with(row, 3, &(time + by).to_string())
}

/// Every kind of fault, with a name for messages.
const PLANTS: &[(&str, Plant)] = &[
    ("a field too few", Row(Table::Events, C::RaggedRow, |r| r.rsplit_once(',').unwrap().0.into())),
    ("a field too many", Row(Table::Events, C::RaggedRow, |r| format!("{r},x").into())),
    ("invalid UTF-8", Row(Table::Events, C::InvalidUtf8, |r| [r.as_bytes(), b"\xFF"].concat())),
    ("an unclosed quote", Row(Table::Events, C::BadQuote, |r| format!("\"{r}").into())),
    ("text after a quote", Row(Table::Events, C::BadQuote, |r| with(r, 1, "\"i1\"x"))),
    ("a bad number", Row(Table::Events, C::BadNumber, |r| with(r, 2, "four"))),
    ("no number", Row(Table::Events, C::BadNumber, |r| with(r, 2, ""))),
    ("a comma in a number", Row(Table::Events, C::BadNumber, |r| with(r, 2, "\"4,5\""))),
    ("not a number", Row(Table::Events, C::NotFinite, |r| with(r, 2, "NaN"))),
    ("infinity", Row(Table::Events, C::NotFinite, |r| with(r, 2, "-inf"))),
    ("too large a number", Row(Table::Events, C::NotFinite, |r| with(r, 2, "1e39"))),
    (
        "too large with its weight",
        Row(Table::Events, C::NotFinite, |r| {
            with(std::str::from_utf8(&with(r, 2, "3e38")).unwrap(), 4, "buy")
        }),
    ),
    ("a bad time", Row(Table::Events, C::BadTimestamp, |r| with(r, 3, "yesterday"))),
    ("no time", Row(Table::Events, C::BadTimestamp, |r| with(r, 3, ""))),
    ("a time before 1970", Row(Table::Events, C::BadTimestamp, |r| with(r, 3, "-5"))),
    (
        "milliseconds",
        Row(Table::Events, C::BadTimestamp, |r| with(r, 3, &format!("{}000", cell(r, 3)))),
    ),
    ("too early", Row(Table::Events, C::TimeOutOfRange, |r| with(r, 3, "1577836799"))),
    ("too late", Row(Table::Events, C::TimeOutOfRange, |r| with(r, 3, "1609459200"))),
    ("no user", Row(Table::Events, C::EmptyId, |r| with(r, 0, ""))),
    ("a blank item", Row(Table::Events, C::EmptyId, |r| with(r, 1, " "))),
    ("NUL in a user", Row(Table::Events, C::NulInId, |r| with(r, 0, "u\u{0}1"))),
    ("NUL after an item", Row(Table::Events, C::NulInId, |r| with(r, 1, "i1\u{0}"))),
    ("an unknown item", Row(Table::Events, C::UnknownItem, |r| with(r, 1, "i007"))),
    ("an item with a blank", Row(Table::Events, C::UnknownItem, |r| with(r, 1, "i1 "))),
    ("an unknown user", Row(Table::Events, C::UnknownUser, |r| with(r, 0, "U1"))),
    ("a row again", Behind(Table::Events, C::DuplicateRow, |r| r.into())),
    ("a pair at another time", Row(Table::Events, C::DuplicatePair, |r| moved(r, -3_600))),
    ("no kind", Row(Table::Events, C::EmptyEvent, |r| with(r, 4, " "))),
    ("a kind without a weight", Row(Table::Events, C::UnweightedEvent, |r| with(r, 4, "like"))),
    ("a bad part", Row(Table::Events, C::BadPart, |r| with(r, 5, "holdout"))),
    (
        "a line beyond 16 MiB",
        Row(Table::Events, C::LineTooLong, |r| with(r, 1, &"x".repeat((16 << 20) + 1))),
    ),
    (
        "an item again",
        Behind(Table::Items, C::DuplicateItem, |r| format!("{},x,1", cell(r, 0)).into()),
    ),
    ("an item without an id", Row(Table::Items, C::EmptyId, |_| b",Nobody,1999".into())),
    ("NUL in an item", Row(Table::Items, C::NulInId, |_| b"i\x001,Nobody,1999".into())),
    ("a ragged item", Row(Table::Items, C::RaggedRow, |_| b"i99,Two, titles,1999".into())),
    ("a title in Latin-1", Row(Table::Items, C::InvalidUtf8, |_| b"i99,Am\xE9lie,2001".into())),
    ("a user again", Behind(Table::Users, C::DuplicateUser, |r| with(r, 1, "99"))),
    ("a user without an id", Row(Table::Users, C::EmptyId, |r| with(r, 0, "\t"))),
    ("a quoted user", Row(Table::Users, C::BadQuote, |_| b"\"u1\" ,20".into())),
    ("broken JSON", Row(Table::Plots, C::BadJson, |r| r[..r.len() - 3].into())),
    ("a list", Row(Table::Plots, C::BadJson, |_| b"[\"i1\", \"a plot\"]".into())),
    ("an unknown join id", Row(Table::Plots, C::UnknownJoinId, |_| b"{\"movie\": \"i99\"}".into())),
    ("a join without an id", Row(Table::Plots, C::EmptyId, |_| b"{\"plot\": \"whose?\"}".into())),
    (
        "an object in a cell",
        Row(Table::Plots, C::BadCell, |_| b"{\"movie\": \"i1\", \"plot\": {\"a\": 1}}".into()),
    ),
    (
        "a number of 30 digits",
        Row(Table::Plots, C::BadCell, |_| b"{\"movie\": 123456789012345678901234567890}".into()),
    ),
    ("JSON in Latin-1", Row(Table::Plots, C::InvalidUtf8, |_| b"{\"movie\": \"\xE9\"}".into())),
    ("a picture cut off", Media(|c, id| cut(c, id, "image", "jpg"))),
    ("a sound cut off", Media(|c, id| cut(c, id, "audio", "wav"))),
    ("a film cut off", Media(|c, id| cut(c, id, "video", "gif"))),
    ("a page as a picture", Media(|c, id| spoil(c, id, "image/{}.jpg", b"<html>", M::WrongKind))),
    ("a sound as a film", Media(|c, id| spoil(c, id, "video/{}.gif", &wav(1), M::WrongKind))),
    ("no bytes of sound", Media(|c, id| spoil(c, id, "audio/{}.wav", b"", M::Empty))),
    ("nothing but blanks", Media(|c, id| spoil(c, id, "text/{}.txt", b" \n\t", M::Empty))),
    ("text in Latin-1", Media(|c, id| spoil(c, id, "text/{}.txt", b"Am\xE9lie", M::InvalidUtf8))),
    (
        "FLAC, which is not read yet",
        Media(|c, id| {
            c.files.remove(&format!("audio/{id}.wav"));
            spoil(c, id, "audio/{}.flac", b"fLaC\0\0\0\x22", M::Unsupported);
        }),
    ),
    (
        "a damaged picture",
        Media(|c, id| {
            c.files.remove(&format!("image/{id}.jpg"));
            let mut png = picture(70, ImageFormat::Png);
            let middle = png.len() / 2;
            png[middle] ^= 0x55;
            spoil(c, id, "image/{}.png", &png, M::Corrupt);
        }),
    ),
    ("a link that leads outside", Media(|c, id| linked(c, id, File::LinkOut, M::Outside))),
    ("a link to nowhere", Media(|c, id| linked(c, id, File::LinkNowhere, M::Unreadable))),
    (
        "PNG named JPEG",
        Media(|c, id| {
            let file = format!("image/{id}.jpg");
            c.files.insert(file.clone(), File::Bytes(picture(71, ImageFormat::Png)));
            c.expect(C::MediaExtension, &file, Some(id), None);
        }),
    ),
    (
        "a second picture",
        Media(|c, id| {
            let file = format!("image/{id}.png");
            c.files.insert(file.clone(), File::Bytes(picture(72, ImageFormat::Png)));
            c.expect(C::MediaDuplicate, &file, Some(id), None);
        }),
    ),
    ("a film of nobody", Media(|c, _| stranger(c, "video/i99.gif", gif(73)))),
    (
        "a text that is no .txt",
        Media(|c, id| stranger(c, &format!("text/{id}.pdf"), b"%PDF".into())),
    ),
    // Not a fault, only a count.
    (
        "no picture",
        Media(|c, id| {
            c.files.remove(&format!("image/{id}.jpg"));
        }),
    ),
];

fn spoil(catalogue: &mut Catalogue, id: &str, name: &str, bytes: &[u8], reason: M) {
    let file = name.replace("{}", id);
    if file.starts_with("text/") {
        catalogue.other_text.insert(id.to_owned());
    }
    catalogue.files.insert(file.clone(), File::Bytes(bytes.to_vec()));
    catalogue.expect(C::MediaError, &file, Some(id), Some(reason));
}

fn cut(catalogue: &mut Catalogue, id: &str, folder: &str, extension: &str) {
    let name = format!("{folder}/{id}.{extension}");
    let Some(File::Bytes(bytes)) = catalogue.files.get(&name) else { panic!("{name}") };
    let half = bytes[..bytes.len() / 2].to_vec();
    spoil(catalogue, id, &name, &half, M::Truncated);
}

/// Where there are no links, nothing is planted.
fn linked(catalogue: &mut Catalogue, id: &str, link: File, reason: M) {
    if cfg!(unix) {
        let file = format!("image/{id}.jpg");
        catalogue.files.insert(file.clone(), link);
        catalogue.expect(C::MediaError, &file, Some(id), Some(reason));
    }
}

fn stranger(catalogue: &mut Catalogue, file: &str, bytes: Vec<u8>) {
    catalogue.files.insert(file.to_owned(), File::Bytes(bytes));
    catalogue.expect(C::MediaUnmatched, file, None, None);
}

/// A catalogue with some of [`PLANTS`], each media fault at an item of its own.
fn planted(n_users: usize, which: &[usize], seed: u64) -> Catalogue {
    let mut catalogue = Catalogue::clean(n_users);
    let mut draws = Draws(seed);
    let mut items = draws.order(N_ITEMS).into_iter().map(|i| format!("i{i}"));
    for &at in which {
        match PLANTS[at].1 {
            Row(table, code, make) => catalogue.plant_row(table, code, false, &mut draws, make),
            Behind(table, code, make) => catalogue.plant_row(table, code, true, &mut draws, make),
            Media(spoil) => spoil(&mut catalogue, &items.next().unwrap()),
        }
    }
    catalogue
}

fn read(catalogue: &Catalogue) -> Ingested {
    let dir = tempfile::tempdir().unwrap();
    catalogue.write(dir.path());
    ingest(&config(CONFIG), &dir.path().join("data")).unwrap()
}

/// What the report says, in the form of what it should say, sorted.
fn said(done: &Ingested) -> Vec<Expected> {
    let mut all: Vec<Expected> = done
        .report
        .faults
        .iter()
        .map(|fault| Expected {
            code: fault.code,
            file: fault.file.clone(),
            line: fault.line,
            item: fault.item.clone().filter(|_| fault.line.is_none()),
            reason: M::of(&fault.found).filter(|_| fault.code == C::MediaError),
        })
        .collect();
    all.sort_unstable();
    all
}

/// Checks everything that must hold whatever was planted, against the clean catalogue.
fn check(catalogue: &Catalogue, done: &Ingested, clean: &Ingested) {
    assert_eq!(said(done), catalogue.expected());
    assert_eq!(done.report.counts.values().sum::<usize>(), done.report.faults.len());
    for table in Table::ALL {
        let file = done.report.files.iter().find(|f| f.file == table.file()).unwrap();
        let (rows, faults) = catalogue.rows(table);
        let balance = (file.rows_in, file.rows_kept, file.rows_reported, file.blank_lines);
        assert_eq!(balance, (rows, rows - faults, faults, 0), "{table:?}");
    }
    for media in &done.report.media {
        assert_eq!(media.ok + media.missing + media.error, N_ITEMS as u64, "{media:?}");
        assert_eq!(media.errors.values().sum::<u64>(), media.error);
    }
    // Every planted row is one too many, so that what is left is the clean catalogue.
    let (data, whole) = (&done.dataset, &clean.dataset);
    assert!(data.events == whole.events, "the events differ");
    assert!(data.users == whole.users, "the users differ");
    let same = |item: &&Item| !catalogue.other_text.contains(&item.id);
    assert!(data.items.iter().filter(same).eq(whole.items.iter().filter(same)));
    assert_eq!(data.items.len(), N_ITEMS);
}

/// The small catalogue without a fault.
fn small() -> &'static Ingested {
    static CLEAN: OnceLock<Ingested> = OnceLock::new();
    CLEAN.get_or_init(|| read(&Catalogue::clean(12)))
}

#[test]
fn a_clean_catalogue_is_clean() {
    let done = small();
    assert!(done.report.is_clean(), "{:?}", done.report.faults);
    check(&Catalogue::clean(12), done, done);
    let ok = done.report.media.iter().map(|m| m.ok).collect::<Vec<_>>();
    assert_eq!(ok, [N_ITEMS as u64; 4]);
    assert_eq!((done.report.items_with_text, done.report.events), (N_ITEMS, 240));
    assert_eq!(
        done.dataset.items[3].text.as_deref(),
        Some("Title, the 3th\nplot 3\nwhat is told of 3")
    );
}

#[test]
fn every_planted_fault_is_found_once_at_its_place() {
    let all: Vec<usize> = (0..PLANTS.len()).collect();
    let catalogue = planted(12, &all, 1);
    let done = read(&catalogue);
    check(&catalogue, &done, small());
    // All but "no picture".
    let expected = PLANTS.len() - 1 - if cfg!(unix) { 0 } else { 2 };
    assert_eq!(done.report.faults.len(), expected);
    let image = &done.report.media[0];
    assert_eq!((image.missing, image.unmatched, image.duplicate), (1, 0, 1));
}

/// 120,000 rows in blocks of one MiB, three times. The quote that is planted at another place
/// each time ends the reading by blocks there.
#[test]
fn faults_are_found_in_large_tables_too() {
    let clean = read(&Catalogue::clean(6_000));
    assert!(clean.report.is_clean(), "{:?}", clean.report.faults);
    let all: Vec<usize> = (0..PLANTS.len()).collect();
    let quotes = ["an unclosed quote", "text after a quote", "a comma in a number"];
    let unquoted: Vec<usize> =
        all.iter().copied().filter(|at| !quotes.contains(&PLANTS[*at].0)).collect();
    for (which, seed) in [(&unquoted, 2), (&all, 3), (&all, 4)] {
        let catalogue = planted(6_000, which, seed);
        check(&catalogue, &read(&catalogue), &clean);
    }
}

#[test]
fn each_fault_alone_is_named_alone() {
    for (at, (name, plant)) in PLANTS.iter().enumerate() {
        let catalogue = planted(12, &[at], at as u64);
        let done = read(&catalogue);
        assert_eq!(said(&done), catalogue.expected(), "{name}");
        let silent = *name == "no picture" || (!cfg!(unix) && name.contains("link"));
        assert_eq!(done.report.is_clean(), silent, "{name}");
        if let Row(_, code, _) | Behind(_, code, _) = plant {
            assert_eq!(done.report.count(*code), 1, "{name}");
        }
        let strict = config(&format!("strict = true\n{CONFIG}"));
        let dir = tempfile::tempdir().unwrap();
        catalogue.write(dir.path());
        let result = ingest(&strict, &dir.path().join("data"));
        assert_eq!(result.is_ok(), silent || *name == "PNG named JPEG", "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exactly_what_was_planted_is_found(
        which in prop::sample::subsequence((0..PLANTS.len()).collect::<Vec<_>>(), 0..=PLANTS.len()),
        seed in 0u64..1_000_000
    ) {
        let catalogue = planted(12, &which, seed);
        check(&catalogue, &read(&catalogue), small());
    }
}
