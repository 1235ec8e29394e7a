//! A second of arithmetic that decides whether a device is trusted.
//!
//! Drivers exist that run without an error and compute wrongly; one was seen that loses the
//! gradient of a matrix product. So before work starts on a GPU, a small forward pass, its
//! gradients, optimiser steps and a scatter with duplicate indices are compared with `flex`.

use burn::prelude::*;
use burn::tensor::{IndexingUpdateOp, TensorData};
use quintet_core::{Matrix, SeedStream};
use rand::RngExt;

use crate::{
    Adam, AdamConfig, Layer, LayerNorm, Linear, Weight, index_tensor, matrix_to_tensor,
    tensor_to_vec,
};

/// Largest allowed difference, relative to values of order one: far above the rounding of
/// another summation order, far below any wrong result.
const TOLERANCE: f32 = 2e-3;

/// What a passed check found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfCheck {
    /// Largest relative difference from the reference.
    pub largest_difference: f32,
}

/// Compares `device` with `flex` (with itself run twice, where `flex` is not compiled).
///
/// # Errors
/// One sentence that names the step, the expected and the found value.
pub fn self_check(device: &Device) -> Result<SelfCheck, String> {
    let reference = run(&reference_device(device))?;
    // A broken driver may panic deep inside the backend instead of answering.
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(device)))
        .map_err(|_| "the device crashed during the self-check".to_owned())??;
    let mut largest = 0.0f32;
    for ((step, expected), (_, found)) in reference.iter().zip(&found) {
        if expected.len() != found.len() {
            return Err(format!(
                "{step}: expected {} numbers, found {}",
                expected.len(),
                found.len()
            ));
        }
        for (i, (e, f)) in expected.iter().zip(found).enumerate() {
            let difference = (e - f).abs() / e.abs().max(1.0);
            if difference.is_nan() || difference > TOLERANCE {
                return Err(format!("{step}, number {i}: expected {e}, found {f}"));
            }
            largest = largest.max(difference);
        }
    }
    Ok(SelfCheck { largest_difference: largest })
}

#[cfg(feature = "flex")]
fn reference_device(_device: &Device) -> Device {
    Device::flex()
}

#[cfg(not(feature = "flex"))]
fn reference_device(device: &Device) -> Device {
    device.clone()
}

struct Net {
    first: Linear,
    norm: LayerNorm,
    second: Linear,
}

impl Layer for Net {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.first.weights();
        all.extend(self.norm.weights());
        all.extend(self.second.weights());
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.first.weights_mut();
        all.extend(self.norm.weights_mut());
        all.extend(self.second.weights_mut());
        all
    }
}

/// The named results of every step, on `device`.
fn run(device: &Device) -> Result<Vec<(&'static str, Vec<f32>)>, String> {
    let mut results = train_steps(device)?;
    results.push(("scatter with duplicate indices", scatter(device)?));
    results.push(("gather", gather(device)?));
    Ok(results)
}

fn train_steps(device: &Device) -> Result<Vec<(&'static str, Vec<f32>)>, String> {
    let dev = device.clone().autodiff();
    let mut rng = SeedStream::new(1).rng("self-check", 0);
    let mut net = Net {
        first: Linear::new(24, 32, &mut rng, &dev),
        norm: LayerNorm::new(32, &dev),
        second: Linear::new(32, 8, &mut rng, &dev),
    };
    let mut numbers = |rows: usize, cols: usize| {
        let mut m = Matrix::zeros(rows, cols);
        m.as_mut_slice().iter_mut().for_each(|v| *v = rng.random_range(-1.0..1.0));
        matrix_to_tensor(&m, &dev)
    };
    let (x, y) = (numbers(48, 24), numbers(48, 8));
    let mut adam = Adam::new(AdamConfig::new(1e-2));
    let mut losses = Vec::new();
    let mut first_gradient = Vec::new();
    for step in 0..4 {
        let hidden = net.norm.forward(net.first.forward(x.clone())).tanh();
        let loss = (net.second.forward(hidden) - y.clone()).powi_scalar(2).mean();
        let mut grads = loss.backward();
        losses.extend(tensor_to_vec(loss.inner())?);
        if step == 0 {
            for (_, weight) in net.weights() {
                let grad = weight.tensor().grad(&grads).ok_or("a weight got no gradient")?;
                first_gradient.extend(tensor_to_vec(grad)?);
            }
        }
        adam.step(&mut net, &mut grads);
    }
    let mut weights = Vec::new();
    for (_, weight) in net.weights() {
        weights.extend(weight.to_matrix().map_err(|e| e.to_string())?.into_vec());
    }
    Ok(vec![
        ("forward pass and loss", losses),
        ("gradient", first_gradient),
        ("weights after four optimiser steps", weights),
    ])
}

fn scatter(device: &Device) -> Result<Vec<f32>, String> {
    let base = Tensor::<2>::zeros([5, 3], device);
    let values: Vec<f32> = (0..18).map(|v| v as f32 * 0.25 - 1.0).collect();
    let values = Tensor::<2>::from_data(TensorData::new(values, [6, 3]), device);
    let rows = index_tensor(&[1, 3, 1, 1, 0, 3], device);
    tensor_to_vec(base.select_assign(0, rows, values, IndexingUpdateOp::Add))
}

fn gather(device: &Device) -> Result<Vec<f32>, String> {
    let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let table = Tensor::<2>::from_data(TensorData::new(values, [4, 3]), device);
    tensor_to_vec(table.select(0, index_tensor(&[3, 0, 3, 2], device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flex_agrees_with_itself() {
        assert_eq!(self_check(&Device::flex()).unwrap().largest_difference, 0.0);
    }
}
