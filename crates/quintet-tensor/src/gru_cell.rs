//! One step of a gated recurrent unit, to be trained.
//!
//! Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
//! Translation", EMNLP 2014, with two biases and the reset gate behind the product, as in PyTorch:
//! `r = σ(x W_r + h U_r)`, `z = σ(x W_z + h U_z)`, `n = tanh(x W_n + r ⊙ (h U_n))`,
//! `h ← n + z ⊙ (h - n)`, each product with its bias.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use rand::Rng;

use crate::{Layer, Linear, Weight};

/// One recurrent layer; the blocks of its arrays are the reset gate, the update gate and the new
/// state.
#[derive(Debug, Clone)]
pub struct GruCell {
    /// `[dim, 3 dim]`, from the input.
    pub input: Linear,
    /// `[dim, 3 dim]`, from the state.
    pub inner: Linear,
}

impl GruCell {
    /// Xavier-normal weights, zero biases.
    pub fn new(dim: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut linear = || Linear::new(dim, 3 * dim, rng, device);
        Self { input: linear(), inner: linear() }
    }

    /// The next state, `[rows, dim]`, from an input, `[rows, dim]`; `h` is none at the start.
    ///
    /// # Panics
    /// When the input has another width.
    pub fn step(&self, x: Tensor<2>, h: Option<Tensor<2>>) -> Tensor<2> {
        let [rows, dim] = x.dims();
        let input = self.input.forward(x);
        let inner = match &h {
            Some(h) => self.inner.forward(h.clone()),
            None => self.inner.bias.tensor().expand([rows, 3 * dim]),
        };
        let block = |x: &Tensor<2>, from: usize, n: usize| x.clone().narrow(1, from * dim, n * dim);
        let gates = sigmoid(block(&input, 0, 2) + block(&inner, 0, 2));
        let (r, z) = (block(&gates, 0, 1), block(&gates, 1, 1));
        let new = (block(&input, 2, 1) + r * block(&inner, 2, 1)).tanh();
        match h {
            Some(h) => new.clone() + z * (h - new),
            None => new.clone() - z * new,
        }
    }
}

impl Layer for GruCell {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let parts = [("input", &self.input), ("inner", &self.inner)];
        let named = parts.into_iter().flat_map(|(name, layer)| {
            layer.weights().into_iter().map(move |(part, w)| (format!("{name}.{part}"), w))
        });
        named.collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        [&mut self.input, &mut self.inner].into_iter().flat_map(Layer::weights_mut).collect()
    }
}
