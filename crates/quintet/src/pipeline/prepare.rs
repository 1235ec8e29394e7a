//! Dataset and features to training data and held-out data.

use std::collections::BTreeMap;

use quintet_core::{FeatureSet, Modality, SeedStream};
use quintet_data::{Dataset, ImputeReport, ShapeReport, Split, SplitReport, impute, shape, split};
use quintet_ingest::DataReport;
use quintet_tensor::TrainingData;
use serde::Serialize;

use super::stages::Groups;
use super::{PipelineError, RunConfig, Workspace};

/// Everything models are fitted and evaluated on.
pub struct Prepared {
    /// The dataset.
    pub dataset: Dataset,
    /// Item features.
    pub features: FeatureSet,
    /// Training data and the two held-out parts.
    pub split: Split,
    /// What shaping did.
    pub shape_report: ShapeReport,
    /// What was done about items without a modality.
    pub imputed: BTreeMap<Modality, ImputeReport>,
    /// Hash of the dataset and of everything that decided the split.
    pub data_hash: String,
    /// Hash of the features that models read.
    pub features_hash: String,
}

/// What `data.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct DataSummary<'a> {
    /// Name of the dataset.
    pub name: &'a str,
    /// Content hash of the dataset.
    pub hash: &'a str,
    /// Number of users in the catalogue.
    pub n_users: usize,
    /// Number of items in the catalogue.
    pub n_items: usize,
    /// What shaping did.
    pub shape: &'a ShapeReport,
    /// What splitting did.
    pub split: &'a SplitReport,
    /// Modality, width and number of items that have it, made-up vectors among them.
    pub features: Vec<(String, usize, usize)>,
    /// How many vectors were made up, and from what.
    pub imputed: &'a BTreeMap<Modality, ImputeReport>,
}

/// Shapes and splits the dataset, and fills the gaps in its features where the run file asks for
/// it. `duplicates` are groups of items that show the same, for the leakage check.
///
/// # Errors
/// The settings do not fit the data, or leave a part empty.
pub fn prepare(
    config: &RunConfig,
    dataset: Dataset,
    features: FeatureSet,
    duplicates: Option<&Groups>,
) -> Result<Prepared, PipelineError> {
    let shaped = shape(&dataset, &config.shape)?;
    let seed = SeedStream::new(config.seed);
    let (n_users, n_items) = (dataset.users.len(), dataset.items.len());
    let mut split = split(&shaped.events, n_users, n_items, &config.split, seed)?;
    split.report.duplicate_leaks = duplicates.map(|groups| split.duplicate_leaks(groups));
    let empty = |part, hint: &str| Err(PipelineError::EmptyPart { part, hint: hint.to_owned() });
    if split.train.nnz() == 0 {
        return empty("train", "lower the shares in [split] or the limits in [shape]");
    }
    if split.valid.truth().nnz() == 0 {
        return empty("valid", "raise `valid` in [split]; early stopping needs it");
    }
    if split.test.truth().nnz() == 0 {
        return empty("test", "raise `test` in [split]");
    }
    let (features, imputed) = fill_gaps(config, features, &split)?;
    let decisions = serde_json::to_string(&(&config.shape, &config.split, config.seed))?;
    let data_hash =
        blake3::hash(format!("{}{decisions}", dataset.content_hash()).as_bytes()).to_hex();
    Ok(Prepared {
        data_hash: data_hash.to_string(),
        features_hash: features_hash(&features),
        shape_report: shaped.report,
        imputed,
        dataset,
        features,
        split,
    })
}

/// Adds what shaping and splitting did to the report beside the dataset.
///
/// # Errors
/// The report is damaged or cannot be written.
pub fn report_stage(prepared: &Prepared, workspace: &Workspace) -> Result<(), PipelineError> {
    let mut report = DataReport::read(&workspace.dataset())?;
    report.shape = Some(prepared.shape_report.clone());
    report.split = Some(prepared.split.report.clone());
    Ok(report.write(&workspace.dataset())?)
}

impl Prepared {
    /// What models may learn from.
    pub fn training_data(&self) -> TrainingData<'_> {
        TrainingData::new(&self.split.train, &self.features)
    }

    /// What `data.json` holds.
    pub fn summary(&self) -> DataSummary<'_> {
        DataSummary {
            name: &self.dataset.name,
            hash: &self.data_hash,
            n_users: self.dataset.users.len(),
            n_items: self.dataset.items.len(),
            shape: &self.shape_report,
            split: &self.split.report,
            imputed: &self.imputed,
            features: self
                .features
                .iter()
                .map(|f| (f.modality.to_string(), f.dim(), f.n_present()))
                .collect(),
        }
    }
}

/// Features with their gaps filled as the run file asks, from training data alone.
fn fill_gaps(
    config: &RunConfig,
    features: FeatureSet,
    split: &Split,
) -> Result<(FeatureSet, BTreeMap<Modality, ImputeReport>), PipelineError> {
    if config.missing.is_empty() {
        return Ok((features, BTreeMap::new()));
    }
    let mut filled = FeatureSet::new(features.n_items());
    let mut reports = BTreeMap::new();
    for own in features.iter() {
        let Some(strategy) = config.missing.get(&own.modality) else {
            filled.push(own.clone())?;
            continue;
        };
        // The modality that most items have stands in where the graph does not reach.
        let others = features.iter().filter(|other| other.modality != own.modality);
        let fallback = others.max_by_key(|other| other.n_present());
        let done = impute(own, &split.train, strategy, fallback)?;
        filled.push(done.features)?;
        reports.insert(own.modality, done.report);
    }
    Ok((filled, reports))
}

/// Hash of the features that models read: a checkpoint over other features is another run.
fn features_hash(features: &FeatureSet) -> String {
    let mut hasher = blake3::Hasher::new();
    for f in features.iter() {
        hasher.update(f.modality.as_str().as_bytes());
        hasher.update(&(f.dim() as u64).to_le_bytes());
        for v in f.matrix.as_slice() {
            hasher.update(&v.to_le_bytes());
        }
        f.present.iter().for_each(|&p| {
            hasher.update(&[u8::from(p)]);
        });
    }
    hasher.finalize().to_hex().to_string()
}
