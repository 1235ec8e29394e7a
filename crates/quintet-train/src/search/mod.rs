//! Search for parameters: grid, random, TPE and successive halving.
//!
//! What a trial is worth comes from an [`Objective`], which sees validation alone. Suggestions
//! depend on the settings, the seed and the results of earlier rounds only, never on which thread
//! was faster: a search that was killed asks for the same trials again and takes from its log
//! ([`TrialLog`]) those that were done.

mod driver;
mod halving;
mod importance;
mod log;
mod space;
mod tpe;

pub use driver::{Job, Objective, Outcome, SearchResult, TrialResult, search};
pub use halving::Rung;
pub use importance::importance;
pub use log::{Record, TrialLog};
pub use space::{Axis, Point, Space};

use serde::{Deserialize, Serialize};

use crate::{Folding, TrainError};

/// Where the next trial comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every combination of the lists.
    Grid,
    /// By chance.
    Random,
    /// The tree-structured Parzen estimator: near what was good, away from what was not.
    #[default]
    Tpe,
    /// Successive halving: many trials of few epochs, the best of which go on.
    Halving,
}

/// The `[tune]` table of a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneConfig {
    /// The model, by its label in `[[models]]` or its registry name.
    pub model: String,
    /// How many points are tried; a grid is tried whole.
    #[serde(default = "twenty")]
    pub trials: usize,
    /// How points are chosen.
    #[serde(default)]
    pub method: Method,
    /// Every point is fitted with so many seeds, counted up from that of the run, and judged by
    /// the mean.
    #[serde(default = "one")]
    pub seeds: usize,
    /// Trials at the same time.
    #[serde(default = "one")]
    pub parallel: usize,
    /// Judge by cross-validation over training and validation data instead of the validation
    /// part: `{ k_fold = 5 }` or `{ leave_one_out = 3 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<Folding>,
    /// Halving: epochs of the first round; 0 chooses them so that the last round is one trial.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_epochs: usize,
    /// Halving: one in so many goes on, for so many times the epochs.
    #[serde(default = "three")]
    pub reduction: usize,
    /// What is tried, by parameter.
    pub space: Space,
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

fn twenty() -> usize {
    20
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The signature that serde calls.
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl TuneConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`TrainError::Search`] that names the key.
    pub fn validate(&self) -> Result<(), TrainError> {
        let wrong = |key: &str, expected: &str, found: String| {
            Err(TrainError::Search { key: key.to_owned(), expected: expected.to_owned(), found })
        };
        for (key, n) in
            [("trials", self.trials), ("seeds", self.seeds), ("parallel", self.parallel)]
        {
            if n == 0 {
                return wrong(key, "at least 1", "0".into());
            }
        }
        if self.reduction < 2 {
            return wrong("reduction", "2 or more", self.reduction.to_string());
        }
        if self.space.is_empty() {
            return wrong(
                "space",
                "a parameter to try, such as `lr = {log = [1e-4, 1e-2]}`",
                "none".into(),
            );
        }
        if self.method == Method::Grid
            && let Some((path, axis)) =
                self.space.axes().iter().find(|(_, a)| a.n_values().is_none())
        {
            let found = format!("{} of {path}", axis.as_str());
            return wrong("method", "with `grid`, a list of values for every parameter", found);
        }
        Ok(())
    }

    /// What a log must agree with, beside what the caller adds. Trials may be added to a search
    /// that is over, unless they decide the course of it.
    pub fn identity(&self) -> Result<String, TrainError> {
        let mut settings = self.clone();
        if settings.method != Method::Halving {
            (settings.trials, settings.min_epochs, settings.reduction) = (0, 0, 0);
        }
        if settings.method != Method::Tpe {
            settings.parallel = 0;
        }
        Ok(serde_json::to_string(&settings)?)
    }
}
