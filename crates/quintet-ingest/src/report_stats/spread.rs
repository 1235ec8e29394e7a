//! How counts spread: quantiles, buckets of powers of two, and how unequal they are.

use serde::{Deserialize, Serialize};

/// How many counts lie between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The smallest count that is in it.
    pub from: u64,
    /// The largest count that is in it.
    pub to: u64,
    /// How many there are.
    pub count: u64,
}

impl Bucket {
    /// The range as people write it: `3–4`, or `2` alone.
    pub(crate) fn label(&self) -> String {
        if self.from == self.to {
            return self.from.to_string();
        }
        format!("{}–{}", self.from, self.to)
    }
}

/// Quantiles and a histogram of counts; all zero when there are none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// How many counts there are.
    pub n: u64,
    /// The smallest.
    pub min: u64,
    /// The one in the middle; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The smallest count that nine in ten do not exceed (nearest rank).
    pub p90: u64,
    /// The largest.
    pub max: u64,
    /// 0, 1, 2, 3–4, 5–8, 9–16 and so on, from the first to the last that is not empty.
    pub buckets: Vec<Bucket>,
}

impl Spread {
    /// The spread of counts that are sorted upwards.
    pub(crate) fn of_sorted(sorted: &[u64]) -> Self {
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self::default();
        };
        let n = sorted.len();
        let sum: u128 = sorted.iter().map(|c| u128::from(*c)).sum();
        Self {
            n: n as u64,
            min,
            median: (sorted[(n - 1) / 2] as f64 + sorted[n / 2] as f64) / 2.0,
            mean: sum as f64 / n as f64,
            p90: sorted[(9 * n).div_ceil(10) - 1],
            max,
            buckets: buckets(sorted),
        }
    }
}

/// The bucket of a count: 0 and 1 have their own, then each ends at a power of two.
fn bucket(count: u64) -> u32 {
    match count {
        0 => 0,
        _ => 1 + (count - 1).checked_ilog2().map_or(0, |log| log + 1),
    }
}

/// The first and last count of a bucket.
fn bounds(bucket: u32) -> (u64, u64) {
    match bucket {
        0 => (0, 0),
        1 => (1, 1),
        _ => {
            let from = 1u64 << (bucket - 2);
            (from + 1, from.saturating_mul(2))
        }
    }
}

fn buckets(sorted: &[u64]) -> Vec<Bucket> {
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return Vec::new();
    };
    let within = |number| {
        let (from, to) = bounds(number);
        let count = sorted.partition_point(|c| *c <= to) - sorted.partition_point(|c| *c < from);
        Bucket { from, to, count: count as u64 }
    };
    (bucket(min)..=bucket(max)).map(within).collect()
}

/// How many events users or items have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsPer {
    /// Quantiles and histogram, those without events included.
    pub spread: Spread,
    /// How many have fewer than five events.
    pub fewer_than_5: u64,
    /// `fewer_than_5` as a share of all.
    pub share_fewer_than_5: f64,
    /// The Gini coefficient (Gini, "Variabilità e mutabilità", 1912): 0 when all have the same
    /// number of events, near 1 when one has them all.
    pub gini: f64,
}

impl EventsPer {
    /// Counts positions below `n`; others are passed over.
    pub(crate) fn of(positions: impl Iterator<Item = usize>, n: usize) -> Self {
        let mut counts = vec![0u64; n];
        for position in positions {
            if let Some(count) = counts.get_mut(position) {
                *count += 1;
            }
        }
        counts.sort_unstable();
        let fewer = counts.partition_point(|c| *c < 5);
        Self {
            spread: Spread::of_sorted(&counts),
            fewer_than_5: fewer as u64,
            share_fewer_than_5: if n > 0 { fewer as f64 / n as f64 } else { 0.0 },
            gini: gini(&counts),
        }
    }
}

/// `Σ (2 i - n - 1) xᵢ / (n Σ xᵢ)` of counts sorted upwards, `i` from 1; 0 when all are 0.
fn gini(sorted: &[u64]) -> f64 {
    let n = sorted.len() as i128;
    let sum: i128 = sorted.iter().map(|c| i128::from(*c)).sum();
    if sum == 0 {
        return 0.0;
    }
    let weighted = |(i, c): (usize, &u64)| (2 * (i as i128 + 1) - n - 1) * i128::from(*c);
    let weighted: i128 = sorted.iter().enumerate().map(weighted).sum();
    weighted as f64 / (n as f64 * sum as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hand_worked_counts() {
        // Five users with 0, 1, 2, 3 and 6 events.
        let users = [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4];
        let per = EventsPer::of(users.into_iter(), 5);
        let s = &per.spread;
        assert_eq!((s.n, s.min, s.median, s.mean, s.p90, s.max), (5, 0, 2.0, 2.4, 6, 6));
        assert_eq!((per.fewer_than_5, per.share_fewer_than_5), (4, 0.8));
        // -4·0 - 2·1 + 0·2 + 2·3 + 4·6 = 28, over 5 · 12.
        assert!((per.gini - 28.0 / 60.0).abs() < 1e-12, "{}", per.gini);
        let got: Vec<_> = s.buckets.iter().map(|b| (b.label(), b.count)).collect();
        let want = [("0", 1), ("1", 1), ("2", 1), ("3–4", 1), ("5–8", 1)];
        assert_eq!(got, want.map(|(l, c)| (l.to_owned(), c)));
    }

    #[test]
    fn nine_in_ten_of_ten_are_nine() {
        let s = Spread::of_sorted(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 100]);
        assert_eq!((s.median, s.p90, s.max), (5.5, 9, 100));
        assert_eq!(Spread::of_sorted(&[7]).p90, 7);
        assert_eq!(Spread::of_sorted(&[u64::MAX]).buckets[0].to, u64::MAX);
    }

    #[test]
    fn one_who_has_everything_and_equals() {
        assert_eq!(gini(&[0, 0, 0, 8]), 0.75);
        assert_eq!(gini(&[3, 3, 3]), 0.0);
        assert_eq!((gini(&[]), gini(&[0, 0])), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn every_count_is_in_one_bucket(
            mut counts in proptest::collection::vec(0u64..5000, 1..200)
        ) {
            counts.sort_unstable();
            let spread = Spread::of_sorted(&counts);
            prop_assert_eq!(spread.buckets.iter().map(|b| b.count).sum::<u64>(), spread.n);
            for pair in spread.buckets.windows(2) {
                prop_assert_eq!(pair[0].to + 1, pair[1].from);
            }
            prop_assert!((0.0..1.0).contains(&gini(&counts)));
        }
    }
}
