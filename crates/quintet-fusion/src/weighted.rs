//! Weighted sum: every modality to the common width, one weight a modality for all items.
//!
//! `y = Σ w_m h_m` with `h_m = W_m LN(x_m) + b_m`. Learned: `w` is the softmax of one logit a
//! modality over the modalities that the item has, logits 0 at the start. Fixed: the weights
//! given, divided by their sum over the modalities that the item has.
//! Cost: parameters O(Σ d_m d_out).

use std::collections::BTreeMap;

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, ShareKind, Views, Weight, matrix_to_tensor,
    parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{Prior, Projections, check_shape, masked_softmax, nothing_present, title};

const NAME: &str = "weighted";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "weighted sum of normed projections, weights learned or fixed",
    build,
};

/// Parameters of [`Weighted`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightedParams {
    /// Fixed weights, one for every modality of the dataset, each above 0; learned when absent.
    /// In TOML: `weights = { text = 0.2, image = 0.8 }`.
    pub weights: Option<BTreeMap<Modality, f32>>,
}

/// Weighted sum of projected modalities.
#[derive(Debug, Clone)]
pub struct Weighted {
    projections: Projections,
    mix: Mix,
    prior: Prior,
    d_out: usize,
}

#[derive(Debug, Clone)]
enum Mix {
    /// Logits, `[1, n_modalities]`.
    Learned(Weight),
    /// Weights, `[1, n_modalities]`.
    Fixed(Tensor<2>),
}

impl Weighted {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; fixed weights that do not
    /// name the modalities of the shape, or are not above 0.
    pub fn new(
        params: &WeightedParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let mix = match &params.weights {
            None => Mix::Learned(Weight::new(&Matrix::zeros(1, shape.modalities.len()), device)),
            Some(weights) => Mix::Fixed(matrix_to_tensor(&fixed(weights, shape)?, device)),
        };
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            mix,
            prior: Prior::new(shape.d_out, device),
            d_out: shape.d_out,
        })
    }

    /// `[batch, n_modalities]`, as [`Fusion::shares`].
    fn mix(&self, mask: &Tensor<2>) -> Tensor<2> {
        let [batch, n] = mask.dims();
        match &self.mix {
            Mix::Learned(logits) => {
                let logits = logits.tensor().reshape([1, n, 1]).expand([batch, n, 1]);
                masked_softmax(logits, mask).reshape([batch, n])
            }
            Mix::Fixed(weights) => {
                let kept = weights.clone() * mask.clone();
                let sum = kept.clone().sum_dim(1) + nothing_present(mask);
                kept / sum
            }
        }
    }
}

/// The weights in the order of the shape, `[1, n_modalities]`.
fn fixed(weights: &BTreeMap<Modality, f32>, shape: &FusionShape) -> Result<Matrix, FitError> {
    let config = |reason: String| FitError::Config { model: title(NAME), reason };
    let known: Vec<&str> = shape.modalities.iter().map(|(m, _)| m.as_str()).collect();
    let stranger = weights.keys().find(|&k| shape.modalities.iter().all(|(m, _)| m != k));
    if let Some(&modality) = stranger {
        return Err(FitError::MissingModality {
            model: title(NAME),
            modality,
            known: known.join(", "),
        });
    }
    let mut row = Matrix::zeros(1, shape.modalities.len());
    for ((modality, _), target) in shape.modalities.iter().zip(row.as_mut_slice()) {
        let Some(&weight) = weights.get(modality) else {
            return Err(config(format!(
                "weights has no entry for {modality}; expected one for each of {}",
                known.join(", ")
            )));
        };
        // An item may have this modality alone: its weight must be able to carry the whole.
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(config(format!(
                "weights.{modality} is {weight}, expected a number above 0; to leave a modality \
                 out, do not give its features to the model"
            )));
        }
        *target = weight;
    }
    Ok(row)
}

impl Layer for Weighted {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        if let Mix::Learned(logits) = &self.mix {
            all.push(("logits".into(), logits));
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        if let Mix::Learned(logits) = &mut self.mix {
            all.push(logits);
        }
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Weighted {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let h = self.projections.forward(views);
        let mix = self.mix(&views.mask);
        let start = Tensor::zeros([views.batch(), self.d_out], &mix.device());
        let fused = h
            .into_iter()
            .enumerate()
            .fold(start, |sum, (m, h)| sum + mix.clone().narrow(1, m, 1) * h); // [batch, d_out]
        self.prior.fill(fused, views)
    }

    /// The weights of the sum.
    fn shares(&self, views: &Views) -> Tensor<2> {
        self.mix(&views.mask)
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Weights
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Weighted::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(params: &str) -> Result<Weighted, FitError> {
        let params: WeightedParams =
            parse_params(&title(NAME), &serde_json::from_str(params).unwrap())?;
        Weighted::new(&params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    fn refusal(params: &str) -> String {
        layer(params).unwrap_err().to_string()
    }

    #[test]
    fn fixed_weights_are_renormalised_over_the_present() {
        // Written as 1 : 3, which means 0.25 : 0.75.
        let mut layer = layer(r#"{"weights": {"text": 1.0, "image": 3.0}}"#).unwrap();
        set_projections(&mut layer);
        let views = four_items(&Device::flex());
        // Both: 0.25·2 + 0.75·5; text alone: 2; image alone: 5; nothing: the prior.
        assert_close(layer.forward(&views), &[4.25, 2.0, 5.0, 7.0]);
        let shares = layer.shares(&views);
        assert_close(shares, &[0.25, 0.75, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn learned_weights_start_equal_and_follow_their_logits() {
        let mut layer = layer("null").unwrap();
        set_projections(&mut layer);
        let views = four_items(&Device::flex());
        assert_close(layer.forward(&views), &[3.5, 2.0, 5.0, 7.0]);
        set(&mut layer, "logits", &[3f32.ln(), 0.0]);
        // 3 : 1, so 0.75·2 + 0.25·5.
        assert_close(layer.forward(&views), &[2.75, 2.0, 5.0, 7.0]);
    }

    #[test]
    fn fixed_weights_must_name_the_modalities_and_be_above_zero() {
        let missing = refusal(r#"{"weights": {"text": 1.0}}"#);
        assert!(missing.contains("no entry for image"), "{missing}");
        let stranger = refusal(r#"{"weights": {"text": 1.0, "image": 1.0, "audio": 1.0}}"#);
        assert!(stranger.contains("audio") && stranger.contains("text, image"), "{stranger}");
        let zero = refusal(r#"{"weights": {"text": 0.0, "image": 1.0}}"#);
        assert!(zero.contains("weights.text is 0"), "{zero}");
        let typo = refusal(r#"{"weights": {"txet": 1.0}}"#);
        assert!(typo.contains("txet") && typo.contains("text"), "{typo}");
    }
}
