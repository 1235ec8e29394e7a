//! The text tower of CLIP; the image tower is `quintet_image`'s.
//!
//! Paper: Radford et al., "Learning Transferable Visual Models From Natural Language
//! Supervision", ICML 2021.
//! Arrays: the names of Hugging Face, in a file of both towers or of this one.
//! Vector: the last token, which has seen all others, in the space that both towers share.

use burn::prelude::*;
use quintet_tensor::index_tensor;
use quintet_tensor::nn::{
    Activation, AttentionMask, Embedding, LayerNorm, Linear, Params, PreNormLayer,
};
use serde::Deserialize;
use serde_json::Value;

/// `text_config` of `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Tokens that there are.
    pub vocab_size: usize,
    /// Width of a token.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Longest text in tokens.
    pub max_position_embeddings: usize,
    /// Between the layers of the feed-forward part.
    pub hidden_act: String,
    /// What keeps the norms from dividing by 0.
    pub layer_norm_eps: f32,
    /// Width of the shared space.
    pub projection_dim: usize,
}

impl Default for ClipTextConfig {
    /// CLIP ViT-B, as Hugging Face leaves out what is so.
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".to_owned(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
        }
    }
}

impl ClipTextConfig {
    /// From `config.json`, of both towers or of this one.
    ///
    /// # Errors
    /// The key whose value cannot be.
    pub fn of_json(json: &Value) -> Result<Self, String> {
        let both = json.get("model_type").and_then(Value::as_str) == Some("clip");
        let part = if both { json.get("text_config") } else { Some(json) };
        let part = part.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let mut config: Self = serde_json::from_value(part).map_err(|e| e.to_string())?;
        if let Some(dim) = json.get("projection_dim").and_then(Value::as_u64) {
            config.projection_dim = dim as usize;
        }
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size, 16_777_216),
            ("hidden_size", self.hidden_size, 16_384),
            ("intermediate_size", self.intermediate_size, 131_072),
            ("num_hidden_layers", self.num_hidden_layers, 256),
            ("num_attention_heads", self.num_attention_heads, 1024),
            ("max_position_embeddings", self.max_position_embeddings, 131_072),
            ("projection_dim", self.projection_dim, 16_384),
        ];
        if let Some((key, found, most)) = sizes.iter().find(|(_, n, most)| *n == 0 || n > most) {
            return Err(format!("{key}: expected 1 to {most}, found {found}"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (heads, dim) = (self.num_attention_heads, self.hidden_size);
            return Err(format!("num_attention_heads: expected a divisor of {dim}, found {heads}"));
        }
        Activation::by_name(&self.hidden_act).map(|_| ()).map_err(|e| format!("hidden_act: {e}"))
    }

    /// The network with its arrays.
    pub fn init(&self, params: &Params) -> ClipText {
        let dim = self.hidden_size;
        let tower = params.at("text_model");
        let embeddings = tower.at("embeddings");
        let words = Embedding::new(&embeddings.at("token_embedding"), self.vocab_size, dim);
        let rows = self.max_position_embeddings;
        let positions = Embedding::new(&embeddings.at("position_embedding"), rows, dim);
        let layers = tower.at("encoder.layers");
        let channels = [dim, self.projection_dim];
        ClipText {
            words,
            positions,
            layers: (0..self.num_hidden_layers).map(|n| self.layer(&layers.at(n))).collect(),
            norm: LayerNorm::new(&tower.at("final_layer_norm"), dim, self.layer_norm_eps),
            projection: Linear::named(&params.at("text_projection"), "weight", None, channels),
            heads: self.num_attention_heads,
        }
    }

    fn layer(&self, params: &Params) -> PreNormLayer {
        // `validate` lets no other through.
        let activation = Activation::by_name(&self.hidden_act).unwrap_or(Activation::QuickGelu);
        let widths = [self.hidden_size, self.intermediate_size];
        PreNormLayer::of_clip(params, widths, self.layer_norm_eps, activation)
    }
}

/// The text tower.
#[derive(Debug, Clone)]
pub struct ClipText {
    words: Embedding,
    positions: Embedding,
    layers: Vec<PreNormLayer>,
    norm: LayerNorm,
    projection: Linear,
    heads: usize,
}

impl ClipText {
    /// Every token in the shared space, `[tokens, projection_dim]`, of sequences that lie one
    /// after the other; the last token of a sequence is its vector.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a sequence is longer than
    /// `max_position_embeddings`, or an id is not below the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        let (longest, vocabulary) = (self.positions.rows(), self.words.rows());
        assert!(lengths.iter().all(|n| *n <= longest), "a sequence of more than {longest} tokens");
        assert!(ids.iter().all(|id| (*id as usize) < vocabulary), "an id beyond {vocabulary}");
        let positions: Vec<u32> = lengths.iter().flat_map(|n| 0..*n as u32).collect();
        let x = self.words.forward(index_tensor(ids, device))
            + self.positions.forward(index_tensor(&positions, device));
        let x = self
            .layers
            .iter()
            .fold(x, |x, layer| layer.forward(x, lengths, self.heads, AttentionMask::Causal));
        self.projection.forward(self.norm.forward(x), Activation::None)
    }
}
