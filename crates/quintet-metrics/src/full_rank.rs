//! Ranks of a user's relevant items among everything that takes part.
//!
//! A few relevant items are each compared with all scores; for many of them the scores are sorted
//! once. Cost: `O(n · min(t, log n))` for `t` relevant ones of `n` items.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::ItemIdx;

use crate::best::{key, score_of};

/// Sorting pays from so many relevant items on.
const MANY: usize = 128;

/// The scores of one user: of the items `ids`, which ascend, or of all.
pub(crate) struct Row<'a> {
    pub(crate) scores: &'a mut [f32],
    pub(crate) ids: Option<&'a [ItemIdx]>,
    pub(crate) seen: &'a [ItemIdx],
}

impl Row<'_> {
    /// Writes the mid-rank of each of `truth`, which take part and are not seen, and gives how
    /// many items were ranked. The scores are spent.
    pub(crate) fn mid_ranks(&mut self, truth: &[ItemIdx], out: &mut Vec<f64>) -> usize {
        let mut ranked = self.scores.len();
        for item in self.seen {
            if let Some(position) = position(self.ids, *item) {
                // Neither above nor equal to anything.
                self.scores[position] = f32::NAN;
                ranked -= 1;
            }
        }
        out.clear();
        let positions = truth.iter().filter_map(|item| position(self.ids, *item));
        if truth.len() < MANY {
            for at in positions {
                let [above, equal] = Arch::new().dispatch(Count(self.scores, self.scores[at]));
                out.push(mid_rank(above as usize, equal as usize));
            }
        } else {
            let all = self.scores.iter().filter(|s| !s.is_nan());
            let mut keys: Vec<u64> = all.map(|score| key(*score, ItemIdx(0))).collect();
            keys.sort_unstable_by(|a, b| b.cmp(a));
            out.extend(positions.map(|at| {
                let score = self.scores[at];
                let above = keys.partition_point(|key| score_of(*key) > score);
                let through = keys.partition_point(|key| score_of(*key) >= score);
                mid_rank(above, through - above)
            }));
        }
        ranked
    }
}

/// The mean of the ranks that `equal` items fill together.
fn mid_rank(above: usize, equal: usize) -> f64 {
    above as f64 + (equal as f64 + 1.0) / 2.0
}

fn position(ids: Option<&[ItemIdx]>, item: ItemIdx) -> Option<usize> {
    ids.map_or(Some(item.index()), |ids| ids.binary_search(&item).ok())
}

/// How many scores are above one, and how many equal to it.
struct Count<'a>(&'a [f32], f32);

impl WithSimd for Count<'_> {
    type Output = [u32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [u32; 2] {
        let Self(scores, score) = self;
        let count = |[above, equal]: [u32; 2], s: &f32| {
            [above + u32::from(*s > score), equal + u32::from(*s == score)]
        };
        scores.iter().fold([0, 0], count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(
        scores: &[f32],
        ids: Option<&[ItemIdx]>,
        seen: &[u32],
        truth: &[u32],
    ) -> (Vec<f64>, usize) {
        let items = |list: &[u32]| list.iter().copied().map(ItemIdx).collect::<Vec<_>>();
        let (mut scores, mut out) = (scores.to_vec(), Vec::new());
        let seen = items(seen);
        let mut row = Row { scores: &mut scores, ids, seen: &seen };
        let n = row.mid_ranks(&items(truth), &mut out);
        (out, n)
    }

    #[test]
    fn by_hand() {
        // Item 1 is seen. 9 ranks first, the two 5 share ranks 2 and 3, then 1.
        let scores = [5.0, 8.0, 9.0, 5.0, 1.0];
        assert_eq!(ranks(&scores, None, &[1], &[0, 4]), (vec![2.5, 4.0], 4));
        // The same items under other names, of which 7 does not take part.
        let ids = [2, 4, 6, 8, 9].map(ItemIdx);
        assert_eq!(ranks(&scores, Some(&ids), &[4, 7], &[2, 9]), (vec![2.5, 4.0], 4));
    }

    #[test]
    fn many_are_ranked_as_few() {
        let scores: Vec<f32> = (0..400).map(|i| ((i * 37) % 91) as f32).collect();
        let truth: Vec<u32> = (0..400).filter(|i| i % 2 == 0).collect();
        let seen: Vec<u32> = (0..400).filter(|i| i % 7 == 1 && i % 2 == 1).collect();
        let (many, n) = ranks(&scores, None, &seen, &truth);
        for (few, many) in truth.chunks(MANY - 1).zip(many.chunks(MANY - 1)) {
            assert_eq!(ranks(&scores, None, &seen, few), (many.to_vec(), n));
        }
    }
}
