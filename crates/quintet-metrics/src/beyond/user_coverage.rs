//! User coverage@k: the share of users who are shown anything at all.
//!
//! A model that cannot serve somebody (a user without neighbours, without history) leaves an empty
//! list. No user at all gives 0.
//!
//! Paper: Ge, Delgado-Battenfeld, Jannach, "Beyond Accuracy: Evaluating Recommender Systems by
//! Coverage and Serendipity", RecSys 2010 (as coverage of prediction, by users instead of items).
//! Cost: O(users).

use crate::{MetricEntry, MetricKind, RankedLists};

/// The registry entry.
pub(crate) const USER_COVERAGE: MetricEntry = MetricEntry {
    name: "user_coverage",
    summary: "share of the users whose list is not empty",
    kind: MetricKind::Whole(user_coverage),
};

pub(super) fn user_coverage(lists: &RankedLists<'_>) -> f64 {
    let (served, users) = lists.iter().fold((0u64, 0u64), |(served, users), list| {
        (served + u64::from(!list.is_empty()), users + 1)
    });
    if users == 0 { 0.0 } else { served as f64 / users as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;

    #[test]
    fn empty_lists_are_not_served() {
        let lists = [vec![ItemIdx(0), ItemIdx(1)], vec![], vec![ItemIdx(0)], vec![]];
        assert_eq!(user_coverage(&RankedLists::new(&lists, 2, 2, 1)), 0.5);
        assert_eq!(user_coverage(&RankedLists::new(&[], 2, 2, 1)), 0.0);
    }
}
