//! The k best of scores that come one after the other, nearly all turned away by one comparison.
//!
//! Whoever reaches the threshold goes into a list of twice the length that is wanted. When it is
//! full, its better half stays and the worst of that half is the new threshold: of `n` scores in
//! random order about `k (2 + log2(n / 2k))` get that far, and fewer where likely items come first.
//!
//! Cost: `O(n)` comparisons, memory `O(k)`.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::{ItemIdx, Scored};

/// Scores that are looked at together before one of them is looked at alone.
const TOGETHER: usize = 64;

/// The best items of one user while the scores come in.
#[derive(Debug, Default)]
pub(crate) struct Best {
    k: usize,
    /// Most that are held.
    room: usize,
    /// See [`key`]; sorted once it is [`Best::finish`]ed.
    keys: Vec<u64>,
    /// The worst of `k` that were found, and its score.
    floor: u64,
    threshold: f32,
}

impl Best {
    /// Forgets everything and begins anew. Items scored `-inf` never rank.
    pub(crate) fn start(&mut self, k: usize) {
        self.k = k;
        self.room = k.saturating_mul(2).max(32);
        self.keys.clear();
        self.floor = if k == 0 { u64::MAX } else { key(f32::NEG_INFINITY, ItemIdx(0)) };
        self.threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
    }

    /// Lower scores need not be offered, nor equal ones of later items.
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Takes a score, unless it is too low or the item is in `seen`, which is sorted.
    #[inline]
    pub(crate) fn offer(&mut self, item: ItemIdx, score: f32, seen: &[ItemIdx]) {
        let key = key(score, item);
        if key <= self.floor || seen.binary_search(&item).is_ok() {
            return;
        }
        self.keys.push(key);
        if self.keys.len() >= self.room {
            self.shrink();
        }
    }

    /// Offers all of `scores`, of the items `ids`, which ascend, or of all items in their order.
    pub(crate) fn scan(&mut self, scores: &[f32], ids: Option<&[ItemIdx]>, seen: &[ItemIdx]) {
        Arch::new().dispatch(Scan { best: self, scores, ids, seen });
    }

    /// Sorts what was found; [`Best::items`] and [`Best::scored`] may be asked then.
    pub(crate) fn finish(&mut self) {
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        self.keys.truncate(self.k);
    }

    /// The best items, best first, equal scores by item.
    pub(crate) fn items(&self) -> impl Iterator<Item = ItemIdx> {
        self.keys.iter().map(|key| item_of(*key))
    }

    /// The best items with their scores.
    pub(crate) fn scored(&self) -> impl Iterator<Item = Scored> {
        self.keys.iter().map(|key| Scored { item: item_of(*key), score: score_of(*key) })
    }

    #[inline(never)]
    fn shrink(&mut self) {
        let (_, worst, _) = self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
        self.floor = *worst;
        self.threshold = score_of(*worst);
        self.keys.truncate(self.k);
    }
}

struct Scan<'a> {
    best: &'a mut Best,
    scores: &'a [f32],
    ids: Option<&'a [ItemIdx]>,
    seen: &'a [ItemIdx],
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { best, scores, ids, seen } = self;
        for (chunk, some) in scores.chunks(TOGETHER).enumerate() {
            // Later items of the same score rank after those that are here.
            let threshold = best.threshold();
            // Without an early exit the compiler compares many scores at once.
            if !some.iter().fold(false, |any, score| any | (*score > threshold)) {
                continue;
            }
            for (at, &score) in some.iter().enumerate() {
                if score > best.threshold() {
                    let position = chunk * TOGETHER + at;
                    best.offer(
                        ids.map_or(ItemIdx::new(position), |ids| ids[position]),
                        score,
                        seen,
                    );
                }
            }
        }
    }
}

/// The order of a ranking as one number: larger is better, equal scores by the smaller item.
pub(crate) fn key(score: f32, item: ItemIdx) -> u64 {
    // -0.0 and 0.0 are one score.
    let bits = (score + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(!item.0)
}

/// The score of a [`key`].
pub(crate) fn score_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

/// The item of a [`key`].
pub(crate) fn item_of(key: u64) -> ItemIdx {
    ItemIdx(!(key as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::top_k;

    proptest! {
        /// The same lists as `quintet_core::top_k`, which keeps a heap.
        #[test]
        fn equals_the_heap(
            raw in proptest::collection::vec(-40i8..40, 0..400), k in 0usize..70,
            seen in proptest::collection::btree_set(0u32..400, 0..90)
        ) {
            let infinite = |v: i8| if v == 39 { f32::NEG_INFINITY } else { f32::from(v) / 4.0 };
            let scores: Vec<f32> = raw.iter().map(|&v| infinite(v)).collect();
            let seen: Vec<ItemIdx> = seen.into_iter().map(ItemIdx).collect();
            let mut best = Best::default();
            best.start(k);
            best.scan(&scores, None, &seen);
            best.finish();
            let want = top_k(&scores, k, |item| seen.binary_search(&item).is_ok());
            prop_assert_eq!(best.scored().collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn numbers_come_back_from_their_keys() {
        for score in [f32::NEG_INFINITY, -2.5, -1e-40, 0.0, 1e-40, 7.25, f32::MAX, f32::INFINITY] {
            let key = key(score, ItemIdx(3));
            assert_eq!((score_of(key), item_of(key)), (score, ItemIdx(3)));
        }
        assert_eq!(key(-0.0, ItemIdx(1)), key(0.0, ItemIdx(1)));
    }
}
