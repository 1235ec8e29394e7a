//! Tables of several blocks of 1 MiB, and what must not depend on blocks or threads.

use std::fmt::Write;
use std::path::Path;

use quintet_ingest::{FaultCode as C, IngestError, Ingested, ingest};

use crate::catalogue::{CONFIG, Catalogue, Draws};
use crate::formats_more::gzip;
use crate::support::{config, fail, folder, places, run, write};

const PLAIN: &str = r#"
    duplicates = "keep_all"
    [[tables.interactions]]
    path = "r.csv"
    columns = { value = "value" }
"#;

/// A table of some MiB with rows of every length, its lines ended by `end`.
fn long_table(rows: usize, end: &str) -> String {
    let mut draws = Draws(5);
    let mut text = format!("user,item,value{end}");
    for row in 0..rows {
        let (user, pad) = (draws.below(5_000), draws.below(40));
        write!(text, "u{user},{}{row},{}{end}", "0".repeat(pad), row % 9).unwrap();
    }
    text
}

/// Reads a table as it is, and with a quote in its first row, which has rows read one by one.
fn both_ways(text: &[u8], spec: &str) -> (Ingested, Ingested) {
    let dir = folder(&[]);
    let (header, rest) = text.split_at(text.iter().position(|b| *b == b'\n').unwrap() + 1);
    let first = rest.iter().position(|b| *b == b',').unwrap();
    let quoted = [header, b"\"", &rest[..first], b"\"", &rest[first..]].concat();
    write(dir.path(), "r.csv", text);
    let blocks = run(dir.path(), spec);
    write(dir.path(), "r.csv", &quoted);
    (blocks, run(dir.path(), spec))
}

fn same(blocks: &Ingested, single: &Ingested) {
    assert!(blocks.dataset.events == single.dataset.events, "the events differ");
    assert!(blocks.dataset.users == single.dataset.users, "the users differ");
    assert!(blocks.dataset.items == single.dataset.items, "the items differ");
    assert_eq!(blocks.report.faults, single.report.faults);
    assert_eq!(blocks.report.counts, single.report.counts);
    let (a, b) = (&blocks.report.files[0], &single.report.files[0]);
    assert_eq!((a.rows_in, a.rows_kept, a.blank_lines), (b.rows_in, b.rows_kept, b.blank_lines));
}

#[test]
fn every_kind_of_line_end_and_end_of_file() {
    for end in ["\n", "\r\n"] {
        let whole = long_table(110_000, end);
        assert!(whole.len() > 3 << 20);
        let (blocks, single) = both_ways(whole.as_bytes(), PLAIN);
        same(&blocks, &single);
        assert!(blocks.report.is_clean());
        assert_eq!(blocks.report.events, 110_000);
        // Without the last line end, and with a part of it.
        for cut in 1..=end.len() {
            let cut = &whole[..whole.len() - cut];
            let (blocks, single) = both_ways(cut.as_bytes(), PLAIN);
            same(&blocks, &single);
            assert_eq!(blocks.report.events, 110_000);
        }
    }
}

#[test]
fn line_ends_and_blank_lines_at_the_end_of_a_block() {
    // The first block begins behind the header. Its last byte falls on each byte around one
    // `\r\n\r\n\n`, so that blocks begin and end with every part of it.
    let header = "user,item,value\r\n";
    let row = "u1,i1,2\r\n";
    for shift in 0..row.len() + 4 {
        let mut text = header.to_owned() + &"u".repeat(shift) + ",i,1\r\n";
        while text.len() < header.len() + (1 << 20) - 2 * row.len() {
            text += row;
        }
        for _ in 0..5 {
            text += "u2,i2,3\r\n\r\n\nu3,i3,x\n";
        }
        let rows = text.lines().filter(|l| !l.is_empty()).count() as u64 - 1;
        let (blocks, single) = both_ways(text.replace("\nu,", "\nv,").as_bytes(), PLAIN);
        same(&blocks, &single);
        let file = &blocks.report.files[0];
        assert_eq!((file.rows_in, file.blank_lines), (rows, 10), "{shift}");
        let empty = usize::from(shift == 0);
        assert_eq!(blocks.report.count(C::BadNumber), 5);
        assert_eq!(blocks.report.count(C::EmptyId), empty);
    }
}

#[test]
fn a_carriage_return_at_the_end_of_the_file_belongs_to_its_cell() {
    let spec = |quote: bool| {
        format!(
            "tables.interactions = [{{ path = \"r.csv\", quote = {quote}, columns = {{}} }}]\n\
             tables.items = {{ path = \"items.csv\", columns = {{}} }}"
        )
    };
    for (first, quote) in [("u,a", false), ("u,a", true), ("\"u\",a", true)] {
        let dir = folder(&[("items.csv", "id\na\nb\n")]);
        write(dir.path(), "r.csv", format!("user,item\r\n{first}\r\nu,b\r").as_bytes());
        let done = run(dir.path(), &spec(quote));
        assert_eq!(places(&done.report), [(C::UnknownItem, "r.csv", Some(3))]);
        assert_eq!(done.report.faults[0].found, "\"b\\r\"");
    }
}

#[test]
fn a_quote_that_comes_late_ends_the_blocks_and_nothing_else() {
    let plain = long_table(110_000, "\n");
    let dir = folder(&[("r.csv", &plain)]);
    let whole = run(dir.path(), PLAIN);
    let lines: Vec<&str> = plain.lines().collect();
    for at in [30_000, 60_000, 109_999] {
        // A quoted row of three lines and two fields that are quoted for nothing.
        let mut text = lines[..at].join("\n");
        text += "\n\"u1\n\nx\",\"i,1\",5\n";
        text += &lines[at..].join("\n");
        write(dir.path(), "r.csv", text.as_bytes());
        let done = run(dir.path(), PLAIN);
        assert!(done.report.is_clean());
        assert_eq!(done.report.events, 110_001);
        let added = done.dataset.events.get(at - 1);
        let id = &done.dataset.users[added.user.index()].id;
        assert_eq!((id.as_str(), added.value), ("u1\n\nx", 5.0));
        let after: Vec<f32> = done.dataset.events.values()[at..].to_vec();
        assert_eq!(after, whole.dataset.events.values()[at - 1..]);
    }
}

#[test]
fn a_line_that_is_too_long_after_an_open_quote_is_a_fault_of_its_own() {
    let long = "x".repeat((16 << 20) + 1);
    let text = format!("user,item\na,1\n\"b,2\nc,3\n{long},4\nd,5\n");
    let dir = folder(&[("r.csv", &text)]);
    let done = run(dir.path(), "tables.interactions = [{ path = \"r.csv\", columns = {} }]");
    let expected = [(C::BadQuote, "r.csv", Some(3)), (C::LineTooLong, "r.csv", Some(5))];
    assert_eq!(places(&done.report), expected);
    assert_eq!((done.report.files[0].rows_in, done.report.events), (5, 3));
}

#[test]
fn a_file_without_header_may_start_with_bad_rows() {
    let spec = "[[tables.interactions]]\npath = \"r.csv\"\nheader = false\n\
                columns = { user = \"1\", item = \"2\" }";
    let dir = folder(&[]);
    write(dir.path(), "r.csv", b"\xFF,1\n\n\"a\"b,2\na,3\nb,4\n\"c,5");
    let done = run(dir.path(), spec);
    let expected = [
        (C::InvalidUtf8, "r.csv", Some(1)),
        (C::BadQuote, "r.csv", Some(3)),
        (C::BadQuote, "r.csv", Some(6)),
    ];
    assert_eq!(places(&done.report), expected);
    let file = &done.report.files[0];
    assert_eq!((file.rows_in, file.rows_kept, file.blank_lines), (5, 2, 1));
    // Nothing but bad rows is no table.
    write(dir.path(), "r.csv", &b"\xFF,1\n".repeat(5_000));
    let IngestError::Header { line, .. } = fail(dir.path(), spec) else { panic!() };
    assert_eq!(line, 1_001);
    write(dir.path(), "r.csv", b"\xFF,1\n");
    assert!(matches!(fail(dir.path(), spec), IngestError::Header { line: 1, .. }));
    // A header that cannot be read still ends the run.
    let with_header = spec.replace("header = false", "");
    assert!(matches!(fail(dir.path(), &with_header), IngestError::Header { line: 1, .. }));
}

#[test]
fn one_column_and_blanks_as_delimiters() {
    let dir = folder(&[("one.csv", "who\n7\n\n07\n \n7"), ("blank.csv", "u i v\na  1\na b 2\n")]);
    let one = "[[tables.interactions]]\npath = \"one.csv\"\n\
               columns = { user = \"who\", item = \"who\" }";
    let done = run(dir.path(), one);
    assert_eq!(
        places(&done.report),
        [(C::EmptyId, "one.csv", Some(5)), (C::DuplicateRow, "one.csv", Some(6))]
    );
    let ids: Vec<_> = done.dataset.users.iter().map(|u| u.id.as_str()).collect();
    assert_eq!(ids, ["7", "07"]);
    let blank = "[[tables.interactions]]\npath = \"blank.csv\"\ndelimiter = \" \"\n\
                 columns = { user = \"u\", item = \"i\", value = \"v\" }";
    let done = run(dir.path(), blank);
    assert_eq!(places(&done.report), [(C::EmptyId, "blank.csv", Some(2))]);
    assert_eq!(done.dataset.events.get(0).value, 2.0);
}

#[test]
fn a_delimiter_of_latin_1_is_one_byte_there() {
    let dir = folder(&[]);
    write(dir.path(), "r.csv", b"user\xA7item\nRen\xE9\xA71\n");
    let spec = |delimiter: &str| {
        format!(
            "[[tables.interactions]]\npath = \"r.csv\"\ndelimiter = \"{delimiter}\"\n\
             encoding = \"latin-1\"\ncolumns = {{}}"
        )
    };
    let done = run(dir.path(), &spec("§"));
    assert_eq!(done.dataset.users[0].id, "René");
    let IngestError::Config { key, .. } = fail(dir.path(), &spec("→")) else { panic!() };
    assert_eq!(key, "table \"r.csv\" delimiter");
}

#[test]
fn a_column_that_is_there_twice_is_not_guessed() {
    let dir = folder(&[("r.csv", "user,item,user,x,x\na,1,b,2,3\n")]);
    let spec = "tables.interactions = [{ path = \"r.csv\", columns = {} }]";
    let error = fail(dir.path(), spec).to_string();
    assert_eq!(
        error,
        "r.csv, line 1: expected a header line of column names, found two columns \"user\""
    );
    // Columns that nobody asks for may be called what they like.
    write(dir.path(), "r.csv", b"user,item,x,x\na,1,2,3\n");
    assert!(run(dir.path(), spec).report.is_clean());
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(work)
}

#[test]
fn a_strict_run_ends_at_the_first_fault_also_before_damage() {
    // The fault is in the second block, and the packed data is cut off some blocks later.
    let mut text = long_table(400_000, "\n");
    let at = (3 << 19) + text[3 << 19..].find('\n').unwrap() + 1;
    text.insert_str(at, "u1,i1,bad\n");
    let line = 1 + text[..at].lines().count() as u64;
    let packed = gzip(text.as_bytes());
    let dir = folder(&[]);
    write(dir.path(), "r.csv.gz", &packed[..packed.len() / 3]);
    let spec = PLAIN.replace("r.csv", "r.csv.gz");
    for threads in [1, 2, 5] {
        let strict = format!("strict = true\n{spec}");
        match with_threads(threads, || fail(dir.path(), &strict)) {
            IngestError::Strict(fault) => {
                assert_eq!((fault.code, fault.line), (C::BadNumber, Some(line)))
            }
            other => panic!("{other}"),
        }
        let error = with_threads(threads, || fail(dir.path(), &spec));
        assert!(matches!(error, IngestError::Damaged { .. }), "{error}");
    }
}

/// Every file below a folder with its bytes.
fn all_bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs_err::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.push((name, fs_err::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let mut catalogue = Catalogue::clean(4_000);
    let mut draws = Draws(1);
    for table in crate::catalogue::Table::ALL {
        let bad = |row: &str| row.replace('1', ",").into_bytes();
        for _ in 0..50 {
            catalogue.plant_row(table, C::RaggedRow, false, &mut draws, bad);
        }
    }
    for _ in 0..1_500 {
        let again = |row: &str| row.into();
        let table = crate::catalogue::Table::Events;
        catalogue.plant_row(table, C::DuplicateRow, true, &mut draws, again);
    }
    let dir = tempfile::tempdir().unwrap();
    catalogue.write(dir.path());
    let make = |threads: usize| {
        let out = tempfile::tempdir().unwrap();
        let done = with_threads(threads, || ingest(&config(CONFIG), &dir.path().join("data")));
        let done = done.unwrap();
        with_threads(threads, || done.dataset.write(&out.path().join("dataset"))).unwrap();
        done.report.write(out.path()).unwrap();
        (all_bytes(out.path()), done)
    };
    let (files, done) = make(1);
    assert!(done.report.count(C::DuplicateRow) == 1_500 && files.len() > 5);
    for threads in [2, 5] {
        let (others, other) = make(threads);
        assert!(other == done, "{threads} threads give another result");
        let names =
            |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&others), names(&files));
        for (a, b) in others.iter().zip(&files) {
            assert!(a == b, "{} with {threads} threads", a.0);
        }
    }
}
