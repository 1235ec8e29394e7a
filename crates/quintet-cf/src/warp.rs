//! WARP: a negative that stands too high is looked for, and counts the more the sooner it is
//! found.
//!
//! Weston, Bengio, Usunier, "WSABIE: Scaling Up To Large Vocabulary Image Annotation", IJCAI
//! 2011; the k-th order form from Weston, Yee, Weiss, "Learning to Rank Recommendations with the
//! k-Order Statistic Loss", RecSys 2013. For a positive `(u, i)` items are drawn until
//! `s(u, j) > s(u, i) - 1`; when the n-th draw is such an item, the loss is
//! `w (1 - s(u, i) + s(u, j))` with `w` from the rank `⌊(I - 1) / n⌋` that n tells of. Without such
//! an item among `max_sampled` draws nothing moves. The k-order form takes as positive the k-th
//! best of n drawn items of the user.
//!
//! The model is matrix factorisation with an item bias: [`crate::HybridMfConfig`] with nothing
//! but identities, whose trainer it uses. Differences: see there; items that nobody used are not
//! drawn, and I counts the used ones.

use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hybrid_mf::{self, HybridLoss, HybridMfConfig};
use crate::learned::Learned;

const NAME: &str = "warp";

/// How the rank of a positive becomes a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankWeight {
    /// `min(10, ln max(1, rank))`, the choice of LightFM.
    Log,
    /// `Σ_{t=1}^{rank} 1/t`, the choice of WSABIE.
    Harmonic,
}

impl RankWeight {
    /// The weight for each number of draws from 1, `[max_sampled]`, with `n_items` to draw from.
    pub(crate) fn table(self, n_items: usize, max_sampled: usize) -> Vec<f32> {
        let rank = |draws: usize| n_items.saturating_sub(1) / draws;
        let weight = |rank: usize| match self {
            Self::Log => (rank.max(1) as f32).ln().min(10.0),
            Self::Harmonic => (1..=rank).rev().map(|t| 1.0 / t as f64).sum::<f64>() as f32,
        };
        (1..=max_sampled).map(|draws| weight(rank(draws))).collect()
    }
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarpConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size of Adagrad.
    pub lr: f32,
    /// Squared L2 on the rows of a batch.
    pub l2: f32,
    /// Most draws for a positive.
    pub max_sampled: usize,
    /// How the rank becomes a weight.
    pub rank_weight: RankWeight,
    /// Whether the k-th best of some items of the user is the positive.
    pub k_order: bool,
    /// k.
    pub k: usize,
    /// How many items of the user are drawn for it.
    pub n: usize,
    /// Positives a step.
    pub batch_size: usize,
}

impl Default for WarpConfig {
    fn default() -> Self {
        let (max_sampled, rank_weight) = (10, RankWeight::Log);
        let (k_order, k, n, batch_size) = (false, 5, 10, 256);
        Self { dim: 64, lr: 0.05, l2: 0.0, max_sampled, rank_weight, k_order, k, n, batch_size }
    }
}

impl WarpConfig {
    fn hybrid(&self) -> HybridMfConfig {
        HybridMfConfig {
            dim: self.dim,
            lr: self.lr,
            l2: self.l2,
            loss: if self.k_order { HybridLoss::KOsWarp } else { HybridLoss::Warp },
            max_sampled: self.max_sampled,
            rank_weight: self.rank_weight,
            k: self.k,
            n: self.n,
            batch_size: self.batch_size,
            ..HybridMfConfig::default()
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "matrix factorisation with the WARP or k-order WARP loss (Weston 2011, 2013)",
        build: |params| Ok(Box::new(parse_params::<WarpConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Learned::load(state, hybrid_mf::load_fold)?)),
        tiny: r#"{"dim": 8, "lr": 0.1, "batch_size": 64}"#,
    }
}

impl Fit for WarpConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        // Attributes are the hybrid's.
        hybrid_mf::start(
            NAME,
            &self.hybrid(),
            TrainingData::new(data.train, data.features),
            context,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_hand() {
        // Ranks of 11 items: 10, 5, 3, 2, 2.
        let log = RankWeight::Log.table(11, 5);
        let expected = [10.0f32.ln(), 5.0f32.ln(), 3.0f32.ln(), 2.0f32.ln(), 2.0f32.ln()];
        assert!(log.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{log:?}");
        // H(10) = 7381/2520, H(5) = 137/60, H(3) = 11/6, H(2) = 3/2.
        let harmonic = RankWeight::Harmonic.table(11, 5);
        let expected = [7381.0 / 2520.0, 137.0 / 60.0, 11.0 / 6.0, 1.5, 1.5];
        assert!(harmonic.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{harmonic:?}");
        // A rank of 0 or 1 weighs nothing in the logarithm, and at most 10.
        assert_eq!(RankWeight::Log.table(2, 3), [0.0; 3]);
        assert_eq!(RankWeight::Harmonic.table(1, 1), [0.0]);
        assert_eq!(RankWeight::Log.table(100_000_000, 1), [10.0]);
    }
}
