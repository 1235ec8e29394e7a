//! ERR@k: expected reciprocal rank, how early a reader is satisfied who may stop at any hit.
//!
//! An item of grade `g` satisfies with probability `R = (2^g - 1) / 2^g_max`, and
//! `ERR@k = Σ_r R_r / r · Π_{i < r} (1 - R_i)`. `g_max` is the largest grade of the scale: that of
//! `Evaluator::with_max_grade`, otherwise the largest grade that is held out. With grades of 1
//! alone `R` is 1/2, and even the best list stays below 1.
//!
//! Paper: Chapelle, Metzler, Zhang, Grinspan, "Expected Reciprocal Rank for Graded Relevance",
//! CIKM 2009.
//! Cost: O(hits) a user.

use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry.
pub(crate) const ENTRY: MetricEntry = MetricEntry {
    name: "err",
    summary: "expected 1 / rank at which a reader is satisfied, likelier by higher grades",
    kind: MetricKind::Utility { value: err, graded: true },
};

fn err(user: &RankedUser<'_>) -> f64 {
    let (mut unsatisfied, mut value) = (1.0, 0.0);
    for (rank, grade) in user.hit_grades() {
        // 2^g / 2^g_max - 1 / 2^g_max, which stays finite.
        let satisfied = (grade - user.max_grade()).exp2() - (-user.max_grade()).exp2();
        value += unsatisfied * satisfied / rank as f64;
        unsatisfied *= 1.0 - satisfied;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Grade 2 of 2 satisfies with 3/4, grade 1 with 1/4: 3/4 + 1/4 · 1/4 / 3.
        let user = RankedUser::new(&[true, false, true], 2, 3);
        let user = user.with_grades(&[2.0, 1.0], &[2.0, 1.0], 2.0);
        assert!((err(&user) - (0.75 + 1.0 / 48.0)).abs() < 1e-15);
        // Without grades every hit satisfies with 1/2.
        assert_eq!(err(&RankedUser::new(&[true, true], 2, 2)), 0.625);
    }
}
