//! Feature-wise linear modulation: one modality scales and shifts what the others say.
//!
//! `y = γ ∘ u + β` with `u` the mean of the projections of the other modalities that are present
//! and `[γ - 1; β] = G h_c + g` from the condition `c`; `h_m = W_m LN(x_m) + b_m`. Condition
//! absent: `γ = 1`, `β = 0`. Only the condition present: `y = h_c`.
//! Paper: Perez, Strub, de Vries, Dumoulin & Courville, "FiLM: Visual Reasoning with a General
//! Conditioning Layer", AAAI 2018. <https://arxiv.org/abs/1709.07871> Differences: one modulation
//! of the fused vector in place of one in each layer of a network.
//! Parameters: `Σ (d_m (d_out + 2) + d_out) + 2 d_out² + 3 d_out`; `G` and `g` are left out of a
//! layer for one modality.
//! Cost: O(d_out Σ d_m + d_out²) an item.

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Linear, Views, Weight, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, check_shape, prefixed, title};
use crate::combine::sum;

const NAME: &str = "film";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "feature-wise linear modulation: one modality scales and shifts the others",
    build,
};

/// Parameters of [`Film`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilmParams {
    /// The modality that modulates; by default the first that the dataset has, in the order text,
    /// image, audio, video, place.
    pub condition: Option<Modality>,
}

/// Modulation of the mean of the projections by one of them.
#[derive(Debug, Clone)]
pub struct Film {
    projections: Projections,
    /// Position of the condition.
    condition: usize,
    /// `[γ - 1; β]` from the condition, `d_out → 2 d_out`; none for one modality, which has
    /// nothing to modulate.
    modulation: Option<Linear>,
    prior: Prior,
    d_out: usize,
}

impl Film {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; it does not have the
    /// condition.
    pub fn new(
        params: &FilmParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (d_out, n) = (shape.d_out, shape.modalities.len());
        let condition = condition(params, shape)?;
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            condition,
            modulation: (n > 1).then(|| Linear::new(d_out, 2 * d_out, &mut rng, device)),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }

    /// `γ ∘ u + β` from the condition, `[batch, d_out]`, and the other projections.
    fn modulated(
        &self,
        modulation: &Linear,
        condition: Tensor<2>,
        others: &[Tensor<2>],
        views: &Views,
    ) -> Tensor<2> {
        let k = views.present(self.condition); // [batch, 1]
        let count = views.mask.clone().sum_dim(1) - k.clone(); // [batch, 1]
        let mean = sum(others) / count.clone().clamp_min(1.0);
        let both = modulation.forward(condition.clone()) * k;
        let gamma = both.clone().narrow(1, 0, self.d_out) + 1.0;
        let beta = both.narrow(1, self.d_out, self.d_out);
        // Without others there is nothing to modulate, and the condition speaks for itself.
        let modulates = count.clamp_max(1.0);
        let alone = modulates.clone().neg() + 1.0;
        (gamma * mean + beta) * modulates + condition * alone
    }
}

/// The position of the condition in the shape.
fn condition(params: &FilmParams, shape: &FusionShape) -> Result<usize, FitError> {
    let Some(modality) = params.condition else { return Ok(0) };
    let place = shape.modalities.iter().position(|(m, _)| *m == modality);
    place.ok_or_else(|| {
        let known: Vec<&str> = shape.modalities.iter().map(|(m, _)| m.as_str()).collect();
        FitError::MissingModality { model: title(NAME), modality, known: known.join(", ") }
    })
}

impl Layer for Film {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(self.modulation.iter().flat_map(|m| prefixed("modulation.", m)));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.modulation.iter_mut().flat_map(|m| m.weights_mut()));
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Film {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let mut h = self.projections.forward(views);
        let condition = h.remove(self.condition);
        let fused = match &self.modulation {
            Some(modulation) => self.modulated(modulation, condition, &h, views),
            None => condition,
        };
        self.prior.fill(fused, views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Film::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(condition: Option<Modality>) -> Result<Film, FitError> {
        let params = FilmParams { condition };
        Film::new(&params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let by_hand = |condition| {
            let mut layer = layer(condition).unwrap();
            set_projections(&mut layer);
            // γ = 1 + 0.1 h_c + 0.5, β = -h_c + 0.25.
            set(&mut layer, "modulation.weight", &[0.1, -1.0]);
            set(&mut layer, "modulation.bias", &[0.5, 0.25]);
            layer.forward(&four_items(&Device::flex()))
        };
        // Text modulates image: 1.7·5 - 1.75; one alone: itself; nothing: the prior.
        assert_close(by_hand(None), &[6.75, 2.0, 5.0, 7.0]);
        // Image modulates text: 2·2 - 4.75.
        assert_close(by_hand(Some(Modality::Image)), &[-0.75, 2.0, 5.0, 7.0]);
    }

    #[test]
    fn a_condition_that_is_not_there_is_refused() {
        let err = layer(Some(Modality::Audio)).unwrap_err().to_string();
        assert!(err.contains("film") && err.contains("audio"), "{err}");
        assert!(err.contains("text, image"), "{err}");
    }
}
