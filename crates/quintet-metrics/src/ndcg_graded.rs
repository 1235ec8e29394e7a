//! NDCG@k with graded relevance: better items count more, and all count less the later they come.
//!
//! `DCG@k = Σ gain(grade) / log2(rank + 1)` over the hits, divided by the DCG of the best possible
//! list, which has the relevant items by descending grade. Held-out values are the grades. Two
//! gains:
//!
//! - `ndcg_linear`: the grade itself, as `ndcg@k` of ranx and `ndcg_score` of scikit-learn
//!   (Järvelin and Kekäläinen). scikit-learn averages over the orders of equal scores unless told
//!   to ignore ties; here lists are ordered by item there.
//! - `ndcg_exp`: `2^grade - 1`, as `ndcg_burges@k` of ranx and in most papers on web search.
//!
//! and two best lists: cut at `k`, or with `_full` all relevant items, as in `ndcg.rs`. With
//! grades of 1 alone they are `ndcg` and `ndcg_full`. ranx leaves items of grade 0 out; they gain
//! nothing here either. 0 where all grades are 0.
//!
//! Papers: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS
//! 20(4), 2002; Burges et al., "Learning to Rank Using Gradient Descent", ICML 2005.
//! Cost: O(min(k, relevant items)) a user, and sorting their grades.

use crate::ndcg::discount;
use crate::{MetricEntry, MetricKind, RankedUser};

/// The registry entry of the linear gain.
pub(crate) const ENTRY_LINEAR: MetricEntry = MetricEntry {
    name: "ndcg_linear",
    summary: "ndcg of grades, whose gain is the grade",
    kind: MetricKind::Graded(linear),
};

/// The registry entry of the linear gain over the best list of any length.
pub(crate) const ENTRY_LINEAR_FULL: MetricEntry = MetricEntry {
    name: "ndcg_linear_full",
    summary: "as ndcg_linear, but over the best list of all relevant items, also those beyond k",
    kind: MetricKind::Graded(linear_full),
};

/// The registry entry of the exponential gain.
pub(crate) const ENTRY_EXP: MetricEntry = MetricEntry {
    name: "ndcg_exp",
    summary: "ndcg of grades, whose gain is 2^grade - 1",
    kind: MetricKind::Graded(exp),
};

/// The registry entry of the exponential gain over the best list of any length.
pub(crate) const ENTRY_EXP_FULL: MetricEntry = MetricEntry {
    name: "ndcg_exp_full",
    summary: "as ndcg_exp, but over the best list of all relevant items, also those beyond k",
    kind: MetricKind::Graded(exp_full),
};

fn linear(user: &RankedUser<'_>) -> f64 {
    ndcg(user, |grade| grade, user.k())
}

fn linear_full(user: &RankedUser<'_>) -> f64 {
    ndcg(user, |grade| grade, usize::MAX)
}

fn exp(user: &RankedUser<'_>) -> f64 {
    ndcg(user, |grade| grade.exp2() - 1.0, user.k())
}

fn exp_full(user: &RankedUser<'_>) -> f64 {
    ndcg(user, |grade| grade.exp2() - 1.0, usize::MAX)
}

/// Over the best list of at most `length` items.
fn ndcg(user: &RankedUser<'_>, gain: impl Fn(f64) -> f64, length: usize) -> f64 {
    // Both sums run from the best rank down, so a perfect list gives exactly 1.
    let dcg: f64 = user.hit_grades().map(|(rank, grade)| gain(grade) * discount(rank)).sum();
    if dcg == 0.0 {
        return 0.0;
    }
    let ideal = user.ideal_grades().take(length).enumerate();
    dcg / ideal.map(|(at, grade)| gain(grade) * discount(at + 1)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Grades 1, 3 at ranks 1, 3; relevant are grades 3, 2, 1.
        let user = RankedUser::new(&[true, false, true], 3, 3);
        let user = user.with_grades(&[1.0, 3.0], &[3.0, 2.0, 1.0], 3.0);
        let second = 1.0 / 3f64.log2();
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-15, "{got} {want}");
        near(linear(&user), (1.0 + 1.5) / (3.0 + 2.0 * second + 0.5));
        near(exp(&user), (1.0 + 3.5) / (7.0 + 3.0 * second + 0.5));
        let user = RankedUser::new(&[true, false, true], 3, 1);
        let user = user.with_grades(&[1.0], &[3.0, 2.0, 1.0], 3.0);
        near(linear(&user), 1.0 / 3.0);
        near(exp(&user), 1.0 / 7.0);
        near(linear_full(&user), 1.0 / (3.0 + 2.0 * second + 0.5));
        near(exp_full(&user), 1.0 / (7.0 + 3.0 * second + 0.5));
    }

    #[test]
    fn nothing_but_zeros_is_zero() {
        let user = RankedUser::new(&[true], 1, 1).with_grades(&[0.0], &[0.0], 0.0);
        assert_eq!((linear(&user), exp(&user)), (0.0, 0.0));
    }
}
