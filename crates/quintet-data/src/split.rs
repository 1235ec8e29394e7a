//! Train, validation and test: how events are divided, and the account of it.

use quintet_core::{CoreError, Held, Interactions, SeedStream, Test, Triplet, Valid};
use serde::{Deserialize, Serialize};

use crate::dataset::check_events;
use crate::split_assign::assign;
use crate::{DataError, Event};

/// How events are divided. In TOML: `strategy = "random"`, and the other keys beside it.
///
/// Shares are of all events (of [`SplitConfig::ColdItems`], see there); a rest stays in train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SplitConfig {
    /// Every event by chance, whoever it is of.
    Random {
        /// Share of the events held out for choices.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of the events held out for the report.
        #[serde(default = "tenth")]
        test: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// Of every user the last event is test, the one before it validation. Events at one time
    /// count by item position. Users with fewer than three events stay in train.
    LeaveOneOut {},
    /// Everybody's events before one moment are train, after a later moment test. Events at one
    /// time stay together, so shares are met as nearly as the times allow.
    Temporal {
        /// Share of the events between the two moments.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of the events after the second moment.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// A share of the items is brand-new: all events of one half of them are test, of the other
    /// half validation. The events of the remaining items are divided as in
    /// [`SplitConfig::Random`].
    ColdItems {
        /// Share of the items that have events.
        share: f64,
        /// Share of the remaining items' events held out for choices.
        #[serde(default)]
        valid: f64,
        /// Share of the remaining items' events held out for the report.
        #[serde(default)]
        test: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
}

fn tenth() -> f64 {
    0.1
}

impl Default for SplitConfig {
    /// By chance, a tenth each: it needs no timestamps.
    fn default() -> Self {
        SplitConfig::Random { valid: tenth(), test: tenth(), seed: None }
    }
}

impl SplitConfig {
    /// The name in configuration files.
    pub fn strategy(&self) -> &'static str {
        match self {
            SplitConfig::Random { .. } => "random",
            SplitConfig::LeaveOneOut {} => "leave_one_out",
            SplitConfig::Temporal { .. } => "temporal",
            SplitConfig::ColdItems { .. } => "cold_items",
        }
    }

    /// Checks the shares.
    ///
    /// # Errors
    /// A share that is negative or not a number, or shares that leave nothing for train.
    pub fn validate(&self) -> Result<(), DataError> {
        let check = |key: &'static str, share: f64| {
            if (0.0..1.0).contains(&share) {
                return Ok(());
            }
            let expected = "a share from 0 to below 1".into();
            Err(DataError::Config { key, expected, found: share.to_string() })
        };
        match *self {
            SplitConfig::LeaveOneOut {} => Ok(()),
            SplitConfig::Random { valid, test, .. }
            | SplitConfig::Temporal { valid, test }
            | SplitConfig::ColdItems { valid, test, .. } => {
                if let SplitConfig::ColdItems { share, .. } = *self {
                    check("share", share)?;
                }
                check("valid", valid)?;
                check("test", test)?;
                check("valid + test", valid + test)
            }
        }
    }
}

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
    /// Train and validation together: what users have seen when the test comes.
    pub seen_for_test: Interactions,
    /// The account.
    pub report: SplitReport,
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

/// The account of a split: `rows_in` is the sum of the rows of the three parts, `dropped_valid`
/// and `dropped_test`.
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
    /// Validation events left out, because their user has none in train.
    pub dropped_valid: usize,
    /// Test events left out, because their user has none in train.
    pub dropped_test: usize,
    /// Users of the dropped events.
    pub dropped_users: usize,
    /// Users with too few events to be divided, who stay in train (leave-one-out).
    pub short_histories: usize,
    /// Items in validation that train never shows.
    pub n_cold_items_in_valid: usize,
    /// Items in test that train never shows.
    pub n_cold_items_in_test: usize,
    /// The leakage check: pairs that occur in more than one part. Always 0.
    pub shared_pairs: usize,
}

impl SplitReport {
    /// Whether every row is accounted for.
    pub fn adds_up(&self) -> bool {
        let parts = self.train.rows + self.valid.rows + self.test.rows;
        self.rows_in == parts + self.dropped_valid + self.dropped_test
    }
}

/// Divides events (one a user and item, as [`crate::shape()`] gives) into train, validation and
/// test.
///
/// The result depends on the events, not on their order. Users without an event in train are
/// left out of validation and test and counted; items without one stay, as cold items.
///
/// # Errors
/// A share out of range, a user and item that come twice, events out of range, a split by time
/// of events without a time, or nothing left for train.
pub fn split(
    events: &[Event],
    n_users: usize,
    n_items: usize,
    config: &SplitConfig,
    seed: SeedStream,
) -> Result<Split, DataError> {
    config.validate()?;
    check_events(events, n_users, n_items)?;
    let mut rows: Vec<&Event> = events.iter().collect();
    rows.sort_by_key(|e| (e.user, e.item));
    if let Some(w) = rows.windows(2).find(|w| (w[0].user, w[0].item) == (w[1].user, w[1].item)) {
        return Err(CoreError::DuplicatePair { user: w[0].user.0, item: w[0].item.0 }.into());
    }
    let mut report = SplitReport {
        strategy: config.strategy().to_owned(),
        rows_in: rows.len(),
        ..SplitReport::default()
    };
    let parts = assign(config, &rows, seed, &mut report)?;
    let mut by_part: [Vec<&Event>; 3] = Default::default();
    for (&row, &part) in rows.iter().zip(&parts) {
        by_part[part as usize].push(row);
    }
    let [train, valid, test] = by_part;
    if train.is_empty() {
        return Err(DataError::EmptyTrain {
            strategy: config.strategy(),
            why: format!(
                "of {} events, {} are valid and {} test",
                rows.len(),
                valid.len(),
                test.len()
            ),
        });
    }
    let (valid, test) = drop_users_without_train(&train, valid, test, n_users, &mut report);
    let csr = |part: &[&Event]| {
        let cell = |e: &&Event| Triplet { user: e.user, item: e.item, value: e.value };
        Interactions::from_triplets(n_users, n_items, part.iter().map(cell))
    };
    let seen: Vec<&Event> = train.iter().chain(&valid).copied().collect();
    report.train = part_report(&train, n_users, n_items, rows.len());
    report.valid = part_report(&valid, n_users, n_items, rows.len());
    report.test = part_report(&test, n_users, n_items, rows.len());
    let made = Split {
        train: csr(&train)?,
        valid: Held::new(csr(&valid)?),
        test: Held::new(csr(&test)?),
        seen_for_test: csr(&seen)?,
        report,
    };
    Ok(with_checks(made))
}

/// Keeps the held-out events of users that train knows.
fn drop_users_without_train<'a>(
    train: &[&'a Event],
    mut valid: Vec<&'a Event>,
    mut test: Vec<&'a Event>,
    n_users: usize,
    report: &mut SplitReport,
) -> (Vec<&'a Event>, Vec<&'a Event>) {
    let mut known = vec![false; n_users];
    train.iter().for_each(|e| known[e.user.index()] = true);
    let mut dropped = vec![false; n_users];
    let mut keep = |part: &mut Vec<&Event>| {
        let before = part.len();
        part.retain(|e| {
            dropped[e.user.index()] |= !known[e.user.index()];
            known[e.user.index()]
        });
        before - part.len()
    };
    report.dropped_valid = keep(&mut valid);
    report.dropped_test = keep(&mut test);
    report.dropped_users = dropped.iter().filter(|d| **d).count();
    (valid, test)
}

fn part_report(part: &[&Event], n_users: usize, n_items: usize, rows_in: usize) -> PartReport {
    let mut users = vec![false; n_users];
    let mut items = vec![false; n_items];
    for e in part {
        users[e.user.index()] = true;
        items[e.item.index()] = true;
    }
    let count = |flags: &[bool]| flags.iter().filter(|f| **f).count();
    PartReport {
        rows: part.len(),
        share: part.len() as f64 / rows_in as f64,
        users: count(&users),
        items: count(&items),
        first: part.iter().filter_map(|e| e.timestamp).min(),
        last: part.iter().filter_map(|e| e.timestamp).max(),
    }
}

/// Counts cold items and shared pairs on the finished matrices, not on what led to them.
fn with_checks(mut made: Split) -> Split {
    let in_train = made.train.item_counts();
    let cold = |part: &Interactions| {
        let counts = part.item_counts();
        counts.iter().zip(&in_train).filter(|(here, train)| **here > 0 && **train == 0).count()
    };
    let shared = |part: &Interactions, seen: &Interactions| {
        part.iter().filter(|t| seen.contains(t.user, t.item)).count()
    };
    let (valid, test) = (made.valid.truth(), made.test.truth());
    made.report.n_cold_items_in_valid = cold(valid);
    made.report.n_cold_items_in_test = cold(test);
    made.report.shared_pairs = shared(valid, &made.train) + shared(test, &made.seen_for_test);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, UserIdx};

    fn event(user: u32, item: u32, timestamp: Option<i64>) -> Event {
        Event { user: UserIdx(user), item: ItemIdx(item), event: "e".into(), value: 1.0, timestamp }
    }

    fn pairs(m: &Interactions) -> Vec<(u32, u32)> {
        m.iter().map(|t| (t.user.0, t.item.0)).collect()
    }

    fn run(events: &[Event], config: &SplitConfig) -> Result<Split, DataError> {
        split(events, 4, 10, config, SeedStream::new(1))
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
        for (valid, test) in [(-0.1, 0.1), (0.5, 0.5), (f64::NAN, 0.1)] {
            let config = SplitConfig::Random { valid, test, seed: None };
            assert!(matches!(config.validate(), Err(DataError::Config { .. })));
        }
    }

    #[test]
    fn configs_are_read_strictly() {
        let read = toml::from_str::<SplitConfig>;
        assert_eq!(read("strategy = 'leave_one_out'").unwrap(), SplitConfig::LeaveOneOut {});
        let temporal = read("strategy = 'temporal'\ntest = 0.2").unwrap();
        assert_eq!(temporal, SplitConfig::Temporal { valid: 0.1, test: 0.2 });
        let seeded = SplitConfig::Random { valid: 0.0, test: 0.5, seed: Some(3) };
        assert_eq!(read("strategy = 'random'\nvalid = 0.0\ntest = 0.5\nseed = 3").unwrap(), seeded);
        assert!(read("strategy = 'leave_one_out'\ntest = 0.1").is_err());
        assert!(read("strategy = 'temporal'\ntets = 0.1").is_err());
        assert!(read("strategy = 'by_moon'").unwrap_err().to_string().contains("by_moon"));
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

    fn any_config() -> impl Strategy<Value = SplitConfig> {
        let share = || 0.0..0.45f64;
        prop_oneof![
            (share(), share()).prop_map(|(valid, test)| SplitConfig::Random {
                valid,
                test,
                seed: None
            }),
            Just(SplitConfig::LeaveOneOut {}),
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
            config in any_config(), seed in 0u64..50
        ) {
            let events: Vec<Event> = raw.iter().map(|(&(u, i), &t)| event(u, i, Some(t))).collect();
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
            let mut all = [train.clone(), valid.clone(), test.clone()].concat();
            all.sort_unstable();
            let n = all.len();
            all.dedup();
            prop_assert_eq!(n, all.len());
            prop_assert!(all.iter().all(|p| raw.contains_key(p)));
            let known: Vec<u32> = train.iter().map(|p| p.0).collect();
            let lost: Vec<_> = raw.keys().filter(|p| !all.contains(p)).collect();
            prop_assert_eq!(lost.len(), s.report.dropped_valid + s.report.dropped_test);
            prop_assert!(lost.iter().all(|p| !known.contains(&p.0)));
            prop_assert!(valid.iter().chain(&test).all(|p| known.contains(&p.0)));
            let mut seen = [train, valid].concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, pairs(&s.seen_for_test));
            if matches!(config, SplitConfig::Temporal { .. }) {
                let r = &s.report;
                prop_assert!(r.valid.first.is_none_or(|t| r.train.last < Some(t)));
                prop_assert!(r.test.first.is_none_or(|t| r.train.last.max(r.valid.last) < Some(t)));
            }
            // The order of the events does not matter.
            let reversed: Vec<Event> = events.into_iter().rev().collect();
            prop_assert_eq!(split(&reversed, 9, 12, &config, SeedStream::new(seed)).unwrap(), s);
        }
    }
}
