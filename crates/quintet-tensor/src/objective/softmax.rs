//! Softmax over sampled candidates.
//!
//! `-ln softmax(s - ln q)_target`: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
//! Corpus Item Recommendations", RecSys 2019. No parameters; cost `O(batch · candidates)`.

use burn::prelude::*;
use burn::tensor::activation;

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
    softmax_rows(logits, log_q, targets, hidden).mean()
}

/// As [`sampled_softmax`], the loss of each row by itself, `[batch, 1]`.
///
/// # Panics
/// When the shapes disagree.
pub fn softmax_rows(
    logits: Tensor<2>,
    log_q: Tensor<2>,
    targets: Tensor<1, Int>,
    hidden: Tensor<2, Bool>,
) -> Tensor<2> {
    let [batch, candidates] = logits.dims();
    assert_eq!(targets.dims(), [batch], "one target a row");
    assert_eq!(log_q.dims(), [1, candidates], "one log-probability a candidate");
    let corrected = (logits - log_q).mask_fill(hidden, -1e9);
    let log_probability = activation::log_softmax(corrected, 1);
    log_probability.gather(1, targets.reshape([batch, 1])).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index_tensor, tensor_to_vec};

    #[test]
    fn a_hidden_candidate_takes_no_part() {
        let device = Device::flex();
        // Column 2 is hidden, so the row chooses between logits 1 and 0.
        let loss = sampled_softmax(
            Tensor::from_data([[1.0, 0.0, 5.0]], &device),
            Tensor::zeros([1, 3], &device),
            index_tensor(&[0], &device),
            Tensor::from_data([[false, false, true]], &device),
        );
        let expected = (1.0f32 + (-1.0f32).exp()).ln();
        assert!((tensor_to_vec(loss).unwrap()[0] - expected).abs() < 1e-6);
    }
}
