//! Reference numbers: tunes models on the validation part of a split and reports the test part.
//!
//! ```sh
//! cargo bench --profile dev --bench baselines -- DATA.inter GRID.toml [--features MODALITY=FILE.npy]...
//!     [--threads N] [--only TEXT] [--json FILE]
//! ```
//!
//! `--features` gives models the matrix of a modality, one row an item, in the order of their
//! numbers.
//!
//! `DATA.inter` is a table of MMRec: a line of names, then `userID itemID x_label` by tabs, where
//! `x_label` is 0 (train), 1 (valid) or 2 (test). `GRID.toml` names models of the registry:
//!
//! ```toml
//! select = "ndcg@20"          # the validation metric that chooses; larger is better
//! resamples = 2000            # of the 95 % bootstrap intervals over users
//! against = ["lightgcn"]      # rows that every later one is compared with, user by user
//! [[models]]
//! model = "itemknn"           # any name of `quintet list`
//! label = "itemknn, cosine"   # the row of the table; the model's name if left out
//! params = { shrink = 0.0 }   # fixed parameters
//! grid = { k = [20, 50, 100], use_values = [false] }   # every combination is tried
//! trials = 8                  # only so many of them, drawn by the first seed; all if left out
//! seeds = [1]                 # the first one chooses, the best combination is fitted with each
//! epochs = 100                # for models with epochs: at most so many,
//! patience = 10               # and an end after so many evaluations without a better one,
//! eval_every = 1              # one every so many epochs
//! ```
//!
//! All items compete. The choice sees train and valid alone; the test part is opened once a row,
//! for the combination that was best in validation. Two test protocols: `recall` and `ndcg` mask
//! what the user has in train, as MMRec does, so that validation items stay in the lists;
//! `strict` masks validation items as well. Intervals are over users, of the mean over seeds;
//! `±` is the spread (standard deviation) over seeds. `against`: the difference of Recall@20 per
//! user, means over seeds, with its 95 % bootstrap interval and the p of the paired t-test. Times are of the fit with the best
//! parameters, on the threads given (all by default). Trials go to standard error as they end.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that talks to its user

#[path = "../crates/quintet-cli/src/allocator.rs"]
mod allocator;
#[path = "shared/split.rs"]
mod split;

use std::io::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use quintet::Registries;
use quintet::core::{
    FeatureSet, Held, Interactions, Recommender, SeedStream, Test, UserIdx, Valid,
};
use quintet::metrics::{
    BootstrapConfig, EvalConfig, bootstrap_mean, evaluate, paired_bootstrap, paired_t_test,
};
use quintet::tensor::{
    DeviceChoice, Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, open_device,
};
use quintet::train::{FitReport, Silent, TrainConfig, ValidItems, fit_model};
use rand::seq::SliceRandom;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The metrics of a row: accuracy at the cutoff that the field reports.
const KEYS: [&str; 2] = ["recall@20", "ndcg@20"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Plan {
    select: String,
    resamples: usize,
    against: Vec<String>,
    models: Vec<Row>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { select: "ndcg@20".into(), resamples: 2000, against: Vec::new(), models: Vec::new() }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Row {
    model: String,
    label: Option<String>,
    params: Map<String, Value>,
    grid: Map<String, Value>,
    trials: Option<usize>,
    seeds: Vec<u64>,
    epochs: usize,
    patience: usize,
    eval_every: usize,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            model: String::new(),
            label: None,
            params: Map::new(),
            grid: Map::new(),
            trials: None,
            seeds: vec![1],
            epochs: 100,
            patience: 10,
            eval_every: 1,
        }
    }
}

impl Row {
    fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.model)
    }

    /// The fixed parameters with every combination of the grid, or `trials` of them by chance.
    fn combinations(&self) -> Result<Vec<Map<String, Value>>> {
        let mut all = vec![self.params.clone()];
        for (key, values) in &self.grid {
            let Value::Array(values) = values else { bail!("grid.{key} must be a list") };
            all = all
                .into_iter()
                .flat_map(|base| {
                    values.iter().map(move |value| {
                        let mut next = base.clone();
                        next.insert(key.clone(), value.clone());
                        next
                    })
                })
                .collect();
        }
        if let Some(trials) = self.trials.filter(|&t| t < all.len()) {
            let seed = self.seeds.first().copied().unwrap_or(1);
            all.shuffle(&mut SeedStream::new(seed).rng("trials", 0));
            all.truncate(trials);
        }
        Ok(all)
    }
}

/// The split of a file.
struct Split {
    train: Interactions,
    valid: Held<Valid>,
    test: Held<Test>,
    /// Train and valid together: what `strict` masks.
    known: Interactions,
    features: FeatureSet,
}

impl Split {
    fn read(path: &str, features: &[String]) -> Result<Self> {
        let ([train, valid, test], features) = split::read(path, features)?;
        let pairs = train.iter().chain(valid.iter()).map(|t| (t.user.0, t.item.0));
        let known = Interactions::from_pairs(train.n_users(), train.n_items(), pairs)?;
        Ok(Self { train, valid: Held::new(valid), test: Held::new(test), known, features })
    }
}

struct Bench<'a> {
    split: &'a Split,
    plan: &'a Plan,
    context: FitContext,
    /// Recall@20 of the test users, by the rows that others are compared with.
    rivals: Mutex<Vec<(String, Vec<f64>)>>,
}

/// Takes the time of the start, which is the whole fit of a model in closed form.
struct Timed {
    fit: Box<dyn Fit>,
    seconds: Mutex<f64>,
}

impl Fit for Timed {
    fn name(&self) -> &str {
        self.fit.name()
    }

    fn config(&self) -> Value {
        self.fit.config()
    }

    fn start(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> std::result::Result<Fitting, FitError> {
        let begin = Instant::now();
        let fitting = self.fit.start(data, context)?;
        if let Ok(mut seconds) = self.seconds.lock() {
            *seconds = begin.elapsed().as_secs_f64();
        }
        Ok(fitting)
    }
}

/// One fit and its validation.
struct Trial {
    model: Box<dyn Recommender>,
    report: FitReport,
    seconds: f64,
}

impl Bench<'_> {
    fn fit(
        &self,
        row: &Row,
        entry: &ModelEntry,
        params: &Map<String, Value>,
        seed: u64,
    ) -> Result<Trial> {
        let fit = (entry.build)(&Value::Object(params.clone()))?;
        let config = TrainConfig {
            epochs: row.epochs,
            patience: row.patience,
            metric: self.plan.select.clone(),
            valid_items: ValidItems::All,
            eval_every: row.eval_every,
            checkpoint_every: 0,
        };
        let context = FitContext { seed: SeedStream::new(seed), ..self.context.clone() };
        let data = TrainingData::new(&self.split.train, &self.split.features);
        let fit = Timed { fit, seconds: Mutex::new(0.0) };
        let fitted =
            fit_model(&fit, data, &self.split.valid, &context, &config, None, &mut Silent)?;
        // Validation is not the fit.
        let epochs: f64 = fitted.log.iter().map(|record| record.train_seconds).sum();
        let seconds = epochs + fit.seconds.lock().map_or(f64::NAN, |seconds| *seconds);
        Ok(Trial { model: fitted.model, report: fitted.report, seconds })
    }

    /// The best combination in validation, fitted with the first seed.
    fn choose(&self, row: &Row, entry: &ModelEntry) -> Result<(Map<String, Value>, Trial)> {
        let seed = row.seeds.first().copied().unwrap_or(1);
        let mut best: Option<(Map<String, Value>, Trial)> = None;
        for params in row.combinations()? {
            let trial = match self.fit(row, entry, &params, seed) {
                Ok(trial) => trial,
                Err(e) => {
                    eprintln!("{}: {}: {e:#}", row.label(), json!(params));
                    continue;
                }
            };
            let value = trial.report.best_valid;
            eprintln!(
                "{}: {}: valid {} {value:.5}, epoch {}, {:.1} s",
                row.label(),
                json!(params),
                self.plan.select,
                trial.report.best_epoch,
                trial.seconds
            );
            if best.as_ref().is_none_or(|(_, b)| value > b.report.best_valid) {
                best = Some((params, trial));
            }
        }
        best.with_context(|| format!("{}: no combination could be fitted", row.label()))
    }

    /// One row of the table: the test part is opened here and nowhere else.
    fn row(&self, row: &Row, entry: &ModelEntry) -> Result<Value> {
        let (params, first) = self.choose(row, entry)?;
        let (valid, seconds) = (first.report.best_valid, first.seconds);
        let epochs = first.report.best_epoch;
        let mut runs = vec![self.test(&*first.model)?];
        for &seed in row.seeds.iter().skip(1) {
            runs.push(self.test(&*self.fit(row, entry, &params, seed)?.model)?);
        }
        let mut out = json!({
            "label": row.label(), "model": row.model, "params": params, "seeds": row.seeds,
            "valid": valid, "epochs": epochs, "seconds": seconds,
        });
        for (column, key) in
            ["recall@20", "ndcg@20", "strict recall@20", "strict ndcg@20"].into_iter().enumerate()
        {
            let n = runs.len() as f64;
            let n_users = runs[0][column].len();
            let users: Vec<f64> = (0..n_users)
                .map(|u| runs.iter().map(|run| run[column][u]).sum::<f64>() / n)
                .collect();
            let config =
                BootstrapConfig { resamples: self.plan.resamples, ..BootstrapConfig::default() };
            let interval = bootstrap_mean(&users, &config, &SeedStream::new(1))?;
            if column == 0 {
                out["against"] = self.compare(row.label(), &users, &config)?;
            }
            let spread = runs
                .iter()
                .map(|run| run[column].iter().sum::<f64>() / n_users as f64 - interval.mean)
                .map(|d| d * d)
                .sum::<f64>();
            out[key] = json!({
                "mean": interval.mean, "lower": interval.lower, "upper": interval.upper,
                "spread": (spread / (n - 1.0).max(1.0)).sqrt(),
            });
        }
        Ok(out)
    }

    /// Differences to the rows that came before and are to be compared with.
    fn compare(&self, label: &str, users: &[f64], config: &BootstrapConfig) -> Result<Value> {
        let mut rivals = self.rivals.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        let mut all = Map::new();
        for (name, theirs) in &*rivals {
            let interval = paired_bootstrap(users, theirs, config, &SeedStream::new(1))?;
            let p = paired_t_test(users, theirs)?.p;
            let numbers = json!({
                "mean": interval.mean, "lower": interval.lower, "upper": interval.upper, "p": p,
            });
            all.insert(name.clone(), numbers);
        }
        if self.plan.against.iter().any(|name| name == label) {
            rivals.push((label.to_owned(), users.to_vec()));
        }
        Ok(Value::Object(all))
    }

    /// Values by user of both metrics under both protocols.
    fn test(&self, model: &dyn Recommender) -> Result<Vec<Vec<f64>>> {
        let config =
            EvalConfig { cutoffs: vec![20], metrics: ["recall", "ndcg"].map(String::from).into() };
        let mut columns = Vec::new();
        for seen in [&self.split.train, &self.split.known] {
            let result = evaluate(model, &self.split.test, seen, &config)?;
            for key in KEYS {
                columns.push(result.require_per_user(key)?.to_vec());
            }
        }
        Ok(columns)
    }
}

fn print_row(row: &Value) {
    let cell = |key: &str| {
        let value = |part: &str| row[key][part].as_f64().unwrap_or(f64::NAN);
        let spread = value("spread");
        let spread = if spread > 0.0 { format!(" ±{spread:.4}") } else { String::new() };
        format!("{:.4} [{:.4}, {:.4}]{spread}", value("mean"), value("lower"), value("upper"))
    };
    let strict = |key: &str| format!("{:.4}", row[key]["mean"].as_f64().unwrap_or(f64::NAN));
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    let against: Vec<String> = row["against"].as_object().map_or_else(Vec::new, |all| {
        let one = |(name, d): (&String, &Value)| {
            let value = |part: &str| d[part].as_f64().unwrap_or(f64::NAN);
            format!(
                "{name}: {:+.4} [{:+.4}, {:+.4}] p {:.1e}",
                value("mean"),
                value("lower"),
                value("upper"),
                value("p")
            )
        };
        all.iter().map(one).collect()
    });
    println!(
        "| {} | {} | {} | {} / {} | {:.4} | {:.2} | {} | `{}` |",
        row["label"].as_str().unwrap_or(""),
        cell("recall@20"),
        cell("ndcg@20"),
        strict("strict recall@20"),
        strict("strict ndcg@20"),
        number("valid"),
        number("seconds"),
        against.join("; "),
        row["params"]
    );
}

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let (mut paths, mut features) = (Vec::new(), Vec::new());
    let (mut only, mut out) = (None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut next = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--threads" => rayon::ThreadPoolBuilder::new()
                .num_threads(next()?.parse()?)
                .build_global()
                .context("threads")?,
            "--only" => only = Some(next()?),
            "--features" => features.push(next()?),
            "--json" => out = Some(next()?),
            _ => paths.push(arg),
        }
    }
    let [data, grid] = &paths[..] else {
        bail!(
            "usage: baselines DATA.inter GRID.toml [--features MODALITY=FILE.npy]... \
             [--threads N] [--only TEXT] [--json FILE]"
        )
    };
    let plan: Plan = toml::from_str(&std::fs::read_to_string(grid)?)?;
    let split = Split::read(data, &features)?;
    let device = open_device(DeviceChoice::Flex)?.device;
    let context = FitContext { device, seed: SeedStream::new(1) };
    let known = Registries::new()?;
    let bench = Bench { split: &split, plan: &plan, context, rivals: Mutex::default() };
    let users = (0..split.test.truth().n_users())
        .filter(|&u| !split.test.truth().items(UserIdx::new(u)).is_empty())
        .count();
    println!("{users} test users, chosen by {} in validation\n", plan.select);
    println!(
        "| model | Recall@20 [95 %] | NDCG@20 [95 %] | strict | valid | fit, s | against | \
         parameters |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let chosen = |row: &&Row| only.as_deref().is_none_or(|text| row.label().contains(text));
    for row in plan.models.iter().filter(chosen) {
        let result = bench.row(row, known.models.get(&row.model)?)?;
        print_row(&result);
        if let Some(path) = &out {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            writeln!(file, "{result}")?;
        }
    }
    Ok(())
}
