//! Metrics of classifiers: right and wrong classes, scores, calibration.
//!
//! For models that say whether a user will click, or which class an item belongs to. Ranking
//! lists have metrics of their own in the registry.

mod calibration;
mod confusion;
mod scores;

pub use calibration::{Binning, Reliability, ReliabilityBin};
pub use confusion::{Average, ClassScores, Confusion};
pub use scores::{average_precision, brier, log_loss, log_loss_classes, pr_auc_trapezoid, roc_auc};
