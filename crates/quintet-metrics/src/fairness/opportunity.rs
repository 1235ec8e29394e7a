//! RSP and REO: whether items of all groups have the same chance to be recommended.
//!
//! `k` places a user, groups `g` of items:
//!
//! - statistical parity: `P(R|g) = Σ_u |L_u ∩ g| / Σ_u |g ∩ C \ H_u|`, places of the group over
//!   its items that could have been shown, `C` the candidates and `H_u` the history;
//! - equal opportunity: `P(R|g, y = 1) = Σ_u |L_u ∩ g ∩ T_u| / Σ_u |g ∩ T_u|`, hits of the group
//!   over its held-out items `T_u`.
//!
//! RSP and REO are the standard deviation of these rates over groups, divided by their mean: 0
//! when all groups are treated alike. The standard deviation is that of the whole population. A
//! group without anything to show or to find has no rate and does not count; with fewer than two
//! rates there is no spread; rates that are all 0 are equal.
//!
//! Paper: Zhu, Wang, Caverlee, "Measuring and Mitigating Item Under-Recommendation Bias in
//! Personalized Ranking Systems", SIGIR 2020.
//! Cost: O(places + interactions of the users + users · groups).

use quintet_core::{Interactions, ItemIdx};
use serde::Serialize;

use super::Groups;
use crate::beyond::UserLists;

/// A rate for every group of items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRates {
    rates: Vec<Option<f64>>,
}

impl GroupRates {
    /// The rates, `[n_groups]`; `None` for a group that had no chance.
    pub fn rates(&self) -> &[Option<f64>] {
        &self.rates
    }

    /// Standard deviation over mean of the rates: RSP or REO, 0 for equal treatment.
    pub fn spread(&self) -> Option<f64> {
        let rates: Vec<f64> = self.rates.iter().flatten().copied().collect();
        let n = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / n;
        if rates.len() < 2 {
            return None;
        }
        // Equal rates may have a spread of rounding noise, and zeros no quotient.
        if rates.iter().all(|rate| *rate == rates[0]) {
            return Some(0.0);
        }
        let variance = rates.iter().map(|rate| (rate - mean) * (rate - mean)).sum::<f64>() / n;
        Some(variance.sqrt() / mean)
    }

    fn new(shown: &[u64], possible: &[u64]) -> Self {
        let rate = |(s, p): (&u64, &u64)| (*p > 0).then(|| *s as f64 / *p as f64);
        Self { rates: shown.iter().zip(possible).map(rate).collect() }
    }
}

/// The rates of RSP: how often a place is given to each group, for each chance to do so.
///
/// Lists are meant to hold candidates that are not in the history.
///
/// # Panics
/// When groups, history and candidates are not over the items and users of the lists.
pub fn statistical_parity(
    lists: &UserLists<'_>,
    groups: &Groups,
    history: &Interactions,
    candidates: Option<&[bool]>,
) -> GroupRates {
    check(lists, groups, history);
    let takes_part = |item: &ItemIdx| candidates.is_none_or(|c| c[item.index()]);
    let mut all = vec![0; groups.n_groups()];
    (0..groups.n_rows())
        .map(ItemIdx::new)
        .filter(takes_part)
        .for_each(|item| count(groups, item, &mut all));
    let (mut shown, mut had) = (vec![0; all.len()], vec![0; all.len()]);
    for (user, list) in lists.iter() {
        list.iter().for_each(|item| count(groups, *item, &mut shown));
        let items = history.items(user).iter().filter(|item| takes_part(item));
        items.for_each(|item| count(groups, *item, &mut had));
    }
    let users = lists.users().len() as u64;
    let possible: Vec<u64> = all.iter().zip(&had).map(|(all, had)| all * users - had).collect();
    GroupRates::new(&shown, &possible)
}

/// The rates of REO: which share of the held-out items of each group is found.
///
/// # Panics
/// When groups and held-out items are not over the items and users of the lists.
pub fn equal_opportunity(
    lists: &UserLists<'_>,
    groups: &Groups,
    truth: &Interactions,
) -> GroupRates {
    check(lists, groups, truth);
    let (mut found, mut possible) = (vec![0; groups.n_groups()], vec![0; groups.n_groups()]);
    for (user, list) in lists.iter() {
        let hits = list.iter().filter(|item| truth.contains(user, **item));
        hits.for_each(|item| count(groups, *item, &mut found));
        truth.items(user).iter().for_each(|item| count(groups, *item, &mut possible));
    }
    GroupRates::new(&found, &possible)
}

fn count(groups: &Groups, item: ItemIdx, counts: &mut [u64]) {
    groups.of(item.index()).iter().for_each(|group| counts[*group as usize] += 1);
}

fn check(lists: &UserLists<'_>, groups: &Groups, table: &Interactions) {
    assert_eq!(lists.n_items(), groups.n_rows(), "items of lists and groups");
    assert_eq!(lists.n_items(), table.n_items(), "items of lists and interactions");
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::UserIdx;

    /// Items 0 1 are group a, 2 3 group b, 4 in both, 5 in none; group c is empty.
    fn groups() -> Groups {
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let cells = [(0, 0), (1, 0), (2, 1), (3, 1), (4, 0), (4, 1)].map(|(i, g)| (i, g, 1.0));
        Groups::from_sparse(&quintet_core::SparseFeatures::new(6, names, cells).unwrap())
    }

    fn items(list: &[u32]) -> Vec<ItemIdx> {
        list.iter().copied().map(ItemIdx).collect()
    }

    #[test]
    fn parity_by_hand() {
        let history = Interactions::from_pairs(2, 6, [(0, 0), (0, 4), (1, 5)]).unwrap();
        let users = [UserIdx(0), UserIdx(1)];
        let lists = [items(&[1, 2]), items(&[0, 4])];
        let lists = UserLists::new(&users, &lists, 2, (2, 6)).unwrap();
        let got = statistical_parity(&lists, &groups(), &history, None);
        // a: places 1 0 4 of 3 + 3 - 2; b: places 2 4 of 3 + 3 - 1.
        assert_eq!(got.rates(), [Some(3.0 / 4.0), Some(2.0 / 5.0), None]);
        // Mean 0.575, each 0.175 away.
        assert!((got.spread().unwrap() - 0.175 / 0.575).abs() < 1e-15);
        // Without item 3: two items of b a user.
        let mask = [true, true, true, false, true, true];
        let got = statistical_parity(&lists, &groups(), &history, Some(&mask));
        assert_eq!(got.rates()[1], Some(2.0 / 3.0));
    }

    #[test]
    fn opportunity_by_hand() {
        let truth = Interactions::from_pairs(2, 6, [(0, 1), (0, 3), (1, 4), (1, 5)]).unwrap();
        let users = [UserIdx(0), UserIdx(1)];
        let lists = [items(&[1, 2]), items(&[0, 5])];
        let lists = UserLists::new(&users, &lists, 2, (2, 6)).unwrap();
        let got = equal_opportunity(&lists, &groups(), &truth);
        // a: of items 1 and 4 the first; b: of items 3 and 4 none.
        assert_eq!(got.rates(), [Some(0.5), Some(0.0), None]);
        assert_eq!(got.spread(), Some(1.0));
    }

    #[test]
    fn equal_rates_and_too_few() {
        let spread = |rates: &[Option<f64>]| GroupRates { rates: rates.to_vec() }.spread();
        assert_eq!(spread(&[Some(0.0), Some(0.0)]), Some(0.0));
        assert_eq!(spread(&[Some(0.1), Some(0.1), Some(0.1)]), Some(0.0));
        assert_eq!(spread(&[Some(0.3), None]), None);
    }
}
