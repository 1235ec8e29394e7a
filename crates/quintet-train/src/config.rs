//! Settings of the fit loop.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Which items compete when a model is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidItems {
    /// Items that somebody used in training or validation. An item that nobody had used by then
    /// was, for all the data says, not on offer yet: a model that ranks new items must not be
    /// stopped for showing it.
    #[default]
    Used,
    /// The whole catalogue.
    All,
    /// Items that are used in validation and not in training, among themselves: what a model is
    /// worth for items that nobody knows yet. Users without one are left out.
    New,
}

/// The `[train]` table of a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// At most this many epochs.
    pub epochs: usize,
    /// Stop when the validation metric has not improved for this many evaluations.
    pub patience: usize,
    /// The validation metric that decides, such as `ndcg@10`; larger is better.
    pub metric: String,
    /// Which items compete in validation.
    pub valid_items: ValidItems,
    /// Evaluate every so many epochs.
    pub eval_every: usize,
    /// Write a checkpoint every so many epochs; 0 writes none.
    pub checkpoint_every: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            patience: 10,
            metric: "ndcg@10".into(),
            valid_items: ValidItems::Used,
            eval_every: 1,
            checkpoint_every: 10,
        }
    }
}

impl TrainConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`TrainError::Config`] that names the key.
    pub fn validate(&self) -> Result<(), TrainError> {
        let at_least_one = |key, value: usize| {
            if value > 0 {
                return Ok(());
            }
            Err(TrainError::Config { key, expected: "at least 1".into(), found: "0".into() })
        };
        at_least_one("epochs", self.epochs)?;
        at_least_one("patience", self.patience)?;
        at_least_one("eval_every", self.eval_every)?;
        self.cutoff().map(|_| ())
    }

    /// The metric's name and cut-off: `("ndcg", 10)` of `ndcg@10`.
    ///
    /// # Errors
    /// [`TrainError::Config`] when it has another form.
    pub fn cutoff(&self) -> Result<(&str, usize), TrainError> {
        let parts = self.metric.split_once('@');
        match parts.and_then(|(name, k)| Some((name, k.parse::<usize>().ok()?))) {
            Some((name, k)) if k > 0 && !name.is_empty() => Ok((name, k)),
            _ => Err(TrainError::Config {
                key: "metric",
                expected: "a metric with a cut-off, such as ndcg@10".into(),
                found: format!("{:?}", self.metric),
            }),
        }
    }
}
