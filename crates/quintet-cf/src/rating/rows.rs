//! Work that is shared by pairs with one side in common, and the saved form of the ratings.
//!
//! Neighbour models keep the ratings themselves, not a table of all pairs of users or items: a
//! row of such a table is counted when a prediction needs it, once for all predictions of a
//! batch that need it. Memory stays `O(nnz)`, and what has to be counted is what a table would
//! have cost: `Σ n²` over the co-raters for a batch over everybody.

use quintet_core::{Interactions, ModelState, RatingError, UserIdx};
use rayon::prelude::*;

use super::fitted::{Estimate, KnownPair};

/// Answers `pairs` in their order. Pairs with the same `key` are answered one after the other
/// with one scratch, after `row` has prepared it for that key.
pub(crate) fn grouped<S: Send>(
    pairs: &[KnownPair],
    key: impl Fn(KnownPair) -> u32 + Sync,
    scratch: impl Fn() -> S + Sync + Send,
    row: impl Fn(&mut S, u32) + Sync + Send,
    one: impl Fn(&mut S, KnownPair) -> Option<Estimate> + Sync + Send,
) -> Vec<Option<Estimate>> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|&at| key(pairs[at]));
    let groups: Vec<&[usize]> = order.chunk_by(|&a, &b| key(pairs[a]) == key(pairs[b])).collect();
    let found: Vec<Vec<Option<Estimate>>> = groups
        .par_iter()
        .map_init(scratch, |scratch, group| {
            row(scratch, key(pairs[group[0]]));
            group.iter().map(|&at| one(scratch, pairs[at])).collect()
        })
        .collect();
    let mut out = vec![None; pairs.len()];
    for (group, found) in groups.iter().zip(found) {
        for (&at, estimate) in group.iter().zip(found) {
            out[at] = estimate;
        }
    }
    out
}

/// Sums over what two rows have in common.
pub(crate) trait PairSums: Copy + Default + Send + Sync {
    /// Adds one common column: what the row at hand has there, and what the other one has.
    fn add(&mut self, own: f64, other: f64);
}

/// Counts `row` of `by_row` against all rows: `sums[other]` holds what both have in common.
/// `by_column` is the transpose.
pub(crate) fn common<P: PairSums>(
    by_row: &Interactions,
    by_column: &Interactions,
    row: u32,
    sums: &mut [P],
) {
    sums.fill(P::default());
    let row = UserIdx(row);
    for (column, &own) in by_row.items(row).iter().zip(by_row.values(row)) {
        let column = UserIdx(column.0);
        let own = f64::from(own);
        for (other, &value) in by_column.items(column).iter().zip(by_column.values(column)) {
            sums[other.index()].add(own, f64::from(value));
        }
    }
}

/// What the ratings are called in a saved model.
pub(crate) const RATINGS: &str = "ratings";

/// Reads the ratings of a model of this size.
pub(crate) fn get_ratings(
    state: &ModelState,
    n_users: usize,
    n_items: usize,
) -> Result<Interactions, RatingError> {
    let ratings = state.interactions(RATINGS)?;
    let found = (ratings.n_users(), ratings.n_items());
    if found != (n_users, n_items) {
        let expected = format!("[{n_users}, {n_items}]");
        let found = format!("[{}, {}]", found.0, found.1);
        return Err(state.mismatch(RATINGS, &expected, &found).into());
    }
    Ok(ratings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_answer_in_the_order_of_the_pairs() {
        let pairs = [(2, 0), (1, 5), (2, 7), (1, 5)];
        let found = grouped(
            &pairs,
            |pair| pair.0,
            || 0,
            |scratch, key| *scratch = key * 100,
            |scratch, pair| (pair.1 != 7).then(|| f64::from(*scratch + pair.1).into()),
        );
        let values: Vec<Option<f64>> = found.iter().map(|e| e.map(|e| e.value)).collect();
        assert_eq!(values, [Some(200.0), Some(105.0), None, Some(105.0)]);
    }
}
