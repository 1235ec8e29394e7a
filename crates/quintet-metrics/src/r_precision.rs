//! R-precision: the precision at as many ranks as a user has relevant items.
//!
//! `hits among the first n_truth / n_truth`, as `r-precision` of ranx; precision and recall are
//! the same there. It has no cutoff, so its key is its name. Places that a short list leaves
//! empty count as misses; lists of a model are made long enough.
//!
//! Source: Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, §8.4.
//! Cost: O(1) a user, and lists of length n_truth.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "r_precision",
    summary: "precision at as many ranks as the user has relevant items; without a cutoff",
    kind: MetricKind::AtTruth(r_precision),
};

fn r_precision(user: &RankedUser<'_>) -> f64 {
    user.n_hits() as f64 / user.n_truth() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // 3 relevant items, 1 of them in the first 3.
        assert_eq!(r_precision(&RankedUser::new(&[false, true, false, true], 3, 3)), 1.0 / 3.0);
    }
}
