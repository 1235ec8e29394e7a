//! AUC and GAUC: how often a relevant item scores above one that is not.
//!
//! Of all pairs of a relevant and another candidate of one user, the share in the right order, a
//! tie counting one half: with mid-ranks `r_j` of the `P` relevant ones of `n` candidates
//! `AUC = (P n - Σ r_j - P (P - 1) / 2) / (P (n - P))`, which is `roc_auc_score` of scikit-learn
//! on the scores of one user. Unlike in lists, equal scores are not told apart by the item.
//! Where every candidate is relevant there is no pair, and the value is 1/2.
//!
//! - `auc`: the mean over users.
//! - `gauc`: users count as many times as they have relevant items; those without a pair do not
//!   count. As `GAUC` of RecBole. It has no values by user: take those of `auc`.
//!
//! RecBole's `AUC` is neither: it compares the scores of different users, too.
//!
//! Paper: Zhu, Jin, Tan, Pan, Zeng, Li, Gai, "Optimized Cost per Click in Taobao Display
//! Advertising", KDD 2017 (GAUC); Hanley and McNeil, "The Meaning and Use of the Area under a
//! Receiver Operating Characteristic (ROC) Curve", Radiology 143, 1982.
//! Cost: O(relevant items) a user, and the ranks: see `full_rank.rs`.

use crate::{FullRanks, MetricEntry, MetricKind, Weight};

/// The registry entry of the plain mean.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "auc",
    summary: "share of pairs of a relevant and another item that are in the right order",
    kind: MetricKind::FullRank { value: auc, weight: Weight::User },
};

/// The registry entry of the mean that is weighted by relevant items.
pub(crate) const ENTRY_GROUPED: MetricEntry = MetricEntry {
    name: "gauc",
    summary: "as auc, but a user counts as many times as they have relevant items",
    kind: MetricKind::FullRank { value: auc, weight: Weight::Relevant },
};

fn auc(ranks: &FullRanks<'_>) -> f64 {
    let (p, n) = (ranks.n_truth() as f64, ranks.n_candidates() as f64);
    if p == n {
        return 0.5;
    }
    // Halves of whole numbers: exact.
    let right = p * n - ranks.mid_ranks().iter().sum::<f64>() - p * (p - 1.0) / 2.0;
    right / (p * (n - p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Relevant items at ranks 1 and 4 of 5: of 6 pairs 3 + 1 are right.
        assert_eq!(auc(&FullRanks::new(&[1.0, 4.0], 5)), 4.0 / 6.0);
        // One relevant item that shares ranks 1 to 3 with two others, a fourth below: 1/2 + 1/2
        // + 1 of 3.
        assert_eq!(auc(&FullRanks::new(&[2.0], 4)), 2.0 / 3.0);
        assert_eq!(auc(&FullRanks::new(&[1.5, 1.5], 2)), 0.5);
    }
}
