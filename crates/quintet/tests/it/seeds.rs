//! Models with several seeds on one split.

use std::time::Duration;

use quintet::Registries;
use quintet::core::{FeatureSet, ItemIdx, UserIdx};
use quintet::data::{Dataset, Event, Item, User};
use quintet::pipeline::{
    Prepared, RunConfig, SeedsTable, Workspace, evaluate_models, prepare, seeds_stage, train_models,
};
use quintet::tensor::Device;
use quintet::train::Silent;

const ITEMS: u32 = 20;

/// 40 users in two groups who take 7 of the 9 old items of their group; items 18 and 19 come in at
/// the end alone.
fn dataset() -> Dataset {
    let mut events = Vec::new();
    for user in 0..40u32 {
        for nth in 0..8 {
            let old = 2 * ((user / 2 + nth) % 9) + user % 2;
            let item = ItemIdx(if nth == 7 && user < 8 { 18 + user % 2 } else { old });
            let (user, timestamp) = (UserIdx(user), Some(i64::from(nth)));
            events.push(Event { user, item, event: "e", value: 1.0, timestamp, part: None });
        }
    }
    let user = |u| User { id: format!("u{u}"), ..User::default() };
    let item = |i| Item { id: format!("i{i}"), ..Item::default() };
    Dataset {
        name: "t".into(),
        users: (0..40).map(user).collect(),
        items: (0..ITEMS).map(item).collect(),
        events: events.into_iter().collect(),
        ..Dataset::default()
    }
}

const RUN: &str = "name = \"t\"\n[ingest]\n\
    tables.interactions = [{ path = \"x.csv\", columns = {} }]\n\
    [split]\nstrategy = \"leave_one_out\"\n[train]\nepochs = 3\n\
    [evaluate]\nresamples = 200\nreference = \"popularity\"\n\
    [[models]]\nmodel = \"popularity\"\n\
    [[models]]\nmodel = \"bpr\"\nparams = { dim = 4, lr = 0.02 }\n";

struct Bench {
    dir: tempfile::TempDir,
    config: RunConfig,
    prepared: Prepared,
    known: Registries,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("run.toml"), RUN).unwrap();
        let config = RunConfig::read(&dir.path().join("run.toml")).unwrap();
        let features = FeatureSet::new(ITEMS as usize);
        let prepared = prepare(&config, dataset(), features, None).unwrap();
        Self { dir, config, prepared, known: Registries::new().unwrap() }
    }

    fn run(&self, seeds: usize, budget: Option<Duration>) -> Result<SeedsTable, String> {
        let workspace = Workspace::new(self.dir.path().join("run"));
        let device = Device::flex();
        let (config, prepared, known) = (&self.config, &self.prepared, &self.known);
        let how = (seeds, budget);
        seeds_stage(config, prepared, known, &device, &workspace, how, &mut Silent)
            .map_err(|e| e.to_string())
    }

    /// The primary metric of `bpr` by an ordinary run with this seed on the same split.
    fn plain(&self, seed: u64) -> f64 {
        let config = RunConfig { seed, ..self.config.clone() };
        let (prepared, device) = (&self.prepared, Device::flex());
        let models =
            train_models(&config, prepared, &self.known, &device, None, &mut Silent).unwrap();
        let (result, _) = evaluate_models(&config, prepared, &models, &self.known).unwrap();
        result.models[1].primary.mean
    }
}

#[test]
fn rows_are_means_over_ordinary_runs_with_these_seeds() {
    let bench = Bench::new();
    let table = bench.run(3, None).unwrap();
    assert_eq!((table.known, table.fitted, table.users, table.new_users), (0, 6, 40, 8));
    let own: Vec<f64> = (0..3).map(|n| bench.plain(bench.config.seed + n)).collect();
    let mean = own.iter().sum::<f64>() / 3.0;
    let spread = (own.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let [popularity, bpr] = &table.models[..] else { panic!("{table:?}") };
    assert!((bpr.primary.mean - mean).abs() < 1e-12);
    let over = bpr.test[&table.primary];
    assert!((over.mean - mean).abs() < 1e-12 && (over.spread - spread).abs() < 1e-12);
    assert!(spread > 0.0, "three seeds made the same model");
    // Popularity does not know of seeds.
    assert_eq!((popularity.test[&table.primary].spread, popularity.seeds), (0.0, 3));
    assert!(popularity.against.is_none());
    let paired = bpr.against.as_ref().unwrap();
    let difference = popularity.primary.mean - bpr.primary.mean;
    assert!((paired.difference.mean - difference).abs() < 1e-12);
    assert!(bpr.new_items.is_some() && bpr.new_against.is_some());
}

#[test]
fn a_second_call_makes_what_is_missing() {
    let bench = Bench::new();
    assert_eq!(bench.run(1, None).map(|t| (t.known, t.fitted)), Ok((0, 2)));
    let more = bench.run(3, None).unwrap();
    assert_eq!((more.known, more.fitted), (2, 4));
    let again = bench.run(3, Some(Duration::ZERO)).unwrap();
    assert_eq!((again.known, again.fitted), (6, 0));
    assert_eq!(again.models[1].primary, more.models[1].primary);
    assert_eq!(again.models[1].test, more.models[1].test);
    // The last line broke off: that fit is made again, and is the same.
    let path = bench.dir.path().join("run/seeds/fits.jsonl");
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 9]).unwrap();
    let mended = bench.run(3, None).unwrap();
    assert_eq!((mended.known, mended.fitted), (5, 1));
    assert_eq!(mended.models[1].test, more.models[1].test);
    let written = std::fs::read_to_string(path.with_file_name("result.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["models"][1]["label"], "bpr");
}

#[test]
fn no_time_is_an_error_and_little_time_names_what_is_missing() {
    let bench = Bench::new();
    let error = bench.run(1, Some(Duration::ZERO)).map(drop).unwrap_err();
    assert!(error.contains("the budget ended before the first fit"), "{error}");
    assert_eq!(bench.run(1, None).unwrap().fitted, 2);
    let mut wider = Bench { config: bench.config.clone(), ..bench };
    let mut other = wider.config.models[1].clone();
    other.label = Some("other".into());
    other.params["dim"] = 6.into();
    wider.config.models.push(other);
    let table = wider.run(1, Some(Duration::ZERO)).unwrap();
    assert_eq!((table.models.len(), &table.not_run[..]), (2, &["other".to_owned()][..]));
}
