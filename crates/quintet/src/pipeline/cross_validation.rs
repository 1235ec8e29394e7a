//! Every model of a run on every fold.
//!
//! Each fold is prepared anew: gaps in features are filled, sequences are made and models are
//! fitted from what the fold leaves for training, so that nothing of its test part is in them.
//! Early stopping looks at a validation part of its own. All interactions are tested once in k
//! folds: the table is for reporting, and choices belong to `quintet tune`.

use std::collections::BTreeMap;

use quintet_core::{FeatureSet, Interactions, SeedStream};
use quintet_data::{Dataset, shape};
use quintet_metrics::Evaluator;
use quintet_tensor::Device;
use quintet_train::{Folding, Folds, Progress};
use serde::Serialize;

use super::behaviours::Later;
use super::judge::{Judge, MeanSpread};
use super::prepare::prepare_parts;
use super::{Interval, Paired, PipelineError, RunConfig, train_models};
use crate::Registries;

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct CrossValidated {
    /// Its label.
    pub label: String,
    /// Every metric, over folds.
    pub metrics: BTreeMap<String, MeanSpread>,
    /// The primary metric, a value a fold.
    pub folds: Vec<f64>,
    /// The primary metric as a mean over users, each with the mean of the folds that measured
    /// them, with its bootstrap interval.
    pub primary: Interval,
    /// The reference minus this model in the same way; none for the reference itself.
    pub against: Option<Paired>,
}

/// All models.
#[derive(Debug, Clone, Serialize)]
pub struct CvTable {
    /// What the folds are.
    pub folding: Folding,
    /// The primary metric.
    pub primary: String,
    /// The label that others are compared with.
    pub reference: Option<String>,
    /// Users that some fold measured.
    pub users: usize,
    /// One row a model, in the order of the run file.
    pub models: Vec<CrossValidated>,
}

/// What one model gathers.
#[derive(Default)]
struct Gathered {
    metrics: BTreeMap<String, Vec<f64>>,
    /// Sum and count of the primary metric by user.
    users: BTreeMap<u32, (f64, usize)>,
}

/// Fits and measures every model of the run on every fold of its shaped interactions; the
/// `[split]` of the run file is not used. `valid` is the share of the other folds that early
/// stopping looks at.
///
/// # Errors
/// Folds out of range, a fold that leaves a part empty, what fitting and measuring can cause.
pub fn cross_validate(
    config: &RunConfig,
    (dataset, features): (&Dataset, &FeatureSet),
    (folding, valid): (Folding, f64),
    registries: &Registries,
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<CvTable, PipelineError> {
    config.no_trained_encoders("cross-validation")?;
    let folds = deal(config, dataset, folding, valid)?;
    let mut gathered: Vec<Gathered> = config.models.iter().map(|_| Gathered::default()).collect();
    for fold in 0..folds.count() {
        let name = format!("{} {fold} of {}", folding.as_str(), folds.count());
        let (dataset, features) = (dataset.clone(), features.clone());
        let (parts, division) = (folds.parts(fold), (name.as_str(), Later::None));
        let prepared = prepare_parts(config, dataset, features, &parts, division)?;
        let models = train_models(config, &prepared, registries, device, None, progress)?;
        let evaluator = Evaluator::new(&config.evaluate.eval_config(), &registries.metrics)?;
        for (trained, into) in models.iter().zip(&mut gathered) {
            let model = prepared.with_newcomers(trained.model.as_ref());
            let split = &prepared.split;
            let found = evaluator.evaluate(&model, &split.test, &split.seen_for_test)?;
            for (key, value) in found.means() {
                into.metrics.entry(key.clone()).or_default().push(*value);
            }
            let values = found.require_per_user(&config.evaluate.primary)?;
            for (user, value) in found.users().iter().zip(values) {
                let entry = into.users.entry(user.0).or_insert((0.0, 0));
                (entry.0, entry.1) = (entry.0 + value, entry.1 + 1);
            }
        }
    }
    table(config, folding, &gathered)
}

/// All shaped interactions in folds.
fn deal(
    config: &RunConfig,
    dataset: &Dataset,
    folding: Folding,
    valid: f64,
) -> Result<Folds, PipelineError> {
    let shaped = shape(dataset, &config.shape)?.events;
    let pairs = shaped.users().iter().zip(shaped.items()).map(|(user, item)| (user.0, item.0));
    let all = Interactions::from_pairs(dataset.users.len(), dataset.items.len(), pairs)?;
    Ok(Folds::deal(&all, folding, valid, SeedStream::new(config.seed))?)
}

fn table(
    config: &RunConfig,
    folding: Folding,
    gathered: &[Gathered],
) -> Result<CvTable, PipelineError> {
    let judge = Judge::new(config);
    let by_user: Vec<[Vec<f64>; 1]> = gathered
        .iter()
        .map(|g| [g.users.values().map(|(sum, n)| sum / *n as f64).collect()])
        .collect();
    let reference = config.reference();
    let at = config.models.iter().position(|spec| Some(spec.label()) == reference);
    let rows: Vec<&[Vec<f64>]> = by_user.iter().map(|row| &row[..]).collect();
    let against = judge.against(&rows, at, true)?;
    let mut models = Vec::with_capacity(gathered.len());
    for (((spec, g), users), against) in
        config.models.iter().zip(gathered).zip(&by_user).zip(against)
    {
        models.push(CrossValidated {
            label: spec.label().to_owned(),
            metrics: g
                .metrics
                .iter()
                .map(|(key, values)| (key.clone(), MeanSpread::of(values)))
                .collect(),
            folds: g.metrics.get(&config.evaluate.primary).cloned().unwrap_or_default(),
            primary: judge.mean(users)?,
            against,
        });
    }
    Ok(CvTable {
        folding,
        primary: config.evaluate.primary.clone(),
        reference: reference.map(str::to_owned),
        users: by_user.first().map_or(0, |row| row[0].len()),
        models,
    })
}
