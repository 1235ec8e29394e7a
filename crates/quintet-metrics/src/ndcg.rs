//! NDCG@k with binary relevance: hits count less the later they come.
//!
//! `DCG@k = Σ 1 / log2(rank + 1)` over the hits, divided by the DCG of the best possible list,
//! which has `min(k, n_truth)` hits in a row; as `ndcg@k` of ranx.
//!
//! Paper: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques",
//! ACM TOIS 20(4), 2002.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "ndcg",
    summary: "hits among the first k discounted by 1 / log2(rank + 1), over the best possible",
    kind: MetricKind::PerUser(ndcg),
};

fn ndcg(user: &RankedUser<'_>) -> f64 {
    // Both sums run from the best rank down, so a perfect list gives exactly 1.
    let dcg: f64 = user.hit_ranks().map(discount).sum();
    let ideal: f64 = (1..=user.n_truth().min(user.k())).map(discount).sum();
    dcg / ideal
}

/// Weight of a hit at `rank`, counted from 1.
fn discount(rank: usize) -> f64 {
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
    }
}
