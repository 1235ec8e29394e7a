//! The same data in every format gives the same dataset.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray, types::Int8Type,
};
use parquet::arrow::ArrowWriter;
use quintet_data::Dataset;

use crate::support::{folder, run, write};

fn config(extension: &str, more: &str) -> String {
    format!(
        r#"
        name = "same"
        [[tables.interactions]]
        path = "r.{extension}"
        {more}
        columns = {{ user = "u", item = "i", value = "rating", timestamp = "t", event = "kind" }}
        [tables.items]
        path = "items.{extension}"
        {more}
        columns = {{ id = "id", title = "title", text = ["title", "genres"] }}
        "#
    )
}

pub(crate) fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Three ratings as Parquet, with typed columns.
pub(crate) fn parquet_ratings() -> Vec<u8> {
    parquet(ratings())
}

/// The batch of three ratings with typed columns.
pub(crate) fn ratings() -> Vec<(&'static str, ArrayRef)> {
    let kinds: DictionaryArray<Int8Type> = ["view", "buy", "view"].into_iter().collect();
    vec![
        ("i", Arc::new(Int32Array::from(vec![1, 2, 1]))),
        ("u", Arc::new(StringArray::from(vec!["a", "a", "b"]))),
        ("rating", Arc::new(Float64Array::from(vec![4.5, 0.1, 3.0]))),
        ("t", Arc::new(TimestampMillisecondArray::from(vec![100_000, 101_999, 102_000]))),
        ("kind", Arc::new(kinds)),
    ]
}

fn parquet_items() -> Vec<u8> {
    parquet(vec![
        ("id", Arc::new(StringArray::from(vec!["1", "2"]))),
        ("title", Arc::new(StringArray::from(vec!["One, \"the\" first", "Zwei: größer"]))),
        ("genres", Arc::new(StringArray::from(vec![Some("Drama"), None]))),
    ])
}

fn dataset(extension: &str, more: &str, ratings: &[u8], items: &[u8]) -> Dataset {
    let dir = folder(&[]);
    write(dir.path(), &format!("r.{extension}"), ratings);
    write(dir.path(), &format!("items.{extension}"), items);
    let done = run(dir.path(), &config(extension, more));
    assert!(done.report.is_clean(), "{extension}: {:?}", done.report.faults);
    Dataset { source: Default::default(), ..done.dataset }
}

#[test]
fn csv_tsv_json_lines_and_parquet_give_the_same_dataset() {
    let csv = dataset(
        "csv",
        "",
        b"u,i,rating,t,kind\na,1,4.5,100,view\na,2,0.1,101,buy\nb,1,3,102,view\n",
        "id,title,genres\n1,\"One, \"\"the\"\" first\",Drama\n2,Zwei: größer,\n".as_bytes(),
    );
    assert_eq!(csv.events.len(), 3);
    assert_eq!(csv.items[0].text.as_deref(), Some("One, \"the\" first\nDrama"));
    assert_eq!(csv.events.get(1).event, "buy");
    let tsv = dataset(
        "tsv",
        "",
        b"kind\tu\ti\tt\trating\r\nview\ta\t1\t100\t4.50\r\nbuy\ta\t2\t101\t1e-1\r\n\
          view\tb\t1\t102\t3.0",
        "id\ttitle\tgenres\n1\tOne, \"the\" first\tDrama\n2\tZwei: größer\t\n".as_bytes(),
    );
    assert_eq!(tsv, csv);
    let jsonl = dataset(
        "jsonl",
        "",
        b"{\"u\":\"a\",\"i\":1,\"rating\":4.5,\"t\":100,\"kind\":\"view\"}\n\
          {\"u\":\"a\",\"i\":2,\"rating\":0.1,\"t\":101,\"kind\":\"buy\"}\n\
          {\"u\":\"b\",\"i\":1,\"rating\":3,\"t\":102,\"kind\":\"view\"}\n",
        "{\"id\":\"1\",\"title\":\"One, \\\"the\\\" first\",\"genres\":[\"Drama\"]}\n\
         {\"id\":2,\"title\":\"Zwei: gr\\u00f6\\u00dfer\"}\n"
            .as_bytes(),
    );
    assert_eq!(jsonl, csv);
    assert_eq!(dataset("parquet", "", &parquet_ratings(), &parquet_items()), csv);
    // Latin-1, a long delimiter, no quotes, and another extension.
    let odd = "format = \"csv\"\ndelimiter = \"::\"\nencoding = \"latin-1\"\nquote = false";
    let odd = dataset(
        "dat",
        odd,
        b"u::i::rating::t::kind\na::1::4.5::100::view\na::2::0.1::101::buy\nb::1::3::102::view\n",
        b"id::title::genres\n1::One, \"the\" first::Drama\n2::Zwei: gr\xF6\xDFer::\n",
    );
    assert_eq!(odd, csv);
}

#[test]
fn columns_without_a_header_are_called_by_their_numbers() {
    let dir = folder(&[("r.tsv", "a\tx\t5\nb\ty\t6\n")]);
    let text = r#"
        [[tables.interactions]]
        path = "r.tsv"
        header = false
        columns = { user = "2", item = "1", timestamp = "3", event_name = "visit" }
    "#;
    let d = run(dir.path(), text).dataset;
    assert_eq!((d.users[0].id.as_str(), d.items[1].id.as_str()), ("x", "b"));
    assert_eq!((d.events.get(1).value, d.events.get(1).timestamp), (1.0, Some(6)));
    assert_eq!(d.events.get(1).event, "visit");
}

#[test]
fn several_files_and_time_units_make_one_log() {
    let dir = folder(&[
        ("a.csv", "u,i,t\na,x,1000\n"),
        ("b.csv", "u,i,t\na,y,2000\n"),
        ("c.csv", "u,i,t\na,z,1970-01-01T00:00:03Z\n"),
    ]);
    let file = |name: &str, unit: &str| {
        format!(
            "[[tables.interactions]]\npath = \"{name}\"\n\
             columns = {{ user = \"u\", item = \"i\", timestamp = \"t\", time_unit = \"{unit}\" }}\n"
        )
    };
    let text = [file("a.csv", "s"), file("b.csv", "ms"), file("c.csv", "rfc3339")].concat();
    let times: Vec<_> =
        run(dir.path(), &text).dataset.events.iter().map(|e| e.timestamp.unwrap()).collect();
    assert_eq!(times, [1000, 2, 3]);
}
