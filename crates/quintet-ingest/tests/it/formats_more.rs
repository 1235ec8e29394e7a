//! Packed files, JSON documents, Arrow and the atomic files of RecBole.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use flate2::Compression;
use flate2::write::GzEncoder;
use quintet_data::Dataset;
use quintet_ingest::{FaultCode as C, IngestError};

use crate::formats::ratings;
use crate::support::{fail, folder, places, run, shared, write};

/// Packs with gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An Arrow file, or a stream; each batch of columns is a batch.
pub(crate) fn arrow(
    batches: &[Vec<(&str, ArrayRef)>],
    stream: bool,
    packing: Option<CompressionType>,
) -> Vec<u8> {
    let batches: Vec<RecordBatch> =
        batches.iter().map(|c| RecordBatch::try_from_iter(c.clone()).unwrap()).collect();
    let options = IpcWriteOptions::default().try_with_compression(packing).unwrap();
    let schema = batches[0].schema();
    let mut bytes = Vec::new();
    if stream {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

/// A table of interactions with the columns of these tests.
fn spec(path: &str, more: &str) -> String {
    format!(
        "[[tables.interactions]]\npath = \"{path}\"\n{more}\n\
         columns = {{ user = \"u\", item = \"i\", value = \"rating\", timestamp = \"t\", \
         event = \"kind\" }}"
    )
}

fn dataset(path: &str, bytes: &[u8]) -> Dataset {
    let dir = folder(&[]);
    write(dir.path(), path, bytes);
    let done = run(dir.path(), &spec(path, ""));
    assert!(done.report.is_clean(), "{path}: {:?}", done.report.faults);
    Dataset { source: Default::default(), ..done.dataset }
}

const CSV: &[u8] = b"u,i,rating,t,kind\na,1,4.5,100,view\na,2,0.1,101,buy\nb,1,3,102,view\n";
const ROWS: [&str; 3] = [
    r#"{"u": "a", "i": 1, "rating": 4.5, "t": 100, "kind": "view"}"#,
    r#"{"u": "a", "i": 2, "rating": 0.1, "t": 101, "kind": "buy"}"#,
    r#"{"u": "b", "i": 1, "rating": 3, "t": 102, "kind": "view"}"#,
];

#[test]
fn packed_files_give_the_same_dataset_by_content() {
    let plain = dataset("r.csv", CSV);
    assert_eq!(plain.events.len(), 3);
    let zstd = zstd::encode_all(CSV, 3).unwrap();
    assert_eq!(dataset("r.csv.gz", &gzip(CSV)), plain);
    assert_eq!(dataset("r.csv.zst", &zstd), plain);
    // The name says the format, the content whether it is packed.
    assert_eq!(dataset("r.csv", &zstd), plain);
    assert_eq!(dataset("r.csv.gz", CSV), plain);
    // The members of a gzip file are one text, wherever they begin.
    let (head, tail) = CSV.split_at(27);
    assert_eq!(dataset("r.csv.gz", &[gzip(head), gzip(tail)].concat()), plain);
    let lines = format!("{}\n", ROWS.join("\n"));
    assert_eq!(dataset("r.jsonl.gz", &gzip(lines.as_bytes())), plain);
    let array = format!("[{}]", ROWS.join(","));
    assert_eq!(dataset("r.json.zst", &zstd::encode_all(array.as_bytes(), 3).unwrap()), plain);
}

#[test]
fn json_documents_of_every_shape_give_the_same_dataset() {
    let plain = dataset("r.csv", CSV);
    let pretty = ROWS.map(|row| row.replace("{", "{\n  ").replace(", ", ",\n  ")).join("\n");
    for text in [
        format!("[{}]", ROWS.join(", ")),
        format!("[\n  {}\n]\n", ROWS.join(",\n  ")),
        format!(
            "{{\"n\": 3, \"tags\": [\"x\"], \"rows\": [{}], \"more\": [{{}}]}}",
            ROWS.join(",")
        ),
        format!("{{\n\"rows\": [\n{}\n]\n}}", ROWS.join(",\n")),
        pretty,
        format!("{}\n", ROWS.join("\n")),
        ROWS.join("\n\n").replace('"', "'"),
        format!("\u{FEFF}{}", ROWS.join("\r\n")),
    ] {
        assert_eq!(dataset("r.json", text.as_bytes()), plain, "{text}");
    }
}

#[test]
fn a_bad_element_is_reported_at_its_line() {
    let dir = folder(&[(
        "r.json",
        "[\n{\"u\": \"a\",\n \"i\": 1},\n{\"u\": \"b\" \"i\": 2},\n7,\n{\"u\": {}, \"i\": 3}\n]\n",
    )]);
    let text = "[[tables.interactions]]\npath = \"r.json\"\n\
                columns = { user = \"u\", item = \"i\" }";
    let done = run(dir.path(), text);
    let file = "r.json";
    let expected =
        [(C::BadJson, file, Some(4)), (C::BadJson, file, Some(5)), (C::BadCell, file, Some(6))];
    assert_eq!(places(&done.report), expected);
    assert_eq!(done.dataset.events.len(), 1);
}

#[test]
fn the_loose_metadata_of_amazon_is_read_with_its_lists_and_paths() {
    let lines = "{'asin': '01', 'title': \"Bob's \\\"Book\\\"\", 'categories': [['Books', 'Art'], \
                 ['New']], 'related': {'also_bought': ['02', '03']}, 'price': 4.99}\n\
                 {\"asin\": \"02\", \"title\": null, \"price\": 5}\n\
                 {'asin': '03', 'title': nonsense}\n";
    let dir = folder(&[("m.json", lines), ("r.csv", "user,item\na,01\nb,02\n")]);
    let text = r#"
        [[tables.interactions]]
        path = "r.csv"
        columns = {}
        [tables.items]
        path = "m.json"
        columns = { id = "asin", title = "title", text = ["categories"], attributes = ["price", "related.also_bought"] }
    "#;
    let done = run(dir.path(), text);
    let item = &done.dataset.items[0];
    assert_eq!(item.title, "Bob's \"Book\"");
    assert_eq!(item.text.as_deref(), Some("Books, Art, New"));
    assert_eq!(item.attributes["price"], "4.99");
    assert_eq!(item.attributes["related.also_bought"], "02, 03");
    assert_eq!(done.dataset.items.len(), 2);
    assert_eq!(places(&done.report), [(C::BadJson, "m.json", Some(3))]);
}

#[test]
fn arrow_files_and_streams_give_the_same_dataset() {
    let plain = dataset("r.csv", CSV);
    for stream in [false, true] {
        for packing in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let bytes = arrow(&[ratings()], stream, packing);
            assert_eq!(dataset("r.arrow", &bytes), plain, "{stream} {packing:?}");
        }
    }
    assert_eq!(dataset("r.feather", &arrow(&[ratings()], false, None)), plain);
}

#[test]
fn the_row_of_an_arrow_file_is_counted_over_its_batches() {
    let batch = |user: &str, item: &str| -> Vec<(&str, ArrayRef)> {
        let column = |text: &str| Arc::new(StringArray::from(vec![text.to_owned()])) as ArrayRef;
        vec![("i", column(item)), ("u", column(user))]
    };
    let dir = folder(&[]);
    let bytes = arrow(&[batch("a", "1"), batch("", "2"), batch("c", "3")], true, None);
    write(dir.path(), "r.ipc", &bytes);
    let text = "[[tables.interactions]]\npath = \"r.ipc\"\n\
                columns = { user = \"u\", item = \"i\" }";
    let done = run(dir.path(), text);
    assert_eq!(places(&done.report), [(C::EmptyId, "r.ipc", Some(2))]);
    assert_eq!((done.dataset.users[1].id.as_str(), done.dataset.events.len()), ("c", 2));
    let err = fail(dir.path(), &text.replace("\"u\"", "\"who\"")).to_string();
    assert_eq!(err, "r.ipc: expected a column \"who\", found the columns i, u");
}

#[test]
fn atomic_files_of_recbole_are_read_with_and_without_types() {
    let dir = folder(&[
        ("d.inter", "user_id:token\titem_id:token\trating:float\tt:float\n1\t7\t4\t100.0\n"),
        ("d.item", "item_id:token\ttitle:token_seq\tclass:token_seq\n7\tToy \"Story\tFun Kids\n"),
        ("d.user", "user_id:token\tage:float\n1\t24\n"),
        ("m.inter", "userID\titemID\tx_label\n1\t7\t0\n"),
    ]);
    let text = r#"
        [[tables.interactions]]
        path = "d.inter"
        columns = { user = "user_id", item = "item_id:token", value = "rating", timestamp = "t" }
        [[tables.interactions]]
        path = "m.inter"
        columns = { user = "userID", item = "itemID", event_name = "seen" }
        [tables.items]
        path = "d.item"
        columns = { id = "item_id", title = "title", attributes = ["class"] }
        [tables.users]
        path = "d.user"
        columns = { id = "user_id", attributes = ["age"] }
    "#;
    let done = run(dir.path(), text);
    assert!(done.report.is_clean(), "{:?}", done.report.faults);
    let d = &done.dataset;
    assert_eq!(
        (d.events.len(), d.events.get(0).value, d.events.get(0).timestamp),
        (2, 4.0, Some(100))
    );
    assert_eq!(d.items[0].title, "Toy \"Story");
    assert_eq!(d.items[0].attributes["class"], "Fun Kids");
    assert_eq!(d.users[0].attributes["age"], "24");
}

#[test]
fn formats_that_are_named_wrongly_say_so() {
    let dir =
        folder(&[("r.arrow", "u,i\na,1\n"), ("r.json", "u,i\na,1\n"), ("o.arrow", "FEA1...")]);
    let err = fail(dir.path(), &spec("r.arrow", ""));
    assert!(matches!(err, IngestError::Arrow { .. }), "{err}");
    let err = fail(dir.path(), &spec("r.json", "")).to_string();
    assert_eq!(err, "r.json, line 1: expected a JSON array or object, found 'u'");
    let err = fail(dir.path(), &spec("o.arrow", "")).to_string();
    assert!(err.contains("Feather version 1"), "{err}");
    let err = fail(dir.path(), &spec("r.arrow.gz", "")).to_string();
    assert!(err.contains("packed as a whole"), "{err}");
    let err = fail(dir.path(), &spec("r.json", "quote = true")).to_string();
    assert!(err.contains("csv and tsv only"), "{err}");
}

#[test]
fn the_amazon_table_of_mmrec_is_the_same_plain_and_packed() {
    let Some(root) = shared("amazon-mmrec") else { return };
    let columns = "columns = { user = \"userID\", item = \"itemID\" }";
    let table = |path: &str| format!("[[tables.interactions]]\npath = \"{path}\"\n{columns}");
    let plain = run(&root, &table("baby/baby.inter"));
    assert_eq!(plain.report.files[0].rows_in, 160_792);
    let dir = folder(&[]);
    let bytes = fs_err::read(root.join("baby/baby.inter")).unwrap();
    write(dir.path(), "baby.inter.gz", &gzip(&bytes));
    let packed = run(dir.path(), &table("baby.inter.gz"));
    assert_eq!(packed.dataset.events, plain.dataset.events);
    assert_eq!(packed.dataset.items, plain.dataset.items);
}
