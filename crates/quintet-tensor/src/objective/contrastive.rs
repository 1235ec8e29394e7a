//! Objectives of two views of the same things. Rows are brought to length 1 first.
//!
//! ```text
//! InfoNCE     -ln softmax_j(a_i · b_j / τ)_i
//! bootstrap   1 - cos(p, stop_gradient(t))
//! alignment   mean ‖a_i - b_i‖²            uniformity   ln mean_{i<j} e^{-t ‖x_i - x_j‖²}
//! DirectAU    alignment(u, i) + γ (uniformity(u) + uniformity(i)) / 2
//! ```
//! van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018.
//! Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020. Wang & Isola, "Understanding
//! Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere",
//! ICML 2020. Wang et al., "Towards Representation Alignment and Uniformity in Collaborative
//! Filtering", KDD 2022. No parameters; InfoNCE and uniformity cost `O(batch² · dim)`.

use burn::prelude::*;
use burn::tensor::{TensorData, activation};

use crate::{contrast_rows, unit_rows};

/// How [`info_nce`] compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InfoNce {
    /// What cosines are divided by.
    pub temperature: f32,
    /// Whether the second view also chooses among the first, and the two losses are averaged.
    pub symmetric: bool,
}

impl Default for InfoNce {
    fn default() -> Self {
        Self { temperature: 0.2, symmetric: false }
    }
}

/// In-batch contrast: row `i` of the first view should choose row `i` of the second.
///
/// - `first`, `second`: `[batch, dim]`
/// - `false_negatives`: `[batch, batch]`, true where row `j` of the second view is another match
///   of row `i` of the first, which is left out; the diagonal is not read
///
/// # Panics
/// When the shapes disagree, or the temperature is not above 0.
pub fn info_nce(
    first: Tensor<2>,
    second: Tensor<2>,
    config: InfoNce,
    false_negatives: Option<Tensor<2, Bool>>,
) -> Tensor<1> {
    let [batch, _] = first.dims();
    assert_eq!(first.dims(), second.dims(), "both views have the same rows and width");
    assert!(config.temperature > 0.0, "temperature {} is not above 0", config.temperature);
    let device = first.device();
    let (first, second) = (unit_rows(first), unit_rows(second));
    if false_negatives.is_none() && !config.symmetric {
        let own: Vec<u32> = (0..batch as u32).collect();
        return contrast_rows(first, second, &own, config.temperature);
    }
    let mut logits = first.matmul(second.transpose()) / config.temperature; // [batch, batch]
    if let Some(hidden) = false_negatives {
        assert_eq!(hidden.dims(), [batch, batch], "one flag a pair of rows");
        let others = Tensor::<2, Bool>::diag_mask([batch, batch], 0, &device);
        logits = logits.mask_fill(hidden.bool_and(others), -1e9);
    }
    let rows: Vec<i32> = (0..batch as i32).collect();
    let own = Tensor::<2, Int>::from_data(TensorData::new(rows, [batch, 1]), &device);
    let choose =
        |logits: Tensor<2>| activation::log_softmax(logits, 1).gather(1, own.clone()).mean().neg();
    if config.symmetric {
        (choose(logits.clone()) + choose(logits.transpose())) * 0.5
    } else {
        choose(logits)
    }
}

/// Cosine distance of a prediction to a target that gets no gradient, `[batch, dim]` both.
///
/// # Panics
/// When the shapes disagree.
pub fn cosine_bootstrap(predicted: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    assert_eq!(predicted.dims(), target.dims(), "one target a prediction");
    let cosine = (unit_rows(predicted) * unit_rows(target.detach())).sum_dim(1);
    cosine.mean().neg() + 1.0
}

/// Mean squared distance of matching rows, `[batch, dim]` both.
///
/// # Panics
/// When the shapes disagree.
pub fn alignment(first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
    assert_eq!(first.dims(), second.dims(), "both views have the same rows and width");
    (unit_rows(first) - unit_rows(second)).powi_scalar(2).sum_dim(1).mean()
}

/// How close the rows of `x`, `[batch, dim]`, are to each other: the log of the mean of
/// `e^{-t · squared distance}` over pairs. The lower, the more evenly they cover the sphere.
///
/// # Panics
/// With fewer than two rows.
pub fn uniformity(x: Tensor<2>, t: f32) -> Tensor<1> {
    let [batch, _] = x.dims();
    assert!(batch >= 2, "uniformity needs two rows, found {batch}");
    let device = x.device();
    let x = unit_rows(x);
    // ‖x_i - x_j‖² = 2 - 2 x_i · x_j
    let power = (x.clone().matmul(x.transpose()) - 1.0) * (2.0 * t); // [batch, batch]
    // False on the diagonal: a row is no pair with itself.
    let own = Tensor::<2, Bool>::diag_mask([batch, batch], 0, &device).bool_not();
    let power = power.mask_fill(own, -1e9);
    let largest = power.clone().detach().max();
    let sum = (power - largest.clone().reshape([1, 1])).exp().sum();
    sum.log() + largest - ((batch * (batch - 1)) as f32).ln()
}

/// The objective of DirectAU, `users` and `items` `[batch, dim]` of observed pairs, `t = 2`.
///
/// # Panics
/// When the shapes disagree, or with fewer than two rows.
pub fn direct_au(users: Tensor<2>, items: Tensor<2>, gamma: f32) -> Tensor<1> {
    let apart = uniformity(users.clone(), 2.0) + uniformity(items.clone(), 2.0);
    alignment(users, items) + apart * (gamma / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_to_vec;

    #[test]
    fn rows_of_zeros_have_finite_gradients() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data([[0.0, 0.0], [0.0, 3.0]], &device).require_grad();
        let y = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 2.0]], &device);
        let loss = info_nce(x.clone(), y.clone(), InfoNce::default(), None)
            + cosine_bootstrap(x.clone(), y.clone())
            + direct_au(x.clone(), y, 1.0);
        let grads = loss.backward();
        let grad = tensor_to_vec(x.grad(&grads).unwrap()).unwrap();
        assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
    }

    #[test]
    fn the_target_of_a_bootstrap_gets_no_gradient() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data([[1.0, 0.0]], &device).require_grad();
        let y = Tensor::<2>::from_data([[0.6, 0.8]], &device).require_grad();
        let loss = cosine_bootstrap(x.clone(), y.clone());
        let found = tensor_to_vec(loss.clone().inner()).unwrap()[0];
        assert!((found - 0.4).abs() < 1e-6, "1 - 0.6, found {found}");
        let grads = loss.backward();
        assert!(x.grad(&grads).is_some() && y.grad(&grads).is_none());
    }
}
