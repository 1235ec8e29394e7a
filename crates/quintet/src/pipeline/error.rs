//! What can stop a run.

use quintet_core::{CoreError, RatingError, RegistryError, ScoreError};
use quintet_data::DataError;
use quintet_ingest::IngestError;
use quintet_metrics::EvalError;
use quintet_tensor::{EncodeError, FitError};
use quintet_train::TrainError;
use thiserror::Error;

/// Why a stage stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The run file is wrong.
    #[error("{path}, line {line}: {reason}")]
    Config {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A label is not among the models.
    #[error("{what} {label:?} is not the label of a model; known: {known}")]
    Label {
        /// Where it was asked for.
        what: String,
        /// The label.
        label: String,
        /// The labels there are.
        known: String,
    },
    /// No item or user has an attribute that was named.
    #[error("[attributes] {table}: no row has the attribute {found:?}; known: {known}")]
    Attribute {
        /// `items` or `users`.
        table: &'static str,
        /// The name that came.
        found: String,
        /// The names there are.
        known: String,
    },
    /// Vectors cannot be made up from other modalities.
    #[error("[complete]: {0}")]
    Complete(#[from] quintet_fusion::mapping::MappingError),
    /// Rules for lists cannot be set up.
    #[error("[evaluate] rules: {0}")]
    Rules(#[from] quintet_rules::RuleError),
    /// A device cannot be opened.
    #[error(transparent)]
    Device(#[from] quintet_tensor::DeviceError),
    /// Fusions cannot be compared as asked.
    #[error("comparing fusions: {reason}")]
    Fusion {
        /// Why, and what was expected.
        reason: String,
    },
    /// A division of its own for an encoder that learned on another.
    #[error(
        "{what}: [[encode]] {modality} encoder {encoder:?} learns from the interactions of [split], which {what} holds out in turn; leave `train` out, or name weights that were trained on other data"
    )]
    LearnedElsewhere {
        /// What divides anew.
        what: String,
        /// The modality.
        modality: String,
        /// The encoder.
        encoder: String,
    },
    /// A budget ended too early.
    #[error("the budget ended before the first fit, and none was kept; give more seconds")]
    NothingFitted,
    /// The run file does not say what to search.
    #[error(
        "the run file has no [tune] table; expected one such as `[tune]`, `model = {model:?}`, `[tune.space]`, `lr = {{ log = [1e-4, 1e-2] }}`"
    )]
    NoSearch {
        /// A model of the run file.
        model: String,
    },
    /// A directory holds no run.
    #[error(
        "{path} holds no run: expected config.toml and seed, as every verb on a run file writes them"
    )]
    NoRun {
        /// The directory.
        path: String,
    },
    /// Two runs cannot be compared.
    #[error("expected {asked} in both runs; the first has {left}; the second has {right}")]
    NothingInCommon {
        /// What was asked for.
        asked: String,
        /// Labels of the first run.
        left: String,
        /// Labels of the second run.
        right: String,
    },
    /// A model has no vectors of its items.
    #[error("model {label:?} ({model}) has no factors of its items to export")]
    NoFactors {
        /// Its label.
        label: String,
        /// Its registry name.
        model: String,
    },
    /// A user id is unknown.
    #[error("user {id:?} is not in the dataset ({known} users; the first is {first:?})")]
    User {
        /// The id.
        id: String,
        /// How many users there are.
        known: usize,
        /// An example.
        first: String,
    },
    /// A user has no results in a run.
    #[error("{path}: no user {id:?}; expected one with something in the test part")]
    NotMeasured {
        /// The file of the results.
        path: String,
        /// The id.
        id: String,
    },
    /// An earlier stage has not run.
    #[error("{path} is not there; run `quintet {verb}` first")]
    NotRun {
        /// What is missing.
        path: String,
        /// The verb that makes it.
        verb: &'static str,
    },
    /// A file of an earlier stage is not as it was written.
    #[error("{path}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        path: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Weights that others trained are not there, or cannot be kept.
    #[error("{place}: expected {expected}, found {found}")]
    Weights {
        /// The file, or what asks for it.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A fitted model was fitted on something else.
    #[error(
        "{path} was fitted with other settings, other data or another seed; run `quintet train` again"
    )]
    OtherRun {
        /// The model.
        path: String,
    },
    /// An encoder was named for another modality than its own.
    #[error("[[encode]] encoder {encoder:?} reads {reads}, not {asked}")]
    WrongModality {
        /// The encoder.
        encoder: String,
        /// What it reads.
        reads: String,
        /// What was asked.
        asked: String,
    },
    /// No item could be encoded.
    #[error(
        "no {modality} of {total} items could be encoded with {encoder}; the first error: {first}"
    )]
    NothingEncoded {
        /// The modality.
        modality: String,
        /// The encoder.
        encoder: String,
        /// Items that have the modality.
        total: usize,
        /// The first error.
        first: String,
    },
    /// A part of the split is empty.
    #[error("the split leaves no interactions in {part}: {hint}")]
    EmptyPart {
        /// Which part.
        part: &'static str,
        /// What to change.
        hint: String,
    },
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Ingestion.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The dataset or the feature store.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An encoder.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A model.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A rating model.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// The fit loop.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Scoring.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A name.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A shape.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A file could not be encoded as JSON.
    #[error("a report could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The resolved run file could not be written.
    #[error("the resolved run file could not be written: {0}")]
    Toml(#[from] toml::ser::Error),
}
