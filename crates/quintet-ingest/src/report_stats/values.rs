//! The values and kinds of events.

use std::collections::BTreeMap;

use quintet_data::Events;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The most different values that are counted one by one.
const MOST_DISTINCT: usize = 20;
/// Bins of equal width where there are more.
const BINS: usize = 20;
/// Events that one task looks at. Sums of chunks of a fixed size do not depend on the threads.
const CHUNK: usize = 1 << 16;

/// How many values lie in a range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValueBin {
    /// The smallest value that is in it.
    pub from: f64,
    /// The same as `from` for a single value; otherwise where the next bin begins, and in the
    /// last bin the largest value.
    pub to: f64,
    /// How many there are.
    pub count: u64,
}

/// The values of events, those that are no finite numbers left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ValueStats {
    /// The smallest.
    pub min: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// How many different values there are; none when more than 20.
    pub distinct: Option<u64>,
    /// Each value when there are at most 20 different ones, otherwise 20 bins of equal width.
    pub bins: Vec<ValueBin>,
}

/// What one pass learns of some values.
struct Seen {
    n: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// Different values as ordered bits with their counts; none when there are too many.
    distinct: Option<BTreeMap<u64, u64>>,
}

impl Seen {
    fn of(values: &[f32]) -> Self {
        let mut seen = Self {
            n: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            distinct: Some(BTreeMap::new()),
        };
        for value in values.iter().filter(|v| v.is_finite()) {
            // -0 and 0 are one value.
            let value = f64::from(*value) + 0.0;
            seen.n += 1;
            seen.sum += value;
            seen.min = seen.min.min(value);
            seen.max = seen.max.max(value);
            seen.count(value.to_bits(), 1);
        }
        seen
    }

    fn count(&mut self, bits: u64, times: u64) {
        let Some(distinct) = &mut self.distinct else { return };
        *distinct.entry(bits).or_default() += times;
        if distinct.len() > MOST_DISTINCT {
            self.distinct = None;
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.n += other.n;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        match other.distinct {
            None => self.distinct = None,
            Some(distinct) => distinct.into_iter().for_each(|(b, n)| self.count(b, n)),
        }
        self
    }
}

impl ValueStats {
    /// The values of a table.
    pub(crate) fn of(events: &Events) -> Self {
        let values = events.values();
        let chunks: Vec<Seen> = values.par_chunks(CHUNK).map(Seen::of).collect();
        let Some(seen) = chunks.into_iter().reduce(Seen::join).filter(|s| s.n > 0) else {
            return Self::default();
        };
        let single = |(bits, count): (&u64, &u64)| {
            let value = f64::from_bits(*bits);
            ValueBin { from: value, to: value, count: *count }
        };
        let mut bins: Vec<ValueBin> = match &seen.distinct {
            Some(distinct) => distinct.iter().map(single).collect(),
            None => bins(values, seen.min, seen.max),
        };
        bins.sort_by(|a, b| a.from.total_cmp(&b.from));
        Self {
            min: Some(seen.min),
            mean: Some(seen.sum / seen.n as f64),
            max: Some(seen.max),
            distinct: seen.distinct.map(|d| d.len() as u64),
            bins,
        }
    }
}

/// Bins of equal width; `min < max`.
fn bins(values: &[f32], min: f64, max: f64) -> Vec<ValueBin> {
    let width = (max - min) / BINS as f64;
    let add = |mut counts: [u64; BINS], value: &f32| {
        if value.is_finite() {
            let bin = ((f64::from(*value) - min) / width) as usize;
            counts[bin.min(BINS - 1)] += 1;
        }
        counts
    };
    let zero = || [0u64; BINS];
    let counts = values
        .par_iter()
        .with_min_len(CHUNK)
        .fold(zero, add)
        .reduce(zero, |a, b| std::array::from_fn(|i| a[i] + b[i]));
    let edge = |bin: usize| if bin == BINS { max } else { min + width * bin as f64 };
    let bin = |(i, count)| ValueBin { from: edge(i), to: edge(i + 1), count };
    counts.into_iter().enumerate().map(bin).collect()
}

/// One kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindStats {
    /// Its name.
    pub kind: String,
    /// How many events are of it.
    pub events: u64,
}

/// The kinds that occur, in alphabetical order.
pub(crate) fn kinds(events: &Events) -> Vec<KindStats> {
    let names = events.kind_names();
    let zero = || vec![0u64; names.len()];
    let counts = (0..events.len())
        .into_par_iter()
        .with_min_len(CHUNK)
        .fold(zero, |mut counts, row| {
            counts[events.kind_number(row) as usize] += 1;
            counts
        })
        .reduce(zero, |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
    let counts = names.iter().zip(counts).filter(|(_, events)| *events > 0);
    let mut kinds: Vec<_> =
        counts.map(|(kind, events)| KindStats { kind: kind.clone(), events }).collect();
    kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};
    use quintet_data::Event;

    fn events(values: impl IntoIterator<Item = (f32, &'static str)>) -> Events {
        let event = |(value, event)| Event {
            user: UserIdx(0),
            item: ItemIdx(0),
            event,
            value,
            timestamp: None,
            part: None,
        };
        values.into_iter().map(event).collect()
    }

    fn of(values: &[f32]) -> ValueStats {
        ValueStats::of(&events(values.iter().map(|v| (*v, "e"))))
    }

    #[test]
    fn few_values_are_counted_one_by_one() {
        let stats = of(&[5.0, -0.0, 0.5, 5.0, 0.0, f32::NAN, f32::INFINITY, -1.0]);
        assert_eq!((stats.min, stats.max, stats.distinct), (Some(-1.0), Some(5.0), Some(4)));
        assert_eq!(stats.mean, Some(9.5 / 6.0));
        let got: Vec<_> = stats.bins.iter().map(|b| (b.from, b.count)).collect();
        assert_eq!(got, [(-1.0, 1), (0.0, 2), (0.5, 1), (5.0, 2)]);
    }

    #[test]
    fn many_values_fall_into_twenty_bins() {
        // 0 to 40: bins are 2 wide, the last one has 38, 39 and 40.
        let values: Vec<f32> = (0..=40).map(|v| v as f32).collect();
        let stats = of(&values);
        assert_eq!((stats.distinct, stats.bins.len()), (None, 20));
        assert_eq!(stats.bins[0], ValueBin { from: 0.0, to: 2.0, count: 2 });
        assert_eq!(stats.bins[19], ValueBin { from: 38.0, to: 40.0, count: 3 });
        // Twenty is few, twenty-one is many.
        assert_eq!(of(&values[..20]).distinct, Some(20));
        assert_eq!(of(&values[..21]).distinct, None);
        // The widest range that there is.
        let wide: Vec<f32> = values.iter().map(|v| (v / 20.0 - 1.0) * f32::MAX).collect();
        assert_eq!(of(&wide).bins.iter().map(|b| b.count).sum::<u64>(), 41);
    }

    #[test]
    fn no_numbers_at_all() {
        assert_eq!(of(&[f32::NAN]), ValueStats::default());
        assert_eq!(of(&[]), ValueStats::default());
    }

    #[test]
    fn kinds_are_counted_by_name() {
        let got = kinds(&events([(1.0, "view"), (1.0, "buy"), (1.0, "view")]));
        let kind = |kind: &str, events| KindStats { kind: kind.into(), events };
        assert_eq!(got, [kind("buy", 1), kind("view", 2)]);
        assert!(kinds(&Events::new()).is_empty());
    }
}
