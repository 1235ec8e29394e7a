//! Conjugate gradient over blocks of rows, without ever building a row's matrix.
//!
//! Takács, Pilászy, Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback
//! Collaborative Filtering", RecSys 2011. `A v = w₀ (YᵀY) v + Σ extra y (y·v) + λ v`. The first
//! product is the same matrix for every row: the directions of a block of rows are multiplied by
//! it together, all sums in registers. The second reads each `y` once a step: its dot product and
//! its addition go over four cells at a time, while they are in the first cache.
//!
//! The loss comes for nothing: with `r = b - A x` the row's part of it is
//! `Σ target - x·b - x·r`, and each step lowers it by `a ρ`.
//!
//! Cost: `(steps + 1) (n d + d²)` multiply-adds twice over a row of n cells.

use pulp::{Arch, Simd, WithSimd};

use super::half::{Half, Task};
use super::rows::Cells;
use crate::factor_table::{add_scaled, dot};

/// Rows whose directions are multiplied together.
pub(super) const BLOCK: usize = 32;
/// Below this the squared residual counts as solved.
const SOLVED: f32 = 1e-20;
/// Rows beside each other in registers.
const TALL: usize = 4;

/// What one thread needs besides the rows that it solves.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    residual: Vec<f32>,
    direction: Vec<f32>,
    product: Vec<f32>,
    rows: Vec<RowState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct RowState {
    /// Squared length of the residual.
    rho: f32,
    l2: f32,
    /// Whether there is anything left to do.
    open: bool,
    loss: f64,
}

/// `YᵀY`, scaled, in the order in which the block product reads it: for every pair of vectors of
/// columns its numbers row by row.
pub(super) fn pack(gram: &[f32], size: usize, scale: f32) -> Vec<f32> {
    let width = 2 * Arch::new().dispatch(Lanes);
    let mut packed = Vec::with_capacity(gram.len());
    for first in (0..size).step_by(width) {
        for row in gram.chunks_exact(size) {
            packed.extend(row[first..first + width].iter().map(|x| scale * x));
        }
    }
    packed
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Solves the rows of a task; gives their part of the loss.
pub(super) fn solve(half: &Half<'_>, task: &mut Task<'_>, scratch: &mut Scratch) -> f64 {
    Arch::new().dispatch(Solve { half, task, scratch })
}

struct Solve<'a, 'b, 'c> {
    half: &'a Half<'b>,
    task: &'a mut Task<'c>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Solve<'_, '_, '_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self { half, task, scratch } = self;
        let size = half.fixed.stride();
        let numbers = task.solved.len();
        for buffer in [&mut scratch.residual, &mut scratch.direction, &mut scratch.product] {
            buffer.resize(numbers, 0.0);
        }
        scratch.rows.resize(numbers / size, RowState::default());
        times_gram(simd, &half.packed, size, task.solved, &mut scratch.product);
        begin(simd, half, task, scratch);
        for _ in 0..half.cg_steps {
            if scratch.rows.iter().all(|row| !row.open) {
                break;
            }
            times_gram(simd, &half.packed, size, &scratch.direction, &mut scratch.product);
            step(simd, half, task, scratch);
        }
        scratch.rows.iter().map(|row| row.loss).sum()
    }
}

/// The residual at the start, which is also the first direction.
#[inline(always)]
fn begin<S: Simd>(simd: S, half: &Half<'_>, task: &mut Task<'_>, scratch: &mut Scratch) {
    let size = half.fixed.stride();
    let weights = half.weights;
    for (nth, state) in scratch.rows.iter_mut().enumerate() {
        let at = nth * size..(nth + 1) * size;
        let (x, cells) = (&mut task.solved[at.clone()], half.rows.row(task.first + nth));
        let residual = &mut scratch.residual[at.clone()];
        *state = RowState { l2: weights.l2(cells.len()), ..RowState::default() };
        if cells.len() == 0 {
            x.fill(0.0);
            residual.fill(0.0);
            scratch.direction[at].fill(0.0);
            continue;
        }
        residual.fill(0.0);
        add_scaled(simd, -1.0, &scratch.product[at.clone()], residual);
        add_scaled(simd, -state.l2, x, residual);
        let (mut x_b, mut targets) = (0.0f64, 0.0f64);
        over_cells(simd, half.fixed.numbers(), cells, x, residual, |value, t| {
            let target = weights.target(value);
            x_b += f64::from(target) * f64::from(t);
            targets += f64::from(target);
            target - weights.extra(value) * t
        });
        state.rho = dot(simd, residual, residual);
        state.loss = targets - x_b - f64::from(dot(simd, x, residual));
        state.open = state.rho >= SOLVED;
        scratch.direction[at].copy_from_slice(residual);
    }
}

/// One step of every row that is not solved.
#[inline(always)]
fn step<S: Simd>(simd: S, half: &Half<'_>, task: &mut Task<'_>, scratch: &mut Scratch) {
    let size = half.fixed.stride();
    let weights = half.weights;
    for (nth, state) in scratch.rows.iter_mut().enumerate().filter(|(_, row)| row.open) {
        let at = nth * size..(nth + 1) * size;
        let direction = &mut scratch.direction[at.clone()];
        let (product, residual) =
            (&mut scratch.product[at.clone()], &mut scratch.residual[at.clone()]);
        add_scaled(simd, state.l2, direction, product);
        let cells = half.rows.row(task.first + nth);
        over_cells(simd, half.fixed.numbers(), cells, direction, product, |value, t| {
            weights.extra(value) * t
        });
        let curvature = dot(simd, direction, product);
        if curvature.is_nan() || curvature <= 0.0 {
            state.open = false;
            continue;
        }
        let a = state.rho / curvature;
        add_scaled(simd, a, direction, &mut task.solved[at]);
        add_scaled(simd, -a, product, residual);
        state.loss -= f64::from(a) * f64::from(state.rho);
        let rho = dot(simd, residual, residual);
        state.open = rho >= SOLVED;
        turn(simd, rho / state.rho, residual, direction);
        state.rho = rho;
    }
}

/// `p = r + β p`.
#[inline(always)]
fn turn<S: Simd>(simd: S, beta: f32, residual: &[f32], direction: &mut [f32]) {
    let ((r, _), (p, _)) = (S::as_simd_f32s(residual), S::as_mut_simd_f32s(direction));
    let beta = simd.splat_f32s(beta);
    for (r, p) in r.iter().zip(p) {
        *p = simd.mul_add_f32s(beta, *p, *r);
    }
}

/// For each cell with row `y` of the table: `out += coefficient(value, y·v) y`.
#[inline(always)]
fn over_cells<S: Simd>(
    simd: S,
    table: &[f32],
    cells: Cells<'_>,
    v: &[f32],
    out: &mut [f32],
    mut coefficient: impl FnMut(f32, f32) -> f32,
) {
    let size = v.len();
    let row = |column: u32| S::as_simd_f32s(&table[column as usize * size..][..size]).0;
    let ((v_vectors, _), zero) = (S::as_simd_f32s(v), simd.splat_f32s(0.0));
    let (fours, rest) = cells.columns.as_chunks::<4>();
    for (nth, four) in fours.iter().enumerate() {
        let [a, b, c, d] = four.map(row);
        let mut sums = [zero; 4];
        for ((((v, a), b), c), d) in v_vectors.iter().zip(a).zip(b).zip(c).zip(d) {
            sums[0] = simd.mul_add_f32s(*v, *a, sums[0]);
            sums[1] = simd.mul_add_f32s(*v, *b, sums[1]);
            sums[2] = simd.mul_add_f32s(*v, *c, sums[2]);
            sums[3] = simd.mul_add_f32s(*v, *d, sums[3]);
        }
        let mut by = [zero; 4];
        for (k, by) in by.iter_mut().enumerate() {
            let t = simd.reduce_sum_f32s(sums[k]);
            *by = simd.splat_f32s(coefficient(cells.value(4 * nth + k), t));
        }
        let (out, _) = S::as_mut_simd_f32s(out);
        for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let first = simd.mul_add_f32s(by[0], *a, *out);
            let second = simd.mul_add_f32s(by[3], *d, simd.mul_f32s(by[2], *c));
            *out = simd.add_f32s(simd.mul_add_f32s(by[1], *b, first), second);
        }
    }
    for (nth, column) in rest.iter().enumerate() {
        let y = &table[*column as usize * size..][..size];
        let by = coefficient(cells.value(4 * fours.len() + nth), dot(simd, y, v));
        add_scaled(simd, by, y, out);
    }
}

/// `out = rows · YᵀY` with the packed matrix; a row's sum goes over the inner axis in order,
/// whatever stands beside it.
#[inline(always)]
fn times_gram<S: Simd>(simd: S, packed: &[f32], size: usize, rows: &[f32], out: &mut [f32]) {
    let width = 2 * S::F32_LANES;
    let blocks = rows.chunks(TALL * size).zip(out.chunks_mut(TALL * size));
    for (rows, out) in blocks {
        for (nth, panel) in packed.chunks_exact(size * width).enumerate() {
            let (panel, _) = S::as_simd_f32s(panel);
            let (panel, _) = panel.as_chunks::<2>();
            if rows.len() == TALL * size {
                tall_product(simd, panel, rows, out, nth * width);
                continue;
            }
            for (row, out) in rows.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                let mut sums = [simd.splat_f32s(0.0); 2];
                for (x, column) in row.iter().zip(panel) {
                    let x = simd.splat_f32s(*x);
                    sums[0] = simd.mul_add_f32s(x, column[0], sums[0]);
                    sums[1] = simd.mul_add_f32s(x, column[1], sums[1]);
                }
                let (out, _) = S::as_mut_simd_f32s(&mut out[nth * width..][..width]);
                out.copy_from_slice(&sums);
            }
        }
    }
}

/// [`TALL`] rows times one panel of columns.
#[inline(always)]
fn tall_product<S: Simd>(
    simd: S,
    panel: &[[S::f32s; 2]],
    rows: &[f32],
    out: &mut [f32],
    first: usize,
) {
    let size = panel.len();
    let (a, rest) = rows.split_at(size);
    let (b, rest) = rest.split_at(size);
    let (c, d) = rest.split_at(size);
    let mut sums = [[simd.splat_f32s(0.0); 2]; TALL];
    for ((((column, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        for (sums, x) in sums.iter_mut().zip([a, b, c, d]) {
            let x = simd.splat_f32s(*x);
            sums[0] = simd.mul_add_f32s(x, column[0], sums[0]);
            sums[1] = simd.mul_add_f32s(x, column[1], sums[1]);
        }
    }
    for (out, sums) in out.chunks_exact_mut(size).zip(&sums) {
        let (out, _) = S::as_mut_simd_f32s(&mut out[first..first + 2 * S::F32_LANES]);
        out.copy_from_slice(sums);
    }
}
