//! Completion by a conditional generative adversarial network over whole modalities.
//!
//! `x̃ = k∘x + (1-k)∘n`, `n ~ U(0, .01)`; `x̄ = G([x̃ ; k])`, `x̂ = k∘x + (1-k)∘x̄`; `D([x̂ ; hint])`
//! gives for each modality the probability that it is real; the hint tells `k` for all modalities
//! but one, where it is ½. In training one present modality is hidden at random, as in the data
//! whole modalities are missing.
//! `D`: cross-entropy against `k` where the hint is silent. `G`: `-mean_{k=0} ln D +
//! rec · mean_{k=1} (x - x̄)² + art · mean |x - x̄| + cos · mean (1 - cos(x, x̄))`, the last two on the
//! modalities hidden at random, of which the truth is known.
//! Papers: Mirza & Osindero, "Conditional Generative Adversarial Nets", 2014; Yoon, Jordon & van
//! der Schaar, "GAIN", ICML 2018. Differences: masks of modalities, not of coordinates; the
//! losses on hidden modalities.
//! The noise of an item depends on the seed and the item alone, so that what is generated once
//! is what is generated again.
//! Parameters: `G` `Σ (d_m + 2) p + (M p + 1) h + (h + 1) h + (h + 1) D`, `D` alike with `M` outputs.
//! Cost: two forward and two backward passes a batch.

use burn::prelude::*;
use quintet_core::{FeatureSet, Matrix, Modality, SeedStream};
use quintet_tensor::{Adam, AdamConfig, Layer, Linear, Weight, leaky_relu, parse_params, softplus};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::joint::{Joint, hide_one, tensor};
use super::{Completion, CompletionEntry, FittedCompletion};
use crate::mapping::MappingError;
use crate::mapping::error::check;
use crate::mapping::trained::{Activation, Mlp, Together, batches, host, training, value};

const NAME: &str = "cgan";

/// Items that are filled at once.
const CHUNK: usize = 4096;

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "conditional adversarial network over whole modalities",
    build: |params, seed, device| {
        let params: CganParams = parse_params(NAME, params)?;
        params.validate()?;
        Ok(Box::new(CganCompletion { params, seed, device: device.clone() }))
    },
};

/// Parameters of the completion `cgan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CganParams {
    /// Width of the projection of each modality.
    pub project: usize,
    /// Width of the two hidden layers.
    pub hidden: usize,
    /// Passes over the training items.
    pub epochs: usize,
    /// Step size of both networks.
    pub lr: f32,
    /// Items a step.
    pub batch_size: usize,
    /// Probability that an item has a modality hidden, in `(0, 1]`.
    pub hide: f32,
    /// Largest number of the noise.
    pub noise: f32,
    /// Weight of the reconstruction of what is present.
    pub reconstruction: f32,
    /// Weight of the distance on what is hidden.
    pub artificial: f32,
    /// Weight of the angle on what is hidden.
    pub cosine: f32,
}

impl Default for CganParams {
    fn default() -> Self {
        Self {
            project: 256,
            hidden: 512,
            epochs: 100,
            lr: 1e-4,
            batch_size: 256,
            hide: 0.3,
            noise: 0.01,
            reconstruction: 10.0,
            artificial: 10.0,
            cosine: 1.0,
        }
    }
}

impl CganParams {
    fn validate(&self) -> Result<(), MappingError> {
        check(self.project > 0, NAME, "project", "at least 1", self.project)?;
        check(self.hidden > 0, NAME, "hidden", "at least 1", self.hidden)?;
        check(self.epochs > 0, NAME, "epochs", "at least 1", self.epochs)?;
        check(self.lr > 0.0 && self.lr.is_finite(), NAME, "lr", "above 0", self.lr)?;
        check(self.batch_size > 0, NAME, "batch_size", "at least 1", self.batch_size)?;
        check(self.hide > 0.0 && self.hide <= 1.0, NAME, "hide", "in (0, 1]", self.hide)?;
        let weights = [
            ("noise", self.noise),
            ("reconstruction", self.reconstruction),
            ("artificial", self.artificial),
            ("cosine", self.cosine),
        ];
        for (name, v) in weights {
            check(v >= 0.0 && v.is_finite(), NAME, name, "finite and not negative", v)?;
        }
        Ok(())
    }
}

/// A projection for each modality, then a perceptron over all of them.
#[derive(Debug, Clone)]
struct Network {
    projections: Vec<Linear>,
    trunk: Mlp,
    spans: Vec<(usize, usize)>,
}

impl Network {
    fn new(joint: &Joint, p: &CganParams, out: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let spans = joint.spans();
        let projections: Vec<Linear> =
            spans.iter().map(|&(_, d)| Linear::new(d + 1, p.project, rng, device)).collect();
        let widths = [p.project * spans.len(), p.hidden, p.hidden, out];
        Self { projections, trunk: Mlp::new(&widths, Activation::LeakyRelu, rng, device), spans }
    }

    /// `x`: `[batch, width]`, `flags`: `[batch, n_modalities]`.
    fn forward(&self, x: &Tensor<2>, flags: &Tensor<2>) -> Tensor<2> {
        let project = |(m, &(start, dim)): (usize, &(usize, usize))| {
            let part = vec![x.clone().narrow(1, start, dim), flags.clone().narrow(1, m, 1)];
            leaky_relu(self.projections[m].forward(Tensor::cat(part, 1)), 0.2)
        };
        let parts = self.spans.iter().enumerate().map(project).collect();
        self.trunk.forward(Tensor::cat(parts, 1))
    }
}

impl Layer for Network {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.trunk.weights();
        for (m, p) in self.projections.iter().enumerate() {
            all.extend(p.weights().into_iter().map(|(n, w)| (format!("project.{m}.{n}"), w)));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.trunk.weights_mut();
        all.extend(self.projections.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

struct CganCompletion {
    params: CganParams,
    seed: SeedStream,
    device: Device,
}

/// One batch: the numbers, who has what, what is shown, and the noise.
struct Batch {
    x: Tensor<2>,
    mask: Tensor<2>,
    seen: Tensor<2>,
    noise: Tensor<2>,
    /// 1 for the modality that the hint is silent about.
    silent: Tensor<2>,
}

impl CganCompletion {
    fn batch(
        &self,
        joint: &Joint,
        (features, items): (&FeatureSet, &[u32]),
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Batch, MappingError> {
        let (n, width) = (joint.shape().len(), joint.width());
        let (x, mask) = joint.gather(features, items)?;
        let seen = hide_one(&mask, n, self.params.hide, rng);
        let noise = x.iter().map(|_| rng.random::<f32>() * self.params.noise).collect();
        let mut silent = vec![0.0; mask.len()];
        silent.chunks_exact_mut(n).for_each(|row| row[rng.random_range(0..n)] = 1.0);
        Ok(Batch {
            x: tensor(x, width, device),
            mask: tensor(mask, n, device),
            seen: tensor(seen, n, device),
            noise: tensor(noise, width, device),
            silent: tensor(silent, n, device),
        })
    }

    /// The loss of the generator.
    fn generator_loss(
        &self,
        batch: &Batch,
        made: &Tensor<2>,
        logits: Tensor<2>,
        columns: &Tensor<2>,
    ) -> Tensor<1> {
        let p = &self.params;
        let mean = |x: Tensor<2>, w: Tensor<2>| {
            let total = w.clone().sum().clamp_min(1.0);
            (x * w).sum() / total
        };
        // -ln σ(l) = softplus(-l)
        let fooled = mean(softplus(logits.neg()), batch.seen.clone().neg() + 1.0);
        let apart = batch.x.clone() - made.clone();
        let shown = batch.seen.clone().matmul(columns.clone());
        let hidden = batch.mask.clone() - batch.seen.clone(); // [batch, n_modalities]
        let rec = mean(apart.clone().powi_scalar(2), shown);
        let art = mean(apart.abs(), hidden.clone().matmul(columns.clone()));
        let by_modality = |x: Tensor<2>| x.matmul(columns.clone().transpose());
        let dots = by_modality(batch.x.clone() * made.clone());
        let lengths =
            by_modality(batch.x.clone().powi_scalar(2)) * by_modality(made.clone().powi_scalar(2));
        let angle = mean((dots / (lengths + 1e-12).sqrt()).neg() + 1.0, hidden);
        fooled + rec * p.reconstruction + art * p.artificial + angle * p.cosine
    }
}

struct FittedCgan {
    joint: Joint,
    generator: Network,
    noise: f32,
    seed: SeedStream,
    device: Device,
}

impl Completion for CganCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        let joint = Joint::fit(NAME, features, train)?;
        let (device, p) = (training(&self.device), &self.params);
        let (n, width) = (joint.shape().len(), joint.width());
        let init =
            |k, out| Network::new(&joint, p, out, &mut self.seed.rng("cgan/init", k), &device);
        let (mut generator, mut judge) = ([init(0, width)], [init(1, n)]);
        let config = AdamConfig { beta1: 0.5, beta2: 0.9, ..AdamConfig::new(p.lr) };
        let (mut adam_g, mut adam_d) = (Adam::new(config), Adam::new(config));
        let columns = joint.spread(|_| 1.0, &device);
        for epoch in 0..p.epochs {
            let mut rng = self.seed.rng("cgan/batches", epoch as u64);
            let batches = batches(train, p.batch_size, self.seed, epoch);
            for (at, items) in batches.iter().enumerate() {
                let b = self.batch(&joint, (features, items), &mut rng, &device)?;
                let shown = b.seen.clone().matmul(columns.clone());
                let absent = shown.clone().neg() + 1.0;
                let kept = b.x.clone() * shown;
                let input = kept.clone() + b.noise.clone() * absent.clone();
                let made = generator[0].forward(&input, &b.seen);
                let filled = kept + made.clone() * absent;
                let told = b.seen.clone() * (b.silent.clone().neg() + 1.0);
                let hint = told + b.silent.clone() * 0.5;
                let logits = judge[0].forward(&filled.clone().detach(), &hint);
                // -k ln σ(l) - (1 - k) ln (1 - σ(l)) = softplus(l) - k l
                let cross = softplus(logits.clone()) - b.seen.clone() * logits;
                let loss = (cross * b.silent.clone()).sum() / items.len().max(1) as f32;
                value(NAME, &loss, (epoch, at))?;
                adam_d.step(&mut Together(&mut judge), &mut loss.backward());
                let logits = judge[0].forward(&filled, &hint);
                let loss = self.generator_loss(&b, &made, logits, &columns);
                value(NAME, &loss, (epoch, at))?;
                adam_g.step(&mut Together(&mut generator), &mut loss.backward());
            }
        }
        let [generator] = generator;
        Ok(Box::new(FittedCgan { joint, generator, noise: p.noise, seed: self.seed, device }))
    }
}

impl FittedCompletion for FittedCgan {
    fn predict(
        &self,
        features: &FeatureSet,
        target: Modality,
        items: &[u32],
    ) -> Result<Matrix, MappingError> {
        let (n, width) = (self.joint.shape().len(), self.joint.width());
        let spans = self.joint.spans();
        let mut rows = Vec::with_capacity(items.len() * width);
        for chunk in items.chunks(CHUNK) {
            let (mut x, mask) = self.joint.gather(features, chunk)?;
            for (b, &item) in chunk.iter().enumerate() {
                let mut rng = self.seed.rng("cgan/noise", u64::from(item));
                for (m, &(start, dim)) in spans.iter().enumerate() {
                    for x in &mut x[b * width + start..][..dim] {
                        let noise = rng.random::<f32>() * self.noise;
                        *x = if mask[b * n + m] > 0.0 { *x } else { noise };
                    }
                }
            }
            let (x, mask) = (tensor(x, width, &self.device), tensor(mask, n, &self.device));
            rows.extend(host(self.generator.forward(&x, &mask).inner())?);
        }
        Ok(self.joint.restore(target, &rows))
    }

    fn shape(&self) -> &[(Modality, usize)] {
        self.joint.shape()
    }
}
