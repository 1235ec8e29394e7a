//! What k-cores would leave of a dataset.

use quintet_data::{Dataset, ShapeConfig, shape_events};
use serde::{Deserialize, Serialize};

/// The k that are tried.
pub const CORES: [usize; 6] = [1, 2, 3, 5, 10, 20];
/// With more events only k = 5 is tried: each k sorts the events anew.
pub const EVENTS_FOR_ALL_CORES: usize = 5_000_000;

/// What is left when every user has at least `k` items and every item at least `k` users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreStats {
    /// The fewest items of a user and users of an item.
    pub k: usize,
    /// Users that are left; with k = 1, those that have events.
    pub users: u64,
    /// Items that are left; with k = 1, those that have events.
    pub items: u64,
    /// Pairs of a user and an item that are left; repeats count once.
    pub events: u64,
}

/// The k-cores of a dataset.
#[derive(Debug, Default)]
pub(crate) struct Cores {
    pub(crate) left: Vec<CoreStats>,
    /// Different pairs of a user and an item.
    pub(crate) pairs: Option<u64>,
    /// Whether there were too many events for all k.
    pub(crate) cut: bool,
}

/// Takes one k-core from the other: the 5-core of the 3-core is that of the whole.
pub(crate) fn cores(data: &Dataset, most_events: usize) -> Cores {
    let cut = data.events.len() > most_events;
    let mut cores = Cores { cut, ..Cores::default() };
    let mut last = None;
    for k in CORES.into_iter().filter(|k| !cut || *k == 5) {
        let config = ShapeConfig { user_core: k, item_core: k, ..ShapeConfig::default() };
        let events = last.as_ref().unwrap_or(&data.events);
        // Events that point nowhere have no k-core, and the report goes on without.
        let Ok(shaped) = shape_events(events, data.users.len(), data.items.len(), &config) else {
            break;
        };
        let report = shaped.report;
        cores.pairs.get_or_insert((report.rows_in - report.merged_repeats) as u64);
        cores.left.push(CoreStats {
            k,
            users: report.users_out as u64,
            items: report.items_out as u64,
            events: report.rows_out as u64,
        });
        last = Some(shaped.events);
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};
    use quintet_data::{Event, Item, User};

    fn data(pairs: &[(u32, u32)]) -> Dataset {
        let event = |&(user, item): &(u32, u32)| Event {
            user: UserIdx(user),
            item: ItemIdx(item),
            event: "e",
            value: 1.0,
            timestamp: None,
            part: None,
        };
        Dataset {
            users: vec![User::default(); 4],
            items: vec![Item::default(); 5],
            events: pairs.iter().map(event).collect(),
            ..Dataset::default()
        }
    }

    #[test]
    fn cores_by_hand() {
        // Users 0 and 1 share items 0 and 1; user 2 has item 0 twice; user 3 and items 2 to 4
        // have nothing.
        let data = data(&[(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 0)]);
        let got = cores(&data, 100);
        let core = |k, users, items, events| CoreStats { k, users, items, events };
        assert_eq!(got.left[..3], [core(1, 3, 2, 5), core(2, 2, 2, 4), core(3, 0, 0, 0)]);
        assert_eq!((got.left.len(), got.pairs, got.cut), (6, Some(5), false));
        let few = cores(&data, 5);
        assert_eq!((few.left, few.pairs, few.cut), (vec![core(5, 0, 0, 0)], Some(5), true));
    }

    #[test]
    fn events_that_point_nowhere_are_passed_over() {
        let got = cores(&data(&[(0, 9)]), 100);
        assert_eq!((got.left.len(), got.pairs), (0, None));
    }
}
