#![doc = include_str!("../README.md")]

mod caps;
mod context;
mod coverage;
mod dpp;
mod mmr;
#[cfg(test)]
mod tests;

use quintet_core::{ItemIdx, Modality, Scored};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use context::RuleContext;

/// One rule of a run file or a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleSpec {
    /// Relevance against similarity, item by item.
    Mmr {
        /// Weight of relevance, in `[0, 1]`; 1 changes nothing.
        lambda: f32,
        /// Whose features say what is similar.
        modality: Modality,
    },
    /// A determinantal point process.
    Dpp {
        /// How much relevance counts against diversity, at least 0.
        theta: f32,
        /// Whose features say what is similar.
        modality: Modality,
    },
    /// Relevance and coverage of the user's categories.
    Xquad {
        /// Weight of coverage, in `[0, 1]`; 0 changes nothing.
        lambda: f32,
    },
    /// Shares of categories like those of the user's history.
    Calibrated {
        /// Weight of calibration, in `[0, 1]`; 0 changes nothing.
        lambda: f32,
    },
    /// At most so many items of a category.
    Cap {
        /// At least 1.
        max: usize,
    },
}

impl RuleSpec {
    /// [`RuleSpec::Mmr`].
    pub fn mmr(lambda: f32, modality: Modality) -> Self {
        Self::Mmr { lambda, modality }
    }

    fn check(&self) -> Result<(), RuleError> {
        let share = |key: &'static str, value: f32| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => {
                Err(RuleError::Setting { key, expected: "in [0, 1]", found: value.to_string() })
            }
        };
        match *self {
            Self::Mmr { lambda, .. } => share("mmr.lambda", lambda),
            Self::Xquad { lambda } => share("xquad.lambda", lambda),
            Self::Calibrated { lambda } => share("calibrated.lambda", lambda),
            Self::Dpp { theta, .. } if !(theta.is_finite() && theta >= 0.0) => {
                let (key, expected, found) = ("dpp.theta", "at least 0", theta.to_string());
                Err(RuleError::Setting { key, expected, found })
            }
            Self::Cap { max: 0 } => {
                let (key, expected) = ("cap.max", "at least 1");
                Err(RuleError::Setting { key, expected, found: "0".into() })
            }
            Self::Dpp { .. } | Self::Cap { .. } => Ok(()),
        }
    }
}

/// Why rules could not be set up.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A number is out of its range.
    #[error("rule {key} must be {expected}; found {found}")]
    Setting {
        /// Rule and key.
        key: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A rule reads features that are not there.
    #[error("rule {rule} reads {modality} features; the dataset has: {known}")]
    NoFeatures {
        /// The rule.
        rule: &'static str,
        /// The modality.
        modality: Modality,
        /// Those that are there.
        known: String,
    },
    /// A rule reads categories and there are none.
    #[error(
        "rule {rule} reads categories of items, and the dataset has none; name them under [attributes]"
    )]
    NoCategories {
        /// The rule.
        rule: &'static str,
    },
}

/// Rules that run one after the other.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    specs: Vec<RuleSpec>,
    context: &'a RuleContext,
}

impl<'a> Rules<'a> {
    /// Sets them up.
    ///
    /// # Errors
    /// A number out of its range, or something that a rule reads and that is not in the context.
    pub fn new(specs: Vec<RuleSpec>, context: &'a RuleContext) -> Result<Self, RuleError> {
        for spec in &specs {
            spec.check()?;
            match *spec {
                RuleSpec::Mmr { modality, .. } => context.needs_features("mmr", modality)?,
                RuleSpec::Dpp { modality, .. } => context.needs_features("dpp", modality)?,
                RuleSpec::Xquad { .. } => context.needs_categories("xquad")?,
                RuleSpec::Calibrated { .. } => context.needs_categories("calibrated")?,
                RuleSpec::Cap { .. } => context.needs_categories("cap")?,
            }
        }
        Ok(Self { specs, context })
    }

    /// The up to `k` items to show of `candidates` (best first), for somebody with this `history`.
    /// Deterministic: equal choices go to the candidate that came first.
    ///
    /// # Panics
    /// When an item is not among those of the context.
    pub fn apply(&self, history: &[ItemIdx], candidates: Vec<Scored>, k: usize) -> Vec<Scored> {
        let mut list = candidates;
        for (nth, spec) in self.specs.iter().enumerate() {
            // Only the last rule cuts: one before it must not take its choice away.
            let keep = if nth + 1 == self.specs.len() { k } else { list.len() };
            list = self.one(spec, history, &list, keep);
        }
        list.truncate(k);
        list
    }

    fn one(&self, spec: &RuleSpec, history: &[ItemIdx], list: &[Scored], k: usize) -> Vec<Scored> {
        let context = self.context;
        match *spec {
            RuleSpec::Mmr { lambda, modality } => mmr::mmr(context, list, k, lambda, modality),
            RuleSpec::Dpp { theta, modality } => dpp::dpp(context, list, k, theta, modality),
            RuleSpec::Xquad { lambda } => coverage::xquad(context, history, list, k, lambda),
            RuleSpec::Calibrated { lambda } => {
                coverage::calibrated(context, history, list, k, lambda)
            }
            RuleSpec::Cap { max } => caps::cap(context, list, k, max),
        }
    }
}

/// Scores of a list between 0 and 1: the best is 1, the worst 0; all 1 where they are equal.
fn relevance(list: &[Scored]) -> Vec<f32> {
    let best = list.iter().map(|s| s.score).fold(f32::NEG_INFINITY, f32::max);
    let worst = list.iter().map(|s| s.score).fold(f32::INFINITY, f32::min);
    let span = best - worst;
    let one = |s: &Scored| if span > 0.0 { (s.score - worst) / span } else { 1.0 };
    list.iter().map(one).collect()
}

/// Chooses up to `k` of `n` one after the other: each time the largest of `value(candidate)`, equal
/// ones by position; `chosen` is told of each.
fn greedy(
    n: usize,
    k: usize,
    mut value: impl FnMut(usize) -> f64,
    mut chosen: impl FnMut(usize),
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..n).collect();
    let mut picks = Vec::with_capacity(k.min(n));
    while picks.len() < k && !left.is_empty() {
        let mut best = (0, f64::NEG_INFINITY);
        for (place, &candidate) in left.iter().enumerate() {
            let v = value(candidate);
            if v > best.1 {
                best = (place, v);
            }
        }
        let pick = left.remove(best.0);
        chosen(pick);
        picks.push(pick);
    }
    picks
}
