//! The validation report as it is written: numbers, page, and what later stages add.

use quintet_core::{ItemIdx, SeedStream, UserIdx};
use quintet_data::{
    Dataset, Event, Item, ShapeConfig, ShapeReport, SplitConfig, User, shape, split,
};
use quintet_ingest::{
    CoreStats, DataReport, DatasetStats, IngestReport, Ingested, TimeStep, duplicate_groups,
};

use crate::support::{folder, run, shared};

const TABLES: &str = "name = \"<script>\"\n\
    [[tables.interactions]]\npath = \"r.csv\"\n\
    columns = { user = \"u\", item = \"i\", value = \"v\", timestamp = \"t\", event = \"e\" }\n\
    [tables.items]\npath = \"i.csv\"\n\
    columns = { id = \"id\", title = \"id\", text = [\"text\"], attributes = [\"<b>\"] }\n";

fn tiny() -> Ingested {
    let dir = folder(&[
        (
            "r.csv",
            "u,i,v,t,e\na,<i>1,4,0,<script>\na,2,2,90000,<script>\nb,<i>1,4,7200,buy\n\
             b,3,4,x,buy\n",
        ),
        ("i.csv", "id,text,<b>\n<i>1,<script>x</script>,\"</svg>\"\n2,,\n3,abc,\"\"\"'\"\n4,,\n"),
    ]);
    let mut done = run(dir.path(), TABLES);
    done.describe();
    done
}

#[test]
fn numbers_of_a_tiny_source_by_hand() {
    let s = tiny().report.stats;
    // Users have 2 and 1 events; items 2, 1, 0 and 0: a Gini of (-3·0 - 0 + 1 + 3·2) / (4·3).
    assert_eq!((s.per_user.spread.median, s.per_user.fewer_than_5), (1.5, 2));
    assert_eq!((s.per_item.spread.median, s.per_item.spread.p90), (0.5, 2));
    assert!((s.per_item.gini - 7.0 / 12.0).abs() < 1e-12);
    assert_eq!((s.pairs, s.density), (Some(3), Some(3.0 / 8.0)));
    assert_eq!((s.times.first, s.times.last), (Some(0), Some(90_000)));
    assert_eq!((s.times.step, s.times.buckets.len()), (Some(TimeStep::Hour), 26));
    assert_eq!((s.times.buckets[2].from, s.times.buckets[2].count), (7200, 1));
    let values: Vec<_> = s.values.bins.iter().map(|b| (b.from, b.count)).collect();
    assert_eq!(values, [(2.0, 1), (4.0, 2)]);
    let kinds: Vec<_> = s.kinds.iter().map(|k| (k.kind.as_str(), k.events)).collect();
    assert_eq!(kinds, [("<script>", 2), ("buy", 1)]);
    assert_eq!(s.cores[0], CoreStats { k: 1, users: 2, items: 2, events: 3 });
    assert_eq!(s.content.items_without_text, 2);
    assert_eq!(
        (s.content.item_attributes[0].filled, s.content.item_attributes[0].distinct),
        (2, 2)
    );
}

#[test]
fn later_stages_add_to_the_report_and_old_readers_still_read_it() {
    let report = tiny().report;
    let out = tempfile::tempdir().unwrap();
    report.write(out.path()).unwrap();
    let mut data = DataReport::read(out.path()).unwrap();
    assert_eq!(data, DataReport::new(report.clone()));
    data.shape = Some(ShapeReport::default());
    data.split = Some(quintet_data::SplitReport::default());
    data.write(out.path()).unwrap();
    assert_eq!(DataReport::read(out.path()).unwrap(), data);
    let json = fs_err::read_to_string(out.path().join("report.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let old: IngestReport = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(old, report);
    // Reports of before have no such numbers.
    value.as_object_mut().unwrap().remove("stats");
    let before: IngestReport = serde_json::from_value(value).unwrap();
    assert_eq!(before.stats, DatasetStats::default());
    let page = fs_err::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("<h2>Shaping</h2>") && page.contains("<h2>Split</h2>"));
    assert!(!page.contains("<script") && !page.contains("<i>1") && !page.contains("<b>"));
}

#[test]
fn the_terminal_has_a_line_for_time_density_and_core() {
    let lines = tiny().report.summary();
    let want = [
        "time: 1970-01-01 to 1970-01-02 (1 days)",
        "sparsity 62.50 %; a median of 1.5 events a user and 0.5 an item",
        "the 5-core keeps 0 users, 0 items and 0 events",
    ];
    assert_eq!(lines[1..4], want);
}

#[test]
fn numbers_do_not_depend_on_the_number_of_threads() {
    let event = |n: u32| Event {
        user: UserIdx(n % 97),
        item: ItemIdx(n % 1009),
        event: ["a", "b"][(n % 2) as usize],
        value: (n as f32).sqrt(),
        timestamp: Some(i64::from(n) * 977),
        part: None,
    };
    let data = Dataset {
        users: vec![User::default(); 97],
        items: vec![Item::default(); 1009],
        events: (0..300_000).map(event).collect(),
        ..Dataset::default()
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| DatasetStats::of(&data))
    };
    let one = with(1);
    assert_eq!(one, with(5));
    // 97 and 1009 are prime, so that n determines the pair up to their product.
    assert_eq!(one.pairs, Some(97 * 1009));
    assert_eq!(one.values.bins.iter().map(|b| b.count).sum::<u64>(), 300_000);
}

#[test]
fn the_real_100k_with_its_split() {
    let Some(path) = shared("ml-100k-mm") else { return };
    let mut done = run(&path, "name = \"ml-100k\"\nmovielens = { folder = \".\" }\n");
    done.describe();
    let s = &done.report.stats;
    assert_eq!((s.times.step, s.times.buckets.len()), (Some(TimeStep::Week), 32));
    assert_eq!((s.per_user.spread.min, s.per_user.spread.max), (20, 737));
    // 100,000 of 943 · 1682 pairs are 6.3 %.
    assert_eq!(s.density.map(|d| (1000.0 * d).round()), Some(63.0));
    let five = s.cores.iter().find(|c| c.k == 5).unwrap();
    assert_eq!((five.users, five.items, five.events), (943, 1349, 99_287));
    let d = &done.dataset;
    let shaped = shape(d, &ShapeConfig::default()).unwrap();
    let config = SplitConfig::Random { valid: 0.1, test: 0.1, seed: None };
    let seed = SeedStream::new(1);
    let made = split(&shaped.events, d.users.len(), d.items.len(), &config, seed).unwrap();
    let mut report = DataReport::new(done.report.clone());
    report.shape = Some(shaped.report);
    let mut account = made.report.clone();
    account.duplicate_leaks = Some(made.duplicate_leaks(&duplicate_groups(&done.duplicates)));
    report.split = Some(account);
    let out = tempfile::tempdir().unwrap();
    report.write(out.path()).unwrap();
    let page = fs_err::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains("No pair of a user and an item is in two parts."));
    assert!(page.contains("Events per week"));
}
