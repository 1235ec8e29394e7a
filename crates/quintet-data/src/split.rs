//! Train, validation and test: dividing events, and the account of it.

use std::borrow::Cow;

use quintet_core::{
    CoreError, Held, Interactions, ItemIdx, SeedStream, Test, Triplet, UserIdx, Valid,
};
use serde::{Deserialize, Serialize};

use crate::split_assign::{Place, Rows, assign};
use crate::{DataError, Events, SplitConfig};

/// The three parts as sparse matrices over all users and items.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Split {
    /// What models learn from.
    pub train: Interactions,
    /// What choices look at.
    pub valid: Held<Valid>,
    /// What the report looks at, once.
    pub test: Held<Test>,
    /// What users have seen when the test comes: train, validation, and the known history of
    /// brand-new users.
    pub seen_for_test: Interactions,
    /// The known history of brand-new users ([`SplitConfig::ColdUsers`]); empty otherwise.
    pub history: Interactions,
    /// The account.
    pub report: SplitReport,
}

impl Split {
    /// What users have seen when validation comes: train, and the known history of brand-new
    /// users.
    ///
    /// # Errors
    /// None that the parts of one split can cause.
    pub fn seen_for_valid(&self) -> Result<Cow<'_, Interactions>, DataError> {
        if self.history.nnz() == 0 {
            return Ok(Cow::Borrowed(&self.train));
        }
        let (n_users, n_items) = (self.train.n_users(), self.train.n_items());
        let cells = self.train.iter().chain(self.history.iter());
        Ok(Cow::Owned(Interactions::from_triplets(n_users, n_items, cells)?))
    }

    /// How many groups of near-duplicate items have a member that train shows and a held-out
    /// member that it does not: content that looks brand-new and was seen in training.
    pub fn duplicate_leaks(&self, groups: &[Vec<ItemIdx>]) -> usize {
        let in_train = self.train.item_counts();
        let mut held = self.test.truth().item_counts();
        for (held, valid) in held.iter_mut().zip(self.valid.truth().item_counts()) {
            *held += valid;
        }
        let known = |i: &ItemIdx| in_train.get(i.index()).is_some_and(|n| *n > 0);
        let new = |i: &ItemIdx| !known(i) && held.get(i.index()).is_some_and(|n| *n > 0);
        groups.iter().filter(|g| g.iter().any(known) && g.iter().any(new)).count()
    }
}

/// What one part holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartReport {
    /// Events.
    pub rows: usize,
    /// Events as a share of all events that came.
    pub share: f64,
    /// Users with events here.
    pub users: usize,
    /// Items with events here.
    pub items: usize,
    /// Time of the first event, seconds since 1970 UTC; none when no event has a time.
    pub first: Option<i64>,
    /// Time of the last event, seconds since 1970 UTC.
    pub last: Option<i64>,
}

/// The account of a split: `rows_in` is the sum of the rows of the three parts, `history`,
/// `dropped_valid` and `dropped_test`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SplitReport {
    /// Name of the strategy.
    pub strategy: String,
    /// Events that came.
    pub rows_in: usize,
    /// What models learn from.
    pub train: PartReport,
    /// What choices look at, without the dropped events.
    pub valid: PartReport,
    /// What the report looks at, without the dropped events.
    pub test: PartReport,
    /// Known events of brand-new users, which are in no part.
    #[serde(default)]
    pub history: usize,
    /// Validation events left out, because their user has none in train.
    pub dropped_valid: usize,
    /// Test events left out, because their user has none in train.
    pub dropped_test: usize,
    /// Users of the dropped events.
    pub dropped_users: usize,
    /// Users with too few events to be divided, who stay in train (leave-one-out, mmrec).
    pub short_histories: usize,
    /// Items in validation that train never shows.
    pub n_cold_items_in_valid: usize,
    /// Items in test that train never shows.
    pub n_cold_items_in_test: usize,
    /// Users in validation that train never shows (cold users).
    #[serde(default)]
    pub n_cold_users_in_valid: usize,
    /// Users in test that train never shows (cold users).
    #[serde(default)]
    pub n_cold_users_in_test: usize,
    /// The leakage check of pairs: those that occur in more than one part. Always 0.
    pub shared_pairs: usize,
    /// The leakage check of time: train events that are not earlier than the first test event.
    /// A model learns from them what happened after a moment it is tested at. 0 for `temporal`.
    #[serde(default)]
    pub train_after_test_began: usize,
    /// Groups of near-duplicate items across train and the brand-new items of the other parts,
    /// where the caller has looked ([`Split::duplicate_leaks`]).
    #[serde(default)]
    pub duplicate_leaks: Option<usize>,
}

impl SplitReport {
    /// Whether every row is accounted for.
    pub fn adds_up(&self) -> bool {
        let parts = self.train.rows + self.valid.rows + self.test.rows;
        self.rows_in == parts + self.history + self.dropped_valid + self.dropped_test
    }

    /// A few lines for a terminal: the real proportions and the leakage check.
    pub fn summary(&self) -> Vec<String> {
        let part = |name: &str, p: &PartReport| {
            let share = 100.0 * p.share;
            format!("{name} {} ({share:.1} %; {} users, {} items)", p.rows, p.users, p.items)
        };
        let mut lines = vec![format!(
            "{}: {}, {}, {}",
            self.strategy,
            part("train", &self.train),
            part("validation", &self.valid),
            part("test", &self.test)
        )];
        let left_out = self.dropped_valid + self.dropped_test;
        if left_out > 0 {
            lines.push(format!(
                "left out: {left_out} held-out events of {} users whom train never shows",
                self.dropped_users
            ));
        }
        if self.history > 0 {
            lines.push(format!("known history of brand-new users: {} events", self.history));
        }
        if self.short_histories > 0 {
            let n = self.short_histories;
            lines.push(format!("{n} users have too few events to be divided and stay in train"));
        }
        let mut checks = vec![
            format!("{} pairs in two parts", self.shared_pairs),
            format!(
                "{} + {} users and {} + {} items that train never shows",
                self.n_cold_users_in_valid,
                self.n_cold_users_in_test,
                self.n_cold_items_in_valid,
                self.n_cold_items_in_test
            ),
        ];
        if self.test.first.is_some() {
            let late = self.train_after_test_began;
            checks.push(format!("{late} train events after the first test event"));
        }
        if let Some(groups) = self.duplicate_leaks {
            checks.push(format!("{groups} groups of near-duplicates across train and the rest"));
        }
        lines.push(format!("leakage (validation + test): {}", checks.join("; ")));
        lines
    }
}

/// Divides events (one a user and item, as [`crate::shape()`] gives) into train, validation and
/// test.
///
/// The result depends on the events, not on their order. Users without an event in train are
/// left out of validation and test and counted, unless the strategy makes them; items without
/// one stay, as cold items.
///
/// # Errors
/// A share out of range, a user and item that come twice, events out of range, a split by time
/// of events without a time, a predefined split of events without a part, or nothing left for
/// train.
///
/// # Panics
/// When there are 2³² events or more.
pub fn split(
    events: &Events,
    n_users: usize,
    n_items: usize,
    config: &SplitConfig,
    seed: SeedStream,
) -> Result<Split, DataError> {
    assert!(u32::try_from(events.len()).is_ok(), "{} events exceed 32 bits", events.len());
    config.validate()?;
    events.check(n_users, n_items)?;
    let rows = Rows::new(events);
    let pair = |at: usize| (rows.user(at), rows.item(at));
    if let Some(at) = (1..rows.len()).find(|&at| pair(at) == pair(at - 1)) {
        let (user, item) = (UserIdx::new(rows.user(at)).0, ItemIdx::new(rows.item(at)).0);
        return Err(CoreError::DuplicatePair { user, item }.into());
    }
    let mut report = SplitReport {
        strategy: config.strategy().to_owned(),
        rows_in: rows.len(),
        ..SplitReport::default()
    };
    let mut places = assign(config, &rows, seed, &mut report)?;
    if !places.contains(&Place::Train) {
        let count = |place| places.iter().filter(|p| **p == place).count();
        let (n, valid, test) = (rows.len(), count(Place::Valid), count(Place::Test));
        return Err(DataError::EmptyTrain {
            strategy: config.strategy(),
            why: format!("of {n} events, {valid} are valid and {test} test"),
        });
    }
    if !matches!(config, SplitConfig::ColdUsers { .. }) {
        drop_users_without_train(&rows, &mut places, n_users, &mut report);
    }
    let parts = Parts { rows: &rows, places: &places, n_users, n_items };
    let history = [Place::ValidHistory, Place::TestHistory];
    let seen = [Place::Train, Place::Valid, Place::ValidHistory, Place::TestHistory];
    let wanted: [&[Place]; 5] = [&[Place::Train], &[Place::Valid], &[Place::Test], &history, &seen];
    let make = |at: usize| parts.make(wanted[at]);
    let ((train, (valid, test)), (seen, history)) =
        rayon::join(|| (make(0), rayon::join(|| make(1), || make(2))), || (make(4), make(3)));
    let (train, valid, test, history, seen) = (train?, valid?, test?, history?, seen?);
    (report.train, report.valid, report.test) = (train.1, valid.1, test.1);
    report.history = history.1.rows;
    report.train_after_test_began = parts.train_after(report.test.first);
    let made = Split {
        train: train.0,
        valid: Held::new(valid.0),
        test: Held::new(test.0),
        seen_for_test: seen.0,
        history: history.0,
        report,
    };
    Ok(with_checks(made))
}

/// Keeps the held-out events of users that train knows.
fn drop_users_without_train(
    rows: &Rows,
    places: &mut [Place],
    n_users: usize,
    report: &mut SplitReport,
) {
    let mut known = vec![false; n_users];
    for (at, place) in places.iter().enumerate() {
        known[rows.user(at)] |= *place == Place::Train;
    }
    let mut dropped = vec![false; n_users];
    for (at, place) in places.iter_mut().enumerate() {
        let user = rows.user(at);
        let (count, gone) = match *place {
            Place::Valid if !known[user] => (&mut report.dropped_valid, Place::DroppedValid),
            Place::Test if !known[user] => (&mut report.dropped_test, Place::DroppedTest),
            _ => continue,
        };
        *count += 1;
        *place = gone;
        dropped[user] = true;
    }
    report.dropped_users = dropped.iter().filter(|d| **d).count();
}

/// Rows with their places.
struct Parts<'a> {
    rows: &'a Rows<'a>,
    places: &'a [Place],
    n_users: usize,
    n_items: usize,
}

impl Parts<'_> {
    /// The rows in some places as a matrix, and what they are.
    fn make(&self, places: &[Place]) -> Result<(Interactions, PartReport), DataError> {
        let wanted = |at: usize| places.contains(&self.places[at]);
        let mut users = vec![false; self.n_users];
        let mut items = vec![false; self.n_items];
        let mut part = PartReport::default();
        let n = (0..self.places.len()).filter(|&at| wanted(at)).count();
        let cells = (0..self.places.len()).filter(|&at| wanted(at)).map(|at| {
            let (user, item) = (self.rows.user(at), self.rows.item(at));
            (users[user], items[item]) = (true, true);
            if let Some(time) = self.rows.time(at) {
                part.first = Some(part.first.map_or(time, |first| first.min(time)));
                part.last = part.last.max(Some(time));
            }
            let value = self.rows.events.values()[self.rows.order[at] as usize];
            Triplet { user: UserIdx::new(user), item: ItemIdx::new(item), value }
        });
        let matrix = Interactions::from_sorted(self.n_users, self.n_items, n, cells)?;
        let count = |flags: &[bool]| flags.iter().filter(|f| **f).count();
        part.rows = n;
        part.share = n as f64 / self.rows.len() as f64;
        (part.users, part.items) = (count(&users), count(&items));
        Ok((matrix, part))
    }

    /// How many train rows are not earlier than a time.
    fn train_after(&self, time: Option<i64>) -> usize {
        let Some(time) = time else { return 0 };
        let train = |at: &usize| self.places[*at] == Place::Train;
        (0..self.places.len()).filter(train).filter(|&at| self.rows.time(at) >= Some(time)).count()
    }
}

/// Counts cold users and items and shared pairs on the finished matrices, not on what led to
/// them.
fn with_checks(mut made: Split) -> Split {
    let in_train = made.train.item_counts();
    let cold_items = |part: &Interactions| {
        let counts = part.item_counts();
        counts.iter().zip(&in_train).filter(|(here, train)| **here > 0 && **train == 0).count()
    };
    let cold_users = |part: &Interactions| {
        let users = (0..part.n_users()).map(UserIdx::new);
        users.filter(|&u| !part.items(u).is_empty() && made.train.items(u).is_empty()).count()
    };
    let shared = |part: &Interactions, seen: &Interactions| {
        part.iter().filter(|t| seen.contains(t.user, t.item)).count()
    };
    let (valid, test) = (made.valid.truth(), made.test.truth());
    let report = &mut made.report;
    report.n_cold_items_in_valid = cold_items(valid);
    report.n_cold_items_in_test = cold_items(test);
    (report.n_cold_users_in_valid, report.n_cold_users_in_test) =
        (cold_users(valid), cold_users(test));
    report.shared_pairs = shared(valid, &made.train)
        + shared(test, &made.seen_for_test)
        + shared(&made.history, &made.train);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Part};
    use proptest::prelude::*;

    fn event(user: u32, item: u32, timestamp: Option<i64>) -> Event<'static> {
        let (user, item) = (UserIdx(user), ItemIdx(item));
        Event { user, item, event: "e", value: 1.0, timestamp, part: None }
    }

    fn pairs(m: &Interactions) -> Vec<(u32, u32)> {
        m.iter().map(|t| (t.user.0, t.item.0)).collect()
    }

    fn run(events: &[Event], config: &SplitConfig) -> Result<Split, DataError> {
        let events: Events = events.iter().copied().collect();
        split(&events, 4, 10, config, SeedStream::new(1))
    }

    #[test]
    fn leave_one_out_takes_the_last_two() {
        // User 0 by time: 3, then 1 and 2 together (the larger position is later), then 0.
        let events = [
            event(0, 0, Some(9)),
            event(0, 1, Some(5)),
            event(0, 2, Some(5)),
            event(0, 3, Some(1)),
            event(1, 4, Some(1)),
            event(1, 5, Some(2)),
        ];
        let s = run(&events, &SplitConfig::LeaveOneOut {}).unwrap();
        assert_eq!(pairs(s.test.truth()), [(0, 0)]);
        assert_eq!(pairs(s.valid.truth()), [(0, 2)]);
        assert_eq!(pairs(&s.train), [(0, 1), (0, 3), (1, 4), (1, 5)]);
        assert_eq!(pairs(&s.seen_for_test), [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5)]);
        assert_eq!(s.report.short_histories, 1);
        assert_eq!((s.report.n_cold_items_in_valid, s.report.n_cold_items_in_test), (1, 1));
        assert_eq!((s.report.train.first, s.report.train.last), (Some(1), Some(5)));
    }

    #[test]
    fn a_temporal_cut_keeps_one_moment_together() {
        // Ten events; 20 % test asks for the last two, but the third-last has the same time, so
        // the nearest cut between two times puts three into test. User 3 is new: dropped.
        let times = [1, 2, 3, 4, 5, 6, 7, 8, 8, 8];
        let mut events: Vec<Event> =
            (0..10).map(|i| event(i % 3, i, Some(times[i as usize]))).collect();
        events[9] = event(3, 9, Some(8));
        let s = run(&events, &SplitConfig::Temporal { valid: 0.2, test: 0.2 }).unwrap();
        assert_eq!((s.report.train.last, s.report.valid.last), (Some(6), Some(7)));
        assert_eq!((s.report.train.rows, s.report.valid.rows, s.report.test.rows), (6, 1, 2));
        assert_eq!((s.report.dropped_test, s.report.dropped_users), (1, 1));
        assert!(s.report.adds_up());
        assert!((s.report.valid.share - 0.1).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_divided_is_an_error() {
        let untimed = [event(0, 0, Some(1)), event(0, 1, None)];
        for config in [SplitConfig::LeaveOneOut {}, SplitConfig::Temporal { valid: 0.1, test: 0.1 }]
        {
            let err = run(&untimed, &config).unwrap_err().to_string();
            assert!(err.contains("1 of 2 have none"), "{err}");
        }
        let twice = [event(0, 0, None), event(0, 0, None)];
        assert!(run(&twice, &SplitConfig::default()).is_err());
        let one_moment = [event(0, 0, Some(1)), event(1, 1, Some(1))];
        let mostly_test = SplitConfig::Temporal { valid: 0.0, test: 0.9 };
        let err = run(&one_moment, &mostly_test).unwrap_err();
        assert!(matches!(err, DataError::EmptyTrain { .. }), "{err}");
        let mut labelled = untimed;
        labelled[0].part = Some(Part::Train);
        let err = run(&labelled, &SplitConfig::Predefined {}).unwrap_err().to_string();
        assert!(err.contains("1 of 2"), "{err}");
    }

    #[test]
    fn cold_items_are_wholly_held_out() {
        let events: Vec<Event> =
            (0..4).flat_map(|u| (0..10).map(move |i| event(u, i, None))).collect();
        let config = SplitConfig::ColdItems { share: 0.4, valid: 0.1, test: 0.1, seed: None };
        let s = run(&events, &config).unwrap();
        // 4 of 10 items are cold: 2 in test, 2 in validation, 4 events each; of the other 24
        // events a tenth, rounded, is 2.
        assert_eq!((s.report.n_cold_items_in_valid, s.report.n_cold_items_in_test), (2, 2));
        let r = &s.report;
        assert_eq!((r.train.rows, r.valid.rows, r.test.rows), (20, 10, 10));
    }

    #[test]
    fn parts_of_the_source_are_kept() {
        let parts = [Part::Train, Part::Valid, Part::Test, Part::Train];
        let events: Vec<Event> = (0u32..)
            .zip(parts)
            .map(|(i, part)| Event { part: Some(part), ..event(0, i, None) })
            .collect();
        let s = run(&events, &SplitConfig::Predefined {}).unwrap();
        assert_eq!(pairs(&s.train), [(0, 0), (0, 3)]);
        assert_eq!((pairs(s.valid.truth()), pairs(s.test.truth())), (vec![(0, 1)], vec![(0, 2)]));
    }

    #[test]
    fn every_event_is_in_the_test_fold_of_one_of_k() {
        let events: Vec<Event> =
            (0..4).flat_map(|u| (0..10).map(move |i| event(u, i, None))).collect();
        let mut tested: Vec<(u32, u32)> = (0..3)
            .flat_map(|fold| {
                let config = SplitConfig::KFold { folds: 3, fold, valid: 0.1, seed: Some(4) };
                let s = run(&events, &config).unwrap();
                // A tenth of 26 or 27 other events, rounded.
                assert_eq!(s.report.valid.rows, 3);
                pairs(s.test.truth())
            })
            .collect();
        tested.sort_unstable();
        assert_eq!(tested, events.iter().map(|e| (e.user.0, e.item.0)).collect::<Vec<_>>());
    }

    #[test]
    fn cold_users_are_wholly_out_of_train_and_keep_a_history() {
        let events: Vec<Event> =
            (0..4).flat_map(|u| (0..10).map(move |i| event(u, i, None))).collect();
        let config = SplitConfig::ColdUsers { share: 0.5, history: 0.5, seed: None };
        let s = run(&events, &config).unwrap();
        let r = &s.report;
        assert_eq!((r.train.rows, r.valid.rows, r.test.rows, r.history), (20, 5, 5, 10));
        assert_eq!((r.n_cold_users_in_valid, r.n_cold_users_in_test), (1, 1));
        assert_eq!((s.seen_for_test.nnz(), s.seen_for_valid().unwrap().nnz()), (35, 30));
        let new = UserIdx(pairs(s.test.truth())[0].0);
        assert_eq!((s.train.items(new).len(), s.history.items(new).len()), (0, 5));
        assert!(r.adds_up());
    }

    #[test]
    fn leaks_of_time_and_of_near_duplicates_are_counted() {
        // User 0 at times 0 to 3; user 1 at times 2, 3, 4. Each one's last event is test.
        let events = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 4, 2), (1, 5, 3), (1, 6, 4)]
            .map(|(u, i, t)| event(u, i, Some(t)));
        let config = SplitConfig::PerUserTemporal { valid: 0.0, test: 0.34 };
        let s = run(&events, &config).unwrap();
        assert_eq!(pairs(s.test.truth()), [(0, 3), (1, 6)]);
        // Test begins at 3, and user 1 trains on an event at 3.
        assert_eq!(s.report.train_after_test_began, 1);
        let group = |items: &[u32]| items.iter().map(|i| ItemIdx(*i)).collect::<Vec<_>>();
        // Item 3 is new and item 0 known; 1 and 2 are both known; 3 and 6 both new; 8 is nobody's.
        let groups = [group(&[0, 3]), group(&[1, 2]), group(&[3, 6]), group(&[0, 8])];
        assert_eq!(s.duplicate_leaks(&groups), 1);
        let lines = s.report.summary().join("\n");
        assert!(lines.contains("1 train events after the first test event"), "{lines}");
    }

    fn any_config() -> impl Strategy<Value = SplitConfig> {
        let share = || 0.0..0.45f64;
        prop_oneof![
            (share(), share()).prop_map(|(valid, test)| SplitConfig::Random {
                valid,
                test,
                seed: None
            }),
            (share(), share()).prop_map(|(valid, test)| SplitConfig::PerUser {
                valid,
                test,
                seed: None
            }),
            Just(SplitConfig::Mmrec { seed: None }),
            Just(SplitConfig::LeaveOneOut {}),
            Just(SplitConfig::Predefined {}),
            (share(), share())
                .prop_map(|(valid, test)| SplitConfig::PerUserTemporal { valid, test }),
            (2usize..6, 0usize..2, share()).prop_map(|(folds, fold, valid)| SplitConfig::KFold {
                folds,
                fold,
                valid,
                seed: None
            }),
            (share(), share()).prop_map(|(share, history)| SplitConfig::ColdUsers {
                share,
                history,
                seed: None
            }),
            (share(), share()).prop_map(|(valid, test)| SplitConfig::Temporal { valid, test }),
            (share(), share(), share()).prop_map(|(share, valid, test)| SplitConfig::ColdItems {
                share,
                valid,
                test,
                seed: None
            }),
        ]
    }

    proptest! {
        #[test]
        fn parts_partition_the_events(
            raw in proptest::collection::btree_map((0u32..9, 0u32..12), 0i64..20, 1..80),
            labels in proptest::collection::vec(0usize..3, 80),
            config in any_config(), seed in 0u64..50
        ) {
            let labelled = |(((u, i), t), label): ((&(u32, u32), &i64), &usize)| Event {
                part: Some(Part::ALL[*label]),
                ..event(*u, *i, Some(*t))
            };
            let labelled = |((pair, t), label)| labelled(((pair, t), label));
            let events: Events = raw.iter().zip(&labels).map(labelled).collect();
            let made = split(&events, 9, 12, &config, SeedStream::new(seed));
            if let Err(error) = made {
                prop_assert!(matches!(error, DataError::EmptyTrain { .. }), "{error}");
                return Ok(());
            }
            let s = made.unwrap();
            prop_assert!(s.report.adds_up(), "{:?}", s.report);
            prop_assert_eq!(s.report.shared_pairs, 0);
            let (train, valid, test) =
                (pairs(&s.train), pairs(s.valid.truth()), pairs(s.test.truth()));
            let history = pairs(&s.history);
            let mut all = [train.clone(), valid.clone(), test.clone(), history.clone()].concat();
            all.sort_unstable();
            let n = all.len();
            all.dedup();
            prop_assert_eq!(n, all.len());
            prop_assert!(all.iter().all(|p| raw.contains_key(p)));
            let known: Vec<u32> = train.iter().map(|p| p.0).collect();
            let lost: Vec<_> = raw.keys().filter(|p| !all.contains(p)).collect();
            prop_assert_eq!(lost.len(), s.report.dropped_valid + s.report.dropped_test);
            prop_assert!(lost.iter().all(|p| !known.contains(&p.0)));
            let new = matches!(config, SplitConfig::ColdUsers { .. });
            prop_assert!(valid.iter().chain(&test).all(|p| known.contains(&p.0) != new));
            let mut seen = [train, valid, history].concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, pairs(&s.seen_for_test));
            if matches!(config, SplitConfig::Temporal { .. }) {
                let r = &s.report;
                prop_assert!(r.valid.first.is_none_or(|t| r.train.last < Some(t)));
                prop_assert!(r.test.first.is_none_or(|t| r.train.last.max(r.valid.last) < Some(t)));
            }
            // The order of the events does not matter.
            let reversed: Events = events.iter().rev().collect();
            prop_assert_eq!(split(&reversed, 9, 12, &config, SeedStream::new(seed)).unwrap(), s);
        }
    }
}
