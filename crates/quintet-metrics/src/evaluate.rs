//! Full-ranking evaluation: every item that a user has not seen competes.
//!
//! No item is sampled away. Users without a held-out item are left out and counted. Means are
//! sums in the order of users, so the numbers are the same for every block size and thread count.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use quintet_core::{Held, Interactions, ItemIdx, Phase, Recommender, Registry, UserIdx};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rank::check;
use crate::{
    EvalError, Evaluation, MetricEntry, MetricKind, RankOptions, RankedLists, RankedUser,
    rank_users, registry,
};

/// How a per-user metric is computed.
type PerUserMetric = fn(&RankedUser<'_>) -> f64;

/// Which metrics at which cutoffs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// The k of every metric@k; each at least 1 and given once.
    pub cutoffs: Vec<usize>,
    /// Registry names, each given once.
    pub metrics: Vec<String>,
}

impl Default for EvalConfig {
    fn default() -> Self {
        let metrics = ["recall", "precision", "hit_rate", "ndcg", "map", "mrr", "coverage"];
        Self { cutoffs: vec![5, 10, 20], metrics: metrics.map(String::from).to_vec() }
    }
}

/// Evaluates `model` with the metrics of this crate, all items competing.
///
/// `seen` holds what is masked for each user: the training data, and for a test the validation
/// data as well.
///
/// # Errors
/// As [`Evaluator::new`] and [`Evaluator::evaluate`].
pub fn evaluate<P: Phase>(
    model: &dyn Recommender,
    held: &Held<P>,
    seen: &Interactions,
    config: &EvalConfig,
) -> Result<Evaluation<P>, EvalError> {
    Evaluator::new(config, &registry()?)?.evaluate(model, held, seen)
}

/// Evaluates ranked lists that come from anywhere with the metrics of this crate.
///
/// # Errors
/// As [`Evaluator::new`] and [`Evaluator::evaluate_lists`].
pub fn evaluate_lists<P: Phase>(
    lists: &[Vec<ItemIdx>],
    held: &Held<P>,
    config: &EvalConfig,
) -> Result<Evaluation<P>, EvalError> {
    Evaluator::new(config, &registry()?)?.evaluate_lists(lists, held)
}

/// An evaluation that is set up once and run on many models.
#[derive(Debug, Clone)]
pub struct Evaluator<'a> {
    cutoffs: Vec<usize>,
    metrics: Vec<MetricEntry>,
    candidates: Option<&'a [bool]>,
    block_users: Option<usize>,
}

impl<'a> Evaluator<'a> {
    /// Looks the metrics up in `registry`, which may hold more than this crate's.
    ///
    /// # Errors
    /// No cutoff or metric, one that is given twice, a cutoff of 0, or an unknown metric.
    pub fn new(config: &EvalConfig, registry: &Registry<MetricEntry>) -> Result<Self, EvalError> {
        check_unique("cutoffs", &config.cutoffs)?;
        check_unique("metrics", &config.metrics)?;
        if config.cutoffs.contains(&0) {
            return Err(EvalError::Setting {
                setting: "cutoffs",
                expected: "whole numbers from 1",
                found: "0".into(),
            });
        }
        let metrics: Result<Vec<_>, _> =
            config.metrics.iter().map(|name| registry.get(name).copied()).collect();
        Ok(Self {
            cutoffs: config.cutoffs.clone(),
            metrics: metrics?,
            candidates: None,
            block_users: None,
        })
    }

    /// Lets only the marked items take part, `[n_items]`: they alone are ranked, and only
    /// held-out items among them count. This is how brand-new items are evaluated on their own.
    pub fn with_candidates(mut self, candidates: &'a [bool]) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// Scores `users` at once; changes time and memory, never the result.
    pub fn with_block_users(mut self, users: usize) -> Self {
        self.block_users = Some(users);
        self
    }

    /// Ranks all items that take part for every user with a held-out item, and measures.
    ///
    /// # Errors
    /// Tables of different sizes, a held-out item that is masked as seen, nobody to evaluate, a
    /// model that fails, or a score that is not a number.
    pub fn evaluate<P: Phase>(
        &self,
        model: &dyn Recommender,
        held: &Held<P>,
        seen: &Interactions,
    ) -> Result<Evaluation<P>, EvalError> {
        let truth = held.truth();
        let of_model = |what: &str| format!("{what} as model {} knows them", model.name());
        let held_out = |what: &str| of_model(&format!("{what} of the held-out {} data", P::NAME));
        check(held_out("items"), model.n_items(), truth.n_items())?;
        check(held_out("users"), model.n_users(), truth.n_users())?;
        check(of_model("users of the seen interactions"), model.n_users(), seen.n_users())?;
        check(of_model("items of the seen interactions"), model.n_items(), seen.n_items())?;
        let users = self.users_with_truth(held)?;
        let options = RankOptions {
            k: self.cutoffs.iter().copied().max().unwrap_or(0),
            candidates: self.candidates,
            block_users: self.block_users,
        };
        self.refuse_seen_truth(held, seen, &users)?;
        let lists: Vec<Vec<ItemIdx>> = rank_users(model, &users, seen, &options)?
            .into_iter()
            .map(|list| list.into_iter().map(|scored| scored.item).collect())
            .collect();
        self.measure(held, users, &lists)
    }

    /// Measures given lists: `lists[u]` is the ranking for user `u`, best first, empty if there
    /// is none. With candidates, other items are taken out of the lists first.
    ///
    /// # Errors
    /// Not one list a user, an unknown item, an item that is twice in a list, or nobody to
    /// evaluate.
    pub fn evaluate_lists<P: Phase>(
        &self,
        lists: &[Vec<ItemIdx>],
        held: &Held<P>,
    ) -> Result<Evaluation<P>, EvalError> {
        check("ranked lists, one a user", held.truth().n_users(), lists.len())?;
        for (user, list) in lists.iter().enumerate() {
            check_list(user, list, held.truth().n_items())?;
        }
        let users = self.users_with_truth(held)?;
        let takes_part = |item: &&ItemIdx| self.takes_part(**item);
        let lists: Vec<Vec<ItemIdx>> = users
            .iter()
            .map(|user| lists[user.index()].iter().filter(takes_part).copied().collect())
            .collect();
        self.measure(held, users, &lists)
    }

    fn takes_part(&self, item: ItemIdx) -> bool {
        self.candidates.is_none_or(|c| c[item.index()])
    }

    /// The held-out items of `user` that take part.
    fn truth_of<P: Phase>(&self, held: &Held<P>, user: UserIdx) -> impl Iterator<Item = ItemIdx> {
        held.truth().items(user).iter().copied().filter(|item| self.takes_part(*item))
    }

    fn users_with_truth<P: Phase>(&self, held: &Held<P>) -> Result<Vec<UserIdx>, EvalError> {
        let truth = held.truth();
        if let Some(candidates) = self.candidates {
            check("items of the candidate mask", truth.n_items(), candidates.len())?;
        }
        let users: Vec<UserIdx> = (0..truth.n_users())
            .map(UserIdx::new)
            .filter(|user| truth.items(*user).iter().any(|item| self.takes_part(*item)))
            .collect();
        if users.is_empty() {
            return Err(EvalError::NoUsers { phase: P::NAME, n_users: truth.n_users() });
        }
        Ok(users)
    }

    fn refuse_seen_truth<P: Phase>(
        &self,
        held: &Held<P>,
        seen: &Interactions,
        users: &[UserIdx],
    ) -> Result<(), EvalError> {
        for &user in users {
            if let Some(item) = self.truth_of(held, user).find(|&item| seen.contains(user, item)) {
                return Err(EvalError::SeenTruth { phase: P::NAME, user: user.0, item: item.0 });
            }
        }
        Ok(())
    }

    /// Metrics of `lists`, one for each of `users`, of items that take part.
    fn measure<P: Phase>(
        &self,
        held: &Held<P>,
        users: Vec<UserIdx>,
        lists: &[Vec<ItemIdx>],
    ) -> Result<Evaluation<P>, EvalError> {
        let truth = held.truth();
        let mut evaluation = Evaluation {
            n_skipped: truth.n_users() - users.len(),
            means: BTreeMap::new(),
            users,
            per_user: BTreeMap::new(),
            phase: PhantomData,
        };
        self.measure_users(held, lists, &mut evaluation)?;
        let n_candidates =
            self.candidates.map_or(truth.n_items(), |c| c.iter().filter(|c| **c).count());
        for (metric, k) in self.pairs() {
            if let MetricKind::Whole(compute) = metric.kind {
                let all = RankedLists::new(lists, truth.n_items(), n_candidates, k);
                let key = key(metric, k);
                let value = finite(compute(&all), || key.clone())?;
                evaluation.means.insert(key, value);
            }
        }
        Ok(evaluation)
    }

    /// Fills in the per-user metrics: users in parallel, means in their order.
    fn measure_users<P: Phase>(
        &self,
        held: &Held<P>,
        lists: &[Vec<ItemIdx>],
        evaluation: &mut Evaluation<P>,
    ) -> Result<(), EvalError> {
        let columns: Vec<(String, PerUserMetric, usize)> = self
            .pairs()
            .filter_map(|(metric, k)| match metric.kind {
                MetricKind::PerUser(compute) => Some((key(metric, k), compute, k)),
                MetricKind::Whole(_) => None,
            })
            .collect();
        let rows: Vec<Vec<f64>> = evaluation
            .users
            .par_iter()
            .zip(lists)
            .map(|(&user, list)| {
                let n_truth = self.truth_of(held, user).count();
                let hits: Vec<bool> =
                    list.iter().map(|&item| held.truth().contains(user, item)).collect();
                columns.iter().map(|(_, f, k)| f(&RankedUser::new(&hits, n_truth, *k))).collect()
            })
            .collect();
        for (column, (key, _, _)) in columns.into_iter().enumerate() {
            let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            for (user, &value) in evaluation.users.iter().zip(&values) {
                finite(value, || format!("{key} of user {user}"))?;
            }
            evaluation.means.insert(key.clone(), values.iter().sum::<f64>() / values.len() as f64);
            evaluation.per_user.insert(key, values);
        }
        Ok(())
    }

    fn pairs(&self) -> impl Iterator<Item = (&MetricEntry, usize)> {
        self.metrics.iter().flat_map(|metric| self.cutoffs.iter().map(move |&k| (metric, k)))
    }
}

fn key(metric: &MetricEntry, k: usize) -> String {
    format!("{}@{k}", metric.name)
}

fn finite(value: f64, metric: impl FnOnce() -> String) -> Result<f64, EvalError> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(EvalError::MetricNotFinite { metric: metric(), value })
    }
}

/// At least one entry, none twice.
fn check_unique<T: PartialEq + ToString>(
    setting: &'static str,
    values: &[T],
) -> Result<(), EvalError> {
    let twice = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value));
    let found = match twice {
        Some((_, value)) => format!("{} twice", value.to_string()),
        None if values.is_empty() => "none".into(),
        None => return Ok(()),
    };
    Err(EvalError::Setting { setting, expected: "at least one, each once", found })
}

/// Every item known and in the list once.
fn check_list(user: usize, list: &[ItemIdx], n_items: usize) -> Result<(), EvalError> {
    if let Some(item) = list.iter().find(|item| item.index() >= n_items) {
        return Err(EvalError::OutOfRange { what: "item", index: item.index(), len: n_items });
    }
    let mut sorted = list.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(EvalError::RepeatedItem { user: UserIdx::new(user).0, item: pair[0].0 }),
    }
}
