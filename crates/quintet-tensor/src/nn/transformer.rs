//! The layer of a transformer whose parts read the norm of what came and add to it, as in GPT-2,
//! ViT and CLIP (Xiong et al., 2020, compare both orders).

use burn::prelude::*;

use super::attention::{AttentionMask, attention};
use super::layers::{Activation, LayerNorm, Linear};

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
