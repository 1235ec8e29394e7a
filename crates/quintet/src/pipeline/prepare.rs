//! Dataset and features to training data and held-out data.

use quintet_core::{FeatureSet, SeedStream};
use quintet_data::{Dataset, ShapeReport, Split, SplitReport, shape, split};
use quintet_tensor::TrainingData;
use serde::Serialize;

use super::{PipelineError, RunConfig};

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
    /// Modality, width and number of items that have it.
    pub features: Vec<(String, usize, usize)>,
}

/// Shapes and splits the dataset.
///
/// # Errors
/// The settings do not fit the data, or leave a part empty.
pub fn prepare(
    config: &RunConfig,
    dataset: Dataset,
    features: FeatureSet,
) -> Result<Prepared, PipelineError> {
    let shaped = shape(&dataset, &config.shape)?;
    let seed = SeedStream::new(config.seed);
    let (n_users, n_items) = (dataset.users.len(), dataset.items.len());
    let split = split(&shaped.events, n_users, n_items, &config.split, seed)?;
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
    let decisions = serde_json::to_string(&(&config.shape, &config.split, config.seed))?;
    let data_hash =
        blake3::hash(format!("{}{decisions}", dataset.content_hash()).as_bytes()).to_hex();
    Ok(Prepared {
        data_hash: data_hash.to_string(),
        features_hash: features_hash(&features),
        shape_report: shaped.report,
        dataset,
        features,
        split,
    })
}

impl Prepared {
    /// What models may learn from.
    pub fn training_data(&self) -> TrainingData<'_> {
        TrainingData { train: &self.split.train, features: &self.features }
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
            features: self
                .features
                .iter()
                .map(|f| (f.modality.to_string(), f.dim(), f.n_present()))
                .collect(),
        }
    }
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
