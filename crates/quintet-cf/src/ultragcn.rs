//! UltraGCN: what infinitely many layers of graph convolution converge to, as a loss.
//!
//! Mao, Zhu, Xiao, Lu, Wang, He, "UltraGCN: Ultra Simplification of Graph Convolutional Networks
//! for Recommendation", CIKM 2021. No message is passed; `score = e_u · e_i`, and with
//! `β_ui = (1/d_u) sqrt((d_u + 1)/(d_i + 1))` the loss of a batch of positives is
//!
//! ```text
//! Σ_(u,i) [ (w1 + w2 β_ui) softplus(-s_ui) + (η/N) Σ_j (w3 + w4 β_uj) softplus(s_uj)
//!           + λ Σ_{k ∈ S(i)} ω_ik softplus(-s_uk) ]  +  γ/2 Σ ‖θ‖²
//! ω_ij = G_ij / (g_i - G_ii) · sqrt(g_i / g_j),   G = RᵀR,   g_i = Σ_k G_ik
//! ```
//!
//! `S(i)` are the `neighbours` items of largest `ω_ij`, `i` left out. The penalty holds for all
//! rows at every step, so Adam moves all rows.
//! Differences: the authors' program keeps `i` in `S(i)` (its largest "neighbour") and takes
//! `G_ij sqrt(g_i + 1)/(g_i sqrt(g_j + 1))`; here the paper's formula. A negative is never a
//! training item of its user; the program does not look. The step is that of the sum, as there;
//! the loss that is reported is divided by the batch.
//! Cost: one step `O(batch · (negatives + neighbours) · dim + (users + items) · dim)`; the
//! item–item graph `Σ_u n_u²` once.

use std::sync::Arc;

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Recommender, SeedStream, UserIdx, top_k,
};
use quintet_data::{TripletBatch, TripletSampler};
use quintet_tensor::{
    AdamConfig, CandidateGradients, EmbeddingTable, EpochStats, FactorModel, Fit, FitContext,
    FitError, Fitting, ModelEntry, NodeSet, Trainer, TrainingData, UnusedBias, candidate_scores,
    check_interactions, check_training_params, clear_unused_items, normal_matrix, parse_params,
    run_epoch,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sampling::uniform_sampler;

const NAME: &str = "ultragcn";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UltraGcnConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size of Adam.
    pub lr: f32,
    /// Positives a step.
    pub batch_size: usize,
    /// `N`, negatives of each positive.
    pub negatives: usize,
    /// `η`, weight of the mean over the negatives.
    pub negative_weight: f32,
    /// `w1` to `w4`.
    pub w: [f32; 4],
    /// Neighbours of each item in the item–item constraint.
    pub neighbours: usize,
    /// `λ`, weight of the item–item constraint.
    pub lambda: f32,
    /// `γ`, L2 on all rows.
    pub gamma: f32,
    /// Standard deviation of the start.
    pub init_std: f32,
}

impl Default for UltraGcnConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            lr: 1e-3,
            batch_size: 1024,
            negatives: 64,
            negative_weight: 100.0,
            w: [1e-6, 1.0, 1e-6, 1.0],
            neighbours: 10,
            lambda: 0.5,
            gamma: 1e-4,
            init_std: 1e-3,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "graph convolution taken to its limit as a loss (Mao 2021)",
        build: |params| Ok(Box::new(parse_params::<UltraGcnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(FactorModel::load(state)?)),
        tiny: r#"{"dim": 8, "lr": 0.05, "batch_size": 256, "negatives": 8, "negative_weight": 2.0,
                  "neighbours": 3, "init_std": 0.1, "w": [1.0, 1.0, 1.0, 1.0]}"#,
    }
}

impl UltraGcnConfig {
    fn check(&self) -> Result<(), FitError> {
        check_training_params(NAME, self.dim, self.batch_size, self.lr, self.gamma)?;
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        let numbers = [
            ("negative_weight", self.negative_weight),
            ("lambda", self.lambda),
            ("init_std", self.init_std),
        ];
        let weights = self.w.iter().map(|w| ("w", *w));
        for (key, value) in numbers.into_iter().chain(weights) {
            if !(value.is_finite() && value >= 0.0) {
                return bad(format!("{key} must be at least 0; found {value}"));
            }
        }
        Ok(())
    }
}

impl Fit for UltraGcnConfig {
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
        let mut rng = context.seed.rng("ultragcn-init", 0);
        let users = normal_matrix(train.n_users(), self.dim, self.init_std, &mut rng);
        let items = normal_matrix(train.n_items(), self.dim, self.init_std, &mut rng);
        Ok(Fitting::Epochs(Box::new(UltraGcnTrainer {
            sampler: Arc::new(sampler),
            train: train.clone(),
            seed: context.seed,
            steps: Steps::new(train, self, users, items),
        })))
    }
}

struct UltraGcnTrainer {
    sampler: Arc<TripletSampler>,
    train: Interactions,
    seed: SeedStream,
    steps: Steps,
}

/// The trained numbers and what a step needs; the memory of a step serves the next.
struct Steps {
    users: EmbeddingTable,
    items: EmbeddingTable,
    constraint: Constraint,
    config: UltraGcnConfig,
    user_set: NodeSet,
    queries: Matrix,
    query_grad: Matrix,
    /// Gradient of the distinct users of the batch, `[users, dim]`.
    user_grad: Vec<f32>,
    item_grad: Matrix,
    candidates: Vec<u32>,
    scores: Vec<f32>,
    slopes: Vec<f32>,
    back: CandidateGradients,
}

impl Steps {
    fn new(train: &Interactions, config: &UltraGcnConfig, users: Matrix, items: Matrix) -> Self {
        let adam = AdamConfig::new(config.lr);
        Self {
            user_set: NodeSet::new(users.rows()),
            item_grad: Matrix::zeros(items.rows(), items.cols()),
            users: EmbeddingTable::from_matrix(users, adam),
            items: EmbeddingTable::from_matrix(items, adam),
            constraint: Constraint::new(train, config.neighbours),
            config: config.clone(),
            queries: Matrix::default(),
            query_grad: Matrix::default(),
            user_grad: Vec::new(),
            candidates: Vec::new(),
            scores: Vec::new(),
            slopes: Vec::new(),
            back: CandidateGradients::default(),
        }
    }

    /// The loss of a batch, a sum; leaves the gradients behind, without those of the penalty.
    fn loss(&mut self, batch: &TripletBatch) -> f64 {
        let dim = self.config.dim;
        self.gather(batch);
        candidate_scores(&self.queries, self.items.values(), &self.candidates, &mut self.scores);
        let loss = self.weigh(batch);
        self.query_grad.reset(batch.len(), dim);
        self.item_grad.as_mut_slice().fill(0.0);
        self.back.add(
            (&self.queries, self.items.values()),
            &self.candidates,
            &self.slopes,
            &mut self.query_grad,
            &mut self.item_grad,
        );
        self.user_set.clear();
        self.user_grad.clear();
        for (b, &user) in batch.users.iter().enumerate() {
            let place = self.user_set.insert(user) as usize * dim;
            self.user_grad.resize(self.user_set.len() * dim, 0.0);
            let target = &mut self.user_grad[place..place + dim];
            target.iter_mut().zip(self.query_grad.row(b)).for_each(|(t, g)| *t += g);
        }
        loss
    }

    /// The rows of the users and the candidates of each: the positive, its neighbours, the
    /// negatives.
    fn gather(&mut self, batch: &TripletBatch) {
        self.queries.reset(batch.len(), self.config.dim);
        self.candidates.clear();
        for (b, (&user, &item)) in batch.users.iter().zip(&batch.positives).enumerate() {
            self.queries.row_mut(b).copy_from_slice(self.users.values().row(user as usize));
            self.candidates.push(item);
            self.candidates.extend_from_slice(self.constraint.items(item));
            self.candidates.extend_from_slice(batch.negatives_of(b));
        }
    }

    /// The loss, and its derivatives by the scores in `slopes`.
    fn weigh(&mut self, batch: &TripletBatch) -> f64 {
        let config = &self.config;
        let (k, n) = (self.constraint.k, batch.n_negatives());
        let each = config.negative_weight / n.max(1) as f32;
        let [w1, w2, w3, w4] = config.w;
        self.slopes.clear();
        self.slopes.resize(self.scores.len(), 0.0);
        let width = 1 + k + n;
        let (constraint, candidates) = (&self.constraint, &self.candidates);
        let rows = self.slopes.par_chunks_mut(width).zip(self.scores.par_chunks(width));
        let losses: Vec<f64> = rows
            .zip(candidates.par_chunks(width))
            .zip(&batch.users)
            .map(|(((slopes, scores), items), &user)| {
                let mut loss = 0.0f64;
                let omegas = constraint.weights(items[0]);
                for (c, (slope, (&score, &item))) in
                    slopes.iter_mut().zip(scores.iter().zip(items)).enumerate()
                {
                    let (weight, sign) = match c {
                        0 => (w1 + w2 * constraint.beta(user, item), -1.0),
                        c if c <= k => (config.lambda * omegas[c - 1], -1.0),
                        _ => (each * (w3 + w4 * constraint.beta(user, item)), 1.0),
                    };
                    let (value, rising) = softplus(sign * score);
                    loss += f64::from(weight * value);
                    *slope = sign * weight * rising;
                }
                loss
            })
            .collect();
        losses.iter().sum()
    }

    fn step(&mut self, batch: &TripletBatch) -> f64 {
        let loss = self.loss(batch);
        let (gamma, dim) = (self.config.gamma, self.config.dim);
        let squares = |table: &EmbeddingTable| -> f64 {
            table
                .values()
                .as_slice()
                .chunks(1 << 12)
                .map(|part| part.iter().map(|x| f64::from(x * x)).sum::<f64>())
                .sum()
        };
        let penalty = f64::from(gamma) / 2.0 * (squares(&self.users) + squares(&self.items));
        let (set, user_grad, item_grad) = (&self.user_set, &self.user_grad, &self.item_grad);
        self.users.step_each(|row, values, grad| {
            grad.iter_mut().zip(values).for_each(|(g, x)| *g = gamma * x);
            if let Some(place) = set.place(row as u32) {
                let of_row = &user_grad[place * dim..][..dim];
                grad.iter_mut().zip(of_row).for_each(|(g, x)| *g += x);
            }
        });
        self.items.step_each(|row, values, grad| {
            let sums = item_grad.row(row).iter().zip(values);
            grad.iter_mut().zip(sums).for_each(|(g, (sum, x))| *g = sum + gamma * x);
        });
        (loss + penalty) / batch.len().max(1) as f64
    }
}

/// `ln(1 + e^x)` and its derivative, without overflow.
fn softplus(x: f32) -> (f32, f32) {
    let e = (-x.abs()).exp();
    let rising = if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
    (x.max(0.0) + e.ln_1p(), rising)
}

/// The weights of the loss: `β` from the degrees, `ω` for the neighbours of each item.
struct Constraint {
    /// Neighbours of each item, filled up with the item itself at weight 0.
    k: usize,
    items: Vec<u32>,
    weights: Vec<f32>,
    /// `sqrt(d_u + 1) / d_u`, 0 for a user without items, and `1 / sqrt(d_i + 1)`.
    of_user: Vec<f32>,
    of_item: Vec<f32>,
}

impl Constraint {
    fn new(train: &Interactions, k: usize) -> Self {
        let by_item = train.transpose();
        let (n_users, n_items) = (train.n_users(), train.n_items());
        let k = k.min(n_items.saturating_sub(1));
        let degree = |u: usize| train.items(UserIdx::new(u)).len() as f32;
        // g_i = Σ_k G_ik: every user of i brings all its items.
        let sums: Vec<f32> = (0..n_items)
            .map(|i| by_item.items(UserIdx::new(i)).iter().map(|u| degree(u.index())).sum())
            .collect();
        let rows: Vec<Vec<(u32, f32)>> = (0..n_items)
            .into_par_iter()
            .map_init(
                || vec![0.0f32; n_items],
                |row, i| nearest(train, &by_item, &sums, row, (i, k)),
            )
            .collect();
        let of_user = (0..n_users).map(degree);
        Self {
            k,
            items: rows.iter().flatten().map(|(item, _)| *item).collect(),
            weights: rows.iter().flatten().map(|(_, weight)| *weight).collect(),
            of_user: of_user.map(|d| if d > 0.0 { (d + 1.0).sqrt() / d } else { 0.0 }).collect(),
            of_item: train.item_counts().iter().map(|&d| 1.0 / (d as f32 + 1.0).sqrt()).collect(),
        }
    }

    fn items(&self, item: u32) -> &[u32] {
        &self.items[item as usize * self.k..][..self.k]
    }

    fn weights(&self, item: u32) -> &[f32] {
        &self.weights[item as usize * self.k..][..self.k]
    }

    fn beta(&self, user: u32, item: u32) -> f32 {
        self.of_user[user as usize] * self.of_item[item as usize]
    }
}

/// The `k` items of largest `ω_ij`, filled up with `i` itself at weight 0.
fn nearest(
    train: &Interactions,
    by_item: &Interactions,
    sums: &[f32],
    row: &mut [f32],
    (i, k): (usize, usize),
) -> Vec<(u32, f32)> {
    row.fill(0.0);
    let users = by_item.items(UserIdx::new(i));
    for user in users {
        for j in train.items(UserIdx(user.0)) {
            row[j.index()] += 1.0;
        }
    }
    // G_ii is the number of users of i.
    let others = sums[i] - users.len() as f32;
    if others <= 0.0 {
        return vec![(i as u32, 0.0); k];
    }
    for (together, sum) in row.iter_mut().zip(sums) {
        if *together > 0.0 {
            *together *= (sums[i] / sum).sqrt() / others;
        }
    }
    let best = top_k(row, k, |j: ItemIdx| j.index() == i || row[j.index()] <= 0.0);
    let mut found: Vec<(u32, f32)> = best.into_iter().map(|s| (s.item.0, s.score)).collect();
    found.resize(k, (i as u32, 0.0));
    found
}

impl Trainer for UltraGcnTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let sampler = Arc::clone(&self.sampler);
        let batches = sampler.epoch(self.seed, epoch as u64, self.steps.config.batch_size);
        run_epoch(NAME, epoch, batches, |batch| Ok((self.steps.step(batch), batch.len())))
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut items = self.steps.items.values().clone();
        let mut bias = vec![0.0; items.rows()];
        clear_unused_items(&self.train, &mut items, &mut bias, UnusedBias::Lowest);
        let users = self.steps.users.values().clone();
        let dim = users.cols();
        let model = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        Ok(Box::new(model.with_part("taste", 0, dim)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.steps.users.save("users.", &mut state);
        self.steps.items.save("items.", &mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.steps.users.load("users.", state)?;
        self.steps.items.load("items.", state)
    }

    fn n_parameters(&self) -> usize {
        self.steps.users.n_parameters() + self.steps.items.n_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::cases;

    #[test]
    fn loss_and_gradients_are_those_of_pytorch() {
        for case in cases("ultragcn.json") {
            let config: UltraGcnConfig = case.params();
            let (users, items) = (case.weight("users"), case.weight("items"));
            let mut steps = Steps::new(&case.train, &config, users, items);
            let loss = steps.step(&case.batch());
            let mut saved = ModelState::new(NAME);
            steps.users.save("users.", &mut saved);
            steps.items.save("items.", &mut saved);
            case.check(loss, &saved);
        }
    }

    #[test]
    fn weights_by_hand() {
        // Users 0: {0, 1}, 1: {0, 1, 2}, 2: {2}. G = [[2,2,1],[2,2,1],[1,1,2]], g = 5, 5, 4.
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2)];
        let train = Interactions::from_pairs(3, 4, pairs).unwrap();
        let c = Constraint::new(&train, 2);
        assert_eq!(c.items(0), [1, 2]);
        // ω_01 = 2/(5-2) · sqrt(5/5), ω_02 = 1/3 · sqrt(5/4).
        assert!((c.weights(0)[0] - 2.0 / 3.0).abs() < 1e-6);
        assert!((c.weights(0)[1] - (1.25f32).sqrt() / 3.0).abs() < 1e-6);
        // Items 0 and 1 tie for item 2; the lower comes first.
        assert_eq!(c.items(2), [0, 1]);
        // Nobody used item 3.
        assert_eq!((c.items(3), c.weights(3)), (&[3, 3][..], &[0.0, 0.0][..]));
        // β_00 = (1/2) sqrt(3/3).
        assert!((c.beta(0, 0) - 0.5).abs() < 1e-6);
    }
}
