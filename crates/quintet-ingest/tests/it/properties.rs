//! Whatever the rows are: what comes in is kept or reported, and what is kept is valid.

use proptest::prelude::*;
use quintet_ingest::{IngestError, ingest};

use crate::support::{config, folder};

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]",
        4 => "[1-3]",
        1 => Just(String::new()),
        1 => "[a1\", é;.-]{0,5}",
        1 => Just("NaN".to_owned()),
    ]
}

fn text() -> impl Strategy<Value = (String, usize)> {
    let row = prop::collection::vec(cell(), 3..6).prop_map(|cells| cells.join(","));
    let known =
        ("[ab]", "[xy]", "[1-3]", "[0-9]{1,3}").prop_map(|(u, i, v, t)| format!("{u},{i},{v},{t}"));
    let rows = prop::collection::vec(prop_oneof![2 => known, 1 => row], 1..30);
    rows.prop_map(|rows| (rows.iter().map(|r| format!("{r}\n")).collect(), rows.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_in_are_rows_kept_plus_rows_reported((rows, n) in text(), policy in 0..3usize) {
        let dir = folder(&[
            ("r.csv", &format!("u,i,v,t\n{rows}")),
            ("items.csv", "id\nx\ny\n1\n"),
        ]);
        let policy = ["keep_last", "keep_first", "keep_all"][policy];
        let text = format!(
            r#"
            duplicates = "{policy}"
            [[tables.interactions]]
            path = "r.csv"
            columns = {{ user = "u", item = "i", value = "v", timestamp = "t" }}
            [tables.items]
            path = "items.csv"
            columns = {{}}
            "#
        );
        match ingest(&config(&text), dir.path()) {
            Ok(done) => {
                let file = done.report.files.iter().find(|f| f.file == "r.csv").unwrap();
                prop_assert_eq!(file.rows_in, file.rows_kept + file.rows_reported);
                prop_assert_eq!(file.rows_kept as usize, done.dataset.events.len());
                // Every fault here costs exactly one row.
                let faults: usize = done.report.counts.values().sum();
                prop_assert_eq!(faults as u64, file.rows_reported);
                // A quoted field may span lines, so there can be fewer rows than lines.
                prop_assert!(file.rows_in as usize <= n);
                prop_assert!(!rows.contains('"') || file.rows_in > 0);
                prop_assert!(rows.contains('"') || file.rows_in as usize == n);
                prop_assert!(done.dataset.validate().is_ok());
            }
            Err(IngestError::NothingLeft { rows: read, .. }) => {
                prop_assert!(read as usize <= n && read > 0);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
