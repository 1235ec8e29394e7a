//! The layer of a transformer whose parts read the norm of what came and add to it, as in GPT-2,
//! ViT and CLIP (Xiong et al., 2020, compare both orders).

use burn::prelude::*;

use super::attention::{AttentionMask, attention};
use super::layers::{Activation, LayerNorm, Linear};
use super::params::Params;

/// Attention, then a feed-forward part, each over the norm of what came and added to it.
#[derive(Debug, Clone)]
pub struct PreNormLayer {
    /// Before the attention.
    pub attention_norm: LayerNorm,
    /// Queries, keys and values side by side, `[3 · dim, dim]`.
    pub qkv: Linear,
    /// After the attention.
    pub attention_out: Linear,
    /// Before the feed-forward part.
    pub norm: LayerNorm,
    /// Its first layer, to the inner width.
    pub wide: Linear,
    /// Its second one, back to `dim`.
    pub narrow: Linear,
    /// What stands between them.
    pub activation: Activation,
}

impl PreNormLayer {
    /// A layer of either tower of CLIP (Radford et al., 2021), by the names of Hugging Face;
    /// `inner` is the width of the feed-forward part.
    pub fn of_clip(
        params: &Params,
        [dim, inner]: [usize; 2],
        epsilon: f32,
        activation: Activation,
    ) -> Self {
        let norm = |name| LayerNorm::new(&params.at(name), dim, epsilon);
        let attention = params.at("self_attn");
        Self {
            attention_norm: norm("layer_norm1"),
            qkv: Linear::joined(&attention, &["q_proj", "k_proj", "v_proj"], dim, dim),
            attention_out: Linear::new(&attention.at("out_proj"), dim, dim),
            norm: norm("layer_norm2"),
            wide: Linear::new(&params.at("mlp.fc1"), dim, inner),
            narrow: Linear::new(&params.at("mlp.fc2"), inner, dim),
            activation,
        }
    }

    /// Packed sequences, `[tokens, dim] → [tokens, dim]`.
    ///
    /// # Panics
    /// As [`attention`].
    pub fn forward(
        &self,
        x: Tensor<2>,
        lengths: &[usize],
        heads: usize,
        mask: AttentionMask,
    ) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let qkv = self.qkv.forward(normed, Activation::None);
        let mixed = attention(qkv, lengths, heads, mask);
        let x = self.attention_out.forward_sum(mixed, x, Activation::None);
        let inner = self.wide.forward(self.norm.forward(x.clone()), self.activation);
        self.narrow.forward_sum(inner, x, Activation::None)
    }
}
