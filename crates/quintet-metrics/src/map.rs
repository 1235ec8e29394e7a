//! MAP@k: the mean of the precisions at the ranks of the hits, in two conventions.
//!
//! - `map`: the sum is divided by the number of relevant items, as `map@k` of ranx and TREC do.
//!   It cannot reach 1 for a user with more than `k` relevant items.
//! - `map_min`: the sum is divided by `min(k, n_truth)`, so that 1 is always in reach; many
//!   recommender papers mean this one.
//!
//! Both agree when no user has more than `k` relevant items.
//!
//! Source: Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, §8.4.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry of the convention of ranx and TREC.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "map",
    summary: "precision at the hits among the first k, summed over the number of relevant items",
    kind: MetricKind::PerUser(map),
};

/// The registry entry of the convention that can always reach 1.
pub(crate) const ENTRY_MIN: MetricEntry = MetricEntry {
    name: "map_min",
    summary: "as map, but over the smaller of k and the number of relevant items",
    kind: MetricKind::PerUser(map_min),
};

fn map(user: &RankedUser<'_>) -> f64 {
    precision_sum(user) / user.n_truth() as f64
}

fn map_min(user: &RankedUser<'_>) -> f64 {
    precision_sum(user) / user.n_truth().min(user.k()) as f64
}

/// Precision at every rank that holds a hit, added up.
fn precision_sum(user: &RankedUser<'_>) -> f64 {
    user.hit_ranks().enumerate().map(|(before, rank)| (before + 1) as f64 / rank as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_conventions_differ_beyond_the_cutoff() {
        // Hits at ranks 1 and 3: 1/1 + 2/3 = 5/3; 4 relevant items, cutoff 3.
        let user = RankedUser::new(&[true, false, true, true], 4, 3);
        assert!((map(&user) - 5.0 / 12.0).abs() < 1e-15);
        assert!((map_min(&user) - 5.0 / 9.0).abs() < 1e-15);
    }
}
