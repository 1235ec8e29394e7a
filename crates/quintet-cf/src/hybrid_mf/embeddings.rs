//! The embeddings of one side, their biases, and the step of the rows that a batch touched.

use quintet_core::{ModelState, SeedStream};
use quintet_tensor::FitError;

use super::attributes::Row;
use super::{HybridMfConfig, Schedule};
use crate::factor_table::FactorTable;

/// `[features, dim + 2]`: the embedding, the user's bias (0 for items) and the item's (0 for
/// users).
pub(super) struct Embeddings {
    pub(super) numbers: FactorTable,
    /// Of squared gradients: their sum, or their running mean for Adadelta.
    squares: FactorTable,
    /// The running mean of squared steps of Adadelta; no rows for Adagrad.
    steps: FactorTable,
    /// The gradient of a batch, zeros in between, and the rows it touches.
    gradient: FactorTable,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
}

impl Embeddings {
    /// Uniform in `±0.5 / dim`; biases 0.
    pub(super) fn new(
        rows: usize,
        config: &HybridMfConfig,
        (seed, purpose): (SeedStream, &str),
    ) -> Self {
        let dim = config.dim;
        let limit = 0.5 / dim as f32;
        let drawn = FactorTable::uniform((rows, dim), (-limit, limit), (seed, purpose));
        let mut numbers = FactorTable::zeros(rows, dim + 2);
        for row in 0..rows {
            numbers.row_mut(row)[..dim].copy_from_slice(&drawn.row(row)[..dim]);
        }
        let steps = if config.schedule == Schedule::Adadelta { rows } else { 0 };
        let zeros = |rows| FactorTable::zeros(rows, dim + 2);
        let (squares, steps, gradient) = (zeros(rows), zeros(steps), zeros(rows));
        let (touched, is_touched) = (Vec::new(), vec![false; rows]);
        Self { numbers, squares, steps, gradient, touched, is_touched }
    }

    /// `Σ_f w_f e_f` of a row.
    pub(super) fn sum(&self, (columns, weights): Row<'_>, out: &mut [f32]) {
        out.fill(0.0);
        for (column, weight) in columns.iter().zip(weights) {
            let row = self.numbers.row(*column as usize);
            out.iter_mut().zip(row).for_each(|(out, e)| *out += weight * e);
        }
    }

    /// Adds `slope · other` to the gradient of a row's sum.
    pub(super) fn add(&mut self, (columns, weights): Row<'_>, (slope, other): (f32, &[f32])) {
        for (column, weight) in columns.iter().zip(weights) {
            let at = *column as usize;
            if !std::mem::replace(&mut self.is_touched[at], true) {
                self.touched.push(*column);
            }
            let scale = slope * weight;
            let row = self.gradient.row_mut(at);
            row.iter_mut().zip(other).for_each(|(g, x)| *g += scale * x);
        }
    }

    /// Steps the rows that were touched; the column `frozen` is not the side's own.
    pub(super) fn step(&mut self, config: &HybridMfConfig, frozen: usize) {
        let HybridMfConfig { lr, rho, epsilon, l2, .. } = *config;
        for at in self.touched.drain(..).map(|at| at as usize) {
            self.is_touched[at] = false;
            let (gradient, row) = (self.gradient.row_mut(at), self.numbers.row_mut(at));
            gradient[frozen] = 0.0;
            gradient.iter_mut().zip(row.iter()).for_each(|(g, x)| *g += l2 * x);
            let squares = self.squares.row_mut(at);
            match config.schedule {
                Schedule::Adagrad => {
                    for ((x, g), square) in row.iter_mut().zip(gradient.iter()).zip(squares) {
                        *square += g * g;
                        *x -= lr * g / (square.sqrt() + epsilon);
                    }
                }
                Schedule::Adadelta => {
                    let steps = self.steps.row_mut(at);
                    let parts = row.iter_mut().zip(gradient.iter()).zip(squares).zip(steps);
                    for (((x, g), square), step) in parts {
                        *square = rho * *square + (1.0 - rho) * g * g;
                        let delta = ((*step + epsilon) / (*square + epsilon)).sqrt() * g;
                        *step = rho * *step + (1.0 - rho) * delta * delta;
                        *x -= lr * delta;
                    }
                }
            }
            gradient.fill(0.0);
        }
    }

    pub(super) fn save(&self, prefix: &str, state: &mut ModelState) {
        state.put(format!("{prefix}numbers"), self.numbers.to_matrix());
        state.put(format!("{prefix}squares"), self.squares.to_matrix());
        state.put(format!("{prefix}steps"), self.steps.to_matrix());
    }

    pub(super) fn load(&mut self, prefix: &str, state: &ModelState) -> Result<(), FitError> {
        let table = |name: &str, like: &FactorTable| {
            let key = format!("{prefix}{name}");
            state.shaped(&key, like.rows(), like.dim()).map(FactorTable::from_matrix)
        };
        let numbers = table("numbers", &self.numbers)?;
        let squares = table("squares", &self.squares)?;
        self.steps = table("steps", &self.steps)?;
        (self.numbers, self.squares) = (numbers, squares);
        Ok(())
    }
}
