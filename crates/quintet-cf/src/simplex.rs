//! SimpleX: a cosine contrastive loss with many negatives, over a user's row and history.
//!
//! Mao, Zhu, Wang, Dai, Dong, Xiao, He, "SimpleX: A Simple and Strong Baseline for Collaborative
//! Filtering", CIKM 2021. `h_u = g e_u + (1 - g) a_u` with the aggregated history `a_u` (see
//! `aggregate`), `score = cos(h_u, e_i)`, and for a positive with `N` negatives
//!
//! ```text
//! L = (1 - cos(h_u, e_i)) + (w/N) Σ_j max(0, cos(h_u, e_j) - m),    mean over the batch,
//! ```
//!
//! plus `λ/2 Σ ‖θ‖²` over the embedding rows, all of them at every step, as in the authors'
//! program; Adam moves all rows.
//! Differences: a history is all training items of the user, not the latest hundred; no dropout
//! on `h_u`; a negative is never a training item of its user.
//! A newcomer has no row: `h = a`, and under user attention all items of the history count alike.
//! Cost: one step `O(batch · (negatives + history) · dim + (users + items) · dim)`.

mod aggregate;
mod fitted;

use std::sync::Arc;

pub use aggregate::SimplexAggregation;
use quintet_core::{Interactions, Matrix, ModelState, Recommender, SeedStream};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    AdamConfig, CandidateGradients, EmbeddingTable, EpochStats, Fit, FitContext, FitError, Fitting,
    ModelEntry, NodeSet, Trainer, TrainingData, add_scaled, candidate_scores, check_interactions,
    check_training_params, dot, parse_params, run_epoch,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sampling::uniform_sampler;

use aggregate::{Aggregator, AggregatorGrads, Pooled};

const NAME: &str = "simplex";

/// Below this length a row counts as this long.
const SHORTEST: f32 = 1e-12;

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimplexConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Positives a step.
    pub batch_size: usize,
    /// `N`, negatives of each positive.
    pub negatives: usize,
    /// `w`, weight of the mean over the negatives.
    pub negative_weight: f32,
    /// `m`, cosine up to which a negative costs nothing.
    pub margin: f32,
    /// `g`, the share of the user's own row; 1 leaves the history out.
    pub own_share: f32,
    /// How the history is put together.
    pub aggregation: SimplexAggregation,
    /// `λ`, L2 on all embedding rows.
    pub l2: f32,
}

impl Default for SimplexConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            lr: 1e-3,
            batch_size: 1024,
            negatives: 64,
            negative_weight: 10.0,
            margin: 0.4,
            own_share: 0.5,
            aggregation: SimplexAggregation::Average,
            l2: 1e-8,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "cosine contrastive loss with many negatives over row and history (Mao 2021)",
        build: |params| Ok(Box::new(parse_params::<SimplexConfig>(NAME, params)?)),
        load: fitted::load,
        tiny: r#"{"dim": 8, "lr": 0.02, "batch_size": 256, "negatives": 8, "negative_weight": 2.0,
                  "margin": 0.0, "aggregation": "self_attention"}"#,
    }
}

impl SimplexConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.l2)?;
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if !(self.negative_weight.is_finite() && self.negative_weight >= 0.0) {
            return bad(format!(
                "negative_weight must be at least 0; found {}",
                self.negative_weight
            ));
        }
        if !(-1.0..=1.0).contains(&self.margin) {
            return bad(format!("margin is a cosine, -1 to 1; found {}", self.margin));
        }
        if !(0.0..=1.0).contains(&self.own_share) {
            return bad(format!("own_share must be 0 to 1; found {}", self.own_share));
        }
        Ok(())
    }
}

impl Fit for SimplexConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        self.check()?;
        let train = data.train;
        check_interactions(NAME, train)?;
        let sampler = uniform_sampler(NAME, train, self.negatives)?;
        let mut rng = context.seed.rng("simplex-init", 0);
        let adam = AdamConfig::new(self.lr);
        let users = EmbeddingTable::new(train.n_users(), self.dim, adam, &mut rng);
        let items = EmbeddingTable::new(train.n_items(), self.dim, adam, &mut rng);
        let aggregator = Aggregator::new(self.aggregation, self.dim, adam, &mut rng);
        Ok(Fitting::Epochs(Box::new(SimplexTrainer {
            sampler: Arc::new(sampler),
            seed: context.seed,
            steps: Steps::new(train, self, (users, items), aggregator),
        })))
    }
}

struct SimplexTrainer {
    sampler: Arc<TripletSampler>,
    seed: SeedStream,
    steps: Steps,
}

/// The trained numbers and what a step needs; the memory of a step serves the next.
struct Steps {
    users: EmbeddingTable,
    items: EmbeddingTable,
    aggregator: Aggregator,
    train: Interactions,
    config: SimplexConfig,
    pooled: Pooled,
    user_set: NodeSet,
    candidates: Vec<u32>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    back: CandidateGradients,
    /// Gradients of the rows of the distinct users, `[users, dim]`, and of all items.
    user_grad: Vec<f32>,
    item_grad: Matrix,
    weight_grads: AggregatorGrads,
}

impl Steps {
    fn new(
        train: &Interactions,
        config: &SimplexConfig,
        (users, items): (EmbeddingTable, EmbeddingTable),
        aggregator: Aggregator,
    ) -> Self {
        Self {
            pooled: Pooled::new(train.n_items()),
            user_set: NodeSet::new(train.n_users()),
            users,
            items,
            aggregator,
            train: train.clone(),
            config: config.clone(),
            candidates: Vec::new(),
            scores: Vec::new(),
            slopes: Vec::new(),
            back: CandidateGradients::default(),
            user_grad: Vec::new(),
            item_grad: Matrix::default(),
            weight_grads: AggregatorGrads::default(),
        }
    }

    /// The loss of a batch without the penalty; leaves the gradients behind.
    fn loss(&mut self, batch: &TripletBatch) -> f64 {
        let (dim, share) = (self.config.dim, self.config.own_share);
        let mut rows = Matrix::zeros(batch.len(), dim);
        self.candidates.clear();
        for (b, (&user, &item)) in batch.users.iter().zip(&batch.positives).enumerate() {
            rows.row_mut(b).copy_from_slice(self.users.values().row(user as usize));
            self.candidates.push(item);
            self.candidates.extend_from_slice(batch.negatives_of(b));
        }
        let items = self.items.values();
        let mut queries = rows.clone();
        queries.as_mut_slice().iter_mut().for_each(|x| *x *= share);
        let of_batch = (batch.users.as_slice(), &self.train);
        let both = (&rows, items);
        self.aggregator.forward(of_batch, both, 1.0 - share, &mut self.pooled, &mut queries);

        let (unit_queries, query_lengths) = normalised(&queries);
        let (unit_items, item_lengths) = normalised(items);
        candidate_scores(&unit_queries, &unit_items, &self.candidates, &mut self.scores);
        let loss = self.contrast(batch);

        let items = self.items.values();
        let both = (&rows, items);
        let mut query_grad = Matrix::zeros(batch.len(), dim);
        self.item_grad.reset(items.rows(), dim);
        self.back.add(
            (&unit_queries, &unit_items),
            &self.candidates,
            &self.slopes,
            &mut query_grad,
            &mut self.item_grad,
        );
        through_norm(&unit_queries, &query_lengths, &mut query_grad);
        through_norm(&unit_items, &item_lengths, &mut self.item_grad);

        let mut row_grad = query_grad.clone();
        row_grad.as_mut_slice().iter_mut().for_each(|g| *g *= share);
        query_grad.as_mut_slice().iter_mut().for_each(|g| *g *= 1.0 - share);
        self.aggregator.backward(
            both,
            &query_grad,
            &self.pooled,
            &mut self.weight_grads,
            (&mut row_grad, &mut self.item_grad),
        );
        self.collect_users(batch, &row_grad);
        loss
    }

    /// The cosine contrastive loss of the scores, and its derivatives in `slopes`.
    fn contrast(&mut self, batch: &TripletBatch) -> f64 {
        let width = 1 + batch.n_negatives();
        let mean = 1.0 / batch.len().max(1) as f32;
        let each = mean * self.config.negative_weight / batch.n_negatives().max(1) as f32;
        let mut loss = 0.0f64;
        self.slopes.clear();
        for scores in self.scores.chunks_exact(width) {
            loss += f64::from(mean * (1.0 - scores[0]));
            self.slopes.push(-mean);
            for score in &scores[1..] {
                let over = score - self.config.margin;
                self.slopes.push(if over > 0.0 { each } else { 0.0 });
                loss += f64::from(each * over.max(0.0));
            }
        }
        loss
    }

    fn collect_users(&mut self, batch: &TripletBatch, row_grad: &Matrix) {
        let dim = self.config.dim;
        self.user_set.clear();
        self.user_grad.clear();
        for (b, &user) in batch.users.iter().enumerate() {
            let place = self.user_set.insert(user) as usize * dim;
            self.user_grad.resize(self.user_set.len() * dim, 0.0);
            add_scaled(&mut self.user_grad[place..place + dim], 1.0, row_grad.row(b));
        }
    }

    fn step(&mut self, batch: &TripletBatch) -> f64 {
        let loss = self.loss(batch);
        let (l2, dim) = (self.config.l2, self.config.dim);
        let squares = |table: &EmbeddingTable| -> f64 {
            let rows = (0..table.values().rows()).map(|row| table.values().row(row));
            rows.map(|row| f64::from(dot(row, row))).sum()
        };
        let penalty = match l2 {
            0.0 => 0.0,
            _ => f64::from(l2) / 2.0 * (squares(&self.users) + squares(&self.items)),
        };
        let (set, user_grad, item_grad) = (&self.user_set, &self.user_grad, &self.item_grad);
        self.users.step_each(|row, values, grad| {
            grad.iter_mut().zip(values).for_each(|(g, x)| *g = l2 * x);
            if let Some(place) = set.place(row as u32) {
                add_scaled(grad, 1.0, &user_grad[place * dim..][..dim]);
            }
        });
        self.items.step_each(|row, values, grad| {
            let sums = item_grad.row(row).iter().zip(values);
            grad.iter_mut().zip(sums).for_each(|(g, (sum, x))| *g = sum + l2 * x);
        });
        self.aggregator.step(&self.weight_grads);
        loss + penalty
    }
}

/// The rows divided by their lengths, and the lengths.
fn normalised(rows: &Matrix) -> (Matrix, Vec<f32>) {
    let mut unit = rows.clone();
    let lengths = (0..rows.rows())
        .map(|r| {
            let length = dot(rows.row(r), rows.row(r)).sqrt().max(SHORTEST);
            unit.row_mut(r).iter_mut().for_each(|x| *x /= length);
            length
        })
        .collect();
    (unit, lengths)
}

/// From the gradient by a row of length 1 to that by the row: `(g - (g · x̂) x̂) / ‖x‖`.
fn through_norm(unit: &Matrix, lengths: &[f32], grad: &mut Matrix) {
    for (r, length) in lengths.iter().enumerate() {
        let (g, x) = (grad.row_mut(r), unit.row(r));
        let along = dot(g, x);
        g.iter_mut().zip(x).for_each(|(g, x)| *g = (*g - along * x) / length);
    }
}

impl Trainer for SimplexTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler.epoch(self.seed, epoch as u64, self.steps.config.batch_size);
        run_epoch(NAME, epoch, batches, |batch| Ok((self.steps.step(batch), batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let Steps { users, items, aggregator, train, config, .. } = &self.steps;
        Ok(Box::new(fitted::model(train, (users.values(), items.values()), aggregator, config)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.steps.users.save("users.", &mut state);
        self.steps.items.save("items.", &mut state);
        self.steps.aggregator.save(&mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.steps.users.load("users.", state)?;
        self.steps.items.load("items.", state)?;
        self.steps.aggregator.load(state)
    }

    fn n_parameters(&self) -> usize {
        let tables = self.steps.users.n_parameters() + self.steps.items.n_parameters();
        tables + self.steps.aggregator.n_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::cases;

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("simplex.json") {
            let config: SimplexConfig = case.params();
            let adam = AdamConfig::new(config.lr);
            let table = |name| EmbeddingTable::from_matrix(case.weight(name), adam);
            let aggregator = Aggregator {
                kind: config.aggregation,
                map: table("map"),
                key: table("key"),
                key_bias: table("key_bias"),
                query: table("query"),
            };
            let tables = (table("users"), table("items"));
            let mut steps = Steps::new(&case.train, &config, tables, aggregator);
            let loss = steps.step(&case.batch());
            let mut saved = ModelState::new(NAME);
            steps.users.save("users.", &mut saved);
            steps.items.save("items.", &mut saved);
            steps.aggregator.save(&mut saved);
            case.check(loss, &saved);
        }
    }
}
