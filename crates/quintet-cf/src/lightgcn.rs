//! LightGCN: factors smoothed over the user–item graph.
//!
//! He, Deng, Wang, Li, Zhang, Wang, "LightGCN: Simplifying and Powering Graph Convolution
//! Network for Recommendation", SIGIR 2020. `[u; i] = mean(E, S E, …, S^L E)`, `score = u · i`;
//! BPR on the propagated rows and a penalty on the layer-0 rows of the batch: `λ/(2B) Σ ‖e‖²`
//! over the rows of users, positives and negatives (the paper; `penalty = "squared"`), or
//! `λ/B (‖E_u‖_F + ‖E_i‖_F + ‖E_j‖_F)`, their norms as matrices, not squared
//! (`penalty = "norm"`, as comparisons of multimodal models have it).
//!
//! Nothing here needs a graph of operations: the propagation is linear and symmetric, so the
//! gradient of the table is the propagated gradient of the output, and the loss has a short
//! gradient of its own. Both run on plain rows; Adam moves every row, as its gradient is computed.
//! Differences: every positive once an epoch instead of with replacement; Xavier-uniform start
//! for users and items apart (as in the libraries) instead of normal.
//! Cost: parameters `(users + items) · dim`, one step `O(nnz · layers · dim)`, see
//! `quintet_tensor::Propagation`.

use std::sync::Arc;

use quintet_core::{Capability, Interactions, Matrix, ModelState, Recommender, SeedStream};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    AdamConfig, EmbeddingTable, EpochStats, FactorModel, Fit, FitContext, FitError, Fitting,
    ModelEntry, NodeSet, PlacedTriple, Propagation, PropagationScratch, Trainer, TrainingData,
    UnusedBias, bpr_gradients, bpr_slopes, check_interactions, check_training_params,
    clear_unused_items, dot, parse_params, run_epoch,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "lightgcn";

/// What is added to the loss for large layer-0 rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LightGcnPenalty {
    /// `λ/(2B) Σ ‖e‖²`, the paper's.
    #[default]
    Squared,
    /// `λ/B` times the sum of the Frobenius norms of the rows of users, positives and negatives.
    Norm,
}

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
    /// `λ`, the weight of the penalty on the layer-0 rows of a batch.
    pub l2: f32,
    /// Which penalty.
    pub penalty: LightGcnPenalty,
}

impl Default for LightGcnConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            lr: 5e-3,
            batch_size: 2048,
            l2: 2e-4,
            penalty: LightGcnPenalty::Squared,
        }
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
        check_interactions(NAME, train)?;
        let mut rng = context.seed.rng("lightgcn-init", 0);
        let adam = AdamConfig::new(self.lr);
        let users = EmbeddingTable::new(train.n_users(), self.dim, adam, &mut rng);
        let items = EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng);
        let mut start = users.values().as_slice().to_vec();
        start.extend_from_slice(items.values().as_slice());
        let start = Matrix::from_vec(train.n_users() + train.n_items(), self.dim, start)?;
        Ok(Fitting::Epochs(Box::new(LightGcnTrainer {
            sampler: Arc::new(TripletSampler::new(train)),
            train: train.clone(),
            seed: context.seed,
            steps: Steps::new(train, start, self),
        })))
    }
}

struct LightGcnTrainer {
    sampler: Arc<TripletSampler>,
    train: Interactions,
    seed: SeedStream,
    steps: Steps,
}

/// The trained numbers and what a step needs; the memory of a step serves the next.
struct Steps {
    /// Layer-0 vectors, users first, then items.
    table: EmbeddingTable,
    graph: Propagation,
    config: LightGcnConfig,
    scratch: PropagationScratch,
    nodes: NodeSet,
    triples: Vec<PlacedTriple>,
    /// Propagated rows of the batch and their gradients, `[nodes, dim]`.
    rows: Vec<f32>,
    grad: Vec<f32>,
    slopes: Vec<f32>,
    /// Factor by which the penalty pulls a layer-0 row of the batch towards zero.
    decay: Vec<f32>,
}

impl Steps {
    fn new(train: &Interactions, start: Matrix, config: &LightGcnConfig) -> Self {
        let graph = Propagation::new(train, config.layers);
        Self {
            nodes: NodeSet::new(graph.n_nodes()),
            table: EmbeddingTable::from_matrix(start, AdamConfig::new(config.lr)),
            graph,
            config: config.clone(),
            scratch: PropagationScratch::default(),
            triples: Vec::new(),
            rows: Vec::new(),
            grad: Vec::new(),
            slopes: Vec::new(),
            decay: Vec::new(),
        }
    }

    /// The loss of a batch; leaves the gradient of the propagated rows and the pull of the
    /// penalty behind.
    fn loss(&mut self, batch: &TripletBatch) -> f64 {
        let (dim, n_users) = (self.config.dim, self.graph.n_users() as u32);
        self.nodes.clear();
        self.triples.clear();
        for ((&u, &i), &j) in batch.users.iter().zip(&batch.positives).zip(&batch.negatives) {
            let nodes = [u, n_users + i, n_users + j];
            self.triples.push(nodes.map(|node| self.nodes.insert(node)));
        }
        self.rows.resize(self.nodes.len() * dim, 0.0);
        let (values, nodes) = (self.table.values(), self.nodes.nodes());
        self.graph.forward_nodes(values, nodes, &mut self.scratch, &mut self.rows);
        let loss = bpr_slopes(&self.rows, &[], dim, &self.triples, &mut self.slopes);
        self.grad.clear();
        self.grad.resize(self.rows.len(), 0.0);
        bpr_gradients(&self.rows, dim, &self.triples, &self.slopes, &mut self.grad);
        loss + self.penalise()
    }

    /// The penalty of the batch and its pull on each row.
    fn penalise(&mut self) -> f64 {
        self.decay.clear();
        self.decay.resize(self.nodes.len(), 0.0);
        let weight = self.config.l2 / self.triples.len().max(1) as f32;
        let values = self.table.values();
        let squares: Vec<f64> = self
            .nodes
            .nodes()
            .iter()
            .map(|&node| {
                let row = values.row(node as usize);
                f64::from(dot(row, row))
            })
            .collect();
        let mut penalty = 0.0;
        for role in 0..3 {
            let places = self.triples.iter().map(|triple| triple[role] as usize);
            let sum: f64 = places.clone().map(|place| squares[place]).sum();
            let (value, pull) = match self.config.penalty {
                LightGcnPenalty::Squared => (0.5 * sum, 1.0),
                LightGcnPenalty::Norm if sum > 0.0 => (sum.sqrt(), 1.0 / sum.sqrt() as f32),
                LightGcnPenalty::Norm => (0.0, 0.0),
            };
            penalty += f64::from(weight) * value;
            places.for_each(|place| self.decay[place] += weight * pull);
        }
        penalty
    }

    fn step(&mut self, batch: &TripletBatch) -> f64 {
        let loss = self.loss(batch);
        let dim = self.config.dim;
        let gradients = self.graph.backward_nodes(&self.nodes, &self.grad, dim, &mut self.scratch);
        let (nodes, decay) = (&self.nodes, &self.decay);
        self.table.step_each(|row, values, grad| {
            gradients.write(row, grad);
            if let Some(place) = nodes.place(row as u32) {
                let pull = decay[place];
                grad.iter_mut().zip(values).for_each(|(g, x)| *g += pull * x);
            }
        });
        loss
    }
}

impl Trainer for LightGcnTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler.epoch(self.seed, epoch as u64, self.steps.config.batch_size);
        run_epoch(NAME, epoch, batches, |batch| Ok((self.steps.step(batch), batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let nodes = self.steps.graph.forward(self.steps.table.values());
        let (dim, n_users) = (self.steps.config.dim, self.steps.graph.n_users());
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
        self.steps.table.save("nodes.", &mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.steps.table.load("nodes.", state)
    }

    fn n_parameters(&self) -> usize {
        self.steps.table.n_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::cases;

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("lightgcn.json") {
            let config: LightGcnConfig = case.params();
            let mut steps = Steps::new(&case.train, case.weight("nodes"), &config);
            let loss = steps.step(&case.batch());
            let mut saved = ModelState::new(NAME);
            steps.table.save("nodes.", &mut saved);
            case.check(loss, &saved);
        }
    }
}
