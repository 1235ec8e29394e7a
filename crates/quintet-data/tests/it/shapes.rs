//! The k-core from outside: that it is one, that none is larger, and that threads do not matter.

use std::collections::BTreeMap;

use quintet_core::{ItemIdx, UserIdx};
use quintet_data::{Event, Events, ShapeConfig, Shaped, shape_events};

const USERS: usize = 6_000;
const ITEMS: usize = 3_000;

/// Events with repeats, in which popular items and busy users are few.
fn events() -> Events {
    let mut state = 11u64;
    let mut below = |n: u32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % n
    };
    (0..60_000i64)
        .map(|time| {
            let (a, b) = (below(USERS as u32), below(USERS as u32));
            let (c, d) = (below(ITEMS as u32), below(ITEMS as u32));
            Event {
                user: UserIdx(a.min(b)),
                item: ItemIdx(c.min(d)),
                event: ["view", "buy"][below(2) as usize],
                value: below(5) as f32,
                timestamp: Some(time),
                part: None,
            }
        })
        .collect()
}

fn shaped(events: &Events, core: usize) -> Shaped {
    let config = ShapeConfig { user_core: core, item_core: core + 1, ..ShapeConfig::default() };
    shape_events(events, USERS, ITEMS, &config).unwrap()
}

fn degrees(events: &Events) -> (BTreeMap<UserIdx, usize>, BTreeMap<ItemIdx, usize>) {
    let (mut users, mut items) = (BTreeMap::new(), BTreeMap::new());
    for event in events.iter() {
        *users.entry(event.user).or_insert(0) += 1;
        *items.entry(event.item).or_insert(0) += 1;
    }
    (users, items)
}

#[test]
fn a_core_has_its_degrees_and_no_event_can_be_added() {
    let events = events();
    let all = shaped(&events, 0).events;
    for core in [2, 5, 8] {
        let kept = shaped(&events, core).events;
        let (users, items) = degrees(&kept);
        assert!(users.values().all(|n| *n >= core) && items.values().all(|n| *n > core));
        assert!(kept.len() > 1_000 && kept.len() < all.len(), "{core}: {}", kept.len());
        // Peel in another order, one node at a time: what is left of all pairs is the same.
        let mut left: Vec<_> = all.iter().map(|e| (e.user, e.item)).collect();
        loop {
            let rest: Events =
                all.iter().filter(|e| left.binary_search(&(e.user, e.item)).is_ok()).collect();
            let (users, items) = degrees(&rest);
            let before = left.len();
            left.retain(|pair| items[&pair.1] > core);
            if left.len() == before {
                left.retain(|pair| users[&pair.0] >= core);
            }
            if left.len() == before {
                break;
            }
        }
        let kept: Vec<_> = kept.iter().map(|e| (e.user, e.item)).collect();
        assert_eq!(kept, left);
    }
}

#[test]
fn the_number_of_threads_changes_no_shape() {
    let events = events();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| shaped(&events, 3))
    };
    let one = with(1);
    assert!(one.report.adds_up() && one.report.merged_repeats > 100);
    assert!(with(2) == one && with(5) == one);
}

#[test]
fn nothing_and_one_event_have_a_core() {
    let config = ShapeConfig { user_core: 1, item_core: 1, ..ShapeConfig::default() };
    let nothing = shape_events(&Events::new(), 0, 0, &config).unwrap();
    assert_eq!((nothing.events.len(), nothing.report.rows_in), (0, 0));
    let one: Events = events().iter().take(1).collect();
    assert_eq!(shape_events(&one, USERS, ITEMS, &config).unwrap().events, one);
    let two = ShapeConfig { user_core: 2, ..config };
    assert!(shape_events(&one, USERS, ITEMS, &two).unwrap().events.is_empty());
}
