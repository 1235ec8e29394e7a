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
    /// A setting of a search is out of range.
    #[error("[tune] {key}: expected {expected}, found {found}")]
    Search {
        /// The key.
        key: String,
        /// What is allowed.
        expected: String,
        /// What came.
        found: String,
    },
    /// A log of another search lies where this one writes.
    #[error(
        "{path} belongs to another search (its space, settings, data or seed differ); remove it or choose another directory"
    )]
    OtherSearch {
        /// The log.
        path: String,
    },
    /// Another process writes the log.
    #[error("another process is writing {path}; wait until it ends or choose another directory")]
    LogInUse {
        /// The log.
        path: String,
    },
    /// A line of a log is not as it was written.
    #[error("{path} is not as it was written: {reason}")]
    Log {
        /// The file and line.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No trial of a search ended well.
    #[error("no trial ended well; the first failed with: {reason}")]
    NoTrial {
        /// Why the first one failed.
        reason: String,
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
