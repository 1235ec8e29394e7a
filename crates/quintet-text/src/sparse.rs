//! Sparse vectors, and the two sparse products that the decomposition needs.

use burn::tensor::{Device, Tensor};
use quintet_core::Matrix;
use quintet_tensor::{EncodeError, matrix_to_tensor};
use rayon::prelude::*;

/// A vector of which most entries are zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SparseVector {
    /// Positions of the entries, increasing.
    pub indices: Vec<u32>,
    /// The entries.
    pub values: Vec<f32>,
}

/// Rows of width `dim` as a tensor with all their zeros, `[rows, dim]`.
pub(crate) fn to_tensor(
    rows: &[SparseVector],
    dim: usize,
    device: &Device,
) -> Result<Tensor<2>, EncodeError> {
    let mut numbers = vec![0.0; rows.len() * dim];
    for (row, numbers) in rows.iter().zip(numbers.chunks_exact_mut(dim)) {
        for (at, value) in row.indices.iter().zip(&row.values) {
            numbers[*at as usize] = *value;
        }
    }
    let matrix = Matrix::from_vec(rows.len(), dim, numbers)
        .map_err(|e| EncodeError::Device(e.to_string()))?;
    Ok(matrix_to_tensor(&matrix, device)) // [rows, dim]
}

/// Sparse rows, `[rows, cols]`, compressed.
#[derive(Debug, Clone)]
pub struct SparseRows {
    cols: usize,
    starts: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseRows {
    /// Stacks `rows` of width `cols`.
    ///
    /// # Panics
    /// When a position is not below `cols`.
    pub fn from_rows(cols: usize, rows: &[SparseVector]) -> Self {
        let len = rows.iter().map(|r| r.indices.len()).sum();
        let mut m = Self {
            cols,
            starts: vec![0],
            indices: Vec::with_capacity(len),
            values: Vec::with_capacity(len),
        };
        for row in rows {
            assert!(row.indices.iter().all(|&c| (c as usize) < cols), "positions are below {cols}");
            m.indices.extend_from_slice(&row.indices);
            m.values.extend_from_slice(&row.values);
            m.starts.push(m.indices.len());
        }
        m
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Rows become columns.
    pub fn transpose(&self) -> Self {
        let mut starts = vec![0usize; self.cols + 1];
        for &c in &self.indices {
            starts[c as usize + 1] += 1;
        }
        for c in 0..self.cols {
            starts[c + 1] += starts[c];
        }
        let mut next = starts.clone();
        let mut indices = vec![0u32; self.indices.len()];
        let mut values = vec![0f32; self.values.len()];
        for row in 0..self.rows() {
            for at in self.starts[row]..self.starts[row + 1] {
                let slot = &mut next[self.indices[at] as usize];
                indices[*slot] = row as u32;
                values[*slot] = self.values[at];
                *slot += 1;
            }
        }
        Self { cols: self.rows(), starts, indices, values }
    }

    /// The product with a dense matrix `[self.cols, width]`. Rows run in parallel and each is
    /// summed in order, so the result does not depend on the number of threads.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub(crate) fn times(&self, dense: &Dense) -> Dense {
        assert_eq!(dense.rows, self.cols, "inner sizes are equal");
        let mut out = Dense::zeros(self.rows(), dense.cols);
        if dense.cols == 0 {
            return out;
        }
        out.data.par_chunks_mut(dense.cols).enumerate().for_each(|(row, sums)| {
            for at in self.starts[row]..self.starts[row + 1] {
                let weight = f64::from(self.values[at]);
                for (sum, v) in sums.iter_mut().zip(dense.row(self.indices[at] as usize)) {
                    *sum += weight * v;
                }
            }
        });
        out
    }
}

/// Dense rows of `f64`, for the decomposition only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<f64>,
}

impl Dense {
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_a_transpose_worked_by_hand() {
        // [1 0 2]      [1 2]   [11 14]
        // [0 3 0]  ×   [3 4] = [ 9 12]
        //              [5 6]
        let rows = [
            SparseVector { indices: vec![0, 2], values: vec![1.0, 2.0] },
            SparseVector { indices: vec![1], values: vec![3.0] },
        ];
        let m = SparseRows::from_rows(3, &rows);
        let x = Dense { rows: 3, cols: 2, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        assert_eq!(m.times(&x).data, [11.0, 14.0, 9.0, 12.0]);
        // The transpose times the identity is the transpose itself.
        let t = m.transpose();
        assert_eq!((t.rows(), t.cols()), (3, 2));
        let identity = Dense { rows: 2, cols: 2, data: vec![1.0, 0.0, 0.0, 1.0] };
        assert_eq!(t.times(&identity).data, [1.0, 0.0, 0.0, 3.0, 2.0, 0.0]);
    }
}
