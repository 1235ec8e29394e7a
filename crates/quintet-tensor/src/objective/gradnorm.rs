//! Weights of tasks under which they learn at one speed.
//!
//! Chen, Badrinarayanan, Lee & Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss
//! Balancing in Deep Multitask Networks", ICML 2018.
//!
//! ```text
//! G_k = w_k ‖g_k‖      Ḡ = mean_k G_k      r_k = L_k / L_k(0) over its mean
//! w_k ← w_k - η sign(G_k - Ḡ r_k^α) ‖g_k‖, then Σ_k w_k = n_tasks
//! ```
//! `g_k` is the gradient of task `k` alone at what the tasks share. The step is the gradient of
//! `Σ_k |G_k - Ḡ r_k^α|` with the targets held fixed (algorithm 1), plain, not by Adam; a weight
//! stays above a small floor. A task without a loss in a step takes no part in it.

use quintet_core::{Matrix, ModelState};

use crate::FitError;

/// No weight falls below it: a task of weight 0 would never come back.
const FLOOR: f32 = 1e-3;

/// The weights, and the losses that they began with.
#[derive(Debug, Clone, PartialEq)]
pub struct GradNorm {
    weights: Vec<f32>,
    /// `L_k(0)`; 0 before the task had a loss.
    start: Vec<f32>,
    alpha: f32,
    lr: f32,
}

impl GradNorm {
    /// All weights 1. `alpha`, 0 or more, is how strongly slow tasks are helped (the paper takes
    /// 0.12 to 1.5); `lr` is the step of the weights.
    pub fn new(n_tasks: usize, alpha: f32, lr: f32) -> Self {
        Self { weights: vec![1.0; n_tasks], start: vec![0.0; n_tasks], alpha, lr }
    }

    /// The weight of each task.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Moves the weights one step and gives them. Of each task its loss and the length of its
    /// gradient at what is shared; `None` where it has no loss in this step.
    ///
    /// # Panics
    /// With another number of tasks.
    pub fn step(&mut self, tasks: &[Option<(f32, f32)>]) -> &[f32] {
        assert_eq!(tasks.len(), self.weights.len(), "one entry a task");
        let mut here = Vec::new();
        for (k, task) in tasks.iter().enumerate() {
            let Some((loss, length)) = *task else { continue };
            if self.start[k] == 0.0 {
                self.start[k] = loss;
            }
            if self.start[k] > 0.0 && loss.is_finite() && length.is_finite() {
                here.push((k, loss / self.start[k], length));
            }
        }
        let n = here.len().max(1) as f32;
        let speed: f32 = here.iter().map(|(_, rate, _)| rate).sum::<f32>() / n;
        let mean: f32 = here.iter().map(|(k, _, g)| self.weights[*k] * g).sum::<f32>() / n;
        // With one task there is nothing to balance; without a gradient, no direction.
        if here.len() > 1 && speed > 0.0 && mean > 0.0 {
            for (k, rate, length) in here {
                let target = mean * (rate / speed).powf(self.alpha);
                let apart = self.weights[k] * length - target;
                // In units of the mean, so that `lr` means the same for losses of any scale.
                let slope = if apart == 0.0 { 0.0 } else { apart.signum() * length / mean };
                self.weights[k] = (self.weights[k] - self.lr * slope).max(FLOOR);
            }
            let sum: f32 = self.weights.iter().sum();
            let scale = self.weights.len() as f32 / sum;
            self.weights.iter_mut().for_each(|w| *w *= scale);
        }
        &self.weights
    }

    /// Adds weights and first losses to `state` under `prefix`.
    ///
    /// # Errors
    /// None that numbers of one length can cause.
    pub fn save(&self, prefix: &str, state: &mut ModelState) -> Result<(), FitError> {
        for (name, row) in [("weights", &self.weights), ("start", &self.start)] {
            state.put(format!("{prefix}{name}"), Matrix::from_vec(1, row.len(), row.clone())?);
        }
        Ok(())
    }

    /// Reads back what [`GradNorm::save`] wrote.
    ///
    /// # Errors
    /// An array is missing or of another number of tasks.
    pub fn load(&mut self, prefix: &str, state: &ModelState) -> Result<(), FitError> {
        let n = self.weights.len();
        let row = |name: &str| -> Result<Vec<f32>, FitError> {
            Ok(state.shaped(&format!("{prefix}{name}"), 1, n)?.as_slice().to_vec())
        };
        (self.weights, self.start) = (row("weights")?, row("start")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_by_hand() {
        let mut tasks = GradNorm::new(2, 1.0, 0.1);
        // Both begin: r = 1, 1. G = 1, 3, mean 2: the first is below its target, the second above.
        // Slopes -1 · 1 / 2 and 3 / 2: weights 1.05 and 0.85, sum 1.9, scaled to 2.
        let found = tasks.step(&[Some((4.0, 1.0)), Some((2.0, 3.0))]).to_vec();
        let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(near(found[0], 2.1 / 1.9) && near(found[1], 1.7 / 1.9), "{found:?}");
    }

    #[test]
    fn a_slow_task_gains_and_a_task_without_a_loss_waits() {
        let mut tasks = GradNorm::new(3, 1.0, 0.05);
        tasks.step(&[Some((1.0, 1.0)), Some((1.0, 1.0)), None]);
        let before = tasks.weights()[2] / tasks.weights()[0];
        // The first has halved, the second not moved; their gradients are of one length.
        for _ in 0..3 {
            tasks.step(&[Some((0.5, 1.0)), Some((1.0, 1.0)), None]);
        }
        let w = tasks.weights();
        assert!(w[1] > w[0], "{w:?}");
        assert!((w.iter().sum::<f32>() - 3.0).abs() < 1e-5, "{w:?}");
        assert!(before > 0.0 && tasks.start[2] == 0.0);
    }

    #[test]
    fn balance_is_where_it_ends_and_survives_saving() {
        // Gradients of length 1 and 4 and losses that do not move: the weights end near 4 : 1.
        let mut tasks = GradNorm::new(2, 0.5, 0.01);
        for _ in 0..500 {
            tasks.step(&[Some((1.0, 1.0)), Some((1.0, 4.0))]);
        }
        let w = tasks.weights();
        assert!((w[0] / w[1] - 4.0).abs() < 0.4, "{w:?}");
        let mut state = ModelState::new("t");
        tasks.save("g.", &mut state).unwrap();
        let mut again = GradNorm::new(2, 0.5, 0.01);
        again.load("g.", &state).unwrap();
        assert_eq!(again, tasks);
        assert!(GradNorm::new(3, 0.5, 0.01).load("g.", &state).is_err());
    }
}
