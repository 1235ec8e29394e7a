//! What a metric is: a name, a sentence and a function of ranked lists.

use quintet_core::Named;

use crate::{FullRanks, RankedLists, RankedUser};

/// What a metric is computed from, and thereby how it is reduced to one number.
///
/// Values lie in `[0, 1]` and higher is better. Results of the first three kinds are keyed by
/// name and cutoff, `"ndcg@10"`; metrics without a cutoff by their name, `"auc"`.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// One value a user from the first `k` ranks; the result is the mean over users. The value is
    /// 1 when the first `k` items are exactly the `k` relevant ones.
    PerUser(fn(&RankedUser<'_>) -> f64),
    /// As [`MetricKind::PerUser`], and reads the grades, which must then be from 0 to
    /// [`MAX_GRADE`].
    Graded(fn(&RankedUser<'_>) -> f64),
    /// As [`MetricKind::PerUser`], but the best list gives less than 1.
    Utility {
        /// The function.
        value: fn(&RankedUser<'_>) -> f64,
        /// Whether it reads the grades.
        graded: bool,
    },
    /// As [`MetricKind::PerUser`], with the number of the user's relevant items as the cutoff.
    AtTruth(fn(&RankedUser<'_>) -> f64),
    /// One value a user from the ranks of all relevant items among everything that takes part.
    /// Given lists have no such ranks. Without such a metric nobody computes them.
    FullRank {
        /// The function.
        value: fn(&FullRanks<'_>) -> f64,
        /// How much a user counts in the mean.
        weight: Weight,
    },
    /// One value for all lists together.
    Whole(fn(&RankedLists<'_>) -> f64),
}

/// The largest grade that graded metrics take: `2^grade` and sums of it stay finite.
pub const MAX_GRADE: f32 = 1000.0;

/// How much a user counts in a mean over users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Every user the same.
    User,
    /// As many times as relevant items, and not at all where every candidate is relevant. There
    /// are no values by user then: their plain mean would be another number.
    Relevant,
}

/// A metric as the registry holds it.
///
/// Contract: finite, in `[0, 1]`, higher is better; a per-user metric is 0 without a hit, and
/// has its largest value for the best list: see [`MetricKind`].
#[derive(Debug, Clone, Copy)]
pub struct MetricEntry {
    /// Registry key, such as `"ndcg"`; results are keyed `"ndcg@10"`.
    pub name: &'static str,
    /// One sentence for people who choose a metric.
    pub summary: &'static str,
    /// The function.
    pub kind: MetricKind,
}

impl MetricEntry {
    /// Whether the metric is taken at cutoffs; without them its key is its name.
    pub fn has_cutoff(&self) -> bool {
        !matches!(self.kind, MetricKind::AtTruth(_) | MetricKind::FullRank { .. })
    }
}

impl Named for MetricEntry {
    fn name(&self) -> &str {
        self.name
    }
}
