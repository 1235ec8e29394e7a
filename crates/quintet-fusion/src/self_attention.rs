//! Self-attention over modality tokens: every modality is a token, and a small transformer lets
//! them read each other.
//!
//! Paper: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, on one token a modality as in
//! Sun et al., "VideoBERT", ICCV 2019 and its like. With `h_m = W_m LN(x_m) + b_m` and a learned
//! vector `e_m` for the modality, the tokens `t_m = h_m + e_m` of the modalities that the item has
//! go through `layers` blocks `t ← t + Attention(LN(t))`, `t ← t + W_2 gelu(W_1 LN(t))`, and
//! `y` is the mean of what comes out. Absent tokens neither attend nor are attended to. There is
//! no norm behind the last block: the output is a sum of branches, as that of the other layers.
//! Cost: with `d = d_out`, `D = heads · ⌈d / heads⌉` and `f = hidden`, parameters
//! `Σ (2 d_m + d_m d + d) + M d + layers (4 d D + 3 D + d + 4 d + 2 d f + f + d) + d`; a batch
//! `O(batch M (d D + M D + d f) layers)`.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, normal_matrix,
    parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, prefixed, title};
use crate::tokens::{
    Block, Noise, TokenParams, as_tokens, check_tokens, hidden_width, mean_present, noise,
};

const NAME: &str = "self_attention";

/// Standard deviation of the vectors of the modalities at the start (Devlin et al., "BERT", 2019).
const SMALL: f32 = 0.02;

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "transformer over one token a modality, mean over the present",
    build,
};

/// Parameters of [`SelfAttention`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfAttentionParams {
    /// Transformer blocks, at least 1.
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

impl Default for SelfAttentionParams {
    fn default() -> Self {
        Self { layers: 1, heads: None, hidden: None, dropout: 0.1 }
    }
}

/// Transformer over modality tokens.
#[derive(Debug, Clone)]
pub struct SelfAttention {
    projections: Projections,
    /// `[n_modalities, d_out]`.
    embedding: Weight,
    blocks: Vec<Block>,
    prior: Prior,
    dropout: f32,
    d_out: usize,
}

impl SelfAttention {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or an output narrower than 2; a parameter
    /// is out of range.
    pub fn new(
        params: &SelfAttentionParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let (n, d_out) = (shape.modalities.len(), shape.d_out);
        let tokens =
            TokenParams { layers: params.layers, heads: params.heads, dropout: params.dropout };
        let heads = check_tokens(NAME, &tokens, shape)?;
        let hidden = hidden_width(NAME, params.hidden, d_out)?;
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let embedding = Weight::new(&normal_matrix(n, d_out, SMALL, &mut rng), device);
        let block = |_| Block::new([d_out, hidden], heads, &mut rng, device);
        Ok(Self {
            blocks: (0..params.layers).map(block).collect(),
            projections: Projections::new(shape, seed, device),
            embedding,
            prior: Prior::new(d_out, device),
            dropout: params.dropout,
            d_out,
        })
    }

    fn run(&self, views: &Views, noise: &mut Noise) -> Tensor<2> {
        let h = as_tokens(self.projections.forward(views)); // [batch, n, d_out]
        let [batch, n, d_out] = h.dims();
        let start = h + self.embedding.tensor().reshape([1, n, d_out]);
        let readers = views.mask.clone().reshape([batch, n, 1]);
        let allowed = readers * views.mask.clone().reshape([batch, 1, n]);
        let out = self.blocks.iter().fold(start, |t, block| block.forward(t, &allowed, noise));
        self.prior.fill(mean_present(out, views), views)
    }
}

impl Layer for SelfAttention {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.push(("embedding".into(), &self.embedding));
        for (i, block) in self.blocks.iter().enumerate() {
            all.extend(prefixed(&format!("block{i}."), block));
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.push(&mut self.embedding);
        all.extend(self.blocks.iter_mut().flat_map(Layer::weights_mut));
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for SelfAttention {
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
    Ok(Box::new(SelfAttention::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::set;
    use crate::blocks::tests::{assert_close, four_items, two_modalities};
    use quintet_tensor::tensor_to_vec;
    use serde_json::json;

    fn layer(params: Value) -> Result<SelfAttention, FitError> {
        let params = parse_params(&title(NAME), &params)?;
        SelfAttention::new(&params, &two_modalities(2), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(json!({ "heads": 1 })).unwrap();
        // Layer norm gives (-1, 1) for every present block: h_text = (1, -1), h_image = (-3, 3).
        set(&mut layer, "text.project.weight", &[-1.0, 1.0, 0.0, 0.0]);
        set(&mut layer, "image.project.weight", &[3.0, -3.0, 0.0, 0.0]);
        set(&mut layer, "embedding", &[0.0; 4]);
        set(&mut layer, "prior", &[7.0, 8.0]);
        // Equal logits and values LN(t): the mean of (1, -1) and (-1, 1), which is 0, where both
        // are present, and the own norm where one is. The feed-forward part adds (0, 10).
        set(&mut layer, "block0.attention.query.weight", &[0.0; 4]);
        for name in ["value", "out"] {
            set(&mut layer, &format!("block0.attention.{name}.weight"), &[1.0, 0.0, 0.0, 1.0]);
        }
        set(&mut layer, "block0.feed_forward.out.weight", &[0.0; 8]);
        set(&mut layer, "block0.feed_forward.out.bias", &[0.0, 10.0]);
        let y = layer.forward(&four_items(&Device::flex()));
        let expected = [-1.0, 1.0 + 10.0, 2.0, -2.0 + 10.0, -4.0, 4.0 + 10.0, 7.0, 8.0];
        assert_close(y, &expected);
    }

    #[test]
    fn dropout_is_there_in_training_alone() {
        let layer = layer(json!({ "dropout": 0.5, "layers": 2 })).unwrap();
        let views = four_items(&Device::flex());
        let mut rng = SeedStream::new(3).rng("step", 0);
        let mut step = || tensor_to_vec(layer.forward_train(&views, &mut rng).vectors).unwrap();
        let plain = tensor_to_vec(layer.forward(&views)).unwrap();
        let (first, second) = (step(), step());
        assert!(first != plain && first != second, "{first:?} {second:?} {plain:?}");
        // Nothing is dropped from the learned vector of an item with nothing.
        assert_eq!(first[6..], plain[6..]);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for (params, says) in [
            (json!({ "layers": 0 }), "layers is 0"),
            (json!({ "heads": 0 }), "heads is 0"),
            (json!({ "heads": 3 }), "heads is 3, expected from 1 to the output width 2"),
            (json!({ "hidden": 0 }), "hidden is 0"),
            (json!({ "dropout": 1.0 }), "dropout is 1"),
        ] {
            let err = layer(params).unwrap_err().to_string();
            assert!(err.contains("self_attention fusion") && err.contains(says), "{err}");
        }
        let narrow = two_modalities(1);
        let params = SelfAttentionParams::default();
        let err = SelfAttention::new(&params, &narrow, SeedStream::new(1), &Device::flex());
        assert!(err.unwrap_err().to_string().contains("output width is 1"));
    }
}
