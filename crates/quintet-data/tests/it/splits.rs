//! Properties of every strategy of a split, each against the words that define it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quintet_core::{Interactions, ItemIdx, SeedStream, UserIdx};
use quintet_data::{Event, Events, Part, Split, SplitConfig, split};

const USERS: usize = 12;
const ITEMS: usize = 20;

/// Time and part of every pair of a user and an item.
type Raw = BTreeMap<(u32, u32), (i64, Part)>;

fn raw() -> impl Strategy<Value = Raw> {
    let part = prop::sample::select(Part::ALL.to_vec());
    // Users differ in how many events they have, and many events share a moment.
    let user = prop_oneof![0..USERS as u32, 0..3u32];
    prop::collection::btree_map((user, 0..ITEMS as u32), (-5i64..60, part), 1..160)
}

/// Shares that come to less than one, also by very little.
fn two_shares() -> impl Strategy<Value = (f64, f64)> {
    prop_oneof![
        9 => (0.0..0.5f64, 0.0..0.5f64),
        1 => (0.0..1.0f64).prop_map(|valid| (valid, (0.999_999_999_9 - valid).max(0.0))),
    ]
}

fn events(raw: &Raw) -> Events {
    raw.iter()
        .map(|(&(user, item), &(time, part))| Event {
            user: UserIdx(user),
            item: ItemIdx(item),
            event: "e",
            value: (user * 100 + item) as f32,
            timestamp: Some(time),
            part: Some(part),
        })
        .collect()
}

/// A split, unless nothing is left for train.
fn run(raw: &Raw, config: &SplitConfig, seed: u64) -> Option<Split> {
    split(&events(raw), USERS, ITEMS, config, SeedStream::new(seed)).ok()
}

fn pairs(part: &Interactions) -> BTreeSet<(u32, u32)> {
    part.iter().map(|t| (t.user.0, t.item.0)).collect()
}

/// How many events of each user there are in some pairs.
fn per_user<'a>(pairs: impl IntoIterator<Item = &'a (u32, u32)>) -> [usize; USERS] {
    let mut counts = [0; USERS];
    pairs.into_iter().for_each(|p| counts[p.0 as usize] += 1);
    counts
}

/// Train, validation and test.
fn parts(s: &Split) -> [BTreeSet<(u32, u32)>; 3] {
    [pairs(&s.train), pairs(s.valid.truth()), pairs(s.test.truth())]
}

/// Rounded down, as it is written: 0.2 of 5 is 1.
fn floor(n: usize, share: f64) -> usize {
    (n as f64 * share + 1e-9).floor() as usize
}

fn round(n: usize, share: f64) -> usize {
    (n as f64 * share).round() as usize
}

/// The items and users of some pairs.
fn items_of(pairs: &BTreeSet<(u32, u32)>) -> BTreeSet<u32> {
    pairs.iter().map(|p| p.1).collect()
}

fn users_of(pairs: &BTreeSet<(u32, u32)>) -> BTreeSet<u32> {
    pairs.iter().map(|p| p.0).collect()
}

/// The rule of MMRec, event by event from the end of a shuffled history: how many are validation
/// and test.
fn mmrec(n: usize) -> (usize, usize) {
    let held = if n < 3 {
        0
    } else if n < 10 {
        2
    } else {
        n / 5
    };
    let mut counts = (0, 0);
    for at in 0..held {
        // Test first, so that it has the odd one.
        if at % 2 == 0 { counts.1 += 1 } else { counts.0 += 1 }
    }
    counts
}

proptest! {
    #[test]
    fn shares_are_met_within_rounding(raw in raw(), (valid, test) in two_shares(), seed in 0u64..99) {
        let n = raw.len();
        let config = SplitConfig::Random { valid, test, seed: None };
        if let Some(s) = run(&raw, &config, seed) {
            let r = &s.report;
            prop_assert_eq!(r.test.rows + r.dropped_test, round(n, test));
            let left = n - round(n, test);
            prop_assert_eq!(r.valid.rows + r.dropped_valid, round(n, valid).min(left));
            prop_assert!((r.train.share - r.train.rows as f64 / n as f64).abs() < 1e-12);
        }
        for folds in [2, 3, 7] {
            let config = SplitConfig::KFold { folds, fold: 1, valid, seed: None };
            let Some(s) = run(&raw, &config, seed) else { continue };
            let r = &s.report;
            let test = r.test.rows + r.dropped_test;
            prop_assert!(test == n / folds || test == n.div_ceil(folds));
            prop_assert_eq!(r.valid.rows + r.dropped_valid, round(n - test, valid));
        }
    }

    #[test]
    fn every_user_keeps_an_event_in_train_and_has_the_share_held_out(
        raw in raw(), (valid, test) in two_shares(), seed in 0u64..99
    ) {
        let all = per_user(raw.keys());
        let held = |n: usize| {
            let test = floor(n, test).min(n.saturating_sub(1));
            (floor(n, valid).min(n.saturating_sub(1 + test)), test)
        };
        let two = |n: usize| if n < 3 { (0, 0) } else { (1usize, 1usize) };
        let by_share = (&held as &dyn Fn(usize) -> (usize, usize), 0);
        let short = all.iter().filter(|n| (1..3).contains(*n)).count();
        for (config, (rule, short)) in [
            (SplitConfig::PerUser { valid, test, seed: None }, by_share),
            (SplitConfig::PerUserTemporal { valid, test }, by_share),
            (SplitConfig::Mmrec { seed: None }, (&mmrec as _, short)),
            (SplitConfig::LeaveOneOut {}, (&two as _, short)),
        ] {
            let s = run(&raw, &config, seed).unwrap();
            let [train, valid, test] = parts(&s).map(|part| per_user(&part));
            for user in 0..USERS {
                let (n_valid, n_test) = rule(all[user]);
                prop_assert_eq!((valid[user], test[user]), (n_valid, n_test), "{:?}", config);
                prop_assert_eq!(train[user], all[user] - n_valid - n_test);
                prop_assert!(train[user] > 0 || all[user] == 0);
            }
            prop_assert_eq!(s.report.dropped_valid + s.report.dropped_test, 0);
            prop_assert_eq!(s.report.short_histories, short);
        }
    }

    #[test]
    fn time_goes_forward(raw in raw(), (valid, test) in two_shares(), seed in 0u64..99) {
        let key = |p: &(u32, u32)| (raw[p].0, p.1);
        for config in [SplitConfig::LeaveOneOut {}, SplitConfig::PerUserTemporal { valid, test }] {
            let s = run(&raw, &config, seed).unwrap();
            let parts = parts(&s);
            for user in 0..USERS as u32 {
                let of = |at: usize| parts[at].iter().filter(|p| p.0 == user).map(key);
                // At one moment the position of the item decides, so the order is strict.
                for (before, after) in [(0, 1), (1, 2), (0, 2)] {
                    if let (Some(last), Some(first)) = (of(before).max(), of(after).min()) {
                        prop_assert!(last < first, "{config:?}, user {user}");
                    }
                }
            }
        }
        let config = SplitConfig::Temporal { valid, test };
        let Some(s) = run(&raw, &config, seed) else { return Ok(()) };
        let times = parts(&s).map(|part| part.iter().map(|p| raw[p].0).collect::<BTreeSet<_>>());
        for (before, after) in [(0, 1), (1, 2), (0, 2)] {
            if let (Some(last), Some(first)) = (times[before].last(), times[after].first()) {
                prop_assert!(last < first);
            }
        }
        prop_assert_eq!(s.report.train_after_test_began, 0);
        // No other moment is nearer to the share of test events.
        let n_test = s.report.test.rows + s.report.dropped_test;
        let off = |n: usize| n.abs_diff(round(raw.len(), test));
        for time in raw.values().map(|v| v.0).chain([i64::MAX]) {
            let n = raw.values().filter(|v| v.0 >= time).count();
            prop_assert!(off(n_test) <= off(n), "{n_test} {n}");
        }
    }

    #[test]
    fn with_a_moment_for_every_event_shares_by_time_are_exact(
        raw in raw(), (valid, test) in two_shares(), seed in 0u64..99
    ) {
        let n = raw.len();
        let mut raw = raw;
        // 7 and n share no factor only sometimes; any spreading of distinct times will do.
        raw.values_mut().zip(0i64..).for_each(|(v, at)| v.0 = (at * 7_919) % 1_000_003 - 500_000);
        let Some(s) = run(&raw, &SplitConfig::Temporal { valid, test }, seed) else {
            return Ok(());
        };
        let r = &s.report;
        prop_assert_eq!(r.test.rows + r.dropped_test, round(n, test));
        let left = n - round(n, test);
        prop_assert_eq!(r.valid.rows + r.dropped_valid, round(n, valid).min(left));
    }

    #[test]
    fn test_folds_are_a_partition(raw in raw(), folds in 2usize..7, seed in 0u64..99) {
        let mut dealt = BTreeMap::new();
        let mut dropped = 0;
        for fold in 0..folds {
            let config = SplitConfig::KFold { folds, fold, valid: 0.0, seed: Some(seed) };
            // Without train there is no such split; every event is then in this fold.
            let Some(s) = run(&raw, &config, 0) else { return Ok(()) };
            dropped += s.report.dropped_test;
            for pair in pairs(s.test.truth()) {
                prop_assert_eq!(dealt.insert(pair, fold), None);
            }
        }
        prop_assert_eq!(dealt.len() + dropped, raw.len());
    }

    #[test]
    fn new_items_are_new_and_as_many_as_asked(
        raw in raw(), share in 0.0..1.0f64, seed in 0u64..99
    ) {
        let all: BTreeSet<_> = raw.keys().copied().collect();
        let config = SplitConfig::ColdItems { share, valid: 0.0, test: 0.0, seed: None };
        let Some(s) = run(&raw, &config, seed) else { return Ok(()) };
        let [train, valid, test] = parts(&s);
        let new = &items_of(&all) - &items_of(&train);
        prop_assert_eq!(new.len(), round(items_of(&all).len(), share));
        let (in_valid, in_test) = (items_of(&valid), items_of(&test));
        prop_assert!(in_valid.is_disjoint(&in_test));
        prop_assert!(in_valid.union(&in_test).all(|item| new.contains(item)));
        let half = new.len().div_ceil(2);
        prop_assert!(in_test.len() <= half && in_valid.len() <= new.len() - half);
        prop_assert_eq!(s.report.n_cold_items_in_test, in_test.len());
        prop_assert_eq!(s.report.n_cold_items_in_valid, in_valid.len());
        // Every event of the other items is in train.
        let known: BTreeSet<_> = all.iter().copied().filter(|p| !new.contains(&p.1)).collect();
        prop_assert_eq!(train, known);
    }

    #[test]
    fn new_users_are_new_and_as_many_as_asked(
        raw in raw(), share in 0.0..1.0f64, history in 0.0..1.0f64, seed in 0u64..99
    ) {
        let all: BTreeSet<_> = raw.keys().copied().collect();
        let config = SplitConfig::ColdUsers { share, history, seed: None };
        let Some(s) = run(&raw, &config, seed) else { return Ok(()) };
        let [train, valid, test] = parts(&s);
        let known = pairs(&s.history);
        let new = &users_of(&all) - &users_of(&train);
        prop_assert_eq!(new.len(), round(users_of(&all).len(), share));
        let (in_valid, in_test) = (users_of(&valid), users_of(&test));
        prop_assert!(in_valid.is_disjoint(&in_test));
        prop_assert_eq!(&in_valid | &in_test, new.clone());
        prop_assert_eq!(in_test.len(), new.len().div_ceil(2));
        let (sizes, known_sizes) = (per_user(&all), per_user(&known));
        for user in 0..USERS {
            let n = sizes[user];
            let is_new = new.contains(&(user as u32));
            let expected = if is_new { floor(n, history).min(n - 1) } else { 0 };
            prop_assert_eq!(known_sizes[user], expected);
        }
        prop_assert_eq!(&(&(&train | &valid) | &test) | &known, all);
    }

    #[test]
    fn labels_of_the_source_are_the_parts(raw in raw()) {
        let Some(s) = run(&raw, &SplitConfig::Predefined {}, 1) else { return Ok(()) };
        let with_train: BTreeSet<u32> =
            raw.iter().filter(|r| r.1.1 == Part::Train).map(|r| r.0.0).collect();
        for (got, part) in parts(&s).into_iter().zip(Part::ALL) {
            let labelled = raw.iter().filter(|r| r.1.1 == part && with_train.contains(&r.0.0));
            prop_assert_eq!(got, labelled.map(|r| *r.0).collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn an_event_keeps_its_value(raw in raw(), seed in 0u64..99) {
        let config = SplitConfig::ColdUsers { share: 0.4, history: 0.5, seed: None };
        let Some(s) = run(&raw, &config, seed) else { return Ok(()) };
        for part in [&s.train, s.valid.truth(), s.test.truth(), &s.history, &s.seen_for_test] {
            for cell in part.iter() {
                prop_assert_eq!(cell.value, (cell.user.0 * 100 + cell.item.0) as f32);
            }
        }
    }
}

fn all_configs() -> Vec<SplitConfig> {
    let (valid, test, seed) = (0.1, 0.2, None);
    vec![
        SplitConfig::Random { valid, test, seed },
        SplitConfig::PerUser { valid, test, seed },
        SplitConfig::Mmrec { seed },
        SplitConfig::LeaveOneOut {},
        SplitConfig::PerUserTemporal { valid, test },
        SplitConfig::Temporal { valid, test },
        SplitConfig::KFold { folds: 4, fold: 2, valid, seed },
        SplitConfig::Predefined {},
        SplitConfig::ColdItems { share: 0.2, valid, test, seed },
        SplitConfig::ColdUsers { share: 0.2, history: 0.5, seed },
    ]
}

#[test]
fn the_number_of_threads_changes_no_split() {
    let (n_users, n_items) = (3_000, 700);
    let pairs = (0..n_users as u32).flat_map(|u| (0..1 + u % 23).map(move |k| (u, u * 7 + k * 13)));
    let events: Events = pairs
        .map(|(user, item)| Event {
            user: UserIdx(user),
            item: ItemIdx(item % n_items as u32),
            event: "e",
            value: 1.0,
            timestamp: Some(i64::from(user * 31 % 977 + item % 411)),
            part: Some(Part::ALL[(user + item) as usize % 3]),
        })
        .collect();
    for config in all_configs() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| split(&events, n_users, n_items, &config, SeedStream::new(5)).unwrap())
        };
        let one = with(1);
        assert!(one.report.adds_up() && one.report.test.rows > 500, "{config:?}");
        assert!(with(2) == one && with(5) == one, "{config:?}");
        // What is drawn depends on the seed, and the rest does not.
        let other = split(&events, n_users, n_items, &config, SeedStream::new(6)).unwrap();
        let drawn = !matches!(
            config,
            SplitConfig::LeaveOneOut {}
                | SplitConfig::PerUserTemporal { .. }
                | SplitConfig::Temporal { .. }
                | SplitConfig::Predefined {}
        );
        assert_eq!(one.test.truth() != other.test.truth(), drawn, "{config:?}");
    }
}

#[test]
fn no_event_one_event_and_times_before_1970() {
    for config in all_configs() {
        let nothing = split(&Events::new(), 3, 3, &config, SeedStream::new(1)).unwrap_err();
        assert!(nothing.to_string().contains("of 0 events"), "{nothing}");
        // Of one event nothing can be held out but by k-fold, which then has no train.
        let one: Raw = [((1, 2), (i64::MIN + 1, Part::Train))].into();
        let made = split(&events(&one), USERS, ITEMS, &config, SeedStream::new(1)).unwrap();
        assert_eq!((made.report.train.rows, made.report.test.rows), (1, 0), "{config:?}");
        assert_eq!(made.report.train.first, Some(i64::MIN + 1));
    }
    let one: Raw = [((1, 2), (0, Part::Train))].into();
    let config = SplitConfig::KFold { folds: 2, fold: 0, valid: 0.0, seed: None };
    assert!(run(&one, &config, 1).is_none());
}
