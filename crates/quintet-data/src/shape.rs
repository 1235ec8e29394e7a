//! From raw events to the ones a model learns from: kinds, threshold, merged repeats, the latest
//! of each user, k-core, values of 1. [`ShapeConfig`] has the order of the steps.
//!
//! The k-core is the largest set of pairs in which every user has at least `user_core` items and
//! every item at least `item_core` users (Seidman, "Network structure and minimum degree",
//! Social Networks 1983, for two kinds of nodes). It is unique, so the order of peeling does not
//! matter. Cost: sorting the events, then `O(pairs)`.

use std::cmp::Reverse;
use std::collections::HashMap;

use rayon::prelude::*;

use crate::by_user::{ByUser, item_of, row_of};
use crate::{DataError, Dataset, Events, ShapeConfig, ShapeReport};

/// The events that are left, and the account of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Shaped {
    /// One event a user and item, by user, then item.
    pub events: Events,
    /// Where every row went.
    pub report: ShapeReport,
}

/// Keeps the asked kinds of events and values, merges repeats, keeps the latest of each user and
/// takes the k-core, in the order that [`ShapeConfig`] documents.
///
/// Repeats of a user and item become one event with the largest value, the kind and part of the
/// event that had it, and the earliest time. Users and items keep their positions: the catalogue
/// is not renumbered.
///
/// # Errors
/// A threshold that is not a number, a kind of event that does not occur, a `max_per_user` below
/// `user_core` or of events without a time, or events that do not fit the dataset.
///
/// # Panics
/// When there are 2³² events or more.
pub fn shape(data: &Dataset, config: &ShapeConfig) -> Result<Shaped, DataError> {
    let (n_users, n_items) = (data.users.len(), data.items.len());
    shape_events(&data.events, n_users, n_items, config)
}

/// As [`shape`], of events without their dataset.
///
/// # Errors
/// As [`shape`].
///
/// # Panics
/// As [`shape`].
pub fn shape_events(
    events: &Events,
    n_users: usize,
    n_items: usize,
    config: &ShapeConfig,
) -> Result<Shaped, DataError> {
    assert!(u32::try_from(events.len()).is_ok(), "{} events exceed 32 bits", events.len());
    events.check(n_users, n_items)?;
    config.check(&events.kinds_in_use())?;
    let mut report = ShapeReport { rows_in: events.len(), ..ShapeReport::default() };
    let kept = filter(events, config, &mut report);
    let grouped = match &kept {
        None => ByUser::new(events, n_users),
        Some(rows) => ByUser::of(events, n_users, rows.iter().copied()),
    };
    drop(kept);
    let n_kept = grouped.keys().len();
    let mut pairs = merge_repeats(events, grouped);
    report.merged_repeats = n_kept - pairs.keys.len();
    if let Some(max) = config.max_per_user {
        keep_latest(events, &mut pairs, max, &mut report)?;
    }
    k_core(&mut pairs, n_items, config, &mut report);
    let mut left = events.gather_keys(&pairs.keys);
    pairs.set_times(&mut left);
    if config.binary {
        report.made_binary = make_binary(&mut left);
    }
    report.rows_out = left.len();
    report.users_out = left.users().chunk_by(|a, b| a == b).count();
    let mut with_events = vec![false; n_items];
    left.items().iter().for_each(|i| with_events[i.index()] = true);
    report.items_out = with_events.iter().filter(|w| **w).count();
    Ok(Shaped { events: left, report })
}

/// The rows of the asked kinds with large enough values; none when that is all of them.
fn filter(events: &Events, config: &ShapeConfig, report: &mut ShapeReport) -> Option<Vec<u32>> {
    if config.events.is_none() && config.min_value.is_none() {
        return None;
    }
    let asked = |name: &String| config.events.as_ref().is_none_or(|kinds| kinds.contains(name));
    let wanted: Vec<bool> = events.kind_names().iter().map(asked).collect();
    let min = config.min_value.unwrap_or(f32::NEG_INFINITY);
    let mut kept = Vec::with_capacity(events.len());
    for row in 0..events.len() {
        if !wanted[events.kind_number(row) as usize] {
            report.other_event += 1;
        } else if events.values()[row] < min {
            report.below_min_value += 1;
        } else {
            kept.push(row as u32);
        }
    }
    Some(kept)
}

/// One row a user and item, by user, then item.
struct Pairs {
    /// `keys[starts[u]..starts[u + 1]]` are the pairs of user `u`, as in [`ByUser`].
    starts: Vec<u32>,
    keys: Vec<u64>,
    /// Rows whose pair has an earlier time than they, with that time.
    times: HashMap<u32, i64>,
}

impl Pairs {
    /// The time that the event of a key will have.
    fn time(&self, events: &Events, key: u64) -> Option<i64> {
        let row = row_of(key);
        self.times.get(&row).copied().or_else(|| events.timestamp(row as usize))
    }

    /// Puts the earlier times into the events that are left.
    fn set_times(&self, left: &mut Events) {
        if self.times.is_empty() {
            return;
        }
        for (position, key) in self.keys.iter().enumerate() {
            if let Some(&time) = self.times.get(&row_of(*key)) {
                left.set_timestamp(position, Some(time));
            }
        }
    }
}

/// Keeps one row of every pair.
fn merge_repeats(events: &Events, grouped: ByUser) -> Pairs {
    let mut pairs =
        Pairs { starts: grouped.starts().to_vec(), keys: Vec::new(), times: HashMap::new() };
    let repeats = |history: &[u64]| history.windows(2).any(|w| item_of(w[0]) == item_of(w[1]));
    if !grouped.histories().any(repeats) {
        pairs.keys = grouped.into_keys();
        return pairs;
    }
    pairs.keys.reserve_exact(grouped.keys().len());
    for user in 0..grouped.starts().len() - 1 {
        let range = grouped.starts()[user] as usize..grouped.starts()[user + 1] as usize;
        for same in grouped.keys()[range].chunk_by(|a, b| item_of(*a) == item_of(*b)) {
            pairs.keys.push(best(events, same));
            if same.len() > 1 {
                earliest(events, same, &mut pairs);
            }
        }
        pairs.starts[user + 1] = pairs.keys.len() as u32;
    }
    pairs
}

/// The row with the largest value; of several the one whose kind comes first by name, then the
/// one that came first.
fn best(events: &Events, same: &[u64]) -> u64 {
    let order = |a: &u64, b: &u64| {
        let (a, b) = (row_of(*a) as usize, row_of(*b) as usize);
        let value = events.values()[a].total_cmp(&events.values()[b]);
        value.then_with(|| events.kind_name(b).cmp(events.kind_name(a))).then(b.cmp(&a))
    };
    same.iter().copied().max_by(order).unwrap_or(same[0])
}

/// Notes the earliest time of some rows, when it is not that of the row that stays.
fn earliest(events: &Events, same: &[u64], pairs: &mut Pairs) {
    let time = |key: &u64| events.timestamp(row_of(*key) as usize);
    if let (Some(first), Some(kept)) = (same.iter().filter_map(time).min(), pairs.keys.last())
        && time(kept) != Some(first)
    {
        pairs.times.insert(row_of(*kept), first);
    }
}

/// Keeps the latest pairs of every user; at one time those of later items, as in splits by time.
fn keep_latest(
    events: &Events,
    pairs: &mut Pairs,
    max: usize,
    report: &mut ShapeReport,
) -> Result<(), DataError> {
    let total = pairs.keys.len();
    let missing = pairs.keys.iter().filter(|k| pairs.time(events, **k).is_none()).count();
    if missing > 0 {
        return Err(DataError::NoTimes { what: "max_per_user", missing, total });
    }
    let mut keys = Vec::with_capacity(total);
    let mut starts = vec![0u32];
    for range in pairs.starts.windows(2) {
        let history = &pairs.keys[range[0] as usize..range[1] as usize];
        if history.len() > max {
            let mut latest = history.to_vec();
            // Keys begin with the item, so that they settle what the time does not.
            latest.sort_unstable_by_key(|&key| Reverse((pairs.time(events, key), key)));
            latest.truncate(max);
            latest.sort_unstable();
            keys.extend(latest);
            report.users_capped += 1;
        } else {
            keys.extend_from_slice(history);
        }
        starts.push(keys.len() as u32);
    }
    report.over_max_per_user = total - keys.len();
    (pairs.keys, pairs.starts) = (keys, starts);
    Ok(())
}

/// Makes every value 1; gives back how many were not.
fn make_binary(left: &mut Events) -> usize {
    let mut changed = 0;
    for row in 0..left.len() {
        if left.values()[row] != 1.0 {
            left.set_value(row, 1.0);
            changed += 1;
        }
    }
    changed
}

/// One kind of node of the user-item graph.
struct Side {
    /// Pairs of each node: `rows[start[n]..start[n + 1]]`.
    start: Vec<u32>,
    /// None where the pairs of a node are those from `start[n]` on themselves.
    rows: Option<Vec<u32>>,
    /// Pairs that are still there.
    degree: Vec<u32>,
    core: u32,
}

impl Side {
    fn users(pairs: &Pairs, core: usize) -> Self {
        let start = pairs.starts.clone();
        let degree = start.windows(2).map(|w| w[1] - w[0]).collect();
        Self { start, rows: None, degree, core: u32::try_from(core).unwrap_or(u32::MAX) }
    }

    fn items(pairs: &Pairs, n_items: usize, core: usize) -> Self {
        let mut degree = vec![0u32; n_items];
        pairs.keys.iter().for_each(|key| degree[item_of(*key) as usize] += 1);
        let mut start = vec![0u32; n_items + 1];
        for n in 0..n_items {
            start[n + 1] = start[n] + degree[n];
        }
        let mut next = start.clone();
        let mut rows = vec![0u32; pairs.keys.len()];
        for (row, key) in pairs.keys.iter().enumerate() {
            let slot = &mut next[item_of(*key) as usize];
            rows[*slot as usize] = row as u32;
            *slot += 1;
        }
        let core = u32::try_from(core).unwrap_or(u32::MAX);
        Self { start, rows: Some(rows), degree, core }
    }

    fn is_weak(&self, node: u32) -> bool {
        (1..self.core).contains(&self.degree[node as usize])
    }

    /// Nodes that have pairs, but too few.
    fn weak(&self) -> Vec<u32> {
        (0..self.degree.len() as u32).filter(|n| self.is_weak(*n)).collect()
    }

    /// Nodes that have pairs.
    fn n_with_pairs(&self) -> usize {
        self.degree.iter().filter(|d| **d > 0).count()
    }
}

/// Takes away the pairs of `weak` nodes; gives back how many, and the nodes of the other side
/// that became weak by it.
fn peel(
    this: &mut Side,
    other: &mut Side,
    other_of: impl Fn(u32) -> u32,
    weak: &[u32],
    alive: &mut [bool],
) -> (usize, Vec<u32>) {
    let (mut taken, mut touched) = (0, Vec::new());
    for &node in weak {
        let node = node as usize;
        for at in this.start[node]..this.start[node + 1] {
            let row = this.rows.as_ref().map_or(at, |rows| rows[at as usize]);
            if std::mem::take(&mut alive[row as usize]) {
                taken += 1;
                let end = other_of(row);
                other.degree[end as usize] -= 1;
                touched.push(end);
            }
        }
        this.degree[node] = 0;
    }
    touched.sort_unstable();
    touched.dedup();
    touched.retain(|&n| other.is_weak(n));
    (taken, touched)
}

/// Keeps those of the pairs that are in the k-core.
fn k_core(pairs: &mut Pairs, n_items: usize, config: &ShapeConfig, report: &mut ShapeReport) {
    if config.user_core <= 1 && config.item_core <= 1 {
        return;
    }
    let mut users = Side::users(pairs, config.user_core);
    let mut items = Side::items(pairs, n_items, config.item_core);
    let before = (users.n_with_pairs(), items.n_with_pairs());
    let mut alive = vec![true; pairs.keys.len()];
    let starts = &pairs.starts;
    let user_of = |row: u32| starts.partition_point(|start| *start <= row) as u32 - 1;
    let item_of = |row: u32| item_of(pairs.keys[row as usize]);
    let mut weak_users = users.weak();
    let mut first = true;
    loop {
        let (by_users, mut weak_items) =
            peel(&mut users, &mut items, item_of, &weak_users, &mut alive);
        if std::mem::take(&mut first) {
            // Later on only touched items can have become weak.
            weak_items = items.weak();
        }
        let (by_items, next) = peel(&mut items, &mut users, user_of, &weak_items, &mut alive);
        if by_users + by_items == 0 {
            break;
        }
        report.dropped_by_core_users += by_users;
        report.dropped_by_core_items += by_items;
        report.core_rounds += 1;
        weak_users = next;
    }
    report.users_dropped = before.0 - users.n_with_pairs();
    report.items_dropped = before.1 - items.n_with_pairs();
    let mut marks = alive.iter();
    pairs.keys.retain(|_| marks.next().copied().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::{Event, Item, User};
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, UserIdx};

    fn dataset(n_users: usize, n_items: usize, events: &[Event<'_>]) -> Dataset {
        let events = events.iter().copied().collect();
        let users = (0..n_users).map(|u| User { id: format!("u{u}"), ..User::default() });
        let items = (0..n_items).map(|i| Item { id: format!("i{i}"), ..Item::default() });
        let (users, items) = (users.collect(), items.collect());
        Dataset { users, items, events, ..Dataset::default() }
    }

    fn event(user: u32, item: u32, kind: &str, value: f32, timestamp: Option<i64>) -> Event<'_> {
        let (user, item) = (UserIdx(user), ItemIdx(item));
        Event { user, item, event: kind, value, timestamp, part: None }
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
        let shaped = shape(&dataset(2, 2, &events), &config).unwrap();
        assert_eq!(shaped.events, Events::from_iter([event(0, 0, "like", 5.0, Some(20))]));
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
        let r = shape(&dataset(3, 2, &events), &config).unwrap().report;
        assert_eq!((r.dropped_by_core_users, r.dropped_by_core_items, r.core_rounds), (2, 2, 1));
        assert_eq!((r.users_dropped, r.items_dropped, r.rows_out), (3, 2, 0));
        assert!(r.adds_up());
    }

    #[test]
    fn bad_settings_are_errors() {
        let data = dataset(1, 1, &[event(0, 0, "click", 1.0, None)]);
        let typo = ShapeConfig { events: Some(vec!["clik".into()]), ..ShapeConfig::default() };
        let err = shape(&data, &typo).unwrap_err().to_string();
        assert_eq!(err, "events is \"clik\"; expected kinds that occur: click");
        let none = ShapeConfig { events: Some(vec![]), ..ShapeConfig::default() };
        assert!(shape(&data, &none).is_err());
        let nan = ShapeConfig { min_value: Some(f32::NAN), ..ShapeConfig::default() };
        assert!(shape(&data, &nan).is_err());
    }

    #[test]
    fn the_latest_items_of_a_user_stay_and_the_core_comes_after() {
        // User 0 has four items. The latest two are item 3 (time 9) and, of items 1 and 2 at
        // time 7, the later one. Item 0 counts by its earliest time, 5, although it came again.
        let events = vec![
            event(0, 0, "e", 4.0, Some(5)),
            event(0, 0, "e", 2.0, Some(8)),
            event(0, 2, "e", 3.0, Some(7)),
            event(0, 1, "e", 3.0, Some(7)),
            event(0, 3, "e", 1.0, Some(9)),
            event(1, 2, "e", 5.0, Some(1)),
        ];
        let latest = ShapeConfig { max_per_user: Some(2), ..ShapeConfig::default() };
        let shaped = shape(&dataset(2, 4, &events), &latest).unwrap();
        let pairs: Vec<_> = shaped.events.iter().map(|e| (e.user.0, e.item.0, e.value)).collect();
        assert_eq!(pairs, [(0, 2, 3.0), (0, 3, 1.0), (1, 2, 5.0)]);
        let r = &shaped.report;
        assert_eq!((r.over_max_per_user, r.users_capped, r.merged_repeats), (2, 1, 1));
        assert!(r.adds_up());

        // Only item 2 has two users, of those that are left; values become 1.
        let core = ShapeConfig { item_core: 2, binary: true, ..latest.clone() };
        let shaped = shape(&dataset(2, 4, &events), &core).unwrap();
        let pairs: Vec<_> = shaped.events.iter().map(|e| (e.user.0, e.item.0, e.value)).collect();
        assert_eq!(pairs, [(0, 2, 1.0), (1, 2, 1.0)]);
        assert_eq!((shaped.report.made_binary, shaped.report.dropped_by_core_items), (2, 1));
        assert!(shaped.report.adds_up());

        let timeless = [event(0, 0, "e", 1.0, None), event(0, 1, "e", 1.0, Some(1))];
        let err = shape(&dataset(1, 2, &timeless), &latest).unwrap_err().to_string();
        assert!(err.starts_with("max_per_user needs a timestamp for every event; 1 of 2"), "{err}");
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
        fn every_step_is_counted(
            raw in proptest::collection::vec((0u32..6, 0u32..8, 0u8..6, 0i64..9), 0..60),
            max in 2usize..6, core in 0usize..3, binary in any::<bool>()
        ) {
            let events: Vec<Event> = raw
                .iter()
                .map(|&(u, i, v, t)| event(u, i, "e", f32::from(v), Some(t)))
                .collect();
            let config = ShapeConfig {
                min_value: Some(2.0), max_per_user: Some(max), user_core: core, item_core: core,
                binary, ..ShapeConfig::default()
            };
            let shaped = shape(&dataset(6, 8, &events), &config).unwrap();
            prop_assert!(shaped.report.adds_up(), "{:?}", shaped.report);
            for history in shaped.events.users().chunk_by(|a, b| a == b) {
                prop_assert!((core.max(1)..=max).contains(&history.len()));
            }
            prop_assert!(!binary || shaped.events.values().iter().all(|v| *v == 1.0));
        }

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
            let shaped = shape(&dataset(12, 10, &events), &config).unwrap();
            let pairs: BTreeSet<_> = raw
                .iter()
                .filter(|r| r.2 >= threshold)
                .map(|r| (r.0, r.1))
                .collect();
            let got: Vec<_> = shaped.events.iter().map(|e| (e.user.0, e.item.0)).collect();
            let want = naive_core(pairs, user_core, item_core);
            prop_assert_eq!(got, Vec::from_iter(want));
            prop_assert!(shaped.report.adds_up(), "{:?}", shaped.report);
            for e in shaped.events.iter() {
                let best = events.iter().filter(|o| (o.user, o.item) == (e.user, e.item));
                let best = best.map(|o| o.value).fold(f32::MIN, f32::max);
                prop_assert_eq!(e.value, best);
            }
        }
    }
}
