//! Run directories side by side.

use std::path::{Path, PathBuf};

use quintet_core::SeedStream;
use quintet_metrics::{BootstrapConfig, holm, paired_bootstrap, paired_t_test};
use serde::Serialize;
use serde_json::Value;

use super::stages::read_json;
use super::{Interval, ModelResult, Paired, PerUser, PipelineError, RunResult, Workspace};

/// How deep runs are looked for below a folder.
const DEPTH: usize = 4;

/// A line about a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// Its directory.
    pub dir: PathBuf,
    /// What it is called.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// When it ended, seconds since 1970 UTC; none where it did not say.
    pub finished: Option<u64>,
    /// The name of its dataset, where it came so far.
    pub dataset: Option<String>,
    /// How many models it has.
    pub models: usize,
    /// How far it came: `evaluated`, `trained`, `ingested` or `begun`.
    pub state: String,
    /// The best model that could be fitted, where it was evaluated.
    pub best: Option<BestModel>,
}

/// The best model of a run.
#[derive(Debug, Clone, Serialize)]
pub struct BestModel {
    /// Its label.
    pub label: String,
    /// The primary metric.
    pub metric: String,
    /// Its value on the test part.
    pub value: Interval,
}

/// All runs in a folder, the folder itself among them, by their paths.
///
/// # Errors
/// The folder cannot be read. A run whose files are damaged says so in its state.
pub fn find_runs(dir: &Path) -> Result<Vec<RunSummary>, PipelineError> {
    let mut found = Vec::new();
    walk(dir, DEPTH, &mut found)?;
    found.sort_by(|a: &RunSummary, b: &RunSummary| a.dir.cmp(&b.dir));
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<RunSummary>) -> Result<(), PipelineError> {
    let workspace = Workspace::new(dir);
    if is_run(&workspace) {
        let name = dir.display().to_string();
        let damaged = |e: PipelineError| RunSummary {
            dir: dir.to_owned(),
            name,
            seed: 0,
            finished: None,
            dataset: None,
            models: 0,
            state: format!("damaged: {e}"),
            best: None,
        };
        found.push(summary_of(&workspace).unwrap_or_else(damaged));
        return Ok(());
    }
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        // Links are not followed, so that there is no way round in a circle.
        if entry.file_type()?.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            folders.push(entry.path());
        }
    }
    match depth {
        0 => Ok(()),
        _ => folders.iter().try_for_each(|folder| walk(folder, depth - 1, found)),
    }
}

/// A run wrote its resolved configuration and its seed before anything else.
fn is_run(workspace: &Workspace) -> bool {
    workspace.file("config.toml").is_file() && workspace.file("seed").is_file()
}

/// A line about one run.
///
/// # Errors
/// The directory holds no run, or files of it are damaged.
pub fn summary_of(workspace: &Workspace) -> Result<RunSummary, PipelineError> {
    if !is_run(workspace) {
        return Err(PipelineError::NoRun { path: workspace.root().display().to_string() });
    }
    let config = fs_err::read_to_string(workspace.file("config.toml"))?;
    // Configurations of other versions may have other keys; three of them are enough here.
    let config: toml::Table = config.parse().map_err(|e: toml::de::Error| {
        let path = workspace.file("config.toml").display().to_string();
        let found = e.message().replace('\n', " ");
        PipelineError::Damaged { path, expected: "the configuration of a run".into(), found }
    })?;
    let data = workspace.file("data.json");
    let data: Option<Value> =
        data.is_file().then(|| read_json(&data, "a summary of data")).transpose()?;
    let result = workspace.file("metrics.json").is_file().then(|| workspace.read_result());
    let result = result.transpose()?;
    let state = match () {
        () if result.is_some() => "evaluated",
        () if data.is_some() => "trained",
        () if workspace.dataset().join("dataset.toml").is_file() => "ingested",
        () => "begun",
    };
    let text = |key: &str| config.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let models = config.get("models").and_then(toml::Value::as_array).map_or(0, Vec::len);
    let seed = config.get("seed").and_then(toml::Value::as_integer);
    Ok(RunSummary {
        dir: workspace.root().to_owned(),
        name: text("name").unwrap_or_default(),
        seed: seed.and_then(|s| u64::try_from(s).ok()).unwrap_or(0),
        finished: workspace.read_facts()?.map(|f| f.finished).filter(|t| *t > 0),
        dataset: data.and_then(|d| Some(d["name"].as_str()?.to_owned())),
        models: result.as_ref().map_or(models, |r| r.models.len()),
        state: state.to_owned(),
        best: result.as_ref().and_then(best),
    })
}

/// The best model by the primary metric, of those that were fitted.
fn best(result: &RunResult) -> Option<BestModel> {
    let fitted = result.models.iter().filter(|m| m.valid.is_some());
    let best = fitted.max_by(|a, b| a.primary.mean.total_cmp(&b.primary.mean))?;
    Some(BestModel {
        label: best.label.clone(),
        metric: result.primary.clone(),
        value: best.primary,
    })
}

/// Two runs, metric by metric.
#[derive(Debug, Clone, Serialize)]
pub struct RunDiff {
    /// The first run.
    pub baseline: PathBuf,
    /// The second run.
    pub other: PathBuf,
    /// The primary metric of the first run.
    pub primary: String,
    /// What makes the comparison less than fair.
    pub notes: Vec<String>,
    /// The models that both have.
    pub models: Vec<ModelDiff>,
}

/// One model in two runs.
#[derive(Debug, Clone, Serialize)]
pub struct ModelDiff {
    /// Its label.
    pub label: String,
    /// The metrics that both have.
    pub metrics: Vec<MetricDiff>,
    /// The second run minus the first in the primary metric, over the users that both measured.
    pub paired: Option<Paired>,
}

/// One metric in two runs.
#[derive(Debug, Clone, Serialize)]
pub struct MetricDiff {
    /// Its key.
    pub metric: String,
    /// In the first run.
    pub left: f64,
    /// In the second run.
    pub right: f64,
}

/// Compares the models that two evaluated runs have in common; `only` names one of them.
///
/// # Errors
/// A directory holds no evaluated run, no model is in both, or `only` is not.
pub fn compare_runs(
    baseline: &Workspace,
    other: &Workspace,
    only: Option<&str>,
) -> Result<RunDiff, PipelineError> {
    for workspace in [baseline, other] {
        summary_of(workspace)?;
    }
    let (left, right) = (baseline.read_result()?, other.read_result()?);
    let labels =
        |r: &RunResult| -> Vec<String> { r.models.iter().map(|m| m.label.clone()).collect() };
    let pairs: Vec<(&ModelResult, &ModelResult)> = left
        .models
        .iter()
        .filter(|m| only.is_none_or(|label| m.label == label))
        .filter_map(|m| Some((m, right.models.iter().find(|o| o.label == m.label)?)))
        .collect();
    if pairs.is_empty() {
        return Err(PipelineError::NothingInCommon {
            asked: only.map_or("any model".to_owned(), |label| format!("{label:?}")),
            left: labels(&left).join(", "),
            right: labels(&right).join(", "),
        });
    }
    let (left_users, right_users) = (baseline.read_per_user()?, other.read_per_user()?);
    let mut models: Vec<ModelDiff> = pairs
        .into_iter()
        .map(|(l, r)| ModelDiff {
            label: l.label.clone(),
            metrics: metrics(l, r),
            paired: left_users
                .as_ref()
                .zip(right_users.as_ref())
                .and_then(|(a, b)| paired(a, b, &l.label, left.seed)),
        })
        .collect();
    let p: Vec<f64> = models.iter().filter_map(|m| m.paired.as_ref().map(|p| p.p)).collect();
    if let Ok(corrected) = holm(&p) {
        let tested = models.iter_mut().filter_map(|m| m.paired.as_mut());
        tested.zip(corrected).for_each(|(paired, p)| paired.p = p);
    }
    Ok(RunDiff {
        baseline: baseline.root().to_owned(),
        other: other.root().to_owned(),
        primary: left.primary.clone(),
        notes: notes(&left, &right),
        models,
    })
}

fn metrics(left: &ModelResult, right: &ModelResult) -> Vec<MetricDiff> {
    let of = |m: &ModelResult, key: &str| m.test.get(key).or_else(|| m.beyond.get(key)).copied();
    let keys = left.test.keys().chain(left.beyond.keys().filter(|k| !left.test.contains_key(*k)));
    let diff = |key: &String| {
        let (left, right) = (of(left, key)?, of(right, key)?);
        Some(MetricDiff { metric: key.clone(), left, right })
    };
    keys.filter_map(diff).collect()
}

/// The second minus the first over the users that both have, by id; none where too few are.
fn paired(left: &PerUser, right: &PerUser, label: &str, seed: u64) -> Option<Paired> {
    if left.metric != right.metric {
        return None;
    }
    let (ours, theirs) = (left.values.get(label)?, right.values.get(label)?);
    let place: std::collections::HashMap<&str, usize> =
        right.users.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let both = left.users.iter().zip(ours).filter_map(|(id, value)| {
        let other = theirs.get(*place.get(id.as_str())?)?;
        Some((*value, *other))
    });
    let (first, second): (Vec<f64>, Vec<f64>) = both.unzip();
    let config = BootstrapConfig::default();
    let difference = paired_bootstrap(&second, &first, &config, &SeedStream::new(seed)).ok()?;
    let p = paired_t_test(&second, &first).ok()?.p;
    Some(Paired { difference: difference.into(), p })
}

fn notes(left: &RunResult, right: &RunResult) -> Vec<String> {
    let mut notes = Vec::new();
    if left.data != right.data {
        notes.push("the runs have other data, another split or another seed".to_owned());
    }
    if left.primary != right.primary {
        notes.push(format!("the primary metrics differ: {} and {}", left.primary, right.primary));
    }
    if left.users != right.users {
        notes.push(format!(
            "{} users were measured in one, {} in the other",
            left.users, right.users
        ));
    }
    notes
}
