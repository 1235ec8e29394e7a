//! F1@k: the harmonic mean of precision and recall.
//!
//! `2 · hits / (k + n_truth)`, which is `2 P R / (P + R)` with `P = hits / k` and
//! `R = hits / n_truth`; 0 without a hit. As `f1@k` of ranx: the harmonic mean is taken for each
//! user and then averaged, not taken of two averages.
//!
//! Source: van Rijsbergen, "Information Retrieval", 2nd edition, 1979, chapter 7.
//! Cost: O(1) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "f1",
    summary: "harmonic mean of precision and recall among the first k",
    kind: MetricKind::PerUser(f1),
};

fn f1(user: &RankedUser<'_>) -> f64 {
    2.0 * user.n_hits() as f64 / (user.k() + user.n_truth()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_harmonic_mean() {
        // 2 hits of 5 relevant items in the first 4: precision 1/2, recall 2/5, F1 4/9.
        let got = f1(&RankedUser::new(&[true, false, true, false], 5, 4));
        assert!((got - 4.0 / 9.0).abs() < 1e-15);
        assert_eq!(f1(&RankedUser::new(&[false], 5, 4)), 0.0);
    }
}
