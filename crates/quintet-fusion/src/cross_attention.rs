//! Cross-attention: the token of each modality asks the tokens of the others.
//!
//! Papers: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", ACL
//! 2019; Lu et al., "ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations", NeurIPS
//! 2019. With `t_m = W_m LN(x_m) + b_m`, `layers` times and for all modalities at once:
//! `t_m ← t_m + O_m Attention(Q_m LN_m(t_m); K_j LN_j(t_j), V_j LN_j(t_j) for present j ≠ m)`, and
//! `y` is the mean of the tokens that are present. Every modality has its own `Q`, `K`, `V`, `O`
//! and norm, as the streams of ViLBERT. An item with one modality has nobody to ask: its token
//! passes through unchanged.
//! Differences: keys come from the others' current tokens, as in ViLBERT and not from the lowest
//! layer as in Tsai et al.; all other modalities are asked in one softmax and not pair by pair;
//! there is no feed-forward part, so that the layer holds the exchange and nothing else.
//! Cost: with `d = d_out` and `D = heads · ⌈d / heads⌉`, parameters `Σ (2 d_m + d_m d + d) + layers
//! M (2 d + 4 d D + 3 D + d) + d`; a batch `O(batch M (d D + M D) layers)`.

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, LayerNorm, Views, Weight,
    parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{Prior, Projections, prefixed, title};
use crate::tokens::{
    MODALITY_COUNTER, MultiHead, Noise, TokenParams, as_tokens, attend, check_tokens, mean_present,
    noise,
};

const NAME: &str = "cross_attention";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "each modality's token asks the tokens of the others, mean over the present",
    build,
};

/// Parameters of [`CrossAttention`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossAttentionParams {
    /// How many times the modalities ask each other, at least 1.
    pub layers: usize,
    /// Attention heads, from 1 to the output width. Each is `⌈d_out / heads⌉` wide. By default 4,
    /// or the output width where it is smaller.
    pub heads: Option<usize>,
    /// Share of attention weights dropped in training, in `[0, 1)`.
    pub dropout: f32,
}

impl Default for CrossAttentionParams {
    fn default() -> Self {
        Self { layers: 1, heads: None, dropout: 0.1 }
    }
}

/// Modalities that ask each other.
#[derive(Debug, Clone)]
pub struct CrossAttention {
    projections: Projections,
    /// `[layers][n_modalities]`.
    layers: Vec<Vec<Stream>>,
    prior: Prior,
    heads: usize,
    dropout: f32,
    d_out: usize,
}

/// What one modality has to itself in one layer.
#[derive(Debug, Clone)]
struct Stream {
    modality: Modality,
    norm: LayerNorm,
    attention: MultiHead,
}

impl CrossAttention {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or an output narrower than 2; a parameter
    /// is out of range.
    pub fn new(
        params: &CrossAttentionParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let d_out = shape.d_out;
        let tokens =
            TokenParams { layers: params.layers, heads: params.heads, dropout: params.dropout };
        let heads = check_tokens(NAME, &tokens, shape)?;
        let start = |&(modality, _): &(Modality, usize)| {
            (modality, seed.rng("fusion", MODALITY_COUNTER + modality as u64))
        };
        let mut streams: Vec<_> = shape.modalities.iter().map(start).collect();
        let layer = |_| {
            let stream = |(modality, rng): &mut (Modality, ChaCha8Rng)| Stream {
                modality: *modality,
                norm: LayerNorm::new(d_out, device),
                attention: MultiHead::new(d_out, heads, rng, device),
            };
            streams.iter_mut().map(stream).collect()
        };
        Ok(Self {
            layers: (0..params.layers).map(layer).collect(),
            projections: Projections::new(shape, seed, device),
            prior: Prior::new(d_out, device),
            heads,
            dropout: params.dropout,
            d_out,
        })
    }

    fn run(&self, views: &Views, noise: &mut Noise) -> Tensor<2> {
        let mut tokens = self.projections.forward(views);
        let (mask, n) = (&views.mask, tokens.len());
        for streams in &self.layers {
            let normed: Vec<Tensor<2>> =
                streams.iter().zip(&tokens).map(|(s, t)| s.norm.forward(t.clone())).collect();
            let each = |map: fn(&MultiHead) -> &quintet_tensor::Linear| {
                let projected = streams.iter().zip(&normed);
                as_tokens(projected.map(|(s, t)| map(&s.attention).forward(t.clone())).collect())
            };
            let projected = [each(|a| &a.query), each(|a| &a.key), each(|a| &a.value)];
            let others = others(mask); // [batch, n, n]
            let read = attend(projected, self.heads, &others, noise); // [batch, n, D]
            let [batch, _, width] = read.dims();
            // Nobody to ask: the bias of the output map must not come either.
            let asked = others.max_dim(2).reshape([batch, n]);
            tokens = streams
                .iter()
                .zip(tokens)
                .enumerate()
                .map(|(m, (stream, token))| {
                    let read = read.clone().narrow(1, m, 1).reshape([batch, width]);
                    token + stream.attention.out.forward(read) * asked.clone().narrow(1, m, 1)
                })
                .collect();
        }
        self.prior.fill(mean_present(as_tokens(tokens), views), views)
    }
}

/// 1 where modality `j` may be asked by modality `m`, `[batch, m, j]`: it is another one, and both
/// are present.
fn others(mask: &Tensor<2>) -> Tensor<3> {
    let [batch, n] = mask.dims();
    let own = Tensor::<2>::eye(n, &mask.device()).reshape([1, n, n]);
    let pairs = mask.clone().reshape([batch, n, 1]) * mask.clone().reshape([batch, 1, n]);
    pairs * (own.neg() + 1.0)
}

impl Layer for CrossAttention {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        for (i, streams) in self.layers.iter().enumerate() {
            for stream in streams {
                let prefix = format!("layer{i}.{}.", stream.modality);
                all.extend(prefixed(&format!("{prefix}norm."), &stream.norm));
                all.extend(prefixed(&prefix, &stream.attention));
            }
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        for stream in self.layers.iter_mut().flatten() {
            all.extend(stream.norm.weights_mut());
            all.extend(stream.attention.weights_mut());
        }
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for CrossAttention {
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
    Ok(Box::new(CrossAttention::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, two_modalities};

    #[test]
    fn values_by_hand() {
        let params = CrossAttentionParams { heads: Some(1), ..CrossAttentionParams::default() };
        let (shape, device) = (two_modalities(2), Device::flex());
        let mut layer = CrossAttention::new(&params, &shape, SeedStream::new(1), &device).unwrap();
        // h_text = (1, -1), h_image = (-3, 3); prior (7, 8).
        set(&mut layer, "text.project.weight", &[-1.0, 1.0, 0.0, 0.0]);
        set(&mut layer, "image.project.weight", &[3.0, -3.0, 0.0, 0.0]);
        set(&mut layer, "prior", &[7.0, 8.0]);
        // Text reads twice the normed image, image ten times the normed text; each has one other
        // to ask, so all attention lies there. Text's output adds 100, where it has asked.
        for (modality, factor) in [("text", 10.0), ("image", 2.0)] {
            set(
                &mut layer,
                &format!("layer0.{modality}.value.weight"),
                &[factor, 0.0, 0.0, factor],
            );
            set(&mut layer, &format!("layer0.{modality}.out.weight"), &[1.0, 0.0, 0.0, 1.0]);
        }
        set(&mut layer, "layer0.text.out.bias", &[100.0, 0.0]);
        // Both: text (1, -1) + 2 (-1, 1) + (100, 0) = (99, 1), image (-3, 3) + 10 (1, -1) =
        // (7, -7); their mean. One alone passes through.
        let y = layer.forward(&four_items(&device));
        assert_close(y, &[53.0, -3.0, 1.0, -1.0, -3.0, 3.0, 7.0, 8.0]);
    }
}
