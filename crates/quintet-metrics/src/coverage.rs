//! Coverage@k: which share of the catalogue is shown to anybody at all.
//!
//! Distinct items in the first `k` places of all evaluated users, divided by the number of items
//! that took part in the ranking. Not a mean over users.
//!
//! Paper: Ge, Delgado-Battenfeld, Jannach, "Beyond Accuracy: Evaluating Recommender Systems by
//! Coverage and Serendipity", RecSys 2010.
//! Cost: O(users · k + items).

use crate::{MetricEntry, MetricKind, RankedLists};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "coverage",
    summary: "share of the catalogue that is among the first k of at least one user",
    kind: MetricKind::Whole(coverage),
};

fn coverage(lists: &RankedLists<'_>) -> f64 {
    let mut shown = vec![false; lists.n_items()];
    for item in lists.iter().flatten() {
        shown[item.index()] = true;
    }
    shown.iter().filter(|s| **s).count() as f64 / lists.n_candidates() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;

    #[test]
    fn an_item_counts_once_and_only_above_the_cutoff() {
        let lists = [vec![ItemIdx(0), ItemIdx(1), ItemIdx(2)], vec![ItemIdx(0)]];
        assert_eq!(coverage(&RankedLists::new(&lists, 8, 8, 2)), 0.25);
        assert_eq!(coverage(&RankedLists::new(&lists, 8, 4, 3)), 0.75);
    }
}
