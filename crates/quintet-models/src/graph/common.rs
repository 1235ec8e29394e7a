//! Graphs of users or of items that have much in common in training.

use quintet_core::{Interactions, UserIdx};
use quintet_tensor::{SparseProduct, SparseRows};
use rayon::prelude::*;

/// For every row of `train` the `k` other rows with the largest number of columns in common, and
/// that number; equal ones by position, none without a common column.
///
/// Cost: `Σ_columns (cells of the column)²`, a row a task.
pub(crate) fn most_in_common(train: &Interactions, k: usize) -> Vec<Vec<(u32, u32)>> {
    let by_column = train.transpose();
    let n = train.n_users();
    let count = |counts: &mut Vec<u32>, row: usize| {
        let mut met = Vec::new();
        for column in train.items(UserIdx::new(row)) {
            for other in by_column.items(UserIdx::new(column.index())) {
                let other = other.index();
                if other != row {
                    if counts[other] == 0 {
                        met.push(other as u32);
                    }
                    counts[other] += 1;
                }
            }
        }
        let mut found: Vec<(u32, u32)> = met
            .into_iter()
            .map(|other| (other, std::mem::take(&mut counts[other as usize])))
            .collect();
        found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(k);
        found
    };
    (0..n).into_par_iter().map_init(|| vec![0u32; n], count).collect()
}

/// Every user as the mean of the `k` who have most items in common with them, weighed by the
/// softmax of how many these are; nothing where nobody has one.
pub(crate) fn weighted_users(train: &Interactions, k: usize) -> SparseProduct {
    let rows = most_in_common(train, k).into_iter().map(|near| {
        // The first has the largest count.
        let top = near.first().map_or(0, |(_, count)| *count);
        let weight = |count: u32| (f64::from(count) - f64::from(top)).exp();
        let total: f64 = near.iter().map(|(_, count)| weight(*count)).sum();
        let mut row: Vec<(u32, f32)> =
            near.iter().map(|(user, count)| (*user, (weight(*count) / total) as f32)).collect();
        row.sort_unstable_by_key(|cell| cell.0);
        row
    });
    SparseProduct::new(SparseRows::from_rows(train.n_users(), rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_of_common_columns_and_weights_their_softmax() {
        // Rows 0 and 1 share two columns, 0 and 2 one; row 3 shares none.
        let pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 0), (3, 3)];
        let train = Interactions::from_pairs(4, 4, pairs).unwrap();
        let near = most_in_common(&train, 2);
        assert_eq!(near, [vec![(1, 2), (2, 1)], vec![(0, 2)], vec![(0, 1)], vec![]]);
        assert_eq!(most_in_common(&train, 1)[0], [(1, 2)]);
        let graph = weighted_users(&train, 2);
        let (users, weights) = graph.matrix().row(0);
        assert_eq!(users, [1, 2]);
        let first = 1.0f32.exp() / (1.0 + 1.0f32.exp());
        assert!((weights[0] - first).abs() < 1e-6 && (weights[1] - 1.0 + first).abs() < 1e-6);
        assert!(graph.matrix().row(3).0.is_empty());
    }
}
