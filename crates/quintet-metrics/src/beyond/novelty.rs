//! How new the items of a list are to people: EPC, MIUF and self-information.
//!
//! `p(seen|i) = n_i / |U|` is the share of users who had item `i` before.
//!
//! - Expected popularity complement, `EPC = C Σ_r disc(r) rel(i_r) (1 - p(seen|i_r))` over the
//!   ranks `r` of a list, `C = 1 / Σ_r disc(r)`. `epc` has `disc = 1` and `rel = 1`; `epc_ranked`
//!   has `disc(r) = 1 / log2(r + 1)`; `epc_relevant` and `epc_ranked_relevant` have `rel = 1` for
//!   held-out items and 0 for others.
//! - Mean inverse user frequency, `MIUF = -1/|L| Σ log2 p(seen|i)`, in bits.
//! - Self-information, `-1/|L| Σ log2 p(i|seen)` in bits, `p(i|seen) = n_i / Σ_j n_j` the share of
//!   all interactions: the expected free discovery of Vargas and Castells.
//!
//! An item that nobody had counts as one that a single user had in both logarithms, so that they
//! stay finite: a brand-new item is as new as the rarest known one. Empty lists are left out.
//! Differences: the paper's relevance is graded and its discount open; the discount here is that
//! of NDCG.
//!
//! Papers: Vargas and Castells, "Rank and Relevance in Novelty and Diversity Metrics for
//! Recommender Systems", RecSys 2011 (EPC, EFD); Zhou et al., "Solving the apparent
//! diversity-accuracy dilemma of recommender systems", PNAS 107(10), 2010 (MIUF, there called
//! surprisal); Castells, Hurley, Vargas, "Novelty and Diversity in Recommender Systems",
//! Recommender Systems Handbook, 2015.
//! Cost: O(places).

use quintet_core::{Interactions, ItemIdx, UserIdx};

use super::{Column, mean_over};
use crate::fairness::Discount;

/// The metrics, each a value a user.
pub(super) fn columns<'a>(
    counts: &'a [u32],
    n_users: usize,
    truth: Option<&'a Interactions>,
) -> Vec<Column<'a>> {
    let ranked = |rank| Discount::Log2.weight(rank);
    let n_users = n_users as f64;
    let total = counts.iter().map(|n| u64::from(*n)).sum::<u64>() as f64;
    let known = |i: ItemIdx| f64::from(counts[i.index()].max(1));
    let unseen = move |i: ItemIdx| 1.0 - f64::from(counts[i.index()]) / n_users;
    let mut columns = vec![
        Column::new("epc", move |_, list| weighted(list, |_| 1.0, unseen)),
        Column::new("epc_ranked", move |_, list| weighted(list, ranked, unseen)),
        Column::new("miuf", move |_, list| mean_over(list, |i| (n_users / known(i)).log2())),
        Column::new("self_information", move |_, list| {
            // No interaction at all: the only event that is thinkable is certain.
            mean_over(list, |i| (total.max(1.0) / known(i)).log2())
        }),
    ];
    if let Some(truth) = truth {
        let relevant = move |user: UserIdx, i: ItemIdx| {
            if truth.contains(user, i) { unseen(i) } else { 0.0 }
        };
        columns.push(Column::new("epc_relevant", move |user, list| {
            weighted(list, |_| 1.0, |i| relevant(user, i))
        }));
        columns.push(Column::new("epc_ranked_relevant", move |user, list| {
            weighted(list, ranked, |i| relevant(user, i))
        }));
    }
    columns
}

/// The mean of `value` over ranks, weighted by `discount`; `None` for an empty list.
fn weighted(
    list: &[ItemIdx],
    discount: impl Fn(usize) -> f64,
    value: impl Fn(ItemIdx) -> f64,
) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (rank, item) in (1..).zip(list) {
        sum += discount(rank) * value(*item);
        weights += discount(rank);
    }
    (!list.is_empty()).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn by_hand() {
        // Four users; items were had by 2, 1 and 0 of them; the last one is held out.
        let truth = Interactions::from_pairs(4, 3, [(0, 2)]).unwrap();
        let counts = [2, 1, 0];
        let list = [0, 1, 2].map(ItemIdx);
        let got: BTreeMap<String, f64> = columns(&counts, 4, Some(&truth))
            .iter()
            .map(|c| (c.name.clone(), (c.value)(UserIdx(0), &list).unwrap()))
            .collect();
        let second = 1.0 / 3f64.log2();
        let all = 1.0 + second + 0.5;
        let close = |key: &str, want: f64| {
            assert!((got[key] - want).abs() < 1e-15, "{key}: {} is not {want}", got[key]);
        };
        close("epc", (0.5 + 0.75 + 1.0) / 3.0);
        close("epc_ranked", (0.5 + 0.75 * second + 0.5) / all);
        close("epc_relevant", 1.0 / 3.0);
        close("epc_ranked_relevant", 0.5 / all);
        // log2(4/2), log2(4/1), and the unknown item as if one user had it.
        close("miuf", (1.0 + 2.0 + 2.0) / 3.0);
        close("self_information", ((1.5f64).log2() + 2.0 * 3f64.log2()) / 3.0);
        assert!(columns(&counts, 4, None).iter().all(|c| (c.value)(UserIdx(0), &[]).is_none()));
    }

    #[test]
    fn without_any_history_nothing_is_infinite() {
        for column in columns(&[0, 0], 3, None) {
            let value = (column.value)(UserIdx(0), &[ItemIdx(1)]).unwrap();
            assert!(value.is_finite(), "{}: {value}", column.name);
        }
    }
}
