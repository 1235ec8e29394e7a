//! Which part each event goes to, one function a strategy.

use std::ops::Range;

use quintet_core::SeedStream;
use rand::seq::SliceRandom;

use crate::split::SplitReport;
use crate::{DataError, Events, Part, SplitConfig};

/// Where an event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Train,
    Valid,
    Test,
    /// Known of a brand-new user of the validation part, and not in train.
    ValidHistory,
    /// Known of a brand-new user of the test part, and not in train.
    TestHistory,
    /// Left out of the validation part.
    DroppedValid,
    /// Left out of the test part.
    DroppedTest,
}

impl From<Part> for Place {
    fn from(part: Part) -> Self {
        match part {
            Part::Train => Place::Train,
            Part::Valid => Place::Valid,
            Part::Test => Place::Test,
        }
    }
}

/// Events by user, then item.
pub(crate) struct Rows<'a> {
    pub(crate) events: &'a Events,
    /// Row numbers in `events`.
    pub(crate) order: Vec<u32>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(events: &'a Events) -> Self {
        let mut order: Vec<u32> = (0..events.len() as u32).collect();
        let key = |row: &u32| (events.users()[*row as usize], events.items()[*row as usize]);
        if !order.is_sorted_by_key(key) {
            order.sort_unstable_by_key(|row| (key(row), *row));
        }
        Self { events, order }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn user(&self, at: usize) -> usize {
        self.events.users()[self.order[at] as usize].index()
    }

    pub(crate) fn item(&self, at: usize) -> usize {
        self.events.items()[self.order[at] as usize].index()
    }

    pub(crate) fn time(&self, at: usize) -> Option<i64> {
        self.events.timestamp(self.order[at] as usize)
    }

    /// The rows of each user who has any, one after the other.
    pub(crate) fn histories(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        self.order.chunk_by(|a, b| self.user_of(*a) == self.user_of(*b)).map(move |rows| {
            let range = start..start + rows.len();
            start = range.end;
            range
        })
    }

    fn user_of(&self, row: u32) -> u32 {
        self.events.users()[row as usize].0
    }
}

/// The place of every row.
pub(crate) fn assign(
    config: &SplitConfig,
    rows: &Rows,
    seed: SeedStream,
    report: &mut SplitReport,
) -> Result<Vec<Place>, DataError> {
    let seed_of = |own: Option<u64>| own.map_or(seed, SeedStream::new);
    let mut places = vec![Place::Train; rows.len()];
    match *config {
        SplitConfig::Random { valid, test, seed } => {
            let mut all: Vec<u32> = (0..rows.len() as u32).collect();
            random(&mut all, valid, test, seed_of(seed), &mut places);
        }
        SplitConfig::PerUser { valid, test, seed } => {
            let held = |n| held_out(n, valid, test);
            by_chance(rows, seed_of(seed), held, &mut places);
        }
        SplitConfig::Mmrec { seed } => {
            report.short_histories = rows.histories().filter(|h| h.len() < 3).count();
            by_chance(rows, seed_of(seed), mmrec, &mut places);
        }
        SplitConfig::LeaveOneOut {} => {
            need_times(rows, config)?;
            report.short_histories = rows.histories().filter(|h| h.len() < 3).count();
            by_time(rows, |n| if n < 3 { (0, 0) } else { (1, 1) }, &mut places);
        }
        SplitConfig::PerUserTemporal { valid, test } => {
            need_times(rows, config)?;
            by_time(rows, |n| held_out(n, valid, test), &mut places);
        }
        SplitConfig::Temporal { valid, test } => {
            need_times(rows, config)?;
            temporal(rows, valid, test, &mut places);
        }
        SplitConfig::KFold { folds, fold, valid, seed } => {
            k_fold((folds, fold), valid, seed_of(seed), &mut places);
        }
        SplitConfig::Predefined {} => predefined(rows, &mut places)?,
        SplitConfig::ColdItems { share, valid, test, seed } => {
            let seed = seed_of(seed);
            let mut warm = cold_items(rows, share, seed, &mut places);
            random(&mut warm, valid, test, seed, &mut places);
        }
        SplitConfig::ColdUsers { share, history, seed } => {
            cold_users(rows, share, history, seed_of(seed), &mut places);
        }
    }
    Ok(places)
}

/// `share` of `n`, rounded to whole rows.
fn rounded(n: usize, share: f64) -> usize {
    (n as f64 * share).round() as usize
}

/// Shares of `n`, rounded down to whole rows. 0.2 of 5 is 1, though 0.2 is a little off in binary.
/// One row is left over, also where the shares come to nearly all.
fn held_out(n: usize, valid: f64, test: f64) -> (usize, usize) {
    let floor = |share: f64| (n as f64 * share + 1e-9).floor() as usize;
    let test = floor(test).min(n.saturating_sub(1));
    (floor(valid).min(n.saturating_sub(1 + test)), test)
}

/// How many of a user's `n` events MMRec holds out for validation and test.
fn mmrec(n: usize) -> (usize, usize) {
    match n {
        0..3 => (0, 0),
        3..10 => (1, 1),
        _ => {
            let held = n / 5;
            (held / 2, held - held / 2)
        }
    }
}

/// Shuffles `rows` and holds out the first ones.
fn random(rows: &mut [u32], valid: f64, test: f64, seed: SeedStream, places: &mut [Place]) {
    rows.shuffle(&mut seed.rng("split rows", 0));
    let n_test = rounded(rows.len(), test);
    let n_valid = rounded(rows.len(), valid).min(rows.len() - n_test);
    for (order, &row) in rows.iter().enumerate() {
        if order < n_test {
            places[row as usize] = Place::Test;
        } else if order < n_test + n_valid {
            places[row as usize] = Place::Valid;
        }
    }
}

/// Holds out, of every user, as many as `held` says of `n`: (validation, test).
fn by_chance(
    rows: &Rows,
    seed: SeedStream,
    held: impl Fn(usize) -> (usize, usize),
    places: &mut [Place],
) {
    let mut order = Vec::new();
    for history in rows.histories() {
        // A user's draw does not depend on the other users.
        let mut draws = seed.rng("split user", rows.user(history.start) as u64);
        order.clear();
        order.extend(history);
        order.shuffle(&mut draws);
        hold_out_last(&order, &held, places);
    }
}

/// As [`by_chance`], but the last events by time, then item.
fn by_time(rows: &Rows, held: impl Fn(usize) -> (usize, usize), places: &mut [Place]) {
    let mut order = Vec::new();
    for history in rows.histories() {
        order.clear();
        order.extend(history);
        order.sort_unstable_by_key(|&at| (rows.time(at), rows.item(at)));
        hold_out_last(&order, &held, places);
    }
}

fn hold_out_last(order: &[usize], held: &impl Fn(usize) -> (usize, usize), places: &mut [Place]) {
    let (valid, test) = held(order.len());
    for (from_end, &at) in order.iter().rev().take(valid + test).enumerate() {
        places[at] = if from_end < test { Place::Test } else { Place::Valid };
    }
}

/// Whether every row has a time.
fn need_times(rows: &Rows, config: &SplitConfig) -> Result<(), DataError> {
    match rows.events.n_without_time() {
        0 => Ok(()),
        missing => {
            let (strategy, total) = (config.strategy(), rows.len());
            Err(DataError::NoTimestamps { strategy, missing, total })
        }
    }
}

fn temporal(rows: &Rows, valid: f64, test: f64, places: &mut [Place]) {
    // Every row has a time; their order does not matter here.
    let mut times = rows.events.raw_times().to_vec();
    let n = times.len();
    let n_test = rounded(n, test);
    let n_valid = rounded(n, valid).min(n - n_test);
    let valid_from = first_time(&mut times, n - n_test - n_valid);
    let test_from = first_time(&mut times, n - n_test);
    for (at, place) in places.iter_mut().enumerate() {
        let time = rows.time(at);
        if test_from.is_some() && time >= test_from {
            *place = Place::Test;
        } else if valid_from.is_some() && time >= valid_from {
            *place = Place::Valid;
        }
    }
}

/// The first time of a part that should begin with the event at `target` in the order of time;
/// none when the part is empty. The part begins at the change of time that is nearest to
/// `target`; of two equally near ones, the earlier.
fn first_time(times: &mut [i64], target: usize) -> Option<i64> {
    if target >= times.len() {
        return None;
    }
    // Selecting is linear; sorting all the times is not needed.
    let time = *times.select_nth_unstable(target).1;
    let before = times.iter().filter(|t| **t < time).count();
    let after = times.iter().filter(|t| **t <= time).count();
    if target - before <= after - target {
        Some(time)
    } else {
        times.iter().filter(|t| **t > time).min().copied()
    }
}

fn k_fold((folds, fold): (usize, usize), valid: f64, seed: SeedStream, places: &mut [Place]) {
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.shuffle(&mut seed.rng("split folds", 0));
    let mut others = Vec::with_capacity(order.len());
    for (position, &row) in order.iter().enumerate() {
        if position % folds == fold {
            places[row as usize] = Place::Test;
        } else {
            others.push(row);
        }
    }
    // The order is by chance already; the test fold does not decide which others are valid.
    for &row in others.iter().take(rounded(others.len(), valid)) {
        places[row as usize] = Place::Valid;
    }
}

fn predefined(rows: &Rows, places: &mut [Place]) -> Result<(), DataError> {
    let mut missing = 0;
    for (place, &row) in places.iter_mut().zip(&rows.order) {
        match rows.events.part(row as usize) {
            Some(part) => *place = part.into(),
            None => missing += 1,
        }
    }
    match missing {
        0 => Ok(()),
        _ => Err(DataError::NoParts { missing, total: rows.len() }),
    }
}

/// Which of the numbered things that occur are brand-new: half of a share for test, half for
/// validation.
fn cold(
    of: impl Iterator<Item = usize>,
    share: f64,
    seed: SeedStream,
    label: &str,
) -> Vec<Option<Part>> {
    let mut things: Vec<usize> = of.collect();
    things.sort_unstable();
    things.dedup();
    let mut part_of = vec![None; things.last().map_or(0, |t| t + 1)];
    things.shuffle(&mut seed.rng(label, 0));
    let new = &things[..rounded(things.len(), share)];
    for (order, thing) in new.iter().enumerate() {
        let test = order < new.len().div_ceil(2);
        part_of[*thing] = Some(if test { Part::Test } else { Part::Valid });
    }
    part_of
}

/// Holds out all events of a share of the items; gives back the rows of the others.
fn cold_items(rows: &Rows, share: f64, seed: SeedStream, places: &mut [Place]) -> Vec<u32> {
    let items = (0..rows.len()).map(|at| rows.item(at));
    let part_of = cold(items, share, seed, "split cold items");
    let mut warm = Vec::new();
    for (at, place) in places.iter_mut().enumerate() {
        match part_of[rows.item(at)] {
            Some(part) => *place = part.into(),
            None => warm.push(at as u32),
        }
    }
    warm
}

/// Takes all events of a share of the users out of train.
fn cold_users(rows: &Rows, share: f64, known: f64, seed: SeedStream, places: &mut [Place]) {
    let users = (0..rows.len()).map(|at| rows.user(at));
    let part_of = cold(users, share, seed, "split cold users");
    for history in rows.histories() {
        let user = rows.user(history.start);
        let (held, kept) = match part_of[user] {
            None => continue,
            Some(Part::Test) => (Place::Test, Place::TestHistory),
            Some(_) => (Place::Valid, Place::ValidHistory),
        };
        let mut order: Vec<usize> = history.collect();
        order.shuffle(&mut seed.rng("split user", user as u64));
        let n_known = held_out(order.len(), known, 0.0).0.min(order.len() - 1);
        for (position, at) in order.into_iter().enumerate() {
            places[at] = if position < n_known { kept } else { held };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_begins_at_the_nearest_change_of_time() {
        let first = |target| first_time(&mut [2, 1, 2, 3, 2, 2], target);
        assert_eq!(first(0), Some(1));
        assert_eq!(first(1), Some(2));
        assert_eq!(first(2), Some(2));
        assert_eq!(first(3), Some(2)); // 1 and 5 are equally near
        assert_eq!(first(4), Some(3));
        assert_eq!(first(6), None);
        // The only change of time near the end is the end.
        assert_eq!(first_time(&mut [7, 7, 7], 2), None);
        assert_eq!(first_time(&mut [7, 7, 7], 1), Some(7));
    }

    #[test]
    fn mmrec_holds_out_two_or_a_fifth() {
        assert_eq!(mmrec(2), (0, 0));
        assert_eq!(mmrec(3), (1, 1));
        assert_eq!(mmrec(9), (1, 1));
        assert_eq!(mmrec(10), (1, 1));
        // 17 / 5 = 3 held out: 1 for validation, 2 for test.
        assert_eq!(mmrec(17), (1, 2));
        assert_eq!(mmrec(40), (4, 4));
    }

    #[test]
    fn shares_are_rounded_down_as_they_are_written() {
        assert_eq!(held_out(5, 0.2, 0.4), (1, 2));
        assert_eq!(held_out(10, 0.1, 0.3), (1, 3));
        assert_eq!(held_out(9, 0.1, 0.2), (0, 1));
        // 1 + 1 of 2 but for the last digit.
        assert_eq!(held_out(2, 0.5, 0.499_999_999_9), (0, 1));
        assert_eq!(held_out(0, 0.5, 0.4), (0, 0));
    }
}
