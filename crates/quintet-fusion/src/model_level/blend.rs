//! Gradient blending: how much the loss of each head should weigh, from how it over-fits.
//!
//! Paper: Wang, Tran & Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?",
//! CVPR 2020. <https://arxiv.org/abs/1905.12681>
//! Between two checkpoints a head gains `ΔG = V_0 - V_1` on validation data, and the gap `O = V - T`
//! between its validation and training losses grows by `ΔO = O_1 - O_0`. The ratio of over-fitting
//! to generalisation is `OGR = |ΔO / ΔG|` (equation 2). The weights that make the ratio of the
//! whole smallest are `w_k ∝ ΔG_k / ΔO_k²` (proposition 1, with `ΔO_k²` for the variance as in the
//! paper's algorithm); here they sum to 1.
//! Cost: `O(heads)`, on the host; no parameters are trained.

use quintet_tensor::FitError;
use serde::{Deserialize, Serialize};

const NAME: &str = "gradient blending";

/// The mean losses of one head at one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Losses {
    /// On the data it is trained on.
    pub train: f64,
    /// On validation data.
    pub valid: f64,
}

/// The losses of one head at two checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadLosses {
    /// At the earlier checkpoint.
    pub before: Losses,
    /// At the later one.
    pub after: Losses,
}

impl HeadLosses {
    /// `ΔG`: how much the validation loss has fallen; below zero where it has risen.
    pub fn generalisation(&self) -> f64 {
        self.before.valid - self.after.valid
    }

    /// `ΔO`: how much the gap between the validation and the training loss has grown.
    pub fn overfitting(&self) -> f64 {
        let gap = |losses: Losses| losses.valid - losses.train;
        gap(self.after) - gap(self.before)
    }

    /// `OGR = |ΔO / ΔG|`; infinite where the validation loss has not moved.
    pub fn ratio(&self) -> f64 {
        match self.generalisation() {
            0.0 => f64::INFINITY,
            gain => (self.overfitting() / gain).abs(),
        }
    }
}

/// Parameters of [`blend_weights`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlendParams {
    /// The least `|ΔO|` that is divided by, above 0, in units of the loss: a head whose gap has by
    /// chance not moved would else take all the weight.
    pub least_overfitting: f64,
}

impl Default for BlendParams {
    fn default() -> Self {
        Self { least_overfitting: 1e-3 }
    }
}

/// The weights of the heads' losses, in their order, 0 or more and of sum 1. A head whose
/// validation loss has not fallen has generalised nothing and gets 0.
///
/// # Errors
/// No head; a loss that is not finite; no head whose validation loss has fallen; a
/// `least_overfitting` that is not above 0.
pub fn blend_weights(heads: &[HeadLosses], params: BlendParams) -> Result<Vec<f64>, FitError> {
    let least = params.least_overfitting;
    if !(least > 0.0 && least.is_finite()) {
        let reason = format!("least_overfitting is {least}, expected a number above 0");
        return Err(FitError::Config { model: NAME.into(), reason });
    }
    let data = |reason: String| FitError::Data { model: NAME.into(), reason };
    if heads.is_empty() {
        return Err(data("there are no heads, at least one is needed".into()));
    }
    for (k, head) in heads.iter().enumerate() {
        let all = [head.before.train, head.before.valid, head.after.train, head.after.valid];
        if let Some(loss) = all.into_iter().find(|loss| !loss.is_finite()) {
            return Err(data(format!("a loss of head {k} is {loss}, expected a finite number")));
        }
    }
    let raw = heads.iter().map(|head| {
        let overfitting = head.overfitting().abs().max(least);
        head.generalisation().max(0.0) / overfitting.powi(2)
    });
    let raw: Vec<f64> = raw.collect();
    let sum: f64 = raw.iter().sum();
    if sum > 0.0 {
        return Ok(raw.into_iter().map(|w| w / sum).collect());
    }
    let reason = "the validation loss of no head has fallen between the checkpoints; take an \
                  earlier first one or keep the weights there are";
    Err(data(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(before: [f64; 2], after: [f64; 2]) -> HeadLosses {
        let losses = |[train, valid]: [f64; 2]| Losses { train, valid };
        HeadLosses { before: losses(before), after: losses(after) }
    }

    #[test]
    fn ratio_and_weights_by_hand() {
        // Training 4 → 2, validation 4 → 3: gained 1, the gap has grown from 0 to 1.
        let careful = head([4.0, 4.0], [2.0, 3.0]);
        assert_eq!((careful.generalisation(), careful.overfitting()), (1.0, 1.0));
        assert_eq!(careful.ratio(), 1.0);
        // Training 4 → 0.5, validation 4.5 → 2.5: gained 2, the gap from 0.5 to 2.
        let eager = head([4.0, 4.5], [0.5, 2.5]);
        assert_eq!((eager.generalisation(), eager.overfitting()), (2.0, 1.5));
        assert_eq!(eager.ratio(), 0.75);
        // 1 / 1 and 2 / 2.25 = 8/9: weights 9/17 and 8/17.
        let weights = blend_weights(&[careful, eager], BlendParams::default()).unwrap();
        assert!((weights[0] - 9.0 / 17.0).abs() < 1e-12, "{weights:?}");
        assert!((weights[1] - 8.0 / 17.0).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn a_head_that_gets_worse_has_no_weight_and_a_still_gap_is_floored() {
        let worse = head([4.0, 4.0], [1.0, 5.0]);
        // Both losses fall by 2: the gap is still, so 2 / 0.5² = 8.
        let still = head([4.0, 4.0], [2.0, 2.0]);
        // Gained 2, the gap has grown by 1: 2.
        let grown = head([4.0, 4.0], [1.0, 2.0]);
        let params = BlendParams { least_overfitting: 0.5 };
        let weights = blend_weights(&[worse, still, grown], params).unwrap();
        assert_eq!(weights, [0.0, 0.8, 0.2]);
        assert_eq!(still.ratio(), 0.0);
        assert_eq!(head([1.0, 1.0], [0.5, 1.0]).ratio(), f64::INFINITY);
    }

    #[test]
    fn what_gives_no_weights_is_an_error() {
        let refusal = |heads: &[HeadLosses], least: f64| {
            let params = BlendParams { least_overfitting: least };
            blend_weights(heads, params).unwrap_err().to_string()
        };
        let worse = head([4.0, 4.0], [1.0, 5.0]);
        assert!(refusal(&[worse], 1e-3).contains("has fallen"));
        assert!(refusal(&[], 1e-3).contains("no heads"));
        let broken = head([4.0, 4.0], [f64::NAN, 3.0]);
        assert!(refusal(&[worse, broken], 1e-3).contains("head 1 is NaN"));
        assert!(refusal(&[worse], 0.0).contains("least_overfitting is 0"));
    }
}
