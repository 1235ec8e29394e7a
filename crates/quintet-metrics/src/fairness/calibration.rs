//! Whether a list is made of what the user had before: calibration over groups of items.
//!
//! `p(g|u)` is the share of group `g` in the user's history and `q(g|u)` in the list; an item of
//! several groups gives each an equal part, items without a group do not count.
//!
//! - Steck: `KL(p‖q̃)` in nats with `q̃ = (1 - α) q + α p`, `α = 0.01`, so that a missing group is
//!   not infinite.
//! - Jensen–Shannon divergence of `p` and `q`, in bits. With the groups of
//!   [`Groups::by_popularity`] its mean over groups of users (`mean_of_groups` of
//!   [`super::group_gaps`]) is Abdollahpouri's user popularity deviation, UPD.
//! - Popularity lift of a group of users: `(GAP_list - GAP_history) / GAP_history`, where GAP is
//!   the mean over users of the mean popularity of their items.
//!
//! Users without items of a group in history or list are left out. Difference: Steck may weigh
//! events by age and places by rank; all weights are equal here.
//!
//! Papers: Steck, "Calibrated Recommendations", RecSys 2018; Abdollahpouri, Mansoury, Burke,
//! Mobasher, "The Connection Between Popularity Bias, Calibration, and Fairness in
//! Recommendation", RecSys 2020 (UPD), and "The Unfairness of Popularity Bias in Recommendation",
//! RMSE workshop at RecSys 2019 (GAP).
//! Cost: O(history + k + groups) a user.

use quintet_core::{Interactions, ItemIdx, UserIdx};

use super::{Groups, jensen_shannon, kullback_leibler};
use crate::UserValues;
use crate::beyond::{Column, UserLists};

/// Share of the history that is mixed into the list, as in Steck.
const ALPHA: f64 = 0.01;

/// How far the lists of users are from their histories.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Steck's divergence, in nats; 0 is best, at most `ln 100`.
    pub kl: UserValues,
    /// Jensen–Shannon divergence in bits, in `[0, 1]`; 0 is best.
    pub js: UserValues,
}

/// Compares the list of every user with the user's history, group by group.
///
/// # Panics
/// When groups and history are not over the items and users of the lists.
pub fn calibration(lists: &UserLists<'_>, groups: &Groups, history: &Interactions) -> Calibration {
    assert_eq!(lists.n_items(), groups.n_rows(), "items of lists and groups");
    let by = |divergence: Divergence| {
        let value = |(user, list)| deviation(user, list, groups, history, divergence);
        UserValues::defined(lists.users(), lists.iter().map(value))
    };
    Calibration { kl: by(steck), js: by(jensen_shannon) }
}

type Divergence = fn(&[f64], &[f64]) -> f64;

/// Both divergences as metrics of one grouping.
pub(crate) fn calibration_columns<'a>(
    name: &str,
    groups: &'a Groups,
    history: &'a Interactions,
) -> [Column<'a>; 2] {
    [("kl", steck as Divergence), ("js", jensen_shannon)].map(|(kind, divergence)| {
        Column::new(format!("calibration_{kind}_{name}"), move |user, list| {
            deviation(user, list, groups, history, divergence)
        })
    })
}

fn deviation(
    user: UserIdx,
    list: &[ItemIdx],
    groups: &Groups,
    history: &Interactions,
    divergence: Divergence,
) -> Option<f64> {
    let p = groups.shares_of_items(history.items(user))?;
    let q = groups.shares_of_items(list)?;
    Some(divergence(&p, &q))
}

fn steck(p: &[f64], q: &[f64]) -> f64 {
    let mixed: Vec<f64> = p.iter().zip(q).map(|(p, q)| (1.0 - ALPHA) * q + ALPHA * p).collect();
    kullback_leibler(p, &mixed)
}

/// How much more popular than their histories the lists of each group of users are, `[n_groups]`:
/// 0 for equally popular, 1 for twice as popular. `None` for a group in which nobody has a list
/// and a history with anything in it.
///
/// # Panics
/// When the groups are not over the users of the history, or the lists over its items.
pub fn popularity_lift(
    lists: &UserLists<'_>,
    user_groups: &Groups,
    history: &Interactions,
) -> Vec<Option<f64>> {
    assert_eq!(lists.n_items(), history.n_items(), "items of lists and history");
    assert_eq!(user_groups.n_rows(), history.n_users(), "users of groups and history");
    let counts = history.item_counts();
    let mean = |items: &[ItemIdx]| {
        let sum: f64 = items.iter().map(|item| f64::from(counts[item.index()])).sum();
        sum / items.len() as f64
    };
    let mut sums = vec![(0.0, 0.0); user_groups.n_groups()];
    for (user, list) in lists.iter() {
        let had = history.items(user);
        if list.is_empty() || had.is_empty() {
            continue;
        }
        for group in user_groups.of(user.index()) {
            let sum = &mut sums[*group as usize];
            *sum = (sum.0 + mean(list), sum.1 + mean(had));
        }
    }
    // Every item of a history was had by somebody, so a mean is 0 for nobody only.
    sums.into_iter().map(|(list, had)| (had > 0.0).then(|| (list - had) / had)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(list: &[u32]) -> Vec<ItemIdx> {
        list.iter().copied().map(ItemIdx).collect()
    }

    #[test]
    fn calibration_by_hand() {
        let names = ["a", "b"].map(String::from).to_vec();
        let labels = [Some(0), Some(0), Some(1), Some(1), None];
        let groups = Groups::from_labels(names, &labels).unwrap();
        // User 0: half and half, list all a. User 1: history without a group. User 2: equal.
        let pairs = [(0, 0), (0, 2), (0, 4), (1, 4), (2, 0), (2, 2)];
        let history = Interactions::from_pairs(3, 5, pairs).unwrap();
        let users = [0, 1, 2].map(UserIdx);
        let lists = [items(&[1, 4]), items(&[1]), items(&[1, 3])];
        let lists = UserLists::new(&users, &lists, 2, (3, 5)).unwrap();
        let got = calibration(&lists, &groups, &history);
        assert_eq!(got.kl.users(), [0, 2].map(UserIdx));
        // q̃ = 0.995 0.005.
        let kl = 0.5 * (0.5f64 / 0.995).ln() + 0.5 * (0.5f64 / 0.005).ln();
        assert!((got.kl.values()[0] - kl).abs() < 1e-14, "{got:?}");
        // m = 3/4 1/4: ½ (½ log2(2/3) + ½ log2 2) + ½ log2(4/3).
        let js = 0.25 * (2f64 / 3.0).log2() + 0.25 + 0.5 * (4f64 / 3.0).log2();
        assert!((got.js.values()[0] - js).abs() < 1e-15, "{got:?}");
        assert_eq!((got.kl.values()[1], got.js.values()[1]), (0.0, 0.0));
    }

    #[test]
    fn lift_by_hand() {
        // Counts 2 1 0. Users 0 and 1 are group a, user 2 group b without a history.
        let history = Interactions::from_pairs(3, 3, [(0, 0), (1, 0), (1, 1)]).unwrap();
        let names = ["a", "b"].map(String::from).to_vec();
        let groups = Groups::from_labels(names, &[Some(0), Some(0), Some(1)]).unwrap();
        let users = [0, 1, 2].map(UserIdx);
        let lists = [items(&[1]), items(&[2]), items(&[0])];
        let lists = UserLists::new(&users, &lists, 1, (3, 3)).unwrap();
        // Lists 1 and 0, histories 2 and 1.5.
        let got = popularity_lift(&lists, &groups, &history);
        assert_eq!(got, [Some((1.0 - 3.5) / 3.5), None]);
    }
}
