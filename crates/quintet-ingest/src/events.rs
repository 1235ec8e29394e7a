//! Interactions: rows into events, and what to do with those that occur twice.

use quintet_data::{Event, Item, User};

use crate::IngestError;
use crate::catalog::{Catalog, empty_id};
use crate::config::{DuplicatePolicy, IngestConfig, InteractionColumns, UnknownPolicy};
use crate::log::{Flaw, Log, Origin, shown};
use crate::parse;
use crate::paths::Root;
use crate::report::FaultCode;
use crate::table::{Row, Table, TableSpec};

/// Events with the rows they come from.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) events: Vec<Event>,
    pub(crate) rows: Vec<Origin>,
}

/// Where each column of an interaction was asked for.
struct Asked {
    value: Option<usize>,
    timestamp: Option<usize>,
    event: Option<usize>,
}

/// Reads a table of interactions.
pub(crate) fn read_events(
    root: &Root,
    spec: &TableSpec,
    columns: &InteractionColumns,
    config: &IngestConfig,
    catalog: &mut Catalog,
    into: &mut Events,
    log: &mut Log,
) -> Result<(), IngestError> {
    let mut names = vec![columns.user.as_str(), columns.item.as_str()];
    let asked = Asked {
        value: ask(&mut names, &columns.value),
        timestamp: ask(&mut names, &columns.timestamp),
        event: ask(&mut names, &columns.event),
    };
    let mut table = Table::open(root, spec, &names, log)?;
    while table.next(log)? {
        let (row, origin) = (table.row(), table.origin());
        match event(row, columns, &asked, config, catalog) {
            Ok(draft) => {
                let event = draft.settle(origin, catalog, log)?;
                into.events.push(event);
                into.rows.push(origin);
            }
            Err(flaw) => {
                let item = Some(row.cell(1)).filter(|id| !id.trim().is_empty());
                log.drop_row(origin, item, flaw)?;
            }
        }
    }
    Ok(())
}

/// Asks for one more column, if it is configured; gives its place.
fn ask<'a>(names: &mut Vec<&'a str>, name: &'a Option<String>) -> Option<usize> {
    names.push(name.as_deref()?);
    Some(names.len() - 1)
}

/// An event whose row is in order, but whose user and item may still have to be added.
struct Draft<'a> {
    user: &'a str,
    item: &'a str,
    event: String,
    value: f32,
    timestamp: Option<i64>,
}

fn event<'a>(
    row: &'a Row,
    columns: &InteractionColumns,
    asked: &Asked,
    config: &IngestConfig,
    catalog: &Catalog,
) -> Result<Draft<'a>, Flaw> {
    let (user, item) = (row.cell(0), row.cell(1));
    if let Some(flaw) = empty_id(user, "user").or_else(|| empty_id(item, "item")) {
        return Err(flaw);
    }
    let value = asked.value.map_or(Ok(1.0), |c| parse::number(row.cell(c)))?;
    let time = |c| parse::timestamp(row.cell(c), columns.time_unit);
    let timestamp = asked.timestamp.map(time).transpose()?;
    let event = match asked.event.map(|c| row.cell(c).trim()) {
        Some("") => return Err(Flaw::new(FaultCode::EmptyEvent, "the kind of event", "\"\"")),
        Some(event) => event.to_owned(),
        None => columns.event_name.clone(),
    };
    let report = UnknownPolicy::Report;
    if catalog.knows_items && config.unknown_items == report && catalog.item(item).is_none() {
        let expected = "an item of the catalogue";
        return Err(Flaw::new(FaultCode::UnknownItem, expected, shown(item)));
    }
    if catalog.knows_users && config.unknown_users == report && catalog.user(user).is_none() {
        let expected = "a user of the users table";
        return Err(Flaw::new(FaultCode::UnknownUser, expected, shown(user)));
    }
    Ok(Draft { user, item, event, value, timestamp })
}

impl Draft<'_> {
    /// Finds the user and the item, adding those that are new.
    fn settle(
        self,
        origin: Origin,
        catalog: &mut Catalog,
        log: &mut Log,
    ) -> Result<Event, IngestError> {
        let item = match catalog.item(self.item) {
            Some(item) => item,
            None => {
                if catalog.knows_items {
                    let expected = "an item of the catalogue";
                    let flaw = Flaw::new(FaultCode::AddedItem, expected, "a new one, added");
                    log.note_row(origin, Some(self.item), flaw)?;
                }
                catalog.add_item(Item { id: self.item.to_owned(), ..Item::default() }, None)
            }
        };
        let user = match catalog.user(self.user) {
            Some(user) => user,
            None => {
                if catalog.knows_users {
                    let found = format!("{}, added", shown(self.user));
                    let expected = "a user of the users table";
                    log.note_row(origin, None, Flaw::new(FaultCode::AddedUser, expected, found))?;
                }
                catalog.add_user(User { id: self.user.to_owned(), ..User::default() }, None)
            }
        };
        let Self { event, value, timestamp, .. } = self;
        Ok(Event { user, item, event, value, timestamp })
    }
}

/// One event that goes, and the one that stays in its place.
struct Drop {
    gone: usize,
    kept: usize,
    code: FaultCode,
}

/// Merges events that occur twice, as the policy says, and reports each that goes.
pub(crate) fn merge_duplicates(
    all: Events,
    policy: DuplicatePolicy,
    catalog: &Catalog,
    log: &mut Log,
) -> Result<Events, IngestError> {
    let drops = find_duplicates(&all.events, policy);
    let mut stays = vec![true; all.events.len()];
    for drop in &drops {
        let (gone, kept) = (&all.events[drop.gone], &all.events[drop.kept]);
        let (origin, place) = (all.rows[drop.gone], all.rows[drop.kept]);
        let item = &catalog.items[gone.item.index()].id;
        let user = shown(&catalog.users[gone.user.index()].id);
        let place = format!("{}, line {}", log.name(place.file), place.line);
        let flaw = Flaw::new(
            drop.code,
            format!("one {} of user {user} with the item", shown(&gone.event)),
            match drop.code {
                FaultCode::DuplicateRow => format!("the same again as in {place}"),
                _ => format!("value {} beside value {} of {place}", gone.value, kept.value),
            },
        );
        if policy == DuplicatePolicy::Error && drop.code == FaultCode::DuplicatePair {
            return Err(IngestError::Duplicate(Box::new(log.fault(origin, Some(item), flaw))));
        }
        log.drop_row(origin, Some(item), flaw)?;
        stays[drop.gone] = false;
    }
    let mut kept = Events::default();
    for ((event, row), stays) in all.events.into_iter().zip(all.rows).zip(stays) {
        if stays {
            kept.events.push(event);
            kept.rows.push(row);
            log.file(row.file).rows_kept += 1;
        }
    }
    Ok(kept)
}

/// The events that go, in the order of the source.
fn find_duplicates(events: &[Event], policy: DuplicatePolicy) -> Vec<Drop> {
    let key = |i: usize| (events[i].user, events[i].item, events[i].event.as_str());
    let content = |i: usize| (events[i].timestamp, events[i].value.to_bits());
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_unstable_by(|&a, &b| {
        key(a).cmp(&key(b)).then(content(a).cmp(&content(b))).then(a.cmp(&b))
    });
    let mut drops = Vec::new();
    for group in order.chunk_by(|&a, &b| key(a) == key(b)).filter(|g| g.len() > 1) {
        let mut different = Vec::new();
        for same in group.chunk_by(|&a, &b| content(a) == content(b)) {
            // Without a time, a repeated row may well be a second event.
            let separate =
                policy == DuplicatePolicy::KeepAll && events[same[0]].timestamp.is_none();
            if !separate {
                let code = FaultCode::DuplicateRow;
                drops.extend(same[1..].iter().map(|&gone| Drop { gone, kept: same[0], code }));
                different.push(same[0]);
            }
        }
        let timed = different.iter().all(|&i| events[i].timestamp.is_some());
        let place = |&i: &usize| (events[i].timestamp.filter(|_| timed), i);
        let kept = match policy {
            DuplicatePolicy::KeepAll => continue,
            DuplicatePolicy::KeepLast => different.iter().copied().max_by_key(place),
            DuplicatePolicy::KeepFirst | DuplicatePolicy::Error => {
                different.iter().copied().min_by_key(place)
            }
        };
        let Some(kept) = kept else { continue };
        let code = FaultCode::DuplicatePair;
        let gone = different.into_iter().filter(|&i| i != kept);
        drops.extend(gone.map(|gone| Drop { gone, kept, code }));
    }
    drops.sort_unstable_by_key(|d| d.gone);
    drops
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, UserIdx};

    fn event(value: f32, timestamp: Option<i64>) -> Event {
        let event = "rating".to_owned();
        Event { user: UserIdx(0), item: ItemIdx(0), event, value, timestamp }
    }

    fn dropped(events: &[Event], policy: DuplicatePolicy) -> Vec<(usize, usize, FaultCode)> {
        find_duplicates(events, policy).iter().map(|d| (d.gone, d.kept, d.code)).collect()
    }

    #[test]
    fn the_policy_says_which_of_a_pair_stays() {
        use DuplicatePolicy::{KeepAll, KeepFirst, KeepLast};
        let (row, pair) = (FaultCode::DuplicateRow, FaultCode::DuplicatePair);
        // Rows 0 and 2 are the same; row 1 is the latest; row 3 the earliest.
        let timed =
            [event(3.0, Some(5)), event(4.0, Some(9)), event(3.0, Some(5)), event(1.0, Some(1))];
        assert_eq!(dropped(&timed, KeepLast), [(0, 1, pair), (2, 0, row), (3, 1, pair)]);
        assert_eq!(dropped(&timed, KeepFirst), [(0, 3, pair), (1, 3, pair), (2, 0, row)]);
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
    fn another_kind_of_event_is_no_duplicate() {
        let mut other = event(1.0, Some(1));
        other.event = "purchase".to_owned();
        assert_eq!(dropped(&[event(1.0, Some(1)), other], DuplicatePolicy::KeepLast), []);
    }
}
