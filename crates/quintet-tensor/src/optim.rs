//! Adam over the weights of layers.
//!
//! Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, with the decoupled
//! decay of Loshchilov & Hutter, ICLR 2019.

use burn::prelude::*;
use burn::tensor::Gradients;
use quintet_core::{Matrix, ModelState};
use serde::{Deserialize, Serialize};

use crate::{FitError, Layer, Weight, WeightGradients, matrix_to_tensor, tensor_to_matrix};

/// Step size and moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Step size.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, per step, times `lr`.
    pub weight_decay: f32,
}

impl AdamConfig {
    /// The usual moments (0.9, 0.999, 1e-8), no decay.
    pub fn new(lr: f32) -> Self {
        Self { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }

    /// The factors that undo the bias of the moments towards zero after `step` steps.
    pub(crate) fn corrections(&self, step: u64) -> (f32, f32) {
        let power = |beta: f32| 1.0 / (1.0 - f64::from(beta).powf(step as f64)) as f32;
        (power(self.beta1), power(self.beta2))
    }
}

/// The optimiser state of one layer: two moments a weight and a step count.
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    step: u64,
    moments: Vec<Option<(Tensor<2>, Tensor<2>)>>,
}

impl Adam {
    /// A fresh optimiser.
    pub fn new(config: AdamConfig) -> Self {
        Self { config, step: 0, moments: Vec::new() }
    }

    /// Changes the step size; moments stay.
    pub fn set_lr(&mut self, lr: f32) {
        self.config.lr = lr;
    }

    /// Moves every weight of `layer` that has a gradient one step down.
    pub fn step(&mut self, layer: &mut (impl Layer + ?Sized), grads: &mut Gradients) {
        let take = |(_, weight): (String, &Weight)| weight.tensor().grad_remove(grads);
        let found = layer.weights().into_iter().map(take).collect();
        self.step_with(layer, found);
    }

    /// As [`Adam::step`], with gradients that were taken before, such as a sum over shards.
    pub fn step_gradients(&mut self, layer: &mut (impl Layer + ?Sized), grads: WeightGradients) {
        self.step_with(layer, grads.into_parts());
    }

    /// As [`Adam::step`], with the gradient of each weight, in their order.
    pub(crate) fn step_with(
        &mut self,
        layer: &mut (impl Layer + ?Sized),
        grads: Vec<Option<Tensor<2>>>,
    ) {
        self.step += 1;
        let weights = layer.weights_mut();
        self.moments.resize_with(weights.len(), || None);
        for ((weight, moments), grad) in weights.into_iter().zip(&mut self.moments).zip(grads) {
            let Some(grad) = grad else { continue };
            update(&self.config, self.step, weight, moments, grad);
        }
    }

    /// Adds the moments to `state` under `prefix`.
    ///
    /// # Errors
    /// The device failed.
    pub fn save(&self, prefix: &str, state: &mut ModelState) -> Result<(), FitError> {
        state.put_whole(format!("{prefix}step"), vec![self.step as i64]);
        for (i, moments) in self.moments.iter().enumerate() {
            let Some((m, v)) = moments else { continue };
            let host = |t: &Tensor<2>| tensor_to_matrix(t.clone()).map_err(FitError::Device);
            state.put(format!("{prefix}{i}.m"), host(m)?);
            state.put(format!("{prefix}{i}.v"), host(v)?);
        }
        Ok(())
    }

    /// Reads back what [`Adam::save`] wrote, for `layer`.
    ///
    /// # Errors
    /// An array is missing or has another shape.
    pub fn load(
        &mut self,
        layer: &(impl Layer + ?Sized),
        prefix: &str,
        state: &ModelState,
        device: &Device,
    ) -> Result<(), FitError> {
        self.step = state.whole(&format!("{prefix}step"))?.first().copied().unwrap_or(0) as u64;
        self.moments.clear();
        let plain = device.clone().inner();
        for (i, (_, weight)) in layer.weights().into_iter().enumerate() {
            let [rows, cols] = weight.dims();
            let key = |part: &str| format!("{prefix}{i}.{part}");
            // A weight that never had a gradient has no moments.
            if !state.tensors.contains_key(&key("m")) {
                self.moments.push(None);
                continue;
            }
            let read = |part: &str| -> Result<Tensor<2>, FitError> {
                let m: &Matrix = state.shaped(&key(part), rows, cols)?;
                Ok(matrix_to_tensor(m, &plain))
            };
            self.moments.push(Some((read("m")?, read("v")?)));
        }
        Ok(())
    }
}

fn update(
    config: &AdamConfig,
    step: u64,
    weight: &mut Weight,
    moments: &mut Option<(Tensor<2>, Tensor<2>)>,
    grad: Tensor<2>,
) {
    let (c1, c2) = config.corrections(step);
    let (m, v) = moments.take().unwrap_or_else(|| (grad.zeros_like(), grad.zeros_like()));
    let tracked = weight.tensor().device().is_autodiff();
    let [moved, m, v] = moved(config, (c1, c2), [weight.take(), m, v], grad);
    weight.set(if tracked { moved.autodiff() } else { moved });
    *moments = Some((m, v));
}

/// The moved values and the new moments, from the old ones.
fn moved(
    config: &AdamConfig,
    corrections: (f32, f32),
    state: [Tensor<2>; 3],
    grad: Tensor<2>,
) -> [Tensor<2>; 3] {
    #[cfg(feature = "flex")]
    {
        let [value, m, v] = &state;
        if crate::optim_fused::at_hand([value, m, v, &grad]) {
            return crate::optim_fused::update(config, corrections, state, &grad);
        }
    }
    moved_portable(config, corrections, state, grad)
}

fn moved_portable(
    config: &AdamConfig,
    (c1, c2): (f32, f32),
    [value, m, v]: [Tensor<2>; 3],
    grad: Tensor<2>,
) -> [Tensor<2>; 3] {
    let m = m.mul_scalar(config.beta1) + grad.clone().mul_scalar(1.0 - config.beta1);
    let v = v.mul_scalar(config.beta2) + grad.powi_scalar(2).mul_scalar(1.0 - config.beta2);
    let move_by =
        m.clone().mul_scalar(c1 * config.lr) / (v.clone().mul_scalar(c2).sqrt() + config.eps);
    let decayed = if config.weight_decay > 0.0 {
        value.mul_scalar(1.0 - config.lr * config.weight_decay)
    } else {
        value
    };
    [decayed - move_by, m, v]
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::tensor_to_vec;

    /// In numbers of which the squares and roots are rounded, over a few steps.
    #[test]
    fn both_forms_give_the_same_bytes() {
        let device = Device::flex();
        let start = |k: usize| {
            let numbers = (0..700).map(|i| ((i * 37 + k * 11) % 101) as f32 / 33.0 - 1.5);
            Matrix::from_vec(7, 100, numbers.collect()).map(|m| matrix_to_tensor(&m, &device))
        };
        for weight_decay in [0.0, 0.1] {
            let config = AdamConfig { weight_decay, ..AdamConfig::new(0.01) };
            let mut fused = [start(0).unwrap(), start(9).unwrap() * 0.0, start(9).unwrap() * 0.0];
            let mut portable = fused.clone();
            for step in 1..5 {
                let grad = start(step as usize).unwrap();
                let corrections = config.corrections(step);
                fused = crate::optim_fused::update(&config, corrections, fused, &grad);
                portable = moved_portable(&config, corrections, portable, grad);
                for (a, b) in fused.iter().zip(&portable) {
                    let bits = |t: &Tensor<2>| -> Vec<u32> {
                        let numbers = tensor_to_vec(t.clone()).unwrap();
                        numbers.into_iter().map(f32::to_bits).collect()
                    };
                    assert_eq!(bits(a), bits(b), "step {step}");
                }
            }
        }
    }

    /// Where nothing else holds the numbers, a step of a training loop moves them where they lie;
    /// where something does, that keeps its own.
    #[test]
    fn a_step_changes_weights_in_place_and_copies_what_is_shared() {
        let device = Device::flex().autodiff();
        let start = Matrix::from_vec(2, 2, vec![1.0, -2.0, 0.5, 3.0]).unwrap();
        let mut layer = One(Weight::new(&start, &device));
        let mut adam = Adam::new(AdamConfig::new(0.1));
        let place = |layer: &One| {
            let x = layer.0.tensor().inner().try_into_primitive::<burn::backend::Flex>().unwrap();
            x.storage::<f32>().as_ptr()
        };
        let mut step = |layer: &mut One| {
            let loss = layer.0.tensor().powi_scalar(2).sum();
            adam.step(layer, &mut loss.backward());
        };
        let before = place(&layer);
        step(&mut layer);
        step(&mut layer);
        assert_eq!(place(&layer), before, "in place");
        let held = layer.0.tensor();
        let kept = tensor_to_vec(held.clone().inner()).unwrap();
        step(&mut layer);
        assert_ne!(place(&layer), before, "a copy");
        assert_eq!(tensor_to_vec(held.inner()).unwrap(), kept);
        assert_ne!(layer.0.to_matrix().unwrap().as_slice(), kept);
    }

    struct One(Weight);

    impl Layer for One {
        fn weights(&self) -> Vec<(String, &Weight)> {
            vec![("one".to_owned(), &self.0)]
        }

        fn weights_mut(&mut self) -> Vec<&mut Weight> {
            vec![&mut self.0]
        }
    }
}
