//! What to do with events that occur twice.

use quintet_data::{ByUser, Events, item_of, row_of};
use rayon::prelude::*;

use crate::IngestError;
use crate::catalog::Catalog;
use crate::config::DuplicatePolicy;
use crate::events::Sourced;
use crate::log::{Flaw, Log, shown};
use crate::report::FaultCode;

/// One event that goes, and the one that stays in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Drop {
    gone: u32,
    kept: u32,
    code: FaultCode,
}

/// The sum of several events: which one stays, and what it becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sum {
    kept: u32,
    value: f32,
}

/// Merges events that occur twice, as the policy says, and reports each that goes.
///
/// # Panics
/// When there are 2³² events or more.
pub(crate) fn merge_duplicates(
    all: Sourced,
    policy: DuplicatePolicy,
    catalog: &Catalog,
    log: &mut Log,
) -> Result<Events, IngestError> {
    let Sourced { mut events, places } = all;
    let (drops, sums) = find_duplicates(&events, policy, catalog.users.len());
    let mut stays = vec![true; events.len()];
    for drop in &drops {
        stays[drop.gone as usize] = false;
        let origin = places.get(drop.gone as usize);
        if !log.lists(drop.code) && policy != DuplicatePolicy::Error {
            log.drop_unlisted(origin, drop.code);
            continue;
        }
        let (gone, kept) = (events.get(drop.gone as usize), events.get(drop.kept as usize));
        let item = &catalog.items[gone.item.index()].id;
        let user = shown(&catalog.users[gone.user.index()].id);
        let place = places.get(drop.kept as usize);
        let place = format!("{}, line {}", log.name(place.file), place.line);
        let flaw = Flaw::new(
            drop.code,
            format!("one {} of user {user} with the item", shown(gone.event)),
            match drop.code {
                FaultCode::DuplicateRow => format!("the same again as in {place}"),
                _ => format!("value {} beside value {} of {place}", gone.value, kept.value),
            },
        );
        if policy == DuplicatePolicy::Error && drop.code == FaultCode::DuplicatePair {
            return Err(IngestError::Duplicate(Box::new(log.fault(origin, Some(item), flaw))));
        }
        log.drop_row(origin, Some(item), flaw)?;
    }
    for sum in sums {
        events.set_value(sum.kept as usize, sum.value);
    }
    for (file, kept) in places.counts(&stays) {
        log.file(file).rows_kept += kept;
    }
    if !drops.is_empty() {
        events.retain(&stays);
    }
    Ok(events)
}

/// The events that go, in the order of the source, and the sums that stay.
fn find_duplicates(
    events: &Events,
    policy: DuplicatePolicy,
    n_users: usize,
) -> (Vec<Drop>, Vec<Sum>) {
    let found: Vec<(Vec<Drop>, Vec<Sum>)> = ByUser::new(events, n_users)
        .histories()
        .filter(|history| history.windows(2).any(|w| item_of(w[0]) == item_of(w[1])))
        .fold(<(Vec<Drop>, Vec<Sum>)>::default, |(mut drops, mut sums), history| {
            for same in history.chunk_by(|a, b| item_of(*a) == item_of(*b)) {
                if same.len() > 1 {
                    duplicates_of(events, policy, same, &mut drops, &mut sums);
                }
            }
            (drops, sums)
        })
        .collect();
    let (mut drops, mut sums) = (Vec::new(), Vec::new());
    for (some_drops, some_sums) in found {
        drops.extend(some_drops);
        sums.extend(some_sums);
    }
    drops.par_sort_unstable_by_key(|d| d.gone);
    (drops, sums)
}

/// Finds the duplicates among the events of one user with one item.
fn duplicates_of(
    events: &Events,
    policy: DuplicatePolicy,
    same: &[u64],
    drops: &mut Vec<Drop>,
    sums: &mut Vec<Sum>,
) {
    let kind = |i: u32| events.kind_number(i as usize);
    let mut rows: Vec<u32> = same.iter().map(|key| row_of(*key)).collect();
    rows.sort_unstable_by_key(|&i| (kind(i), i));
    let content = |i: u32| (events.timestamp(i as usize), events.values()[i as usize].to_bits());
    for group in rows.chunk_by_mut(|&a, &b| kind(a) == kind(b)).filter(|g| g.len() > 1) {
        group.sort_unstable_by_key(|&i| (content(i), i));
        let mut different: Vec<u32> = Vec::with_capacity(group.len());
        for same in group.chunk_by(|&a, &b| content(a) == content(b)) {
            // Without a time, a repeated row may well be a second event.
            let counts = matches!(policy, DuplicatePolicy::KeepAll | DuplicatePolicy::Sum);
            if counts && events.timestamp(same[0] as usize).is_none() {
                different.extend_from_slice(same);
                continue;
            }
            let code = FaultCode::DuplicateRow;
            drops.extend(same[1..].iter().map(|&gone| Drop { gone, kept: same[0], code }));
            different.push(same[0]);
        }
        let Some(kept) = kept(events, policy, &different) else { continue };
        let code = FaultCode::DuplicatePair;
        let gone = different.iter().filter(|&&i| i != kept);
        drops.extend(gone.map(|&gone| Drop { gone, kept, code }));
        if policy == DuplicatePolicy::Sum && different.len() > 1 {
            // In the order of the source, so that rounding is the same on every run.
            different.sort_unstable();
            let values = different.iter().map(|&i| f64::from(events.values()[i as usize]));
            let value = values.sum::<f64>() as f32;
            sums.push(Sum { kept, value: value.clamp(f32::MIN, f32::MAX) });
        }
    }
}

/// Which of several different events of one user, item and kind stays; none if all do.
fn kept(events: &Events, policy: DuplicatePolicy, different: &[u32]) -> Option<u32> {
    let time = |i: u32| events.timestamp(i as usize);
    let timed = different.iter().all(|&i| time(i).is_some());
    let place = |i: u32| (time(i).filter(|_| timed), i);
    let all = different.iter().copied();
    match policy {
        DuplicatePolicy::KeepAll => None,
        DuplicatePolicy::KeepLast | DuplicatePolicy::Sum => all.max_by_key(|&i| place(i)),
        DuplicatePolicy::KeepFirst | DuplicatePolicy::Error => all.min_by_key(|&i| place(i)),
        DuplicatePolicy::KeepMax => all.max_by(|&a, &b| {
            let value = |i: u32| events.values()[i as usize];
            value(a).total_cmp(&value(b)).then(place(a).cmp(&place(b)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};
    use quintet_data::Event;

    fn event(value: f32, timestamp: Option<i64>) -> Event<'static> {
        let (user, item) = (UserIdx(0), ItemIdx(0));
        Event { user, item, event: "rating", value, timestamp, part: None }
    }

    fn dropped(events: &[Event], policy: DuplicatePolicy) -> Vec<(u32, u32, FaultCode)> {
        let events: Events = events.iter().copied().collect();
        find_duplicates(&events, policy, 1).0.iter().map(|d| (d.gone, d.kept, d.code)).collect()
    }

    #[test]
    fn the_policy_says_which_of_a_pair_stays() {
        use DuplicatePolicy::{KeepAll, KeepFirst, KeepLast, KeepMax};
        let (row, pair) = (FaultCode::DuplicateRow, FaultCode::DuplicatePair);
        // Rows 0 and 2 are the same; row 1 is the latest; row 3 the earliest and the largest.
        let timed =
            [event(3.0, Some(5)), event(4.0, Some(9)), event(3.0, Some(5)), event(8.0, Some(1))];
        assert_eq!(dropped(&timed, KeepLast), [(0, 1, pair), (2, 0, row), (3, 1, pair)]);
        assert_eq!(dropped(&timed, KeepFirst), [(0, 3, pair), (1, 3, pair), (2, 0, row)]);
        assert_eq!(dropped(&timed, KeepMax), [(0, 3, pair), (1, 3, pair), (2, 0, row)]);
        assert_eq!(dropped(&timed, KeepAll), [(2, 0, row)]);
        // One has no time, so the position decides.
        let mixed = [event(3.0, Some(5)), event(4.0, None)];
        assert_eq!(dropped(&mixed, KeepLast), [(0, 1, pair)]);
        assert_eq!(dropped(&mixed, KeepFirst), [(1, 0, pair)]);
        let untimed = [event(1.0, None), event(1.0, None)];
        assert_eq!(dropped(&untimed, KeepLast), [(1, 0, row)]);
        assert_eq!(dropped(&untimed, KeepAll), []);
    }

    #[test]
    fn sums_count_repeated_rows_without_a_time_and_no_others() {
        let sums = |events: &[Event]| {
            let events: Events = events.iter().copied().collect();
            find_duplicates(&events, DuplicatePolicy::Sum, 1).1
        };
        let untimed = [event(1.0, None), event(1.0, None), event(2.5, None)];
        assert_eq!(sums(&untimed), [Sum { kept: 2, value: 4.5 }]);
        let timed = [event(1.0, Some(9)), event(1.0, Some(9)), event(2.5, Some(3))];
        assert_eq!(sums(&timed), [Sum { kept: 0, value: 3.5 }]);
        assert_eq!(sums(&timed[..2]), []);
    }

    #[test]
    fn another_kind_of_event_is_no_duplicate() {
        let other = Event { event: "purchase", ..event(1.0, Some(1)) };
        assert_eq!(dropped(&[event(1.0, Some(1)), other], DuplicatePolicy::KeepLast), []);
    }
}
