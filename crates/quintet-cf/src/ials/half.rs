//! Half an iteration: every row of one side, the other side held fixed.
//!
//! Rows are cut into tasks of up to [`cg::BLOCK`] rows and about [`CELLS`] cells, in order and
//! whatever the number of threads; threads take tasks as they come free, each with buffers of its
//! own. A row's result depends on that row alone, and losses are added in the order of tasks.

use quintet_tensor::FitError;
use rayon::prelude::*;

use super::cholesky::{self, System};
use super::rows::{Rows, Weights};
use super::{IalsConfig, NAME, Solver, cg, gram};
use crate::factor_table::FactorTable;

/// Cells of a task, at least one row.
const CELLS: usize = 4096;
/// Smaller factors become 0.
const TINY: f32 = 1e-12;

/// What the rows of one side are solved against.
pub(super) struct Half<'a> {
    pub(super) rows: &'a Rows,
    pub(super) fixed: &'a FactorTable,
    pub(super) weights: Weights,
    pub(super) cg_steps: usize,
    /// The scaled `YᵀY`: packed for conjugate gradient, plain for Cholesky.
    pub(super) packed: Vec<f32>,
}

/// Rows that one thread solves at a time.
pub(super) struct Task<'a> {
    /// The first of them.
    pub(super) first: usize,
    /// Their factors, padded.
    pub(super) solved: &'a mut [f32],
}

/// Solves every row of `solved`; gives the loss but for the regularisation of `fixed`.
pub(super) fn solve_all(
    config: &IalsConfig,
    rows: &Rows,
    fixed: &FactorTable,
    solved: &mut FactorTable,
) -> Result<f64, FitError> {
    let weights = Weights::new(config, fixed.rows());
    let (gram, size) = (gram::gram(fixed), fixed.stride());
    let mut tasks = cut(rows, solved);
    let losses: Result<Vec<f64>, FitError> = match config.solver {
        Solver::ConjugateGradient => {
            let packed = cg::pack(&gram, size, weights.unobserved);
            let half = Half { rows, fixed, weights, cg_steps: config.cg_steps, packed };
            let with = |scratch: &mut cg::Scratch, task: &mut Task<'_>| {
                let loss = cg::solve(&half, task, scratch);
                clear_tiny(task.solved);
                Ok(loss)
            };
            tasks.par_iter_mut().map_init(cg::Scratch::default, with).collect()
        }
        Solver::Cholesky => {
            let packed = gram.iter().map(|x| x * weights.unobserved).collect();
            let half = Half { rows, fixed, weights, cg_steps: 0, packed };
            let with = |system: &mut System, task: &mut Task<'_>| {
                let loss = cholesky::solve(&half, task, system).map_err(|row| FitError::Data {
                    model: NAME.into(),
                    reason: format!("the system of row {row} is not positive definite; raise l2"),
                })?;
                clear_tiny(task.solved);
                Ok(loss)
            };
            tasks.par_iter_mut().map_init(|| System::new(fixed.dim()), with).collect()
        }
    };
    Ok(losses?.into_iter().sum())
}

/// Strong regularisation shrinks the directions that are not needed towards 0, a little in each
/// iteration. Numbers that are too small to be held exactly make a processor tens of times slower,
/// so what no score can show becomes 0 long before.
fn clear_tiny(numbers: &mut [f32]) {
    numbers.iter_mut().filter(|x| x.abs() < TINY).for_each(|x| *x = 0.0);
}

/// `Σ λ_u ‖x_u‖²` over one side.
pub(super) fn penalty(config: &IalsConfig, rows: &Rows, side: &FactorTable, others: usize) -> f64 {
    let weights = Weights::new(config, others);
    let square = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    (0..side.rows())
        .map(|row| f64::from(weights.l2(rows.row(row).len())) * square(side.row(row)))
        .sum()
}

/// The tasks, in order.
fn cut<'a>(rows: &Rows, solved: &'a mut FactorTable) -> Vec<Task<'a>> {
    let (n_rows, size) = (solved.rows(), solved.stride());
    let mut rest = solved.numbers_mut();
    let (mut tasks, mut first) = (Vec::new(), 0);
    while first < n_rows {
        let mut end = first + 1;
        while end < n_rows
            && end - first < cg::BLOCK
            && rows.indptr[end + 1] - rows.indptr[first] <= CELLS
        {
            end += 1;
        }
        let (solved, after) = rest.split_at_mut((end - first) * size);
        tasks.push(Task { first, solved });
        (rest, first) = (after, end);
    }
    tasks
}
