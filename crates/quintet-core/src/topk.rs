//! The k best of a row of scores, ties by position.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::ItemIdx;

/// An item and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The item.
    pub item: ItemIdx,
    /// Its score; higher is better.
    pub score: f32,
}

/// Orders the *worst* entry first, so that a max-heap pops it.
struct WorstFirst(Scored);

impl PartialEq for WorstFirst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for WorstFirst {}
impl PartialOrd for WorstFirst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for WorstFirst {
    fn cmp(&self, other: &Self) -> Ordering {
        rank_order(&self.0, &other.0)
    }
}

/// `Less` when `a` ranks before `b`: by score, then by the smaller item position.
fn rank_order(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(a.item.cmp(&b.item))
}

/// The `k` best items of `scores`, best first; equal scores rank by item position.
///
/// Items for which `skip` is true do not take part, nor do scores of `-inf` or NaN. The list is
/// shorter than `k` when fewer items remain. Cost: `O(n log k)`, memory `O(k)`.
///
/// ```
/// use quintet_core::{top_k, ItemIdx};
/// let best = top_k(&[0.5, 2.0, 2.0, 9.0], 2, |i| i == ItemIdx(3));
/// let items: Vec<u32> = best.iter().map(|s| s.item.0).collect();
/// assert_eq!(items, [1, 2]);
/// ```
pub fn top_k(scores: &[f32], k: usize, skip: impl Fn(ItemIdx) -> bool) -> Vec<Scored> {
    if k == 0 {
        return Vec::new();
    }
    let mut heap: BinaryHeap<WorstFirst> = BinaryHeap::with_capacity(k.min(scores.len()) + 1);
    for (position, &score) in scores.iter().enumerate() {
        if score.is_nan() || score == f32::NEG_INFINITY {
            continue;
        }
        // -0.0 and 0.0 are one score: `total_cmp` would tell them apart.
        let candidate = Scored { item: ItemIdx::new(position), score: score + 0.0 };
        if heap.len() == k {
            let beats_worst =
                heap.peek().is_some_and(|w| rank_order(&candidate, &w.0) == Ordering::Less);
            if !beats_worst {
                continue;
            }
        }
        if skip(candidate.item) {
            continue;
        }
        if heap.len() == k {
            heap.pop();
        }
        heap.push(WorstFirst(candidate));
    }
    let mut best: Vec<Scored> = heap.into_iter().map(|w| w.0).collect();
    best.sort_unstable_by(rank_order);
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_full_sort(
            raw in proptest::collection::vec(-3i8..3, 0..60), k in 0usize..70, skip in 0u32..60
        ) {
            let scores: Vec<f32> = raw.iter().map(|&v| f32::from(v) / 2.0).collect();
            let got = top_k(&scores, k, |i| i.0 == skip);
            let mut all: Vec<Scored> = scores
                .iter()
                .enumerate()
                .filter(|(i, _)| *i as u32 != skip)
                .map(|(i, &s)| Scored { item: ItemIdx::new(i), score: s })
                .collect();
            all.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.item.cmp(&b.item)));
            all.truncate(k);
            prop_assert_eq!(got, all);
        }
    }

    #[test]
    fn nan_never_ranks_and_zero_signs_tie() {
        let best = top_k(&[f32::NAN, -0.0, 0.0, f32::NEG_INFINITY], 4, |_| false);
        assert_eq!(best.iter().map(|s| s.item.0).collect::<Vec<_>>(), [1, 2]);
    }
}
