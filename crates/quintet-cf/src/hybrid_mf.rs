//! Hybrid matrix factorisation: users and items are sums of what their attributes mean.
//!
//! Kula, "Metadata Embeddings for User and Item Cold-start Recommendations", CBRecSys 2015 (the
//! LightFM model). `p_u = Σ_f F_U[u,f] e_f`, `q_i = Σ_f F_I[i,f] e_f`, biases likewise,
//! `s(u,i) = p_u · q_i + b_u + b_i`. Rows of `F` hold an identity, which may be left out, and the
//! attributes of [`TrainingData`]; they are scaled to sum 1. Losses: logistic (each positive and
//! one drawn negative), BPR (see `bpr_sgd.rs`), WARP and k-order WARP (see `warp.rs`). Adagrad or
//! Adadelta (Zeiler 2012).
//!
//! Differences from LightFM: positives come in batches, whose gradients are summed and stepped at
//! once, so that threads need not write over each other and the result does not depend on their
//! number; items that nobody used are never drawn as negatives, and what their identity means
//! stays 0, as for users without interactions: their attributes alone rank them; the user's bias
//! is left out of the fitted model, since it adds the same to all items. As in LightFM a drawn
//! item that the user has is skipped and counts as a draw of WARP.
//! Cost: an epoch takes `nnz · draws · (attributes a row) · d`; the fitted model has one row a
//! user and item, whatever their attributes.

mod attributes;
mod draw;
mod embeddings;

use quintet_core::{Capability, Interactions, ModelState, Recommender};
use quintet_tensor::{
    EpochStats, FactorModel, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData,
    UnusedBias, check_training_params, clear_unused_items, parse_params,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bpr_sgd::{self, BprSgdConfig};
use crate::factor_table::FactorTable;
use crate::folding::Folding;
use crate::learned::{FoldUser, Learned};
use crate::split_mix::SplitMix64;
use crate::warp::RankWeight;
use attributes::Attributes;
use draw::{Drawer, Drawn};
use embeddings::Embeddings;

const NAME: &str = "hybrid_mf";

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HybridLoss {
    /// Cross-entropy of each positive and one drawn negative.
    Logistic,
    /// `-ln σ(s_ui - s_uj)`.
    Bpr,
    /// Weighted approximate-rank pairwise.
    Warp,
    /// The same for the k-th best of some positives of the user.
    KOsWarp,
}

/// How gradients become steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Divided by the root of the sum of squared gradients.
    Adagrad,
    /// Scaled by the running size of steps over that of gradients.
    Adadelta,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HybridMfConfig {
    /// Width of the embeddings.
    pub dim: usize,
    /// What is minimised.
    pub loss: HybridLoss,
    /// How gradients become steps.
    pub schedule: Schedule,
    /// Step size of Adagrad; Adadelta scales its steps by it as well, and wants 1.
    pub lr: f32,
    /// `ρ` of Adadelta.
    pub rho: f32,
    /// `ε` of both.
    pub epsilon: f32,
    /// Squared L2 on the rows of a batch.
    pub l2: f32,
    /// Most draws for a positive of WARP.
    pub max_sampled: usize,
    /// How its rank becomes a weight.
    pub rank_weight: RankWeight,
    /// k of the k-order form.
    pub k: usize,
    /// How many positives of a user are drawn for it.
    pub n: usize,
    /// Whether every user has an embedding of its own beside its attributes'.
    pub user_identity: bool,
    /// The same of items.
    pub item_identity: bool,
    /// Positives a step.
    pub batch_size: usize,
}

impl Default for HybridMfConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            loss: HybridLoss::Warp,
            schedule: Schedule::Adagrad,
            lr: 0.05,
            rho: 0.95,
            epsilon: 1e-6,
            l2: 0.0,
            max_sampled: 10,
            rank_weight: RankWeight::Log,
            k: 5,
            n: 10,
            user_identity: true,
            item_identity: true,
            batch_size: 256,
        }
    }
}

impl HybridMfConfig {
    fn validate(&self, model: &str) -> Result<(), FitError> {
        check_training_params(model, self.dim, self.batch_size, self.lr, self.l2)?;
        let bad = |reason: String| Err(FitError::Config { model: model.to_owned(), reason });
        if self.max_sampled == 0 {
            return bad("max_sampled must be at least 1; found 0".into());
        }
        if self.k == 0 || self.n < self.k {
            return bad(format!(
                "k must be at least 1 and n at least k; found {}, {}",
                self.k, self.n
            ));
        }
        if !(0.0..1.0).contains(&self.rho) {
            return bad(format!("rho must be at least 0 and below 1; found {}", self.rho));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return bad(format!("epsilon must be positive; found {}", self.epsilon));
        }
        Ok(())
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "sums of attribute embeddings with a WARP, BPR or logistic loss (Kula 2015)",
        build: |params| Ok(Box::new(parse_params::<HybridMfConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Learned::load(state, load_fold)?)),
        tiny: r#"{"dim": 8, "lr": 0.1, "batch_size": 64}"#,
    }
}

impl Fit for HybridMfConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        start(NAME, self, data, context)
    }
}

/// A newcomer's factors: steps of BPR on one row, whatever the loss of training.
pub(crate) fn load_fold(config: &str) -> Option<Box<dyn FoldUser>> {
    let config: HybridMfConfig = serde_json::from_str(config).ok()?;
    let (dim, l2) = (config.dim, config.l2.max(1e-3));
    Some(Box::new(BprSgdConfig { dim, l2, ..bpr_sgd::BprSgdConfig::default() }))
}

/// Begins under the name of a registry entry.
pub(crate) fn start(
    name: &'static str,
    config: &HybridMfConfig,
    data: TrainingData<'_>,
    context: &FitContext,
) -> Result<Fitting, FitError> {
    config.validate(name)?;
    let train = data.train;
    let refused = |reason: String| FitError::Data { model: name.into(), reason };
    if train.nnz() == 0 {
        return Err(refused("no interactions".into()));
    }
    let active: Vec<bool> = train.indptr().windows(2).map(|w| w[1] > w[0]).collect();
    let used: Vec<bool> = train.item_counts().iter().map(|c| *c > 0).collect();
    let side = |what, rows: &[bool], attributes, identity| {
        Attributes::new(rows, attributes, identity).map_err(|e| refused(format!("{what}: {e}")))
    };
    let users = side("users", &active, data.user_attributes, config.user_identity)?;
    let items = side("items", &used, data.item_attributes, config.item_identity)?;
    let drawer = Drawer::new(train, config);
    let table = |attributes: &Attributes, purpose| {
        Embeddings::new(attributes.n_features(), config, (context.seed, purpose))
    };
    Ok(Fitting::Epochs(Box::new(HybridTrainer {
        user_table: table(&users, "hybrid-users"),
        item_table: table(&items, "hybrid-items"),
        cold_users: data.user_attributes.is_some(),
        cold_items: data.item_attributes.is_some(),
        pairs: train.iter().map(|t| [t.user.0, t.item.0]).collect(),
        train: train.clone(),
        config: config.clone(),
        context: context.clone(),
        name,
        users,
        items,
        drawer,
    })))
}

struct HybridTrainer {
    name: &'static str,
    users: Attributes,
    items: Attributes,
    user_table: Embeddings,
    item_table: Embeddings,
    cold_users: bool,
    cold_items: bool,
    train: Interactions,
    pairs: Vec<[u32; 2]>,
    drawer: Drawer,
    config: HybridMfConfig,
    context: FitContext,
}

impl HybridTrainer {
    /// Draws for a batch beside each other with the numbers before it, then steps both tables.
    /// Gives the summed loss.
    fn step(&mut self, batch: &[u32], seed: u64) -> f64 {
        let size = self.user_table.numbers.stride();
        let mut sums = vec![0.0f32; batch.len() * 3 * size];
        let drawn: Vec<Drawn> = sums
            .par_chunks_mut(3 * size)
            .zip(batch)
            .map_init(
                || vec![0.0f32; size],
                |scratch, (sums, pair)| {
                    let mix = (u64::from(*pair) + 1).wrapping_mul(0xd134_2543_de82_ef95);
                    let rng = SplitMix64::from_number(seed ^ mix);
                    let sides = [(&self.users, &self.user_table), (&self.items, &self.item_table)];
                    self.drawer.draw(self.pairs[*pair as usize], sides, rng, (sums, scratch))
                },
            )
            .collect();
        let Self { users, items, user_table, item_table, config, .. } = self;
        rayon::join(
            || {
                for (drawn, sums) in drawn.iter().zip(sums.chunks_exact(3 * size)) {
                    let (_, q) = sums.split_at(size);
                    let [a, b] = drawn.slopes;
                    let by = [(a, &q[..size]), (b, &q[size..])];
                    by.into_iter().filter(|(slope, _)| *slope != 0.0).for_each(|by| {
                        user_table.add(users.row(drawn.user as usize), by);
                    });
                }
                // The last column is the item's bias.
                user_table.step(config, config.dim + 1);
            },
            || {
                for (drawn, sums) in drawn.iter().zip(sums.chunks_exact(3 * size)) {
                    let ends = drawn.items.iter().zip(drawn.slopes);
                    ends.filter(|(_, slope)| *slope != 0.0).for_each(|(item, slope)| {
                        item_table.add(items.row(*item as usize), (slope, &sums[..size]));
                    });
                }
                item_table.step(config, config.dim);
            },
        );
        drawn.iter().map(|drawn| drawn.loss).sum()
    }

    /// The sums of every row's embeddings, `[rows, dim]`, and the bias in one of the columns.
    fn sums(
        &self,
        (attributes, table): (&Attributes, &Embeddings),
        bias: usize,
    ) -> (quintet_core::Matrix, Vec<f32>) {
        let dim = self.config.dim;
        let mut matrix = quintet_core::Matrix::zeros(attributes.n_rows(), dim);
        let mut row = vec![0.0f32; table.numbers.stride()];
        let mut column = vec![0.0f32; attributes.n_rows()];
        for (nth, column) in column.iter_mut().enumerate() {
            table.sum(attributes.known_row(nth), &mut row);
            matrix.row_mut(nth).copy_from_slice(&row[..dim]);
            *column = row[bias];
        }
        (matrix, column)
    }
}

impl Trainer for HybridTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let mut rng = SplitMix64::new(self.context.seed, "hybrid", epoch as u64);
        let mut order: Vec<u32> = (0..self.pairs.len() as u32).collect();
        rng.shuffle(&mut order);
        let seed = rng.next();
        let (mut loss, mut batches) = (0.0, 0);
        for batch in order.chunks(self.config.batch_size) {
            loss += self.step(batch, seed);
            batches += 1;
            if !loss.is_finite() {
                let model = self.name.to_owned();
                return Err(FitError::Diverged { model, epoch, batch: batches, loss });
            }
        }
        let samples = order.len();
        Ok(EpochStats { loss: loss / samples.max(1) as f64, batches, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let dim = self.config.dim;
        let (users, _) = self.sums((&self.users, &self.user_table), dim);
        let (mut items, mut bias) = self.sums((&self.items, &self.item_table), dim + 1);
        let mut capability = Capability::personal();
        match self.cold_items {
            true => capability = capability.with_cold_items(),
            false => clear_unused_items(&self.train, &mut items, &mut bias, UnusedBias::Lowest),
        }
        let factors = FactorModel::new(self.name, users, items, bias, capability)?;
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        let factors = factors.with_part("taste", 0, dim);
        let learned = Learned::new(config, load_fold, self.cold_users);
        Ok(Box::new(Folding::new(factors, learned)))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(self.name);
        self.user_table.save("users.", &mut state);
        self.item_table.save("items.", &mut state);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if state.kind != self.name {
            return Err(state.mismatch("kind", self.name, &state.kind).into());
        }
        self.user_table.load("users.", state)?;
        self.item_table.load("items.", state)
    }

    fn n_parameters(&self) -> usize {
        let rows = |table: &FactorTable| table.rows() * (self.config.dim + 1);
        rows(&self.user_table.numbers) + rows(&self.item_table.numbers)
    }
}

#[cfg(test)]
mod tests;
