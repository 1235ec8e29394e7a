//! Recall@k: which share of the relevant items is among the first k.
//!
//! `hits / n_truth`, as `recall@k` of ranx. It cannot reach 1 for a user with more than `k`
//! relevant items.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "recall",
    summary: "share of a user's relevant items that are among the first k",
    kind: MetricKind::PerUser(recall),
};

fn recall(user: &RankedUser<'_>) -> f64 {
    user.n_hits() as f64 / user.n_truth() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 2 of 5 relevant items in the first 3.
        assert_eq!(recall(&RankedUser::new(&[true, false, true, true], 5, 3)), 0.4);
    }
}
