//! `G = XᵀX`, sparse or dense.

use rayon::prelude::*;

use super::Terms;

/// Symmetric sparse `[n, n]`, both halves held, columns of a row ascending; in the order in which
/// entities are numbered. 8 bytes a number.
pub(crate) struct Gram {
    indptr: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    diagonal: Vec<f32>,
}

impl Gram {
    /// Computes it from terms in [`Order::Given`](super::Order); `Err` with the number of bytes
    /// when it would be larger than `limit` bytes.
    pub(crate) fn new(terms: &Terms, limit: usize) -> Result<Self, usize> {
        let n = terms.n_entities();
        let lower: Vec<Vec<(u32, f32)>> = (0..n)
            .into_par_iter()
            .map_init(
                || vec![0.0f32; n],
                |sums, row| {
                    terms.products(row, |other, product| sums[other] += product);
                    let mut cells: Vec<(u32, f32)> = Vec::new();
                    for (col, sum) in sums[..row].iter_mut().enumerate() {
                        if *sum != 0.0 {
                            cells.push((col as u32, std::mem::take(sum)));
                        }
                    }
                    cells.push((row as u32, terms.square(row)));
                    cells
                },
            )
            .collect();
        let mut counts = vec![0usize; n + 1];
        for (row, cells) in lower.iter().enumerate() {
            counts[row + 1] += cells.len();
            cells
                .iter()
                .filter(|c| c.0 as usize != row)
                .for_each(|c| counts[c.0 as usize + 1] += 1);
        }
        for row in 0..n {
            counts[row + 1] += counts[row];
        }
        let nnz = counts[n];
        if nnz.saturating_mul(8) > limit {
            return Err(nnz.saturating_mul(8));
        }
        let (mut columns, mut values) = (vec![0u32; nnz], vec![0.0f32; nnz]);
        let mut next = counts.clone();
        // Row by row: what lies above the diagonal of a row comes from later rows, in order.
        for (row, cells) in lower.into_iter().enumerate() {
            for (col, value) in cells {
                let mut put = |row: usize, col: u32| {
                    columns[next[row]] = col;
                    values[next[row]] = value;
                    next[row] += 1;
                };
                put(row, col);
                if col as usize != row {
                    put(col as usize, row as u32);
                }
            }
        }
        let diagonal = (0..n).map(|row| terms.square(row)).collect();
        Ok(Self { indptr: counts, columns, values, diagonal })
    }

    /// Number of rows.
    pub(crate) fn n(&self) -> usize {
        self.indptr.len() - 1
    }

    /// The product of `row` with itself.
    pub(crate) fn square(&self, row: usize) -> f32 {
        self.diagonal[row]
    }

    /// The columns of `row` that are not 0, ascending, and their numbers. The diagonal is always
    /// there.
    pub(crate) fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// One number.
    pub(crate) fn get(&self, row: usize, col: u32) -> f32 {
        let (columns, values) = self.row(row);
        columns.binary_search(&col).map_or(0.0, |place| values[place])
    }
}

/// Writes the lower half of the dense `[n, n]` with its diagonal, row by row; what lies above the
/// diagonal stays as it is. The terms are in [`Order::Given`](super::Order).
pub(crate) fn lower_gram<T: From<f32> + Send>(terms: &Terms, out: &mut [T]) {
    let n = terms.n_entities().max(1);
    out.par_chunks_mut(n).enumerate().for_each_init(
        || vec![0.0f32; n],
        |sums, (row, out)| {
            terms.products(row, |other, product| sums[other] += product);
            for (out, sum) in out.iter_mut().zip(&mut sums[..row]) {
                *out = T::from(std::mem::take(sum));
            }
            out[row] = T::from(terms.square(row));
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::Order;
    use quintet_core::Interactions;

    #[test]
    fn sparse_and_dense_agree_with_a_count_by_hand() {
        let m = Interactions::from_pairs(3, 3, [(0, 0), (0, 2), (1, 0), (1, 2), (2, 1)]).unwrap();
        let terms = Terms::new(&m, None, None, Order::Given);
        let gram = Gram::new(&terms, usize::MAX).unwrap_or_else(|_| unreachable!());
        assert_eq!(gram.row(0), (&[0, 2][..], &[2.0, 2.0][..]));
        assert_eq!(gram.row(1), (&[1][..], &[1.0][..]));
        assert_eq!((gram.get(2, 0), gram.get(2, 1), gram.get(2, 2)), (2.0, 0.0, 2.0));
        let mut dense = vec![0.0f64; 9];
        lower_gram(&terms, &mut dense);
        assert_eq!(dense, [2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 2.0]);
        assert_eq!(Gram::new(&terms, 39).err(), Some(40));
    }
}
