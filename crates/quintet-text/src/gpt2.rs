//! GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019), read for
//! the states of its tokens: each has seen those before it.

use burn::prelude::*;
use quintet_tensor::index_tensor;
use quintet_tensor::nn::{
    Activation, AttentionMask, Embedding, LayerNorm, Linear, Params, PreNormLayer,
};
use serde::{Deserialize, Serialize};

use crate::bert::MOST_LAYERS;

/// What `config.json` says of the architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpt2Config {
    /// Tokens that are known.
    pub vocab_size: usize,
    /// Longest sequence.
    pub n_positions: usize,
    /// Width of a token.
    pub n_embd: usize,
    /// Layers.
    pub n_layer: usize,
    /// Heads of attention.
    pub n_head: usize,
    /// Width within the feed-forward part; 4 times that of a token when absent.
    #[serde(default)]
    pub n_inner: Option<usize>,
    /// What follows the first half of the feed-forward part.
    #[serde(default = "gelu_new")]
    pub activation_function: String,
    /// What keeps layer norms from dividing by 0.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f32,
}

fn gelu_new() -> String {
    "gelu_new".to_owned()
}

fn epsilon() -> f32 {
    1e-5
}

impl Gpt2Config {
    /// Checks what cannot be computed.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn validate(&self) -> Result<(), String> {
        if self.n_head == 0 || !self.n_embd.is_multiple_of(self.n_head) {
            let (width, heads) = (self.n_embd, self.n_head);
            return Err(format!("n_embd {width} is no multiple of n_head {heads}"));
        }
        if self.n_positions == 0 || self.n_embd == 0 || self.vocab_size == 0 {
            return Err("a size of 0".to_owned());
        }
        if self.n_layer > MOST_LAYERS {
            return Err(format!("n_layer: at most {MOST_LAYERS}, found {}", self.n_layer));
        }
        let act = Activation::by_name(&self.activation_function);
        act.map(|_| ()).map_err(|e| format!("activation_function: {e}"))
    }

    /// The network with its arrays.
    pub fn init(&self, params: &Params) -> Gpt2 {
        let norm = |params: &Params| LayerNorm::new(params, self.n_embd, self.layer_norm_epsilon);
        let layers = params.at("h");
        Gpt2 {
            words: Embedding::new(&params.at("wte"), self.vocab_size, self.n_embd),
            positions: Embedding::new(&params.at("wpe"), self.n_positions, self.n_embd),
            layers: (0..self.n_layer).map(|n| layer(&layers.at(n), self)).collect(),
            norm: norm(&params.at("ln_f")),
            heads: self.n_head,
        }
    }
}

/// One layer; queries, keys and values are one array already.
fn layer(params: &Params, config: &Gpt2Config) -> PreNormLayer {
    let dim = config.n_embd;
    let inner = config.n_inner.unwrap_or(4 * dim);
    let norm = |name| LayerNorm::new(&params.at(name), dim, config.layer_norm_epsilon);
    let linear = |name, d_in, d_out| Linear::transposed(&params.at(name), d_in, d_out);
    PreNormLayer {
        attention_norm: norm("ln_1"),
        qkv: linear("attn.c_attn", dim, 3 * dim),
        attention_out: linear("attn.c_proj", dim, dim),
        norm: norm("ln_2"),
        wide: linear("mlp.c_fc", dim, inner),
        narrow: linear("mlp.c_proj", inner, dim),
        // `Gpt2Config::validate` lets no other through.
        activation: Activation::by_name(&config.activation_function)
            .unwrap_or(Activation::GeluTanh),
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct Gpt2 {
    words: Embedding,
    positions: Embedding,
    layers: Vec<PreNormLayer>,
    norm: LayerNorm,
    heads: usize,
}

impl Gpt2 {
    /// The last hidden state of every token, `[tokens, n_embd]`, of sequences that lie one after
    /// the other.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a sequence is longer than
    /// `n_positions`, or an id is not below the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        let (longest, vocabulary) = (self.positions.rows(), self.words.rows());
        assert!(lengths.iter().all(|n| *n <= longest), "a sequence of more than {longest} tokens");
        assert!(ids.iter().all(|id| (*id as usize) < vocabulary), "an id beyond {vocabulary}");
        let positions: Vec<u32> = lengths.iter().flat_map(|n| 0..*n as u32).collect();
        let mut x = self.words.forward(index_tensor(ids, device))
            + self.positions.forward(index_tensor(&positions, device));
        for layer in &self.layers {
            x = layer.forward(x, lengths, self.heads, AttentionMask::Causal);
        }
        self.norm.forward(x)
    }
}
