//! Attention bottlenecks: modalities tell each other things through a few shared tokens alone.
//!
//! Paper: Nagrani, Yang, Arnab, Jansen, Schmid & Sun, "Attention Bottlenecks for Multimodal
//! Fusion", NeurIPS 2021. <https://arxiv.org/abs/2107.00135>
//! With `t_m = W_m LN(x_m) + b_m` and `tokens` learned tokens `z`, `layers` times: every modality
//! that is present runs its own transformer block over `[t_m; z]`, which gives a new `t_m` and its
//! own `z_m`; the new `z` is the mean of the `z_m` (equations 8 and 9 of the paper). `y` is the
//! mean of the tokens `t_m` that are present, as the paper averages the classifiers. What one
//! modality knows is in `z` after one layer and read by the others in the next, so at least two
//! are needed.
//! Differences: one token a modality, since the features are one vector; the shared tokens start
//! at `N(0, 1)` and not at `N(0, 0.02²)`, beside tokens of normed features and not of patches.
//! Cost: with `d = d_out`, `D = heads · ⌈d / heads⌉` and `f = hidden`, parameters
//! `Σ (2 d_m + d_m d + d) + tokens d + layers M (4 d D + 3 D + d + 4 d + 2 d f + f + d) + d`; a batch
//! `O(batch M tokens (d D + tokens D + d f) layers)`.

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, normal_matrix,
    parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, prefixed, title};
use crate::tokens::{
    Block, MODALITY_COUNTER, Noise, TokenParams, as_tokens, check_tokens, hidden_width,
    mean_present, noise,
};

const NAME: &str = "bottleneck";

/// Standard deviation of the shared tokens at the start: about that of the modalities' tokens, so
/// that a step of training turns both about as far.
const START: f32 = 1.0;

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "modalities exchange information through a few shared tokens alone",
    build,
};

/// Parameters of [`Bottleneck`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BottleneckParams {
    /// Shared tokens, at least 1.
    pub tokens: usize,
    /// Transformer blocks of each modality, at least 2.
    pub layers: usize,
    /// Attention heads, from 1 to the output width. Each is `⌈d_out / heads⌉` wide. By default 4,
    /// or the output width where it is smaller.
    pub heads: Option<usize>,
    /// Width of the feed-forward part; twice the output width by default.
    pub hidden: Option<usize>,
    /// Share of numbers dropped in training, in `[0, 1)`: of the attention weights and behind
    /// every branch.
    pub dropout: f32,
}

impl Default for BottleneckParams {
    fn default() -> Self {
        Self { tokens: 4, layers: 2, heads: None, hidden: None, dropout: 0.1 }
    }
}

/// Modalities that exchange information through shared tokens.
#[derive(Debug, Clone)]
pub struct Bottleneck {
    projections: Projections,
    /// `[tokens, d_out]`.
    shared: Weight,
    /// `[layers][n_modalities]`.
    layers: Vec<Vec<(Modality, Block)>>,
    prior: Prior,
    dropout: f32,
    d_out: usize,
}

impl Bottleneck {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or an output narrower than 2; a parameter
    /// is out of range.
    pub fn new(
        params: &BottleneckParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let d_out = shape.d_out;
        let tokens =
            TokenParams { layers: params.layers, heads: params.heads, dropout: params.dropout };
        let heads = check_tokens(NAME, &tokens, shape)?;
        let config = |reason: &str| FitError::Config { model: title(NAME), reason: reason.into() };
        if params.layers < 2 {
            return Err(config("layers is 1, expected at least 2: one exchanges nothing"));
        }
        if params.tokens == 0 {
            return Err(config("tokens is 0, expected at least 1"));
        }
        let hidden = hidden_width(NAME, params.hidden, d_out)?;
        let start = |&(modality, _): &(Modality, usize)| {
            (modality, seed.rng("fusion", MODALITY_COUNTER + modality as u64))
        };
        let mut streams: Vec<_> = shape.modalities.iter().map(start).collect();
        let layer = |_| {
            let block = |(modality, rng): &mut (Modality, ChaCha8Rng)| {
                (*modality, Block::new([d_out, hidden], heads, rng, device))
            };
            streams.iter_mut().map(block).collect()
        };
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        Ok(Self {
            layers: (0..params.layers).map(layer).collect(),
            shared: Weight::new(&normal_matrix(params.tokens, d_out, START, &mut rng), device),
            projections: Projections::new(shape, seed, device),
            prior: Prior::new(d_out, device),
            dropout: params.dropout,
            d_out,
        })
    }

    fn run(&self, views: &Views, noise: &mut Noise) -> Tensor<2> {
        let (batch, dim) = (views.batch(), self.d_out);
        let n_shared = self.shared.dims()[0];
        let sequence = [batch, n_shared + 1, n_shared + 1];
        // Within a modality everybody reads everybody; absent modalities are not asked after.
        let allowed = Tensor::ones(sequence, &views.mask.device());
        let count = views.mask.clone().sum_dim(1).clamp_min(1.0).reshape([batch, 1, 1]);
        let mut own = self.projections.forward(views);
        let start = self.shared.tensor().reshape([1, n_shared, dim]);
        let mut shared = start.expand([batch, n_shared, dim]);
        for blocks in &self.layers {
            let mut sum = Tensor::zeros([batch, n_shared, dim], &views.mask.device());
            for (m, (_, block)) in blocks.iter().enumerate() {
                let token = own[m].clone().reshape([batch, 1, dim]);
                let read = Tensor::cat(vec![token, shared.clone()], 1);
                let read = block.forward(read, &allowed, noise); // [batch, 1 + tokens, d_out]
                own[m] = read.clone().narrow(1, 0, 1).reshape([batch, dim]);
                let present = views.present(m).reshape([batch, 1, 1]);
                sum = sum + read.narrow(1, 1, n_shared) * present;
            }
            shared = sum / count.clone();
        }
        self.prior.fill(mean_present(as_tokens(own), views), views)
    }
}

impl Layer for Bottleneck {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.push(("shared".into(), &self.shared));
        for (i, blocks) in self.layers.iter().enumerate() {
            for (modality, block) in blocks {
                all.extend(prefixed(&format!("layer{i}.{modality}."), block));
            }
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.push(&mut self.shared);
        all.extend(self.layers.iter_mut().flatten().flat_map(|(_, b)| b.weights_mut()));
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Bottleneck {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        self.run(views, &mut None)
    }

    fn forward_train(&self, views: &Views, rng: &mut ChaCha8Rng) -> Fused {
        Fused::of(self.run(views, &mut noise(self.dropout, rng)))
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Bottleneck::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, two_modalities};
    use serde_json::json;

    fn layer(params: Value) -> Result<Bottleneck, FitError> {
        let params = parse_params(&title(NAME), &params)?;
        Bottleneck::new(&params, &two_modalities(2), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn what_one_modality_knows_reaches_the_other_in_the_second_layer() {
        let mut layer = layer(json!({ "tokens": 1, "heads": 1 })).unwrap();
        // h_text = (1, -1), h_image = (-3, 3); prior (7, 8); shared token 0.
        set(&mut layer, "text.project.weight", &[-1.0, 1.0, 0.0, 0.0]);
        set(&mut layer, "image.project.weight", &[3.0, -3.0, 0.0, 0.0]);
        set(&mut layer, "shared", &[0.0, 0.0]);
        set(&mut layer, "prior", &[7.0, 8.0]);
        // Equal attention. Text says what it is in the first layer, image listens in the second.
        for name in ["layer0.text", "layer0.image", "layer1.text", "layer1.image"] {
            let value = match name {
                "layer0.text" => [2.0, 0.0, 0.0, 2.0],
                "layer1.image" => [2.0, 0.0, 0.0, 2.0],
                _ => [0.0; 4],
            };
            set(&mut layer, &format!("{name}.attention.query.weight"), &[0.0; 4]);
            set(&mut layer, &format!("{name}.attention.value.weight"), &value);
            set(&mut layer, &format!("{name}.attention.out.weight"), &[1.0, 0.0, 0.0, 1.0]);
            set(&mut layer, &format!("{name}.feed_forward.out.weight"), &[0.0; 8]);
        }
        // First layer, text: the mean of the normed (1, -1) and of the shared 0 is (½, -½), times
        // 2: text (2, -2), its shared token (1, -1). Image: nothing moves, its shared token is 0.
        // The new shared token is (½, -½), or (1, -1) where text is alone, or 0 without text.
        // Second layer, image: the mean of LN(image) = (-1, 1) and of LN(shared) = (1, -1) is 0
        // where both are present, so image stays (-3, 3). Alone, LN(shared) = 0 and image moves by
        // 2 (-½, ½).
        let y = layer.forward(&four_items(&Device::flex()));
        assert_close(y, &[-0.5, 0.5, 2.0, -2.0, -4.0, 4.0, 7.0, 8.0]);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for (params, says) in
            [(json!({ "layers": 1 }), "layers is 1"), (json!({ "tokens": 0 }), "tokens is 0")]
        {
            let err = layer(params).unwrap_err().to_string();
            assert!(err.contains("bottleneck fusion") && err.contains(says), "{err}");
        }
    }
}
