//! Means of losses that noisy labels move less.
//!
//! Every loss that goes in is `ℓ = -ln p` of the probability `p` of what was seen: cross-entropy,
//! binary or of a softmax, and BPR, where `p` is that of the pair being in order.
//!
//! ```text
//! generalised   (1 - p^q) / q = (1 - e^{-qℓ}) / q       q → 0 is ℓ, q = 1 is 1 - p
//! truncated     mean ℓ without the positives of the largest losses
//! reweighted    p^β ℓ, no gradient through p^β
//! ```
//! `generalised`: Zhang & Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks
//! with Noisy Labels", NeurIPS 2018, eq. 6. `truncated` and `reweighted`: T-CE and R-CE of Wang,
//! Feng, He, Nie & Chua, "Denoising Implicit Feedback for Recommendation", WSDM 2021, eq. 3–5; the
//! share of T-CE grows along a line from 0 in the first epoch. No parameters.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::index_tensor;

/// How losses are brought together where labels are noisy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Robust {
    /// Generalised cross-entropy.
    Generalised {
        /// In `(0, 1]`: the more, the less a wrong label says.
        #[serde(default = "seven_tenths")]
        q: f32,
    },
    /// The positives of the largest losses of a batch are left out.
    Truncated {
        /// Share of the positives, in the end; in `[0, 1)`.
        #[serde(default = "twentieth")]
        share: f32,
        /// Epochs until that share is reached.
        #[serde(default = "ten")]
        warmup: usize,
    },
    /// Losses count by the probability of what was seen.
    Reweighted {
        /// Power of the probability; 0 or more.
        #[serde(default = "quarter")]
        beta: f32,
    },
}

fn seven_tenths() -> f32 {
    0.7
}

fn twentieth() -> f32 {
    0.05
}

fn ten() -> usize {
    10
}

fn quarter() -> f32 {
    0.25
}

impl Robust {
    /// The key, what is allowed and what came, of a number out of its range.
    pub fn fault(&self) -> Option<(&'static str, &'static str, f32)> {
        match *self {
            Robust::Generalised { q } if !(q > 0.0 && q <= 1.0) => Some(("q", "in (0, 1]", q)),
            Robust::Truncated { share, .. } if !(0.0..1.0).contains(&share) => {
                Some(("share", "in [0, 1)", share))
            }
            Robust::Reweighted { beta } if !(beta.is_finite() && beta >= 0.0) => {
                Some(("beta", "at least 0", beta))
            }
            _ => None,
        }
    }

    /// As it is in `epoch`, counted from 1.
    pub fn at(self, epoch: usize) -> Self {
        let Robust::Truncated { share, warmup } = self else { return self };
        let grown = epoch.saturating_sub(1) as f32 / warmup.max(1) as f32;
        Robust::Truncated { share: share * grown.min(1.0), warmup }
    }

    /// Brings losses `-ln p`, `[rows, columns]`, together, `[1]`.
    ///
    /// `positives` are places of positives among the numbers, row by row; `None` says that all of
    /// them are. Only these are truncated.
    ///
    /// # Panics
    /// When there is no loss, or a place lies outside.
    pub fn mean(self, losses: Tensor<2>, positives: Option<&[u32]>) -> Tensor<1> {
        match self {
            Robust::Generalised { q } => (losses.mul_scalar(-q).exp().neg() + 1.0).mean() / q,
            Robust::Reweighted { beta } => {
                (losses.clone().detach().mul_scalar(-beta).exp() * losses).mean()
            }
            Robust::Truncated { share, .. } => truncated(losses, positives, share),
        }
    }
}

/// The mean over a loss, robust or plain.
///
/// # Panics
/// As [`Robust::mean`].
pub fn robust_mean(
    robust: Option<Robust>,
    losses: Tensor<2>,
    positives: Option<&[u32]>,
) -> Tensor<1> {
    match robust {
        Some(robust) => robust.mean(losses, positives),
        None => losses.mean(),
    }
}

fn truncated(losses: Tensor<2>, positives: Option<&[u32]>, share: f32) -> Tensor<1> {
    let [rows, columns] = losses.dims();
    let all = rows * columns;
    let n_positives = positives.map_or(all, <[u32]>::len);
    let out = (share * n_positives as f32) as usize;
    if out == 0 {
        return losses.mean();
    }
    let flat = losses.reshape([all]);
    let of_positives = match positives {
        None => flat.clone(),
        Some(places) => {
            let device = flat.device();
            flat.clone().select(0, index_tensor(places, &device))
        }
    };
    // A share below 1 leaves something.
    let worst = of_positives.clone().detach().argsort_descending(0).narrow(0, 0, out);
    let dropped = of_positives.select(0, worst).sum();
    (flat.sum() - dropped) / (all - out) as f32
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_1_SQRT_2, LN_2};

    use super::*;
    use crate::tensor_to_vec;

    /// The value, and the gradient at each loss.
    fn of(robust: Robust, losses: [f32; 4], positives: Option<&[u32]>) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let leaf = Tensor::<1>::from_floats(losses, &device).reshape([2, 2]).detach();
        let leaf = leaf.require_grad();
        let mean = robust.mean(leaf.clone(), positives);
        let value = tensor_to_vec(mean.clone().inner()).unwrap()[0];
        let grads = mean.backward();
        (value, tensor_to_vec(leaf.grad(&grads).unwrap()).unwrap())
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6);
        assert!(near, "expected {expected:?}, found {found:?}");
    }

    /// `-ln p` of p = 1/2, 1/4, 1, 1/16.
    const LOSSES: [f32; 4] = [LN_2, 2.0 * LN_2, 0.0, 4.0 * LN_2];

    #[test]
    fn the_generalised_loss_is_the_power_of_the_probability() {
        let (value, slopes) = of(Robust::Generalised { q: 0.5 }, LOSSES, None);
        // (1 - √p) / ½: 2 (1 - 1/√2), 1, 0, 1.5; the slope in ℓ is √p, over four.
        close(&[value], &[(2.0 * (1.0 - FRAC_1_SQRT_2) + 1.0 + 0.0 + 1.5) / 4.0]);
        close(&slopes, &[FRAC_1_SQRT_2 / 4.0, 0.125, 0.25, 0.0625]);
        // With q = 1 it is the mean of 1 - p.
        let (value, _) = of(Robust::Generalised { q: 1.0 }, LOSSES, None);
        close(&[value], &[(0.5 + 0.75 + 0.0 + 0.9375) / 4.0]);
    }

    #[test]
    fn weights_are_the_probabilities_and_have_no_slope() {
        let (value, slopes) = of(Robust::Reweighted { beta: 1.0 }, LOSSES, None);
        close(&[value], &[(0.5 * LOSSES[0] + 0.25 * LOSSES[1] + LOSSES[3] / 16.0) / 4.0]);
        close(&slopes, &[0.125, 0.0625, 0.25, 1.0 / 64.0]);
    }

    #[test]
    fn the_worst_positives_are_left_out_and_more_of_them_with_time() {
        let robust = Robust::Truncated { share: 0.5, warmup: 2 };
        // Half of the positives, places 0 and 1: the second of them. The worst of all, a negative,
        // stays.
        let (value, slopes) = of(robust, LOSSES, Some(&[0, 1]));
        close(&[value], &[(LOSSES[0] + LOSSES[2] + LOSSES[3]) / 3.0]);
        close(&slopes, &[1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0]);
        let (value, _) = of(robust, LOSSES, None);
        close(&[value], &[(LOSSES[0] + LOSSES[2]) / 2.0]);
        // In the second epoch a quarter, so one of four; in the first none.
        let (value, _) = of(robust.at(2), LOSSES, None);
        close(&[value], &[(LOSSES[0] + LOSSES[1] + LOSSES[2]) / 3.0]);
        let (value, _) = of(robust.at(1), LOSSES, None);
        close(&[value], &[LOSSES.iter().sum::<f32>() / 4.0]);
        assert_eq!(robust.at(30), robust);
    }

    #[test]
    fn settings_are_read_strictly_and_checked() {
        let read = serde_json::from_str::<Robust>;
        assert_eq!(
            read(r#"{"truncated": {}}"#).unwrap(),
            Robust::Truncated { share: 0.05, warmup: 10 }
        );
        assert!(read(r#"{"generalised": {"p": 0.5}}"#).is_err());
        assert_eq!(read(r#"{"generalised": {"q": 0.0}}"#).unwrap().fault().unwrap().0, "q");
        assert_eq!(Robust::Truncated { share: 1.0, warmup: 1 }.fault().unwrap().0, "share");
        assert_eq!(Robust::Reweighted { beta: -1.0 }.fault().unwrap().0, "beta");
        assert_eq!(Robust::Generalised { q: 1.0 }.fault(), None);
    }
}
