//! What lists are like beside being right: popular or not, alike or not, fair or not.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, Recommender};
use quintet_metrics::beyond::{BeyondAccuracy, ListContext};
use quintet_metrics::{EvalError, Evaluation, RankOptions, rank_users};

use super::{PipelineError, Prepared};

/// Measures the lists that `evaluation` measured, cut at the primary metric's `k`: concentration,
/// popularity, novelty, serendipity, diversity by every modality and by attributes, fairness. Keys
/// are those of [`BeyondAccuracy`], and `[evaluate] metrics` need not name them.
///
/// # Errors
/// A score is not a number.
pub(super) fn beyond(
    prepared: &Prepared,
    model: &dyn Recommender,
    evaluation: &Evaluation<quintet_core::Test>,
    primary: &str,
) -> Result<BTreeMap<String, f64>, PipelineError> {
    let k = cutoff(primary)?;
    let split = &prepared.split;
    let users = evaluation.users();
    let ranked = rank_users(model, users, &split.seen_for_test, &RankOptions::new(k))?;
    let lists: Vec<Vec<ItemIdx>> =
        ranked.iter().map(|list| list.iter().map(|scored| scored.item).collect()).collect();
    let mut context = ListContext::new(&split.train)
        .with_truth(split.test.truth())
        .with_features(&prepared.features);
    if let Some(attributes) = &prepared.item_attributes {
        context = context.with_categories(attributes);
    }
    Ok(BeyondAccuracy::new(context)?.measure(users, &lists, k)?.means().clone())
}

/// The `k` of `metric@k`.
fn cutoff(key: &str) -> Result<usize, EvalError> {
    let k = key.rsplit_once('@').and_then(|(_, k)| k.parse().ok());
    k.ok_or_else(|| EvalError::UnknownKey { key: key.to_owned(), known: "metric@k".to_owned() })
}
