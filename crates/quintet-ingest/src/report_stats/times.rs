//! When things happened: first, last, and counts in steps of the calendar (UTC).

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use quintet_data::{Events, Part};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The most buckets of a histogram over time.
const MOST_BUCKETS: i64 = 120;
/// Events that one task looks at.
const CHUNK: usize = 1 << 16;
const DAY: i64 = 86_400;

/// How long a bucket of a histogram over time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeStep {
    /// From hour to hour.
    Hour,
    /// Four in a day.
    SixHours,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// Of the calendar.
    Month,
    /// Three months.
    Quarter,
    /// Of the calendar.
    Year,
    /// Ten years, from one that ends in 0.
    Decade,
}

impl TimeStep {
    /// All steps, the shortest first.
    pub const ALL: [Self; 8] = [
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
        Self::Decade,
    ];

    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::SixHours => "six hours",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Decade => "decade",
        }
    }

    /// Length in seconds, and a moment at which one begins, of steps that are all equally long.
    fn even(self) -> Option<(i64, i64)> {
        match self {
            Self::Hour => Some((3600, 0)),
            Self::SixHours => Some((6 * 3600, 0)),
            Self::Day => Some((DAY, 0)),
            // 1970 began on a Thursday.
            Self::Week => Some((7 * DAY, -3 * DAY)),
            _ => None,
        }
    }

    /// Length in months of the other steps.
    fn months(self) -> i64 {
        match self {
            Self::Quarter => 3,
            Self::Year => 12,
            Self::Decade => 120,
            _ => 1,
        }
    }

    /// The number of the step that a time is in; none beyond the calendar.
    fn number(self, time: i64) -> Option<i64> {
        if let Some((length, origin)) = self.even() {
            return Some(time.checked_sub(origin)?.div_euclid(length));
        }
        let moment = moment(time)?;
        let months = i64::from(moment.year()) * 12 + i64::from(moment.month0());
        Some(months.div_euclid(self.months()))
    }

    /// When a step begins, seconds since 1970 UTC; none beyond the calendar.
    fn start(self, number: i64) -> Option<i64> {
        if let Some((length, origin)) = self.even() {
            return number.checked_mul(length)?.checked_add(origin);
        }
        let months = number.checked_mul(self.months())?;
        let year = i32::try_from(months.div_euclid(12)).ok()?;
        let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        Some(first.and_hms_opt(0, 0, 0)?.and_utc().timestamp())
    }

    /// The start of a step as a short label.
    pub(crate) fn label(self, start: i64) -> String {
        let text = date(start);
        let shown = match self {
            Self::Hour | Self::SixHours => text.len(),
            Self::Day | Self::Week => 10,
            Self::Month | Self::Quarter => 7,
            Self::Year | Self::Decade => 4,
        };
        text.get(..shown).map_or(text.clone(), str::to_owned)
    }
}

fn moment(time: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time, 0)
}

/// A time to the minute; in seconds when it lies beyond the calendar.
pub(crate) fn date(time: i64) -> String {
    let beyond = || format!("{time} s");
    moment(time).map_or_else(beyond, |m| m.to_string().chars().take(16).collect())
}

/// A time to the day; in seconds when it lies beyond the calendar.
pub(crate) fn day(time: i64) -> String {
    moment(time).map_or_else(|| date(time), |m| m.date_naive().to_string())
}

/// How many events lie in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBucket {
    /// When it begins, seconds since 1970 UTC.
    pub from: i64,
    /// How many events there are.
    pub count: u64,
}

/// When the events happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeStats {
    /// Time of the first event, seconds since 1970 UTC; none when no event has a time.
    pub first: Option<i64>,
    /// Time of the last event, seconds since 1970 UTC.
    pub last: Option<i64>,
    /// Events without a time.
    pub without_time: u64,
    /// How long a bucket is: the shortest step that gives 120 buckets at most.
    pub step: Option<TimeStep>,
    /// All buckets from the first to the last event, the empty ones included.
    pub buckets: Vec<TimeBucket>,
}

impl TimeStats {
    /// Counts the events of a table.
    pub(crate) fn of(events: &Events) -> Self {
        let span = spans(events, |_| Some(0))[0];
        let mut stats = Self {
            first: span.first(),
            last: span.last(),
            without_time: span.events - span.timed,
            ..Self::default()
        };
        let Some((step, starts)) = span.first().zip(span.last()).and_then(steps) else {
            return stats;
        };
        let bucket = |time: i64| starts.partition_point(|s| *s <= time).saturating_sub(1);
        let zero = || vec![0u64; starts.len()];
        let counts = (0..events.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .filter_map(|row| events.timestamp(row))
            .fold(zero, |mut counts, time| {
                counts[bucket(time)] += 1;
                counts
            })
            .reduce(zero, |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
        let buckets = starts.iter().zip(counts).map(|(&from, count)| TimeBucket { from, count });
        stats.buckets = buckets.collect();
        stats.step = Some(step);
        stats
    }
}

/// The shortest step that divides a span into few enough buckets, with their beginnings.
fn steps((first, last): (i64, i64)) -> Option<(TimeStep, Vec<i64>)> {
    TimeStep::ALL.into_iter().find_map(|step| {
        let (from, to) = (step.number(first)?, step.number(last)?);
        if to.checked_sub(from)? >= MOST_BUCKETS {
            return None;
        }
        let starts: Option<Vec<i64>> = (from..=to).map(|n| step.start(n)).collect();
        Some((step, starts?))
    })
}

/// What the source put in one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartStats {
    /// Which part; none for the events that have none.
    pub part: Option<Part>,
    /// Events.
    pub events: u64,
    /// Time of the first event, seconds since 1970 UTC; none when no event has a time.
    pub first: Option<i64>,
    /// Time of the last event, seconds since 1970 UTC.
    pub last: Option<i64>,
}

/// The parts that occur; none when the source comes undivided.
pub(crate) fn parts(events: &Events) -> Vec<PartStats> {
    if !events.has_parts() {
        return Vec::new();
    }
    let spans = spans(events, |row| events.part(row).map(|p| p as usize));
    let names = Part::ALL.into_iter().map(Some).chain([None]);
    let parts = names.zip(spans).filter(|(_, span)| span.events > 0);
    let stats = |(part, span): (Option<Part>, Span)| PartStats {
        part,
        events: span.events,
        first: span.first(),
        last: span.last(),
    };
    parts.map(stats).collect()
}

/// Events of a group and the times between which they lie.
#[derive(Debug, Clone, Copy)]
struct Span {
    events: u64,
    timed: u64,
    min: i64,
    max: i64,
}

impl Span {
    const NONE: Self = Self { events: 0, timed: 0, min: i64::MAX, max: i64::MIN };

    fn first(&self) -> Option<i64> {
        (self.timed > 0).then_some(self.min)
    }

    fn last(&self) -> Option<i64> {
        (self.timed > 0).then_some(self.max)
    }

    fn join(&self, other: &Self) -> Self {
        Self {
            events: self.events + other.events,
            timed: self.timed + other.timed,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// The spans of three groups, and of the events that are in none.
fn spans(events: &Events, group: impl Fn(usize) -> Option<usize> + Sync) -> [Span; 4] {
    let add = |mut spans: [Span; 4], row: usize| {
        let time = events.timestamp(row);
        let timed = u64::from(time.is_some());
        let (min, max) = (time.unwrap_or(i64::MAX), time.unwrap_or(i64::MIN));
        let span = &mut spans[group(row).unwrap_or(3).min(3)];
        *span = span.join(&Span { events: 1, timed, min, max });
        spans
    };
    let none = || [Span::NONE; 4];
    (0..events.len())
        .into_par_iter()
        .with_min_len(CHUNK)
        .fold(none, add)
        .reduce(none, |a, b| std::array::from_fn(|i| a[i].join(&b[i])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};
    use quintet_data::Event;

    fn events(times: &[(Option<i64>, Option<Part>)]) -> Events {
        let event = |&(timestamp, part): &(Option<i64>, Option<Part>)| Event {
            user: UserIdx(0),
            item: ItemIdx(0),
            event: "e",
            value: 1.0,
            timestamp,
            part,
        };
        times.iter().map(event).collect()
    }

    fn of(times: &[i64]) -> TimeStats {
        TimeStats::of(&events(&Vec::from_iter(times.iter().map(|t| (Some(*t), None)))))
    }

    #[test]
    fn a_single_time_is_one_bucket() {
        let stats = of(&[7300]);
        assert_eq!(
            (stats.first, stats.last, stats.step),
            (Some(7300), Some(7300), Some(TimeStep::Hour))
        );
        assert_eq!(stats.buckets, [TimeBucket { from: 7200, count: 1 }]);
        assert_eq!(TimeStep::Hour.label(7200), "1970-01-01 02:00");
    }

    #[test]
    fn the_step_goes_with_the_span() {
        // Days of a span, the step, and the number of buckets from midnight to midnight.
        let cases = [
            (1, TimeStep::Hour, 25),
            (5, TimeStep::SixHours, 21),
            (40, TimeStep::Day, 41),
            // From Thursday, day 0, to Friday, day 400: from Monday -3 to Monday 396.
            (400, TimeStep::Week, 58),
            // Day 3650 is 1979-12-30: ten whole years.
            (3650, TimeStep::Month, 120),
            // Day 3653 is 1980-01-01.
            (3653, TimeStep::Quarter, 41),
            // Day 36525 is 2070-01-01, 100 years with 25 leap days.
            (36_525, TimeStep::Year, 101),
            (2 * 36_525, TimeStep::Decade, 21),
        ];
        for (days, step, buckets) in cases {
            let stats = of(&[0, days * DAY]);
            assert_eq!((stats.step, stats.buckets.len()), (Some(step), buckets), "{days}");
            assert_eq!(stats.buckets.iter().map(|b| b.count).sum::<u64>(), 2);
            assert_eq!((stats.buckets[0].count, stats.buckets[buckets - 1].count), (1, 1));
        }
        assert_eq!(TimeStep::Month.label(31 * DAY), "1970-02");
        assert_eq!(TimeStep::Week.start(0), Some(-3 * DAY));
    }

    #[test]
    fn events_without_a_time_are_counted_apart_and_wild_times_do_no_harm() {
        let some = TimeStats::of(&events(&[(None, None), (Some(5), None), (None, None)]));
        assert_eq!((some.without_time, some.first, some.buckets.len()), (2, Some(5), 1));
        let none = TimeStats::of(&events(&[(None, None)]));
        assert_eq!((none.without_time, none.first, none.buckets.len()), (1, None, 0));
        let wild = of(&[i64::MIN + 1, i64::MAX]);
        assert_eq!((wild.first, wild.step, wild.buckets.len()), (Some(i64::MIN + 1), None, 0));
        assert_eq!(date(i64::MAX), format!("{} s", i64::MAX));
        assert_eq!((date(-60), day(-60)), ("1969-12-31 23:59".into(), "1969-12-31".into()));
    }

    #[test]
    fn parts_have_their_spans() {
        let (train, test) = (Some(Part::Train), Some(Part::Test));
        let all = events(&[(Some(4), train), (Some(2), train), (None, test), (Some(9), None)]);
        let part = |part, events, first, last| PartStats { part, events, first, last };
        let want = [
            part(train, 2, Some(2), Some(4)),
            part(test, 1, None, None),
            part(None, 1, Some(9), Some(9)),
        ];
        assert_eq!(parts(&all), want);
        assert!(parts(&events(&[(Some(1), None)])).is_empty());
    }
}
