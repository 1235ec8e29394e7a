//! Factors as plain numbers: rows padded to whole vectors, with the loops that run over them.
//!
//! Every row takes a multiple of [`PADDING`] numbers, the ones past `dim` are zero and stay zero
//! in every operation here, so no loop has a rest. The loops are compiled for the processor's
//! widest vectors and chosen at run time ([`pulp`]); a sum goes over a row in one order, so a
//! result depends on its row alone. Cost: at most 31 numbers more a row.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Matrix, SeedStream};
use rand::RngExt;

use crate::large_pages::Numbers;

/// Rows are a multiple of so many numbers long: two of the widest vectors.
pub(crate) const PADDING: usize = 32;

/// `[rows, dim]`, each row padded with zeros to [`FactorTable::stride`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FactorTable {
    rows: usize,
    dim: usize,
    stride: usize,
    numbers: Numbers,
}

impl FactorTable {
    /// All zeros.
    pub(crate) fn zeros(rows: usize, dim: usize) -> Self {
        let stride = dim.next_multiple_of(PADDING);
        Self { rows, dim, stride, numbers: Numbers::zeros(rows * stride) }
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(
        (rows, dim): (usize, usize),
        (low, high): (f32, f32),
        (seed, purpose): (SeedStream, &str),
    ) -> Self {
        let mut table = Self::zeros(rows, dim);
        let mut rng = seed.rng(purpose, 0);
        for row in table.numbers.chunks_exact_mut(table.stride) {
            row[..dim].fill_with(|| low + (high - low) * rng.random::<f32>());
        }
        table
    }

    /// Normal with mean 0, by the method of Box and Muller.
    pub(crate) fn normal(
        (rows, dim): (usize, usize),
        deviation: f32,
        (seed, purpose): (SeedStream, &str),
    ) -> Self {
        let mut table = Self::zeros(rows, dim);
        let mut rng = seed.rng(purpose, 0);
        for row in table.numbers.chunks_exact_mut(table.stride) {
            for pair in row[..dim].chunks_mut(2) {
                let (a, b) = (1.0 - rng.random::<f32>(), rng.random::<f32>());
                let radius = deviation * (-2.0 * a.ln()).sqrt();
                let (sin, cos) = (std::f32::consts::TAU * b).sin_cos();
                pair.iter_mut().zip([radius * cos, radius * sin]).for_each(|(x, v)| *x = v);
            }
        }
        table
    }

    /// Takes the rows of a matrix.
    pub(crate) fn from_matrix(matrix: &Matrix) -> Self {
        let mut table = Self::zeros(matrix.rows(), matrix.cols());
        for row in 0..matrix.rows() {
            table.row_mut(row)[..matrix.cols()].copy_from_slice(matrix.row(row));
        }
        table
    }

    /// Without the padding.
    pub(crate) fn to_matrix(&self) -> Matrix {
        let mut matrix = Matrix::zeros(self.rows, self.dim);
        for row in 0..self.rows {
            matrix.row_mut(row).copy_from_slice(&self.row(row)[..self.dim]);
        }
        matrix
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// One row with its padding.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.stride..][..self.stride]
    }

    /// One row with its padding, which must stay zero.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.numbers[row * self.stride..][..self.stride]
    }

    /// All rows with their padding.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// All rows with their padding, which must stay zero.
    pub(crate) fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}

/// `Σ a b`; both padded.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, _), (b, _)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let ((a, _), (b, _)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (a, b) in a.iter().zip(b) {
        sums[0] = simd.mul_add_f32s(a[0], b[0], sums[0]);
        sums[1] = simd.mul_add_f32s(a[1], b[1], sums[1]);
    }
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))
}

/// `y += a x`; both padded.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(simd: S, a: f32, x: &[f32], y: &mut [f32]) {
    let ((x, _), (y, _)) = (S::as_simd_f32s(x), S::as_mut_simd_f32s(y));
    let a = simd.splat_f32s(a);
    for (x, y) in x.iter().zip(y) {
        *y = simd.mul_add_f32s(a, *x, *y);
    }
}

/// The scores of every row of `table` for the padded `query`, with a bias where there is one.
pub(crate) fn scores(table: &FactorTable, query: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    Arch::new().dispatch(Scores { table, query, out });
    for (score, bias) in out.iter_mut().zip(bias.unwrap_or_default()) {
        *score += bias;
    }
}

struct Scores<'a> {
    table: &'a FactorTable,
    query: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.table.numbers.chunks_exact(self.table.stride);
        for (score, row) in self.out.iter_mut().zip(rows) {
            *score = dot(simd, row, self.query);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_comes_and_goes() {
        let matrix = Matrix::from_vec(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let table = FactorTable::from_matrix(&matrix);
        assert_eq!((table.stride(), &table.row(1)[..4]), (32, &[4.0, 5.0, 6.0, 0.0][..]));
        assert_eq!(table.to_matrix(), matrix);
        let mut out = [0.0; 2];
        // 1 + 4 + 9 and 4 + 10 + 18, and the bias.
        scores(&table, table.row(0), Some(&[0.5, -1.0]), &mut out);
        assert_eq!(out, [14.5, 31.0]);
    }

    #[test]
    fn normal_numbers_have_the_deviation_and_leave_the_padding() {
        let table = FactorTable::normal((1000, 33), 0.5, (SeedStream::new(3), "test"));
        let square: f64 = table.numbers().iter().map(|x| f64::from(*x).powi(2)).sum();
        let deviation = (square / 33_000.0).sqrt();
        assert!((deviation - 0.5).abs() < 0.01, "{deviation}");
        assert!((0..1000).all(|row| table.row(row)[33..].iter().all(|x| *x == 0.0)));
    }
}
