//! The encoder of RecVAE, on a device and on the host.
//!
//! ```text
//! h_1 = norm(swish(x W_1 + b_1))      h_k = norm(swish(h_{k-1} W_k + b_k + h_1 + … + h_{k-1}))
//! [μ; ln s²] = h_5 W + b              swish(x) = x σ(x)
//! ```
//!
//! `x W_1` comes in as a sum of rows; `norm` is layer normalisation with ε = 0.1.

use burn::tensor::{Tensor, activation};
use quintet_core::{ItemIdx, Matrix, ModelState, Recommender};
use quintet_tensor::{
    Device, FactorModel, FitError, Layer, LayerNorm, Linear, Weight, add_product, add_scaled,
    matrix_to_tensor,
};
use rand::Rng;

use crate::autoencoder::{encode_items, put_layer, read_layer};
use crate::folding::Folding;
use crate::query::Query;

/// Layers before `μ` and `ln s²`.
const DEPTH: usize = 5;

/// Added to the variance of a layer.
const EPSILON: f32 = 0.1;

/// All layers but the weight of the first.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    input_bias: Weight,
    /// Layers 2 to [`DEPTH`], `[hidden, hidden]`.
    layers: Vec<Linear>,
    norms: Vec<LayerNorm>,
    /// `[hidden, 2 · latent]`, `μ` and `ln s²`.
    output: Linear,
}

impl Encoder {
    pub(super) fn new(hidden: usize, latent: usize, rng: &mut impl Rng, device: &Device) -> Self {
        Self {
            input_bias: Weight::new(&Matrix::zeros(1, hidden), device),
            layers: (1..DEPTH).map(|_| Linear::new(hidden, hidden, rng, device)).collect(),
            norms: (0..DEPTH).map(|_| LayerNorm::new(hidden, device)).collect(),
            output: Linear::new(hidden, 2 * latent, rng, device),
        }
    }

    /// `μ` and `ln s²`, `[batch, latent]` each, from `x W_1`, `[batch, hidden]`.
    pub(super) fn forward(&self, sums: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let mut h = self.norm(0, sums + self.input_bias.tensor());
        let mut so_far = h.clone();
        for (k, layer) in self.layers.iter().enumerate() {
            h = self.norm(k + 1, layer.forward(h) + so_far.clone()); // [batch, hidden]
            so_far = so_far + h.clone();
        }
        let out = self.output.forward(h);
        let latent = out.dims()[1] / 2;
        (out.clone().narrow(1, 0, latent), out.narrow(1, latent, latent))
    }

    fn norm(&self, k: usize, x: Tensor<2>) -> Tensor<2> {
        let swish = activation::sigmoid(x.clone()) * x;
        let centred = swish.clone() - swish.mean_dim(1);
        let variance = centred.clone().powi_scalar(2).mean_dim(1);
        let norm = &self.norms[k];
        centred / (variance + EPSILON).sqrt() * norm.gain.tensor() + norm.bias.tensor()
    }

    /// The same numbers on another device.
    pub(super) fn copy_to(&self, device: &Device) -> Result<Self, FitError> {
        let mut copy = self.clone();
        for (to, (_, from)) in copy.weights_mut().into_iter().zip(self.weights()) {
            to.set(matrix_to_tensor(&from.to_matrix()?, device));
        }
        Ok(copy)
    }
}

impl Layer for Encoder {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("input.bias".to_owned(), &self.input_bias)];
        let layers = self.layers.iter().enumerate().map(|(k, l)| (format!("layer{}", k + 2), l));
        for (name, layer) in layers.chain([("output".to_owned(), &self.output)]) {
            all.push((format!("{name}.weight"), &layer.weight));
            all.push((format!("{name}.bias"), &layer.bias));
        }
        for (k, norm) in self.norms.iter().enumerate() {
            all.push((format!("norm{}.gain", k + 1), &norm.gain));
            all.push((format!("norm{}.bias", k + 1), &norm.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let Self { input_bias, layers, norms, output } = self;
        let mut all = vec![input_bias];
        for layer in layers.iter_mut().chain([output]) {
            all.extend([&mut layer.weight, &mut layer.bias]);
        }
        for norm in norms {
            all.extend([&mut norm.gain, &mut norm.bias]);
        }
        all
    }
}

/// The encoder on the host, up to `μ`.
pub(super) struct RecVaeQuery {
    input: Matrix,
    /// Bias of each layer; the weights of all but the first.
    biases: Vec<Vec<f32>>,
    weights: Vec<Matrix>,
    gains: Vec<Vec<f32>>,
    shifts: Vec<Vec<f32>>,
    output: Matrix,
    output_bias: Vec<f32>,
}

impl RecVaeQuery {
    pub(super) fn new(input: &Matrix, encoder: &Encoder) -> Result<Self, FitError> {
        let row = |w: &Weight| Ok::<_, FitError>(w.to_matrix()?.into_vec());
        let mut biases = vec![row(&encoder.input_bias)?];
        let mut weights = Vec::new();
        for layer in &encoder.layers {
            weights.push(layer.weight.to_matrix()?);
            biases.push(row(&layer.bias)?);
        }
        let whole = encoder.output.weight.to_matrix()?;
        let latent = whole.cols() / 2;
        let mut output = Matrix::zeros(whole.rows(), latent);
        for r in 0..whole.rows() {
            output.row_mut(r).copy_from_slice(&whole.row(r)[..latent]);
        }
        Ok(Self {
            input: input.clone(),
            biases,
            weights,
            gains: encoder.norms.iter().map(|n| row(&n.gain)).collect::<Result<_, _>>()?,
            shifts: encoder.norms.iter().map(|n| row(&n.bias)).collect::<Result<_, _>>()?,
            output,
            output_bias: row(&encoder.output.bias)?[..latent].to_vec(),
        })
    }

    fn norm(&self, k: usize, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
        let n = x.len().max(1) as f32;
        let mean = x.iter().sum::<f32>() / n;
        x.iter_mut().for_each(|x| *x -= mean);
        let variance = x.iter().map(|x| x * x).sum::<f32>() / n;
        let scale = 1.0 / (variance + EPSILON).sqrt();
        for ((x, gain), shift) in x.iter_mut().zip(&self.gains[k]).zip(&self.shifts[k]) {
            *x = *x * scale * gain + shift;
        }
    }
}

impl Query for RecVaeQuery {
    fn query(&self, items: &[ItemIdx], out: &mut [f32]) {
        let hidden = self.input.cols();
        let mut h = self.biases[0].clone();
        encode_items(&self.input, items, &mut h);
        self.norm(0, &mut h);
        let mut so_far = h.clone();
        for (k, weight) in self.weights.iter().enumerate() {
            let mut next = so_far.clone();
            add_scaled(&mut next, 1.0, &self.biases[k + 1]);
            add_product(&h, weight.as_slice(), [hidden; 2], &mut next);
            self.norm(k + 1, &mut next);
            add_scaled(&mut so_far, 1.0, &next);
            h = next;
        }
        out.copy_from_slice(&self.output_bias);
        add_product(&h, self.output.as_slice(), [hidden, self.output.cols()], out);
    }

    fn save(&self, state: &mut ModelState) {
        put_layer(state, "encoder1", &self.input, &self.biases[0]);
        for (k, weight) in self.weights.iter().enumerate() {
            put_layer(state, &format!("encoder{}", k + 2), weight, &self.biases[k + 1]);
        }
        for (k, (gain, shift)) in self.gains.iter().zip(&self.shifts).enumerate() {
            let gain = Matrix::from_vec(1, gain.len(), gain.clone()).unwrap_or_default();
            put_layer(state, &format!("norm{}", k + 1), &gain, shift);
        }
        put_layer(state, "mean", &self.output, &self.output_bias);
    }
}

pub(super) fn load(state: &ModelState) -> Result<Box<dyn Recommender>, FitError> {
    let model = FactorModel::load(state)?;
    let (n_items, latent) = (state.matrix("items")?.rows(), state.matrix("items")?.cols());
    let hidden = state.matrix("encoder1.weight")?.cols();
    let (input, first) = read_layer(state, "encoder1", [n_items, hidden])?;
    let (mut biases, mut weights) = (vec![first], Vec::new());
    for k in 2..=DEPTH {
        let (weight, bias) = read_layer(state, &format!("encoder{k}"), [hidden; 2])?;
        weights.push(weight);
        biases.push(bias);
    }
    let (mut gains, mut shifts) = (Vec::new(), Vec::new());
    for k in 1..=DEPTH {
        let (gain, shift) = read_layer(state, &format!("norm{k}"), [1, hidden])?;
        gains.push(gain.into_vec());
        shifts.push(shift);
    }
    let (output, output_bias) = read_layer(state, "mean", [hidden, latent])?;
    let query = RecVaeQuery { input, biases, weights, gains, shifts, output, output_bias };
    Ok(Box::new(Folding::new(model, Some(query))))
}
