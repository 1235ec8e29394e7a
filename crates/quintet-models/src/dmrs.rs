//! DMRS: a perceptron over ids, their product, fused content and what is missing.
//!
//! The name is generic. Closest: Oramas, Nieto, Sordo & Serra, "A Deep Multimodal Approach for
//! Cold-start Music Recommendation", DLRS 2017; Zhang, Ai, Chen & Croft, "Joint Representation
//! Learning for Top-N Recommendation with Heterogeneous Information Sources", CIKM 2017; dropped
//! modalities after Wang, Niepert & Li, "LRMM: Learning to Recommend with Missing Modalities",
//! EMNLP 2018.
//!
//! ```text
//! h_m = k_m ReLU(LN(W_m x_m + b_m)) + (1 - k_m) n_m         n_m learned
//! c = fuse(h_1 … h_M)                                       a layer of quintet-fusion
//! z = [p_u ; q_i ; p_u ∘ q_i ; c ; p_u ∘ c ; k]
//! ŷ = MLP(z): 256 → 128 → 64 → 1, ReLU, dropout
//! loss = mean (softplus(ŷ) - y ŷ) over a positive and its negatives, or mean softplus(ŷ_j - ŷ_i)
//! ```
//! In training `k_m` becomes 0 with probability `modality_dropout`, and `q_i` a shared, learned
//! vector with probability `id_dropout`. An item without training interactions is scored with that
//! vector, so by its content.
//! Differences: the fusion layer sees `n_m` as the content of an absent modality, not its absence;
//! features are reduced to their leading components first; the decay of the network is decoupled.
//! Scores take a pass through the perceptron for every user and item: a ranker of candidates.
//! Cost: an epoch `O(nnz (1 + negatives) (5 dim · 256 + 256 · 128 + 128 · 64))`.

mod fitted;
mod net;

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{Interactions, Modality, ModelState, Recommender};
use quintet_data::{NegativeStrategy, TripletBatch, TripletSampler};
use quintet_tensor::{
    Adam, AdamConfig, Dropout, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting,
    Layer, ModelEntry, Robust, Trainer, TrainingData, bce_rows, check_interactions,
    check_training_params, loss_value, normal_matrix, parse_params, robust_mean, run_epoch,
    select_rows, softplus, step_table, unique_ids,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::content_model::auxiliary;
use crate::graph::{at_least_zero, below_one, refuse, robust_in_range};
use crate::network::{load_training, save_training};
use fitted::Dmrs;
use net::{DmrsNet, Pairs};

const NAME: &str = "dmrs";

/// Standard deviation of the start of the tables.
const SMALL: f32 = 0.01;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DmrsLoss {
    /// Binary cross-entropy of positives and negatives.
    #[default]
    Bce,
    /// Each negative against its positive.
    Bpr,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DmrsConfig {
    /// Width of the vectors of users, items and content.
    pub dim: usize,
    /// Widths of the hidden layers of the perceptron.
    pub layers: Vec<usize>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Principal components kept of each modality's features; 0 keeps all columns.
    pub components: usize,
    /// Fusion layer, by registry name.
    pub fusion: String,
    /// Parameters of the fusion layer.
    pub fusion_params: Value,
    /// What is minimised.
    pub loss: DmrsLoss,
    /// How losses are brought together where events are noisy; their mean by default.
    pub robust: Option<Robust>,
    /// Negatives of each positive.
    pub negatives: usize,
    /// Share of numbers dropped after each hidden layer.
    pub dropout: f32,
    /// Probability that a modality of an item is hidden in a step.
    pub modality_dropout: f32,
    /// Probability that an item's id is dropped in a step.
    pub id_dropout: f32,
    /// How much the heads of a fusion layer that has them count, together.
    pub head_weight: f32,
    /// Step size of Adam.
    pub lr: f32,
    /// Decoupled weight decay of the network, times `lr` a step.
    pub weight_decay: f32,
    /// Positives a step.
    pub batch_size: usize,
}

impl Default for DmrsConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: vec![256, 128, 64],
            modalities: None,
            components: 32,
            fusion: "gated".into(),
            fusion_params: Value::Null,
            loss: DmrsLoss::Bce,
            robust: None,
            negatives: 4,
            dropout: 0.2,
            modality_dropout: 0.2,
            id_dropout: 0.15,
            head_weight: 0.25,
            lr: 1e-3,
            weight_decay: 1e-6,
            batch_size: 1024,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "perceptron over ids, their product and fused content",
        build: |params| Ok(Box::new(parse_params::<DmrsConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Dmrs::load(state)?)),
        tiny: r#"{"dim": 8, "layers": [16, 8], "lr": 0.02, "batch_size": 128, "negatives": 2,
                  "dropout": 0.1, "id_dropout": 0.3}"#,
    }
}

impl DmrsConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, 0.0)?;
        if self.layers.is_empty() || self.layers.contains(&0) {
            let found = format!("{:?}", self.layers);
            return refuse(NAME, "layers", "one width or more, of at least 1", found);
        }
        below_one(NAME, "dropout", self.dropout)?;
        below_one(NAME, "modality_dropout", self.modality_dropout)?;
        below_one(NAME, "id_dropout", self.id_dropout)?;
        at_least_zero(NAME, "weight_decay", self.weight_decay)?;
        robust_in_range(NAME, self.robust)?;
        at_least_zero(NAME, "head_weight", self.head_weight)
    }

    fn trainer(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<DmrsTrainer, FitError> {
        self.check()?;
        let train = data.train;
        check_interactions(NAME, train)?;
        let uniform = NegativeStrategy::Uniform {};
        let sampler = TripletSampler::with_strategy(train, uniform, self.negatives)
            .map_err(|e| FitError::Config { model: NAME.into(), reason: e.to_string() })?;
        let device = context.device.clone().autodiff();
        let (wanted, components) = (self.modalities.as_deref(), self.components);
        let content = Content::new(NAME, data.features, wanted, components, &device)?;
        let net = DmrsNet::new(self, content.map(), context.seed, &device)?;
        let mut rng = context.seed.rng("dmrs-tables", 0);
        let adam = AdamConfig::new(self.lr);
        let mut table = |rows: usize| {
            EmbeddingTable::from_matrix(normal_matrix(rows, self.dim, SMALL, &mut rng), adam)
        };
        Ok(DmrsTrainer {
            users: table(train.n_users()),
            items: table(train.n_items()),
            net,
            optimiser: Adam::new(AdamConfig { weight_decay: self.weight_decay, ..adam }),
            content,
            sampler: Arc::new(sampler),
            train: train.clone(),
            robust: self.robust.map(|robust| robust.at(1)),
            config: self.clone(),
            context: context.clone(),
            device,
        })
    }
}

impl Fit for DmrsConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Epochs(Box::new(self.trainer(data, context)?)))
    }
}

/// A positive and its negatives after it, for each pair of the batch, as places among distinct
/// users and items.
struct RankedBatch {
    users: Vec<u32>,
    items: Vec<u32>,
    user_places: Vec<u32>,
    item_places: Vec<u32>,
    /// Items a positive: itself and its negatives.
    each: usize,
}

impl RankedBatch {
    fn new(batch: &TripletBatch) -> Self {
        let each = 1 + batch.n_negatives();
        let (mut users, mut items) = (Vec::new(), Vec::new());
        for (b, (&user, &item)) in batch.users.iter().zip(&batch.positives).enumerate() {
            users.extend(std::iter::repeat_n(user, each));
            items.push(item);
            items.extend_from_slice(batch.negatives_of(b));
        }
        let ((users, user_places), (items, item_places)) = (unique_ids(&users), unique_ids(&items));
        Self { users, items, user_places, item_places, each }
    }

    fn positives(&self) -> usize {
        self.user_places.len() / self.each
    }
}

impl DmrsLoss {
    /// Of logits `[positives, each]`, the positive in the first column.
    fn of(self, logits: Tensor<2>, robust: Option<Robust>) -> Tensor<1> {
        let [n, each] = logits.dims();
        match self {
            DmrsLoss::Bce => {
                let labels = (0..n * each).map(|at| f32::from(u8::from(at % each == 0)));
                let labels = TensorData::new(labels.collect::<Vec<f32>>(), [n, each]);
                let labels = Tensor::from_data(labels, &logits.device());
                let positives: Vec<u32> = (0..n).map(|row| (row * each) as u32).collect();
                robust_mean(robust, bce_rows(logits, labels), Some(&positives))
            }
            DmrsLoss::Bpr => {
                let positive = logits.clone().narrow(1, 0, 1).expand([n, each - 1]);
                let gap = positive - logits.narrow(1, 1, each - 1);
                robust_mean(robust, softplus(gap.neg()), None)
            }
        }
    }
}

struct DmrsTrainer {
    users: EmbeddingTable,
    items: EmbeddingTable,
    net: DmrsNet,
    optimiser: Adam,
    content: Content,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    /// As it is in the epoch.
    robust: Option<Robust>,
    config: DmrsConfig,
    context: FitContext,
    device: Device,
}

impl DmrsTrainer {
    /// Ones, and zeros with probability `rate`, `[rows, cols]`.
    fn kept(&self, [rows, cols]: [usize; 2], rate: f32, rng: &mut ChaCha8Rng) -> Tensor<2> {
        let keep = |_| if rate > 0.0 && rng.random::<f32>() < rate { 0.0 } else { 1.0 };
        let keep: Vec<f32> = (0..rows * cols).map(keep).collect();
        Tensor::from_data(TensorData::new(keep, [rows, cols]), &self.device)
    }

    fn step(&mut self, batch: &RankedBatch, rng: &mut ChaCha8Rng) -> Result<f64, FitError> {
        let (device, n_items) = (&self.device, batch.items.len());
        let users = self.users.leaf(&batch.users, device);
        let items = self.items.leaf(&batch.items, device);
        let mut views = self.content.views(&batch.items, device);
        let shape = views.mask.dims();
        views.mask = views.mask * self.kept(shape, self.config.modality_dropout, rng);
        let keep = self.kept([n_items, 1], self.config.id_dropout, rng);
        let ids = self.net.ids(items.clone(), keep);
        let branches = self.net.branches(&views);
        let fused = self.net.fusion.forward_train(&branches, rng);
        let mut dropout = Dropout::new(self.config.dropout, rng.clone());
        let p = select_rows(users.clone(), &batch.user_places);
        let q = select_rows(ids, &batch.item_places);
        let flags = select_rows(views.mask, &batch.item_places);
        let ranked = |content: Tensor<2>, dropout: &mut Dropout| {
            let content = select_rows(content, &batch.item_places);
            let pairs = Pairs { p: p.clone(), q: q.clone(), content, flags: flags.clone() };
            let logits = self.net.logits(pairs, dropout); // [pairs, 1]
            self.config.loss.of(logits.reshape([batch.positives(), batch.each]), self.robust)
        };
        let loss = ranked(fused.vectors.clone(), &mut dropout);
        let heads = auxiliary(&fused, &branches, self.config.head_weight, |vectors| {
            ranked(vectors, &mut dropout.clone())
        });
        let loss = loss + heads;
        let mut grads = loss.backward();
        step_table(&mut self.users, &batch.users, &users, &mut grads)?;
        step_table(&mut self.items, &batch.items, &items, &mut grads)?;
        self.optimiser.step(&mut self.net, &mut grads);
        loss_value(loss)
    }
}

impl Trainer for DmrsTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        self.robust = self.config.robust.map(|robust| robust.at(epoch));
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|batch| RankedBatch::new(&batch));
        let (seed, mut at) = (self.context.seed, (epoch as u64) << 32);
        run_epoch(NAME, epoch, batches, |batch| {
            at += 1;
            let mut rng = seed.rng("dmrs-noise", at);
            Ok((self.step(batch, &mut rng)?, batch.user_places.len()))
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let warm = self.train.item_counts().iter().map(|&c| c > 0).collect();
        let tables = (self.users.values(), self.items.values());
        Ok(Box::new(Dmrs::new(&self.config, tables, warm, &self.net, &self.content, &self.device)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let tables = [("users.", &self.users), ("items.", &self.items)];
        save_training(NAME, &tables, &self.net, &self.optimiser)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let mut tables = [("users.", &mut self.users), ("items.", &mut self.items)];
        let device = &self.device;
        load_training(&mut tables, &mut self.net, &mut self.optimiser, (state, device))
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters() + self.items.n_parameters() + self.net.n_parameters()
    }
}

#[cfg(test)]
mod tests;
