//! Heads for kinds of events: what they learn, how they are weighed, and what is served.
//!
//! ```text
//! u_k = u A_k + a_k        s_k(u, i) = u_k · v_i + c_k        A_k = Id, a_k = 0, c_k = 0 at the start
//! bpr:    of pairs of kind k against negatives, by s_k
//! bce:    of all pairs of the step and negatives, 1 where the pair is of kind k, p_k = σ(s_k)
//! chain:  p_k = Π_{l ≤ k} σ(s_l), so a head is a step of a funnel: click, then purchase
//! value:  (s(u, i) - z)², z the value of the pair less their mean, over their deviation
//! served: Σ_k serve_k s_k of bpr or of one head, Σ_k serve_k ln σ(s_k) of bce; value as s
//! ```
//! One trunk and a head a task after Caruana, "Multitask Learning", Machine Learning 1997; chain
//! after Ma et al., "Entire Space Multi-Task Model: An Effective Approach for Estimating
//! Post-Click Conversion Rate" (ESMM), SIGIR 2018. Difference to ESMM: what was shown and not
//! clicked is not in a log of events, so negatives are drawn.

use std::collections::{BTreeMap, BTreeSet};

use quintet_core::{Behaviours, Interactions, ItemIdx, Triplet, UserIdx};
use quintet_tensor::{FitError, TrainingData};
use serde::{Deserialize, Serialize};

use super::{NAME, RankingLoss, Weighting};
use crate::graph::{at_least_zero, refuse};

/// What the head of values is called in `weights` and `serve`.
pub(super) const VALUE: &str = "value";

/// Heads over one trunk, one for each kind of event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tasks {
    /// Kinds of events that have a head; every kind of the log by default, in alphabetical order.
    pub heads: Option<Vec<String>>,
    /// The kind of event whose value, such as a rating, a head called `value` predicts.
    pub value_of: Option<String>,
    /// Whether a head is a step that follows the one before: its probability is a product.
    pub chain: bool,
    /// How tasks, and variety beside them, are weighed against each other.
    pub weighting: Weighting,
    /// Weight of each head, where weights are fixed; 1 of one that is not named.
    pub weights: BTreeMap<String, f32>,
    /// `α` of GradNorm: how strongly slow tasks are helped.
    pub alpha: f32,
    /// What lists are ranked by: how much each head counts. All kinds with 1 by default, which is
    /// the last step of a chain.
    pub serve: BTreeMap<String, f32>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            heads: None,
            value_of: None,
            chain: false,
            weighting: Weighting::Fixed,
            weights: BTreeMap::new(),
            alpha: 0.5,
            serve: BTreeMap::new(),
        }
    }
}

impl Tasks {
    /// Checks what needs no data.
    pub(super) fn check(&self, loss: RankingLoss) -> Result<(), FitError> {
        if loss == RankingLoss::SampledSoftmax {
            return refuse(NAME, "loss", "bpr or bce beside tasks", "sampled_softmax");
        }
        if self.chain && loss != RankingLoss::Bce {
            return refuse(NAME, "loss", "bce beside tasks.chain", "bpr");
        }
        at_least_zero(NAME, "tasks.alpha", self.alpha)?;
        for (key, shares) in [("weights", &self.weights), ("serve", &self.serve)] {
            for (name, share) in shares {
                at_least_zero(NAME, &format!("tasks.{key}.{name}"), *share)?;
            }
        }
        if !self.serve.is_empty() && self.serve.values().all(|share| *share == 0.0) {
            return refuse(NAME, "tasks.serve", "above 0 for some head", "0 for all");
        }
        let Some(heads) = &self.heads else { return Ok(()) };
        if heads.is_empty() {
            return refuse(NAME, "tasks.heads", "at least one kind of event", "an empty list");
        }
        let mut once = BTreeSet::new();
        if let Some(twice) = heads.iter().find(|head| !once.insert(*head)) {
            return refuse(NAME, "tasks.heads", "each kind once", format!("{twice:?} again"));
        }
        if self.value_of.is_some() && heads.iter().any(|head| head == VALUE) {
            let expected = "no kind called \"value\" beside value_of, whose head has that name";
            return refuse(NAME, "tasks.heads", expected, format!("{heads:?}"));
        }
        for (key, shares) in [("weights", &self.weights), ("serve", &self.serve)] {
            let known = |name: &String| self.names(heads).any(|known| known == name);
            if let Some(name) = shares.keys().find(|name| !known(name)) {
                let names: Vec<&str> = self.names(heads).collect();
                let expected = format!("names of heads: {}", names.join(", "));
                return refuse(NAME, &format!("tasks.{key}"), &expected, format!("{name:?}"));
            }
        }
        Ok(())
    }

    /// The names of the heads of `heads`, that of values last.
    fn names<'a>(&'a self, heads: &'a [String]) -> impl Iterator<Item = &'a str> {
        heads.iter().map(String::as_str).chain(self.value_of.as_ref().map(|_| VALUE))
    }

    /// Number of heads, that of values among them; of settings with named heads.
    pub(super) fn n_heads(&self) -> usize {
        self.heads.as_ref().map_or(0, Vec::len) + usize::from(self.value_of.is_some())
    }

    /// Weight of each head.
    pub(super) fn fixed_weights(&self) -> Vec<f32> {
        let heads = self.heads.as_deref().unwrap_or_default();
        self.names(heads).map(|name| self.weights.get(name).copied().unwrap_or(1.0)).collect()
    }

    /// How much each head counts in what is served.
    pub(super) fn served(&self) -> Vec<f32> {
        let heads = self.heads.as_deref().unwrap_or_default();
        let all = self.names(heads).enumerate();
        let share = |(at, name): (usize, &str)| match self.serve.get(name) {
            Some(share) => *share,
            None => f32::from(u8::from(self.serve.is_empty() && at < heads.len())),
        };
        all.map(share).collect()
    }

    /// The same with the heads named that the data has.
    pub(super) fn resolve(
        &self,
        data: TrainingData<'_>,
        loss: RankingLoss,
    ) -> Result<(Self, Known), FitError> {
        let bad = |reason: String| FitError::Data { model: NAME.into(), reason };
        let behaviours = data.behaviours.ok_or_else(|| {
            let reason = "tasks need the kinds of events, and whoever fits the model did not hand \
                          them on (TrainingData::behaviours)";
            bad(reason.into())
        })?;
        let all = || behaviours.names().map(str::to_owned).collect();
        let heads: Vec<String> = self.heads.clone().unwrap_or_else(all);
        let named = Self { heads: Some(heads.clone()), ..self.clone() };
        named.check(loss)?;
        let find = |kind: &String| {
            let known: Vec<&str> = behaviours.names().collect();
            let known = known.join(", ");
            behaviours.get(kind).filter(|cells| cells.nnz() > 0).ok_or_else(|| {
                bad(format!("no training event is of the kind {kind:?}; the log has: {known}"))
            })
        };
        for head in heads.iter().chain(&self.value_of) {
            find(head)?;
        }
        let known = Known::new(behaviours, &heads, self.value_of.as_deref())?;
        Ok((named, known))
    }
}

/// What is known of pairs, head by head.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The pairs of every head.
    pub(super) union: Interactions,
    kinds: Vec<Interactions>,
    /// Values, less their mean and over their deviation.
    values: Option<Interactions>,
}

impl Known {
    fn new(
        behaviours: &Behaviours,
        heads: &[String],
        value_of: Option<&str>,
    ) -> Result<Self, FitError> {
        let kinds: Vec<Interactions> =
            heads.iter().filter_map(|head| behaviours.get(head)).cloned().collect();
        let values = value_of.and_then(|kind| behaviours.get(kind)).map(standardised);
        let values = values.transpose()?;
        let mut pairs: Vec<(u32, u32)> = kinds
            .iter()
            .chain(&values)
            .flat_map(|m| m.iter().map(|t| (t.user.0, t.item.0)))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let size = kinds.first().or(values.as_ref()).map_or((0, 0), |m| (m.n_users(), m.n_items()));
        Ok(Self { union: Interactions::from_pairs(size.0, size.1, pairs)?, kinds, values })
    }

    /// What is known of the pairs of a step.
    pub(super) fn labels(&self, users: &[u32], items: &[u32]) -> Labels {
        let pairs = || users.iter().map(|u| UserIdx(*u)).zip(items.iter().map(|i| ItemIdx(*i)));
        let of_kind = |cells: &Interactions| {
            let places = (0u32..).zip(pairs());
            places.filter(|(_, (u, i))| cells.contains(*u, *i)).map(|(at, _)| at).collect()
        };
        let mut values = (Vec::new(), Vec::new());
        if let Some(cells) = &self.values {
            for (at, (user, item)) in (0u32..).zip(pairs()) {
                if let Ok(place) = cells.items(user).binary_search(&item) {
                    values.0.push(at);
                    values.1.push(cells.values(user)[place]);
                }
            }
        }
        Labels { kinds: self.kinds.iter().map(of_kind).collect(), values }
    }
}

/// Values less their mean, over their deviation where they vary.
fn standardised(cells: &Interactions) -> Result<Interactions, FitError> {
    let n = cells.nnz().max(1) as f64;
    let values = || cells.iter().map(|t| f64::from(t.value));
    let mean = values().sum::<f64>() / n;
    let deviation = (values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 1e-6 { 1.0 / deviation } else { 1.0 };
    let moved = |t: Triplet| Triplet { value: ((f64::from(t.value) - mean) * scale) as f32, ..t };
    let (n_users, n_items, nnz) = (cells.n_users(), cells.n_items(), cells.nnz());
    Ok(Interactions::from_sorted(n_users, n_items, nnz, cells.iter().map(moved))?)
}

/// What is known of the pairs of a step, by their places among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Labels {
    /// Of each kind, the pairs that are of it, ascending.
    pub(super) kinds: Vec<Vec<u32>>,
    /// Pairs that have a value, and the values.
    pub(super) values: (Vec<u32>, Vec<f32>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(cells: &[(u32, u32, f32)]) -> Interactions {
        let cells = cells.iter().map(|&(user, item, value)| Triplet {
            user: UserIdx(user),
            item: ItemIdx(item),
            value,
        });
        Interactions::from_triplets(2, 3, cells).unwrap()
    }

    #[test]
    fn pairs_are_looked_up_head_by_head() {
        let behaviours = Behaviours::new([
            ("click".to_owned(), cells(&[(0, 0, 1.0), (0, 1, 1.0), (1, 2, 1.0)])),
            ("buy".to_owned(), cells(&[(0, 1, 2.0), (1, 1, 6.0)])),
        ])
        .unwrap();
        let heads = ["click".to_owned(), "buy".to_owned()];
        let known = Known::new(&behaviours, &heads, Some("buy")).unwrap();
        assert_eq!(known.union.nnz(), 4);
        // Values 2 and 6: mean 4, deviation 2.
        let labels = known.labels(&[0, 0, 1, 1], &[0, 1, 1, 2]);
        assert_eq!(labels.kinds, [vec![0, 1, 3], vec![1, 2]]);
        assert_eq!(labels.values, (vec![1, 2], vec![-1.0, 1.0]));
    }

    #[test]
    fn all_kinds_are_served_by_default_and_values_when_named() {
        let heads = || Some(vec!["click".to_owned(), "buy".to_owned()]);
        let tasks = Tasks { heads: heads(), value_of: Some("buy".into()), ..Tasks::default() };
        assert_eq!((tasks.served(), tasks.n_heads()), (vec![1.0, 1.0, 0.0], 3));
        let serve = [("buy".to_owned(), 2.0), (VALUE.to_owned(), 0.5)].into();
        let weights = [("click".to_owned(), 0.3)].into();
        let tasks = Tasks { serve, weights, ..tasks };
        assert_eq!(tasks.served(), [0.0, 2.0, 0.5]);
        assert_eq!(tasks.fixed_weights(), [0.3, 1.0, 1.0]);
    }
}
