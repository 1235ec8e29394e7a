//! What an evaluation computes: a column of numbers for every per-user metric at every cutoff,
//! and one number of all lists for the others.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use quintet_core::{Phase, UserIdx};

use crate::ranked::Lists;
use crate::relevant::Relevant;
use crate::{
    EvalError, Evaluation, FullRanks, MetricEntry, MetricKind, RankedLists, RankedUser, Weight,
};

/// One number of a user.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    key: String,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    /// From the list, cut at `k` or at the number of relevant items.
    List(fn(&RankedUser<'_>) -> f64, Option<usize>),
    Full(fn(&FullRanks<'_>) -> f64),
    /// As `Full`; the next column is the weight.
    Weighted(fn(&FullRanks<'_>) -> f64),
    Weight,
}

/// One number of all lists.
#[derive(Debug, Clone)]
struct Whole {
    key: String,
    value: fn(&RankedLists<'_>) -> f64,
    k: usize,
}

/// What is computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<Column>,
    whole: Vec<Whole>,
    /// The largest cutoff; 0 when no metric has one.
    pub(crate) depth: usize,
    /// Whether lists must be as long as a user has relevant items.
    pub(crate) to_truth: bool,
    /// Whether grades are read.
    pub(crate) graded: bool,
}

impl Plan {
    /// Every metric at every cutoff.
    pub(crate) fn new(metrics: &[MetricEntry], cutoffs: &[usize]) -> Self {
        let mut plan = Self::default();
        for metric in metrics {
            plan.add(metric, cutoffs);
        }
        if metrics.iter().any(MetricEntry::has_cutoff) {
            plan.depth = cutoffs.iter().copied().max().unwrap_or(0);
        }
        plan
    }

    fn add(&mut self, metric: &MetricEntry, cutoffs: &[usize]) {
        let name = metric.name;
        let at = |k: usize| format!("{name}@{k}");
        let list =
            |value| move |k: &usize| Column { key: at(*k), value: Value::List(value, Some(*k)) };
        let alone = |value| Column { key: name.to_owned(), value };
        match metric.kind {
            MetricKind::PerUser(value) => self.columns.extend(cutoffs.iter().map(list(value))),
            MetricKind::Graded(value) => {
                self.columns.extend(cutoffs.iter().map(list(value)));
                self.graded = true;
            }
            MetricKind::Utility { value, graded } => {
                self.columns.extend(cutoffs.iter().map(list(value)));
                self.graded |= graded;
            }
            MetricKind::AtTruth(value) => {
                self.columns.push(alone(Value::List(value, None)));
                self.to_truth = true;
            }
            MetricKind::FullRank { value, weight: Weight::User } => {
                self.columns.push(alone(Value::Full(value)));
            }
            MetricKind::FullRank { value, weight: Weight::Relevant } => {
                self.columns.extend([alone(Value::Weighted(value)), alone(Value::Weight)]);
            }
            MetricKind::Whole(value) => {
                let whole = |k: &usize| Whole { key: at(*k), value, k: *k };
                self.whole.extend(cutoffs.iter().map(whole));
            }
        }
    }

    /// The keys of the results, each once.
    pub(crate) fn keys(&self) -> Vec<String> {
        let shown = |c: &&Column| !matches!(c.value, Value::Weight);
        let columns = self.columns.iter().filter(shown).map(|c| c.key.clone());
        columns.chain(self.whole.iter().map(|w| w.key.clone())).collect()
    }

    /// The first metric that needs the ranks of all relevant items.
    pub(crate) fn full_rank(&self) -> Option<&str> {
        let is_full = |c: &&Column| matches!(c.value, Value::Full(_) | Value::Weighted(_));
        self.columns.iter().find(is_full).map(|c| c.key.as_str())
    }

    /// Whether the lists are needed once every user has been measured.
    pub(crate) fn keeps_lists(&self) -> bool {
        !self.whole.is_empty()
    }

    /// From the numbers of all users, `[users, columns]` and their lists, to the result.
    pub(crate) fn finish<P: Phase>(
        &self,
        relevant: &Relevant<'_>,
        users: Vec<UserIdx>,
        numbers: &[f64],
        lists: Lists<'_>,
    ) -> Result<Evaluation<P>, EvalError> {
        let mut evaluation = Evaluation {
            n_skipped: relevant.truth.n_users() - users.len(),
            means: BTreeMap::new(),
            users,
            per_user: BTreeMap::new(),
            phase: PhantomData,
        };
        // A sum over no hits is -0, which reads as if something were below nothing.
        let values = |column: usize| -> Vec<f64> {
            numbers.chunks_exact(self.columns.len()).map(|row| row[column] + 0.0).collect()
        };
        for (place, Column { key, value }) in self.columns.iter().enumerate() {
            let values = match value {
                Value::Weight => continue,
                Value::Weighted(_) => {
                    let mean = weighted_mean(&values(place), &values(place + 1));
                    evaluation.means.insert(key.clone(), finite(mean, || key.clone())?);
                    continue;
                }
                _ => values(place),
            };
            for (user, &value) in evaluation.users.iter().zip(&values) {
                finite(value, || format!("{key} of user {user}"))?;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            evaluation.means.insert(key.clone(), mean);
            evaluation.per_user.insert(key.clone(), values);
        }
        if self.keeps_lists() {
            let (n_items, n_candidates) = (relevant.truth.n_items(), relevant.n_candidates());
            for Whole { key, value, k } in &self.whole {
                let all = RankedLists::of(lists, n_items, n_candidates, *k);
                evaluation.means.insert(key.clone(), finite(value(&all), || key.clone())?);
            }
        }
        Ok(evaluation)
    }
}

/// The plain mean where nobody has any weight.
fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    if total == 0.0 {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f64>() / total
}

fn finite(value: f64, metric: impl FnOnce() -> String) -> Result<f64, EvalError> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(EvalError::MetricNotFinite { metric: metric(), value })
    }
}
