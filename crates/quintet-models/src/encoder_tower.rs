//! An encoder and user vectors that are trained as one, on clicks.
//!
//! `score(u, i) = p_u · s f(x_i) + b_i`, where `f` is a network from raw media to a vector. The
//! softmax over the items of a batch, corrected for popular items being drawn more often (Yi et
//! al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys
//! 2019), goes through `f` to its first layer, as DeepCoNN (Zheng et al., WSDM 2017) and CDL's
//! successors do with text and DVBPR (Kang et al., ICDM 2017) with pictures. The bias takes what
//! is fame and not content. `s` brings the vectors that the encoder gives at first to length one.
//!
//! It is a stage before features are computed, no model of the registry: what it leaves are the
//! weights of the encoder. Cost of a step: the encoder over the items of a batch, forwards and
//! back, and `O(batch · items · dim)`.

use std::sync::Mutex;

use burn::tensor::Device;
use quintet_core::{Capability, Interactions, Matrix, Modality, ModelState, Recommender};
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EncodeError, EncoderLearner, EpochStats, FactorModel, Fit,
    FitContext, FitError, Fitting, Layer, Trainer, TrainingData, check_interactions,
    check_training_params, index_tensor, load_weights, loss_value, parse_params, run_epoch,
    save_weights, squared_penalty, step_table, tensor_to_matrix,
};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::softmax_batch::{Candidates, SoftmaxBatch};

const NAME: &str = "encoder_tower";
/// Items that go through the encoder at once outside of training.
const CHUNK: usize = 64;
/// Prefix of the encoder's arrays in the state of a fitted model.
const ARRAYS: &str = "encoder.";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderTowerConfig {
    /// Step size of Adam, for the encoder.
    pub lr: f32,
    /// The same for user vectors and biases, which see fewer steps each.
    pub table_lr: f32,
    /// Interactions a step.
    pub batch_size: usize,
    /// Steps an epoch at most; all interactions by default.
    pub steps: Option<usize>,
    /// Squared L2 on the user vectors of a batch.
    pub l2: f32,
    /// Decoupled weight decay of the encoder, times `lr` a step.
    pub weight_decay: f32,
}

impl Default for EncoderTowerConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            table_lr: 1e-2,
            batch_size: 256,
            steps: None,
            l2: 1e-3,
            weight_decay: 0.01,
        }
    }
}

impl EncoderTowerConfig {
    /// Reads parameters; null gives the defaults.
    ///
    /// # Errors
    /// An unknown or wrong key, by its name.
    pub fn parse(params: &Value) -> Result<Self, FitError> {
        let config: Self = parse_params(NAME, params)?;
        check_training_params(NAME, 1, config.batch_size, config.lr, config.l2)?;
        let wrong = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if !(config.table_lr > 0.0 && config.table_lr.is_finite()) {
            return wrong(format!("table_lr must be above 0; found {}", config.table_lr));
        }
        if !(config.weight_decay >= 0.0 && config.weight_decay.is_finite()) {
            return wrong(format!(
                "weight_decay must not be below 0; found {}",
                config.weight_decay
            ));
        }
        match config.steps {
            Some(0) => wrong("steps must be at least 1; found 0".to_owned()),
            _ => Ok(config),
        }
    }
}

/// A learner with what it has read, to be trained.
pub struct EncoderTower {
    config: EncoderTowerConfig,
    modality: Modality,
    places: Vec<Option<u32>>,
    learner: Mutex<Option<Box<dyn EncoderLearner>>>,
}

impl EncoderTower {
    /// `places` has for each item where the learner has its input; none for an item without one,
    /// whose clicks teach nothing.
    pub fn new(
        config: EncoderTowerConfig,
        modality: Modality,
        places: Vec<Option<u32>>,
        learner: Box<dyn EncoderLearner>,
    ) -> Self {
        Self { config, modality, places, learner: Mutex::new(Some(learner)) }
    }

    /// Puts the trained arrays of a fitted model into a learner of the same encoder.
    ///
    /// # Errors
    /// The model is of another encoder.
    pub fn restore(
        model: &dyn Recommender,
        learner: &mut dyn EncoderLearner,
    ) -> Result<(), FitError> {
        let device = learner.tuned().device().clone();
        load_weights(learner.tuned_mut(), ARRAYS, &model.state(), &device)
    }
}

impl Fit for EncoderTower {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    /// Takes the learner, so it can be called once.
    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        check_interactions(NAME, data.train)?;
        let wrong = |reason: &str| FitError::Data { model: NAME.into(), reason: reason.into() };
        let learner = self.learner.lock().ok().and_then(|mut learner| learner.take());
        let learner = learner.ok_or_else(|| wrong("the encoder is in training already"))?;
        let train = data.train;
        let pairs: Vec<(u32, u32)> = train
            .iter()
            .map(|t| (t.user.0, t.item.0))
            .filter(|(_, item)| self.places.get(*item as usize).is_some_and(Option::is_some))
            .collect();
        if pairs.is_empty() {
            return Err(wrong(
                "no item of the training interactions has an input that can be read",
            ));
        }
        let adam = AdamConfig::new(self.config.table_lr);
        let mut rng = context.seed.rng("encoder-tower-init", 0);
        let mut trainer = EncoderTrainer {
            users: EmbeddingTable::new(train.n_users(), learner.dim(), adam, &mut rng),
            bias: EmbeddingTable::from_matrix(Matrix::zeros(train.n_items(), 1), adam),
            optimiser: Adam::new(AdamConfig {
                weight_decay: self.config.weight_decay,
                ..AdamConfig::new(self.config.lr)
            }),
            device: learner.tuned().device().clone(),
            learner,
            places: self.places.clone(),
            counts: train.item_counts(),
            train: train.clone(),
            pairs,
            scale: 1.0,
            modality: self.modality,
            config: self.config.clone(),
            context: context.clone(),
        };
        trainer.scale = trainer.first_scale()?;
        Ok(Fitting::Epochs(Box::new(trainer)))
    }
}

struct EncoderTrainer {
    users: EmbeddingTable,
    bias: EmbeddingTable,
    learner: Box<dyn EncoderLearner>,
    optimiser: Adam,
    places: Vec<Option<u32>>,
    counts: Vec<u32>,
    train: Interactions,
    /// Interactions with items that have an input.
    pairs: Vec<(u32, u32)>,
    scale: f32,
    modality: Modality,
    config: EncoderTowerConfig,
    context: FitContext,
    device: Device,
}

fn device_failed(error: EncodeError) -> FitError {
    FitError::Device(error.to_string())
}

impl EncoderTrainer {
    /// One over the mean length of the first vectors.
    fn first_scale(&self) -> Result<f32, FitError> {
        let places: Vec<u32> = self.places.iter().flatten().copied().take(CHUNK).collect();
        let vectors = self.vectors(&places)?;
        let length = |row: usize| vectors.row(row).iter().map(|x| x * x).sum::<f32>().sqrt();
        let mean = (0..vectors.rows()).map(length).sum::<f32>() / vectors.rows().max(1) as f32;
        if !mean.is_finite() {
            let reason = "the encoder gives vectors that are not finite".into();
            return Err(FitError::Data { model: NAME.into(), reason });
        }
        Ok(1.0 / mean.max(1e-6))
    }

    /// Vectors on the host, `[places, dim]`.
    fn vectors(&self, places: &[u32]) -> Result<Matrix, FitError> {
        let mut numbers = Vec::new();
        for chunk in places.chunks(CHUNK) {
            let vectors = self.learner.encode(chunk).map_err(device_failed)?;
            let vectors = tensor_to_matrix(vectors).map_err(FitError::Device)?;
            numbers.extend_from_slice(vectors.as_slice());
        }
        Ok(Matrix::from_vec(places.len(), self.learner.dim(), numbers)?)
    }

    fn step(&mut self, pairs: &[(u32, u32)]) -> Result<f64, FitError> {
        let b = SoftmaxBatch::new(pairs, Candidates::Batch, &self.counts, &self.train);
        let place = |item: &u32| self.places[*item as usize].unwrap_or_default();
        let places: Vec<u32> = b.candidates.iter().map(place).collect();
        let items = self.learner.forward(&places).map_err(device_failed)?;
        let items = items.mul_scalar(self.scale); // [candidates, dim]
        let users = self.users.leaf(&b.users, &self.device);
        let bias = self.bias.leaf(&b.candidates, &self.device); // [candidates, 1]
        let u = users.clone().select(0, index_tensor(&b.user_places, &self.device));
        let logits = u.clone().matmul(items.transpose()) + bias.clone().transpose();
        let mut loss = b.loss(logits);
        if let Some(penalty) = squared_penalty(&[&u], self.config.l2, b.len()) {
            loss = loss + penalty;
        }
        let mut grads = loss.backward();
        step_table(&mut self.users, &b.users, &users, &mut grads)?;
        step_table(&mut self.bias, &b.candidates, &bias, &mut grads)?;
        self.optimiser.step(self.learner.tuned_mut(), &mut grads);
        loss_value(loss)
    }
}

impl Trainer for EncoderTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let mut rng = self.context.seed.rng("encoder-tower-epoch", epoch as u64);
        let mut pairs = self.pairs.clone();
        pairs.shuffle(&mut rng);
        let most = self.config.steps.unwrap_or(usize::MAX);
        let batches = pairs.chunks(self.config.batch_size).take(most);
        run_epoch(NAME, epoch, batches, |pairs| Ok((self.step(pairs)?, pairs.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let (known, places): (Vec<usize>, Vec<u32>) =
            self.places.iter().enumerate().filter_map(|(item, at)| Some((item, (*at)?))).unzip();
        let vectors = self.vectors(&places)?;
        let mut items = Matrix::zeros(self.places.len(), self.learner.dim());
        for (row, item) in known.into_iter().enumerate() {
            let scaled = vectors.row(row).iter().map(|x| x * self.scale);
            items.row_mut(item).iter_mut().zip(scaled).for_each(|(to, x)| *to = x);
        }
        let mut capability = Capability::personal().with_modalities(vec![self.modality]);
        capability.cold_items = true;
        let bias = self.bias.values().as_slice().to_vec();
        let factors = FactorModel::new(NAME, self.users.values().clone(), items, bias, capability)?;
        let mut arrays = ModelState::new(NAME);
        save_weights(self.learner.tuned(), ARRAYS, &mut arrays)?;
        Ok(Box::new(factors.with_arrays(arrays)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.users.save("users.", &mut state);
        self.bias.save("bias.", &mut state);
        save_weights(self.learner.tuned(), ARRAYS, &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users.load("users.", state)?;
        self.bias.load("bias.", state)?;
        load_weights(self.learner.tuned_mut(), ARRAYS, state, &self.device)?;
        self.optimiser.load(self.learner.tuned(), "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters() + self.bias.n_parameters() + self.learner.tuned().n_parameters()
    }
}
