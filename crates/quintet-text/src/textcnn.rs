//! TextCNN: filters over windows of words, and of each the largest answer in the text.
//!
//! Paper: Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.
//! <https://arxiv.org/abs/1408.5882>
//! A convolution is one product of all windows with all filters. A text that is shorter than the
//! widest window is followed by zeros up to it; there is no other padding.
//! Cost: parameters O((vocabulary + filters · width) · dim), a text O(words · filters · width ·
//! dim).

use burn::prelude::*;
use quintet_tensor::index_tensor;
use quintet_tensor::nn::{Activation, Embedding, Init, Linear, Params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::trained::{Architecture, TextNetwork, check_sizes};

/// Most widths of windows, and the widest window.
const MOST: usize = 64;

/// What `config.json` says of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextCnnConfig {
    /// Tokens that are known.
    pub vocab_size: usize,
    /// Width of a word vector.
    pub embedding_dim: usize,
    /// Filters of each width.
    pub num_filters: usize,
    /// Widths of the windows in words.
    #[serde(default = "kernel_sizes")]
    pub kernel_sizes: Vec<usize>,
    /// Width after the layer `fc`; without it the answers of the filters are the vector.
    #[serde(default)]
    pub projection_dim: Option<usize>,
}

fn kernel_sizes() -> Vec<usize> {
    vec![3, 4, 5]
}

impl TextCnnConfig {
    /// Checks what cannot be computed.
    ///
    /// # Errors
    /// What is wrong, by its key.
    pub fn validate(&self) -> Result<(), String> {
        check_sizes(&[
            ("vocab_size", self.vocab_size),
            ("embedding_dim", self.embedding_dim),
            ("num_filters", self.num_filters),
            ("projection_dim", self.projection_dim.unwrap_or(1)),
        ])?;
        let widths = &self.kernel_sizes;
        if !(1..=MOST).contains(&widths.len()) || !widths.iter().all(|k| (1..=MOST).contains(k)) {
            return Err(format!(
                "kernel_sizes: 1 to {MOST} widths of 1 to {MOST}, found {widths:?}"
            ));
        }
        Ok(())
    }

    /// The network with arrays `embedding.weight`, `convs.N.weight` (`[filters, dim, width]`),
    /// `convs.N.bias`, `fc.weight` and `fc.bias`.
    pub fn init(&self, params: &Params) -> TextCnn {
        let (dim, filters) = (self.embedding_dim, self.num_filters);
        let conv = |(n, width): (usize, &usize)| {
            let params = params.at("convs").at(n);
            let bound = 1.0 / ((dim * width) as f32).sqrt();
            let init = Init::Uniform(bound);
            let weight = params.array("weight", [filters, dim, *width], init);
            let bias = Some(params.array("bias", [filters], init));
            // Of weights that will be refused one number stands for all; they stay so.
            let weight = match params.failed() {
                true => weight.slice([0..1, 0..1, 0..1]).reshape([1, 1]),
                false => weight.swap_dims(1, 2).reshape([filters, width * dim]),
            };
            Filters { width: *width, linear: Linear::of(weight, bias) }
        };
        let convs: Vec<Filters> = self.kernel_sizes.iter().enumerate().map(conv).collect();
        let d_pooled = convs.len() * filters;
        TextCnn {
            embedding: Embedding::of_words(&params.at("embedding"), self.vocab_size, dim),
            convs,
            projection: self.projection_dim.map(|d| Linear::new(&params.at("fc"), d_pooled, d)),
            dim: self.projection_dim.unwrap_or(d_pooled),
        }
    }
}

/// The filters of one width.
#[derive(Debug, Clone)]
struct Filters {
    width: usize,
    /// `[filters, width · dim]`.
    linear: Linear,
}

impl Filters {
    /// The largest answers in each sequence, `[sequences, filters]`. `x` has a row of zeros behind
    /// the tokens; no sequence is shorter than `shortest` with such rows.
    fn forward(&self, x: &Tensor<2>, lengths: &[usize], shortest: usize) -> Tensor<2> {
        let ([rows, dim], device) = (x.dims(), x.device());
        let zeros = rows - 1;
        let n_windows = |length: &usize| (*length).max(shortest) + 1 - self.width;
        let most = lengths.iter().map(n_windows).max().unwrap_or(0);
        let (mut tokens, mut spread) = (Vec::new(), Vec::new());
        let (mut start, mut first) = (0, 0);
        for length in lengths {
            let n = n_windows(length);
            for window in 0..n {
                let places = window..window + self.width;
                tokens.extend(
                    places.map(|at| (if at < *length { start + at } else { zeros }) as u32),
                );
            }
            // Up to the most, the last window again: the largest answer stays the same.
            spread.extend((0..most).map(|at| (first + at.min(n - 1)) as u32));
            (start, first) = (start + length, first + n);
        }
        let windows = x.clone().select(0, index_tensor(&tokens, &device));
        let windows = windows.reshape([first, self.width * dim]);
        let answers = self.linear.forward(windows, Activation::Relu); // [windows, filters]
        let filters = answers.dims()[1];
        let answers = answers.select(0, index_tensor(&spread, &device));
        answers.reshape([lengths.len(), most, filters]).max_dim(1).reshape([lengths.len(), filters])
    }
}

/// The network.
#[derive(Debug, Clone)]
pub struct TextCnn {
    embedding: Embedding,
    convs: Vec<Filters>,
    projection: Option<Linear>,
    dim: usize,
}

impl TextCnn {
    /// Vectors of texts that lie one after the other, `[texts, dim]`.
    ///
    /// # Panics
    /// When the lengths do not add up to the number of ids, a text is empty, or an id is not below
    /// the size of the vocabulary.
    pub fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        assert_eq!(lengths.iter().sum::<usize>(), ids.len(), "the lengths of the ids");
        assert!(!lengths.contains(&0), "a text without ids");
        let words = self.embedding.forward(index_tensor(ids, device)); // [words, dim]
        let zeros = Tensor::zeros([1, words.dims()[1]], &words.device());
        let words = Tensor::cat(vec![words, zeros], 0);
        let widest = self.convs.iter().map(|conv| conv.width).max().unwrap_or(1);
        let pooled = self.convs.iter().map(|conv| conv.forward(&words, lengths, widest));
        let pooled = Tensor::cat(pooled.collect(), 1); // [texts, widths · filters]
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

impl TextNetwork for TextCnn {
    fn dim(&self) -> usize {
        self.dim
    }

    fn forward(&self, ids: &[u32], lengths: &[usize], device: &Device) -> Tensor<2> {
        self.forward(ids, lengths, device)
    }
}

impl Architecture for TextCnnConfig {
    const NAME: &'static str = "textcnn";
    const SUMMARY: &'static str = "TextCNN: filters over windows of words, with trained weights";
    type Network = TextCnn;

    fn usual() -> Value {
        json!({ "embedding_dim": 64, "num_filters": 32, "projection_dim": 64 })
    }

    fn validate(&self) -> Result<(), String> {
        self.validate()
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn init(&self, params: &Params) -> TextCnn {
        self.init(params)
    }
}
