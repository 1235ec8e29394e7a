//! `[tune]`: parameters of one model by what validation says of them.
//!
//! Points are judged by the validation part, or by folds of training and validation data; the
//! test part is never looked at. The best value is the largest of many and therefore too good:
//! what the parameters are worth, `quintet run` says on the test part.

use std::path::PathBuf;

use quintet_core::{FeatureSet, Interactions, SeedStream};
use quintet_data::{Dataset, Part, shape, write_atomic};
use quintet_tensor::{Device, FitContext, FitError};
use quintet_train::{
    Folds, Job, Method, Objective, Outcome, Record, RunPlace, SearchResult, Silent, TrainConfig,
    TrainError, TrialLog, TuneConfig, fit_model, search,
};
use serde::Serialize;
use serde_json::Value;

use super::behaviours::Later;
use super::prepare::prepare_parts;
use super::{ModelSpec, PipelineError, Prepared, RunConfig, Workspace, prepare};
use crate::Registries;

/// What a search found.
#[derive(Debug, Clone, Serialize)]
pub struct TuneResult {
    /// The model.
    pub model: String,
    /// The metric in validation.
    pub metric: String,
    /// All trials, and what mattered.
    #[serde(flatten)]
    pub search: SearchResult,
    /// The model with the best parameters, as a table of a run file.
    pub best: ModelSpec,
    /// The same as TOML.
    pub toml: String,
}

/// The model that `[tune]` names, after a look at whether it takes what the space has.
///
/// # Errors
/// The model is unknown, or refuses a parameter or an end of its range.
pub(super) fn tuned_model(
    config: &RunConfig,
    tune: &TuneConfig,
    registries: &Registries,
) -> Result<ModelSpec, PipelineError> {
    let labelled = config.models.iter().find(|spec| spec.label() == tune.model);
    let spec = match labelled {
        Some(spec) => spec.clone(),
        None if registries.models.get(&tune.model).is_ok() => {
            let params = super::config::empty();
            ModelSpec { model: tune.model.clone(), label: None, params }
        }
        None => config.find(&tune.model, "[tune] model")?.clone(),
    };
    let build = registries.models.get(&spec.model)?.build;
    let ends: Vec<Vec<Value>> = tune.space.axes().iter().map(|(_, axis)| axis.ends()).collect();
    let first: Vec<Value> = ends.iter().filter_map(|e| e.first().cloned()).collect();
    for (axis, ends) in ends.iter().enumerate() {
        for end in ends {
            let mut point = first.clone();
            point[axis] = end.clone();
            build(&tune.space.params(&spec.params, &point))?;
        }
    }
    Ok(spec)
}

/// Searches as `[tune]` says and writes `tune/trials.jsonl` as it goes, `tune/result.json` and
/// `tune/best.toml` at the end. A search that was killed goes on where it was.
///
/// # Errors
/// The run file has no `[tune]`, another search lies in its place, no trial ended well, and what
/// preparing and measuring can cause.
pub fn tune_stage(
    config: &RunConfig,
    (dataset, features): (Dataset, FeatureSet),
    registries: &Registries,
    device: &Device,
    workspace: &Workspace,
    heard: &(dyn Fn(&Record) + Sync),
) -> Result<TuneResult, PipelineError> {
    let tune = config.tune.as_ref().ok_or_else(|| PipelineError::NoSearch {
        model: config.models.first().map_or("bpr", ModelSpec::label).to_owned(),
    })?;
    let spec = tuned_model(config, tune, registries)?;
    workspace.write_config(config)?;
    let dir = workspace.file("tune");
    let prepared = judged_on(config, tune, dataset, features)?;
    let identity = identity(config, tune, &spec, &prepared)?;
    let log = TrialLog::open(&dir.join("trials.jsonl"), &identity)?;
    let fits = Fits {
        config,
        tune,
        spec: &spec,
        prepared: &prepared,
        registries,
        device,
        dir: dir.join("trials"),
        identity,
    };
    let seed = SeedStream::new(config.seed);
    let found = search(tune, config.train.epochs, seed, log, &fits, heard)?;
    let best = found.trials.first().map_or(&[][..], |t| t.point());
    let best = ModelSpec { params: tune.space.params(&spec.params, best), ..spec };
    let result = TuneResult {
        model: best.model.clone(),
        metric: config.train.metric.clone(),
        search: found,
        toml: as_table(&best)?,
        best,
    };
    write_atomic(&dir.join("best.toml"), result.toml.as_bytes())?;
    write_atomic(&dir.join("result.json"), &serde_json::to_vec_pretty(&result)?)?;
    Ok(result)
}

/// A `[[models]]` table.
fn as_table(spec: &ModelSpec) -> Result<String, PipelineError> {
    #[derive(Serialize)]
    struct Tables<'a> {
        models: [&'a ModelSpec; 1],
    }
    Ok(toml::to_string(&Tables { models: [spec] })?)
}

/// The data that points are judged on: the run's own, or one for each fold.
fn judged_on(
    config: &RunConfig,
    tune: &TuneConfig,
    dataset: Dataset,
    features: FeatureSet,
) -> Result<Vec<Prepared>, PipelineError> {
    let Some(folding) = tune.folds else {
        return Ok(vec![prepare(config, dataset, features, None)?]);
    };
    config.no_trained_encoders("[tune] folds")?;
    let events = shape(&dataset, &config.shape)?.events;
    let (n_users, n_items) = (dataset.users.len(), dataset.items.len());
    let own = prepare(config, dataset.clone(), features.clone(), None)?;
    let tested = own.split.test.truth();
    let pairs = || events.users().iter().zip(events.items());
    let open: Vec<bool> = pairs().map(|(user, item)| !tested.contains(*user, *item)).collect();
    let kept = pairs().zip(&open).filter(|(_, open)| **open).map(|((u, i), _)| (u.0, i.0));
    let kept = Interactions::from_pairs(n_users, n_items, kept)?;
    let folds = Folds::deal(&kept, folding, 0.0, SeedStream::new(config.seed))?;
    let fold = |fold: usize| {
        let mut dealt = folds.parts_for_choices(fold).into_iter();
        let part = |open: &bool| match open {
            true => dealt.next().unwrap_or(Part::Train),
            false => Part::Test,
        };
        let parts: Vec<Part> = open.iter().map(part).collect();
        let name = format!("{} {fold} of {} without test", folding.as_str(), folds.count());
        let division = (name.as_str(), Later::Test);
        prepare_parts(config, dataset.clone(), features.clone(), &parts, division)
    };
    (0..folds.count()).map(fold).collect()
}

/// Hash of everything that the values of trials depend on.
fn identity(
    config: &RunConfig,
    tune: &TuneConfig,
    spec: &ModelSpec,
    prepared: &[Prepared],
) -> Result<String, PipelineError> {
    let settings = serde_json::to_string(&(&spec.params, &config.train, config.seed))?;
    let search = tune.identity()?;
    let mut parts = vec![spec.model.as_str(), &settings, &search];
    for data in prepared {
        parts.extend([data.data_hash.as_str(), &data.features_hash]);
    }
    Ok(RunPlace::identity(&parts))
}

/// Fits points.
struct Fits<'a> {
    config: &'a RunConfig,
    tune: &'a TuneConfig,
    spec: &'a ModelSpec,
    prepared: &'a [Prepared],
    registries: &'a Registries,
    device: &'a Device,
    dir: PathBuf,
    identity: String,
}

impl Fits<'_> {
    /// A fit goes on from its own checkpoints, also for more epochs than before.
    fn settings(&self, epochs: usize) -> TrainConfig {
        let every = self.config.train.checkpoint_every;
        // A trial of successive halving must leave one when a round ends.
        let needed = every == 0 && self.tune.method == Method::Halving;
        let checkpoint_every = if needed { usize::MAX } else { every };
        TrainConfig { epochs, checkpoint_every, ..self.config.train.clone() }
    }

    fn place(&self, job: Job<'_>, fold: usize) -> Result<RunPlace, TrainError> {
        let dir = self.dir.join(format!("{}-{}-{fold}", job.trial, job.seed));
        let [trial, seed, fold] = [job.trial, job.seed, fold].map(|n| n.to_string());
        RunPlace::new(&dir, &RunPlace::identity(&[&self.identity, &trial, &seed, &fold]))
    }
}

impl Objective for Fits<'_> {
    fn fit(&self, job: Job<'_>) -> Result<Outcome, TrainError> {
        let params = self.tune.space.params(&self.spec.params, job.point);
        let entry = self
            .registries
            .models
            .get(&self.spec.model)
            .map_err(|e| TrainError::NoTrial { reason: e.to_string() })?;
        let failed = |reason: String| Ok(Outcome { value: Err(reason), best_epoch: 0 });
        let fit = match (entry.build)(&params) {
            Ok(fit) => fit,
            // Values that do not go together, each within its range.
            Err(error) => return failed(error.to_string()),
        };
        let seed = SeedStream::new(self.config.seed.wrapping_add(job.seed as u64));
        let context = FitContext { device: self.device.clone(), seed };
        let config = self.settings(job.epochs);
        let (mut sum, mut best_epoch) = (0.0, 0);
        for (fold, prepared) in self.prepared.iter().enumerate() {
            let place = self.place(job, fold)?;
            let data = prepared.training_data_for(&*fit).map_err(FitError::from)?;
            let valid = prepared.validation();
            let fitted =
                fit_model(&*fit, data, valid, &context, &config, Some(&place), &mut Silent);
            match fitted {
                Ok(fitted) => {
                    sum += fitted.report.best_valid;
                    best_epoch = best_epoch.max(fitted.report.best_epoch);
                }
                Err(TrainError::Fit(error)) => return failed(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome { value: Ok(sum / self.prepared.len() as f64), best_epoch })
    }

    fn forget(&self, trial: usize) -> Result<(), TrainError> {
        for seed in 0..self.tune.seeds {
            for fold in 0..self.prepared.len() {
                let dir = self.dir.join(format!("{trial}-{seed}-{fold}"));
                if dir.is_dir() {
                    fs_err::remove_dir_all(dir)?;
                }
            }
        }
        Ok(())
    }
}
