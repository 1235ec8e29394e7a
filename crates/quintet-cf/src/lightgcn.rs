//! LightGCN: factors smoothed over the user–item graph.
//!
//! He, Deng, Wang, Li, Zhang, Wang, "LightGCN: Simplifying and Powering Graph Convolution
//! Network for Recommendation", SIGIR 2020. `[u; i] = mean(E, S E, …, S^L E)`, `score = u · i`;
//! BPR on the propagated rows, squared L2 on the layer-0 rows of the batch.
//! The propagation stays outside the autodiff graph: it is linear and symmetric, so the gradient
//! of the table is the propagated gradient of the output.
//! Cost: parameters `(users + items) · dim`, one step `O(nnz · layers · dim)`.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use quintet_core::{Capability, Interactions, Matrix, ModelState, Recommender};
use quintet_data::TripletSampler;
use quintet_tensor::{
    AdamConfig, Device, EmbeddingTable, EpochStats, FactorModel, Fit, FitContext, FitError,
    Fitting, ModelEntry, PairBatch, Propagation, Trainer, TrainingData, UnusedBias, bpr_loss,
    check_training_params, clear_unused_items, loss_value, parse_params, run_epoch, score_pairs,
    tensor_to_vec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "lightgcn";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LightGcnConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Propagation layers.
    pub layers: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
    /// Squared L2 on the layer-0 rows of a batch.
    pub l2: f32,
}

impl Default for LightGcnConfig {
    fn default() -> Self {
        Self { dim: 64, layers: 2, lr: 5e-3, batch_size: 2048, l2: 1e-4 }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "BPR factors smoothed over the user–item graph (He 2020)",
        build: |params| Ok(Box::new(parse_params::<LightGcnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FactorModel::load(state)?)),
        tiny: r#"{"dim": 8, "layers": 2, "lr": 0.05, "batch_size": 256}"#,
    }
}

impl Fit for LightGcnConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        let train = data.train;
        if train.nnz() == 0 {
            return Err(FitError::Data { model: NAME.into(), reason: "no interactions".into() });
        }
        let graph = Propagation::new(train, self.layers);
        let mut rng = context.seed.rng("lightgcn-init", 0);
        let adam = AdamConfig::new(self.lr);
        Ok(Fitting::Epochs(Box::new(LightGcnTrainer {
            table: EmbeddingTable::new(graph.n_nodes(), self.dim, adam, &mut rng),
            graph,
            sampler: Arc::new(TripletSampler::new(train)),
            train: train.clone(),
            config: self.clone(),
            context: context.clone(),
        })))
    }
}

struct LightGcnTrainer {
    /// Layer-0 vectors, users first, then items.
    table: EmbeddingTable,
    graph: Propagation,
    sampler: Arc<TripletSampler>,
    train: Interactions,
    config: LightGcnConfig,
    context: FitContext,
}

impl LightGcnTrainer {
    fn step(&mut self, batch: &PairBatch) -> Result<f64, FitError> {
        let device = self.context.device.clone().autodiff();
        let item_nodes: Vec<u32> =
            batch.items.iter().map(|i| i + self.graph.n_users() as u32).collect();
        let propagated = self.graph.forward(self.table.values());
        let users = rows_leaf(&propagated, &batch.users, &device);
        let items = rows_leaf(&propagated, &item_nodes, &device);
        let u = batch.pick_users(users.clone(), &device);
        let (i, j) = batch.pick_items(items.clone(), &device);
        let loss = bpr_loss(score_pairs(u.clone(), i), score_pairs(u, j));
        let mut grads = loss.backward();
        let mut dense = Matrix::zeros(self.graph.n_nodes(), self.config.dim);
        for (leaf, nodes) in [(users, &batch.users), (items, &item_nodes)] {
            let Some(grad) = leaf.grad_remove(&mut grads) else { continue };
            let grad = tensor_to_vec(grad).map_err(FitError::Device)?;
            for (row, node) in grad.chunks_exact(self.config.dim).zip(nodes) {
                dense.row_mut(*node as usize).copy_from_slice(row);
            }
        }
        let mut grad = self.graph.forward(&dense);
        let penalty = self.penalise(&mut grad, batch, &item_nodes);
        self.table.step_dense(&grad);
        Ok(loss_value(loss)? + penalty)
    }

    /// Adds the gradient of `l2 · Σ ‖x‖² / batch` over the distinct layer-0 rows of the batch
    /// and gives its value.
    fn penalise(&self, grad: &mut Matrix, batch: &PairBatch, item_nodes: &[u32]) -> f64 {
        let scale = self.config.l2 / batch.len() as f32;
        let mut sum = 0.0f64;
        for &node in batch.users.iter().chain(item_nodes) {
            let row = self.table.values().row(node as usize);
            for (g, x) in grad.row_mut(node as usize).iter_mut().zip(row) {
                *g += 2.0 * scale * x;
                sum += f64::from(x * x);
            }
        }
        sum * f64::from(scale)
    }
}

fn rows_leaf(matrix: &Matrix, rows: &[u32], device: &Device) -> Tensor<2> {
    let mut data = Vec::with_capacity(rows.len() * matrix.cols());
    for &row in rows {
        data.extend_from_slice(matrix.row(row as usize));
    }
    Tensor::from_data(TensorData::new(data, [rows.len(), matrix.cols()]), device).require_grad()
}

impl Trainer for LightGcnTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler
            .epoch(self.context.seed, epoch as u64, self.config.batch_size)
            .map(|b| PairBatch::new(&b.users, &b.positives, &b.negatives));
        run_epoch(NAME, epoch, batches, |batch| Ok((self.step(batch)?, batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let nodes = self.graph.forward(self.table.values());
        let (dim, n_users) = (self.config.dim, self.graph.n_users());
        let (n_items, split) = (nodes.rows() - n_users, n_users * dim);
        let mut data = nodes.into_vec();
        let item_data = data.split_off(split);
        let users = Matrix::from_vec(n_users, dim, data)?;
        let mut items = Matrix::from_vec(n_items, dim, item_data)?;
        let mut bias = vec![0.0; n_items];
        clear_unused_items(&self.train, &mut items, &mut bias, UnusedBias::Lowest);
        let model = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        Ok(Box::new(model.with_part("taste", 0, dim)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.table.save("nodes.", &mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.table.load("nodes.", state)
    }

    fn n_parameters(&self) -> usize {
        self.table.n_parameters()
    }
}
