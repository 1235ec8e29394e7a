//! Personalisation@k: how different the lists of two users are.
//!
//! The mean of `1 - |A ∩ B| / √(|A| |B|)` over all pairs of users whose lists are not empty, the
//! cosine distance of lists as sets; for lists of `k` items, `1 - overlap / k`. Pairs are not
//! visited: with `s_i = Σ_u 1/√|A_u|` over the `n` users who are shown item `i`, the cosines of
//! all pairs sum to `(Σ_i s_i² - n) / 2`. The Jaccard distance has no such sum and would need all
//! pairs, so it is not offered. One list alone is shared with nobody: 1. No list: 0.
//!
//! Paper: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
//! PNAS 107(10), 2010 (personalization, as Hamming distance of lists of equal length).
//! Cost: O(places + items), exact.

use crate::{MetricEntry, MetricKind, RankedLists};

/// The registry entry.
pub(crate) const PERSONALISATION: MetricEntry = MetricEntry {
    name: "personalisation",
    summary: "mean cosine distance between the lists of two users; 1 when they share nothing",
    kind: MetricKind::Whole(personalisation),
};

pub(super) fn personalisation(lists: &RankedLists<'_>) -> f64 {
    let served = lists.iter().filter(|list| !list.is_empty()).count() as u128;
    if served < 2 {
        return if served == 1 { 1.0 } else { 0.0 };
    }
    let lengths: Vec<usize> = lists.iter().map(<[_]>::len).filter(|n| *n > 0).collect();
    let pairs = (served * (served - 1)) as f64;
    let cosines = if lengths.iter().all(|n| *n == lengths[0]) {
        // Lists of one length, the usual case: everything is whole until the last division.
        let mut counts = vec![0u64; lists.n_items()];
        lists.iter().flatten().for_each(|item| counts[item.index()] += 1);
        let squares: u128 = counts.iter().map(|c| u128::from(*c).pow(2)).sum();
        (squares - served * lengths[0] as u128) as f64 / lengths[0] as f64
    } else {
        let mut sums = vec![0.0f64; lists.n_items()];
        for list in lists.iter() {
            let weight = 1.0 / (list.len() as f64).sqrt();
            list.iter().for_each(|item| sums[item.index()] += weight);
        }
        sums.iter().map(|s| s * s).sum::<f64>() - served as f64
    };
    (1.0 - cosines / pairs).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;

    fn of(lists: &[&[u32]]) -> f64 {
        let lists: Vec<Vec<ItemIdx>> =
            lists.iter().map(|l| l.iter().copied().map(ItemIdx).collect()).collect();
        personalisation(&RankedLists::new(&lists, 9, 9, 9))
    }

    #[test]
    fn by_hand() {
        // Overlaps of two: 1, 0, 1; cosines 1/2, 0, 1/2.
        assert_eq!(of(&[&[0, 1], &[1, 2], &[2, 3]]), 1.0 - 1.0 / 3.0);
        // Other lengths: 1 / √(2 · 1). An empty list is in no pair.
        assert!((of(&[&[0, 1], &[], &[0]]) - (1.0 - 0.5f64.sqrt())).abs() < 1e-15);
        assert_eq!(of(&[&[0, 1], &[1, 0]]), 0.0);
        assert_eq!(of(&[&[0, 1], &[2]]), 1.0);
        assert_eq!((of(&[&[0]]), of(&[&[]]), of(&[])), (1.0, 0.0, 0.0));
    }
}
