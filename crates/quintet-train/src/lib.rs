#![doc = include_str!("../README.md")]

mod checkpoint;
mod config;
mod error;
mod events;
mod fit_loop;
mod folds;
mod line_log;
mod place;
mod progress;
mod search;

pub use checkpoint::{Checkpoint, CheckpointStore, Stopper};
pub use config::{TrainConfig, ValidItems};
pub use error::TrainError;
pub use events::EventLog;
pub use fit_loop::{EpochRecord, FitReport, Fitted, Stopped, Validation, fit_model};
pub use folds::{Folding, Folds};
pub use line_log::LineLog;
pub use place::RunPlace;
pub use progress::{Labelled, Progress, Silent, TerminalProgress};
pub use search::{
    Axis, Job, Method, Objective, Outcome, Point, Record, Rung, SearchResult, Space, TrialLog,
    TrialResult, TuneConfig, importance, search,
};
