//! The user × item matrix in compressed sparse rows.

use crate::{CoreError, ItemIdx, UserIdx};

/// One cell of the user × item matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triplet {
    /// Who.
    pub user: UserIdx,
    /// What.
    pub item: ItemIdx,
    /// How strongly: a rating, a count or 1.
    pub value: f32,
}

/// Sparse `[n_users, n_items]`: items of a user are sorted by position, each at most once.
///
/// ```
/// use quintet_core::{Interactions, ItemIdx, UserIdx};
/// let m = Interactions::from_pairs(2, 3, [(0, 2), (0, 1), (1, 0)])?;
/// assert_eq!(m.items(UserIdx(0)), [ItemIdx(1), ItemIdx(2)]);
/// assert!(m.contains(UserIdx(1), ItemIdx(0)));
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Interactions {
    n_items: usize,
    indptr: Vec<usize>,
    items: Vec<ItemIdx>,
    values: Vec<f32>,
}

impl Interactions {
    /// Builds the matrix from cells in any order.
    ///
    /// # Errors
    /// An index outside the given sizes, a pair that occurs twice, or a value that is not finite.
    pub fn from_triplets(
        n_users: usize,
        n_items: usize,
        triplets: impl IntoIterator<Item = Triplet>,
    ) -> Result<Self, CoreError> {
        let mut cells: Vec<Triplet> = triplets.into_iter().collect();
        for t in &cells {
            check_cell(t, n_users, n_items)?;
        }
        cells.sort_unstable_by_key(|t| (t.user, t.item));
        if let Some(w) = cells.windows(2).find(|w| (w[0].user, w[0].item) == (w[1].user, w[1].item))
        {
            return Err(CoreError::DuplicatePair { user: w[0].user.0, item: w[0].item.0 });
        }
        let mut indptr = vec![0; n_users + 1];
        for t in &cells {
            indptr[t.user.index() + 1] += 1;
        }
        for u in 0..n_users {
            indptr[u + 1] += indptr[u];
        }
        Ok(Self {
            n_items,
            indptr,
            items: cells.iter().map(|t| t.item).collect(),
            values: cells.iter().map(|t| t.value).collect(),
        })
    }

    /// Builds the matrix from cells that already come by user, then item, without sorting or
    /// holding them.
    ///
    /// # Errors
    /// As [`Interactions::from_triplets`], and a cell that lies before the one in front of it.
    pub fn from_sorted(
        n_users: usize,
        n_items: usize,
        nnz: usize,
        triplets: impl IntoIterator<Item = Triplet>,
    ) -> Result<Self, CoreError> {
        let mut indptr = vec![0; n_users + 1];
        let (mut items, mut values) = (Vec::with_capacity(nnz), Vec::with_capacity(nnz));
        let mut last: Option<(UserIdx, ItemIdx)> = None;
        for t in triplets {
            check_cell(&t, n_users, n_items)?;
            match last.map(|last| last.cmp(&(t.user, t.item))) {
                Some(std::cmp::Ordering::Equal) => {
                    return Err(CoreError::DuplicatePair { user: t.user.0, item: t.item.0 });
                }
                Some(std::cmp::Ordering::Greater) => {
                    return Err(CoreError::Unsorted { user: t.user.0, item: t.item.0 });
                }
                _ => last = Some((t.user, t.item)),
            }
            indptr[t.user.index() + 1] += 1;
            items.push(t.item);
            values.push(t.value);
        }
        for u in 0..n_users {
            indptr[u + 1] += indptr[u];
        }
        Ok(Self { n_items, indptr, items, values })
    }

    /// Builds a binary matrix from `(user, item)` positions.
    ///
    /// # Errors
    /// As [`Interactions::from_triplets`].
    pub fn from_pairs(
        n_users: usize,
        n_items: usize,
        pairs: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<Self, CoreError> {
        let cells = pairs.into_iter().map(|(u, i)| Triplet {
            user: UserIdx(u),
            item: ItemIdx(i),
            value: 1.0,
        });
        Self::from_triplets(n_users, n_items, cells)
    }

    /// Number of rows.
    pub fn n_users(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of stored cells.
    pub fn nnz(&self) -> usize {
        self.items.len()
    }

    /// The items of `user`, ascending.
    ///
    /// # Panics
    /// When `user` is out of range.
    pub fn items(&self, user: UserIdx) -> &[ItemIdx] {
        &self.items[self.range(user)]
    }

    /// The values that go with [`Interactions::items`].
    ///
    /// # Panics
    /// When `user` is out of range.
    pub fn values(&self, user: UserIdx) -> &[f32] {
        &self.values[self.range(user)]
    }

    /// Whether the pair is stored.
    ///
    /// # Panics
    /// When `user` is out of range.
    pub fn contains(&self, user: UserIdx, item: ItemIdx) -> bool {
        self.items(user).binary_search(&item).is_ok()
    }

    /// Every cell, by user, then item.
    pub fn iter(&self) -> impl Iterator<Item = Triplet> + '_ {
        (0..self.n_users()).flat_map(move |u| {
            let user = UserIdx::new(u);
            self.items(user).iter().zip(self.values(user)).map(move |(&item, &value)| Triplet {
                user,
                item,
                value,
            })
        })
    }

    /// Row offsets, `[n_users + 1]`.
    pub fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// Column positions of all rows one after the other, `[nnz]`.
    pub fn indices(&self) -> &[ItemIdx] {
        &self.items
    }

    /// How many users each item has, `[n_items]`.
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_items];
        for item in &self.items {
            counts[item.index()] += 1;
        }
        counts
    }

    /// The item × user matrix: row `i` lists the users of item `i` (typed as [`ItemIdx`]
    /// positions of the transposed matrix).
    pub fn transpose(&self) -> Interactions {
        let mut indptr = vec![0; self.n_items + 1];
        for item in &self.items {
            indptr[item.index() + 1] += 1;
        }
        for i in 0..self.n_items {
            indptr[i + 1] += indptr[i];
        }
        let mut next = indptr.clone();
        let mut items = vec![ItemIdx(0); self.nnz()];
        let mut values = vec![0.0; self.nnz()];
        for t in self.iter() {
            let slot = &mut next[t.item.index()];
            items[*slot] = ItemIdx(t.user.0);
            values[*slot] = t.value;
            *slot += 1;
        }
        Interactions { n_items: self.n_users(), indptr, items, values }
    }

    fn range(&self, user: UserIdx) -> std::ops::Range<usize> {
        self.indptr[user.index()]..self.indptr[user.index() + 1]
    }
}

fn check_cell(t: &Triplet, n_users: usize, n_items: usize) -> Result<(), CoreError> {
    if t.user.index() >= n_users {
        return Err(CoreError::OutOfRange { what: "user", index: t.user.index(), len: n_users });
    }
    if t.item.index() >= n_items {
        return Err(CoreError::OutOfRange { what: "item", index: t.item.index(), len: n_items });
    }
    if !t.value.is_finite() {
        return Err(CoreError::NotFinite {
            what: "interactions".into(),
            row: t.user.index(),
            col: t.item.index(),
            value: t.value,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duplicate_pair_and_a_bad_index_are_errors() {
        let dup = Interactions::from_pairs(1, 2, [(0, 1), (0, 1)]).unwrap_err();
        assert_eq!(dup, CoreError::DuplicatePair { user: 0, item: 1 });
        let out = Interactions::from_pairs(1, 2, [(0, 2)]).unwrap_err();
        assert_eq!(out, CoreError::OutOfRange { what: "item", index: 2, len: 2 });
    }

    #[test]
    fn sorted_cells_need_no_sorting_and_unsorted_ones_are_named() {
        let cell = |u, i| Triplet { user: UserIdx(u), item: ItemIdx(i), value: 2.0 };
        let cells = [cell(0, 2), cell(2, 0), cell(2, 1)];
        let sorted = Interactions::from_sorted(4, 3, 3, cells).unwrap();
        assert_eq!(sorted, Interactions::from_triplets(4, 3, cells).unwrap());
        let back = Interactions::from_sorted(4, 3, 2, [cell(2, 1), cell(2, 0)]).unwrap_err();
        assert_eq!(back, CoreError::Unsorted { user: 2, item: 0 });
        let twice = Interactions::from_sorted(4, 3, 2, [cell(2, 1), cell(2, 1)]).unwrap_err();
        assert_eq!(twice, CoreError::DuplicatePair { user: 2, item: 1 });
    }

    #[test]
    fn nan_is_refused() {
        let cell = Triplet { user: UserIdx(0), item: ItemIdx(0), value: f32::NAN };
        assert!(matches!(
            Interactions::from_triplets(1, 1, [cell]),
            Err(CoreError::NotFinite { row: 0, col: 0, .. })
        ));
    }

    proptest! {
        #[test]
        fn csr_keeps_every_pair_and_transposing_twice_is_identity(
            pairs in proptest::collection::btree_set((0u32..8, 0u32..6), 0..40)
        ) {
            let m = Interactions::from_pairs(8, 6, pairs.iter().copied()).unwrap();
            prop_assert_eq!(m.nnz(), pairs.len());
            let back: std::collections::BTreeSet<_> = m.iter().map(|t| (t.user.0, t.item.0)).collect();
            prop_assert_eq!(&back, &pairs);
            prop_assert_eq!(&m.transpose().transpose(), &m);
            let counts = m.item_counts();
            prop_assert_eq!(counts.iter().sum::<u32>() as usize, pairs.len());
        }
    }
}
