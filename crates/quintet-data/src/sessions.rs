//! Sessions: what a user did without a longer pause.
//!
//! The rule of a fixed gap: a new session begins where more time passed since the user's event
//! before than the gap. The half hour of the default is that of web analytics (Catledge and
//! Pitkow, "Characterizing browsing strategies in the World-Wide Web", 1995, measured 25.5
//! minutes; session-based recommendation uses 30, e.g. Ludewig and Jannach, "Evaluation of
//! session-based recommendation algorithms", 2018). Cost: sorting the events.

use quintet_core::{CoreError, UserIdx};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::impute_config::bad;
use crate::{DataError, Events};

/// Where a session ends, and which sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Longest pause within a session, seconds. Events that are exactly so far apart are still
    /// one session; at 0 only events of the same second are.
    pub gap_seconds: u64,
    /// Fewest events of a session; shorter ones are dropped and counted.
    pub min_length: usize,
}

impl Default for SessionConfig {
    /// Half an hour; sessions of one event stay.
    fn default() -> Self {
        Self { gap_seconds: 1800, min_length: 1 }
    }
}

impl SessionConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// A `min_length` of 0, which no session can have.
    pub fn validate(&self) -> Result<(), DataError> {
        match self.min_length {
            0 => Err(bad("min_length", "at least 1", 0)),
            _ => Ok(()),
        }
    }
}

/// How many sessions have a length from `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthBucket {
    /// Fewest events.
    pub from: usize,
    /// Most events, inclusive.
    pub to: usize,
    /// How many sessions.
    pub sessions: usize,
}

/// The account of sessions: `rows_in` is `rows_in_sessions` and `rows_dropped`. Lengths are those
/// of the sessions that are kept, in events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionReport {
    /// Events that came.
    pub rows_in: usize,
    /// Events in sessions that are kept.
    pub rows_in_sessions: usize,
    /// Events in sessions that are too short.
    pub rows_dropped: usize,
    /// Sessions that are kept.
    pub n_sessions: usize,
    /// Sessions that are too short.
    pub sessions_dropped: usize,
    /// Users with a session that is kept.
    pub users: usize,
    /// Shortest session; 0 when there is none.
    pub min_length: usize,
    /// Mean length; 0 when there is no session.
    pub mean_length: f64,
    /// Longest session; 0 when there is none.
    pub max_length: usize,
    /// Sessions of one event.
    pub single_events: usize,
    /// Lengths in buckets 1, 2, 3 to 4, 5 to 8 and so on up to that of the longest.
    pub histogram: Vec<LengthBucket>,
}

impl SessionReport {
    fn new(rows_in: usize, found: usize, sessions: &Sessions) -> Self {
        let lengths: Vec<usize> = sessions.lengths().collect();
        let kept: usize = lengths.iter().sum();
        let max_length = lengths.iter().copied().max().unwrap_or(0);
        Self {
            rows_in,
            rows_in_sessions: kept,
            rows_dropped: rows_in - kept,
            n_sessions: lengths.len(),
            sessions_dropped: found - lengths.len(),
            users: sessions.users.chunk_by(|a, b| a == b).count(),
            min_length: lengths.iter().copied().min().unwrap_or(0),
            mean_length: kept as f64 / lengths.len().max(1) as f64,
            max_length,
            single_events: lengths.iter().filter(|n| **n == 1).count(),
            histogram: histogram(&lengths, max_length),
        }
    }

    /// Whether every row and every session is accounted for.
    pub fn adds_up(&self) -> bool {
        let counted: usize = self.histogram.iter().map(|b| b.sessions).sum();
        self.rows_in == self.rows_in_sessions + self.rows_dropped && self.n_sessions == counted
    }

    /// A few lines for a terminal.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} sessions of {} users: {} to {} events, {:.1} on average; {} of one event",
            self.n_sessions,
            self.users,
            self.min_length,
            self.max_length,
            self.mean_length,
            self.single_events
        )];
        if self.sessions_dropped > 0 {
            let (sessions, rows) = (self.sessions_dropped, self.rows_dropped);
            lines.push(format!("left out: {sessions} sessions that are too short, {rows} events"));
        }
        lines
    }
}

/// Counts lengths in buckets that end at powers of two.
fn histogram(lengths: &[usize], longest: usize) -> Vec<LengthBucket> {
    let bucket_of = |length: usize| length.next_power_of_two().trailing_zeros() as usize;
    if longest == 0 {
        return Vec::new();
    }
    let mut buckets: Vec<LengthBucket> = (0..=bucket_of(longest))
        .map(|b| {
            let to = 1usize << b;
            LengthBucket { from: to / 2 + 1, to, sessions: 0 }
        })
        .collect();
    lengths.iter().for_each(|length| buckets[bucket_of(*length)].sessions += 1);
    buckets
}

/// A session that stands for none.
const NO_SESSION: u32 = u32::MAX;

/// Events cut into sessions, which are numbered by user, then time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sessions {
    /// Session of each event.
    of_event: Vec<u32>,
    /// `rows[starts[s]..starts[s + 1]]` are the events of session `s`.
    starts: Vec<u32>,
    rows: Vec<u32>,
    users: Vec<UserIdx>,
    report: SessionReport,
}

impl Sessions {
    /// How many sessions there are.
    pub fn n_sessions(&self) -> usize {
        self.users.len()
    }

    /// The session of an event; none when it was too short and dropped.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn session_of(&self, row: usize) -> Option<usize> {
        Some(self.of_event[row]).filter(|s| *s != NO_SESSION).map(|s| s as usize)
    }

    /// The rows of a session, in the order of time; at one time in the order in which they came.
    ///
    /// # Panics
    /// When there is no such session.
    pub fn rows(&self, session: usize) -> &[u32] {
        &self.rows[self.starts[session] as usize..self.starts[session + 1] as usize]
    }

    /// The number of events of every session.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.starts.windows(2).map(|ends| (ends[1] - ends[0]) as usize)
    }

    /// The user of every session, ascending.
    pub fn session_users(&self) -> &[UserIdx] {
        &self.users
    }

    /// The events of the sessions, session by session in the order of time.
    ///
    /// # Panics
    /// When `events` has fewer rows than the events that the sessions were made of.
    pub fn gather(&self, events: &Events) -> Events {
        events.gather(&self.rows)
    }

    /// The account.
    pub fn report(&self) -> &SessionReport {
        &self.report
    }
}

/// Cuts every user's events, in the order of time, where the pause is longer than the gap.
///
/// Events at one time stay in the order in which they came. The result does not depend on the
/// number of threads.
///
/// # Errors
/// A setting out of range, an event of a user beyond `n_users`, or events without a time.
///
/// # Panics
/// When there are 2³² events or more.
pub fn sessions(
    events: &Events,
    n_users: usize,
    config: &SessionConfig,
) -> Result<Sessions, DataError> {
    assert!(u32::try_from(events.len()).is_ok(), "{} events exceed 32 bits", events.len());
    config.validate()?;
    let users = events.users();
    if let Some(user) = users.iter().find(|u| u.index() >= n_users) {
        let index = user.index();
        return Err(CoreError::OutOfRange { what: "user", index, len: n_users }.into());
    }
    let (missing, total) = (events.n_without_time(), events.len());
    if missing > 0 {
        return Err(DataError::NoTimes { what: "the cut into sessions", missing, total });
    }
    let time = |row: u32| events.raw_times()[row as usize];
    let user = |row: u32| users[row as usize];
    let mut order: Vec<u32> = (0..total as u32).collect();
    order.par_sort_unstable_by_key(|&row| (user(row), time(row), row));
    let together = |a: &u32, b: &u32| {
        user(*a) == user(*b) && time(*a).abs_diff(time(*b)) <= config.gap_seconds
    };
    let mut made = Sessions {
        of_event: vec![NO_SESSION; total],
        starts: vec![0],
        rows: Vec::with_capacity(total),
        users: Vec::new(),
        report: SessionReport::default(),
    };
    let mut found = 0;
    for session in order.chunk_by(together) {
        found += 1;
        if session.len() < config.min_length {
            continue;
        }
        let number = made.users.len() as u32;
        session.iter().for_each(|row| made.of_event[*row as usize] = number);
        made.rows.extend_from_slice(session);
        made.starts.push(made.rows.len() as u32);
        made.users.push(user(session[0]));
    }
    made.report = SessionReport::new(total, found, &made);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use proptest::prelude::*;
    use quintet_core::ItemIdx;

    fn events(rows: &[(u32, i64)]) -> Events {
        let event = |(item, &(user, time)): (usize, &(u32, i64))| Event {
            user: UserIdx(user),
            item: ItemIdx(item as u32),
            event: "e",
            value: 1.0,
            timestamp: Some(time),
            part: None,
        };
        rows.iter().enumerate().map(event).collect()
    }

    #[test]
    fn a_pause_longer_than_the_gap_begins_a_session() {
        // User 1: 100, 110 | 121 (11 later). User 0: 5, 5 in the order in which they came.
        let events = events(&[(1, 110), (0, 5), (1, 121), (1, 100), (0, 5)]);
        let config = SessionConfig { gap_seconds: 10, min_length: 1 };
        let made = sessions(&events, 2, &config).unwrap();
        assert_eq!(made.n_sessions(), 3);
        assert_eq!(
            (made.rows(0), made.rows(1), made.rows(2)),
            (&[1, 4][..], &[3, 0][..], &[2][..])
        );
        assert_eq!(made.session_users(), [UserIdx(0), UserIdx(1), UserIdx(1)]);
        let of: Vec<_> = (0..5).map(|row| made.session_of(row)).collect();
        assert_eq!(of, [Some(1), Some(0), Some(2), Some(1), Some(0)]);
        let r = made.report();
        assert_eq!((r.min_length, r.max_length, r.single_events, r.users), (1, 2, 1, 2));
        assert!((r.mean_length - 5.0 / 3.0).abs() < 1e-12 && r.adds_up());
        let counts: Vec<_> = r.histogram.iter().map(|b| (b.from, b.to, b.sessions)).collect();
        assert_eq!(counts, [(1, 1, 1), (2, 2, 2)]);

        let long = sessions(&events, 2, &SessionConfig { min_length: 2, ..config }).unwrap();
        assert_eq!((long.n_sessions(), long.session_of(2)), (2, None));
        let r = long.report();
        assert_eq!((r.sessions_dropped, r.rows_dropped, r.rows_in_sessions), (1, 1, 4));
        let gathered: Vec<_> = long.gather(&events).iter().map(|e| e.item.0).collect();
        assert_eq!(gathered, [1, 4, 3, 0]);
    }

    #[test]
    fn lengths_fall_into_buckets_that_end_at_powers_of_two() {
        let counts: Vec<_> = histogram(&[1, 2, 3, 4, 5, 8, 9], 9)
            .iter()
            .map(|b| (b.from, b.to, b.sessions))
            .collect();
        assert_eq!(counts, [(1, 1, 1), (2, 2, 1), (3, 4, 2), (5, 8, 2), (9, 16, 1)]);
        assert!(histogram(&[], 0).is_empty());
    }

    #[test]
    fn what_cannot_be_cut_is_an_error() {
        let mut some = events(&[(0, 1), (0, 2)]);
        let config = SessionConfig::default();
        assert!(sessions(&some, 0, &config).unwrap_err().to_string().contains("user index 0"));
        some.set_timestamp(1, None);
        let err = sessions(&some, 1, &config).unwrap_err().to_string();
        assert_eq!(
            err,
            "the cut into sessions needs a timestamp for every event; 1 of 2 have none"
        );
        let none = SessionConfig { min_length: 0, ..config };
        assert!(sessions(&some, 1, &none).unwrap_err().to_string().contains("min_length"));
        assert!(toml::from_str::<SessionConfig>("gap = 3").is_err());
        assert_eq!(toml::from_str::<SessionConfig>("").unwrap(), config);
        let empty = sessions(&Events::new(), 0, &config).unwrap();
        assert_eq!((empty.n_sessions(), empty.report().adds_up()), (0, true));
    }

    proptest! {
        #[test]
        fn sessions_partition_the_events(
            rows in proptest::collection::vec((0u32..5, 0i64..60), 0..60),
            gap_seconds in 0u64..12, min_length in 1usize..4
        ) {
            let events = events(&rows);
            let made = sessions(&events, 5, &SessionConfig { gap_seconds, min_length }).unwrap();
            prop_assert!(made.report().adds_up(), "{:?}", made.report());
            let mut seen = vec![0; rows.len()];
            for session in 0..made.n_sessions() {
                let times: Vec<i64> =
                    made.rows(session).iter().map(|r| rows[*r as usize].1).collect();
                prop_assert!(times.len() >= min_length);
                prop_assert!(times.windows(2).all(|w| w[0] <= w[1]));
                prop_assert!(times.windows(2).all(|w| w[1].abs_diff(w[0]) <= gap_seconds));
                for row in made.rows(session) {
                    seen[*row as usize] += 1;
                    prop_assert_eq!(rows[*row as usize].0, made.session_users()[session].0);
                    prop_assert_eq!(made.session_of(*row as usize), Some(session));
                }
            }
            let dropped = (0..rows.len()).filter(|r| made.session_of(*r).is_none());
            prop_assert!(dropped.clone().all(|r| seen[r] == 0));
            prop_assert_eq!(dropped.count(), made.report().rows_dropped);
            prop_assert!(seen.iter().all(|n| *n <= 1));
            // Two sessions of one user lie further apart than the gap.
            for pair in (0..made.n_sessions()).collect::<Vec<_>>().windows(2) {
                if made.session_users()[pair[0]] == made.session_users()[pair[1]] {
                    let end = made.rows(pair[0]).last().map(|r| rows[*r as usize].1).unwrap();
                    let start = rows[made.rows(pair[1])[0] as usize].1;
                    prop_assert!(start.abs_diff(end) > gap_seconds);
                }
            }
        }
    }
}
