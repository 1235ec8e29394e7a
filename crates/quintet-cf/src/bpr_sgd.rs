//! BPR-MF by stochastic gradient descent, one triple at a time, on plain numbers.
//!
//! Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from
//! Implicit Feedback", UAI 2009: positives are drawn with replacement, as many an epoch as there
//! are; the negative is uniform over the used items that the user does not have; the step is the
//! paper's, `p_u += γ (g (q_i - q_j) - λ p_u)` and so on with `g = σ(s_uj - s_ui)`, and the item
//! bias, on by default, moves in the same way.
//!
//! Difference: triples of one epoch come in an order that lets threads work beside each other
//! without sharing a number, after Gemulla, Nijkamp, Haas, Sismanis, "Large-Scale Matrix
//! Factorization with Distributed Stochastic Gradient Descent", KDD 2011. Users are cut into B
//! blocks of about as many cells, items into B blocks at random, anew each epoch. In round r the
//! user block b meets the item block `b + r mod B`, and both items of a triple lie in it: a random
//! sample of all items, another each epoch. Each pair of blocks has a generator of its own, so
//! the result does not depend on the number of threads. The alternative is threads that write
//! over each other ("Hogwild", the `implicit` library), whose results differ from run to run; or
//! mini-batches, which read and write every row twice.
//!
//! Cost: `6 d` multiply-adds a triple, memory 4 bytes a cell and at most `8 nnz / B` while a
//! round runs, and one more copy of the item table.

mod block;
mod fold;

use quintet_core::{Capability, Interactions, ModelState, Recommender};
use quintet_tensor::{
    EpochStats, FactorModel, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData,
    UnusedBias, check_interactions, check_training_params, clear_unused_items, parse_params,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::factor_table::FactorTable;
use crate::folding::Folding;
use crate::learned::Learned;
use crate::split_mix::SplitMix64;
use block::{Block, ItemPart, Tally};

const NAME: &str = "bpr_sgd";
/// Most blocks of users and of items: so many threads can work beside each other.
const MOST_BLOCKS: usize = 16;
/// Fewest items of a block: a negative is drawn from them.
const FEWEST_ITEMS: usize = 64;

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BprSgdConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size γ.
    pub lr: f32,
    /// Squared L2 λ on the rows of a triple and on the bias.
    pub l2: f32,
    /// Whether items have a bias.
    pub item_bias: bool,
    /// Deviation of the factors at the start.
    pub init_scale: f32,
}

impl Default for BprSgdConfig {
    fn default() -> Self {
        Self { dim: 64, lr: 0.05, l2: 0.01, item_bias: true, init_scale: 0.01 }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "matrix factorisation with the BPR loss by plain SGD (Rendle 2009), the fast form",
        build: |params| Ok(Box::new(parse_params::<BprSgdConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Learned::load(state, fold::load)?)),
        tiny: r#"{"dim": 8, "lr": 0.1, "init_scale": 0.1}"#,
    }
}

impl Fit for BprSgdConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        check_training_params(NAME, self.dim, 1, self.lr, self.l2)?;
        if !(self.init_scale.is_finite() && self.init_scale > 0.0) {
            let reason = format!("init_scale must be positive; found {}", self.init_scale);
            return Err(FitError::Config { model: NAME.into(), reason });
        }
        let train = data.train;
        check_interactions(NAME, train)?;
        let table = |rows, purpose| {
            FactorTable::normal((rows, self.dim), self.init_scale, (context.seed, purpose))
        };
        let counts = train.item_counts();
        let used: Vec<u32> =
            (0..train.n_items() as u32).filter(|i| counts[*i as usize] > 0).collect();
        let blocks = (used.len() / FEWEST_ITEMS).clamp(1, MOST_BLOCKS).min(train.n_users());
        Ok(Fitting::Epochs(Box::new(BprSgdTrainer {
            users: table(train.n_users(), "bpr-sgd-users"),
            items: table(train.n_items(), "bpr-sgd-items"),
            bias: vec![0.0; train.n_items()],
            cuts: cut_users(train, blocks),
            indptr: train.indptr().to_vec(),
            columns: train.indices().iter().map(|i| i.0).collect(),
            used,
            config: self.clone(),
            context: context.clone(),
        })))
    }
}

/// First user of every block and the end: about as many cells in each.
fn cut_users(train: &Interactions, blocks: usize) -> Vec<usize> {
    let (indptr, nnz) = (train.indptr(), train.nnz());
    let mut cuts: Vec<usize> =
        (0..blocks).map(|b| indptr.partition_point(|p| *p < nnz * b / blocks)).collect();
    cuts[0] = 0;
    cuts.push(train.n_users());
    cuts.iter_mut().for_each(|cut| *cut = (*cut).min(train.n_users()));
    cuts
}

struct BprSgdTrainer {
    users: FactorTable,
    items: FactorTable,
    bias: Vec<f32>,
    /// The cells without their values.
    indptr: Vec<usize>,
    columns: Vec<u32>,
    /// Items with at least one cell.
    used: Vec<u32>,
    cuts: Vec<usize>,
    config: BprSgdConfig,
    context: FitContext,
}

impl BprSgdTrainer {
    /// The users of a triple have these items.
    fn row(&self, user: usize) -> &[u32] {
        &self.columns[self.indptr[user]..self.indptr[user + 1]]
    }

    /// One round: every user block beside another item block.
    fn round(&mut self, step: Step<'_>, items: &mut Moved) -> Vec<Tally> {
        let size = self.users.stride();
        let mut users = std::mem::replace(&mut self.users, FactorTable::zeros(0, 1));
        let ends: Vec<usize> = self.cuts[1..].iter().map(|end| end * size).collect();
        let user_parts = split(users.numbers_mut(), &ends);
        let mut item_parts = items.parts(step.item_cuts, size);
        item_parts.rotate_left(step.round);
        let n_blocks = self.cuts.len() - 1;
        let tallies = user_parts
            .into_par_iter()
            .zip(item_parts)
            .enumerate()
            .map(|(b, (users, items))| {
                let counter = (step.epoch * n_blocks + step.round) * n_blocks + b;
                let rng = SplitMix64::new(self.context.seed, "bpr-sgd", counter as u64);
                let (first_user, end) = (self.cuts[b], self.cuts[b + 1]);
                let positives = self.positives(first_user..end, step.places, &items);
                Block { trainer: self, first_user, users, items, order: step.order }
                    .run(&positives, rng)
            })
            .collect();
        self.users = users;
        tallies
    }

    /// The cells of some users and a block of items, as places in both.
    fn positives(
        &self,
        users: std::ops::Range<usize>,
        places: &[u32],
        items: &ItemPart<'_>,
    ) -> Vec<[u32; 2]> {
        let (first, n) = (items.first as u32, items.bias.len() as u32);
        let mut found = Vec::new();
        for user in users.clone() {
            let local = (user - users.start) as u32;
            // A place in front of the block wraps round to a large number.
            let places = self.row(user).iter().map(|i| places[*i as usize].wrapping_sub(first));
            found.extend(places.filter(|place| *place < n).map(|place| [local, place]));
        }
        found
    }
}

/// What the blocks of a round share.
#[derive(Clone, Copy)]
struct Step<'a> {
    epoch: usize,
    round: usize,
    /// The item at each place.
    order: &'a [u32],
    /// The place of each item.
    places: &'a [u32],
    item_cuts: &'a [usize],
}

/// The items' numbers in the order of an epoch.
struct Moved {
    numbers: Vec<f32>,
    bias: Vec<f32>,
}

impl Moved {
    /// One part for every block.
    fn parts(&mut self, cuts: &[usize], size: usize) -> Vec<ItemPart<'_>> {
        let ends: Vec<usize> = cuts[1..].iter().map(|end| end * size).collect();
        split(&mut self.numbers, &ends)
            .into_iter()
            .zip(split(&mut self.bias, &cuts[1..]))
            .zip(cuts)
            .map(|((numbers, bias), first)| ItemPart { first: *first, numbers, bias })
            .collect()
    }
}

/// Cuts at `ends`, of which the last is the length.
fn split<'a>(mut rest: &'a mut [f32], ends: &[usize]) -> Vec<&'a mut [f32]> {
    let (mut parts, mut start) = (Vec::with_capacity(ends.len()), 0);
    for end in ends {
        let (part, after) = rest.split_at_mut(end - start);
        parts.push(part);
        (rest, start) = (after, *end);
    }
    parts
}

impl Trainer for BprSgdTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let blocks = self.cuts.len() - 1;
        let mut order = self.used.clone();
        SplitMix64::new(self.context.seed, "bpr-sgd-order", epoch as u64).shuffle(&mut order);
        let mut places = vec![u32::MAX; self.items.rows()];
        order.iter().enumerate().for_each(|(place, i)| places[*i as usize] = place as u32);
        let item_cuts: Vec<usize> = (0..=blocks).map(|b| order.len() * b / blocks).collect();
        let mut numbers = Vec::with_capacity(order.len() * self.items.stride());
        order.iter().for_each(|i| numbers.extend_from_slice(self.items.row(*i as usize)));
        let bias = order.iter().map(|i| self.bias[*i as usize]).collect();
        let mut moved = Moved { numbers, bias };
        let mut tally = Tally::default();
        for round in 0..blocks {
            let (order, places, item_cuts) = (&order[..], &places[..], &item_cuts[..]);
            let step = Step { epoch, round, order, places, item_cuts };
            self.round(step, &mut moved).into_iter().for_each(|t| tally.add(t));
        }
        let size = self.items.stride();
        for (place, item) in order.iter().enumerate() {
            let row = self.items.row_mut(*item as usize);
            row.copy_from_slice(&moved.numbers[place * size..][..size]);
            self.bias[*item as usize] = moved.bias[place];
        }
        let loss = tally.loss / tally.trained.max(1) as f64;
        if !loss.is_finite() {
            return Err(FitError::Diverged { model: NAME.into(), epoch, batch: blocks, loss });
        }
        Ok(EpochStats { loss, batches: blocks, samples: tally.trained })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let (mut users, mut items) = (self.users.to_matrix(), self.items.to_matrix());
        let pairs = (0..users.rows()).flat_map(|u| self.row(u).iter().map(move |i| (u as u32, *i)));
        let train = Interactions::from_pairs(users.rows(), items.rows(), pairs)?;
        let mut bias = self.bias.clone();
        clear_unused_items(&train, &mut items, &mut bias, UnusedBias::Lowest);
        // Nothing was learned for somebody without a cell: the bias ranks.
        for user in (0..users.rows()).filter(|user| self.row(*user).is_empty()) {
            users.row_mut(user).fill(0.0);
        }
        let dim = users.cols();
        let factors = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        let factors = factors.with_part("taste", 0, dim);
        Ok(Box::new(Folding::new(factors, Learned::new(config, fold::load, false))))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        state.put("users", self.users.to_matrix());
        state.put("items", self.items.to_matrix());
        state.put("bias", quintet_core::Matrix::from_vec(1, self.bias.len(), self.bias.clone())?);
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if state.kind != NAME {
            return Err(state.mismatch("kind", NAME, &state.kind).into());
        }
        let users = state.shaped("users", self.users.rows(), self.users.dim())?;
        let items = state.shaped("items", self.items.rows(), self.items.dim())?;
        self.bias = state.shaped("bias", 1, self.items.rows())?.as_slice().to_vec();
        self.users = FactorTable::from_matrix(users);
        self.items = FactorTable::from_matrix(items);
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        (self.users.rows() + self.items.rows()) * self.config.dim + self.bias.len()
    }
}
