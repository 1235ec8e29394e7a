#![doc = include_str!("../README.md")]

mod best;
mod beta;
mod error;
mod evaluate;
mod evaluation;
mod full_rank;
mod measure;
mod metric;
mod panels;
mod plan;
mod rank;
mod ranked;
mod relevant;
mod significance;
mod slice;
mod stream;

// One file a metric.
mod auc;
mod coverage;
mod err;
mod f1;
mod hit_rate;
mod map;
mod mrr;
mod ndcg;
mod ndcg_graded;
mod precision;
mod r_precision;
mod rbp;
mod recall;

// What is not a ranking metric of one user.
pub mod beyond;
pub mod classification;
pub mod fairness;
pub mod rating;
mod user_values;

pub use user_values::UserValues;

use quintet_core::{Registry, RegistryError};

pub use error::EvalError;
pub use evaluate::{EvalConfig, Evaluator, evaluate, evaluate_lists};
pub use evaluation::Evaluation;
pub use metric::{MAX_GRADE, MetricEntry, MetricKind, Weight};
pub use rank::{RankOptions, rank_users};
pub use ranked::{FullRanks, RankedLists, RankedUser};
pub use rbp::rank_biased_precision;
pub use significance::{
    BootstrapConfig, Interval, TTest, Wilcoxon, WilcoxonConfig, WilcoxonMethod, ZeroDifferences,
    bootstrap_mean, bootstrap_mean_bca, cohens_d_paired, compare, holm, paired_bootstrap,
    paired_bootstrap_bca, paired_t_test, wilcoxon,
};
pub use slice::Slice;

/// Adds every metric of this crate to `r`.
///
/// # Errors
/// [`RegistryError::Duplicate`] when a name is taken.
pub fn register(r: &mut Registry<MetricEntry>) -> Result<(), RegistryError> {
    r.add(beyond::ENTROPY)?;
    r.add(beyond::GINI_COMPLEMENT)?;
    r.add(beyond::PERSONALISATION)?;
    r.add(beyond::USER_COVERAGE)?;
    r.add(coverage::ENTRY)?;
    r.add(hit_rate::ENTRY)?;
    r.add(map::ENTRY)?;
    r.add(map::ENTRY_MIN)?;
    r.add(mrr::ENTRY)?;
    r.add(ndcg::ENTRY)?;
    r.add(precision::ENTRY)?;
    r.add(recall::ENTRY)?;
    r.add(auc::ENTRY)?;
    r.add(auc::ENTRY_GROUPED)?;
    r.add(err::ENTRY)?;
    r.add(f1::ENTRY)?;
    r.add(ndcg::ENTRY_FULL)?;
    r.add(ndcg_graded::ENTRY_LINEAR)?;
    r.add(ndcg_graded::ENTRY_LINEAR_FULL)?;
    r.add(ndcg_graded::ENTRY_EXP)?;
    r.add(ndcg_graded::ENTRY_EXP_FULL)?;
    r.add(r_precision::ENTRY)?;
    r.add(rbp::ENTRY_50)?;
    r.add(rbp::ENTRY_80)?;
    r.add(rbp::ENTRY_95)?;
    Ok(())
}

/// A registry that holds the metrics of this crate and nothing else.
///
/// # Errors
/// None as long as the names in this crate are unique.
pub fn registry() -> Result<Registry<MetricEntry>, RegistryError> {
    let mut r = Registry::new("metric");
    register(&mut r)?;
    Ok(r)
}
