//! What can stop a training run.

use quintet_data::DataError;
use quintet_metrics::EvalError;
use quintet_tensor::FitError;
use thiserror::Error;

/// Why training stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model could not be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Validation failed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A file of the run could not be written or read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of the run could not be written or read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A setting is out of range.
    #[error("[train] {key}: expected {expected}, found {found}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is allowed.
        expected: String,
        /// What came.
        found: String,
    },
    /// A checkpoint of another run lies in this run's directory.
    #[error(
        "{path} belongs to another run (its settings, data or seed differ); remove it or choose another directory"
    )]
    OtherRun {
        /// The checkpoint.
        path: String,
    },
    /// Every checkpoint is damaged.
    #[error("no checkpoint under {path} is whole: {reasons}; remove the folder to start afresh")]
    AllDamaged {
        /// The folder.
        path: String,
        /// What is wrong with each.
        reasons: String,
    },
    /// A record could not be written or read as JSON.
    #[error("a record is no valid JSON: {0}")]
    Json(#[from] serde_json::Error),
}
