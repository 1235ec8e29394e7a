//! BPR-MF: matrix factorisation that ranks a used item above an unused one.
//!
//! Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from
//! Implicit Feedback", UAI 2009. `score(u, i) = p_u · q_i + β_i`. Differences: mini-batches with
//! Adam instead of plain SGD; every positive once an epoch instead of with replacement.
//! Cost: parameters `(users + items) · dim + items`, one epoch `O(nnz · dim)`.

use std::sync::Arc;

use quintet_core::{Capability, Interactions, ModelState, Recommender};
use quintet_data::TripletSampler;
use quintet_tensor::{
    AdamConfig, EmbeddingTable, EpochStats, FactorModel, Fit, FitContext, FitError, Fitting,
    ModelEntry, PairBatch, Trainer, TrainingData, UnusedBias, bpr_loss, check_interactions,
    check_training_params, clear_unused_items, loss_value, parse_params, run_epoch, score_pairs,
    squared_penalty, step_table,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "bpr";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BprConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
    /// Squared L2 on the rows of a batch.
    pub l2: f32,
    /// Whether items have a bias.
    pub item_bias: bool,
}

impl Default for BprConfig {
    fn default() -> Self {
        Self { dim: 64, lr: 5e-3, batch_size: 1024, l2: 1e-2, item_bias: true }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "matrix factorisation with the BPR loss (Rendle 2009)",
        build: |params| Ok(Box::new(parse_params::<BprConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FactorModel::load(state)?)),
        tiny: r#"{"dim": 8, "lr": 0.05, "batch_size": 256, "l2": 0.001}"#,
    }
}

impl Fit for BprConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        let train = data.train;
        check_interactions(NAME, train)?;
        let adam = AdamConfig::new(self.lr);
        let mut rng = context.seed.rng("bpr-init", 0);
        Ok(Fitting::Epochs(Box::new(BprTrainer {
            users: EmbeddingTable::new(train.n_users(), self.dim, adam, &mut rng),
            items: EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng),
            bias: EmbeddingTable::from_matrix(
                quintet_core::Matrix::zeros(train.n_items(), 1),
                adam,
            ),
            sampler: Arc::new(TripletSampler::new(train)),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
        })))
    }
}

struct BprTrainer {
    users: EmbeddingTable,
    items: EmbeddingTable,
    bias: EmbeddingTable,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    config: BprConfig,
    context: FitContext,
}

impl BprTrainer {
    fn step(&mut self, batch: &PairBatch) -> Result<f64, FitError> {
        let device = self.context.device.clone().autodiff();
        let users = self.users.leaf(&batch.users, &device);
        let items = self.items.leaf(&batch.items, &device);
        let bias = self.bias.leaf(&batch.items, &device);
        let u = batch.pick_users(users.clone(), &device);
        let (i, j) = batch.pick_items(items.clone(), &device);
        let mut positive = score_pairs(u.clone(), i.clone());
        let mut negative = score_pairs(u.clone(), j.clone());
        if self.config.item_bias {
            let (bi, bj) = batch.pick_items(bias.clone(), &device);
            positive = positive + bi;
            negative = negative + bj;
        }
        let mut loss = bpr_loss(positive, negative);
        if let Some(penalty) = squared_penalty(&[&u, &i, &j], self.config.l2, batch.len()) {
            loss = loss + penalty;
        }
        let mut grads = loss.backward();
        step_table(&mut self.users, &batch.users, &users, &mut grads)?;
        step_table(&mut self.items, &batch.items, &items, &mut grads)?;
        step_table(&mut self.bias, &batch.items, &bias, &mut grads)?;
        loss_value(loss)
    }
}

impl Trainer for BprTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|b| PairBatch::new(&b.users, &b.positives, &b.negatives));
        run_epoch(NAME, epoch, batches, |batch| Ok((self.step(batch)?, batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut items = self.items.values().clone();
        let mut bias = self.bias.values().as_slice().to_vec();
        clear_unused_items(&self.train, &mut items, &mut bias, UnusedBias::Lowest);
        let users = self.users.values().clone();
        let dim = users.cols();
        let model = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        Ok(Box::new(model.with_part("taste", 0, dim)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.users.save("users.", &mut state);
        self.items.save("items.", &mut state);
        self.bias.save("bias.", &mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.users.load("users.", state)?;
        self.items.load("items.", state)?;
        self.bias.load("bias.", state)
    }

    fn n_parameters(&self) -> usize {
        self.users.n_parameters() + self.items.n_parameters() + self.bias.n_parameters()
    }
}
