//! What comparisons keep of the fits that they make, so that one that was stopped goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use quintet_core::{Recommender, SeedStream};
use quintet_tensor::{Device, Fit, FitContext};
use quintet_train::{Labelled, LineLog, Progress, RunPlace, fit_model};
use serde::{Deserialize, Serialize};

use super::train::identity;
use super::{PipelineError, Prepared, RunConfig};

/// One fit, with all that tables need of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptFit {
    /// Hash of everything that the numbers depend on.
    pub key: String,
    /// What it is called in the table, for a person who reads the file.
    pub label: String,
    pub seed: u64,
    /// Trained numbers.
    pub parameters: usize,
    pub best_epoch: usize,
    pub seconds: f64,
    /// The best value of early stopping; none for a model that cannot say.
    pub valid: Option<f64>,
    /// Means over users.
    pub means: BTreeMap<String, f64>,
    /// Values by user, by the name of what was measured.
    pub users: BTreeMap<String, Vec<f64>>,
}

/// The fits so far, and where more are written; nowhere without a file.
#[derive(Debug, Default)]
pub(super) struct KeptFits {
    log: Option<LineLog>,
    known: Vec<KeptFit>,
    deadline: Option<Instant>,
    /// Fits that were found.
    pub reused: usize,
    /// Fits that were made.
    pub made: usize,
}

impl KeptFits {
    /// Opens the file with the fits of earlier calls, where one is wanted. No fit is made after
    /// `budget` from now.
    ///
    /// # Errors
    /// The file is in use or damaged before its last line.
    pub(super) fn open(
        path: Option<&Path>,
        budget: Option<Duration>,
    ) -> Result<Self, PipelineError> {
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        let Some(path) = path else { return Ok(Self { deadline, ..Self::default() }) };
        let (log, lines) = LineLog::open(path)?;
        let read = lines.iter().enumerate().map(|(number, line)| log.read(number, line));
        let known = read.collect::<Result<_, _>>()?;
        Ok(Self { log: Some(log), known, deadline, reused: 0, made: 0 })
    }

    /// The fit with this key that was measured in all these ways, or the one that `make` gives,
    /// which is written before it is returned; none where it is too late to make one.
    ///
    /// # Errors
    /// Those of `make`; the file cannot be written.
    fn find_or(
        &mut self,
        key: &str,
        measured: &[String],
        make: impl FnOnce() -> Result<KeptFit, PipelineError>,
    ) -> Result<Option<KeptFit>, PipelineError> {
        let all = |fit: &&KeptFit| {
            fit.key == key && measured.iter().all(|name| fit.users.contains_key(name))
        };
        if let Some(fit) = self.known.iter().rfind(all) {
            self.reused += 1;
            return Ok(Some(fit.clone()));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        let fit = make()?;
        self.made += 1;
        if let Some(log) = &mut self.log {
            log.append(&fit)?;
        }
        self.known.push(fit.clone());
        Ok(Some(fit))
    }
}

/// What the fits of a comparison have in common.
pub(super) struct Fits<'a> {
    pub config: &'a RunConfig,
    pub prepared: &'a Prepared,
    pub device: &'a Device,
}

/// Means over users, and values by user by the name of what was measured.
pub(super) type Measures = (BTreeMap<String, f64>, BTreeMap<String, Vec<f64>>);

/// Measures a fitted model.
pub(super) type Measure<'a> = dyn Fn(&dyn Recommender) -> Result<Measures, PipelineError> + 'a;

impl Fits<'_> {
    /// What was kept of a fit, or makes it, unless it is too late for that; `measure` gives values
    /// by user under the names of `measured`.
    ///
    /// # Errors
    /// The fit or its measurement fails, the file of fits cannot be written.
    pub(super) fn fit(
        &self,
        (model, label, seed): (&str, &str, u64),
        fit: &dyn Fit,
        kept: &mut KeptFits,
        (measured, measure): (&[String], &Measure<'_>),
        progress: &mut dyn Progress,
    ) -> Result<Option<KeptFit>, PipelineError> {
        let key = key(self.config, model, fit, self.prepared, seed)?;
        kept.find_or(&key, measured, || {
            let context = FitContext { device: self.device.clone(), seed: SeedStream::new(seed) };
            let data = self.prepared.training_data_for(fit)?;
            let valid = self.prepared.validation();
            let shown = format!("{label}, seed {seed}");
            let (train, progress) = (&self.config.train, &mut Labelled::new(&shown, progress));
            let begun = Instant::now();
            let fitted = fit_model(fit, data, valid, &context, train, None, progress)?;
            let seconds = begun.elapsed().as_secs_f64();
            let (means, users) = measure(fitted.model.as_ref())?;
            let report = fitted.report;
            Ok(KeptFit {
                key: key.clone(),
                label: label.to_owned(),
                seed,
                parameters: report.n_parameters,
                best_epoch: report.best_epoch,
                seconds,
                valid: report.best_valid.is_finite().then_some(report.best_valid),
                means,
                users,
            })
        })
    }
}

/// Hash of everything that the fit and its measured values depend on; a fit of another version of
/// this program is not the same.
fn key(
    config: &RunConfig,
    model: &str,
    fit: &dyn Fit,
    prepared: &Prepared,
    seed: u64,
) -> Result<String, PipelineError> {
    let fitted = identity(config, model, fit, prepared, seed)?;
    let evaluate = &config.evaluate;
    let measured = serde_json::to_string(&(evaluate.eval_config(), &evaluate.primary))?;
    Ok(RunPlace::identity(&[&fitted, &measured, env!("CARGO_PKG_VERSION")]))
}
