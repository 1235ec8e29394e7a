//! Objectives of pairs of a wanted item and another.
//!
//! ```text
//! BPR     softplus(-(s_i - s_j))          Rendle et al., UAI 2009
//! hinge   max(0, m - s_i + s_j)
//! WARP    H(⌊(n_items - 1) / trials⌋) · max(0, m - s_i + s_j)
//! ```
//! WARP: Weston, Bengio & Usunier, "WSABIE: Scaling Up To Large Vocabulary Image Annotation",
//! IJCAI 2011; `j` is the first drawn negative that violates the margin, `trials` how many draws
//! that took, `H(k) = 1 + 1/2 + … + 1/k`. No parameters.

use burn::prelude::*;
use burn::tensor::TensorData;

/// `ln(1 + e^x)` without overflow: `max(x, 0) + ln(1 + e^{-|x|})`.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // The maximum is written as (x + |x|) / 2: its slope at 0 is then ½, as it should be, where
    // that of a clamp is 0 or 1.
    let size = x.clone().abs();
    x * 0.5 + size.clone() * 0.5 + size.neg().exp().log1p()
}

/// Bayesian personalised ranking: `mean softplus(-(positive - negative))`.
///
/// Rendle et al., UAI 2009. `positive`, `negative`: `[batch, 1]`.
pub fn bpr_loss(positive: Tensor<2>, negative: Tensor<2>) -> Tensor<1> {
    softplus(negative - positive).mean()
}

/// Hinge loss, the mean over all negatives: `mean max(0, margin - positive + negative)`.
///
/// - `positive`: `[batch, 1]`
/// - `negatives`: `[batch, n_neg]`
///
/// # Panics
/// When the shapes disagree.
pub fn hinge_loss(positive: Tensor<2>, negatives: Tensor<2>, margin: f32) -> Tensor<1> {
    violations(positive, negatives, margin).clamp_min(0.0).mean()
}

/// Weighted approximate-rank pairwise loss, from the scores of negatives in the order in which
/// they were drawn. A row without a violation adds 0.
///
/// - `positive`: `[batch, 1]`
/// - `negatives`: `[batch, n_neg]`
/// - `n_items`: how many items negatives are drawn from, the positive included
///
/// # Panics
/// When the shapes disagree, or there is no negative.
pub fn warp_loss(
    positive: Tensor<2>,
    negatives: Tensor<2>,
    margin: f32,
    n_items: usize,
) -> Tensor<1> {
    let [batch, n_neg] = negatives.dims();
    assert!(n_neg > 0, "WARP needs at least one negative a row");
    let device = negatives.device();
    let gap = violations(positive, negatives, margin); // [batch, n_neg]
    let violated = gap.clone().detach().greater_elem(0.0).float();
    // The largest of n_neg, n_neg - 1, …, 1 over the violations stands at the first of them.
    let falling: Vec<f32> = (0..n_neg).map(|at| (n_neg - at) as f32).collect();
    let falling = Tensor::<2>::from_data(TensorData::new(falling, [1, n_neg]), &device);
    let first = (violated * falling).argmax(1); // [batch, 1]; 0 where nothing is violated
    let weight = (1..=n_neg).map(|trials| harmonic(n_items.saturating_sub(1) / trials));
    let weight = TensorData::new(weight.collect::<Vec<f32>>(), [n_neg]);
    let weight = Tensor::<1>::from_data(weight, &device)
        .select(0, first.clone().reshape([batch]))
        .reshape([batch, 1]);
    (gap.gather(1, first).clamp_min(0.0) * weight).mean()
}

/// `margin - positive + negative`, `[batch, n_neg]`.
fn violations(positive: Tensor<2>, negatives: Tensor<2>, margin: f32) -> Tensor<2> {
    let [batch, _] = negatives.dims();
    assert_eq!(positive.dims(), [batch, 1], "one positive a row of negatives");
    negatives - positive + margin
}

/// `1 + 1/2 + … + 1/k`.
fn harmonic(k: usize) -> f32 {
    (1..=k).map(|i| 1.0 / i as f64).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_to_vec;

    fn number(loss: Tensor<1>) -> f32 {
        tensor_to_vec(loss.inner()).unwrap()[0]
    }

    #[test]
    fn bpr_by_hand() {
        let device = Device::flex();
        let bpr = bpr_loss(
            Tensor::from_data([[1.0], [0.0]], &device),
            Tensor::from_data([[0.0], [0.0]], &device),
        );
        // (ln(1 + e^-1) + ln 2) / 2
        let expected = ((1.0f32 + (-1.0f32).exp()).ln() + 2.0f32.ln()) / 2.0;
        assert!((tensor_to_vec(bpr).unwrap()[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn softplus_does_not_overflow_and_has_slope_one_half_at_zero() {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats([-200.0, 0.0, 200.0], &device);
        let y = tensor_to_vec(softplus(x)).unwrap();
        assert!(y[0].abs() < 1e-6 && (y[1] - 2.0f32.ln()).abs() < 1e-6 && y[2] == 200.0);
        let x = Tensor::<1>::from_floats([-200.0, 0.0, 200.0], &device.autodiff()).require_grad();
        let grads = softplus(x.clone()).sum().backward();
        assert_eq!(tensor_to_vec(x.grad(&grads).unwrap()).unwrap(), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn warp_weighs_the_first_violation_by_the_rank_it_suggests() {
        let device = Device::flex();
        let positive = Tensor::from_data([[2.0], [2.0]], &device);
        // Margin 1: row 0 is violated first in the second draw, by 1 - 2 + 1.5 = 0.5; of 8 other
        // items that suggests rank ⌊8 / 2⌋ = 4, H(4) = 25/12. Row 1 is not violated.
        let negatives = Tensor::from_data([[0.0, 1.5, 9.0], [0.5, 1.0, -3.0]], &device);
        let found = number(warp_loss(positive.clone(), negatives.clone(), 1.0, 9));
        assert!((found - 0.5 * 0.5 * 25.0 / 12.0).abs() < 1e-6, "{found}");
        // Hinge: (0 + 0.5 + 8 + 0 + 0 + 0) / 6.
        let found = number(hinge_loss(positive, negatives, 1.0));
        assert!((found - 8.5 / 6.0).abs() < 1e-6, "{found}");
    }
}
