//! Objectives of single predictions.
//!
//! ```text
//! binary cross-entropy   w (softplus(x) - y x)
//! cross-entropy          -(1 - ε) ln p_target - ε mean_c ln p_c
//! squared error          (x - y)²
//! ```
//! Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
//! CVPR 2016, §7. No parameters.

use burn::prelude::*;
use burn::tensor::activation;

use super::softplus;

/// Binary cross-entropy of logits, the mean over all numbers: `mean w (softplus(x) - y x)`.
///
/// - `logits`, `labels`: `[batch, outputs]`; labels lie in `[0, 1]`
/// - `weights`: `[batch, outputs]`, or one row or column that is spread; the sum is divided by
///   the number of logits, not by the sum of the weights
///
/// # Panics
/// When the shapes disagree.
pub fn bce_with_logits(
    logits: Tensor<2>,
    labels: Tensor<2>,
    weights: Option<Tensor<2>>,
) -> Tensor<1> {
    let loss = bce_rows(logits, labels);
    match weights {
        Some(weights) => (loss * weights).mean(),
        None => loss.mean(),
    }
}

/// Binary cross-entropy of each logit by itself, `softplus(x) - y x`, in the shape of both.
///
/// # Panics
/// When the shapes disagree.
pub fn bce_rows(logits: Tensor<2>, labels: Tensor<2>) -> Tensor<2> {
    assert_eq!(logits.dims(), labels.dims(), "one label a logit");
    softplus(logits.clone()) - logits * labels
}

/// Cross-entropy with label smoothing `ε`.
///
/// - `logits`: `[batch, classes]`
/// - `targets`: `[batch]`, the right class of each row
/// - `smoothing`: the share of the target that is spread over all classes, the right one
///   included; 0 for none
///
/// # Panics
/// When the shapes disagree, or the smoothing lies outside `[0, 1]`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, smoothing: f32) -> Tensor<1> {
    let [batch, _] = logits.dims();
    assert_eq!(targets.dims(), [batch], "one target a row");
    assert!((0.0..=1.0).contains(&smoothing), "label smoothing {smoothing} is not in [0, 1]");
    let log_p = activation::log_softmax(logits, 1);
    let right = log_p.clone().gather(1, targets.reshape([batch, 1])).mean().neg();
    if smoothing == 0.0 { right } else { right * (1.0 - smoothing) - log_p.mean() * smoothing }
}

/// Mean squared error over all numbers of `predicted` and `target`, `[batch, outputs]`.
///
/// # Panics
/// When the shapes disagree.
pub fn mse(predicted: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    assert_eq!(predicted.dims(), target.dims(), "one target a prediction");
    (predicted - target).powi_scalar(2).mean()
}
