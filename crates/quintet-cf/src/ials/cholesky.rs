//! The exact solution of a row: its matrix is built and factored.
//!
//! `A = w₀ YᵀY + Σ extra y yᵀ + λ Id` in 32 bits, lower triangle only; the sum over the cells is
//! a product of two gathered blocks. Cost: `n d² + d³/3` multiply-adds a row of n cells.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, MatMut, MatRef, Par};

use super::half::{Half, Task};
use super::rows::{Cells, Weights};
use crate::factor_table::FactorTable;

/// Cells that are gathered at a time.
const GATHERED: usize = 256;

/// One row's system and the buffers to build it, kept from row to row.
pub(super) struct System {
    dim: usize,
    /// `[dim, dim]`; after [`System::factor`] its lower triangle holds the factor.
    matrix: Vec<f32>,
    /// `[dim]`: first `b`, then the solution.
    pub(super) right: Vec<f32>,
    plain: Vec<f32>,
    scaled: Vec<f32>,
    memory: MemBuffer,
}

impl System {
    pub(super) fn new(dim: usize) -> Self {
        let memory =
            MemBuffer::new(cholesky_in_place_scratch::<f32>(dim, Par::Seq, Default::default()));
        let (matrix, right) = (vec![0.0; dim * dim], vec![0.0; dim]);
        Self { dim, matrix, right, plain: Vec::new(), scaled: Vec::new(), memory }
    }

    /// Builds `A` and `b` from the cells of a row; `gram` is the scaled `YᵀY` with its padding.
    /// Gives `Σ target`.
    pub(super) fn build(
        &mut self,
        gram: &[f32],
        table: &FactorTable,
        cells: Cells<'_>,
        weights: &Weights,
    ) -> f64 {
        let (dim, l2) = (self.dim, weights.l2(cells.len()));
        let rows = gram.chunks_exact(table.stride()).take(dim);
        for (nth, (to, from)) in self.matrix.chunks_exact_mut(dim).zip(rows).enumerate() {
            to.copy_from_slice(&from[..dim]);
            to[nth] += l2;
        }
        self.right.fill(0.0);
        let mut targets = 0.0f64;
        for (block, columns) in cells.columns.chunks(GATHERED).enumerate() {
            self.plain.clear();
            self.scaled.clear();
            for (nth, column) in columns.iter().enumerate() {
                let value = cells.value(block * GATHERED + nth);
                let (extra, target) = (weights.extra(value), weights.target(value));
                let y = &table.row(*column as usize)[..dim];
                self.plain.extend_from_slice(y);
                self.scaled.extend(y.iter().map(|y| extra * y));
                self.right.iter_mut().zip(y).for_each(|(b, y)| *b += target * y);
                targets += f64::from(target);
            }
            matmul(
                MatMut::from_row_major_slice_mut(&mut self.matrix, dim, dim),
                BlockStructure::TriangularLower,
                Accum::Add,
                MatRef::from_row_major_slice(&self.plain, columns.len(), dim).transpose(),
                BlockStructure::Rectangular,
                MatRef::from_row_major_slice(&self.scaled, columns.len(), dim),
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
        targets
    }

    /// Factors the matrix. False when it is not positive definite.
    pub(super) fn factor(&mut self) -> bool {
        let matrix = MatMut::from_row_major_slice_mut(&mut self.matrix, self.dim, self.dim);
        let stack = MemStack::new(&mut self.memory);
        cholesky_in_place(matrix, Default::default(), Par::Seq, stack, Default::default()).is_ok()
    }

    /// Solves for [`System::right`] in its place, with the factored matrix.
    pub(super) fn solve(&mut self) {
        let dim = self.dim;
        let factor = MatRef::from_row_major_slice(&self.matrix, dim, dim);
        let mut right = MatMut::from_column_major_slice_mut(&mut self.right, dim, 1);
        solve_lower_triangular_in_place(factor, right.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(factor.transpose(), right.as_mut(), Par::Seq);
    }
}

/// Solves the rows of a task; gives their part of the loss, or the row whose system has no
/// solution.
pub(super) fn solve(
    half: &Half<'_>,
    task: &mut Task<'_>,
    system: &mut System,
) -> Result<f64, usize> {
    let mut loss = 0.0;
    for (nth, x) in task.solved.chunks_exact_mut(half.fixed.stride()).enumerate() {
        let row = task.first + nth;
        let cells = half.rows.row(row);
        x.fill(0.0);
        if cells.len() == 0 {
            continue;
        }
        loss += system.build(&half.packed, half.fixed, cells, &half.weights);
        // `x` keeps `b` until the solution comes.
        x[..system.dim].copy_from_slice(&system.right);
        if !system.factor() {
            return Err(row);
        }
        system.solve();
        // At the minimum the quadratic part is `-x·b`.
        loss -=
            x.iter().zip(&system.right).map(|(b, x)| f64::from(*b) * f64::from(*x)).sum::<f64>();
        x[..system.dim].copy_from_slice(&system.right);
    }
    Ok(loss)
}
