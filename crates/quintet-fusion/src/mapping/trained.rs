//! What the trained mappings share: standardised rows, perceptrons, batches of an epoch.

use burn::prelude::*;
use burn::tensor::TensorData;
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{FitError, Layer, Linear, Weight, leaky_relu, tanh, tensor_to_vec};
use rand::Rng;
use rand::seq::SliceRandom;

use super::MappingError;
use super::linalg::{centre, gather};

/// A column whose standard deviation is below this share of its largest entry is constant.
const CONSTANT: f64 = 1e-6;

/// Means and standard deviations of training rows.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub(crate) mean: Vec<f32>,
    /// 0 for columns that are constant in training: they are 0 in, and the mean out.
    pub(crate) std: Vec<f32>,
}

impl Scale {
    /// # Errors
    /// Fewer than two rows, or numbers that are not finite.
    pub(crate) fn fit(
        method: &'static str,
        what: &str,
        x: &Matrix,
        rows: &[u32],
    ) -> Result<Self, MappingError> {
        if rows.len() < 2 {
            let (what, found) = (what.to_owned(), rows.len());
            return Err(MappingError::TooFew { method, what, needed: 2, found });
        }
        let mut x = gather(what, x, rows)?;
        let mean = centre(&mut x);
        let std = (0..x.ncols()).map(|c| {
            let square = (0..x.nrows()).map(|r| x[(r, c)].powi(2)).sum::<f64>();
            let std = (square / x.nrows() as f64).sqrt();
            if std > CONSTANT * mean[c].abs() && std > 0.0 { std as f32 } else { 0.0 }
        });
        Ok(Self { std: std.collect(), mean: mean.into_iter().map(|m| m as f32).collect() })
    }

    /// The standardised rows `items`, `[items.len(), dim]`.
    pub(crate) fn rows(&self, x: &Matrix, items: &[u32], device: &Device) -> Tensor<2> {
        let mut data = Vec::with_capacity(items.len() * self.mean.len());
        for &item in items {
            data.extend(self.row(x.row(item as usize)));
        }
        Tensor::from_data(TensorData::new(data, [items.len(), self.mean.len()]), device)
    }

    pub(crate) fn row<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        row.iter()
            .zip(self.mean.iter().zip(&self.std))
            .map(|(x, (m, s))| if *s > 0.0 { (x - m) / s } else { 0.0 })
    }
}

/// Linear layers with an activation between them.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Activation {
    Relu,
    Tanh,
    /// Slope 0.2 below zero.
    LeakyRelu,
}

impl Mlp {
    /// `widths` from the input to the output, two at least.
    pub(crate) fn new(
        widths: &[usize],
        activation: Activation,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        let layers = widths.windows(2).map(|w| Linear::new(w[0], w[1], rng, device)).collect();
        Self { layers, activation }
    }

    /// `[batch, d_in] → [batch, d_out]`.
    pub(crate) fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = match self.activation {
                    Activation::Relu => leaky_relu(x, 0.0),
                    Activation::Tanh => tanh(x),
                    Activation::LeakyRelu => leaky_relu(x, 0.2),
                };
            }
            x = layer.forward(x);
        }
        x
    }
}

impl Layer for Mlp {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = self.layers.iter().enumerate();
        named
            .flat_map(|(i, l)| l.weights().into_iter().map(move |(n, w)| (format!("{i}.{n}"), w)))
            .collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.layers.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}

/// Several layers as one.
pub(crate) struct Together<'a, L>(pub(crate) &'a mut [L]);

impl<L: Layer> Layer for Together<'_, L> {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = self.0.iter().enumerate();
        named
            .flat_map(|(i, l)| l.weights().into_iter().map(move |(n, w)| (format!("{i}.{n}"), w)))
            .collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.0.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}

/// The device with gradients.
pub(crate) fn training(device: &Device) -> Device {
    if device.is_autodiff() { device.clone() } else { device.clone().autodiff() }
}

/// The items in an order of the epoch, in batches of about equal size, at most `size`.
pub(crate) fn batches(items: &[u32], size: usize, seed: SeedStream, epoch: usize) -> Vec<Vec<u32>> {
    let mut order = items.to_vec();
    order.shuffle(&mut seed.rng("mapping/order", epoch as u64));
    // Equal sizes: a last batch of one or two would be the noisiest step of the epoch.
    let n = order.len().div_ceil(size).max(1);
    (0..n).map(|b| order[b * order.len() / n..(b + 1) * order.len() / n].to_vec()).collect()
}

/// The value of a loss; batches and epochs count from 1 in the error.
pub(crate) fn value(
    method: &'static str,
    loss: &Tensor<1>,
    (epoch, batch): (usize, usize),
) -> Result<f64, MappingError> {
    let loss = f64::from(host(loss.clone().inner())?.first().copied().unwrap_or(f32::NAN));
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(MappingError::Diverged { method, epoch: epoch + 1, batch: batch + 1, loss })
}

/// The numbers of a tensor.
pub(crate) fn host<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, MappingError> {
    Ok(tensor_to_vec(x).map_err(FitError::Device)?)
}
