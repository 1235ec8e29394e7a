//! Full-ranking evaluation: every item that a user has not seen competes.
//!
//! No item is sampled away unless candidate lists say so. Users without a held-out item are left
//! out and counted. Means are sums in the order of users, so the numbers are the same for every
//! block size and thread count. A user is measured while their block is ranked, and their list is
//! kept only if a metric wants all lists together: memory is that of the blocks (`rank.rs`), one
//! number for every user and metric, and at most `O(users · k)` for the lists.

use std::collections::BTreeMap;

use quintet_core::{Held, Interactions, ItemIdx, Phase, Recommender, Registry, UserIdx};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::rank::check;
use crate::relevant::Relevant;
use crate::stream::{measure_lists, measure_model};
use crate::{EvalError, Evaluation, MAX_GRADE, MetricEntry, RankOptions, registry};

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
    plan: Plan,
    candidates: Option<&'a [bool]>,
    candidate_lists: Option<&'a Interactions>,
    block_users: Option<usize>,
    max_grade: Option<f32>,
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
            plan: Plan::new(&metrics?, &config.cutoffs),
            candidates: None,
            candidate_lists: None,
            block_users: None,
            max_grade: None,
        })
    }

    /// The keys of the results, such as `"ndcg@10"`, and `"auc"` for metrics without a cutoff.
    pub fn keys(&self) -> Vec<String> {
        self.plan.keys()
    }

    /// Lets only the marked items take part, `[n_items]`: they alone are ranked, and only
    /// held-out items among them count. This is how brand-new items are evaluated on their own.
    pub fn with_candidates(mut self, candidates: &'a [bool]) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// Lets only the items of a user's row take part for that user, `[n_users, n_items]`, such as
    /// the held-out item and 99 drawn ones. Values do not matter; seen items are masked as ever.
    pub fn with_candidate_lists(mut self, lists: &'a Interactions) -> Self {
        self.candidate_lists = Some(lists);
        self
    }

    /// Scores `users` at once; changes time and memory, never the result.
    pub fn with_block_users(mut self, users: usize) -> Self {
        self.block_users = Some(users);
        self
    }

    /// Sets the largest grade of the scale, such as 5 for stars, which the metric `err` reads.
    /// Without it, it is the largest grade that is held out.
    pub fn with_max_grade(mut self, grade: f32) -> Self {
        self.max_grade = Some(grade);
        self
    }

    /// Ranks all items that take part for every user with a held-out item, and measures.
    ///
    /// # Errors
    /// Tables of different sizes, a held-out item that is masked as seen, nobody to evaluate, a
    /// grade that a graded metric does not take, a model that fails, or a score that is not a
    /// number.
    pub fn evaluate<P: Phase>(
        &self,
        model: &dyn Recommender,
        held: &Held<P>,
        seen: &Interactions,
    ) -> Result<Evaluation<P>, EvalError> {
        let (all, users) = self.prepare(model, held, seen)?;
        let options = self.rank_options();
        let mut results = measure_model(&self.plan, &[all], users, (model, seen), &options)?;
        results.pop().ok_or_else(|| no_users(held))
    }

    /// As [`Evaluator::evaluate`], once for every group of items: only held-out items of the group
    /// count, while everything still competes with them, the held-out items of other groups as
    /// well. So cold items are told from warm ones in one pass over the scores. `groups` gives the
    /// group of every item, `[n_items]`; groups without a held-out item have no result.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`], and another number of groups than items.
    pub fn evaluate_by_item_group<P: Phase, G: Ord + Clone>(
        &self,
        model: &dyn Recommender,
        held: &Held<P>,
        seen: &Interactions,
        groups: &[G],
    ) -> Result<BTreeMap<G, Evaluation<P>>, EvalError> {
        check("groups, one an item", held.truth().n_items(), groups.len())?;
        let (all, users) = self.prepare(model, held, seen)?;
        let items = users.iter().flat_map(|user| all.items(*user).map(|item| item.index()));
        let names: std::collections::BTreeSet<&G> = items.map(|item| &groups[item]).collect();
        let names: Vec<&G> = names.into_iter().collect();
        // Groups that nobody has held out are one more.
        let number = |group: &G| names.binary_search(&group).unwrap_or(names.len()) as u32;
        let numbers: Vec<u32> = groups.iter().map(number).collect();
        let views: Vec<Relevant<'_>> = (0..names.len() as u32)
            .map(|group| Relevant { group: Some((&numbers, group)), ..all })
            .collect();
        let options = self.rank_options();
        let results = measure_model(&self.plan, &views, users, (model, seen), &options)?;
        Ok(names.into_iter().cloned().zip(results).collect())
    }

    /// Measures given lists: `lists[u]` is the ranking for user `u`, best first, empty if there
    /// is none. With candidates, other items are taken out of the lists first.
    ///
    /// # Errors
    /// Not one list a user, an unknown item, an item that is twice in a list, nobody to
    /// evaluate, a grade that a graded metric does not take, or a metric that needs ranks beyond
    /// the end of a list ([`EvalError::NeedsScores`]).
    pub fn evaluate_lists<P: Phase>(
        &self,
        lists: &[Vec<ItemIdx>],
        held: &Held<P>,
    ) -> Result<Evaluation<P>, EvalError> {
        check("ranked lists, one a user", held.truth().n_users(), lists.len())?;
        if let Some(metric) = self.plan.full_rank() {
            return Err(EvalError::NeedsScores { metric: metric.to_owned() });
        }
        let relevant = self.relevant(held)?;
        let users = self.users_with_truth(held, &relevant)?;
        measure_lists(&self.plan, &relevant, users, lists)
    }

    /// What counts and for whom, after everything that can be wrong has been looked at.
    fn prepare<'b, P: Phase>(
        &'b self,
        model: &dyn Recommender,
        held: &'b Held<P>,
        seen: &Interactions,
    ) -> Result<(Relevant<'b>, Vec<UserIdx>), EvalError> {
        let truth = held.truth();
        let of_model = |what: &str| format!("{what} as model {} knows them", model.name());
        let held_out = |what: &str| of_model(&format!("{what} of the held-out {} data", P::NAME));
        check(held_out("items"), model.n_items(), truth.n_items())?;
        check(held_out("users"), model.n_users(), truth.n_users())?;
        check(of_model("users of the seen interactions"), model.n_users(), seen.n_users())?;
        check(of_model("items of the seen interactions"), model.n_items(), seen.n_items())?;
        let relevant = self.relevant(held)?;
        let users = self.users_with_truth(held, &relevant)?;
        for &user in &users {
            let overlap = relevant.items(user).find(|&item| seen.contains(user, item));
            if let Some(item) = overlap {
                return Err(EvalError::SeenTruth { phase: P::NAME, user: user.0, item: item.0 });
            }
        }
        Ok((relevant, users))
    }

    fn rank_options(&self) -> RankOptions<'a> {
        RankOptions {
            k: self.plan.depth,
            candidates: self.candidates,
            lists: self.candidate_lists,
            block_users: self.block_users,
        }
    }

    fn relevant<'b, P: Phase>(&'b self, held: &'b Held<P>) -> Result<Relevant<'b>, EvalError> {
        let truth = held.truth();
        if let Some(candidates) = self.candidates {
            check("items of the candidate mask", truth.n_items(), candidates.len())?;
        }
        if let Some(lists) = self.candidate_lists {
            check("items of the candidate lists", truth.n_items(), lists.n_items())?;
            check("users of the candidate lists", truth.n_users(), lists.n_users())?;
        }
        let mut largest = 0.0f32;
        if self.plan.graded {
            let ceiling = self.max_grade.unwrap_or(MAX_GRADE).min(MAX_GRADE);
            for cell in truth.iter() {
                if !(0.0..=ceiling).contains(&cell.value) {
                    let (user, item, value) = (cell.user.0, cell.item.0, cell.value);
                    return Err(EvalError::Grade { user, item, value, ceiling });
                }
                largest = largest.max(cell.value);
            }
        }
        Ok(Relevant {
            truth,
            candidates: self.candidates,
            lists: self.candidate_lists,
            group: None,
            max_grade: self.max_grade.unwrap_or(largest),
        })
    }

    fn users_with_truth<P: Phase>(
        &self,
        held: &Held<P>,
        relevant: &Relevant<'_>,
    ) -> Result<Vec<UserIdx>, EvalError> {
        let users: Vec<UserIdx> = (0..held.truth().n_users())
            .map(UserIdx::new)
            .filter(|user| relevant.items(*user).next().is_some())
            .collect();
        if users.is_empty() { Err(no_users(held)) } else { Ok(users) }
    }
}

fn no_users<P: Phase>(held: &Held<P>) -> EvalError {
    EvalError::NoUsers { phase: P::NAME, n_users: held.truth().n_users() }
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
