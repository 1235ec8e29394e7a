//! From raw events to the ones a model learns from: kinds, threshold, merged repeats, k-core.
//!
//! The k-core is the largest set of pairs in which every user has at least `user_core` items and
//! every item at least `item_core` users (Seidman, "Network structure and minimum degree",
//! Social Networks 1983, for two kinds of nodes). It is unique, so the order of peeling does not
//! matter. Cost: sorting the events, then `O(pairs)`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::dataset::check_events;
use crate::{DataError, Dataset, Event};

/// Which events are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapeConfig {
    /// Smallest value that counts as liking; none keeps every value.
    pub min_value: Option<f32>,
    /// Kinds of events to keep; none keeps every kind.
    pub events: Option<Vec<String>>,
    /// Fewest different items a user must have; 0 and 1 keep every user.
    pub user_core: usize,
    /// Fewest different users an item must have; 0 and 1 keep every item.
    pub item_core: usize,
}

/// Where every row went: `rows_in` is the sum of `rows_out` and the five numbers before
/// `core_rounds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShapeReport {
    /// Events that came.
    pub rows_in: usize,
    /// Left out: a kind that was not asked for.
    pub other_event: usize,
    /// Left out: a kind that was asked for, with a value below the threshold.
    pub below_min_value: usize,
    /// Merged into another event of the same user and item.
    pub merged_repeats: usize,
    /// Left out: the user has too few items.
    pub dropped_by_core_users: usize,
    /// Left out: the item has too few users.
    pub dropped_by_core_items: usize,
    /// How many times peeling users and then items took something away.
    pub core_rounds: usize,
    /// Users whose last events the k-core took away.
    pub users_dropped: usize,
    /// Items whose last events the k-core took away.
    pub items_dropped: usize,
    /// Users that are left.
    pub users_out: usize,
    /// Items that are left with events; the others stay in the catalogue, cold.
    pub items_out: usize,
    /// Events that are left.
    pub rows_out: usize,
}

impl ShapeReport {
    /// Whether every row is accounted for.
    pub fn adds_up(&self) -> bool {
        self.rows_in
            == self.rows_out
                + self.other_event
                + self.below_min_value
                + self.merged_repeats
                + self.dropped_by_core_users
                + self.dropped_by_core_items
    }
}

/// The events that are left, and the account of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// One event a user and item, by user, then item.
    pub events: Vec<Event>,
    /// Where every row went.
    pub report: ShapeReport,
}

/// Keeps the asked kinds of events and values, merges repeats and takes the k-core.
///
/// Repeats of a user and item become one event with the largest value, the kind of the event
/// that had it, and the earliest time. Users and items keep their positions: the catalogue is
/// not renumbered.
///
/// # Errors
/// A threshold that is not a number, a kind of event that does not occur, or events that do not
/// fit the dataset.
pub fn shape(data: &Dataset, config: &ShapeConfig) -> Result<Shaped, DataError> {
    check_events(&data.events, data.users.len(), data.items.len())?;
    check_config(data, config)?;
    let mut report = ShapeReport { rows_in: data.events.len(), ..ShapeReport::default() };
    let mut kept: Vec<&Event> = Vec::with_capacity(data.events.len());
    for event in &data.events {
        if config.events.as_ref().is_some_and(|kinds| !kinds.contains(&event.event)) {
            report.other_event += 1;
        } else if config.min_value.is_some_and(|min| event.value < min) {
            report.below_min_value += 1;
        } else {
            kept.push(event);
        }
    }
    let merged = merge_repeats(&mut kept);
    report.merged_repeats = kept.len() - merged.len();
    let alive = k_core(&merged, data.users.len(), data.items.len(), config, &mut report);
    let events: Vec<Event> =
        merged.into_iter().zip(&alive).filter(|(_, alive)| **alive).map(|(e, _)| e).collect();
    report.rows_out = events.len();
    report.users_out = events.chunk_by(|a, b| a.user == b.user).count();
    let mut with_events = vec![false; data.items.len()];
    events.iter().for_each(|e| with_events[e.item.index()] = true);
    report.items_out = with_events.iter().filter(|w| **w).count();
    Ok(Shaped { events, report })
}

fn check_config(data: &Dataset, config: &ShapeConfig) -> Result<(), DataError> {
    if let Some(min) = config.min_value.filter(|m| !m.is_finite()) {
        return Err(DataError::Config {
            key: "min_value",
            expected: "a finite number".into(),
            found: min.to_string(),
        });
    }
    let Some(asked) = &config.events else {
        return Ok(());
    };
    let known: BTreeSet<&str> = data.events.iter().map(|e| e.event.as_str()).collect();
    match asked.iter().find(|kind| !known.contains(kind.as_str())) {
        None if asked.is_empty() => Err(DataError::Config {
            key: "events",
            expected: "at least one kind of event".into(),
            found: "an empty list".into(),
        }),
        None => Ok(()),
        Some(unknown) => Err(DataError::Config {
            key: "events",
            expected: format!("kinds that occur: {}", Vec::from_iter(known).join(", ")),
            found: format!("{unknown:?}"),
        }),
    }
}

/// One event a pair, by user, then item; independent of the order of the input up to exact ties.
fn merge_repeats(events: &mut [&Event]) -> Vec<Event> {
    events.sort_by(|a, b| {
        (a.user, a.item)
            .cmp(&(b.user, b.item))
            .then(b.value.total_cmp(&a.value))
            .then(a.event.cmp(&b.event))
    });
    events
        .chunk_by(|a, b| (a.user, a.item) == (b.user, b.item))
        .map(|repeats| Event {
            timestamp: repeats.iter().filter_map(|e| e.timestamp).min(),
            ..repeats[0].clone()
        })
        .collect()
}

/// One kind of node of the user-item graph.
struct Side {
    /// Events of each node: `rows[start[n]..start[n + 1]]`.
    start: Vec<usize>,
    rows: Vec<usize>,
    /// Events that are still there.
    degree: Vec<usize>,
    core: usize,
}

impl Side {
    fn new(node_of: &[usize], n_nodes: usize, core: usize) -> Self {
        let mut degree = vec![0; n_nodes];
        node_of.iter().for_each(|&n| degree[n] += 1);
        let mut start = vec![0; n_nodes + 1];
        for n in 0..n_nodes {
            start[n + 1] = start[n] + degree[n];
        }
        let mut next = start.clone();
        let mut rows = vec![0; node_of.len()];
        for (row, &n) in node_of.iter().enumerate() {
            rows[next[n]] = row;
            next[n] += 1;
        }
        Self { start, rows, degree, core }
    }

    /// Nodes that have events, but too few.
    fn weak(&self) -> Vec<usize> {
        (0..self.degree.len()).filter(|&n| (1..self.core).contains(&self.degree[n])).collect()
    }
}

/// Takes away the events of `weak` nodes; gives back how many, and the nodes of the other side
/// that became weak by it.
fn peel(
    this: &mut Side,
    other: &mut Side,
    other_of: &[usize],
    weak: &[usize],
    alive: &mut [bool],
) -> (usize, Vec<usize>) {
    let (mut taken, mut touched) = (0, Vec::new());
    for &node in weak {
        for &row in &this.rows[this.start[node]..this.start[node + 1]] {
            if alive[row] {
                alive[row] = false;
                taken += 1;
                other.degree[other_of[row]] -= 1;
                touched.push(other_of[row]);
            }
        }
        this.degree[node] = 0;
    }
    touched.sort_unstable();
    touched.dedup();
    touched.retain(|&n| (1..other.core).contains(&other.degree[n]));
    (taken, touched)
}

/// Which of the (distinct) pairs are in the k-core.
fn k_core(
    events: &[Event],
    n_users: usize,
    n_items: usize,
    config: &ShapeConfig,
    report: &mut ShapeReport,
) -> Vec<bool> {
    let user_of: Vec<usize> = events.iter().map(|e| e.user.index()).collect();
    let item_of: Vec<usize> = events.iter().map(|e| e.item.index()).collect();
    let mut users = Side::new(&user_of, n_users, config.user_core);
    let mut items = Side::new(&item_of, n_items, config.item_core);
    let had = |side: &Side| side.degree.iter().filter(|d| **d > 0).count();
    let before = (had(&users), had(&items));
    let mut alive = vec![true; events.len()];
    let mut weak_users = users.weak();
    let mut first = true;
    loop {
        let (by_users, mut weak_items) =
            peel(&mut users, &mut items, &item_of, &weak_users, &mut alive);
        if std::mem::take(&mut first) {
            // Later on only touched items can have become weak.
            weak_items = items.weak();
        }
        let (by_items, next) = peel(&mut items, &mut users, &user_of, &weak_items, &mut alive);
        if by_users + by_items == 0 {
            break;
        }
        report.dropped_by_core_users += by_users;
        report.dropped_by_core_items += by_items;
        report.core_rounds += 1;
        weak_users = next;
    }
    report.users_dropped = before.0 - had(&users);
    report.items_dropped = before.1 - had(&items);
    alive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, User};
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, UserIdx};

    fn dataset(n_users: usize, n_items: usize, events: Vec<Event>) -> Dataset {
        let users = (0..n_users).map(|u| User { id: format!("u{u}"), ..User::default() });
        let items = (0..n_items).map(|i| Item { id: format!("i{i}"), ..Item::default() });
        let (users, items) = (users.collect(), items.collect());
        Dataset { users, items, events, ..Dataset::default() }
    }

    fn event(user: u32, item: u32, kind: &str, value: f32, timestamp: Option<i64>) -> Event {
        Event { user: UserIdx(user), item: ItemIdx(item), event: kind.into(), value, timestamp }
    }

    #[test]
    fn every_row_is_accounted_for() {
        // Kept: the two likes of (0, 0), which merge. Left out: a view, and a like below 3.
        let events = vec![
            event(0, 0, "like", 3.0, Some(20)),
            event(0, 0, "like", 5.0, Some(30)),
            event(0, 1, "view", 9.0, None),
            event(1, 1, "like", 2.5, None),
        ];
        let config = ShapeConfig {
            min_value: Some(3.0),
            events: Some(vec!["like".into()]),
            ..ShapeConfig::default()
        };
        let shaped = shape(&dataset(2, 2, events), &config).unwrap();
        assert_eq!(shaped.events, [event(0, 0, "like", 5.0, Some(20))]);
        let r = shaped.report;
        assert_eq!((r.rows_in, r.other_event, r.below_min_value, r.merged_repeats), (4, 1, 1, 1));
        assert_eq!((r.rows_out, r.users_out, r.items_out), (1, 1, 1));
        assert!(r.adds_up());
        assert!(!ShapeReport { rows_in: 5, ..r }.adds_up());
    }

    #[test]
    fn peeling_goes_on_until_nothing_is_weak() {
        // A chain u0-i0-u1-i1-u2: u0 and u2 have one item, so both go; then i0 and i1 have one
        // user left (u1), so they go as well, and u1 with them.
        let pairs = [(0, 0), (1, 0), (1, 1), (2, 1)];
        let events = pairs.map(|(u, i)| event(u, i, "e", 1.0, None)).to_vec();
        let config = ShapeConfig { user_core: 2, item_core: 2, ..ShapeConfig::default() };
        let r = shape(&dataset(3, 2, events), &config).unwrap().report;
        assert_eq!((r.dropped_by_core_users, r.dropped_by_core_items, r.core_rounds), (2, 2, 1));
        assert_eq!((r.users_dropped, r.items_dropped, r.rows_out), (3, 2, 0));
        assert!(r.adds_up());
    }

    #[test]
    fn bad_settings_are_errors() {
        let data = dataset(1, 1, vec![event(0, 0, "click", 1.0, None)]);
        let typo = ShapeConfig { events: Some(vec!["clik".into()]), ..ShapeConfig::default() };
        let err = shape(&data, &typo).unwrap_err().to_string();
        assert_eq!(err, "events is \"clik\"; expected kinds that occur: click");
        let none = ShapeConfig { events: Some(vec![]), ..ShapeConfig::default() };
        assert!(shape(&data, &none).is_err());
        let nan = ShapeConfig { min_value: Some(f32::NAN), ..ShapeConfig::default() };
        assert!(shape(&data, &nan).is_err());
        assert!(toml::from_str::<ShapeConfig>("user_cor = 5").is_err());
    }

    /// The definition, word for word: look at all pairs again until nothing changes.
    fn naive_core(
        mut pairs: BTreeSet<(u32, u32)>,
        user_core: usize,
        item_core: usize,
    ) -> BTreeSet<(u32, u32)> {
        loop {
            let strong = |&(u, i): &(u32, u32)| {
                pairs.iter().filter(|p| p.0 == u).count() >= user_core
                    && pairs.iter().filter(|p| p.1 == i).count() >= item_core
            };
            let next: BTreeSet<_> = pairs.iter().copied().filter(strong).collect();
            if next == pairs {
                return pairs;
            }
            pairs = next;
        }
    }

    proptest! {
        #[test]
        fn the_core_is_the_largest_one_and_rows_add_up(
            raw in proptest::collection::vec((0u32..12, 0u32..10, 0u8..6), 0..90),
            user_core in 0usize..5, item_core in 0usize..5, threshold in 0u8..4
        ) {
            let events: Vec<Event> = raw
                .iter()
                .map(|&(u, i, v)| event(u, i, "e", f32::from(v), Some(i64::from(v))))
                .collect();
            let min = f32::from(threshold);
            let config = ShapeConfig {
                min_value: Some(min), user_core, item_core, ..ShapeConfig::default()
            };
            let shaped = shape(&dataset(12, 10, events.clone()), &config).unwrap();
            let pairs: BTreeSet<_> = raw
                .iter()
                .filter(|r| r.2 >= threshold)
                .map(|r| (r.0, r.1))
                .collect();
            let got: Vec<_> = shaped.events.iter().map(|e| (e.user.0, e.item.0)).collect();
            let want = naive_core(pairs, user_core, item_core);
            prop_assert_eq!(got, Vec::from_iter(want));
            prop_assert!(shaped.report.adds_up(), "{:?}", shaped.report);
            for e in &shaped.events {
                let best = events.iter().filter(|o| (o.user, o.item) == (e.user, e.item));
                let best = best.map(|o| o.value).fold(f32::MIN, f32::max);
                prop_assert_eq!(e.value, best);
            }
        }
    }
}
