//! Draws of items in proportion to a power of their count, in constant time.
//!
//! The alias method (Walker, "An Efficient Method for Generating Discrete Random Variables with
//! General Distributions", TOMS 1977; the set-up is Vose's, IEEE TSE 1991). Against
//! `WeightedAliasIndex` of rand_distr, the two numbers of an entry lie side by side and one draw
//! of 64 bits decides both the entry and the side: half the time. Whole-numbered sums of the
//! weights beside it make exact draws without the user's items possible.

use super::known::Known;
use super::random::SplitMix64;

/// One column of the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Share of the column that is its own, as a fraction of 2³².
    share: u32,
    /// Whose the rest is.
    other: u32,
}

/// The distribution `p(rank) ∝ count^alpha`. 16 bytes a training item.
#[derive(Debug, Clone)]
pub(super) struct Popularity {
    table: Vec<Entry>,
    /// Sums of whole-numbered weights, `[n_ranks + 1]`: exact, so that what is left of them
    /// without some items is exact too.
    sums: Vec<u64>,
}

impl Popularity {
    /// Prepares the draws. Weights are rounded to 1 / 2⁶² of their possible sum, and none to 0.
    pub(super) fn new(counts: &[u32], alpha: f64) -> Self {
        let most = f64::from(counts.iter().copied().max().unwrap_or(1));
        let unit = (1u64 << 62) as f64 / counts.len().max(1) as f64;
        let weight = |&c: &u32| (((f64::from(c) / most).powf(alpha) * unit) as u64).max(1);
        let mut sums = Vec::with_capacity(counts.len() + 1);
        let mut sum = 0;
        sums.push(sum);
        for weight in counts.iter().map(weight) {
            sum += weight;
            sums.push(sum);
        }
        Self { table: alias_table(&sums), sums }
    }

    /// A rank of the distribution.
    #[inline]
    pub(super) fn draw(&self, draws: &mut SplitMix64) -> u32 {
        let (column, side) = draws.below_and_rest(self.table.len() as u64);
        let entry = self.table[column as usize];
        if ((side >> 32) as u32) < entry.share { column as u32 } else { entry.other }
    }

    /// A rank of the distribution without the user's own: exact, in time linear in the number
    /// of the user's items. The user must lack an item.
    pub(super) fn draw_free(&self, known: &Known, user: u32, draws: &mut SplitMix64) -> u32 {
        let own = known.own(user);
        let total = self.sums.last().copied().unwrap_or(0);
        let owned: u64 = own.iter().map(|&rank| self.weight(rank)).sum();
        let target = draws.below_and_rest(total - owned).0;
        // `target` counts free weight only: the weight of own items before it is added.
        let mut at = target;
        for &rank in own {
            if self.sums[rank as usize] > at {
                break;
            }
            at += self.weight(rank);
        }
        self.sums.partition_point(|&sum| sum <= at) as u32 - 1
    }

    fn weight(&self, rank: u32) -> u64 {
        self.sums[rank as usize + 1] - self.sums[rank as usize]
    }
}

/// Fills columns of equal height: what is short is topped up by what is tall.
fn alias_table(sums: &[u64]) -> Vec<Entry> {
    let n = sums.len() - 1;
    let mean = sums[n] as f64 / n.max(1) as f64;
    let mut height: Vec<f64> = sums.windows(2).map(|w| (w[1] - w[0]) as f64 / mean).collect();
    let mut table: Vec<Entry> =
        (0..n as u32).map(|rank| Entry { share: u32::MAX, other: rank }).collect();
    let (mut short, mut tall): (Vec<usize>, Vec<usize>) =
        (0..n).partition(|&rank| height[rank] < 1.0);
    while let (Some(low), Some(&high)) = (short.pop(), tall.last()) {
        let share = (height[low] * (1u64 << 32) as f64) as u32;
        table[low] = Entry { share, other: high as u32 };
        height[high] -= 1.0 - height[low];
        if height[high] < 1.0 {
            tall.pop();
            short.push(high);
        }
    }
    // What is left in either list is 1 up to rounding, and stays its own.
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Interactions;

    /// Chi-square of counts against weights.
    fn chi(counts: &[u32], weights: &[f64]) -> f64 {
        let n: f64 = counts.iter().map(|&c| f64::from(c)).sum();
        let total: f64 = weights.iter().sum();
        let want = weights.iter().map(|w| n * w / total);
        counts.iter().zip(want).map(|(&c, e)| (f64::from(c) - e).powi(2) / e).sum()
    }

    #[test]
    fn draws_follow_the_power_of_the_counts() {
        // Counts 1, 4, 9, 16, 25, 36 to the power 1/2 are 1 to 6.
        let popularity = Popularity::new(&[1, 4, 9, 16, 25, 36], 0.5);
        let mut draws = SplitMix64::new(11);
        let mut counts = [0u32; 6];
        for _ in 0..210_000 {
            counts[popularity.draw(&mut draws) as usize] += 1;
        }
        // 5 degrees of freedom: 20.52 above with probability 0.001, 0.21 below with 0.001.
        let chi = chi(&counts, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!((0.21..20.52).contains(&chi), "{chi} {counts:?}");
    }

    #[test]
    fn exact_draws_leave_out_the_users_own() {
        // Items 0 to 5 have 1 to 6 users; user 0 has items 0, 3 and 4.
        let mut pairs = vec![(0u32, 0u32), (0, 3), (0, 4)];
        for item in 0..6u32 {
            let others = if [0, 3, 4].contains(&item) { item } else { item + 1 };
            pairs.extend((0..others).map(|k| (1 + k, item)));
        }
        let known = Known::new(&Interactions::from_pairs(7, 6, pairs).unwrap());
        assert_eq!(known.counts(), [1, 2, 3, 4, 5, 6]);
        let popularity = Popularity::new(known.counts(), 1.0);
        let mut draws = SplitMix64::new(5);
        let mut counts = [0u32; 6];
        for _ in 0..110_000 {
            counts[popularity.draw_free(&known, 0, &mut draws) as usize] += 1;
        }
        assert_eq!((counts[0], counts[3], counts[4]), (0, 0, 0));
        // 2 degrees of freedom: 13.82 above with probability 0.001, 0.002 below with 0.001.
        let chi = chi(&[counts[1], counts[2], counts[5]], &[2.0, 3.0, 6.0]);
        assert!((0.002..13.82).contains(&chi), "{chi} {counts:?}");
    }

    #[test]
    fn extreme_weights_stay_drawable() {
        // The second weight rounds to nothing and is kept as the smallest there is.
        let popularity = Popularity::new(&[1_000_000, 1], 50.0);
        assert_eq!(popularity.weight(1), 1);
        let mut draws = SplitMix64::new(1);
        assert!((0..1000).all(|_| popularity.draw(&mut draws) == 0));
        let one = Popularity::new(&[3], 0.75);
        assert_eq!(one.draw(&mut draws), 0);
        assert!(Popularity::new(&[], 1.0).table.is_empty());
    }
}
