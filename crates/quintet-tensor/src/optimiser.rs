//! Optimisers, schedules, clipping and averages over the weights of a layer.
//!
//! ```text
//! adam      Kingma & Ba, ICLR 2015                adamw    decoupled decay, Loshchilov & Hutter, ICLR 2019
//! sgd       v ← μ v + g;  x ← x - lr v            adagrad  s ← s + g²;  x ← x - lr g / (√s + ε), Duchi et al., JMLR 2011
//! ```
//! Gradients can be kept for several batches, cut to a norm over all weights together (Pascanu et
//! al., ICML 2013), and taken twice with opposite signs (Mirror Gradient, Zhong et al., WWW 2024).

use burn::prelude::*;
use burn::tensor::Gradients;
use quintet_core::ModelState;
use serde::{Deserialize, Serialize};

use crate::{Adam, AdamConfig, FitError, Layer, matrix_to_tensor, tensor_to_matrix, tensor_to_vec};

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserKind {
    /// Two moments; weight decay, if any, is part of the gradient.
    #[default]
    Adam,
    /// Adam with decay apart from the moments.
    AdamW,
    /// Plain steps, with momentum if asked for.
    Sgd,
    /// Steps that shrink with the gradients so far.
    Adagrad,
}

/// How the step size changes over the epochs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// Times `factor` every `every` epochs, smoothly: `factor^(passed / every)`.
    Exponential {
        /// Between 0 and 1.
        factor: f32,
        /// Epochs, above 0.
        every: f32,
    },
    /// Times `factor` at every multiple of `every` epochs.
    Step {
        /// Between 0 and 1.
        factor: f32,
        /// Epochs, at least 1.
        every: usize,
    },
    /// Down a half cosine to `floor` times the start within `epochs`, and constant then
    /// (Loshchilov & Hutter, ICLR 2017, without restarts).
    Cosine {
        /// At least 1.
        epochs: usize,
        /// Share of the first step size at the end.
        floor: f32,
    },
    /// Down a line to `floor` times the start within `epochs`, and constant then.
    Linear {
        /// At least 1.
        epochs: usize,
        /// Share of the first step size at the end.
        floor: f32,
    },
}

impl Schedule {
    /// What the step size is multiplied by when `passed` epochs are done.
    pub fn factor(&self, passed: usize) -> f32 {
        let share = |epochs: usize| (passed as f32 / epochs.max(1) as f32).min(1.0);
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Exponential { factor, every } => factor.powf(passed as f32 / every),
            Schedule::Step { factor, every } => factor.powi((passed / every.max(1)) as i32),
            Schedule::Cosine { epochs, floor } => {
                let fall = 0.5 * (1.0 + (std::f32::consts::PI * share(epochs)).cos());
                floor + (1.0 - floor) * fall
            }
            Schedule::Linear { epochs, floor } => 1.0 - (1.0 - floor) * share(epochs),
        }
    }
}

/// Mirror Gradient: every `every`-th batch takes a step of `forward · g`, and then, on the same
/// batch, one of `-back · g`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Batches, at least 1.
    pub every: usize,
    /// `α₁`.
    pub forward: f32,
    /// `α₂`.
    pub back: f32,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { every: 3, forward: 1.0, back: 0.1 }
    }
}

/// The `optimiser` table of a model's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserConfig {
    /// Which one.
    pub kind: OptimiserKind,
    /// Weight decay.
    pub weight_decay: f32,
    /// Momentum of `sgd`, in `[0, 1)`.
    pub momentum: f32,
    /// How the step size changes; the model's own schedule when it is not given.
    pub schedule: Option<Schedule>,
    /// Greatest norm of all gradients together.
    pub clip_norm: Option<f32>,
    /// Batches whose mean gradient makes a step, at least 1.
    pub accumulate: usize,
    /// Weights that are kept are a running mean with this decay (EMA), in `[0, 1)`.
    pub ema: Option<f32>,
    /// Steps forward and back.
    pub mirror: Option<Mirror>,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self {
            kind: OptimiserKind::Adam,
            weight_decay: 0.0,
            momentum: 0.0,
            schedule: None,
            clip_norm: None,
            accumulate: 1,
            ema: None,
            mirror: None,
        }
    }
}

impl OptimiserConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the model and the key.
    pub fn check(&self, model: &str) -> Result<(), FitError> {
        let below_one = |v: f32| (0.0..1.0).contains(&v);
        let positive = |v: f32| v.is_finite() && v > 0.0;
        let decays = |s: &Schedule| match *s {
            Schedule::Constant => true,
            Schedule::Exponential { factor, every } => {
                factor > 0.0 && factor <= 1.0 && positive(every)
            }
            Schedule::Step { factor, every } => factor > 0.0 && factor <= 1.0 && every > 0,
            Schedule::Cosine { epochs, floor } | Schedule::Linear { epochs, floor } => {
                epochs > 0 && (0.0..=1.0).contains(&floor)
            }
        };
        let checks: [(&str, bool, &str, String); 7] = [
            (
                "weight_decay",
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "at least 0",
                self.weight_decay.to_string(),
            ),
            ("momentum", below_one(self.momentum), "in [0, 1)", self.momentum.to_string()),
            (
                "schedule",
                self.schedule.as_ref().is_none_or(decays),
                "a factor in (0, 1], a floor in [0, 1] and at least one epoch",
                format!("{:?}", self.schedule),
            ),
            (
                "clip_norm",
                self.clip_norm.is_none_or(positive),
                "above 0",
                format!("{:?}", self.clip_norm),
            ),
            ("accumulate", self.accumulate > 0, "at least 1", self.accumulate.to_string()),
            ("ema", self.ema.is_none_or(below_one), "in [0, 1)", format!("{:?}", self.ema)),
            (
                "mirror",
                self.mirror.is_none_or(|m| m.every > 0 && positive(m.forward) && positive(m.back)),
                "every at least 1, forward and back above 0",
                format!("{:?}", self.mirror),
            ),
        ];
        match checks.into_iter().find(|(_, holds, _, _)| !holds) {
            None => Ok(()),
            Some((key, _, expected, found)) => Err(FitError::Config {
                model: model.into(),
                reason: format!("optimiser.{key} must be {expected}; found {found}"),
            }),
        }
    }
}

/// Gradients of the weights of a layer, in their order.
#[derive(Debug, Clone)]
pub struct WeightGradients(Vec<Option<Tensor<2>>>);

impl WeightGradients {
    /// Takes those of `layer` out of a backward pass.
    pub fn take(layer: &(impl Layer + ?Sized), grads: &mut Gradients) -> Self {
        let take = |(_, weight): (String, &crate::Weight)| weight.tensor().grad_remove(grads);
        Self(layer.weights().into_iter().map(take).collect())
    }

    /// Takes gradients on a device without autodiff, in the order of the weights.
    pub fn of(grads: Vec<Option<Tensor<2>>>) -> Self {
        Self(grads)
    }

    /// The gradient of each weight.
    pub(crate) fn into_parts(self) -> Vec<Option<Tensor<2>>> {
        self.0
    }

    /// The sum over shards, added in their order; none of no shard.
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(Self::plus)
    }

    /// Adds others, weight by weight.
    pub fn plus(self, others: Self) -> Self {
        let sum = |(a, b): (Option<Tensor<2>>, Option<Tensor<2>>)| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self(self.0.into_iter().zip(others.0).map(sum).collect())
    }

    /// Every number times `factor`.
    pub fn scale(self, factor: f32) -> Self {
        let scale = |g: Option<Tensor<2>>| g.map(|g| g * factor);
        Self(self.0.into_iter().map(scale).collect())
    }

    /// Rows of length 1, weight by weight; a row of zeros stays one.
    pub fn unit_rows(self) -> Self {
        Self(self.0.into_iter().map(|g| g.map(crate::unit_rows)).collect())
    }

    /// Adds `factor` times each gradient to its weight.
    pub fn move_by(&self, layer: &mut (impl Layer + ?Sized), factor: f32) {
        for (weight, grad) in layer.weights_mut().into_iter().zip(&self.0) {
            let Some(grad) = grad else { continue };
            let moved = weight.tensor().inner() + grad.clone() * factor;
            let tracked = weight.tensor().device().is_autodiff();
            weight.set(if tracked { moved.autodiff() } else { moved });
        }
    }

    /// The root of the sum of all squares.
    ///
    /// # Errors
    /// The device failed.
    pub fn norm(&self) -> Result<f32, FitError> {
        let mut sum = 0.0f64;
        for grad in self.0.iter().flatten() {
            let square =
                tensor_to_vec(grad.clone().powi_scalar(2).sum()).map_err(FitError::Device)?;
            sum += square.first().copied().map_or(f64::NAN, f64::from);
        }
        Ok(sum.sqrt() as f32)
    }

    /// As they are where their norm is at most `limit`, shorter elsewhere.
    ///
    /// # Errors
    /// The device failed.
    pub fn clip(self, limit: f32) -> Result<Self, FitError> {
        let norm = self.norm()?;
        Ok(if norm > limit { self.scale(limit / norm) } else { self })
    }
}

/// An optimiser with its state.
#[derive(Debug, Clone)]
pub struct Optimiser {
    config: OptimiserConfig,
    lr: f32,
    adam: Adam,
    /// Velocities of SGD, sums of squares of Adagrad.
    slots: Vec<Option<Tensor<2>>>,
    pending: Option<(WeightGradients, usize)>,
    /// The running mean of each weight.
    mean: Vec<Tensor<2>>,
}

impl Optimiser {
    /// A fresh one with its first step size.
    pub fn new(config: OptimiserConfig, lr: f32) -> Self {
        let decay = if config.kind == OptimiserKind::AdamW { config.weight_decay } else { 0.0 };
        let adam = Adam::new(AdamConfig { weight_decay: decay, ..AdamConfig::new(lr) });
        Self { config, lr, adam, slots: Vec::new(), pending: None, mean: Vec::new() }
    }

    /// Changes the step size; the state stays.
    pub fn set_lr(&mut self, lr: f32) {
        self.lr = lr;
        self.adam.set_lr(lr);
    }

    /// Whether batch `nth` of an epoch, counted from 0, goes forward and back.
    pub fn mirrors(&self, nth: usize) -> Option<Mirror> {
        self.config.mirror.filter(|m| (nth + 1).is_multiple_of(m.every))
    }

    /// Takes the gradients of a batch; steps when enough of them have come.
    ///
    /// # Errors
    /// The device failed.
    pub fn push(
        &mut self,
        layer: &mut (impl Layer + ?Sized),
        grads: WeightGradients,
    ) -> Result<(), FitError> {
        let (sum, count) = match self.pending.take() {
            Some((sum, count)) => (sum.plus(grads), count + 1),
            None => (grads, 1),
        };
        if count < self.config.accumulate {
            self.pending = Some((sum, count));
            return Ok(());
        }
        let mean = if count > 1 { sum.scale(1.0 / count as f32) } else { sum };
        self.apply(layer, mean)
    }

    /// Steps with what is left of an epoch whose batches were not a multiple of `accumulate`.
    ///
    /// # Errors
    /// The device failed.
    pub fn flush(&mut self, layer: &mut (impl Layer + ?Sized)) -> Result<(), FitError> {
        match self.pending.take() {
            Some((sum, count)) => self.apply(layer, sum.scale(1.0 / count as f32)),
            None => Ok(()),
        }
    }

    /// One step.
    ///
    /// # Errors
    /// The device failed.
    pub fn apply(
        &mut self,
        layer: &mut (impl Layer + ?Sized),
        grads: WeightGradients,
    ) -> Result<(), FitError> {
        let grads = match self.config.clip_norm {
            Some(limit) => grads.clip(limit)?,
            None => grads,
        };
        match self.config.kind {
            OptimiserKind::Adam | OptimiserKind::AdamW => {
                let grads = self.decayed(layer, grads);
                self.adam.step_with(layer, grads.0);
            }
            OptimiserKind::Sgd | OptimiserKind::Adagrad => {
                let grads = self.decayed(layer, grads);
                self.plain_step(layer, grads);
            }
        }
        self.average(layer);
        Ok(())
    }

    /// Gradients with the decay that is part of them.
    fn decayed(&self, layer: &(impl Layer + ?Sized), grads: WeightGradients) -> WeightGradients {
        let decay = self.config.weight_decay;
        if decay == 0.0 || self.config.kind == OptimiserKind::AdamW {
            return grads;
        }
        let one = |((_, weight), grad): ((String, &crate::Weight), Option<Tensor<2>>)| {
            grad.map(|g| g + weight.tensor().inner() * decay)
        };
        WeightGradients(layer.weights().into_iter().zip(grads.0).map(one).collect())
    }

    fn plain_step(&mut self, layer: &mut (impl Layer + ?Sized), grads: WeightGradients) {
        let (lr, momentum) = (self.lr, self.config.momentum);
        let adagrad = self.config.kind == OptimiserKind::Adagrad;
        let weights = layer.weights_mut();
        self.slots.resize_with(weights.len(), || None);
        for ((weight, grad), slot) in weights.into_iter().zip(grads.0).zip(&mut self.slots) {
            let Some(grad) = grad else { continue };
            let step = if adagrad {
                let square = grad.clone().powi_scalar(2);
                let sum = slot.take().map_or(square.clone(), |s| s + square);
                *slot = Some(sum.clone());
                grad / (sum.sqrt() + 1e-10)
            } else if momentum > 0.0 {
                let velocity = slot.take().map_or(grad.clone(), |v| v * momentum + grad);
                *slot = Some(velocity.clone());
                velocity
            } else {
                grad
            };
            let moved = weight.tensor().inner() - step * lr;
            let tracked = weight.tensor().device().is_autodiff();
            weight.set(if tracked { moved.autodiff() } else { moved });
        }
    }

    fn average(&mut self, layer: &(impl Layer + ?Sized)) {
        let Some(decay) = self.config.ema else { return };
        let now = layer.weights().into_iter().map(|(_, w)| w.tensor().inner());
        self.mean = if self.mean.is_empty() {
            now.collect()
        } else {
            let mean = std::mem::take(&mut self.mean).into_iter().zip(now);
            mean.map(|(mean, now)| mean * decay + now * (1.0 - decay)).collect()
        };
    }

    /// Puts the running mean of the weights in their place; does nothing without one.
    pub fn put_mean(&self, layer: &mut (impl Layer + ?Sized)) {
        for (weight, mean) in layer.weights_mut().into_iter().zip(&self.mean) {
            let tracked = weight.tensor().device().is_autodiff();
            weight.set(if tracked { mean.clone().autodiff() } else { mean.clone() });
        }
    }

    /// Whether there is a running mean.
    pub fn averages(&self) -> bool {
        !self.mean.is_empty()
    }

    /// Adds the state to `state` under `prefix`. Gradients that wait are not part of it: call
    /// [`Optimiser::flush`] at the end of an epoch.
    ///
    /// # Errors
    /// The device failed.
    pub fn save(&self, prefix: &str, state: &mut ModelState) -> Result<(), FitError> {
        self.adam.save(prefix, state)?;
        let host = |t: &Tensor<2>| tensor_to_matrix(t.clone()).map_err(FitError::Device);
        for (i, slot) in self.slots.iter().enumerate() {
            if let Some(slot) = slot {
                state.put(format!("{prefix}{i}.slot"), host(slot)?);
            }
        }
        for (i, mean) in self.mean.iter().enumerate() {
            state.put(format!("{prefix}{i}.mean"), host(mean)?);
        }
        Ok(())
    }

    /// Reads back what [`Optimiser::save`] wrote, for `layer`.
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
        self.adam.load(layer, prefix, state, device)?;
        let plain = device.clone().inner();
        self.pending = None;
        let read = |i: usize, part: &str, [rows, cols]: [usize; 2]| {
            let key = format!("{prefix}{i}.{part}");
            if !state.tensors.contains_key(&key) {
                return Ok(None);
            }
            let matrix = state.shaped(&key, rows, cols).map_err(FitError::from)?;
            Ok::<_, FitError>(Some(matrix_to_tensor(matrix, &plain)))
        };
        let shapes: Vec<[usize; 2]> = layer.weights().iter().map(|(_, w)| w.dims()).collect();
        let all = |part: &str| {
            shapes.iter().enumerate().map(|(i, s)| read(i, part, *s)).collect::<Result<Vec<_>, _>>()
        };
        self.slots = all("slot")?;
        self.mean = all("mean")?.into_iter().flatten().collect();
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests;
