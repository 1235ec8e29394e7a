#![doc = include_str!("../README.md")]

mod beta;
mod error;
mod evaluate;
mod evaluation;
mod metric;
mod rank;
mod significance;

// One file a metric.
mod coverage;
mod hit_rate;
mod map;
mod mrr;
mod ndcg;
mod precision;
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
pub use metric::{MetricEntry, MetricKind, RankedLists, RankedUser};
pub use rank::{RankOptions, rank_users};
pub use significance::{
    BootstrapConfig, Interval, TTest, Wilcoxon, WilcoxonConfig, WilcoxonMethod, ZeroDifferences,
    bootstrap_mean, bootstrap_mean_bca, cohens_d_paired, compare, holm, paired_bootstrap,
    paired_bootstrap_bca, paired_t_test, wilcoxon,
};

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
