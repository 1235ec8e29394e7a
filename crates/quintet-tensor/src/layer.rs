//! Trainable layers as plain named arrays.
//!
//! Burn's `Module` draws its parameters lazily from a global generator, gives them random ids
//! and is not object-safe. Layers that train inside a recommender need the opposite: a start
//! that depends on the seed alone, a saved form by name, bitwise resume, and `Box<dyn Fusion>`.
//! So a layer here is a struct of [`Weight`]s; the tensors and the gradients are Burn's.

use burn::prelude::*;
use quintet_core::{Matrix, ModelState};
use rand::Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::{FitError, matrix_to_tensor, ops, tensor_to_matrix};

/// One trainable array, `[rows, cols]`; biases are `[1, cols]`.
#[derive(Debug, Clone)]
pub struct Weight {
    value: Tensor<2>,
}

impl Weight {
    /// Takes start values; gradients flow when `device` has autodiff on.
    pub fn new(start: &Matrix, device: &Device) -> Self {
        Self { value: leaf(matrix_to_tensor(start, device)) }
    }

    /// The current values, as part of the graph.
    pub fn tensor(&self) -> Tensor<2> {
        self.value.clone()
    }

    /// Replaces the values; the new ones are a leaf of the next graph.
    pub fn set(&mut self, value: Tensor<2>) {
        self.value = leaf(value);
    }

    /// Takes the values out of the graph, so that they can be changed where they lie. The weight
    /// holds nothing of use until [`Weight::set`].
    pub(crate) fn take(&mut self) -> Tensor<2> {
        let placeholder = Tensor::zeros([1, 1], &self.value.device());
        let value = std::mem::replace(&mut self.value, placeholder);
        if value.device().is_autodiff() { value.inner() } else { value }
    }

    /// `[rows, cols]`.
    pub fn dims(&self) -> [usize; 2] {
        self.value.dims()
    }

    /// The values on the host.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_matrix(&self) -> Result<Matrix, FitError> {
        tensor_to_matrix(self.value.clone().inner()).map_err(FitError::Device)
    }
}

/// Makes a leaf that keeps its gradient, on devices with autodiff.
fn leaf(value: Tensor<2>) -> Tensor<2> {
    if value.device().is_autodiff() { value.detach().require_grad() } else { value }
}

/// Anything with weights. Two methods to write, both one line.
pub trait Layer {
    /// The weights with their names, in a fixed order.
    fn weights(&self) -> Vec<(String, &Weight)>;

    /// The same weights in the same order, to be changed.
    fn weights_mut(&mut self) -> Vec<&mut Weight>;

    /// Number of trained numbers.
    fn n_parameters(&self) -> usize {
        self.weights().iter().map(|(_, w)| w.dims().iter().product::<usize>()).sum()
    }
}

/// Adds the weights of `layer` to `state`, each under `prefix` + its name.
///
/// # Errors
/// The device failed.
pub fn save_weights(
    layer: &(impl Layer + ?Sized),
    prefix: &str,
    state: &mut ModelState,
) -> Result<(), FitError> {
    for (name, weight) in layer.weights() {
        state.put(format!("{prefix}{name}"), weight.to_matrix()?);
    }
    Ok(())
}

/// Reads back what [`save_weights`] wrote.
///
/// # Errors
/// An array is missing or has another shape.
pub fn load_weights(
    layer: &mut (impl Layer + ?Sized),
    prefix: &str,
    state: &ModelState,
    device: &Device,
) -> Result<(), FitError> {
    let shapes: Vec<(String, [usize; 2])> =
        layer.weights().into_iter().map(|(n, w)| (format!("{prefix}{n}"), w.dims())).collect();
    for (weight, (key, [rows, cols])) in layer.weights_mut().into_iter().zip(shapes) {
        weight.set(matrix_to_tensor(state.shaped(&key, rows, cols)?, device));
    }
    Ok(())
}

/// `y = x W + b`, `[batch, d_in] → [batch, d_out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[d_in, d_out]`.
    pub weight: Weight,
    /// `[1, d_out]`.
    pub bias: Weight,
}

impl Linear {
    /// Xavier-normal weight (variance `2 / (d_in + d_out)`, Glorot & Bengio 2010), zero bias.
    pub fn new(d_in: usize, d_out: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let start = xavier_normal(d_in, d_out, rng);
        Self {
            weight: Weight::new(&start, device),
            bias: Weight::new(&Matrix::zeros(1, d_out), device),
        }
    }

    /// `[batch, d_in] → [batch, d_out]`.
    ///
    /// # Panics
    /// When the input has another width.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        assert_eq!(x.dims()[1], self.weight.dims()[0], "input width of a linear layer");
        ops::affine(x, self.weight.tensor(), self.bias.tensor())
    }
}

impl Layer for Linear {
    fn weights(&self) -> Vec<(String, &Weight)> {
        vec![("weight".into(), &self.weight), ("bias".into(), &self.bias)]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// Layer normalisation over the last dimension, ε = 1e-5 (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[1, dim]`.
    pub gain: Weight,
    /// `[1, dim]`.
    pub bias: Weight,
}

impl LayerNorm {
    /// Gain one, bias zero.
    pub fn new(dim: usize, device: &Device) -> Self {
        let mut ones = Matrix::zeros(1, dim);
        ones.as_mut_slice().fill(1.0);
        Self { gain: Weight::new(&ones, device), bias: Weight::new(&Matrix::zeros(1, dim), device) }
    }

    /// `[batch, dim] → [batch, dim]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, self.gain.tensor(), self.bias.tensor())
    }
}

impl Layer for LayerNorm {
    fn weights(&self) -> Vec<(String, &Weight)> {
        vec![("gain".into(), &self.gain), ("bias".into(), &self.bias)]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![&mut self.gain, &mut self.bias]
    }
}

/// `N(0, std²)` for every entry; zeros where `std` is not a number.
pub fn normal_matrix(rows: usize, cols: usize, std: f32, rng: &mut impl Rng) -> Matrix {
    let mut m = Matrix::zeros(rows, cols);
    if let Ok(normal) = Normal::new(0.0, std) {
        m.as_mut_slice().iter_mut().for_each(|v| *v = normal.sample(rng));
    }
    m
}

/// `N(0, 2 / (rows + cols))` for every entry.
pub fn xavier_normal(rows: usize, cols: usize, rng: &mut impl Rng) -> Matrix {
    normal_matrix(rows, cols, (2.0 / (rows + cols).max(1) as f32).sqrt(), rng)
}

/// `U(±sqrt(6 / (rows + cols)))` for every entry.
pub fn xavier_uniform(rows: usize, cols: usize, rng: &mut impl Rng) -> Matrix {
    let mut m = Matrix::zeros(rows, cols);
    let bound = (6.0 / (rows + cols).max(1) as f32).sqrt();
    if let Ok(uniform) = Uniform::new(-bound, bound) {
        m.as_mut_slice().iter_mut().for_each(|v| *v = uniform.sample(rng));
    }
    m
}
