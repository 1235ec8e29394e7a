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

/// Softmax over a set of candidates with correction for how they were drawn.
///
/// Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations",
/// RecSys 2019. Row `b` should choose column `targets[b]`.
///
/// - `logits`: `[batch, candidates]`
/// - `log_q`: `[1, candidates]`, log of the probability that a candidate is among the candidates
/// - `targets`: `[batch]`, the right column of each row
/// - `hidden`: `[batch, candidates]`, true where a column is another known positive of the row
///   (an accidental hit), which is left out
///
/// # Panics
/// When the shapes disagree.
pub fn sampled_softmax(
    logits: Tensor<2>,
    log_q: Tensor<2>,
    targets: Tensor<1, Int>,
    hidden: Tensor<2, Bool>,
) -> Tensor<1> {
    let [batch, candidates] = logits.dims();
    assert_eq!(targets.dims(), [batch], "one target a row");
    assert_eq!(log_q.dims(), [1, candidates], "one log-probability a candidate");
    let corrected = (logits - log_q).mask_fill(hidden, -1e9);
    let log_probability = activation::log_softmax(corrected, 1);
    log_probability.gather(1, targets.reshape([batch, 1])).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index_tensor, tensor_to_vec};
    use burn::tensor::TensorData;

    #[test]
    fn losses_by_hand() {
        let device = Device::flex();
        let t = |v: Vec<f32>, d: [usize; 2]| Tensor::<2>::from_data(TensorData::new(v, d), &device);
        let bpr = bpr_loss(t(vec![1.0, 0.0], [2, 1]), t(vec![0.0, 0.0], [2, 1]));
        // (ln(1 + e^-1) + ln 2) / 2
        let expected = ((1.0f32 + (-1.0f32).exp()).ln() + 2.0f32.ln()) / 2.0;
        assert!((tensor_to_vec(bpr).unwrap()[0] - expected).abs() < 1e-6);
        // Column 2 is hidden, so the row chooses between logits 1 and 0.
        let hidden = Tensor::<2, Bool>::from_data(
            TensorData::new(vec![false, false, true], [1, 3]),
            &device,
        );
        let loss = sampled_softmax(
            t(vec![1.0, 0.0, 5.0], [1, 3]),
            t(vec![0.0; 3], [1, 3]),
            index_tensor(&[0], &device),
            hidden,
        );
        let expected = (1.0f32 + (-1.0f32).exp()).ln();
        assert!((tensor_to_vec(loss).unwrap()[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn softplus_does_not_overflow() {
        let device = Device::flex();
        let x = Tensor::<1>::from_floats([-200.0, 0.0, 200.0], &device);
        let y = tensor_to_vec(softplus(x)).unwrap();
        assert!(y[0].abs() < 1e-6 && (y[1] - 2.0f32.ln()).abs() < 1e-6 && y[2] == 200.0);
    }
}
