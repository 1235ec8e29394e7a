//! Groups of items or of users: one, several or none for each row.

use quintet_core::{ItemIdx, SparseFeatures};

use crate::EvalError;

/// Share of the interactions that the head has, and the tail.
const ENDS: f64 = 0.2;

/// Which groups each row (an item or a user) belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    names: Vec<String>,
    indptr: Vec<usize>,
    members: Vec<u32>,
}

impl Groups {
    /// One group a row, by its position in `names`; `None` for a row without a group.
    ///
    /// # Errors
    /// A label that no name has.
    pub fn from_labels(names: Vec<String>, labels: &[Option<u32>]) -> Result<Self, EvalError> {
        if let Some(label) = labels.iter().flatten().find(|label| **label as usize >= names.len()) {
            let (index, len) = (*label as usize, names.len());
            return Err(EvalError::OutOfRange { what: "group", index, len });
        }
        let mut indptr = Vec::with_capacity(labels.len() + 1);
        indptr.push(0);
        let mut members = Vec::new();
        for label in labels {
            members.extend(label);
            indptr.push(members.len());
        }
        Ok(Self { names, indptr, members })
    }

    /// A row belongs to the group of every cell that it has, whatever the value.
    pub fn from_sparse(features: &SparseFeatures) -> Self {
        let rows = || (0..features.n_rows()).map(|row| features.columns(row));
        let ends = rows().scan(0, |end, columns| {
            *end += columns.len();
            Some(*end)
        });
        Self {
            names: features.names().to_vec(),
            indptr: [0].into_iter().chain(ends).collect(),
            members: rows().flatten().copied().collect(),
        }
    }

    /// Items by popularity, `[n_items]` counts: `head`, the most popular ones that together have
    /// the first fifth of all interactions; `tail`, the least popular ones that have the last
    /// fifth; `middle`. An item on an edge belongs to the more popular side; ties by position.
    ///
    /// Abdollahpouri, Mansoury, Burke, Mobasher, "The Connection Between Popularity Bias,
    /// Calibration, and Fairness in Recommendation", RecSys 2020.
    pub fn by_popularity(counts: &[u32]) -> Self {
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|item| (std::cmp::Reverse(counts[*item]), *item));
        let total = counts.iter().map(|n| u64::from(*n)).sum::<u64>() as f64;
        let mut members = vec![2; counts.len()];
        let mut before = 0u64;
        for item in order {
            let place = before as f64;
            // An item that nobody had comes after all interactions.
            members[item] = match (place < ENDS * total, place < (1.0 - ENDS) * total) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            before += u64::from(counts[item]);
        }
        let names = ["head", "middle", "tail"].map(String::from).to_vec();
        Self { names, indptr: (0..=counts.len()).collect(), members }
    }

    /// What the groups are called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of groups.
    pub fn n_groups(&self) -> usize {
        self.names.len()
    }

    /// Number of items or users.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// The groups of a row.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn of(&self, row: usize) -> &[u32] {
        &self.members[self.indptr[row]..self.indptr[row + 1]]
    }

    /// How the weights of rows, `[n_rows]`, are shared among the groups: `[n_groups]` with sum 1.
    /// A row of several groups gives each an equal part; rows without a group do not count.
    /// `None` when no row with a group has a weight.
    ///
    /// # Panics
    /// When there is not one weight a row.
    pub fn shares(&self, weights: &[f64]) -> Option<Vec<f64>> {
        assert_eq!(weights.len(), self.n_rows(), "weights, one a row of the groups");
        self.shares_of(weights.iter().copied().enumerate())
    }

    /// As [`Groups::shares`] of equal weights for the items of a list.
    pub(super) fn shares_of_items(&self, items: &[ItemIdx]) -> Option<Vec<f64>> {
        self.shares_of(items.iter().map(|item| (item.index(), 1.0)))
    }

    fn shares_of(&self, rows: impl Iterator<Item = (usize, f64)>) -> Option<Vec<f64>> {
        let mut shares = vec![0.0; self.n_groups()];
        for (row, weight) in rows {
            let groups = self.of(row);
            groups.iter().for_each(|g| shares[*g as usize] += weight / groups.len() as f64);
        }
        let total: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= total);
        (total > 0.0).then_some(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        let names = ["a", "b"].map(String::from).to_vec();
        // {a}, {a b}, {}.
        let cells = [(0, 0, 1.0), (1, 0, 1.0), (1, 1, 0.0)];
        let groups = Groups::from_sparse(&SparseFeatures::new(3, names, cells).unwrap());
        assert_eq!((groups.of(0), groups.of(1), groups.of(2)), (&[0][..], &[0, 1][..], &[][..]));
        assert_eq!(groups.shares(&[1.0, 1.0, 9.0]), Some(vec![0.75, 0.25]));
        assert_eq!(groups.shares(&[0.0, 0.0, 9.0]), None);
        assert_eq!(groups.shares_of_items(&[ItemIdx(1)]), Some(vec![0.5, 0.5]));
    }

    #[test]
    fn labels_are_checked() {
        let groups = Groups::from_labels(vec!["a".into()], &[None, Some(0)]).unwrap();
        assert_eq!((groups.n_rows(), groups.n_groups()), (2, 1));
        assert_eq!((groups.of(0).len(), groups.of(1)), (0, &[0][..]));
        let err = Groups::from_labels(vec!["a".into()], &[Some(1)]).unwrap_err();
        assert_eq!(err.to_string(), "group 1 is out of range: there are 1");
    }

    #[test]
    fn popularity_by_hand() {
        // Ten interactions: before items by popularity 0 4 7 8 9 10 10 of 10; ends at 2 and 8.
        let groups = Groups::by_popularity(&[1, 4, 0, 3, 1, 1, 0]);
        let of: Vec<u32> = (0..7).map(|item| groups.of(item)[0]).collect();
        // Item 1 is the head; 3 and 0 (before 4 and 7) the middle; 4 (before 8) and after, the tail.
        assert_eq!(of, [1, 0, 2, 1, 2, 2, 2]);
        assert_eq!(Groups::by_popularity(&[0, 0]).of(0), [2]);
    }
}
