//! Hit rate@k: whether any of the first k items is relevant.
//!
//! 1 or 0 a user, as `hit_rate@k` of ranx; the mean is the share of users with a hit.
//! Cost: O(k) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "hit_rate",
    summary: "share of users with at least one relevant item among the first k",
    kind: MetricKind::PerUser(hit_rate),
};

fn hit_rate(user: &RankedUser<'_>) -> f64 {
    if user.n_hits() > 0 { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_below_the_cutoff_does_not_count() {
        assert_eq!(hit_rate(&RankedUser::new(&[false, false, true], 1, 2)), 0.0);
        assert_eq!(hit_rate(&RankedUser::new(&[false, false, true], 1, 3)), 1.0);
    }
}
