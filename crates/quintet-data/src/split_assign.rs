//! Which part each event goes to, one function a strategy.

use quintet_core::{ItemIdx, SeedStream};
use rand::seq::SliceRandom;

use crate::split::SplitReport;
use crate::{DataError, Event, SplitConfig};

/// One of the three parts; its number is its place in `[train, valid, test]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Train = 0,
    Valid = 1,
    Test = 2,
}

/// The part of every row; rows are sorted by user, then item.
pub(crate) fn assign(
    config: &SplitConfig,
    rows: &[&Event],
    seed: SeedStream,
    report: &mut SplitReport,
) -> Result<Vec<Part>, DataError> {
    let seed_of = |own: Option<u64>| own.map_or(seed, SeedStream::new);
    let mut parts = vec![Part::Train; rows.len()];
    match *config {
        SplitConfig::Random { valid, test, seed } => {
            let mut all: Vec<usize> = (0..rows.len()).collect();
            random(&mut all, valid, test, seed_of(seed), &mut parts);
        }
        SplitConfig::LeaveOneOut {} => {
            let times = timestamps(rows, config)?;
            report.short_histories = leave_one_out(rows, &times, &mut parts);
        }
        SplitConfig::Temporal { valid, test } => {
            let times = timestamps(rows, config)?;
            temporal(&times, valid, test, &mut parts);
        }
        SplitConfig::ColdItems { share, valid, test, seed } => {
            let seed = seed_of(seed);
            let mut warm = cold_items(rows, share, seed, &mut parts);
            random(&mut warm, valid, test, seed, &mut parts);
        }
    }
    Ok(parts)
}

/// `share` of `n`, rounded to whole rows.
fn rounded(n: usize, share: f64) -> usize {
    (n as f64 * share).round() as usize
}

/// Shuffles `rows` and holds out the first ones.
fn random(rows: &mut [usize], valid: f64, test: f64, seed: SeedStream, parts: &mut [Part]) {
    rows.shuffle(&mut seed.rng("split rows", 0));
    let n_test = rounded(rows.len(), test);
    let n_valid = rounded(rows.len(), valid).min(rows.len() - n_test);
    for (order, &row) in rows.iter().enumerate() {
        if order < n_test {
            parts[row] = Part::Test;
        } else if order < n_test + n_valid {
            parts[row] = Part::Valid;
        }
    }
}

/// The time of every row.
fn timestamps(rows: &[&Event], config: &SplitConfig) -> Result<Vec<i64>, DataError> {
    let times: Vec<i64> = rows.iter().filter_map(|e| e.timestamp).collect();
    if times.len() < rows.len() {
        let missing = rows.len() - times.len();
        let strategy = config.strategy();
        return Err(DataError::NoTimestamps { strategy, missing, total: rows.len() });
    }
    Ok(times)
}

/// Gives back the number of users that are too short to be divided.
fn leave_one_out(rows: &[&Event], times: &[i64], parts: &mut [Part]) -> usize {
    let mut short = 0;
    let mut start = 0;
    for history in rows.chunk_by(|a, b| a.user == b.user) {
        let mut order: Vec<usize> = (start..start + history.len()).collect();
        start += history.len();
        if order.len() < 3 {
            short += 1;
            continue;
        }
        order.sort_unstable_by_key(|&row| (times[row], rows[row].item));
        parts[order[order.len() - 1]] = Part::Test;
        parts[order[order.len() - 2]] = Part::Valid;
    }
    short
}

fn temporal(times: &[i64], valid: f64, test: f64, parts: &mut [Part]) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let n = sorted.len();
    let n_test = rounded(n, test);
    let n_valid = rounded(n, valid).min(n - n_test);
    // The first time of the part; none when the part is empty.
    let starts = |target: usize| sorted.get(nearest_cut(&sorted, target)).copied();
    let (valid_from, test_from) = (starts(n - n_test - n_valid), starts(n - n_test));
    for (part, time) in parts.iter_mut().zip(times) {
        if test_from.is_some_and(|from| *time >= from) {
            *part = Part::Test;
        } else if valid_from.is_some_and(|from| *time >= from) {
            *part = Part::Valid;
        }
    }
}

/// How many rows lie before the cut between two different times that is nearest to `target`;
/// of two equally near cuts the earlier.
fn nearest_cut(sorted: &[i64], target: usize) -> usize {
    let Some(&time) = sorted.get(target) else {
        return sorted.len();
    };
    let before = sorted.partition_point(|&t| t < time);
    let after = sorted.partition_point(|&t| t <= time);
    if target - before <= after - target { before } else { after }
}

/// Holds out all events of a share of the items; gives back the rows of the others.
fn cold_items(rows: &[&Event], share: f64, seed: SeedStream, parts: &mut [Part]) -> Vec<usize> {
    let mut items: Vec<ItemIdx> = rows.iter().map(|e| e.item).collect();
    items.sort_unstable();
    items.dedup();
    let n_items = items.last().map_or(0, |i| i.index() + 1);
    items.shuffle(&mut seed.rng("split cold items", 0));
    let cold = &items[..rounded(items.len(), share)];
    let mut part_of_item = vec![Part::Train; n_items];
    for (order, item) in cold.iter().enumerate() {
        let test = order < cold.len().div_ceil(2);
        part_of_item[item.index()] = if test { Part::Test } else { Part::Valid };
    }
    for (part, row) in parts.iter_mut().zip(rows) {
        *part = part_of_item[row.item.index()];
    }
    (0..rows.len()).filter(|&row| parts[row] == Part::Train).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_is_the_nearest_change_of_time() {
        let times = [1, 2, 2, 2, 2, 3];
        assert_eq!(nearest_cut(&times, 0), 0);
        assert_eq!(nearest_cut(&times, 1), 1);
        assert_eq!(nearest_cut(&times, 2), 1);
        assert_eq!(nearest_cut(&times, 3), 1); // 1 and 5 are equally near
        assert_eq!(nearest_cut(&times, 4), 5);
        assert_eq!(nearest_cut(&times, 6), 6);
        assert_eq!(nearest_cut(&[7, 7, 7], 2), 3);
    }
}
