//! The system of one row, and the loop over rows.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::Matrix;
use rayon::prelude::*;

/// Rows that one thread solves at a time.
const ROWS: usize = 64;
/// Rows that are gathered, or summed up in one product, at a time.
const GATHERED: usize = 256;

/// One matrix that the rows of a side explain, with the other side held fixed.
pub(crate) trait Part: Sync {
    /// Adds what `row` has in the matrix; false, and nothing added, when it has nothing.
    fn add(&self, row: usize, system: &mut System) -> bool;
}

/// `A x = b` of one row and the buffers to build it, kept from row to row.
pub(crate) struct System {
    dim: usize,
    /// `[dim, dim]`; after [`System::factor`] its lower triangle holds the factor.
    matrix: Vec<f64>,
    /// First `b`, then the solution.
    right: Vec<f64>,
    plain: Vec<f64>,
    scaled: Vec<f64>,
    memory: MemBuffer,
}

impl System {
    pub(crate) fn new(dim: usize) -> Self {
        let scratch = cholesky_in_place_scratch::<f64>(dim, Par::Seq, Default::default());
        let (matrix, right) = (vec![0.0; dim * dim], vec![0.0; dim]);
        let memory = MemBuffer::new(scratch);
        Self { dim, matrix, right, plain: Vec::new(), scaled: Vec::new(), memory }
    }

    /// `A = ridge · Id`, `b = 0`.
    pub(crate) fn clear(&mut self, ridge: f64) {
        self.matrix.fill(0.0);
        self.right.fill(0.0);
        self.matrix.iter_mut().step_by(self.dim + 1).for_each(|x| *x = ridge);
    }

    /// `A += weight · gram`; with an offset `o` also `b -= weight · gram · o`.
    pub(crate) fn add_gram(&mut self, weight: f64, gram: &[f64], offset: Option<&[f32]>) {
        self.matrix.iter_mut().zip(gram).for_each(|(a, g)| *a += weight * g);
        if let Some(offset) = offset {
            for (b, line) in self.right.iter_mut().zip(gram.chunks_exact(self.dim)) {
                *b -= weight * line.iter().zip(offset).map(|(g, o)| g * f64::from(*o)).sum::<f64>();
            }
        }
    }

    /// `A += Σ extra y yᵀ` and `b += Σ target y` over cells `(y, extra, target)`; with an offset
    /// `o` every target is less by `extra · (y · o)`.
    pub(crate) fn add_cells<'a>(
        &mut self,
        cells: impl Iterator<Item = (&'a [f32], f64, f64)>,
        offset: Option<&[f32]>,
    ) {
        let mut cells = cells.peekable();
        while cells.peek().is_some() {
            self.plain.clear();
            self.scaled.clear();
            let mut n = 0;
            for (y, extra, target) in cells.by_ref().take(GATHERED) {
                let along: f64 = offset.map_or(0.0, |offset| {
                    y.iter().zip(offset).map(|(y, o)| f64::from(*y) * f64::from(*o)).sum()
                });
                let target = target - extra * along;
                let wide = y.iter().map(|y| f64::from(*y));
                self.right.iter_mut().zip(wide.clone()).for_each(|(b, y)| *b += target * y);
                self.scaled.extend(wide.clone().map(|y| extra * y));
                self.plain.extend(wide);
                n += 1;
            }
            matmul(
                MatMut::from_row_major_slice_mut(&mut self.matrix, self.dim, self.dim),
                BlockStructure::TriangularLower,
                Accum::Add,
                MatRef::from_row_major_slice(&self.plain, n, self.dim).transpose(),
                BlockStructure::Rectangular,
                MatRef::from_row_major_slice(&self.scaled, n, self.dim),
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
    }

    /// `b += weight · x`.
    pub(crate) fn add_right(&mut self, weight: f64, x: &[f32]) {
        self.right.iter_mut().zip(x).for_each(|(b, x)| *b += weight * f64::from(*x));
    }

    /// Factors `A`; false when it is not positive definite.
    pub(crate) fn factor(&mut self) -> bool {
        let matrix = MatMut::from_row_major_slice_mut(&mut self.matrix, self.dim, self.dim);
        let stack = MemStack::new(&mut self.memory);
        cholesky_in_place(matrix, Default::default(), Par::Seq, stack, Default::default()).is_ok()
    }

    /// Solves for `b` with the factored `A` and writes the solution; `b` becomes 0.
    pub(crate) fn solve(&mut self, out: &mut [f32]) {
        let factor = MatRef::from_row_major_slice(&self.matrix, self.dim, self.dim);
        let mut right = MatMut::from_column_major_slice_mut(&mut self.right, self.dim, 1);
        solve_lower_triangular_in_place(factor, right.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(factor.transpose(), right.as_mut(), Par::Seq);
        out.iter_mut().zip(&self.right).for_each(|(o, x)| *o = *x as f32);
        self.right.fill(0.0);
    }
}

/// A row has no solution: `A` is not positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSolution;

/// Solves every row of `out` against the parts; a row in which no part has anything is 0. A row's
/// result depends on that row alone.
pub(crate) fn solve_rows(
    parts: &[&dyn Part],
    ridge: f64,
    out: &mut Matrix,
) -> Result<(), NoSolution> {
    let dim = out.cols().max(1);
    out.as_mut_slice().par_chunks_mut(ROWS * dim).enumerate().try_for_each_init(
        || System::new(dim),
        |system, (chunk, rows)| {
            for (nth, x) in rows.chunks_exact_mut(dim).enumerate() {
                system.clear(ridge);
                let row = chunk * ROWS + nth;
                let mut said = false;
                for part in parts {
                    said |= part.add(row, system);
                }
                if !said {
                    x.fill(0.0);
                } else if system.factor() {
                    system.solve(x);
                } else {
                    return Err(NoSolution);
                }
            }
            Ok(())
        },
    )
}

/// `Σ yᵀ y` over the rows that `keep`, `[dim, dim]`. The order of the sums depends on the shape
/// alone.
pub(crate) fn gram(table: &Matrix, keep: &[bool]) -> Vec<f64> {
    let dim = table.cols().max(1);
    let partial: Vec<Vec<f64>> = table
        .as_slice()
        .par_chunks(GATHERED * dim)
        .zip(keep.par_chunks(GATHERED))
        .map(|(rows, keep)| {
            let kept = rows.chunks_exact(dim).zip(keep).filter(|(_, keep)| **keep);
            let wide: Vec<f64> =
                kept.flat_map(|(row, _)| row.iter().map(|y| f64::from(*y))).collect();
            let rows = MatRef::from_row_major_slice(&wide, wide.len() / dim, dim);
            let mut sum = vec![0.0; dim * dim];
            let out = MatMut::from_row_major_slice_mut(&mut sum, dim, dim);
            faer::linalg::matmul::matmul(
                out,
                Accum::Replace,
                rows.transpose(),
                rows,
                1.0,
                Par::Seq,
            );
            sum
        })
        .collect();
    partial.into_iter().fold(vec![0.0; dim * dim], |mut total, part| {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One<'a> {
        table: &'a Matrix,
        gram: Vec<f64>,
        offset: Option<&'a [f32]>,
    }

    impl Part for One<'_> {
        fn add(&self, row: usize, system: &mut System) -> bool {
            if row > 0 {
                return false;
            }
            system.add_gram(0.5, &self.gram, self.offset);
            let cells = [(self.table.row(1), 2.0, 2.5)];
            system.add_cells(cells.into_iter(), self.offset);
            true
        }
    }

    #[test]
    fn a_row_by_hand() {
        // Rows (1, 0), (1, 1): gram [[2, 1], [1, 1]]. A = ½ gram + 2 [[1, 1], [1, 1]] + Id =
        // [[4, 2.5], [2.5, 3.5]], b = 2.5 (1, 1); det 7.75.
        let table = Matrix::from_vec(2, 2, vec![1.0, 0.0, 1.0, 1.0]).unwrap();
        let whole = gram(&table, &[true, true]);
        assert_eq!(whole, [2.0, 1.0, 1.0, 1.0]);
        assert_eq!(gram(&table, &[true, false]), [1.0, 0.0, 0.0, 0.0]);
        let mut out = Matrix::from_vec(2, 2, vec![9.0; 4]).unwrap();
        let plain = One { table: &table, gram: whole.clone(), offset: None };
        solve_rows(&[&plain], 1.0, &mut out).unwrap();
        let expected = [2.5 / 7.75, 3.75 / 7.75, 0.0, 0.0];
        for (f, e) in out.as_slice().iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{f} {e}");
        }
        // What the offset explains is taken out: o + x is the solution without a ridge on o.
        let moved = One { table: &table, gram: whole, offset: Some(&[1.0, -1.0]) };
        solve_rows(&[&moved], 1.0, &mut out).unwrap();
        // b = 2.5 (1, 1) - (½ gram + 2 [[1, 1], [1, 1]]) (1, -1) = (2, 2.5).
        let expected = [(3.5 * 2.0 - 2.5 * 2.5) / 7.75, (4.0 * 2.5 - 2.5 * 2.0) / 7.75];
        for (f, e) in out.row(0).iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{f} {e}");
        }
        let negative = solve_rows(&[&moved], -100.0, &mut out);
        assert_eq!(negative, Err(NoSolution));
    }
}
