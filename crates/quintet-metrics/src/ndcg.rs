//! NDCG@k with binary relevance: hits count less the later they come.
//!
//! `DCG@k = Σ 1 / log2(rank + 1)` over the hits, divided by the DCG of the best possible list,
//! in two conventions:
//!
//! - `ndcg`: the best list is cut at `k` as well and has `min(k, n_truth)` hits in a row, as
//!   `ndcg@k` of ranx, RecBole and MMRec, and `ndcg_score` of scikit-learn. 1 is always in reach.
//! - `ndcg_full`: the best list has all `n_truth` relevant items, whatever `k`. It cannot reach 1
//!   for a user with more than `k` relevant items.
//!
//! Grades are not read; see `ndcg_graded.rs`. MMRec rounds means to four digits before it
//! compares them; nothing is rounded here.
//!
//! Paper: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques",
//! ACM TOIS 20(4), 2002.
//! Cost: O(hits) a user.

use std::sync::LazyLock;

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "ndcg",
    summary: "hits among the first k discounted by 1 / log2(rank + 1), over the best possible",
    kind: MetricKind::PerUser(ndcg),
};

/// The registry entry with the best list of any length.
pub(crate) const ENTRY_FULL: MetricEntry = MetricEntry {
    name: "ndcg_full",
    summary: "as ndcg, but over the best list of all relevant items, also those beyond k",
    kind: MetricKind::PerUser(ndcg_full),
};

fn ndcg(user: &RankedUser<'_>) -> f64 {
    dcg(user) / ideal(user.n_truth().min(user.k()))
}

fn ndcg_full(user: &RankedUser<'_>) -> f64 {
    dcg(user) / ideal(user.n_truth())
}

/// From the best rank down, as the ideal: a perfect list gives exactly 1.
fn dcg(user: &RankedUser<'_>) -> f64 {
    user.hit_ranks().map(discount).sum()
}

/// The first weights, and what the best lists of 0, 1, 2, … hits have.
static TABLE: LazyLock<(Vec<f64>, Vec<f64>)> = LazyLock::new(|| {
    let weights: Vec<f64> = (1..=1024).map(weight).collect();
    let mut sums = vec![0.0];
    sums.extend(weights.iter().scan(0.0, |sum, weight| {
        *sum += weight;
        Some(*sum)
    }));
    (weights, sums)
});

/// Weight of a hit at `rank`, counted from 1.
pub(crate) fn discount(rank: usize) -> f64 {
    TABLE.0.get(rank - 1).copied().unwrap_or_else(|| weight(rank))
}

/// The DCG of `n` hits in a row.
fn ideal(n: usize) -> f64 {
    let sums = &TABLE.1;
    match sums.get(n) {
        Some(sum) => *sum,
        None => (sums.len()..=n).map(weight).fold(sums[sums.len() - 1], |sum, weight| sum + weight),
    }
}

fn weight(rank: usize) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Hits at ranks 1 and 3: 1 + 1/2. Best with 2 relevant items: 1 + 1/log2(3).
        let got = ndcg(&RankedUser::new(&[true, false, true], 2, 3));
        assert!((got - 1.5 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-15);
        // Cut at 1 only the first rank counts, for the list and for the best possible one.
        assert_eq!(ndcg(&RankedUser::new(&[true, false, true], 2, 1)), 1.0);
        let full = ndcg_full(&RankedUser::new(&[true, false, true], 2, 1));
        assert!((full - 1.0 / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-15);
    }

    #[test]
    fn a_long_perfect_list_is_exactly_one() {
        for n in [1, 1023, 1024, 1025, 3000] {
            assert_eq!(ndcg(&RankedUser::new(&vec![true; n], n, n)), 1.0, "{n}");
        }
    }
}
