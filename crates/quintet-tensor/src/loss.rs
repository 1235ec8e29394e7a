//! Objectives. Each returns `[1]`, the mean over the batch, to be minimised.

use burn::prelude::*;
use burn::tensor::activation;

/// `ln(1 + e^x)` without overflow: `max(x, 0) + ln(1 + e^{-|x|})`.
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p()
}

/// Bayesian personalised ranking: `mean softplus(-(positive - negative))`.
///
/// Rendle et al., UAI 2009. `positive`, `negative`: `[batch, 1]`.
pub fn bpr_loss(positive: Tensor<2>, negative: Tensor<2>) -> Tensor<1> {
    softplus(negative - positive).mean()
}

/// `Σ ‖block‖_F / batch`: plain norms, not squared, as the multimodal benchmarks penalise the
/// rows of a batch.
pub fn norm_penalty(blocks: &[Tensor<2>], batch: usize) -> Tensor<1> {
    let device = blocks[0].device();
    let zero = Tensor::<1>::zeros([1], &device);
    blocks.iter().fold(zero, |sum, block| {
        // The root has no gradient at zero.
        sum + (block.clone().powi_scalar(2).sum() + 1e-12).sqrt()
    }) / batch as f32
}

/// Softmax over the items of the batch with log-Q correction.
///
/// Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
/// RecSys 2019. Row `b` should choose column `b`.
///
/// - `logits`: `[batch, batch]`, user `b` against the item of row `j`
/// - `log_q`: `[1, batch]`, log of each item's share among the candidates
/// - `hidden`: `[batch, batch]`, true where column `j` is a known positive of row `b` other than
///   its own (an accidental hit), which is left out
///
/// # Panics
/// When the shapes disagree.
pub fn in_batch_softmax(
    logits: Tensor<2>,
    log_q: Tensor<2>,
    hidden: Tensor<2, Bool>,
) -> Tensor<1> {
    let [batch, columns] = logits.dims();
    assert_eq!(batch, columns, "one candidate a row");
    let corrected = (logits - log_q).mask_fill(hidden, -1e9);
    let log_probability = activation::log_softmax(corrected, 1);
    let own = Tensor::<2>::eye(batch, &log_probability.device());
    (log_probability * own).sum().neg() / batch as f32
}
