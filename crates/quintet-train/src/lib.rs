#![doc = include_str!("../README.md")]

mod checkpoint;
mod config;
mod error;
mod events;
mod fit_loop;
mod place;
mod progress;

pub use checkpoint::{Checkpoint, CheckpointStore, Stopper};
pub use config::{TrainConfig, ValidItems};
pub use error::TrainError;
pub use events::EventLog;
pub use fit_loop::{EpochRecord, FitReport, Fitted, Stopped, Validation, fit_model};
pub use place::RunPlace;
pub use progress::{Progress, Silent, TerminalProgress};
