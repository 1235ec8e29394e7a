//! GRU: gated recurrent units over the words of a text.
//!
//! Paper: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical
//! Machine Translation", EMNLP 2014. <https://arxiv.org/abs/1406.1078>
//! Layers: see [`quintet_tensor::nn::Recurrent`]; the reset gate comes after the product, as in
//! PyTorch.
//! Cost: a text O(words · hidden · (hidden + dim)), word after word.

use quintet_tensor::nn::{Params, RecurrentCell};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::recurrent_text::{RecurrentSizes, RecurrentText, StatePooling};
use crate::trained::Architecture;

/// What `config.json` says of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GruConfig {
    /// Tokens that are known.
    pub vocab_size: usize,
    /// Width of a word vector.
    pub embedding_dim: usize,
    /// Width of a state of one direction.
    pub hidden_size: usize,
    /// Layers, each over the states of the one below.
    #[serde(default = "one")]
    pub num_layers: usize,
    /// Whether each layer also reads backwards.
    #[serde(default)]
    pub bidirectional: bool,
    /// How the states become one vector.
    #[serde(default)]
    pub pooling: StatePooling,
    /// Width after the layer `fc`; without it the pooled states are the vector.
    #[serde(default)]
    pub projection_dim: Option<usize>,
}

fn one() -> usize {
    1
}

impl GruConfig {
    /// Checks what cannot be computed.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn validate(&self) -> Result<(), String> {
        self.sizes().validate()
    }

    /// The network with arrays `embedding.weight`, `gru.weight_ih_l0` and the like as PyTorch
    /// names them, `fc.weight` and `fc.bias`.
    pub fn init(&self, params: &Params) -> RecurrentText {
        self.sizes().init(params, "gru", RecurrentCell::Gru)
    }

    fn sizes(&self) -> RecurrentSizes {
        RecurrentSizes {
            vocab_size: self.vocab_size,
            embedding_dim: self.embedding_dim,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            bidirectional: self.bidirectional,
            pooling: self.pooling,
            projection_dim: self.projection_dim,
        }
    }
}

impl Architecture for GruConfig {
    const NAME: &'static str = "gru";
    const SUMMARY: &'static str = "GRU over words, in one direction or both, with trained weights";
    type Network = RecurrentText;

    fn usual() -> Value {
        json!({ "embedding_dim": 64, "hidden_size": 64 })
    }

    fn validate(&self) -> Result<(), String> {
        self.validate()
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn init(&self, params: &Params) -> RecurrentText {
        self.init(params)
    }
}
