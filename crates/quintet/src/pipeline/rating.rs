//! Rating models of a run: fitted on the training ratings, measured on the held-out ones.
//!
//! They answer another question than recommenders: which number somebody would give, not what
//! comes first. So they have a table of their own.

use quintet_core::{
    Interactions, Prediction, PredictionCounts, RatingEntry, RatingPair, RatingPredictor,
    SeedStream,
};
use quintet_data::{write_atomic, write_state};
use quintet_metrics::rating::RatingScores;
use quintet_metrics::{BootstrapConfig, bootstrap_mean};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Interval, ModelSpec, PipelineError, Prepared, RunConfig, Workspace};
use crate::Registries;

/// What one rating model gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatingResult {
    /// The label.
    pub label: String,
    /// Registry name.
    pub model: String,
    /// Its parameters, resolved.
    pub config: Value,
    /// Root of the mean squared error on the validation part.
    pub valid_rmse: f64,
    /// Root of the mean squared error on the test part, with a 95 % bootstrap interval over
    /// ratings.
    pub rmse: Interval,
    /// Mean absolute error on the test part.
    pub mae: f64,
    /// Share of the variance of the test ratings that is explained; none for a single rating.
    pub r2: Option<f64>,
    /// How often predictions on the test part did not come from the whole model.
    pub predictions: PredictionCounts,
}

/// Fits every rating model of the run, saves it under `models/<label>/` and writes
/// `ratings.json`. A run without such models gives nothing and writes nothing.
///
/// # Errors
/// A name or parameter is unknown, the data does not fit a model, a file cannot be written.
pub fn rate_stage(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    workspace: &Workspace,
) -> Result<Vec<RatingResult>, PipelineError> {
    let seed = SeedStream::new(config.seed);
    let mut results = Vec::with_capacity(config.rating_models.len());
    for spec in &config.rating_models {
        let entry = registries.rating_models.get(&spec.model)?;
        let (model, resolved) = fit(entry, spec, &prepared.split.train, seed)?;
        let dir = workspace.model(spec.label());
        fs_err::create_dir_all(&dir)?;
        write_state(&dir.join("model.safetensors"), &model.state())?;
        results.push(measure(config, spec, prepared, &*model, resolved)?);
    }
    if !results.is_empty() {
        write_atomic(&workspace.file("ratings.json"), &serde_json::to_vec_pretty(&results)?)?;
    }
    Ok(results)
}

fn fit(
    entry: &RatingEntry,
    spec: &ModelSpec,
    train: &Interactions,
    seed: SeedStream,
) -> Result<(Box<dyn RatingPredictor>, Value), PipelineError> {
    let fit = (entry.build)(&spec.params)?;
    Ok((fit.fit(train, seed)?, fit.config()))
}

fn measure(
    config: &RunConfig,
    spec: &ModelSpec,
    prepared: &Prepared,
    model: &dyn RatingPredictor,
    resolved: Value,
) -> Result<RatingResult, PipelineError> {
    let valid = Compared::new(model, prepared.split.valid.truth())?;
    let test = Compared::new(model, prepared.split.test.truth())?;
    let bootstrap =
        BootstrapConfig { resamples: config.evaluate.resamples, ..BootstrapConfig::default() };
    let squares = bootstrap_mean(&test.squares(), &bootstrap, &SeedStream::new(config.seed))?;
    let scores = test.scores()?;
    Ok(RatingResult {
        label: spec.label().to_owned(),
        model: spec.model.clone(),
        config: resolved,
        valid_rmse: valid.scores()?.rmse,
        // The root keeps the order, so the ends of the interval are those of the squares.
        rmse: Interval {
            mean: scores.rmse,
            lower: squares.lower.max(0.0).sqrt(),
            upper: squares.upper.sqrt(),
        },
        mae: scores.mae,
        r2: scores.r2,
        predictions: PredictionCounts::of(&test.predictions),
    })
}

/// Held-out ratings and what a model says of them.
struct Compared {
    truth: Vec<f64>,
    predictions: Vec<Prediction>,
}

impl Compared {
    fn new(model: &dyn RatingPredictor, held: &Interactions) -> Result<Self, PipelineError> {
        let pairs: Vec<RatingPair> = held.iter().map(|t| (Some(t.user), Some(t.item))).collect();
        let truth = held.iter().map(|t| f64::from(t.value)).collect();
        Ok(Self { truth, predictions: model.predict_all(&pairs)? })
    }

    fn values(&self) -> Vec<f64> {
        self.predictions.iter().map(|p| f64::from(p.value)).collect()
    }

    fn scores(&self) -> Result<RatingScores, PipelineError> {
        Ok(RatingScores::new(&self.truth, &self.values())?)
    }

    fn squares(&self) -> Vec<f64> {
        self.truth.iter().zip(self.values()).map(|(y, p)| (y - p) * (y - p)).collect()
    }
}
