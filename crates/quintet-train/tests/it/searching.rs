//! Searches over a function that is written down, stopped in the middle and gone on with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use quintet_core::SeedStream;
use quintet_train::{
    Job, Method, Objective, Outcome, SearchResult, TrainError, TrialLog, TuneConfig, search,
};

const SPACE: &str = "lr = { log = [1e-5, 1.0] }\ndim = [16, 32, 64]\nlayers = { int = [1, 5] }";

/// A hill at lr = 1e-2, dim = 32, layers = 3, that rises with the epochs; every seed is a bit
/// better than the one before.
#[derive(Default)]
struct Hill {
    asked: AtomicUsize,
    /// Fits after which the power is gone; none at 0.
    lasts: usize,
    forgotten: Mutex<BTreeMap<usize, usize>>,
}

fn height(job: &Job<'_>) -> f64 {
    let number = |at: usize| job.point[at].as_f64().unwrap();
    let (dim, layers, lr) = (number(0), number(1), number(2));
    let far = (dim.log2() - 5.0).abs() + (layers - 3.0).abs() + (lr.log10() + 2.0).abs();
    1.0 - far / 10.0 - 1.0 / job.epochs as f64 + job.seed as f64 / 100.0
}

impl Objective for Hill {
    fn fit(&self, job: Job<'_>) -> Result<Outcome, TrainError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        if self.lasts > 0 && asked > self.lasts {
            return Err(TrainError::Io(std::io::Error::other("the power is gone")));
        }
        let value = match job.point[1].as_i64() {
            Some(5) => Err("five layers diverge".to_owned()),
            _ => Ok(height(&job)),
        };
        Ok(Outcome { value, best_epoch: job.epochs - 1 })
    }

    fn forget(&self, trial: usize) -> Result<(), TrainError> {
        *self.forgotten.lock().unwrap().entry(trial).or_insert(0) += 1;
        Ok(())
    }
}

fn config(method: Method, more: &str) -> TuneConfig {
    let method = serde_json::to_value(method).unwrap();
    let method = method.as_str().unwrap();
    let text = format!("model = 'm'\nmethod = '{method}'\n{more}\n[space]\n{SPACE}");
    toml::from_str(&text).unwrap()
}

fn run(config: &TuneConfig, hill: &Hill, log: &Path) -> Result<SearchResult, TrainError> {
    let log = TrialLog::open(log, &config.identity()?)?;
    search(config, 27, SeedStream::new(4), log, hill, &|_| {})
}

/// A result without its times.
fn timeless(mut result: SearchResult) -> SearchResult {
    result.trials.iter_mut().for_each(|t| t.seconds = 0.0);
    (result.fitted, result.known) = (0, 0);
    result
}

#[test]
fn a_search_that_was_cut_off_goes_on_and_repeats_nothing() {
    for (method, more, fits) in [
        (Method::Random, "trials = 14\nseeds = 2", 28),
        (Method::Tpe, "trials = 24", 24),
        (Method::Tpe, "trials = 24\nparallel = 3", 24),
        (Method::Halving, "trials = 9", 9 + 3 + 1),
    ] {
        let config = config(method, more);
        let dir = tempfile::tempdir().unwrap();
        let whole = run(&config, &Hill::default(), &dir.path().join("whole.jsonl")).unwrap();
        assert_eq!((whole.fitted, whole.known), (fits, 0), "{method:?}");
        let log = dir.path().join("cut.jsonl");
        let mut calls = 0;
        let cut = loop {
            let hill = Hill { lasts: 7, ..Hill::default() };
            calls += 1;
            match run(&config, &hill, &log) {
                Ok(result) => break result,
                Err(error) => assert!(error.to_string().contains("the power is gone"), "{error}"),
            }
        };
        assert_eq!(calls, fits.div_ceil(7), "{method:?}");
        assert_eq!(cut.fitted + cut.known, fits, "{method:?}");
        assert_eq!(timeless(cut), timeless(whole.clone()), "{method:?}");
        let again = Hill::default();
        let known = run(&config, &again, &log).unwrap();
        assert_eq!((known.fitted, known.known, again.asked.into_inner()), (0, fits, 0));
    }
}

#[test]
fn the_best_point_comes_first_and_what_failed_last() {
    let config = config(Method::Random, "trials = 40");
    let dir = tempfile::tempdir().unwrap();
    let result = run(&config, &Hill::default(), &dir.path().join("log.jsonl")).unwrap();
    let means: Vec<f64> = result.trials.iter().filter_map(|t| t.mean).collect();
    assert!(means.is_sorted_by(|a, b| a >= b) && means.len() < 40, "{means:?}");
    let failed = result.trials.last().unwrap();
    assert_eq!((failed.mean, failed.error.as_deref()), (None, Some("five layers diverge")));
    assert_eq!(failed.params["layers"], 5);
    let paths: Vec<&str> = result.importance.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(paths.len(), 3);
    assert!(result.importance.iter().all(|(_, share)| (0.0..=1.0).contains(share)));
}

#[test]
fn seeds_are_fitted_side_by_side_and_averaged() {
    let config = config(Method::Random, "trials = 5\nseeds = 3\nparallel = 4");
    let dir = tempfile::tempdir().unwrap();
    let result = run(&config, &Hill::default(), &dir.path().join("log.jsonl")).unwrap();
    for trial in result.trials.iter().filter(|t| t.error.is_none()) {
        let [a, b, c] = trial.values[..] else { panic!("{trial:?}") };
        assert!((b - a - 0.01).abs() < 1e-12 && (c - b - 0.01).abs() < 1e-12, "{trial:?}");
        assert!((trial.mean.unwrap() - b).abs() < 1e-12 && (trial.spread - 0.01).abs() < 1e-12);
        assert_eq!(trial.best_epochs, [26; 3]);
    }
}

#[test]
fn halving_goes_on_with_the_best_third() {
    let config = config(Method::Halving, "trials = 9");
    let dir = tempfile::tempdir().unwrap();
    let hill = Hill::default();
    let result = run(&config, &hill, &dir.path().join("log.jsonl")).unwrap();
    // 9 trials of 3 epochs, 3 of 9, 1 of 27; the hill keeps its order at every height.
    let epochs: Vec<usize> = result.trials.iter().map(|t| t.epochs).collect();
    assert_eq!(epochs, [27, 9, 9, 3, 3, 3, 3, 3, 3]);
    let first = &result.trials[0];
    let all = TrialLog::open(&dir.path().join("log.jsonl"), &config.identity().unwrap()).unwrap();
    let three = all.records().iter().filter(|r| r.epochs == 3);
    let best = three.max_by(|a, b| {
        let worth = |r: &quintet_train::Record| r.value.unwrap_or(f64::NEG_INFINITY);
        worth(a).total_cmp(&worth(b))
    });
    assert_eq!(best.unwrap().trial, first.trial);
    assert!(hill.forgotten.into_inner().unwrap().values().all(|n| *n == 1));
}

#[test]
fn a_grid_is_tried_whole_and_a_small_space_once() {
    let dir = tempfile::tempdir().unwrap();
    let lists = "lr = [0.1, 0.01]\ndim = [16, 32]\nlayers = [1, 2]";
    for (name, method) in [("grid", "grid"), ("random", "random"), ("tpe", "tpe")] {
        let text = format!("model = 'm'\nmethod = '{method}'\ntrials = 50\n[space]\n{lists}");
        let config: TuneConfig = toml::from_str(&text).unwrap();
        let result = run(&config, &Hill::default(), &dir.path().join(name)).unwrap();
        assert_eq!(result.trials.len(), 8, "{name}");
        let mut points: Vec<String> = result.trials.iter().map(|t| t.params.to_string()).collect();
        points.sort();
        points.dedup();
        assert_eq!(points.len(), 8, "{name}: a point is tried twice");
    }
}

#[test]
fn more_trials_are_added_to_a_search_that_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    run(&config(Method::Tpe, "trials = 12"), &Hill::default(), &log).unwrap();
    let more = run(&config(Method::Tpe, "trials = 20"), &Hill::default(), &log).unwrap();
    assert_eq!((more.known, more.fitted), (12, 8));
    let other = run(&config(Method::Random, "trials = 20"), &Hill::default(), &log).unwrap_err();
    assert!(matches!(other, TrainError::OtherSearch { .. }), "{other}");
}

#[test]
fn tpe_finds_more_than_chance() {
    let dir = tempfile::tempdir().unwrap();
    let mut ahead = 0;
    for seed in 0..8u64 {
        let best = |method: Method| {
            let config = config(method, "trials = 45");
            let log = dir.path().join(format!("{seed}-{method:?}"));
            let log = TrialLog::open(&log, "x").unwrap();
            let seed = SeedStream::new(seed);
            let found = search(&config, 27, seed, log, &Hill::default(), &|_| {}).unwrap();
            found.trials[0].mean.unwrap()
        };
        ahead += usize::from(best(Method::Tpe) >= best(Method::Random));
    }
    assert!(ahead >= 6, "{ahead} of 8");
}

#[test]
fn settings_and_failures_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |config: TuneConfig| config.validate().unwrap_err().to_string();
    let zero = refused(TuneConfig { trials: 0, ..config(Method::Random, "") });
    assert!(zero.contains("[tune] trials: expected at least 1, found 0"), "{zero}");
    let grid = refused(config(Method::Grid, ""));
    assert!(grid.contains("a list of values") && grid.contains("layers"), "{grid}");
    let one = refused(TuneConfig { reduction: 1, ..config(Method::Halving, "") });
    assert!(one.contains("reduction"), "{one}");
    let none = toml::from_str::<TuneConfig>("model = 'm'\n[space]").unwrap();
    assert!(refused(none).contains("a parameter to try"));
    let typo = toml::from_str::<TuneConfig>("model = 'm'\ntrails = 3\n[space]\na = [1]");
    assert!(typo.unwrap_err().to_string().contains("trails"));
    let all: TuneConfig =
        toml::from_str("model = 'm'\n[space]\nlr = [0.1]\ndim = [16]\nlayers = [5]").unwrap();
    let error = run(&all, &Hill::default(), &dir.path().join("log")).unwrap_err().to_string();
    assert!(error.contains("no trial ended well") && error.contains("five layers"), "{error}");
}
