//! The numbers of a dataset that its report shows: how much, how dense, when, of what kind.
//!
//! Each group of numbers takes one pass over the columns it needs. All numbers are finite and
//! none depends on the number of threads, so that a report can be written, read and compared.

mod content;
mod cores;
mod spread;
mod times;
mod values;

use quintet_data::Dataset;
use serde::{Deserialize, Serialize};

pub use content::{AttributeStats, ContentStats, ModalityStats, Overlap};
pub use cores::{CORES, CoreStats, EVENTS_FOR_ALL_CORES};
pub use spread::{Bucket, EventsPer, Spread};
pub use times::{PartStats, TimeBucket, TimeStats, TimeStep};
pub use values::{KindStats, ValueBin, ValueStats};

pub(crate) use times::{date, day};

/// What a dataset looks like, in numbers.
///
/// # Examples
/// ```
/// use quintet_core::{ItemIdx, UserIdx};
/// use quintet_data::{Dataset, Event, Item, User};
/// use quintet_ingest::DatasetStats;
///
/// let (user, item) = (UserIdx(0), ItemIdx(1));
/// let event = Event { user, item, event: "click", value: 1.0, timestamp: None, part: None };
/// let data = Dataset {
///     users: vec![User::default()],
///     items: vec![Item::default(); 2],
///     events: [event].into_iter().collect(),
///     ..Dataset::default()
/// };
/// let stats = DatasetStats::of(&data);
/// assert_eq!((stats.pairs, stats.density), (Some(1), Some(0.5)));
/// assert_eq!((stats.per_item.spread.min, stats.per_item.spread.max), (0, 1));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct DatasetStats {
    /// How many events users have.
    pub per_user: EventsPer,
    /// How many events items have.
    pub per_item: EventsPer,
    /// Different pairs of a user and an item; none when they were not counted.
    pub pairs: Option<u64>,
    /// `pairs` as a share of all pairs that there could be; `1 - density` is the sparsity.
    pub density: Option<f64>,
    /// When things happened.
    pub times: TimeStats,
    /// The values of the events.
    pub values: ValueStats,
    /// The kinds of events that occur, in alphabetical order.
    pub kinds: Vec<KindStats>,
    /// The parts that the source put events in; empty when it comes undivided.
    pub parts: Vec<PartStats>,
    /// What is left of the dataset in its k-cores, by k.
    pub cores: Vec<CoreStats>,
    /// Whether only one k was tried because there are more than [`EVENTS_FOR_ALL_CORES`] events.
    pub cores_cut: bool,
    /// Text, media and attributes.
    pub content: ContentStats,
}

impl DatasetStats {
    /// Computes the numbers of a dataset. One that is empty or that [`Dataset::validate`] would
    /// refuse has numbers as well: what points nowhere or is no number is passed over.
    ///
    /// # Panics
    /// When there are 2³² events or more.
    pub fn of(data: &Dataset) -> Self {
        let events = &data.events;
        let ((per_user, per_item), content) = rayon::join(
            || {
                rayon::join(
                    || EventsPer::of(events.users().iter().map(|u| u.index()), data.users.len()),
                    || EventsPer::of(events.items().iter().map(|i| i.index()), data.items.len()),
                )
            },
            || ContentStats::of(data),
        );
        let cores = cores::cores(data, EVENTS_FOR_ALL_CORES);
        let possible = data.users.len() as f64 * data.items.len() as f64;
        let density = cores.pairs.filter(|_| possible > 0.0).map(|n| n as f64 / possible);
        Self {
            per_user,
            per_item,
            pairs: cores.pairs,
            density,
            times: TimeStats::of(events),
            values: ValueStats::of(events),
            kinds: values::kinds(events),
            parts: times::parts(events),
            cores: cores.left,
            cores_cut: cores.cut,
            content,
        }
    }

    /// Lines for a terminal: time span, sparsity and medians, the effect of the 5-core.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(first), Some(last)) = (self.times.first, self.times.last) {
            let days = last.saturating_sub(first) / 86_400;
            let without = self.times.without_time;
            let without = if without > 0 {
                format!("; {without} events have no time")
            } else {
                String::new()
            };
            lines.push(format!("time: {} to {} ({days} days){without}", day(first), day(last)));
        }
        if let Some(density) = self.density {
            lines.push(format!(
                "sparsity {:.2} %; a median of {} events a user and {} an item",
                100.0 * (1.0 - density),
                self.per_user.spread.median,
                self.per_item.spread.median
            ));
        }
        if let Some(core) = self.cores.iter().find(|c| c.k == 5) {
            lines.push(format!(
                "the 5-core keeps {} users, {} items and {} events",
                core.users, core.items, core.events
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_dataset_has_numbers() {
        let stats = DatasetStats::of(&Dataset::default());
        assert_eq!((stats.density, stats.times.first, stats.values.min), (None, None, None));
        assert_eq!(stats.per_user, EventsPer::default());
        // Nothing to say about time and density; the core is empty.
        assert_eq!(stats.summary(), ["the 5-core keeps 0 users, 0 items and 0 events"]);
        let json = serde_json::to_string(&stats).unwrap();
        assert_eq!(serde_json::from_str::<DatasetStats>(&json).unwrap(), stats);
        assert_eq!(serde_json::from_str::<DatasetStats>("{}").unwrap(), DatasetStats::default());
    }
}
