//! Sparse descriptions of users or items: tags, categories, attributes.

use crate::CoreError;

/// Sparse `[n_rows, n_features]`, one row a user or item; columns of a row ascend.
///
/// ```
/// use quintet_core::SparseFeatures;
/// let names = vec!["genre=drama".to_owned(), "genre=comedy".to_owned()];
/// let f = SparseFeatures::new(2, names, [(0, 1, 1.0), (1, 0, 0.5), (1, 1, 0.5)])?;
/// assert_eq!(f.columns(1), [0, 1]);
/// assert_eq!(f.values(0), [1.0]);
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparseFeatures {
    names: Vec<String>,
    indptr: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl SparseFeatures {
    /// Takes cells `(row, feature, value)` in any order; `names` says what the features are.
    ///
    /// # Errors
    /// An index outside the given sizes, a cell that comes twice, or a value that is not finite.
    pub fn new(
        n_rows: usize,
        names: Vec<String>,
        cells: impl IntoIterator<Item = (u32, u32, f32)>,
    ) -> Result<Self, CoreError> {
        let mut cells: Vec<(u32, u32, f32)> = cells.into_iter().collect();
        for &(row, column, value) in &cells {
            let (index, len) = (row as usize, n_rows);
            if index >= len {
                return Err(CoreError::OutOfRange { what: "row of the features", index, len });
            }
            let (index, len) = (column as usize, names.len());
            if index >= len {
                return Err(CoreError::OutOfRange { what: "feature", index, len });
            }
            if !value.is_finite() {
                let (row, col) = (row as usize, column as usize);
                return Err(CoreError::NotFinite { what: "features".into(), row, col, value });
            }
        }
        cells.sort_unstable_by_key(|(row, column, _)| (*row, *column));
        if let Some(w) = cells.windows(2).find(|w| (w[0].0, w[0].1) == (w[1].0, w[1].1)) {
            let what = format!("cells of feature {:?} in row {}", names[w[0].1 as usize], w[0].0);
            return Err(CoreError::Shape { what, expected: 1, found: 2 });
        }
        let mut indptr = vec![0; n_rows + 1];
        for (row, ..) in &cells {
            indptr[*row as usize + 1] += 1;
        }
        for row in 0..n_rows {
            indptr[row + 1] += indptr[row];
        }
        let columns = cells.iter().map(|(_, column, _)| *column).collect();
        let values = cells.iter().map(|(.., value)| *value).collect();
        Ok(Self { names, indptr, columns, values })
    }

    /// Number of users or items.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of features.
    pub fn n_features(&self) -> usize {
        self.names.len()
    }

    /// What the features are called, `[n_features]`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The features of `row`, ascending.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn columns(&self, row: usize) -> &[u32] {
        &self.columns[self.indptr[row]..self.indptr[row + 1]]
    }

    /// The values that go with [`SparseFeatures::columns`].
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn values(&self, row: usize) -> &[f32] {
        &self.values[self.indptr[row]..self.indptr[row + 1]]
    }

    /// Number of stored cells.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("f{i}")).collect()
    }

    #[test]
    fn rows_hold_their_cells_in_order() {
        let f = SparseFeatures::new(3, names(3), [(2, 1, 2.0), (0, 2, 1.0), (2, 0, -1.0)]).unwrap();
        assert_eq!((f.columns(0), f.values(0)), (&[2][..], &[1.0][..]));
        assert!(f.columns(1).is_empty());
        assert_eq!((f.columns(2), f.values(2)), (&[0, 1][..], &[-1.0, 2.0][..]));
        assert_eq!((f.n_rows(), f.n_features(), f.nnz()), (3, 3, 3));
    }

    #[test]
    fn bad_cells_are_errors() {
        let bad = [[(1, 0, 1.0); 1], [(0, 2, 1.0); 1], [(0, 0, f32::NAN); 1]];
        for cells in bad {
            assert!(SparseFeatures::new(1, names(2), cells).is_err(), "{cells:?}");
        }
        assert!(SparseFeatures::new(1, names(1), [(0, 0, 1.0), (0, 0, 2.0)]).is_err());
    }
}
