//! All beyond-accuracy metrics of some lists at once.
//!
//! Users are measured in parallel, sums run in their order: the numbers do not depend on threads.
//! Cost: O(items log items + interactions) to set up; for each call O(places · (dim of features +
//! log history) + users · groups).

use std::collections::BTreeMap;

use quintet_core::{Interactions, ItemIdx, UserIdx};
use rayon::prelude::*;
use serde::Serialize;

use super::serendipity::Primitive;
use super::{
    Column, ListContext, UserLists, concentration, diversity, novelty, personalisation, popularity,
    serendipity, user_coverage,
};
use crate::fairness::{self, Discount, Groups};
use crate::{EvalError, MetricKind, UserValues, coverage};

/// Measures ranked lists against what is known of users and items.
///
/// ```
/// use quintet_core::{Interactions, ItemIdx, UserIdx};
/// use quintet_metrics::beyond::{BeyondAccuracy, ListContext};
///
/// // Item 0 is popular; user 0 is shown it, user 1 is shown item 2, which nobody had.
/// let history = Interactions::from_pairs(3, 3, [(1, 0), (2, 0), (0, 1)])?;
/// let measure = BeyondAccuracy::new(ListContext::new(&history))?;
/// let users = [UserIdx(0), UserIdx(1)];
/// let got = measure.measure(&users, &[vec![ItemIdx(0)], vec![ItemIdx(2)]], 1)?;
/// assert_eq!(got.get("arp@1"), Some(1.0));
/// assert_eq!(got.get("coverage@1"), Some(2.0 / 3.0));
/// assert_eq!(got.per_user("unexpectedness@1").unwrap().values(), [0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BeyondAccuracy<'a> {
    context: ListContext<'a>,
    counts: Vec<u32>,
    /// The candidates, most popular first.
    order: Vec<ItemIdx>,
    tail: Vec<bool>,
    /// Head, middle and tail by interactions.
    buckets: Groups,
    /// Groups made of the categories.
    categories: Option<Groups>,
}

/// What [`BeyondAccuracy`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeyondReport {
    means: BTreeMap<String, f64>,
    per_user: BTreeMap<String, UserValues>,
}

impl BeyondReport {
    /// Every number by its key, such as `"arp@10"`, unrounded. A metric that is defined for nobody
    /// has none.
    pub fn means(&self) -> &BTreeMap<String, f64> {
        &self.means
    }

    /// One number.
    pub fn get(&self, key: &str) -> Option<f64> {
        self.means.get(key).copied()
    }

    /// The values that a mean is of; `None` for what is no mean over users, such as coverage.
    pub fn per_user(&self, key: &str) -> Option<&UserValues> {
        self.per_user.get(key)
    }

    /// All metrics that are means over users.
    pub fn per_user_values(&self) -> &BTreeMap<String, UserValues> {
        &self.per_user
    }
}

impl<'a> BeyondAccuracy<'a> {
    /// Checks the context and counts what every measurement needs.
    ///
    /// # Errors
    /// Tables about other users or items, no candidate, a share of the tail outside `[0, 1]`, or
    /// item groups of one name.
    pub fn new(context: ListContext<'a>) -> Result<Self, EvalError> {
        context.validate()?;
        let counts = context.history.item_counts();
        let mut order = popularity::by_popularity(&counts);
        let tail = popularity::tail(&context, &order, &counts);
        order.retain(|item| context.takes_part(item.index()));
        let buckets = Groups::by_popularity(&counts);
        let categories = context.categories.map(Groups::from_sparse);
        Ok(Self { context, counts, order, tail, buckets, categories })
    }

    /// Measures the lists of `users`: `lists[i]`, best first, read up to `k`, is for `users[i]`
    /// and empty where there is none. Keys end in `@k`.
    ///
    /// # Errors
    /// What [`UserLists::new`] refuses, and an item that takes no part in the ranking.
    pub fn measure(
        &self,
        users: &[UserIdx],
        lists: &[Vec<ItemIdx>],
        k: usize,
    ) -> Result<BeyondReport, EvalError> {
        let history = self.context.history;
        let lists = UserLists::new(users, lists, k, (history.n_users(), history.n_items()))?;
        let outside = |item: &&ItemIdx| !self.context.takes_part(item.index());
        if let Some((user, item)) =
            lists.iter().find_map(|(user, list)| Some((user, list.iter().find(outside)?)))
        {
            return Err(EvalError::NoCandidate { user: user.0, item: item.0 });
        }
        let mut report = BeyondReport { means: BTreeMap::new(), per_user: BTreeMap::new() };
        self.whole(&lists, &mut report);
        self.each_user(&lists, &mut report);
        for (name, groups) in self.groupings() {
            self.fairness(&lists, name, groups, &mut report);
        }
        Ok(report)
    }

    /// What is one number for all lists.
    fn whole(&self, lists: &UserLists<'_>, report: &mut BeyondReport) {
        let mut put = |name: &str, value: f64| {
            report.means.insert(format!("{name}@{}", lists.k()), value);
        };
        let ranked = lists.ranked(self.context.n_candidates());
        let places = concentration::places(&ranked);
        if let MetricKind::Whole(coverage) = coverage::ENTRY.kind {
            put("coverage", coverage(&ranked));
        }
        put("user_coverage", user_coverage::user_coverage(&ranked));
        put("gini", concentration::gini(&places));
        put("entropy", concentration::entropy(&ranked));
        put("shannon_entropy", concentration::shannon_entropy(&places));
        put("personalisation", personalisation::personalisation(&ranked));
        let (share, coverage) = popularity::of_all(lists, &self.tail);
        share.into_iter().for_each(|share| put("tail_share", share));
        coverage.into_iter().for_each(|coverage| put("tail_coverage", coverage));
    }

    /// What is a value a user.
    fn each_user(&self, lists: &UserLists<'_>, report: &mut BeyondReport) {
        let context = &self.context;
        let (history, truth) = (context.history, context.truth);
        let primitive = Primitive { order: &self.order, history, k: lists.k() };
        let mut columns = popularity::columns(&self.counts, &self.tail);
        columns.extend(novelty::columns(&self.counts, history.n_users(), truth));
        columns.extend(serendipity::columns(primitive, truth));
        let features = context.features.iter().flat_map(|features| features.iter());
        columns.extend(features.flat_map(diversity::by_features));
        columns.extend(context.categories.iter().flat_map(|c| diversity::by_categories(c)));
        for (name, groups) in self.groupings() {
            columns.extend(fairness::calibration_columns(name, groups, history));
        }
        let rows: Vec<Vec<Option<f64>>> = (0..lists.users().len())
            .into_par_iter()
            .map(|position| {
                let (user, list) = lists.at(position);
                columns.iter().map(|column| (column.value)(user, list)).collect()
            })
            .collect();
        for (place, Column { name, .. }) in columns.iter().enumerate() {
            let values = UserValues::defined(lists.users(), rows.iter().map(|row| row[place]));
            let key = format!("{name}@{}", lists.k());
            if let Some(mean) = values.mean() {
                report.means.insert(key.clone(), mean);
            }
            report.per_user.insert(key, values);
        }
    }

    /// How groups of items are treated, one number a grouping.
    fn fairness(
        &self,
        lists: &UserLists<'_>,
        name: &str,
        groups: &Groups,
        report: &mut BeyondReport,
    ) {
        let context = &self.context;
        let mut put = |metric: &str, value: Option<f64>| {
            if let Some(value) = value {
                report.means.insert(format!("{metric}_{name}@{}", lists.k()), value);
            }
        };
        let history = context.history;
        let parity = fairness::statistical_parity(lists, groups, history, context.candidates);
        put("rsp", parity.spread());
        if let Some(truth) = context.truth {
            let opportunity = fairness::equal_opportunity(lists, groups, truth);
            put("reo", opportunity.spread());
        }
        let exposure = fairness::item_exposure(lists, Discount::Log2);
        let Some(exposure) = groups.shares(&exposure) else { return };
        let part = |item: usize| f64::from(u8::from(context.takes_part(item)));
        let by = |weight: &dyn Fn(usize) -> f64| {
            let weights: Vec<f64> =
                (0..history.n_items()).map(|item| part(item) * weight(item)).collect();
            groups.shares(&weights).map(|target| fairness::total_variation(&exposure, &target))
        };
        put("exposure_parity", by(&|_| 1.0));
        put("exposure_popularity", by(&|item| f64::from(self.counts[item])));
        if let Some(truth) = context.truth {
            let relevance = relevance(truth, lists.users());
            put("exposure_merit", by(&|item| f64::from(relevance[item])));
        }
    }

    fn groupings(&self) -> impl Iterator<Item = (&str, &Groups)> {
        let given = self.context.item_groups.iter().map(|(name, groups)| (name.as_str(), *groups));
        let categories = self.categories.iter().map(|groups| ("category", groups));
        [("popularity", &self.buckets)].into_iter().chain(categories).chain(given)
    }
}

/// How many of `users` hold each item out.
fn relevance(truth: &Interactions, users: &[UserIdx]) -> Vec<u32> {
    let mut counts = vec![0; truth.n_items()];
    for item in users.iter().flat_map(|user| truth.items(*user)) {
        counts[item.index()] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(list: &[u32]) -> Vec<ItemIdx> {
        list.iter().copied().map(ItemIdx).collect()
    }

    #[test]
    fn what_is_not_defined_is_not_there() {
        let history = Interactions::from_pairs(2, 3, [(0, 0)]).unwrap();
        let measure = BeyondAccuracy::new(ListContext::new(&history)).unwrap();
        let got = measure.measure(&[UserIdx(0), UserIdx(1)], &[vec![], vec![]], 5).unwrap();
        assert_eq!((got.get("coverage@5"), got.get("arp@5")), (Some(0.0), None));
        assert!(got.per_user("arp@5").unwrap().is_empty());
        assert_eq!(got.get("serendipity@5"), None);
        assert!(got.means().values().all(|v| v.is_finite()), "{got:?}");
        let nobody = measure.measure(&[], &[], 5).unwrap();
        assert_eq!(nobody.get("user_coverage@5"), Some(0.0));
    }

    #[test]
    fn more_context_gives_more_metrics() {
        let history = Interactions::from_pairs(2, 3, [(0, 0), (1, 1)]).unwrap();
        let truth = Interactions::from_pairs(2, 3, [(0, 1), (1, 0)]).unwrap();
        let users = [UserIdx(0), UserIdx(1)];
        let lists = [items(&[1, 2]), items(&[0, 2])];
        let run =
            |context| BeyondAccuracy::new(context).unwrap().measure(&users, &lists, 2).unwrap();
        let bare = run(ListContext::new(&history));
        let names = ["a", "b"].map(String::from).to_vec();
        let groups = Groups::from_labels(names, &[Some(0), Some(1), None]).unwrap();
        let rich = ListContext::new(&history).with_truth(&truth).with_item_groups("shelf", &groups);
        let rich = run(rich);
        for (key, value) in bare.means() {
            assert_eq!(rich.get(key), Some(*value), "{key}");
        }
        for key in
            ["serendipity@2", "reo_shelf@2", "calibration_js_shelf@2", "exposure_merit_shelf@2"]
        {
            assert!(rich.get(key).is_some() && bare.get(key).is_none(), "{key}: {rich:?}");
        }
    }

    #[test]
    fn an_item_that_takes_no_part_is_named() {
        let history = Interactions::from_pairs(1, 2, [(0, 0)]).unwrap();
        let mask = [true, false];
        let context = ListContext::new(&history).with_candidates(&mask);
        let measure = BeyondAccuracy::new(context).unwrap();
        let err = measure.measure(&[UserIdx(0)], &[items(&[0, 1])], 2).unwrap_err();
        assert_eq!(
            err.to_string(),
            "the list of user 0 names item 1, which takes no part in the ranking"
        );
        // Beyond the cutoff nothing is read.
        assert!(measure.measure(&[UserIdx(0)], &[items(&[0, 1])], 1).is_ok());
    }
}
