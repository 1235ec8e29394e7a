//! What lists are like beside being right: popular or not, alike or not, fair or not.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, Recommender, UserIdx};
use quintet_metrics::beyond::{BeyondAccuracy, ListContext};
use quintet_metrics::{EvalConfig, EvalError, Evaluation, RankOptions, evaluate_lists, rank_users};
use quintet_rules::{RuleContext, Rules};
use rayon::prelude::*;

use super::{EvaluateSpec, PipelineError, Prepared};

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
    measure(prepared, users, &lists, k)
}

/// Measures lists of `users`, one each.
fn measure(
    prepared: &Prepared,
    users: &[UserIdx],
    lists: &[Vec<ItemIdx>],
    k: usize,
) -> Result<BTreeMap<String, f64>, PipelineError> {
    let split = &prepared.split;
    let mut context = ListContext::new(&split.train)
        .with_truth(split.test.truth())
        .with_features(&prepared.features);
    if let Some(attributes) = &prepared.item_attributes {
        context = context.with_categories(attributes);
    }
    Ok(BeyondAccuracy::new(context)?.measure(users, lists, k)?.means().clone())
}

/// What the lists are like after the rules of `spec`, and how often they are right then: Recall,
/// Precision and NDCG. Empty without rules.
///
/// # Errors
/// A rule reads what the dataset does not have; a score is not a number.
pub(super) fn ruled(
    prepared: &Prepared,
    model: &dyn Recommender,
    evaluation: &Evaluation<quintet_core::Test>,
    spec: &EvaluateSpec,
) -> Result<BTreeMap<String, f64>, PipelineError> {
    if spec.rules.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (k, split, users) = (cutoff(&spec.primary)?, &prepared.split, evaluation.users());
    let mut context = RuleContext::new(split.train.n_items()).with_features(&prepared.features);
    if let Some(attributes) = &prepared.item_attributes {
        context = context.with_categories(attributes);
    }
    let rules = Rules::new(spec.rules.clone(), &context)?;
    let options = RankOptions::new(spec.rule_candidates.max(k));
    let ranked = rank_users(model, users, &split.seen_for_test, &options)?;
    let shown = ranked.into_par_iter().zip(users).map(|(candidates, user)| {
        let history = split.train.items(*user);
        rules.apply(history, candidates, k).iter().map(|scored| scored.item).collect()
    });
    let lists: Vec<Vec<ItemIdx>> = shown.collect();
    let mut all = measure(prepared, users, &lists, k)?;
    let mut of_everybody = vec![Vec::new(); split.train.n_users()];
    for (user, list) in users.iter().zip(lists) {
        of_everybody[user.index()] = list;
    }
    let metrics = ["recall", "precision", "ndcg"].map(String::from).into();
    let config = EvalConfig { cutoffs: vec![k], metrics };
    let right = evaluate_lists(&of_everybody, &split.test, &config)?;
    all.extend(right.means().clone());
    Ok(all)
}

/// The `k` of `metric@k`.
fn cutoff(key: &str) -> Result<usize, EvalError> {
    let k = key.rsplit_once('@').and_then(|(_, k)| k.parse().ok());
    k.ok_or_else(|| EvalError::UnknownKey { key: key.to_owned(), known: "metric@k".to_owned() })
}
