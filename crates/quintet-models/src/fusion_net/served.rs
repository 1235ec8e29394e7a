//! What lists are ranked by: one score, a sum of the scores of heads, or a product of their
//! probabilities.

use burn::tensor::Device;
use quintet_core::{Matrix, ModelState, StateError};
use quintet_tensor::{FitError, dot, matrix_to_tensor, tensor_to_matrix};

use super::net::FusionNet;
use super::{FusionNetConfig, RankingLoss};

/// The vectors of all users that items are held against.
#[derive(Debug, Clone)]
pub(super) struct UserVectors {
    /// `Σ_k serve_k u_k`, or `u` without heads.
    pub(super) sum: Matrix,
    /// `Σ_k serve_k c_k`.
    pub(super) level: f32,
    /// Where probabilities are multiplied, the heads that count.
    pub(super) product: Vec<Factor>,
}

/// One head of a product.
#[derive(Debug, Clone)]
pub(super) struct Factor {
    /// How much its logarithm counts.
    weight: f32,
    /// Whether it is a probability; a value is added as it is.
    is_probability: bool,
    users: Matrix,
    level: f32,
}

impl UserVectors {
    /// Of embeddings of users.
    pub(super) fn new(
        net: &FusionNet,
        config: &FusionNetConfig,
        embeddings: &Matrix,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut all_kept = crate::network::all_kept();
        let u = net.users(matrix_to_tensor(embeddings, device), &mut all_kept);
        let host = |u| tensor_to_matrix(u).map_err(FitError::Device);
        let (Some(heads), Some(tasks)) = (&net.heads, &config.tasks) else {
            return Ok(Self { sum: host(u.inner())?, level: 0.0, product: Vec::new() });
        };
        let mut sum = Matrix::zeros(embeddings.rows(), embeddings.cols());
        let (mut level, mut product) = (0.0, Vec::new());
        let served = tasks.served().into_iter().enumerate().filter(|(_, weight)| *weight > 0.0);
        for (k, weight) in served {
            let (vectors, c) = heads.users(k, u.clone())?;
            let users = host(vectors.inner())?;
            let cells = sum.as_mut_slice().iter_mut().zip(users.as_slice());
            cells.for_each(|(s, u)| *s += weight * u);
            level += weight * c;
            product.push(Factor { weight, is_probability: heads.is_kind(k), users, level: c });
        }
        // A single head, and scores that were only compared, rank the same as they are.
        if config.loss != RankingLoss::Bce || product.len() < 2 {
            product.clear();
        }
        Ok(Self { sum, level, product })
    }

    /// Adds what is not in the factors to `state`.
    pub(super) fn save(&self, state: &mut ModelState) {
        let mut rows = vec![self.level, 0.0, 0.0];
        for (k, factor) in self.product.iter().enumerate() {
            state.put(format!("product.{k}"), factor.users.clone());
            rows.extend([factor.level, factor.weight, f32::from(u8::from(factor.is_probability))]);
        }
        if let Ok(rows) = Matrix::from_vec(1 + self.product.len(), 3, rows) {
            state.put("served", rows);
        }
    }

    /// Reads back what [`UserVectors::save`] wrote, beside the sum.
    pub(super) fn load(state: &ModelState, sum: Matrix) -> Result<Self, StateError> {
        if !state.tensors.contains_key("served") {
            return Ok(Self { sum, level: 0.0, product: Vec::new() });
        }
        let served = state.matrix("served")?;
        let served = state.shaped("served", served.rows().max(1), 3)?;
        let mut product = Vec::new();
        for k in 1..served.rows() {
            let users = state.shaped(&format!("product.{}", k - 1), sum.rows(), sum.cols())?;
            let [level, weight, kind] = [0, 1, 2].map(|at| served.row(k)[at]);
            let is_probability = kind != 0.0;
            product.push(Factor { weight, is_probability, users: users.clone(), level });
        }
        Ok(Self { sum, level: served.row(0)[0], product })
    }
}

impl UserVectors {
    /// Scores of all items for a user, of a product.
    pub(super) fn score(&self, user: usize, items: &Matrix, out: &mut [f32]) {
        for (item, out) in out.iter_mut().enumerate() {
            let of = |f: &Factor| f.term(dot(f.users.row(user), items.row(item)));
            *out = self.product.iter().map(of).sum();
        }
    }

    /// No score of a product is below it, of items no longer than `longest`: `|u · v| ≤ |u| |v|`.
    pub(super) fn lowest(&self, longest: f32) -> f32 {
        self.product.iter().map(|f| f.term(-longest_row(&f.users) * longest)).sum()
    }
}

impl Factor {
    /// What the head adds to a score.
    fn term(&self, product: f32) -> f32 {
        let logit = product + self.level;
        self.weight * if self.is_probability { log_sigmoid(logit) } else { logit }
    }
}

/// `ln σ(x)` without overflow.
fn log_sigmoid(x: f32) -> f32 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The length of the longest row.
pub(super) fn longest_row(rows: &Matrix) -> f32 {
    (0..rows.rows()).map(|row| dot(rows.row(row), rows.row(row)).sqrt()).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_probabilities_by_hand() {
        let row = |x: f32| Matrix::from_vec(1, 1, vec![x]).unwrap();
        let factor = |weight, is_probability, x, level| Factor {
            weight,
            is_probability,
            users: row(x),
            level,
        };
        let product = vec![factor(1.0, true, 2.0, -1.0), factor(0.5, false, 1.0, 3.0)];
        let served = UserVectors { sum: row(2.5), level: 0.5, product };
        // v = 0.5: ln σ(0) + ½ (0.5 + 3).
        let mut out = [0.0];
        served.score(0, &row(0.5), &mut out);
        assert!((out[0] - (0.5f32.ln() + 1.75)).abs() < 1e-6, "{out:?}");
        let lowest = served.lowest(0.5);
        // ln σ(-2) + ½ (-0.5 + 3)
        assert!((lowest - (log_sigmoid(-2.0) + 1.25)).abs() < 1e-6 && lowest < out[0]);
        assert!((log_sigmoid(-100.0) + 100.0).abs() < 1e-4 && log_sigmoid(100.0) > -1e-6);
        let mut state = ModelState::new("t");
        served.save(&mut state);
        let again = UserVectors::load(&state, row(2.5)).unwrap();
        let mut same = [0.0];
        again.score(0, &row(0.5), &mut same);
        assert_eq!((out, again.level, again.product.len()), (same, 0.5, 2));
    }
}
