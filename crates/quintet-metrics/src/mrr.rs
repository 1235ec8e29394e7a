//! MRR@k: how early the first relevant item comes.
//!
//! `1 / rank` of the first hit, 0 when there is none among the first `k`, as `mrr@k` of ranx.
//!
//! Paper: Voorhees, "The TREC-8 Question Answering Track Report", TREC 1999.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "mrr",
    summary: "mean of 1 / rank of the first relevant item among the first k, else 0",
    kind: MetricKind::PerUser(mrr),
};

fn mrr(user: &RankedUser<'_>) -> f64 {
    user.hit_ranks().next().map_or(0.0, |rank| 1.0 / rank as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_hit_counts() {
        assert_eq!(mrr(&RankedUser::new(&[false, true, true], 2, 3)), 0.5);
        assert_eq!(mrr(&RankedUser::new(&[false, true, true], 2, 1)), 0.0);
    }
}
