//! RBP@k: rank-biased precision, what a reader finds who goes on to the next rank with
//! probability `p`.
//!
//! `(1 - p) Σ p^(rank - 1)` over the hits among the first `k`. As `rbp.50`, `rbp.80` and `rbp.95`
//! of ranx, which reads the whole list it is given and, unlike here, weighs a hit by its grade.
//! `k` hits of `k` give `1 - p^k`: even the best list stays below 1, by what lies beyond it.
//! Small `p` is an impatient reader; the paper uses .5, .8 and .95. For another `p` register a
//! metric that calls [`rank_biased_precision`].
//!
//! Paper: Moffat and Zobel, "Rank-Biased Precision for Measurement of Retrieval Effectiveness",
//! ACM TOIS 27(1), 2008.
//! Cost: O(hits) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry of p = .5.
pub(crate) const ENTRY_50: MetricEntry = MetricEntry {
    name: "rbp.50",
    summary: "rank-biased precision of a reader who goes on with probability .5",
    kind: MetricKind::Utility { value: rbp::<50>, graded: false },
};

/// The registry entry of p = .8.
pub(crate) const ENTRY_80: MetricEntry = MetricEntry {
    name: "rbp.80",
    summary: "rank-biased precision of a reader who goes on with probability .8",
    kind: MetricKind::Utility { value: rbp::<80>, graded: false },
};

/// The registry entry of p = .95.
pub(crate) const ENTRY_95: MetricEntry = MetricEntry {
    name: "rbp.95",
    summary: "rank-biased precision of a reader who goes on with probability .95",
    kind: MetricKind::Utility { value: rbp::<95>, graded: false },
};

fn rbp<const HUNDREDTHS: u8>(user: &RankedUser<'_>) -> f64 {
    rank_biased_precision(user, f64::from(HUNDREDTHS) / 100.0)
}

/// Rank-biased precision of a reader who goes on to the next rank with probability `persistence`,
/// for metrics of one's own.
///
/// # Panics
/// When `persistence` is not between 0 and 1.
pub fn rank_biased_precision(user: &RankedUser<'_>, persistence: f64) -> f64 {
    assert!((0.0..1.0).contains(&persistence), "a probability below 1, not {persistence}");
    let power = |rank: usize| persistence.powi(i32::try_from(rank - 1).unwrap_or(i32::MAX));
    (1.0 - persistence) * user.hit_ranks().map(power).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Hits at ranks 1 and 3: (1 + 1/4) / 2.
        assert_eq!(rbp::<50>(&RankedUser::new(&[true, false, true], 2, 3)), 0.625);
        assert_eq!(rbp::<50>(&RankedUser::new(&[true, false, true], 2, 2)), 0.5);
        let all = rbp::<80>(&RankedUser::new(&[true; 3], 3, 3));
        assert!((all - (1.0 - 0.8f64.powi(3))).abs() < 1e-15);
    }
}
