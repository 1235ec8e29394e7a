//! Accuracy by kind of item and of user: new, popular and rare ones, people who did little or
//! much.

use std::collections::BTreeMap;

use quintet_core::{Interactions, Recommender, SeedStream, Test, UserIdx};
use quintet_metrics::{BootstrapConfig, Evaluation, Evaluator, bootstrap_mean};
use serde::{Deserialize, Serialize};

use super::{Interval, PipelineError, Prepared};

/// The primary metric over one kind of item or user, everything competing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceResult {
    /// How many users it is a mean over.
    pub users: usize,
    /// The mean with its interval.
    pub value: Interval,
}

/// The share of the catalogue, by training interactions, that is its head.
const HEAD: f64 = 0.2;

/// The kinds of items and users of one training part, in the order in which tables show them.
pub(super) struct Kinds {
    items: Vec<&'static str>,
    users: Vec<&'static str>,
}

impl Kinds {
    /// Items nobody used in training are new; of the others the most used fifth of the catalogue
    /// is the head, the rest the tail. Users whom training shows less than the median are light.
    pub(super) fn of(train: &Interactions) -> Self {
        let counts = train.item_counts();
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&item| (std::cmp::Reverse(counts[item]), item));
        let mut items = vec!["tail items"; counts.len()];
        let head = (HEAD * counts.len() as f64).ceil() as usize;
        order.iter().take(head).for_each(|&item| items[item] = "head items");
        (0..counts.len()).filter(|&i| counts[i] == 0).for_each(|i| items[i] = "new items");
        let sizes: Vec<usize> =
            (0..train.n_users()).map(|user| train.items(UserIdx::new(user)).len()).collect();
        let mut known: Vec<usize> = sizes.iter().copied().filter(|n| *n > 0).collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).copied().unwrap_or(0);
        let kind = |n: &usize| match *n {
            0 => "new users",
            n if n < median => "light users",
            _ => "heavy users",
        };
        Self { items, users: sizes.iter().map(kind).collect() }
    }
}

/// What the evaluation of every model shares.
pub(super) struct Slicer<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) kinds: &'a Kinds,
    pub(super) primary: &'a str,
    pub(super) bootstrap: &'a BootstrapConfig,
    pub(super) seed: &'a SeedStream,
}

impl Slicer<'_> {
    /// The primary metric by kind. Of items, only held-out ones of the kind count, while
    /// everything competes; of users, the values of `whole` are divided.
    pub(super) fn slices(
        &self,
        model: &dyn Recommender,
        evaluator: &Evaluator<'_>,
        whole: &Evaluation<Test>,
    ) -> Result<BTreeMap<String, SliceResult>, PipelineError> {
        let split = &self.prepared.split;
        let model = self.prepared.with_newcomers(model);
        let by_item = evaluator.evaluate_by_item_group(
            &model,
            &split.test,
            &split.seen_for_test,
            &self.kinds.items,
        )?;
        let mut slices = BTreeMap::new();
        for (kind, evaluation) in by_item {
            slices.insert(kind.to_owned(), self.mean(evaluation.require_per_user(self.primary)?)?);
        }
        let mut by_user: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (user, value) in whole.users().iter().zip(whole.require_per_user(self.primary)?) {
            by_user.entry(self.kinds.users[user.index()]).or_default().push(*value);
        }
        for (kind, values) in by_user {
            slices.insert(kind.to_owned(), self.mean(&values)?);
        }
        Ok(slices)
    }

    fn mean(&self, values: &[f64]) -> Result<SliceResult, PipelineError> {
        let value = bootstrap_mean(values, self.bootstrap, self.seed)?.into();
        Ok(SliceResult { users: values.len(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_hand() {
        // Item counts 3, 2, 1, 0, 1; of five items one is the head. User sizes 3, 2, 1, 1, 0.
        let pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (3, 4)];
        let train = Interactions::from_pairs(5, 5, pairs).unwrap();
        let kinds = Kinds::of(&train);
        let (head, tail, new) = ("head items", "tail items", "new items");
        assert_eq!(kinds.items, [head, tail, tail, new, tail]);
        let (light, heavy) = ("light users", "heavy users");
        assert_eq!(kinds.users, [heavy, heavy, light, light, "new users"]);
    }
}
