//! Alignment: which records of several modalities belong together, by id or by time.
//!
//! By id: one row for each id, and in it the place of its record in every source. By time: for each
//! record of a leading source the record of every other source that has the same key (a user, a
//! session, a video) and is nearest in time, or the last one before, within a tolerance: the "as-of
//! join" of time-series databases. Both count what found no partner, since that is what a wrong
//! id or clock looks like.
//! Cost: by id `O(records)` expected; by time `O(n log n)`.

use std::collections::HashMap;

use quintet_core::Modality;
use quintet_tensor::FitError;
use serde::{Deserialize, Serialize};

/// Which ids a join by id keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Those of any source; absence is data.
    #[default]
    Outer,
    /// Those that every source has.
    Inner,
}

/// The records of one modality, by id.
#[derive(Debug, Clone, Copy)]
pub struct IdSource<'a> {
    /// Which modality.
    pub modality: Modality,
    /// The id of every record, each once.
    pub ids: &'a [String],
}

/// What [`join_by_id`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdJoin {
    /// The ids that are kept, in the order in which the sources first name them.
    pub ids: Vec<String>,
    /// `[ids][sources]`: the place of the record in its source, if it has one.
    pub records: Vec<Vec<Option<usize>>>,
    /// For each source, its records that lack a partner in at least one other source.
    pub incomplete: Vec<usize>,
    /// For each source, its records that are not in the result.
    pub left_out: Vec<usize>,
}

/// Joins the records of several modalities by their ids.
///
/// # Errors
/// A modality, or an id within one source, that comes twice.
pub fn join_by_id(sources: &[IdSource<'_>], kind: JoinKind) -> Result<IdJoin, FitError> {
    let twice = |reason: String| FitError::Data { model: "join by id".into(), reason };
    check_modalities("join by id", sources.iter().map(|s| s.modality))?;
    let mut ids: Vec<&str> = Vec::new();
    let mut records: Vec<Vec<Option<usize>>> = Vec::new();
    let mut rows: HashMap<&str, usize> = HashMap::new();
    for (s, source) in sources.iter().enumerate() {
        for (place, id) in source.ids.iter().enumerate() {
            let row = *rows.entry(id).or_insert_with(|| {
                ids.push(id);
                records.push(vec![None; sources.len()]);
                ids.len() - 1
            });
            if let Some(first) = records[row][s].replace(place) {
                return Err(twice(format!(
                    "{} record {id:?} comes twice, at {first} and {place}; expected each id once",
                    source.modality
                )));
            }
        }
    }
    let whole = |row: &[Option<usize>]| row.iter().all(Option::is_some);
    let count = |keep: &dyn Fn(&[Option<usize>]) -> bool| -> Vec<usize> {
        let of = |s: usize| records.iter().filter(|r| r[s].is_some() && keep(r)).count();
        (0..sources.len()).map(of).collect()
    };
    let incomplete = count(&|row| !whole(row));
    let kept = |row: &[Option<usize>]| kind == JoinKind::Outer || whole(row);
    let left_out = count(&|row| !kept(row));
    let rows = ids.into_iter().zip(records).filter(|(_, row)| kept(row));
    let (ids, records) = rows.map(|(id, row)| (id.to_owned(), row)).unzip();
    Ok(IdJoin { ids, records, incomplete, left_out })
}

fn check_modalities(
    name: &str,
    modalities: impl Iterator<Item = Modality>,
) -> Result<(), FitError> {
    let mut seen: Vec<Modality> = Vec::new();
    for modality in modalities {
        if seen.contains(&modality) {
            let reason = format!("the {modality} source comes twice, expected each modality once");
            return Err(FitError::Data { model: name.into(), reason });
        }
        seen.push(modality);
    }
    Ok(())
}

/// Whose record it is, and from when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// What records must share to belong together, such as the position of a user.
    pub key: u64,
    /// The moment, in any unit that all sources share.
    pub time: i64,
}

/// The records of one modality, by key and time, in any order.
#[derive(Debug, Clone, Copy)]
pub struct ModalityTimes<'a> {
    /// Which modality.
    pub modality: Modality,
    /// The stamp of every record.
    pub stamps: &'a [Stamp],
}

/// Which record of another source a moment takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsOf {
    /// The last one at or before the moment, so that nothing is read from the future.
    #[default]
    LastBefore,
    /// The nearest one, earlier or later; the earlier of two that are as near.
    Nearest,
}

/// Parameters of [`join_by_time`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeJoinParams {
    /// Which record is taken.
    pub as_of: AsOf,
    /// The largest distance in time, 0 or more, in the unit of the stamps; 0 asks for the very
    /// moment.
    pub tolerance: i64,
}

/// What [`join_by_time`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeJoin {
    /// `[leading records][other sources]`: the place of the partner in its source. Of records
    /// with one stamp the last one is taken.
    pub partners: Vec<Vec<Option<usize>>>,
    /// For each other source, the leading records that found no partner in it.
    pub without_partner: Vec<usize>,
    /// For each other source, its records that are nobody's partner.
    pub unused: Vec<usize>,
}

/// For every record of `leading` its partner in each of `others`. One record may be the partner of
/// several.
///
/// # Errors
/// A modality that comes twice, or a tolerance below 0.
pub fn join_by_time(
    leading: ModalityTimes<'_>,
    others: &[ModalityTimes<'_>],
    params: TimeJoinParams,
) -> Result<TimeJoin, FitError> {
    const NAME: &str = "join by time";
    if params.tolerance < 0 {
        let reason = format!("tolerance is {}, expected 0 or more", params.tolerance);
        return Err(FitError::Config { model: NAME.into(), reason });
    }
    let all = others.iter().map(|s| s.modality);
    check_modalities(NAME, std::iter::once(leading.modality).chain(all))?;
    let mut join = TimeJoin {
        partners: vec![Vec::with_capacity(others.len()); leading.stamps.len()],
        without_partner: Vec::new(),
        unused: Vec::new(),
    };
    for source in others {
        let mut order: Vec<usize> = (0..source.stamps.len()).collect();
        // Stable: records of one stamp keep their order, so that the last of them comes last.
        order.sort_by_key(|&at| (source.stamps[at].key, source.stamps[at].time));
        let mut used = vec![false; source.stamps.len()];
        let mut without = 0;
        for (stamp, partners) in leading.stamps.iter().zip(&mut join.partners) {
            let found = partner(*stamp, source.stamps, &order, params);
            found.map_or_else(|| without += 1, |at| used[at] = true);
            partners.push(found);
        }
        join.without_partner.push(without);
        join.unused.push(used.iter().filter(|used| !**used).count());
    }
    Ok(join)
}

/// The place of the partner of `stamp` among `stamps`, which `order` sorts.
fn partner(
    stamp: Stamp,
    stamps: &[Stamp],
    order: &[usize],
    params: TimeJoinParams,
) -> Option<usize> {
    let sort_key = |at: usize| (stamps[at].key, stamps[at].time);
    // Times may lie at both ends of the range, where their difference does not fit.
    let distance = |at: usize| stamps[at].time.abs_diff(stamp.time);
    let near =
        |at: &usize| stamps[*at].key == stamp.key && distance(*at) <= params.tolerance as u64;
    let after = order.partition_point(|&at| sort_key(at) <= (stamp.key, stamp.time));
    let before = after.checked_sub(1).map(|at| order[at]).filter(near);
    if params.as_of == AsOf::LastBefore {
        return before;
    }
    let later = order.get(after).copied().filter(near);
    match (before, later) {
        (Some(before), Some(later)) if distance(later) < distance(before) => {
            last_of(later, stamps, &order[after..])
        }
        (None, Some(later)) => last_of(later, stamps, &order[after..]),
        (before, _) => before,
    }
}

/// The last record with the stamp of the record at `first`, the first of `order`.
fn last_of(first: usize, stamps: &[Stamp], order: &[usize]) -> Option<usize> {
    let stamp = stamps[first];
    order.iter().copied().take_while(|&at| stamps[at] == stamp).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_join_by_id_keeps_places_and_counts_the_lonely() {
        let (text, image) = (ids(&["a", "b", "c"]), ids(&["c", "d", "a"]));
        let sources = [
            IdSource { modality: Modality::Text, ids: &text },
            IdSource { modality: Modality::Image, ids: &image },
        ];
        let outer = join_by_id(&sources, JoinKind::Outer).unwrap();
        assert_eq!(outer.ids, ["a", "b", "c", "d"]);
        let rows = [[Some(0), Some(2)], [Some(1), None], [Some(2), Some(0)], [None, Some(1)]];
        assert_eq!(outer.records, rows);
        // b has no image, d no text.
        assert_eq!((outer.incomplete, outer.left_out), (vec![1, 1], vec![0, 0]));
        let inner = join_by_id(&sources, JoinKind::Inner).unwrap();
        assert_eq!(inner.ids, ["a", "c"]);
        assert_eq!(inner.records, [rows[0], rows[2]]);
        assert_eq!((inner.incomplete, inner.left_out), (vec![1, 1], vec![1, 1]));
    }

    #[test]
    fn ids_and_modalities_that_come_twice_are_refused() {
        let text = ids(&["a", "b", "a"]);
        let source = IdSource { modality: Modality::Text, ids: &text };
        let err = join_by_id(&[source], JoinKind::Outer).unwrap_err().to_string();
        assert!(err.contains("text record \"a\"") && err.contains("at 0 and 2"), "{err}");
        let source = IdSource { modality: Modality::Text, ids: &text[..2] };
        let err = join_by_id(&[source, source], JoinKind::Outer).unwrap_err().to_string();
        assert!(err.contains("the text source comes twice"), "{err}");
    }

    fn stamps(pairs: &[(u64, i64)]) -> Vec<Stamp> {
        pairs.iter().map(|&(key, time)| Stamp { key, time }).collect()
    }

    fn join(leading: &[Stamp], other: &[Stamp], as_of: AsOf, tolerance: i64) -> TimeJoin {
        let leading = ModalityTimes { modality: Modality::Text, stamps: leading };
        let other = ModalityTimes { modality: Modality::Place, stamps: other };
        join_by_time(leading, &[other], TimeJoinParams { as_of, tolerance }).unwrap()
    }

    fn partners(join: &TimeJoin) -> Vec<Option<usize>> {
        join.partners.iter().map(|row| row[0]).collect()
    }

    #[test]
    fn as_of_joins_by_hand() {
        let leading = stamps(&[(1, 10), (1, 19), (2, 10), (1, 3)]);
        // In no order; key 1 at 20, 8 and 8 again, key 2 at 50.
        let other = stamps(&[(1, 20), (1, 8), (1, 8), (2, 50)]);
        let last = join(&leading, &other, AsOf::LastBefore, 5);
        // 10 takes 8, the later of the two records; 19 is 11 away from 8; nothing before 3.
        assert_eq!(partners(&last), [Some(2), None, None, None]);
        assert_eq!((last.without_partner, last.unused), (vec![3], vec![3]));
        let nearest = join(&leading, &other, AsOf::Nearest, 5);
        // 19 takes 20; 3 takes 8, of which the later record.
        assert_eq!(partners(&nearest), [Some(2), Some(0), None, Some(2)]);
        assert_eq!((nearest.without_partner, nearest.unused), (vec![1], vec![2]));
    }

    #[test]
    fn the_moment_itself_counts_and_the_earlier_of_equals_is_taken() {
        let other = stamps(&[(7, 4), (7, 8)]);
        assert_eq!(partners(&join(&stamps(&[(7, 8)]), &other, AsOf::LastBefore, 0)), [Some(1)]);
        assert_eq!(partners(&join(&stamps(&[(7, 6)]), &other, AsOf::Nearest, 2)), [Some(0)]);
        assert_eq!(partners(&join(&stamps(&[(7, 6)]), &other, AsOf::Nearest, 1)), [None]);
        // The ends of the range are far apart and do not overflow.
        let ends = stamps(&[(7, i64::MAX)]);
        assert_eq!(partners(&join(&stamps(&[(7, i64::MIN)]), &ends, AsOf::Nearest, 9)), [None]);
    }

    #[test]
    fn a_negative_tolerance_is_refused() {
        let leading = ModalityTimes { modality: Modality::Text, stamps: &[] };
        let params = TimeJoinParams { tolerance: -1, ..TimeJoinParams::default() };
        let err = join_by_time(leading, &[], params).unwrap_err().to_string();
        assert!(err.contains("tolerance is -1"), "{err}");
        let twice = join_by_time(leading, &[leading], TimeJoinParams::default()).unwrap_err();
        assert!(twice.to_string().contains("text source comes twice"), "{twice}");
    }
}
