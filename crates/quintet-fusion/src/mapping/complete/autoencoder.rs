//! Completion by a denoising autoencoder that learns with whole modalities hidden.
//!
//! `x̂ = f([k̃ ∘ (x + noise) ; k̃])`, `f` a perceptron, `k̃` the mask `k` with one present modality
//! taken away at random. Loss: over the modalities that are present in truth, hidden or not,
//! `Σ k_m ‖x_m - x̂_m‖² / d_m`, divided by their number.
//! Papers: Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010; Ngiam et al., "Multimodal
//! Deep Learning", ICML 2011 (hiding a whole modality); Wang, Niepert & Li, "LRMM", EMNLP 2018.
//! Parameters: `(D + M + 1) h_1 + … + (h_L + 1) D`, `D = Σ d_m`. Cost: that, times six, an item
//! and epoch.

use burn::prelude::*;
use quintet_core::{FeatureSet, Matrix, Modality, SeedStream};
use quintet_tensor::{Adam, AdamConfig, parse_params};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::joint::{Joint, hide_one, tensor};
use super::{Completion, CompletionEntry, FittedCompletion};
use crate::mapping::MappingError;
use crate::mapping::error::check;
use crate::mapping::trained::{Activation, Mlp, batches, host, training, value};

const NAME: &str = "autoencoder";

/// Items that are filled at once.
const CHUNK: usize = 4096;

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "denoising autoencoder with whole modalities hidden",
    build: |params, seed, device| {
        let params: AutoencoderParams = parse_params(NAME, params)?;
        params.validate()?;
        Ok(Box::new(AutoencoderCompletion { params, seed, device: device.clone() }))
    },
};

/// Parameters of the completion `autoencoder`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoencoderParams {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training items.
    pub epochs: usize,
    /// Step size.
    pub lr: f32,
    /// Items a step.
    pub batch_size: usize,
    /// Probability that an item has a modality hidden, in `[0, 1]`.
    pub hide: f32,
    /// Standard deviation of the noise on standardised inputs, not negative.
    pub noise: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for AutoencoderParams {
    fn default() -> Self {
        Self {
            hidden: vec![256, 64, 256],
            epochs: 100,
            lr: 1e-3,
            batch_size: 256,
            hide: 0.5,
            noise: 0.1,
            weight_decay: 1e-4,
        }
    }
}

impl AutoencoderParams {
    fn validate(&self) -> Result<(), MappingError> {
        let hidden = &self.hidden;
        let good = !hidden.is_empty() && hidden.iter().all(|&h| h > 0);
        check(good, NAME, "hidden", "one width at least, all above 0", format!("{hidden:?}"))?;
        check(self.epochs > 0, NAME, "epochs", "at least 1", self.epochs)?;
        check(self.lr > 0.0 && self.lr.is_finite(), NAME, "lr", "above 0", self.lr)?;
        check(self.batch_size > 0, NAME, "batch_size", "at least 1", self.batch_size)?;
        check((0.0..=1.0).contains(&self.hide), NAME, "hide", "in [0, 1]", self.hide)?;
        let good = self.noise >= 0.0 && self.noise.is_finite();
        check(good, NAME, "noise", "finite and not negative", self.noise)?;
        let good = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        check(good, NAME, "weight_decay", "finite and not negative", self.weight_decay)
    }
}

struct AutoencoderCompletion {
    params: AutoencoderParams,
    seed: SeedStream,
    device: Device,
}

struct FittedAutoencoder {
    joint: Joint,
    net: Mlp,
    device: Device,
}

impl Completion for AutoencoderCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        let joint = Joint::fit(NAME, features, train)?;
        let device = training(&self.device);
        let (n, width) = (joint.shape().len(), joint.width());
        let mut widths = vec![width + n];
        widths.extend(&self.params.hidden);
        widths.push(width);
        let mut rng = self.seed.rng("autoencoder/init", 0);
        let mut net = Mlp::new(&widths, Activation::Relu, &mut rng, &device);
        let p = &self.params;
        let config = AdamConfig { weight_decay: p.weight_decay, ..AdamConfig::new(p.lr) };
        let mut adam = Adam::new(config);
        let (columns, shares) =
            (joint.spread(|_| 1.0, &device), joint.spread(|d| 1.0 / d as f32, &device));
        for epoch in 0..p.epochs {
            let mut rng = self.seed.rng("autoencoder/noise", epoch as u64);
            let batches = batches(train, p.batch_size, self.seed, epoch);
            for (at, items) in batches.iter().enumerate() {
                let (x, mask) = joint.gather(features, items)?;
                let seen = hide_one(&mask, n, p.hide, &mut rng);
                let noisy = x.iter().map(|x| {
                    let noise: f32 = StandardNormal.sample(&mut rng);
                    x + p.noise * noise
                });
                let noisy = tensor(noisy.collect(), width, &device);
                let seen = tensor(seen, n, &device);
                let mask = tensor(mask, n, &device);
                let input = noisy * seen.clone().matmul(columns.clone());
                let out = net.forward(Tensor::cat(vec![input, seen], 1));
                let weights = mask.clone().matmul(shares.clone());
                let squares = (out - tensor(x, width, &device)).powi_scalar(2) * weights;
                let loss = squares.sum() / mask.sum().clamp_min(1.0);
                value(NAME, &loss, (epoch, at))?;
                adam.step(&mut net, &mut loss.backward());
            }
        }
        Ok(Box::new(FittedAutoencoder { joint, net, device }))
    }
}

impl FittedCompletion for FittedAutoencoder {
    fn predict(
        &self,
        features: &FeatureSet,
        target: Modality,
        items: &[u32],
    ) -> Result<Matrix, MappingError> {
        let (n, width) = (self.joint.shape().len(), self.joint.width());
        let mut rows = Vec::with_capacity(items.len() * width);
        for chunk in items.chunks(CHUNK) {
            let (x, mask) = self.joint.gather(features, chunk)?;
            // Absent parts are 0 already.
            let parts = vec![tensor(x, width, &self.device), tensor(mask, n, &self.device)];
            rows.extend(host(self.net.forward(Tensor::cat(parts, 1)).inner())?);
        }
        Ok(self.joint.restore(target, &rows))
    }

    fn shape(&self) -> &[(Modality, usize)] {
        self.joint.shape()
    }
}
