//! Co-training: every modality enters through an adapter of its own, and all of them go through
//! one trunk whose layers they share.
//!
//! A network that several modalities train in turn and that each can use alone: Ngiam et al.,
//! "Multimodal Deep Learning", ICML 2011 (shared representation); Akbari et al., "VATT", NeurIPS
//! 2021 (one backbone for all modalities). The name, for views that teach one another, is that of
//! Blum & Mitchell, COLT 1998.
//! `t_m = W_m LN(x_m) + b_m`, then `layers` times `t_m ← t_m + V gelu(U LN(t_m) + u) + v` with the
//! same `U`, `V`, `u`, `v` and norm for all modalities; `y` is the mean of the `t_m` that are
//! present. In training [`Fused::heads`] are the `t_m`, each of which stands for the whole: an item
//! with another set of modalities gets a vector in the same space.
//! Cost: with `d = d_out` and `f = hidden`, parameters
//! `Σ (2 d_m + d_m d + d) + layers (2 d + 2 d f + f + d) + d`, so the trunk does not grow with the
//! modalities; a batch `O(batch (Σ d_m d + M layers d f))`.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, prefixed, title};
use crate::tokens::{
    FeedForward, Noise, TokenParams, as_tokens, check_tokens, hidden_width, mean_present, noise,
};

const NAME: &str = "co_training";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "an adapter for each modality, one trunk for all, losses for every modality",
    build,
};

/// Parameters of [`CoTraining`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoTrainingParams {
    /// Layers of the trunk, at least 1.
    pub layers: usize,
    /// Width of the hidden layers of the trunk; twice the output width by default.
    pub hidden: Option<usize>,
    /// Share of numbers dropped in training, in `[0, 1)`: of the hidden layers and behind them.
    pub dropout: f32,
}

impl Default for CoTrainingParams {
    fn default() -> Self {
        Self { layers: 2, hidden: None, dropout: 0.0 }
    }
}

/// Adapters into a shared trunk.
#[derive(Debug, Clone)]
pub struct CoTraining {
    adapters: Projections,
    trunk: Vec<FeedForward>,
    prior: Prior,
    dropout: f32,
    d_out: usize,
}

impl CoTraining {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or an output narrower than 2; a parameter
    /// is out of range.
    pub fn new(
        params: &CoTrainingParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let tokens = TokenParams { layers: params.layers, heads: None, dropout: params.dropout };
        check_tokens(NAME, &tokens, shape)?;
        let d_out = shape.d_out;
        let hidden = hidden_width(NAME, params.hidden, d_out)?;
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let layer = |_| FeedForward::new(d_out, hidden, &mut rng, device);
        Ok(Self {
            trunk: (0..params.layers).map(layer).collect(),
            adapters: Projections::new(shape, seed, device),
            prior: Prior::new(d_out, device),
            dropout: params.dropout,
            d_out,
        })
    }

    /// The mean, and one `[batch, d_out]` a modality.
    fn run(&self, views: &Views, noise: &mut Noise) -> (Tensor<2>, Vec<Tensor<2>>) {
        let adapted = self.adapters.forward(views);
        let (batch, n) = (views.batch(), adapted.len());
        // All modalities in one pass: the trunk does not know which is which.
        let start = Tensor::cat(adapted, 0); // [n_modalities · batch, d_out]
        let out = self.trunk.iter().fold(start, |t, layer| layer.forward(t, noise));
        let heads: Vec<_> = (0..n).map(|m| out.clone().narrow(0, m * batch, batch)).collect();
        let fused = mean_present(as_tokens(heads.clone()), views);
        (self.prior.fill(fused, views), heads)
    }
}

impl Layer for CoTraining {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.adapters.weights();
        for (i, layer) in self.trunk.iter().enumerate() {
            all.extend(prefixed(&format!("trunk{i}."), layer));
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.adapters.weights_mut();
        all.extend(self.trunk.iter_mut().flat_map(Layer::weights_mut));
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for CoTraining {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        self.run(views, &mut None).0
    }

    fn forward_train(&self, views: &Views, rng: &mut ChaCha8Rng) -> Fused {
        let (vectors, heads) = self.run(views, &mut noise(self.dropout, rng));
        Fused { heads, ..Fused::of(vectors) }
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(CoTraining::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, two_modalities};
    use serde_json::json;

    #[test]
    fn one_trunk_serves_all_modalities() {
        let params = parse_params(NAME, &json!({ "layers": 1, "hidden": 1 })).unwrap();
        let (shape, device) = (two_modalities(2), Device::flex());
        let mut layer = CoTraining::new(&params, &shape, SeedStream::new(1), &device).unwrap();
        // t_text = (1, -1), t_image = (-3, 3); prior (7, 8).
        set(&mut layer, "text.project.weight", &[-1.0, 1.0, 0.0, 0.0]);
        set(&mut layer, "image.project.weight", &[3.0, -3.0, 0.0, 0.0]);
        set(&mut layer, "prior", &[7.0, 8.0]);
        // Hidden: 10 times the first normed number, so 10 for text and -10 for image, which GELU
        // takes to 10 and 0. The trunk adds twice that to the second number, and 1 to the first.
        set(&mut layer, "trunk0.hidden.weight", &[10.0, 0.0]);
        set(&mut layer, "trunk0.out.weight", &[0.0, 2.0]);
        set(&mut layer, "trunk0.out.bias", &[1.0, 0.0]);
        let mut rng = SeedStream::new(1).rng("step", 0);
        let fused = layer.forward_train(&four_items(&device), &mut rng);
        // Text (2, 19), image (-2, 3), their mean (0, 11).
        assert_close(fused.heads[0].clone().narrow(0, 0, 2), &[2.0, 19.0, 2.0, 19.0]);
        assert_close(fused.heads[1].clone().narrow(0, 0, 1), &[-2.0, 3.0]);
        assert_close(fused.vectors, &[0.0, 11.0, 2.0, 19.0, -2.0, 3.0, 7.0, 8.0]);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let params = CoTrainingParams { layers: 0, ..CoTrainingParams::default() };
        let (shape, device) = (two_modalities(2), Device::flex());
        let err = CoTraining::new(&params, &shape, SeedStream::new(1), &device).unwrap_err();
        assert!(err.to_string().contains("co_training fusion: layers is 0"), "{err}");
    }
}
