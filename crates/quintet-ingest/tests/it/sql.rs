//! Queries beside the readers: the same data by both ways must give the same dataset, row for
//! row, and the same account.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampSecondArray};
use quintet_core::SeedStream;
use quintet_data::{Dataset, Part, ShapeConfig, ShapeReport, SplitConfig, shape, split};
use quintet_ingest::{DerivedSplit, FaultCode, IngestError, Ingested};
use tempfile::TempDir;

use crate::formats::parquet;
use crate::support::{fail, folder, run, write};

/// Random numbers that are the same on every machine (Steele et al., SplitMix, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// One row of a log, as text; `n` is its number.
struct LogRow {
    n: usize,
    user: String,
    item: String,
    value: String,
    time: String,
    kind: &'static str,
}

/// A log in which a few rows are no events.
fn log_rows(n: usize, n_users: u64, n_items: u64, faults: bool) -> Vec<LogRow> {
    let mut dice = Dice(7);
    (0..n)
        .map(|n| {
            // Small numbers come more often, so that some users and items have few events.
            let user = dice.below(n_users).min(dice.below(n_users));
            let item = dice.below(n_items).min(dice.below(n_items));
            let value = format!("{}.5", dice.below(5));
            let time = format!("{}", 1_600_000_000 + dice.below(500));
            let kind = ["view", "click", "buy"][dice.below(3) as usize];
            let (mut user, mut item) = (format!("u{user:04}"), format!("{item:04}"));
            let (mut value, mut time, mut kind) = (value, time, kind);
            if faults {
                match dice.below(200) {
                    0 => user = "  ".to_owned(),
                    1 => item = String::new(),
                    2 => value = "many".to_owned(),
                    3 => value = "inf".to_owned(),
                    4 => time = "yesterday".to_owned(),
                    5 => time = "-5".to_owned(),
                    6 => kind = "",
                    7 => kind = "gift",
                    8 => value = " 1.5 ".to_owned(),
                    9 => time = format!("{time}.0"),
                    _ => {}
                }
            }
            LogRow { n, user, item, value, time, kind }
        })
        .collect()
}

fn csv(rows: &[LogRow]) -> String {
    let mut text = "n,userId,item,v,t,kind\n".to_owned();
    for LogRow { n, user, item, value, time, kind } in rows {
        text.push_str(&format!("{n},{user},\"{item}\",{value},{time},{kind}\n"));
    }
    text
}

/// A folder with a log in two files and a catalogue whose order is that of the ids.
fn log_folder(n: usize, n_users: u64, n_items: u64, faults: bool) -> TempDir {
    let rows = log_rows(n, n_users, n_items, faults);
    let (first, second) = rows.split_at(n / 3);
    let items: String = (0..n_items).map(|i| format!("{i:04},\"Thing, {i}\"\n")).collect();
    let items = format!("id,title\n{items}");
    let dir = folder(&[("items.csv", &items)]);
    write(dir.path(), "log/a.csv", csv(first).as_bytes());
    write(dir.path(), "log/b/c.csv", csv(second).as_bytes());
    write(dir.path(), "log/readme.txt", b"not a table");
    dir
}

const COLUMNS: &str = "columns = { user = 'userId', item = 'item', value = 'v', timestamp = 't', \
                       event = 'kind', weights = { view = 1.0, click = 2.0, buy = 0.1 } }";

fn by_readers(dir: &Path) -> Ingested {
    let text = format!(
        "duplicates = 'keep_all'\n\
         [tables.items]\npath = 'items.csv'\ncolumns = {{ title = 'title', text = ['title'] }}\n\
         [[tables.interactions]]\npath = 'log/a.csv'\n{COLUMNS}\n\
         [[tables.interactions]]\npath = 'log/b/c.csv'\n{COLUMNS}\n"
    );
    run(dir, &text)
}

const TABLES: &str = "[sql.tables]\nlog = { path = 'log', format = 'csv' }\n\
                      items = { path = 'items.csv' }\n\
                      [sql.items]\nquery = 'SELECT * FROM items ORDER BY id'\n\
                      columns = { title = 'title', text = ['title'] }\n";

#[test]
fn a_query_gives_the_dataset_that_the_readers_give() {
    let dir = log_folder(3_000, 40, 60, true);
    let readers = by_readers(dir.path());
    let text = format!(
        "duplicates = 'keep_all'\n{TABLES}\
         [[sql.interactions]]\nquery = 'SELECT * FROM log ORDER BY CAST(n AS BIGINT)'\n{COLUMNS}\n"
    );
    let queries = run(dir.path(), &text);
    assert!(readers.report.counts.len() >= 5, "{:?}", readers.report.counts);
    assert_eq!(queries.report.counts, readers.report.counts);
    let without_source = |done: Ingested| Dataset { source: BTreeMap::new(), ..done.dataset };
    let hashes = &queries.dataset.source;
    assert!(hashes.contains_key("sql.tables.log:log/b/c.csv"), "{hashes:?}");
    assert_eq!(without_source(queries), without_source(readers));
}

#[test]
fn rows_without_an_order_come_in_one_order_all_the_same() {
    let dir = log_folder(2_000, 40, 60, false);
    let text = format!(
        "duplicates = 'keep_all'\n{TABLES}\
         [[sql.interactions]]\nquery = 'SELECT kind, t, \"userId\", item, v FROM log'\n{COLUMNS}\n"
    );
    let first = run(dir.path(), &text).dataset.events;
    let kinds: Vec<&str> = first.iter().map(|e| e.event).collect();
    assert!(kinds.is_sorted(), "sorted by the first column");
    assert_eq!(run(dir.path(), &text).dataset.events, first);
}

/// An event as text, with its part.
type Line = (String, String, String, String, Option<i64>, Option<Part>);

fn lines(data: &Dataset, parts: &dyn Fn(usize, usize) -> Option<Option<Part>>) -> Vec<Line> {
    let mut lines: Vec<Line> = data
        .events
        .iter()
        .filter_map(|e| {
            let part = parts(e.user.index(), e.item.index())?;
            let user = data.users[e.user.index()].id.clone();
            let item = data.items[e.item.index()].id.clone();
            Some((user, item, e.event.to_owned(), format!("{}", e.value), e.timestamp, part))
        })
        .collect();
    lines.sort();
    lines
}

/// What `shape` and `split` make in memory of what the readers read.
fn in_memory(
    readers: &Ingested,
    shaping: &ShapeConfig,
    splitting: Option<&SplitConfig>,
) -> (Vec<Line>, ShapeReport, Option<DerivedSplit>) {
    let shaped = shape(&readers.dataset, shaping).unwrap();
    let mut data = readers.dataset.clone();
    data.events = shaped.events;
    let Some(config) = splitting else {
        return (lines(&data, &|_, _| Some(None)), shaped.report, None);
    };
    let (n_users, n_items) = (data.users.len(), data.items.len());
    let done = split(&data.events, n_users, n_items, config, SeedStream::new(1)).unwrap();
    let part = |user: usize, item: usize| {
        let has = |m: &quintet_core::Interactions| {
            m.items(quintet_core::UserIdx::new(user)).iter().any(|i| i.index() == item)
        };
        let parts = [
            (Part::Train, &done.train),
            (Part::Valid, done.valid.truth()),
            (Part::Test, done.test.truth()),
        ];
        parts.into_iter().find(|(_, m)| has(m)).map(|(part, _)| Some(part))
    };
    let counts = DerivedSplit {
        strategy: config.strategy().to_owned(),
        train: done.report.train.rows as u64,
        valid: done.report.valid.rows as u64,
        test: done.report.test.rows as u64,
        dropped_valid: done.report.dropped_valid as u64,
        dropped_test: done.report.dropped_test as u64,
    };
    (lines(&data, &part), shaped.report, Some(counts))
}

/// A configuration that shapes and splits in the engine.
fn derived(shaping: &ShapeConfig, splitting: Option<&SplitConfig>, memory_mib: usize) -> String {
    let shaping = toml::to_string(shaping).unwrap().replace('\n', ", ");
    let splitting = splitting.map(|s| {
        format!("split = {{ {} }}\n", toml::to_string(s).unwrap().trim_end().replace('\n', ", "))
    });
    format!(
        "duplicates = 'keep_all'\nunknown_items = 'add'\n\
         [sql]\nmemory_mib = {memory_mib}\n{TABLES}\
         [[sql.derive]]\nname = 'core'\nquery = 'SELECT * FROM log'\n{COLUMNS}\n\
         shape = {{ {} }}\n{}\
         [[sql.interactions]]\nquery = 'SELECT * FROM core'\n\
         columns = {{ value = 'value', timestamp = 'timestamp', event = 'event', part = 'part' }}\n",
        shaping.trim_end_matches(", "),
        splitting.unwrap_or_default()
    )
}

#[test]
fn shaping_and_splitting_by_queries_is_what_they_are_in_memory() {
    let dir = log_folder(4_000, 60, 80, true);
    let readers = by_readers(dir.path());
    let plain = ShapeConfig::default();
    let core = ShapeConfig { user_core: 20, item_core: 18, ..plain.clone() };
    let all = ShapeConfig {
        min_value: Some(0.35),
        events: Some(vec!["click".to_owned(), "buy".to_owned()]),
        max_per_user: Some(14),
        user_core: 5,
        item_core: 6,
        binary: true,
    };
    let temporal = SplitConfig::Temporal { valid: 0.1, test: 0.2 };
    let per_user = SplitConfig::PerUserTemporal { valid: 0.1, test: 0.3 };
    let cases = [
        (&plain, None),
        (&plain, Some(&temporal)),
        (&core, Some(&per_user)),
        (&core, Some(&SplitConfig::LeaveOneOut {})),
        (&all, None),
        (&all, Some(&temporal)),
        (&all, Some(&SplitConfig::LeaveOneOut {})),
    ];
    for (shaping, splitting) in cases {
        let (want, shaped, counts) = in_memory(&readers, shaping, splitting);
        assert!(want.len() > 100, "{} rows are left of {shaping:?}", want.len());
        let done = run(dir.path(), &derived(shaping, splitting, 256));
        let part = |user: usize, item: usize| {
            let mut events = done.dataset.events.iter();
            events.find(|e| (e.user.index(), e.item.index()) == (user, item)).map(|e| e.part)
        };
        assert_eq!(lines(&done.dataset, &part), want, "{shaping:?} {splitting:?}");
        let [report] = &done.report.derived[..] else { panic!("one derived table") };
        assert_eq!(report.shape, shaped, "{shaping:?}");
        assert_eq!(report.split, counts, "{splitting:?}");
        assert!(report.adds_up() && report.rows_in == 4_000, "{report:?}");
        let faults: usize = report.left_out.values().map(|n| *n as usize).sum();
        assert_eq!(faults, readers.report.counts.values().sum::<usize>());
        assert_eq!(done.report.counts, readers.report.counts);
    }
    let rounds = in_memory(&readers, &core, None).1.core_rounds;
    assert!(rounds > 1, "a core that takes one round shows little");
}

#[test]
fn parquet_with_numbers_for_ids_and_real_times_is_shaped_too() {
    let dir = folder(&[]);
    let file = |users: Vec<i64>, items: Vec<i64>, times: Vec<i64>, values: Vec<f64>| {
        parquet(vec![
            ("user", Arc::new(Int64Array::from(users)) as ArrayRef),
            ("item", Arc::new(Int64Array::from(items))),
            ("at", Arc::new(TimestampSecondArray::from(times))),
            ("stars", Arc::new(Float64Array::from(values))),
            ("label", Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]))),
        ])
    };
    write(
        dir.path(),
        "p/1.parquet",
        &file(vec![9, 9, 9], vec![9, 10, 7], vec![5, 5, 1], vec![1.0, 2.0, 3.0]),
    );
    write(
        dir.path(),
        "p/2.parquet",
        &file(vec![9, 10, 10], vec![10, 7, 9], vec![8, 2, 3], vec![0.5, 1.0, f64::NAN]),
    );
    let text = "[sql.tables]\np = { path = 'p', format = 'parquet' }\n\
        [[sql.derive]]\nname = 'd'\nquery = 'SELECT * FROM p'\n\
        columns = { value = 'stars', timestamp = 'at' }\n\
        shape = { max_per_user = 2 }\n\
        [[sql.interactions]]\nquery = 'SELECT * FROM d ORDER BY \"user\", \"item\"'\n\
        columns = { value = 'value', timestamp = 'timestamp', event = 'event' }";
    let done = run(dir.path(), text);
    // Items 9 and 10 of user 9 are both of time 5, and as numbers 10 is the greater.
    let events: Vec<_> = done
        .dataset
        .events
        .iter()
        .map(|e| (done.dataset.items[e.item.index()].id.as_str(), e.value, e.timestamp))
        .collect();
    assert_eq!(events, [("9", 1.0, Some(5)), ("10", 2.0, Some(5)), ("7", 1.0, Some(2))]);
    let report = &done.report.derived[0];
    assert_eq!((report.rows_in, report.shape.merged_repeats, report.shape.users_capped), (6, 1, 1));
    assert!(report.adds_up(), "{report:?}");
}

#[test]
fn columns_may_have_any_name_and_a_time_may_be_absent() {
    let log = "user,time,value\na,,1\na,7,2\nb, ,3\nb,x,4\n";
    let dir = folder(&[("log.csv", log)]);
    let text = "[sql.tables]\nlog = { path = 'log.csv' }\n\
        [[sql.derive]]\nname = 'd'\nquery = 'SELECT *, value AS item FROM log'\n\
        columns = { value = 'value', timestamp = 'time', optional_timestamp = true }\n\
        [[sql.interactions]]\nquery = 'SELECT * FROM d ORDER BY \"item\"'\n\
        columns = { timestamp = 'timestamp', optional_timestamp = true }";
    let done = run(dir.path(), text);
    let times: Vec<_> = done.dataset.events.iter().map(|e| e.timestamp).collect();
    assert_eq!(times, [None, Some(7), None]);
    let left_out = &done.report.derived[0].left_out;
    assert_eq!(left_out.get(&FaultCode::BadTimestamp), Some(&1), "{left_out:?}");
}

#[test]
fn tables_larger_than_the_memory_of_the_engine_spill_and_give_the_same() {
    // About 60 MB as columns in memory, under a limit of 32 MiB.
    let dir = log_folder(400_000, 5_000, 4_000, false);
    let shaping = ShapeConfig { user_core: 10, item_core: 20, ..ShapeConfig::default() };
    let splitting = SplitConfig::LeaveOneOut {};
    let done = |memory| {
        let done = run(dir.path(), &derived(&shaping, Some(&splitting), memory));
        (done.dataset.events, done.report.derived)
    };
    let (small, report) = done(32);
    assert!(small.len() > 300_000, "{report:?}");
    assert_eq!((small, report), done(1024));
}

fn error(root: &Path, query: &str) -> String {
    let text = format!(
        "[sql.tables]\nlog = {{ path = 'log', format = 'csv' }}\n\
         [[sql.interactions]]\nquery = '{query}'\n{COLUMNS}\n"
    );
    let error = fail(root, &text).to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn what_a_query_cannot_do_is_one_line_that_names_it() {
    let dir = log_folder(20, 5, 5, false);
    let error = |query: &str| error(dir.path(), query);
    let unknown = error("SELECT nothing FROM log");
    assert!(
        unknown.starts_with("sql.interactions 1: ") && unknown.contains("nothing"),
        "{unknown}"
    );
    assert!(error("SELECT * FROM elsewhere").contains("elsewhere"));
    assert!(error("SELEKT 1").starts_with("sql.interactions 1: "));
    let lacking = error("SELECT v FROM log");
    assert!(
        lacking.contains("column \"userId\"") && lacking.contains("the columns v"),
        "{lacking}"
    );
    let limit = error("SELECT * FROM log LIMIT 3");
    assert!(limit.contains("`ORDER BY` beside `LIMIT`"), "{limit}");
    for forbidden in [
        "CREATE TABLE x AS SELECT 1",
        "COPY log TO 'x.csv'".replace('\'', "\"").as_str(),
        "SET datafusion.execution.batch_size = 1",
        "DROP TABLE log",
    ] {
        error(forbidden);
    }
    assert!(!dir.path().join("x.csv").exists());
    let text = error("SELECT *, CAST(v AS DATE) AS d FROM log ORDER BY d");
    assert!(text.contains("sql.interactions 1"), "{text}");
}

#[test]
fn damaged_absent_and_foreign_files_are_named() {
    let dir = log_folder(20, 5, 5, false);
    write(dir.path(), "bad/x.parquet", b"PAR1 and no more");
    write(dir.path(), "ragged.csv", b"userId,item\na,1\nb,2,3\n");
    let fails = |table: &str| -> IngestError {
        let text = format!(
            "[sql.tables]\nlog = {{ {table} }}\n\
             [[sql.interactions]]\nquery = 'SELECT * FROM log'\n\
             columns = {{ user = 'userId' }}\n"
        );
        fail(dir.path(), &text)
    };
    let damaged = fails("path = 'bad', format = 'parquet'").to_string();
    assert!(damaged.starts_with("sql.tables.log (bad): "), "{damaged}");
    assert!(fails("path = 'none.csv'").to_string().starts_with("none.csv: "));
    assert!(fails("path = '../log', format = 'csv'").to_string().contains("`..`"));
    let empty = fails("path = 'log', format = 'parquet'").to_string();
    assert!(empty.contains("files *.parquet"), "{empty}");
    let ragged = fails("path = 'ragged.csv'").to_string();
    assert!(ragged.starts_with("sql.interactions 1: "), "{ragged}");
}
