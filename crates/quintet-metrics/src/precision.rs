//! Precision@k: which share of the first k places is relevant.
//!
//! `hits / k`, as `precision@k` of ranx: places that a short list leaves empty count as misses.
//! It cannot reach 1 for a user with fewer than `k` relevant items.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "precision",
    summary: "share of the first k places that hold a relevant item",
    kind: MetricKind::PerUser(precision),
};

fn precision(user: &RankedUser<'_>) -> f64 {
    user.n_hits() as f64 / user.k() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_place_is_a_miss() {
        // 2 hits in a list of 3, cut at 4: 2 / 4.
        assert_eq!(precision(&RankedUser::new(&[true, false, true], 5, 4)), 0.5);
    }
}
