//! MultiVAE and MultiDAE: autoencoders of a user's items with a multinomial likelihood.
//!
//! Liang, Krishnan, Hoffman, Jebara, "Variational Autoencoders for Collaborative Filtering", WWW
//! 2018. With `x` the items of a user,
//!
//! ```text
//! h = tanh(W1 dropout(x/‖x‖) + b1)      [μ; ln s²] = W2 h + b2      z = μ + s ∘ ε
//! h' = tanh(W3 z + b3)                  π = softmax(W4 h' + b4)
//! L = -Σ_i x_i ln π_i + β · ½ Σ_f (μ² + s² - 1 - ln s²),   mean over the batch
//! ```
//!
//! MultiDAE (`multidae`) has no noise and no KL: `z = tanh(W2 h + b2)`. Scores are `W4 h' + b4`
//! with `z = μ` and nothing dropped: a dot product, so that a fitted model is factors, and the
//! query of a newcomer is `h'` of their items.
//! Differences: `β` grows over `anneal_epochs` epochs instead of 200,000 steps, which small data
//! never reach; biases start at zero, weights Xavier-normal; Adam without weight decay unless
//! `l2` is set (`λ/2 Σ W²`, all weights).
//! Cost: `O(nnz · hidden + n_users · n_items · hidden)` an epoch, nearly all in the last layer;
//! parameters `2 · n_items · hidden`.

use burn::tensor::{Tensor, TensorData, activation};
use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, Recommender};
use quintet_tensor::{
    Adam, AdamConfig, EpochStats, FactorModel, Fit, FitContext, FitError, Fitting, Layer, Linear,
    ModelEntry, Trainer, TrainingData, Weight, add_product, check_interactions,
    check_training_params, load_weights, loss_value, normal_matrix, parse_params, run_epoch,
    save_weights,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::autoencoder::{
    SparseInput, UserBatch, encode_items, fitted, leaf, leaf_grad, multinomial_loss, put_layer,
    read_layer, transposed, user_batches,
};
use crate::folding::Folding;
use crate::query::Query;

const VAE: &str = "multivae";
const DAE: &str = "multidae";

/// Parameters of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiVaeConfig {
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Width of `z`.
    pub latent: usize,
    /// Probability that an input is dropped.
    pub dropout: f32,
    /// Step size of Adam.
    pub lr: f32,
    /// Users a step.
    pub batch_size: usize,
    /// `β`, weight of the KL term after annealing; unused by MultiDAE.
    pub beta: f32,
    /// Epochs over which `β` grows linearly from 0.
    pub anneal_epochs: f32,
    /// `λ/2 Σ W²` over all weights.
    pub l2: f32,
}

impl Default for MultiVaeConfig {
    fn default() -> Self {
        Self {
            hidden: 600,
            latent: 200,
            dropout: 0.5,
            lr: 1e-3,
            batch_size: 500,
            beta: 0.2,
            anneal_epochs: 50.0,
            l2: 0.0,
        }
    }
}

/// [`MultiVaeConfig`] with the choice between the two models.
#[derive(Debug, Clone)]
struct Model {
    name: &'static str,
    config: MultiVaeConfig,
}

const TINY: &str = r#"{"hidden": 24, "latent": 8, "dropout": 0.2, "lr": 0.01, "batch_size": 10,
    "anneal_epochs": 10.0, "beta": 0.1}"#;

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: VAE,
        summary: "variational autoencoder with a multinomial likelihood (Liang 2018)",
        build: |params| Ok(Box::new(Model { name: VAE, config: parse_params(VAE, params)? })),
        load,
        tiny: TINY,
    }
}

pub(crate) fn denoising_entry() -> ModelEntry {
    ModelEntry {
        name: DAE,
        summary: "denoising autoencoder with a multinomial likelihood (Liang 2018)",
        build: |params| Ok(Box::new(Model { name: DAE, config: parse_params(DAE, params)? })),
        load,
        tiny: TINY,
    }
}

impl MultiVaeConfig {
    fn check(&self, name: &str) -> Result<(), FitError> {
        check_training_params(
            name,
            self.hidden.min(self.latent),
            self.batch_size,
            self.lr,
            self.l2,
        )?;
        let bad = |reason: String| Err(FitError::Config { model: name.into(), reason });
        if !(0.0..1.0).contains(&self.dropout) {
            return bad(format!("dropout must be at least 0 and below 1; found {}", self.dropout));
        }
        for (key, value) in [("beta", self.beta), ("anneal_epochs", self.anneal_epochs)] {
            if !(value.is_finite() && value >= 0.0) {
                return bad(format!("{key} must be at least 0; found {value}"));
            }
        }
        Ok(())
    }
}

impl Fit for Model {
    fn name(&self) -> &str {
        self.name
    }

    fn config(&self) -> Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data.train, context)?)))
    }
}

impl Model {
    fn trainer(
        &self,
        train: &Interactions,
        context: &FitContext,
    ) -> Result<MultiVaeTrainer, FitError> {
        let MultiVaeConfig { hidden, latent, lr, .. } = self.config;
        self.config.check(self.name)?;
        check_interactions(self.name, train)?;
        let device = context.device.clone().autodiff();
        let mut rng = context.seed.rng("multivae-init", 0);
        let n_items = train.n_items();
        let std = (2.0 / (n_items + hidden) as f32).sqrt();
        let input = normal_matrix(n_items, hidden, std, &mut rng);
        let encoded = if self.name == VAE { 2 * latent } else { latent };
        let network = Network {
            input_bias: Weight::new(&Matrix::zeros(1, hidden), &device),
            encode: Linear::new(hidden, encoded, &mut rng, &device),
            decode: Linear::new(latent, hidden, &mut rng, &device),
            output: Linear::new(hidden, n_items, &mut rng, &device),
            variational: self.name == VAE,
        };
        Ok(MultiVaeTrainer {
            input: SparseInput::new(input, lr),
            network,
            adam: Adam::new(AdamConfig::new(lr)),
            steps: 0,
            train: train.clone(),
            model: self.clone(),
            context: context.clone(),
        })
    }
}

/// All layers but the first weight.
#[derive(Debug, Clone)]
struct Network {
    /// `b1`, `[1, hidden]`.
    input_bias: Weight,
    /// `[hidden, 2 · latent]`, `μ` and `ln s²`; `[hidden, latent]` without noise.
    encode: Linear,
    decode: Linear,
    output: Linear,
    variational: bool,
}

impl Network {
    /// Logits, `[batch, n_items]`, and the KL of each row summed and divided by the batch.
    /// `sums` is `x W1`, `noise` is `ε`, `[batch, latent]`.
    fn forward(&self, sums: Tensor<2>, noise: Tensor<2>) -> (Tensor<2>, Option<Tensor<1>>) {
        let h = (sums + self.input_bias.tensor()).tanh(); // [batch, hidden]
        let encoded = self.encode.forward(h);
        let [rows, latent] = noise.dims();
        let (z, kl) = if self.variational {
            let mean = encoded.clone().narrow(1, 0, latent);
            let log_variance = encoded.narrow(1, latent, latent);
            let variance = log_variance.clone().exp();
            let kl = mean.clone().powi_scalar(2) + variance.clone() - log_variance - 1.0;
            let kl = kl.sum() * (0.5 / rows.max(1) as f32);
            (mean + variance.sqrt() * noise, Some(kl))
        } else {
            (activation::tanh(encoded), None)
        };
        let h = activation::tanh(self.decode.forward(z)); // [batch, hidden]
        (self.output.forward(h), kl)
    }
}

impl Layer for Network {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("input.bias".to_owned(), &self.input_bias)];
        for (name, layer) in
            [("encode", &self.encode), ("decode", &self.decode), ("output", &self.output)]
        {
            all.push((format!("{name}.weight"), &layer.weight));
            all.push((format!("{name}.bias"), &layer.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let Self { input_bias, encode, decode, output, .. } = self;
        vec![
            input_bias,
            &mut encode.weight,
            &mut encode.bias,
            &mut decode.weight,
            &mut decode.bias,
            &mut output.weight,
            &mut output.bias,
        ]
    }
}

struct MultiVaeTrainer {
    input: SparseInput,
    network: Network,
    adam: Adam,
    /// Steps taken, for the annealing.
    steps: u64,
    train: Interactions,
    model: Model,
    context: FitContext,
}

impl MultiVaeTrainer {
    /// The weight of the KL term `steps` steps after the start, of `each` an epoch.
    fn beta(&self, each: usize) -> f32 {
        let config = &self.model.config;
        let grow = config.anneal_epochs * each as f32;
        if grow > 0.0 { config.beta * (self.steps as f32 / grow).min(1.0) } else { config.beta }
    }

    fn step(&mut self, batch: &UserBatch, noise: Matrix, beta: f32) -> Result<f64, FitError> {
        let device = self.context.device.clone().autodiff();
        let sums = leaf(self.input.forward(batch), &device);
        let shape = [noise.rows(), noise.cols()];
        let noise = Tensor::<2>::from_data(TensorData::new(noise.into_vec(), shape), &device);
        let (logits, kl) = self.network.forward(sums.clone(), noise);
        let (likelihood, mut objective) = multinomial_loss(logits, batch, &device)?;
        let mut extra = kl.map(|kl| kl * beta);
        if self.model.config.l2 > 0.0 {
            let squares = self
                .network
                .weights()
                .into_iter()
                .map(|(_, w)| w.tensor().powi_scalar(2).sum() * (self.model.config.l2 / 2.0));
            extra = squares.chain(extra.take()).reduce(|a, b| a + b);
        }
        if let Some(extra) = &extra {
            objective = objective + extra.clone();
        }
        let mut grads = objective.backward();
        let of_sums = leaf_grad(&sums, &mut grads)?;
        let gradient = self.input.gradient(batch, &of_sums);
        let l2 = self.model.config.l2;
        self.input.table.step_each(|item, values, out| {
            gradient.write(item, out);
            out.iter_mut().zip(values).for_each(|(g, x)| *g += l2 * x);
        });
        self.adam.step(&mut self.network, &mut grads);
        self.steps += 1;
        Ok(likelihood + extra.map_or(Ok(0.0), loss_value)?)
    }
}

impl Trainer for MultiVaeTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let (name, config) = (self.model.name, self.model.config.clone());
        let (train, seed) = (self.train.clone(), self.context.seed);
        let batches = user_batches(&train, seed, ("multivae-order", epoch), config.batch_size);
        let each = batches.len();
        let mut drops = seed.rng("multivae-dropout", epoch as u64);
        let mut noises = seed.rng("multivae-noise", epoch as u64);
        let batches = batches.iter().map(|b| UserBatch::new(&train, b, config.dropout, &mut drops));
        run_epoch(name, epoch, batches, |batch| {
            // MultiDAE reads its shape alone.
            let noise = normal_matrix(batch.len(), config.latent, 1.0, &mut noises);
            let beta = self.beta(each);
            Ok((self.step(batch, noise, beta)?, batch.len()))
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let latent = self.model.config.latent;
        let query = MultiVaeQuery {
            input: self.input.table.values().clone(),
            input_bias: self.network.input_bias.to_matrix()?.into_vec(),
            encode: first_columns(&self.network.encode.weight.to_matrix()?, latent),
            encode_bias: self.network.encode.bias.to_matrix()?.row(0)[..latent].to_vec(),
            decode: self.network.decode.weight.to_matrix()?,
            decode_bias: self.network.decode.bias.to_matrix()?.into_vec(),
            variational: self.network.variational,
        };
        let items = transposed(&self.network.output.weight.to_matrix()?);
        let bias = self.network.output.bias.to_matrix()?.into_vec();
        Ok(Box::new(fitted(self.model.name, &self.train, items, bias, query)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(self.model.name);
        self.input.table.save("input.", &mut state);
        save_weights(&self.network, "network.", &mut state)?;
        self.adam.save("adam.", &mut state)?;
        state.put_whole("steps", vec![self.steps as i64]);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let device = self.context.device.clone().autodiff();
        self.input.table.load("input.", state)?;
        load_weights(&mut self.network, "network.", state, &device)?;
        self.adam.load(&self.network, "adam.", state, &device)?;
        self.steps = state.whole("steps")?.first().copied().unwrap_or(0) as u64;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        self.input.table.n_parameters() + self.network.n_parameters()
    }
}

fn first_columns(m: &Matrix, n: usize) -> Matrix {
    let mut out = Matrix::zeros(m.rows(), n);
    for r in 0..m.rows() {
        out.row_mut(r).copy_from_slice(&m.row(r)[..n]);
    }
    out
}

/// Everything up to the last layer, without noise.
struct MultiVaeQuery {
    input: Matrix,
    input_bias: Vec<f32>,
    encode: Matrix,
    encode_bias: Vec<f32>,
    decode: Matrix,
    decode_bias: Vec<f32>,
    variational: bool,
}

impl Query for MultiVaeQuery {
    fn query(&self, items: &[ItemIdx], out: &mut [f32]) {
        let mut h = self.input_bias.clone();
        encode_items(&self.input, items, &mut h);
        h.iter_mut().for_each(|x| *x = x.tanh());
        let mut z = self.encode_bias.clone();
        let [hidden, latent] = [self.encode.rows(), self.encode.cols()];
        add_product(&h, self.encode.as_slice(), [hidden, latent], &mut z);
        if !self.variational {
            z.iter_mut().for_each(|x| *x = x.tanh());
        }
        out.copy_from_slice(&self.decode_bias);
        add_product(&z, self.decode.as_slice(), [latent, hidden], out);
        out.iter_mut().for_each(|x| *x = x.tanh());
    }

    fn save(&self, state: &mut ModelState) {
        put_layer(state, "input", &self.input, &self.input_bias);
        put_layer(state, "encode", &self.encode, &self.encode_bias);
        put_layer(state, "decode", &self.decode, &self.decode_bias);
    }
}

fn load(state: &ModelState) -> Result<Box<dyn Recommender>, FitError> {
    let model = FactorModel::load(state)?;
    let items = state.matrix("items")?;
    let (n_items, hidden) = (items.rows(), items.cols());
    let latent = state.matrix("encode.weight")?.cols();
    let (input, input_bias) = read_layer(state, "input", [n_items, hidden])?;
    let (encode, encode_bias) = read_layer(state, "encode", [hidden, latent])?;
    let (decode, decode_bias) = read_layer(state, "decode", [latent, hidden])?;
    let variational = state.kind == VAE;
    let query =
        MultiVaeQuery { input, input_bias, encode, encode_bias, decode, decode_bias, variational };
    Ok(Box::new(Folding::new(model, Some(query))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::{cases, context};

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("multivae.json") {
            let name = if case.get::<String>("name") == VAE { VAE } else { DAE };
            let model = Model { name, config: case.params() };
            let mut trainer = model.trainer(&case.train, &context()).unwrap();
            trainer.input = SparseInput::new(case.weight("input"), 0.1);
            let device = context().device.autodiff();
            load_weights(&mut trainer.network, "", &case.weights(), &device).unwrap();
            let users: Vec<u32> = case.get("users");
            let mut rng = context().seed.rng("test", 0);
            let batch = UserBatch::new(&case.train, &users, 0.0, &mut rng);
            let loss = trainer.step(&batch, case.matrix("noise"), case.get("beta")).unwrap();
            case.check(loss, &trainer.save().unwrap());
        }
    }

    #[test]
    fn the_weight_of_the_kl_term_grows_over_its_epochs() {
        let train = Interactions::from_pairs(2, 3, [(0, 0), (1, 2)]).unwrap();
        let config = MultiVaeConfig { beta: 0.2, anneal_epochs: 4.0, ..Default::default() };
        let model = Model { name: VAE, config };
        let mut trainer = model.trainer(&train, &context()).unwrap();
        for (steps, expected) in [(0, 0.0), (10, 0.05), (40, 0.2), (80, 0.2)] {
            trainer.steps = steps;
            assert!((trainer.beta(10) - expected).abs() < 1e-6);
        }
    }
}
