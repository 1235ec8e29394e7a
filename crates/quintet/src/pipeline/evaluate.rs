//! Fitted models to a table of test results. The test split is opened here, once, after every
//! choice has been made.

use std::collections::BTreeMap;

use quintet_core::{
    FeatureSet, Matrix, Modality, ModalityFeatures, Recommender, ScoreError, SeedStream, Test,
    UserIdx,
};
use quintet_data::write_atomic;
use quintet_metrics::{BootstrapConfig, Evaluation, Evaluator, bootstrap_mean, compare};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::beyond::{beyond, ruled};
use super::slices::{Kinds, Slicer};
use super::users::write_users;
use super::{PipelineError, Prepared, RunConfig, SliceResult, TrainedModel, Workspace};
use crate::Registries;

/// A 95 % percentile bootstrap interval over users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean over users.
    pub mean: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl From<quintet_metrics::Interval> for Interval {
    fn from(i: quintet_metrics::Interval) -> Self {
        Self { mean: i.mean, lower: i.lower, upper: i.upper }
    }
}

/// The reference model minus this model, user by user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The label of the reference.
    pub reference: String,
    /// Mean difference with its interval.
    pub difference: Interval,
    /// Whether the interval excludes zero.
    pub excludes_zero: bool,
}

/// Results on items without training interactions, ranked among themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewItems {
    /// How many such items compete.
    pub candidates: usize,
    /// Users with one of them in the test part.
    pub users: usize,
    /// The primary metric.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// What a random ranking gets on average (NDCG and recall only).
    pub chance: Option<f64>,
}

/// Results of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// The label.
    pub label: String,
    /// Registry name.
    pub model: String,
    /// Its parameters, resolved.
    pub config: Value,
    /// Trained numbers.
    pub n_parameters: usize,
    /// The epoch that was kept.
    pub best_epoch: usize,
    /// The validation metric at that epoch.
    pub valid: Option<f64>,
    /// Every test metric.
    pub test: BTreeMap<String, f64>,
    /// What the lists are like beside being right, at the primary metric's cut-off.
    pub beyond: BTreeMap<String, f64>,
    /// The same, and Recall, Precision and NDCG, of the lists after `[evaluate] rules`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ruled: BTreeMap<String, f64>,
    /// What a reader should know of the fit, such as the privacy that it has spent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The primary test metric with its interval.
    pub primary: Interval,
    /// Against the reference; `None` for the reference itself.
    pub against: Option<Comparison>,
    /// On items without training interactions; `None` where the test has none.
    pub new_items: Option<NewItems>,
    /// The primary metric by kind of item (`new items`, `head items`, `tail items`) and of user
    /// (`new users`, `light users`, `heavy users`), everything competing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slices: BTreeMap<String, SliceResult>,
    /// The modalities that the model reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Modality>,
    /// What each modality does in a model that reads several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modalities: BTreeMap<Modality, ModalityWeight>,
}

/// What one modality does in a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModalityWeight {
    /// Its mean share in the content of the items that have any; none for a model that cannot
    /// say.
    pub share: Option<f64>,
    /// The primary metric when no item has it any more, after the same fit; none for a model that
    /// cannot look at other features. Read this one: a share is not importance.
    pub knocked_out: Option<f64>,
}

/// Everything that `metrics.json` holds. It has no times in it, so that equal runs give equal
/// bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the run.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// Hash of the data and the split.
    pub data: String,
    /// The part that was measured: always `test`.
    pub phase: String,
    /// The metric of intervals and comparisons.
    pub primary: String,
    /// Users that were measured.
    pub users: usize,
    /// One entry a model, in the order of the run file.
    pub models: Vec<ModelResult>,
}

/// The per-user values of the primary metric, for tests of one's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PerUser {
    /// The metric.
    pub metric: String,
    /// User ids.
    pub users: Vec<String>,
    /// Values by label, aligned with `users`.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// Measures every model on the test part and writes `metrics.json`, `per_user.json` and
/// `per_user.parquet`.
///
/// # Errors
/// A metric is unknown, a model gives a score that is not a number, a file cannot be written.
pub fn evaluate_stage(
    config: &RunConfig,
    prepared: &Prepared,
    models: &[TrainedModel],
    registries: &Registries,
    workspace: &Workspace,
) -> Result<RunResult, PipelineError> {
    let (result, per_user, evaluations) = measure(config, prepared, models, registries)?;
    let labels: Vec<&str> = models.iter().map(|m| m.label.as_str()).collect();
    write_users(config, prepared, (&labels, &evaluations), workspace)?;
    write_atomic(&workspace.file("per_user.json"), &serde_json::to_vec(&per_user)?)?;
    // The last one: where it stands, the others do.
    let bytes = serde_json::to_vec_pretty(&result)?;
    write_atomic(&workspace.file("metrics.json"), &bytes)?;
    Ok(result)
}

/// Measures every model on the test part.
///
/// # Errors
/// As [`evaluate_stage`].
pub fn evaluate_models(
    config: &RunConfig,
    prepared: &Prepared,
    models: &[TrainedModel],
    registries: &Registries,
) -> Result<(RunResult, PerUser), PipelineError> {
    let (result, per_user, _) = measure(config, prepared, models, registries)?;
    Ok((result, per_user))
}

/// What is told of the models, and what it was told from.
type Measured = (RunResult, PerUser, Vec<Evaluation<Test>>);

fn measure(
    config: &RunConfig,
    prepared: &Prepared,
    models: &[TrainedModel],
    registries: &Registries,
) -> Result<Measured, PipelineError> {
    let bench = Bench::new(config, prepared, registries)?;
    let evaluations: Vec<Evaluation<Test>> =
        models.iter().map(|m| bench.warm(m.model.as_ref())).collect::<Result<_, _>>()?;
    let reference = config.reference();
    let reference_eval =
        models.iter().position(|m| Some(m.label.as_str()) == reference).map(|i| &evaluations[i]);
    let mut results = Vec::with_capacity(models.len());
    for (trained, evaluation) in models.iter().zip(&evaluations) {
        let against = match (reference, reference_eval) {
            (Some(label), Some(eval)) if label != trained.label => {
                Some(bench.against(label, eval, evaluation)?)
            }
            _ => None,
        };
        results.push(bench.result(trained, evaluation, against)?);
    }
    let users = evaluations.first().map_or(&[][..], |e| e.users());
    let id = |u: &UserIdx| prepared.dataset.users[u.index()].id.clone();
    let mut values = BTreeMap::new();
    for (trained, evaluation) in models.iter().zip(&evaluations) {
        let row = evaluation.require_per_user(&config.evaluate.primary)?.to_vec();
        values.insert(trained.label.clone(), row);
    }
    let per_user = PerUser {
        metric: config.evaluate.primary.clone(),
        users: users.iter().map(id).collect(),
        values,
    };
    let result = RunResult {
        name: config.name.clone(),
        seed: config.seed,
        data: prepared.data_hash.clone(),
        phase: "test".into(),
        primary: config.evaluate.primary.clone(),
        users: users.len(),
        models: results,
    };
    Ok((result, per_user, evaluations))
}

/// Column means over the rows that are not all zero.
fn mean_shares(shares: &Matrix) -> Vec<f64> {
    let rows = || (0..shares.rows()).map(|r| shares.row(r)).filter(|r| r.iter().any(|s| *s > 0.0));
    let n = rows().count().max(1) as f64;
    let column = |c: usize| rows().map(|r| f64::from(r[c])).sum::<f64>() / n;
    (0..shares.cols()).map(column).collect()
}

/// The features with one modality absent everywhere.
fn without(features: &FeatureSet, modality: Modality) -> Result<FeatureSet, PipelineError> {
    let mut out = FeatureSet::new(features.n_items());
    for f in features.iter() {
        let present = f.present.iter().map(|p| *p && f.modality != modality).collect();
        out.push(ModalityFeatures::new(f.modality, f.matrix.clone(), present)?)?;
    }
    Ok(out)
}

/// What is the same for every model of a run.
pub(super) struct Bench<'a> {
    config: &'a RunConfig,
    prepared: &'a Prepared,
    registries: &'a Registries,
    new_items: Vec<bool>,
    kinds: Kinds,
    bootstrap: BootstrapConfig,
    seed: SeedStream,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        config: &'a RunConfig,
        prepared: &'a Prepared,
        registries: &'a Registries,
    ) -> Result<Self, PipelineError> {
        let counts = prepared.split.train.item_counts();
        let bootstrap =
            BootstrapConfig { resamples: config.evaluate.resamples, ..BootstrapConfig::default() };
        bootstrap.validate()?;
        Ok(Self {
            config,
            prepared,
            registries,
            new_items: counts.iter().map(|&c| c == 0).collect(),
            kinds: Kinds::of(&prepared.split.train),
            bootstrap,
            seed: SeedStream::new(config.seed),
        })
    }

    fn evaluator(&self) -> Result<Evaluator<'_>, PipelineError> {
        let config = self.config.evaluate.eval_config();
        Ok(Evaluator::new(&config, &self.registries.metrics)?)
    }

    /// All items compete; what a user had in training or validation, or is known of a brand-new
    /// one, is masked. Models that can fold in brand-new users.
    pub(super) fn warm(&self, model: &dyn Recommender) -> Result<Evaluation<Test>, PipelineError> {
        let split = &self.prepared.split;
        let model = self.prepared.with_newcomers(model);
        Ok(self.evaluator()?.evaluate(&model, &split.test, &split.seen_for_test)?)
    }

    fn against(
        &self,
        label: &str,
        reference: &Evaluation<Test>,
        other: &Evaluation<Test>,
    ) -> Result<Comparison, PipelineError> {
        let key = &self.config.evaluate.primary;
        let difference = compare(reference, other, key, &self.bootstrap, &self.seed)?;
        Ok(Comparison {
            reference: label.to_owned(),
            excludes_zero: difference.excludes_zero(),
            difference: difference.into(),
        })
    }

    fn result(
        &self,
        trained: &TrainedModel,
        evaluation: &Evaluation<Test>,
        against: Option<Comparison>,
    ) -> Result<ModelResult, PipelineError> {
        let key = &self.config.evaluate.primary;
        let primary =
            bootstrap_mean(evaluation.require_per_user(key)?, &self.bootstrap, &self.seed)?;
        let report = trained.report.as_ref();
        Ok(ModelResult {
            label: trained.label.clone(),
            model: trained.model.name().to_owned(),
            config: report.map_or(Value::Null, |r| r.config.clone()),
            n_parameters: report.map_or(0, |r| r.n_parameters),
            best_epoch: report.map_or(0, |r| r.best_epoch),
            valid: report.map(|r| r.best_valid),
            test: evaluation.means().clone(),
            beyond: self.beyond(trained.model.as_ref(), evaluation)?,
            ruled: self.ruled(trained.model.as_ref(), evaluation)?,
            notes: report.map_or(Vec::new(), |r| r.notes.clone()),
            primary: primary.into(),
            against,
            new_items: self.cold(trained.model.as_ref())?,
            slices: self.slices(trained.model.as_ref(), evaluation)?,
            reads: trained.model.capability().modalities.clone(),
            modalities: self.modalities(trained.model.as_ref())?,
        })
    }

    fn beyond(
        &self,
        model: &dyn Recommender,
        evaluation: &Evaluation<Test>,
    ) -> Result<BTreeMap<String, f64>, PipelineError> {
        let model = self.prepared.with_newcomers(model);
        beyond(self.prepared, &model, evaluation, &self.config.evaluate.primary)
    }

    /// Empty without rules.
    fn ruled(
        &self,
        model: &dyn Recommender,
        evaluation: &Evaluation<Test>,
    ) -> Result<BTreeMap<String, f64>, PipelineError> {
        let model = self.prepared.with_newcomers(model);
        ruled(self.prepared, &model, evaluation, &self.config.evaluate)
    }

    fn slices(
        &self,
        model: &dyn Recommender,
        evaluation: &Evaluation<Test>,
    ) -> Result<BTreeMap<String, SliceResult>, PipelineError> {
        let slicer = Slicer {
            prepared: self.prepared,
            kinds: &self.kinds,
            primary: &self.config.evaluate.primary,
            bootstrap: &self.bootstrap,
            seed: &self.seed,
        };
        // Only the primary metric is told by kind.
        let config = self.config.evaluate.primary_config();
        let evaluator = Evaluator::new(&config, &self.registries.metrics)?;
        slicer.slices(model, &evaluator, evaluation)
    }

    /// Shares, and the metric without each modality, for models that read several.
    fn modalities(
        &self,
        model: &dyn Recommender,
    ) -> Result<BTreeMap<Modality, ModalityWeight>, PipelineError> {
        let read = model.capability().modalities;
        if read.len() < 2 {
            return Ok(BTreeMap::new());
        }
        let shares = model.modality_shares().map(mean_shares);
        let key = &self.config.evaluate.primary;
        let mut all = BTreeMap::new();
        for (place, &modality) in read.iter().enumerate() {
            let without = without(&self.prepared.features, modality)?;
            let knocked_out = match model.with_features(&without) {
                Ok(other) => self.warm(&*other)?.means().get(key).copied(),
                Err(ScoreError::NoContent { .. }) => None,
                Err(e) => return Err(e.into()),
            };
            let share = shares.as_ref().and_then(|s| s.get(place).copied());
            all.insert(modality, ModalityWeight { share, knocked_out });
        }
        Ok(all)
    }

    /// Whether the test part has an item without training interactions.
    pub(super) fn has_new_items(&self) -> bool {
        let is_new = |item: &quintet_core::ItemIdx| self.new_items[item.index()];
        self.prepared.split.test.truth().indices().iter().any(is_new)
    }

    /// Only items without training interactions compete; none where the test part has none.
    pub(super) fn among_new(
        &self,
        model: &dyn Recommender,
    ) -> Result<Option<Evaluation<Test>>, PipelineError> {
        if !self.has_new_items() {
            return Ok(None);
        }
        let split = &self.prepared.split;
        let model = self.prepared.with_newcomers(model);
        let evaluator = self.evaluator()?.with_candidates(&self.new_items);
        Ok(Some(evaluator.evaluate(&model, &split.test, &split.seen_for_test)?))
    }

    fn cold(&self, model: &dyn Recommender) -> Result<Option<NewItems>, PipelineError> {
        let Some(evaluation) = self.among_new(model)? else { return Ok(None) };
        let key = &self.config.evaluate.primary;
        let values = evaluation.require_per_user(key)?;
        let interval = bootstrap_mean(values, &self.bootstrap, &self.seed)?;
        let candidates = self.new_items.iter().filter(|n| **n).count();
        Ok(Some(NewItems {
            candidates,
            users: evaluation.n_users(),
            value: interval.mean,
            interval: interval.into(),
            chance: self.chance(key, &evaluation),
        }))
    }

    /// The expected primary metric of a uniformly random ranking of the new items, averaged over
    /// the same users: position `r` holds one of `t` right items of `n` with probability `t/n`.
    fn chance(&self, key: &str, evaluation: &Evaluation<Test>) -> Option<f64> {
        let (name, k) = key.split_once('@')?;
        let k: usize = k.parse().ok()?;
        let split = &self.prepared.split;
        let gain = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let per_user = |user: &UserIdx| {
            let new = |items: &[quintet_core::ItemIdx]| {
                items.iter().filter(|i| self.new_items[i.index()]).count()
            };
            let truth = new(split.test.truth().items(*user));
            let total = self.new_items.iter().filter(|n| **n).count();
            let n = total - new(split.seen_for_test.items(*user));
            let hit = truth as f64 / n as f64;
            let depth = k.min(n);
            match name {
                "recall" => Some(depth as f64 / n as f64),
                "ndcg" => {
                    let dcg: f64 = (0..depth).map(gain).sum::<f64>() * hit;
                    Some(dcg / (0..k.min(truth)).map(gain).sum::<f64>())
                }
                _ => None,
            }
        };
        let users = evaluation.users();
        let sum: Option<f64> = users.iter().map(per_user).sum();
        Some(sum? / users.len() as f64)
    }
}
