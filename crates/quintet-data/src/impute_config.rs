//! The ways to fill gaps in features, and their settings; `impute` says where they come from.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// What stands in for a missing vector.
///
/// `T` is the normalised graph of items that share users: every item is joined with the
/// `neighbours` items that it shares most users with. `X_0` has the observed vectors and zeros.
/// An item that no observed vector reaches along the graph takes the mean of its nearest items
/// in another modality where that is given, and else the mean of all.
///
/// Propagation shrinks vectors, so that [`ImputeConfig::MultiHop`],
/// [`ImputeConfig::PersonalisedPageRank`] and [`ImputeConfig::Heat`] bring every imputed vector
/// to the mean length of the observed ones at the end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ImputeConfig {
    /// Nothing: the items stay absent, and models read the mask.
    Masked {},
    /// Zeros.
    Zeros {},
    /// Normal random numbers with mean and spread of the column.
    Random {
        /// Seed of the numbers.
        seed: u64,
    },
    /// The mean of all observed vectors.
    Mean {},
    /// The mean over the neighbours that have a vector.
    NeighbourMean {
        /// Items that each item is joined with.
        #[serde(default = "twenty")]
        neighbours: usize,
    },
    /// `X ← T X`, then the observed rows put back; `hops` times.
    MultiHop {
        /// Items that each item is joined with.
        #[serde(default = "twenty")]
        neighbours: usize,
        /// How far features flow; the papers search 1 to 20.
        #[serde(default = "ten")]
        hops: usize,
    },
    /// `X ← (1 - alpha) T X + alpha X_0`, then the observed rows put back; until no number
    /// changes by more than `tolerance` times the largest observed number.
    PersonalisedPageRank {
        /// Items that each item is joined with.
        #[serde(default = "twenty")]
        neighbours: usize,
        /// How strongly vectors are drawn back to where they started, between 0 and 1.
        #[serde(default = "fifteen_hundredths")]
        alpha: f64,
        /// When to stop.
        #[serde(default = "ten_thousandth")]
        tolerance: f64,
        /// When to stop at the latest.
        #[serde(default = "hundred")]
        max_iterations: usize,
    },
    /// `Σ_h e^-t t^h / h! T^h X_0` for `h` from 0 to `hops`, then the observed rows put back.
    Heat {
        /// Items that each item is joined with.
        #[serde(default = "twenty")]
        neighbours: usize,
        /// Where the sum ends.
        #[serde(default = "ten")]
        hops: usize,
        /// How long heat flows, at most 100: the larger, the farther. 5 in the reference code.
        #[serde(default = "five")]
        t: f64,
    },
}

fn twenty() -> usize {
    20
}

fn ten() -> usize {
    10
}

fn hundred() -> usize {
    100
}

fn five() -> f64 {
    5.0
}

fn fifteen_hundredths() -> f64 {
    0.15
}

fn ten_thousandth() -> f64 {
    1e-4
}

impl Default for ImputeConfig {
    /// Absent items stay absent.
    fn default() -> Self {
        Self::Masked {}
    }
}

impl ImputeConfig {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn validate(&self) -> Result<(), DataError> {
        let positive = |key: &'static str, value: usize| match value {
            0 => Err(bad(key, "at least 1", value)),
            _ => Ok(()),
        };
        match *self {
            Self::Masked {} | Self::Zeros {} | Self::Random { .. } | Self::Mean {} => Ok(()),
            Self::NeighbourMean { neighbours } => positive("neighbours", neighbours),
            Self::MultiHop { neighbours, hops } => {
                positive("neighbours", neighbours)?;
                positive("hops", hops)
            }
            Self::PersonalisedPageRank { neighbours, alpha, tolerance, max_iterations } => {
                positive("neighbours", neighbours)?;
                positive("max_iterations", max_iterations)?;
                if !(alpha > 0.0 && alpha < 1.0) {
                    return Err(bad("alpha", "a number between 0 and 1", alpha));
                }
                match tolerance > 0.0 && tolerance.is_finite() {
                    true => Ok(()),
                    false => Err(bad("tolerance", "a number above 0", tolerance)),
                }
            }
            Self::Heat { neighbours, hops, t } => {
                positive("neighbours", neighbours)?;
                positive("hops", hops)?;
                match t > 0.0 && t <= 100.0 {
                    true => Ok(()),
                    false => Err(bad("t", "a number above 0, at most 100", t)),
                }
            }
        }
    }

    /// The size of the neighbourhood, for the strategies that have one.
    pub(crate) fn neighbours(&self) -> Option<usize> {
        match *self {
            Self::NeighbourMean { neighbours }
            | Self::MultiHop { neighbours, .. }
            | Self::PersonalisedPageRank { neighbours, .. }
            | Self::Heat { neighbours, .. } => Some(neighbours),
            _ => None,
        }
    }
}

pub(crate) fn bad(key: &'static str, expected: &str, found: impl ToString) -> DataError {
    DataError::Config { key, expected: expected.into(), found: found.to_string() }
}
