//! Tables that were made to do harm, or look so: each is a typed error or a reported row.

use std::fmt::Write;
use std::path::Path;

use arrow_ipc::CompressionType;
use quintet_ingest::{FaultCode as C, IngestError, Ingested, ingest};

use crate::formats::{parquet_ratings, ratings};
use crate::formats_more::{arrow, gzip};
use crate::support::{config, fail, folder, places, run, write};

fn spec(path: &str, more: &str) -> String {
    format!(
        "[[tables.interactions]]\npath = \"{path}\"\n{more}\n\
         columns = {{ user = \"u\", item = \"i\" }}"
    )
}

/// An ingest that may succeed or fail, but with a balance or with one line that names the file.
fn outcome(root: &Path, path: &str) -> Result<Ingested, IngestError> {
    let result = ingest(&config(&spec(path, "")), root);
    match &result {
        Ok(done) => {
            for f in &done.report.files {
                assert_eq!(f.rows_in, f.rows_kept + f.rows_reported, "{f:?}");
            }
        }
        // A file without a good row is named by its first fault, and it may have none.
        Err(IngestError::NothingLeft { .. }) => {}
        Err(err) => assert!(err.to_string().contains(path), "{err}"),
    }
    result
}

fn error(path: &str, bytes: &[u8]) -> String {
    let dir = folder(&[]);
    write(dir.path(), path, bytes);
    fail(dir.path(), &spec(path, "")).to_string()
}

fn faults(path: &str, bytes: &[u8]) -> Vec<(C, u64)> {
    let dir = folder(&[]);
    write(dir.path(), path, bytes);
    let done = run(dir.path(), &spec(path, ""));
    places(&done.report).into_iter().map(|(code, _, line)| (code, line.unwrap())).collect()
}

/// Numbers that look random and are the same every time (an LCG of Knuth, TAOCP 2, 3.3.4).
fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

#[test]
fn a_line_of_50_mb_is_one_fault() {
    let long = "x".repeat(50_000_000);
    let csv = format!("u,i\na,1\n{long},2\nb,3\n");
    assert_eq!(faults("r.csv", csv.as_bytes()), [(C::LineTooLong, 3)]);
    let row = |user: &str| format!("{{\"u\": \"{user}\", \"i\": 1}}");
    let jsonl = format!("{}\n{}\n{}\n", row("a"), row(&long), row("b"));
    assert_eq!(faults("r.jsonl", jsonl.as_bytes()), [(C::LineTooLong, 2)]);
    let json = format!("[\n{},\n{},\n{}]", row("a"), row(&long), row("b"));
    assert_eq!(faults("r.json", json.as_bytes()), [(C::LineTooLong, 3)]);
    let header = error("r.csv", format!("{long},u,i\n1,2,3\n").as_bytes());
    assert!(header.starts_with("r.csv, line 1: ") && header.len() < 200, "{header}");
}

#[test]
fn nul_bytes_are_a_fault_in_ids_and_text_elsewhere() {
    assert_eq!(
        faults("r.csv", b"u,i,x\na,1,\0\n\0,1,\na,1\0,\nb,2,\n"),
        [(C::NulInId, 3), (C::NulInId, 4)]
    );
    assert_eq!(
        faults("r.jsonl", b"{\"u\": \"a\\u0000\", \"i\": 1}\n{\"u\": \"b\", \"i\": 2}\n"),
        [(C::NulInId, 1)]
    );
    let dir = folder(&[("r.csv", "u,i\na,1\n"), ("items.csv", "id,t\n1,o\0ne\n2\0,two\n")]);
    let items = "[tables.items]\npath = \"items.csv\"\ncolumns = { id = \"id\", title = \"t\" }";
    let done = run(dir.path(), &format!("{}\n{items}", spec("r.csv", "")));
    assert_eq!(places(&done.report), [(C::NulInId, "items.csv", Some(3))]);
    assert_eq!(done.dataset.items[0].title, "o\0ne");
    assert_eq!(done.report.faults[0].found, "\"2\\0\"");
}

#[test]
fn encodings_are_reported_by_line_or_named() {
    assert_eq!(faults("r.csv", b"u,i\na,\xFF\nb,1\n"), [(C::InvalidUtf8, 2)]);
    assert_eq!(
        faults("r.jsonl", b"{\"u\":\"a\xFF\",\"i\":1}\n{\"u\":\"b\",\"i\":1}"),
        [(C::InvalidUtf8, 1)]
    );
    assert_eq!(
        faults("r.json", b"[{\"u\":\"a\xFF\",\"i\":1},\n{\"u\":\"b\",\"i\":1}]"),
        [(C::InvalidUtf8, 1)]
    );
    assert_eq!(faults("r.csv", b"\xEF\xBB\xBFu,i\na,1\n"), []);
    assert_eq!(faults("r.json", b"\xEF\xBB\xBF[{\"u\":\"a\",\"i\":1}]"), []);
    let utf16 = |mark: &[u8], little: bool, text: &str| -> Vec<u8> {
        let bytes = |c: u16| if little { c.to_le_bytes() } else { c.to_be_bytes() };
        [mark.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
    };
    for (path, text) in [("r.csv", "u,i\na,1\n"), ("r.json", "[{\"u\":1,\"i\":1}]")] {
        for (mark, little) in [(&[0xFF, 0xFE], true), (&[0xFE, 0xFF], false)] {
            let error = error(path, &utf16(mark, little, text));
            assert!(error.contains("line 1") && error.contains("UTF-16"), "{error}");
        }
    }
    let unmarked = error("r.csv", &utf16(&[], true, "u,i\na,1\n"));
    assert!(unmarked.contains("a NUL byte at byte 2") && unmarked.contains("UTF-16"), "{unmarked}");
}

#[test]
fn line_ends_may_be_mixed_and_old_macs_have_their_own() {
    let users = |bytes: &[u8]| -> Vec<String> {
        let dir = folder(&[]);
        write(dir.path(), "r.tsv", bytes);
        let done = run(dir.path(), &spec("r.tsv", ""));
        assert!(done.report.is_clean(), "{:?}", done.report.faults);
        done.dataset.users.into_iter().map(|u| u.id).collect()
    };
    assert_eq!(users(b"u\ti\r\na\t1\nb\t2\r\n\r\nc\t3"), ["a", "b", "c"]);
    assert_eq!(users(b"u\ti\ra\t1\rb\t2\r"), ["a", "b"]);
    // Where lines end with \n, a lone \r is a character of its cell.
    assert_eq!(users(b"u\ti\na\rb\t1\n"), ["a\rb"]);
}

#[test]
fn ragged_rows_are_reported_each() {
    let rows = b"u,i\na,1\nb\nc,3,4\n,\nd,4,\n\"e\",5\n";
    let expected = [(C::RaggedRow, 3), (C::RaggedRow, 4), (C::EmptyId, 5), (C::RaggedRow, 6)];
    assert_eq!(faults("r.csv", rows), expected);
}

#[test]
fn a_million_columns_are_read_and_at_most_30_are_listed() {
    const N: usize = 1_000_000;
    let mut text = String::new();
    for i in 0..N {
        let _ = write!(text, "c{i},");
    }
    text.push_str("u,i\n");
    for row in ["a,1\n", "b,2\n"] {
        text.push_str(&",".repeat(N));
        text.push_str(row);
    }
    assert_eq!(faults("r.csv", text.as_bytes()), []);
    let dir = folder(&[("r.csv", &text)]);
    let missing = fail(dir.path(), &spec("r.csv", "").replace("\"u\"", "\"who\"")).to_string();
    assert!(missing.contains("c29 and 999972 more") && missing.len() < 400, "{missing}");
    let keys: Vec<String> = (0..N / 2).map(|i| format!("\"k{i}\": 1")).collect();
    let missing = error("r.jsonl", format!("{{{}}}\n", keys.join(",")).as_bytes());
    assert!(missing.contains("k29 and ") && missing.len() < 400, "{missing}");
    let wide = error("r.csv", format!("{},b\n1,2\n", "x".repeat(1_000_000)).as_bytes());
    assert!(wide.contains("xxx…, b") && wide.len() < 400, "{wide}");
}

#[test]
fn numbers_out_of_range_are_faults_and_long_ids_stay_themselves() {
    let dir = folder(&[(
        "r.csv",
        "u,i,v,t\n99999999999999999999,1,1e400,1\na,2,99999999999999999999,1\n\
         b,3,nan,1\nc,4,-inf,1\nd,5,1,99999999999999999999\ne,6,1,-99999999999999999999\n\
         99999999999999999999,7,1,1\n99999999999999999998,7,1,1\n",
    )]);
    let text = spec("r.csv", "").replace("\"i\" }", "\"i\", value = \"v\", timestamp = \"t\" }");
    let done = run(dir.path(), &text);
    let codes: Vec<_> = places(&done.report).into_iter().map(|(c, _, l)| (c, l.unwrap())).collect();
    let (finite, time) = (C::NotFinite, C::BadTimestamp);
    assert_eq!(codes, [(finite, 2), (finite, 4), (finite, 5), (time, 6), (time, 7)]);
    let users: Vec<_> = done.dataset.users.iter().map(|u| u.id.as_str()).collect();
    assert_eq!(users, ["a", "99999999999999999999", "99999999999999999998"]);
    // As numbers of JSON the two ids would have become one.
    let rows =
        b"{\"u\": 99999999999999999999, \"i\": 1}\n{\"u\": 99999999999999999998, \"i\": 1}\n\
                 {\"u\": 18446744073709551615, \"i\": 1}\n{\"u\": 1e400, \"i\": 1}\n\
                 {'u': 99999999999999999999, 'i': 1}\n{\"u\": NaN, \"i\": 1}\n";
    let (cell, json) = (C::BadCell, C::BadJson);
    assert_eq!(faults("r.jsonl", rows), [(cell, 1), (cell, 2), (json, 4), (json, 5), (json, 6)]);
}

#[test]
fn files_without_rows_are_empty_in_every_format() {
    for path in ["r.csv", "r.tsv", "r.jsonl", "r.json", "r.csv.gz"] {
        assert!(error(path, b"").contains("is empty"), "{path}");
        assert!(error(path, b"\n\n").contains("is empty"), "{path}");
    }
    assert!(error("r.csv", b"u,i\n").contains("found no row"));
    assert!(error("r.json", b"[]").contains("found no row"));
    assert!(error("r.csv.gz", &gzip(b"")).contains("is empty"));
    assert!(error("r.csv.gz", &gzip(b"u,i\n")).contains("found no row"));
    for path in ["r.parquet", "r.arrow"] {
        assert!(error(path, b"").starts_with(path), "{path}");
    }
}

/// Every file that ends too early is an error, at some fifty places.
fn cut(path: &str, bytes: &[u8]) {
    let dir = folder(&[]);
    let step = (bytes.len() / 50).max(1);
    let ends = (0..bytes.len()).step_by(step).chain([bytes.len() - 1]);
    for end in ends {
        write(dir.path(), path, &bytes[..end]);
        assert!(outcome(dir.path(), path).is_err(), "{path} cut at {end} of {}", bytes.len());
    }
    write(dir.path(), path, bytes);
    assert!(outcome(dir.path(), path).is_ok(), "{path}");
}

#[test]
fn files_that_are_cut_off_are_errors_wherever_it_was() {
    cut("r.parquet", &parquet_ratings());
    let batches = [ratings(), ratings(), ratings()];
    for stream in [false, true] {
        cut("r.arrow", &arrow(&batches, stream, None));
        cut("r.arrow", &arrow(&batches, stream, Some(CompressionType::ZSTD)));
        cut("r.arrow", &arrow(&batches, stream, Some(CompressionType::LZ4_FRAME)));
    }
    let csv: String = (0..500).map(|i| format!("u{},{i}\n", i * 7919)).collect();
    let csv = format!("u,i\n{csv}");
    cut("r.csv.gz", &gzip(csv.as_bytes()));
    cut("r.csv.zst", &zstd::encode_all(csv.as_bytes(), 3).unwrap());
    cut(
        "r.json",
        b"[{\"u\": \"a\", \"i\": 1}, {\"u\": \"b\", \"i\": 2}, {\"u\": \"c\", \"i\": 3}]",
    );
}

/// Changes bytes here and there; the outcome may be anything but a panic or the process's end.
fn flip(path: &str, bytes: &[u8], times: usize) {
    let dir = folder(&[]);
    let mut state = 1;
    let mut failed = 0;
    for _ in 0..times {
        let mut bytes = bytes.to_vec();
        for _ in 0..=random(&mut state, 3) {
            let at = random(&mut state, bytes.len());
            bytes[at] = random(&mut state, 256) as u8;
        }
        write(dir.path(), path, &bytes);
        failed += usize::from(outcome(dir.path(), path).is_err());
    }
    assert!(failed > 0, "{path}: no change did any harm");
}

#[test]
fn parquet_files_with_changed_bytes_are_errors_or_rows() {
    flip("r.parquet", &parquet_ratings(), 600);
}

#[test]
fn arrow_files_with_changed_bytes_are_errors_or_rows() {
    for stream in [false, true] {
        flip("r.arrow", &arrow(&[ratings(), ratings()], stream, None), 300);
        for packing in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
            flip("r.arrow", &arrow(&[ratings(), ratings()], stream, Some(packing)), 150);
        }
    }
}

#[test]
fn packed_text_with_changed_bytes_is_an_error_or_rows() {
    let csv: String = (0..200).map(|i| format!("u{},{i}\n", i * 7919)).collect();
    let csv = format!("u,i\n{csv}");
    flip("r.csv.gz", &gzip(csv.as_bytes()), 200);
    flip("r.csv.zst", &zstd::encode_all(csv.as_bytes(), 3).unwrap(), 200);
}

#[test]
fn promises_of_an_arrow_file_are_compared_with_what_it_has() {
    // The longest numbers in every place: no memory is taken for any of them.
    for stream in [false, true] {
        for packing in [None, Some(CompressionType::ZSTD)] {
            let whole = arrow(&[ratings()], stream, packing);
            let dir = folder(&[]);
            for at in (0..whole.len() - 8).step_by(4) {
                let mut bytes = whole.clone();
                bytes[at..at + 8].copy_from_slice(&(i64::MAX >> 4).to_le_bytes());
                write(dir.path(), "r.arrow", &bytes);
                let _ = outcome(dir.path(), "r.arrow");
            }
        }
    }
}

#[test]
fn bombs_end_when_they_are_seen_to_be_bombs() {
    // 2 GiB of zeros in 2 MB: one member or frame of 64 MiB again and again.
    let zeros = vec![0; 64 << 20];
    for (path, start, member) in [
        ("r.csv.gz", gzip(b"u,i\na,1\n"), gzip(&zeros)),
        (
            "r.csv.zst",
            zstd::encode_all(&b"u,i\na,1\n"[..], 1).unwrap(),
            zstd::encode_all(&zeros[..], 1).unwrap(),
        ),
    ] {
        let bomb = [start, member.repeat(32)].concat();
        assert!(bomb.len() < 16 << 20, "{}", bomb.len());
        let error = error(path, &bomb);
        let expected = format!("{path}, line 3: expected at most 200 bytes of text");
        assert!(error.starts_with(&expected), "{error}");
    }
    // The same where the first line never ends, and in JSON.
    for path in ["r.csv.gz", "r.jsonl.gz"] {
        let bomb = gzip(&zeros).repeat(4);
        assert!(error(path, &bomb).contains("expected at most 200 bytes of text"), "{path}");
    }
    let blanks = gzip(&vec![b' '; 64 << 20]).repeat(4);
    assert!(error("r.json.gz", &blanks).contains("expected at most 200 bytes of text"));
}

#[test]
fn json_that_is_nested_deep_is_a_fault_or_an_error() {
    const DEEP: usize = 100_000;
    let good = "{\"u\": \"a\", \"i\": 1}";
    let open = "[".repeat(DEEP);
    let close = "]".repeat(DEEP);
    assert!(error("r.json", open.as_bytes()).contains("r.json, line 1: expected the end of what"));
    let element = format!("[{good},\n{open}{close},\n{{\"u\": {open}{close}, \"i\": 1}}]");
    assert_eq!(faults("r.json", element.as_bytes()), [(C::BadJson, 2), (C::BadJson, 3)]);
    let lines = format!("{good}\n{open}\n{{\"u\": {open}{close}}}\n{{'u': {open}\n");
    let bad = C::BadJson;
    assert_eq!(faults("r.jsonl", lines.as_bytes()), [(bad, 2), (bad, 3), (bad, 4)]);
    let objects = format!("{good}\n{}", "{\"a\":".repeat(DEEP));
    assert_eq!(faults("r.jsonl", objects.as_bytes()), [(bad, 2)]);
}
