//! RecVAE: a variational autoencoder with a composite prior, trained in turns.
//!
//! Shenbin, Alekseev, Tutubalina, Malykh, Nikolenko, "RecVAE: A New Variational Autoencoder for
//! Top-N Recommendations with Implicit Feedback", WSDM 2020. The encoder is deep and densely
//! connected (see `encoder`), the decoder one linear layer. With `q = N(μ, s²)` of the noisy
//! input and `z ~ q`,
//!
//! ```text
//! L = -Σ_i x_i ln π_i + γ n_u [ ln q(z) - ln p(z) ],   mean over the batch
//! p(z) = Π_f [ 3/20 N(z; 0, 1) + 3/4 N(z; μ°, s°²) + 1/10 N(z; 0, e^10) ]
//! ```
//!
//! `μ°, s°` come from the encoder of the epoch before, for the same users with nothing dropped.
//! An epoch here is one of the paper: `encoder_epochs` passes over the users that move the
//! encoder, with inputs dropped; the encoder is copied into the prior; `decoder_epochs` passes
//! that move the decoder, nothing dropped. The weight of the KL term is `γ` times the number of
//! items of the user.
//! Differences: weights Xavier-normal for a normal start of both parts; layers are normalised
//! with ε = 0.1 as in the authors' program.
//! Cost: as MultiVAE, `encoder_epochs + decoder_epochs` times an epoch; the encoder's square
//! layers cost `O(n_users · 5 hidden²)`.

mod encoder;

use burn::tensor::{Tensor, TensorData};
use quintet_core::{Interactions, Matrix, ModelState, Recommender};
use quintet_tensor::{
    Adam, AdamConfig, Device, EpochStats, Fit, FitContext, FitError, Fitting, Layer, Linear,
    ModelEntry, Trainer, TrainingData, check_interactions, check_training_params, load_weights,
    loss_value, matrix_to_tensor, normal_matrix, parse_params, run_epoch, save_weights,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::autoencoder::{
    SparseInput, UserBatch, fitted, leaf, leaf_grad, multinomial_loss, transposed, user_batches,
};
use encoder::{Encoder, RecVaeQuery};

const NAME: &str = "recvae";

/// `ln 2π`.
const LN_2PI: f32 = 1.837_877_1;

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecVaeConfig {
    /// Width of the layers of the encoder.
    pub hidden: usize,
    /// Width of `z`.
    pub latent: usize,
    /// Probability that an input is dropped, while the encoder is trained.
    pub dropout: f32,
    /// Step size of Adam, both parts.
    pub lr: f32,
    /// Users a step.
    pub batch_size: usize,
    /// `γ`, weight of the KL term for each item of a user.
    pub gamma: f32,
    /// Weights of the parts of the prior: standard normal, old posterior, wide normal.
    pub prior: [f32; 3],
    /// Passes that move the encoder, an epoch.
    pub encoder_epochs: usize,
    /// Passes that move the decoder, an epoch.
    pub decoder_epochs: usize,
}

impl Default for RecVaeConfig {
    fn default() -> Self {
        Self {
            hidden: 600,
            latent: 200,
            dropout: 0.5,
            lr: 5e-4,
            batch_size: 500,
            gamma: 0.005,
            prior: [0.15, 0.75, 0.1],
            encoder_epochs: 3,
            decoder_epochs: 1,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "variational autoencoder with a composite prior, in turns (Shenbin 2020)",
        build: |params| Ok(Box::new(parse_params::<RecVaeConfig>(NAME, params)?)),
        load: encoder::load,
        tiny: r#"{"hidden": 16, "latent": 8, "dropout": 0.2, "lr": 0.01, "batch_size": 10}"#,
    }
}

impl RecVaeConfig {
    fn check(&self) -> Result<(), FitError> {
        let width = self.hidden.min(self.latent);
        check_training_params(NAME, width, self.batch_size, self.lr, self.gamma)?;
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if !(0.0..1.0).contains(&self.dropout) {
            return bad(format!("dropout must be at least 0 and below 1; found {}", self.dropout));
        }
        let [standard, _, wide] = self.prior;
        if self.prior.iter().any(|w| !(w.is_finite() && *w >= 0.0)) || standard + wide <= 0.0 {
            return bad(format!(
                "prior must be three weights of at least 0, the first or last above; found {:?}",
                self.prior
            ));
        }
        if self.encoder_epochs == 0 || self.decoder_epochs == 0 {
            return bad("encoder_epochs and decoder_epochs must be at least 1; found 0".into());
        }
        Ok(())
    }
}

impl Fit for RecVaeConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data.train, context)?)))
    }
}

impl RecVaeConfig {
    fn trainer(
        &self,
        train: &Interactions,
        context: &FitContext,
    ) -> Result<RecVaeTrainer, FitError> {
        self.check()?;
        check_interactions(NAME, train)?;
        let device = context.device.clone().autodiff();
        let mut rng = context.seed.rng("recvae-init", 0);
        let n_items = train.n_items();
        let std = (2.0 / (n_items + self.hidden) as f32).sqrt();
        let input = normal_matrix(n_items, self.hidden, std, &mut rng);
        let encoder = Encoder::new(self.hidden, self.latent, &mut rng, &device);
        let parts = Parts {
            input: SparseInput::new(input, self.lr),
            old_input: SparseInput::new(Matrix::zeros(n_items, self.hidden), self.lr),
            old_encoder: encoder.copy_to(&context.device)?,
            decoder: Linear::new(self.latent, n_items, &mut rng, &device),
            encoder,
        };
        let mut trainer = RecVaeTrainer {
            parts,
            encoder_adam: Adam::new(AdamConfig::new(self.lr)),
            decoder_adam: Adam::new(AdamConfig::new(self.lr)),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
        };
        trainer.parts.keep_encoder(&context.device)?;
        Ok(trainer)
    }
}

/// The trained layers and the encoder of the prior.
struct Parts {
    input: SparseInput,
    encoder: Encoder,
    decoder: Linear,
    old_input: SparseInput,
    old_encoder: Encoder,
}

/// What a step computes besides its gradient.
struct Forward {
    /// `x W1`, the leaf whose gradient goes back to the rows of the first layer.
    sums: Tensor<2>,
    logits: Tensor<2>,
    /// The weighted KL term.
    kl: Tensor<1>,
}

impl Parts {
    /// Copies the encoder into the prior.
    fn keep_encoder(&mut self, device: &Device) -> Result<(), FitError> {
        self.old_input = self.input.clone();
        self.old_encoder = self.encoder.copy_to(&device.clone().inner())?;
        Ok(())
    }

    /// `noise` is `ε`; `whole` is the batch with nothing dropped, for the prior.
    fn forward(
        &self,
        (batch, whole): (&UserBatch, &UserBatch),
        noise: Matrix,
        config: &RecVaeConfig,
        device: &Device,
    ) -> Forward {
        let sums = leaf(self.input.forward(batch), device);
        let (mean, log_variance) = self.encoder.forward(sums.clone()); // [batch, latent] each
        let plain = device.clone().inner();
        let old_sums = matrix_to_tensor(&self.old_input.forward(whole), &plain);
        let (old_mean, old_log_variance) = self.old_encoder.forward(old_sums);
        let (old_mean, old_log_variance) = (old_mean.autodiff(), old_log_variance.autodiff());
        let shape = [noise.rows(), noise.cols()];
        let noise = Tensor::<2>::from_data(TensorData::new(noise.into_vec(), shape), device);
        let z = mean.clone() + (log_variance.clone() * 0.5).exp() * noise;

        let zeros = z.zeros_like();
        let of_prior = [
            log_normal(&z, &zeros, &zeros),
            log_normal(&z, &old_mean, &old_log_variance),
            log_normal(&z, &zeros, &(zeros.clone() + 10.0)),
        ];
        let prior = log_mixture(of_prior, &config.prior);
        let difference = (log_normal(&z, &mean, &log_variance) - prior).sum_dim(1); // [batch, 1]
        let scale = config.gamma / batch.len().max(1) as f32;
        let weights: Vec<f32> =
            (0..batch.len()).map(|b| scale * batch.items(b).len() as f32).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [batch.len(), 1]), device);
        let kl = (difference * weights).sum();
        Forward { sums, logits: self.decoder.forward(z), kl }
    }
}

/// `ln N(x; μ, s²)` of every number.
fn log_normal(x: &Tensor<2>, mean: &Tensor<2>, log_variance: &Tensor<2>) -> Tensor<2> {
    let squares = (x.clone() - mean.clone()).powi_scalar(2) / log_variance.clone().exp();
    (squares + log_variance.clone() + LN_2PI) * -0.5
}

/// `ln Σ_k w_k e^{a_k}` of every number, without overflow; parts of weight 0 are left out.
fn log_mixture(parts: [Tensor<2>; 3], weights: &[f32; 3]) -> Tensor<2> {
    let [standard, old, wide] = parts;
    let mut used: Vec<Tensor<2>> = [standard, old, wide]
        .into_iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0.0)
        .map(|(part, weight)| part + weight.ln())
        .collect();
    let first = used.swap_remove(0);
    used.into_iter().fold(first, |a, b| {
        // ln(e^a + e^b) = max + ln(1 + e^{-|a - b|}).
        let apart = (a.clone() - b.clone()).abs().neg().exp().log1p();
        a.max_pair(b) + apart
    })
}

struct RecVaeTrainer {
    parts: Parts,
    encoder_adam: Adam,
    decoder_adam: Adam,
    train: Interactions,
    config: RecVaeConfig,
    context: FitContext,
}

impl RecVaeTrainer {
    /// One step of the encoder, or of the decoder.
    fn step(
        &mut self,
        of_encoder: bool,
        (batch, whole): (&UserBatch, &UserBatch),
        noise: Matrix,
    ) -> Result<f64, FitError> {
        let device = self.context.device.clone().autodiff();
        let Forward { sums, logits, kl } =
            self.parts.forward((batch, whole), noise, &self.config, &device);
        let (likelihood, objective) = multinomial_loss(logits, batch, &device)?;
        let mut grads = (objective + kl.clone()).backward();
        if of_encoder {
            let of_sums = leaf_grad(&sums, &mut grads)?;
            let gradient = self.parts.input.gradient(batch, &of_sums);
            self.parts.input.step(&gradient);
            self.encoder_adam.step(&mut self.parts.encoder, &mut grads);
        } else {
            self.decoder_adam.step(&mut self.parts.decoder, &mut grads);
        }
        Ok(likelihood + loss_value(kl)?)
    }

    /// One pass over the users; `number` counts passes, for the draws.
    fn pass(
        &mut self,
        of_encoder: bool,
        (epoch, number): (usize, usize),
    ) -> Result<EpochStats, FitError> {
        let (train, seed, config) = (self.train.clone(), self.context.seed, self.config.clone());
        let batches = user_batches(&train, seed, ("recvae-order", number), config.batch_size);
        let mut drops = seed.rng("recvae-dropout", number as u64);
        let mut noises = seed.rng("recvae-noise", number as u64);
        let dropout = if of_encoder { config.dropout } else { 0.0 };
        let batches = batches.iter().map(|users| {
            let whole = UserBatch::new(&train, users, 0.0, &mut drops);
            let batch = UserBatch::new(&train, users, dropout, &mut drops);
            (batch, whole)
        });
        run_epoch(NAME, epoch, batches, |(batch, whole)| {
            let noise = normal_matrix(batch.len(), config.latent, 1.0, &mut noises);
            Ok((self.step(of_encoder, (batch, whole), noise)?, batch.len()))
        })
    }
}

impl Trainer for RecVaeTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let RecVaeConfig { encoder_epochs, decoder_epochs, .. } = self.config;
        let passes = encoder_epochs + decoder_epochs;
        let (mut loss, mut batches, mut samples) = (0.0, 0, 0);
        for pass in 0..passes {
            if pass == encoder_epochs {
                let device = self.context.device.clone();
                self.parts.keep_encoder(&device)?;
            }
            let stats = self.pass(pass < encoder_epochs, (epoch, epoch * passes + pass))?;
            loss += stats.loss * stats.batches as f64;
            batches += stats.batches;
            samples += stats.samples;
        }
        Ok(EpochStats { loss: loss / batches.max(1) as f64, batches, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let query = RecVaeQuery::new(self.parts.input.table.values(), &self.parts.encoder)?;
        let items = transposed(&self.parts.decoder.weight.to_matrix()?);
        let bias = self.parts.decoder.bias.to_matrix()?.into_vec();
        Ok(Box::new(fitted(NAME, &self.train, items, bias, query)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        let parts = &self.parts;
        parts.input.table.save("input.", &mut state);
        state.put("old_input", parts.old_input.table.values().clone());
        save_weights(&parts.encoder, "encoder.", &mut state)?;
        save_weights(&parts.old_encoder, "old_encoder.", &mut state)?;
        save_weights(&parts.decoder, "decoder.", &mut state)?;
        self.encoder_adam.save("encoder_adam.", &mut state)?;
        self.decoder_adam.save("decoder_adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let plain = self.context.device.clone().inner();
        let device = self.context.device.clone().autodiff();
        let parts = &mut self.parts;
        parts.input.table.load("input.", state)?;
        let (rows, cols) = (self.train.n_items(), self.config.hidden);
        let old = state.shaped("old_input", rows, cols)?.clone();
        parts.old_input = SparseInput::new(old, self.config.lr);
        load_weights(&mut parts.encoder, "encoder.", state, &device)?;
        load_weights(&mut parts.old_encoder, "old_encoder.", state, &plain)?;
        load_weights(&mut parts.decoder, "decoder.", state, &device)?;
        self.encoder_adam.load(&parts.encoder, "encoder_adam.", state, &device)?;
        self.decoder_adam.load(&parts.decoder, "decoder_adam.", state, &device)
    }

    fn n_parameters(&self) -> usize {
        let Parts { input, encoder, decoder, .. } = &self.parts;
        input.table.n_parameters() + encoder.n_parameters() + decoder.n_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{cases, context};

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("recvae.json") {
            let config: RecVaeConfig = case.params();
            let mut trainer = config.trainer(&case.train, &context()).unwrap();
            let (weights, plain) = (case.weights(), context().device);
            let device = plain.clone().autodiff();
            let parts = &mut trainer.parts;
            parts.input = SparseInput::new(case.weight("input"), 0.1);
            parts.old_input = SparseInput::new(case.weight("old_input"), 0.1);
            load_weights(&mut parts.encoder, "encoder.", &weights, &device).unwrap();
            load_weights(&mut parts.old_encoder, "old_encoder.", &weights, &plain).unwrap();
            load_weights(&mut parts.decoder, "decoder.", &weights, &device).unwrap();
            let users: Vec<u32> = case.get("users");
            let mut rng = context().seed.rng("test", 0);
            let batch = UserBatch::new(&case.train, &users, 0.0, &mut rng);
            let of_encoder = case.get::<String>("part") == "encoder";
            let loss = trainer.step(of_encoder, (&batch, &batch), case.matrix("noise")).unwrap();
            case.check(loss, &trainer.save().unwrap());
        }
    }
}
