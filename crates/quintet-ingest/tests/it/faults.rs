//! Planted faults: each is found once, at its file and line, and the other rows stay.

use quintet_ingest::{FaultCode as C, Severity};

use crate::support::{folder, places, run, write};

const TABLES: &str = r#"
    name = "planted"
    [[tables.interactions]]
    path = "r.csv"
    columns = { user = "u", item = "i", value = "v", timestamp = "t" }
    [tables.items]
    path = "items.csv"
    columns = { id = "id", title = "title", text = ["title", "plot"], attributes = ["year"] }
    [tables.users]
    path = "users.csv"
    columns = { id = "id", attributes = ["age"] }
    [[join]]
    path = "plots.jsonl"
    id = "movie"
    text = ["plot"]
"#;
const ITEMS: &str = "id,title,plot,year\nm1,One,first plot,1991\nm2,Two,,1992\nm3,Three,,\n";
const USERS: &str = "id,age\na,20\nb,\n";
const RATINGS: &str = "u,i,v,t\na,m1,4,100\na,m2,3.5,101\nb,m1,2,102\n";
const PLOTS: &str =
    "{\"movie\": \"m1\", \"plot\": \"more\"}\n{\"movie\": \"m2\", \"plot\": null}\n";

fn clean() -> tempfile::TempDir {
    folder(&[
        ("items.csv", ITEMS),
        ("users.csv", USERS),
        ("r.csv", RATINGS),
        ("plots.jsonl", PLOTS),
    ])
}

#[test]
fn a_clean_folder_has_no_fault_and_everything_in_place() {
    let done = run(clean().path(), TABLES);
    assert!(done.report.is_clean(), "{:?}", done.report.faults);
    assert_eq!(done.report.summary().last().unwrap(), "no faults");
    let d = &done.dataset;
    assert_eq!((d.users.len(), d.items.len(), d.events.len()), (2, 3, 3));
    assert_eq!(d.items[0].text.as_deref(), Some("One\nfirst plot\nmore"));
    assert_eq!(d.items[1].text.as_deref(), Some("Two"));
    assert_eq!(d.items[0].attributes["year"], "1991");
    assert!(d.items[2].attributes.is_empty() && d.users[1].attributes.is_empty());
    let e = d.events.get(1);
    assert_eq!((e.user.0, e.item.0, e.value, e.timestamp), (0, 1, 3.5, Some(101)));
    assert_eq!(e.event, "interaction");
    assert_eq!(d.source["interactions:r.csv"].len(), "blake3:".len() + 64);
}

#[test]
fn each_planted_row_is_reported_with_its_line() {
    let dir = clean();
    let rows = [
        ("a,m3,4,103", None),
        ("a,m3,four,104", Some(C::BadNumber)),
        (",m3,4,105", Some(C::EmptyId)),
        ("a, ,4,106", Some(C::EmptyId)),
        ("a,m9,4,107", Some(C::UnknownItem)),
        ("z,m3,4,108", Some(C::UnknownUser)),
        ("b,m2,NaN,109", Some(C::NotFinite)),
        ("b,m2,inf,110", Some(C::NotFinite)),
        ("b,m2,4,-5", Some(C::BadTimestamp)),
        ("b,m2,4,881250949000", Some(C::BadTimestamp)),
        ("b,m2,4", Some(C::RaggedRow)),
        ("b,m2,4,111,x", Some(C::RaggedRow)),
        ("b,\"m2,4,112", Some(C::BadQuote)),
        ("b,m2,4,113", None),
        ("a,m1,4,100", Some(C::DuplicateRow)),
        ("a,m2,1,99", Some(C::DuplicatePair)),
    ];
    let mut text = RATINGS.to_owned();
    let mut expected = Vec::new();
    for (i, (row, code)) in rows.iter().enumerate() {
        text.push_str(row);
        text.push('\n');
        expected.extend(code.map(|code| (code, "r.csv", Some(5 + i as u64))));
    }
    let mut bytes = text.into_bytes();
    bytes.extend(b"b,m\xFF,4,114\n\nb,m3,5,115\n");
    // Rows that cannot be read come before duplicates, which are known only at the end.
    let at = expected.len() - 2;
    expected.insert(at, (C::InvalidUtf8, "r.csv", Some(21)));
    write(dir.path(), "r.csv", &bytes);
    let done = run(dir.path(), TABLES);
    assert_eq!(places(&done.report), expected);
    let file = done.report.files.iter().find(|f| f.file == "r.csv").unwrap();
    assert_eq!((file.rows_in, file.rows_kept, file.rows_reported), (21, 6, 15));
    assert_eq!(file.blank_lines, 1);
    let unknown = &done.report.faults.iter().find(|f| f.code == C::UnknownItem).unwrap();
    assert_eq!(unknown.item.as_deref(), Some("m9"));
    assert_eq!(unknown.found, "\"m9\"");
    let again = done.report.faults.iter().find(|f| f.code == C::DuplicateRow).unwrap();
    assert_eq!(again.found, "the same again as in r.csv, line 2");
}

#[test]
fn faults_of_the_other_tables() {
    let dir = clean();
    write(dir.path(), "items.csv", format!("{ITEMS}m1,Again,,\n,No id,,\n").as_bytes());
    write(dir.path(), "users.csv", format!("{USERS}a,30\n").as_bytes());
    let plots =
        format!("{PLOTS}{{\"movie\": \"m7\", \"plot\": \"x\"}}\n[1, 2]\n{{\"movie\": {{}}}}\n");
    write(dir.path(), "plots.jsonl", plots.as_bytes());
    let done = run(dir.path(), TABLES);
    assert_eq!(
        places(&done.report),
        [
            (C::DuplicateItem, "items.csv", Some(5)),
            (C::EmptyId, "items.csv", Some(6)),
            (C::DuplicateUser, "users.csv", Some(4)),
            (C::UnknownJoinId, "plots.jsonl", Some(3)),
            (C::BadJson, "plots.jsonl", Some(4)),
            (C::BadCell, "plots.jsonl", Some(5)),
        ]
    );
    assert_eq!(done.dataset.items[0].title, "One");
    assert!(done.report.faults[0].expected.contains("items.csv, line 2"));
}

#[test]
fn unknown_ids_are_added_when_asked_and_only_by_rows_that_stay() {
    let dir = clean();
    let rows = format!("{RATINGS}a,m9,4,103\na,m9,3,104\nz,m1,4,105\ny,m8,x,106\n");
    write(dir.path(), "r.csv", rows.as_bytes());
    let policy = format!("unknown_items = \"add\"\nunknown_users = \"add\"\n{TABLES}");
    let done = run(dir.path(), &policy);
    let ids: Vec<_> = done.dataset.items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(ids, ["m1", "m2", "m3", "m9"]);
    assert_eq!(done.dataset.users[2].id, "z");
    assert_eq!(done.dataset.users.len(), 3);
    assert_eq!(done.report.count(C::AddedItem), 1);
    assert_eq!(done.report.count(C::AddedUser), 1);
    assert_eq!(done.report.total(Severity::Info), 2);
    assert_eq!(done.report.count(C::BadNumber), 1);
    // m9 is rated twice; the later one stays.
    assert_eq!(done.report.count(C::DuplicatePair), 1);
    let m9 = done.dataset.events.iter().find(|e| e.item.0 == 3).unwrap();
    assert_eq!((m9.value, m9.timestamp), (3.0, Some(104)));
}

#[test]
fn the_report_is_written_and_read_back() {
    let dir = clean();
    write(dir.path(), "r.csv", format!("{RATINGS}a,m<1>,4,103\n").as_bytes());
    let done = run(dir.path(), TABLES);
    let out = tempfile::tempdir().unwrap();
    done.report.write(out.path()).unwrap();
    let json = fs_err::read_to_string(out.path().join("report.json")).unwrap();
    let back: quintet_ingest::IngestReport = serde_json::from_str(&json).unwrap();
    assert_eq!(back, done.report);
    assert!(json.contains("\"unknown_item\": 1"), "{json}");
    let html = fs_err::read_to_string(out.path().join("report.html")).unwrap();
    assert!(html.contains("m&lt;1&gt;") && !html.contains("m<1>"));
    let lines = done.report.summary();
    assert!(lines.iter().any(|l| l == "r.csv (interactions): 4 rows in = 3 kept + 1 reported"));
    assert!(lines.iter().any(|l| l.starts_with("unknown_item: 1; first: r.csv, line 5")));
}

#[test]
fn the_dataset_survives_its_directory() {
    let done = run(clean().path(), TABLES);
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().join("dataset");
    done.dataset.write(&dir).unwrap();
    assert_eq!(quintet_data::Dataset::read(&dir).unwrap(), done.dataset);
}
