//! What the recurrent encoders share: word vectors, recurrent layers, one vector of their states.

use burn::prelude::*;
use quintet_tensor::index_tensor;
use quintet_tensor::nn::{
    Activation, Embedding, Linear, Params, Recurrent, RecurrentCell, RecurrentShape,
};
use serde::{Deserialize, Serialize};

use crate::pooling::Pooling;
use crate::trained::{TextNetwork, check_sizes};

/// More layers than this are no network but a damaged file.
const MOST_LAYERS: usize = 64;

/// How the states of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatePooling {
    /// The state once the text is read, of each direction.
    #[default]
    Last,
    /// The mean of the states of all words.
    Mean,
    /// The largest number in each place (Conneau et al., 2017).
    Max,
}

/// The sizes of a recurrent encoder.
pub(crate) struct RecurrentSizes {
    pub(crate) vocab_size: usize,
    pub(crate) embedding_dim: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_layers: usize,
    pub(crate) bidirectional: bool,
    pub(crate) pooling: StatePooling,
    pub(crate) projection_dim: Option<usize>,
}

impl RecurrentSizes {
    pub(crate) fn validate(&self) -> Result<(), String> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("embedding_dim", self.embedding_dim),
            ("hidden_size", self.hidden_size),
            ("projection_dim", self.projection_dim.unwrap_or(1)),
        ])?;
        if !(1..=MOST_LAYERS).contains(&self.num_layers) {
            return Err(format!("num_layers is 1 to {MOST_LAYERS}, found {}", self.num_layers));
        }
        Ok(())
    }

    /// The network with arrays `embedding.weight`, those of the layers below `name`, `fc.weight`
    /// and `fc.bias`.
    pub(crate) fn init(&self, params: &Params, name: &str, cell: RecurrentCell) -> RecurrentText {
        let shape = RecurrentShape {
            d_in: self.embedding_dim,
            hidden: self.hidden_size,
            layers: self.num_layers,
            bidirectional: self.bidirectional,
        };
        let d_states = if self.bidirectional { 2 * self.hidden_size } else { self.hidden_size };
        let project = |d| Linear::new(&params.at("fc"), d_states, d);
        RecurrentText {
            embedding: Embedding::of_words(
                &params.at("embedding"),
                self.vocab_size,
                self.embedding_dim,
            ),
            layers: Recurrent::new(&params.at(name), cell, &shape),
            pooling: self.pooling,
            projection: self.projection_dim.map(project),
            dim: self.projection_dim.unwrap_or(d_states),
        }
    }
}

/// The network of `bilstm` and `gru`.
#[derive(Debug, Clone)]
pub struct RecurrentText {
    embedding: Embedding,
    layers: Recurrent,
    pooling: StatePooling,
    projection: Option<Linear>,
    dim: usize,
}

impl RecurrentText {
    /// Vectors of texts that lie one after the other, `[texts, dim]`.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a text is empty, or an id is not below
    /// the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        let words = self.embedding.forward(index_tensor(ids, device)); // [words, dim]
        let states = self.layers.forward(words, lengths);
        let pooled = match self.pooling {
            StatePooling::Last => states.last,
            StatePooling::Mean => Pooling::Mean.forward(states.all, lengths),
            StatePooling::Max => Pooling::Max.forward(states.all, lengths),
        };
        match &self.projection {
            Some(projection) => projection.forward(pooled, Activation::None),
            None => pooled,
        }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

impl TextNetwork for RecurrentText {
    fn dim(&self) -> usize {
        self.dim
    }

    fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        self.forward(ids, lengths, device)
    }
}
