//! Losses that pull the vectors of two modalities together, each `[1]`, to be minimised.
//!
//! InfoNCE asks for pairs; CORAL and MMD compare the two sets and know no pairs; the reversed
//! gradient turns a classifier of modalities into an opponent.
//! Papers: Radford et al., "Learning Transferable Visual Models From Natural Language
//! Supervision" (CLIP), ICML 2021; Sun & Saenko, "Deep CORAL", ECCV Workshops 2016; Gretton et
//! al., "A Kernel Two-Sample Test", JMLR 2012; Ganin et al., "Domain-Adversarial Training of
//! Neural Networks", JMLR 2016.
//! Parameters: none. Cost: InfoNCE and MMD `O(n² d)`, CORAL `O(n d²)`.

use burn::prelude::*;
use burn::tensor::activation::log_softmax;

/// Symmetric cross-entropy of `s · a bᵀ` with the pairs on the diagonal.
///
/// - `a`, `b`: `[batch, dim]`, rows of length 1; row `i` of both is one pair
/// - `scale`: `[1, 1]`, `s`, one over the temperature
///
/// # Panics
/// When the shapes disagree.
pub fn info_nce(a: Tensor<2>, b: Tensor<2>, scale: Tensor<2>) -> Tensor<1> {
    assert_eq!(a.dims(), b.dims(), "pairs of vectors");
    let n = a.dims()[0];
    let logits = a.matmul(b.transpose()) * scale;
    let diagonal = Tensor::<2>::eye(n, &logits.device());
    let right = log_softmax(logits.clone(), 1) + log_softmax(logits, 0);
    (right * diagonal).sum() / (-2.0 * n as f32)
}

/// `‖C_a - C_b‖_F² / (4 dim²)` of the covariances (over `n - 1`).
///
/// - `a`: `[n, dim]`, `b`: `[m, dim]`, two rows at least
///
/// # Panics
/// When the widths disagree.
pub fn coral(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let dim = a.dims()[1];
    assert_eq!(b.dims()[1], dim, "width of the vectors");
    let covariance = |x: Tensor<2>| {
        let x = x.clone() - x.clone().mean_dim(0);
        let n = x.dims()[0].max(2) - 1;
        x.clone().transpose().matmul(x) / n as f32
    };
    (covariance(a) - covariance(b)).powi_scalar(2).sum() / (4 * dim * dim) as f32
}

/// Squared maximum mean discrepancy (the biased estimate, never negative) under the mean of
/// Gaussian kernels `exp(-‖x - y‖² / 2σ²)`.
///
/// - `a`: `[n, dim]`, `b`: `[m, dim]`
///
/// # Panics
/// When the widths disagree, or without a bandwidth.
pub fn mmd(a: Tensor<2>, b: Tensor<2>, bandwidths: &[f32]) -> Tensor<1> {
    assert_eq!(a.dims()[1], b.dims()[1], "width of the vectors");
    assert!(!bandwidths.is_empty(), "one bandwidth at least");
    let kernel = |x: &Tensor<2>, y: &Tensor<2>| {
        let square = |v: &Tensor<2>| v.clone().powi_scalar(2).sum_dim(1);
        let dots = x.clone().matmul(y.clone().transpose());
        let apart = (square(x) + square(y).transpose() - dots * 2.0).clamp_min(0.0);
        let of = |sigma: &f32| (apart.clone() / (-2.0 * sigma * sigma)).exp().mean();
        let sum = bandwidths.iter().skip(1).map(of).fold(of(&bandwidths[0]), |s, k| s + k);
        sum / bandwidths.len() as f32
    };
    kernel(&a, &a) + kernel(&b, &b) - kernel(&a, &b) * 2.0
}

/// `z` on the way forward, its gradient times `-lambda` on the way back.
pub fn reverse_gradient(z: Tensor<2>, lambda: f32) -> Tensor<2> {
    z.clone() * -lambda + z.detach() * (1.0 + lambda)
}

/// `λ(p) = 2 / (1 + e^{-10 p}) - 1`, with `p` the share of training done: 0 at the start.
pub fn reversal_schedule(progress: f32) -> f32 {
    2.0 / (1.0 + (-10.0 * progress).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_tensor::tensor_to_vec;

    fn number(x: Tensor<1>) -> f32 {
        tensor_to_vec(x).unwrap()[0]
    }

    #[test]
    fn losses_by_hand() {
        let device = Device::flex();
        let a = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &device);
        let scale = Tensor::<2>::from_floats([[2.0]], &device);
        // Every row and column: logits 2 and 0, ln(1 + e^-2).
        let expected = (-2.0f32).exp().ln_1p();
        assert!((number(info_nce(a.clone(), a.clone(), scale)) - expected).abs() < 1e-6);
        // Covariances [[½, -½], [-½, ½]] and 0: 4 · ¼ / 16.
        let b = Tensor::<2>::from_floats([[3.0, 3.0], [3.0, 3.0]], &device);
        assert!((number(coral(a.clone(), b)) - 1.0 / 16.0).abs() < 1e-6);
        // k(a,a) = (1 + e^-1) / 2 for σ = 1, as for b; k(a,b) the same: equal sets.
        assert!(number(mmd(a.clone(), a.clone().flip([0]), &[1.0])).abs() < 1e-6);
        // One point each at distance 2: 1 + 1 - 2 e^{-4 / 2}.
        let (x, y) = (
            Tensor::<2>::from_floats([[0.0]], &device),
            Tensor::<2>::from_floats([[2.0]], &device),
        );
        assert!((number(mmd(x, y, &[1.0])) - (2.0 - 2.0 * (-2.0f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_reversed_and_the_value_is_not() {
        let device = Device::flex().autodiff();
        let z = Tensor::<2>::from_floats([[1.5, -2.0]], &device).require_grad();
        let out = reverse_gradient(z.clone(), 0.5);
        assert_eq!(tensor_to_vec(out.clone().inner()).unwrap(), [1.5, -2.0]);
        let grads = (out * 3.0).sum().backward();
        assert_eq!(tensor_to_vec(z.grad(&grads).unwrap()).unwrap(), [-1.5, -1.5]);
        assert_eq!(reversal_schedule(0.0), 0.0);
        assert!((reversal_schedule(1.0) - 0.999_909_2).abs() < 1e-6);
    }
}
