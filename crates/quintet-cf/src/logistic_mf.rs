//! Logistic matrix factorisation: how likely it is that a user uses an item.
//!
//! Johnson, "Logistic Matrix Factorization for Implicit Feedback Data", NIPS workshop on
//! distributed machine learning 2014. With `s = x_u·y_i + β_u + β_i` it climbs
//! `Σ_ui α r s - (1 + α r) ln(1 + eˢ) - λ/2 (Σ‖x‖² + Σ‖y‖²)`, all users beside each other, then
//! all items, each row by one step of Adagrad with
//! `∂x_u = Σ_i (α r - (1 + α r) σ(s)) y_i - λ x_u`.
//!
//! Differences: the sum over what was not observed runs over draws, as the paper proposes for large
//! data, `negatives` of them for every observed cell; 0 takes every cell. Every row of a side draws
//! the same number, uniformly over the used rows of the other side that it does not have: this is
//! the paper's gradient with another α, and biases learn popularity. Draws in proportion to a
//! row's own cells (the `implicit` library) hide it. Rows without cells are not trained. The
//! user's bias is left out of the fitted model: it adds the same to all items. Adagrad divides by
//! the root of the sum of squares and 1e-6.
//! Cost: `2 nnz (1 + negatives) d` multiply-adds an epoch and side; `users · items · d` for 0.

mod rows;

use quintet_core::{Capability, Interactions, ModelState, Recommender, SeedStream};
use quintet_tensor::{
    EpochStats, FactorModel, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData,
    UnusedBias, clear_unused_items, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::factor_table::FactorTable;
use crate::folding::Folding;
use crate::learned::Learned;
use rows::{Side, climb};

const NAME: &str = "logistic_mf";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogisticMfConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Step size of Adagrad.
    pub lr: f32,
    /// `λ`, on the factors; biases are free.
    pub l2: f32,
    /// `α`: how much more an observed cell weighs.
    pub alpha: f32,
    /// Unobserved cells that are drawn for each observed one, on average; 0 takes all.
    pub negatives: usize,
    /// Deviation of the factors at the start.
    pub init_scale: f32,
    /// Whether values (counts, ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
}

impl Default for LogisticMfConfig {
    fn default() -> Self {
        let (lr, l2, alpha) = (0.1, 0.1, 1.0);
        Self { dim: 64, lr, l2, alpha, negatives: 10, init_scale: 0.1, use_values: false }
    }
}

impl LogisticMfConfig {
    fn validate(&self) -> Result<(), FitError> {
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if self.dim == 0 {
            return bad("dim must be at least 1; found 0".into());
        }
        let positive = [("lr", self.lr), ("alpha", self.alpha), ("init_scale", self.init_scale)];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return bad(format!("{key} must be positive; found {value}"));
            }
        }
        if !(self.l2.is_finite() && self.l2 >= 0.0) {
            return bad(format!("l2 must be at least 0; found {}", self.l2));
        }
        Ok(())
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "logistic matrix factorisation (Johnson 2014), alternating Adagrad",
        build: |params| Ok(Box::new(parse_params::<LogisticMfConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Learned::load(state, rows::load)?)),
        tiny: r#"{"dim": 4, "lr": 0.5, "l2": 0.5, "negatives": 2}"#,
    }
}

impl Fit for LogisticMfConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        self.validate()?;
        let train = data.train;
        let refused = |reason: &str| FitError::Data { model: NAME.into(), reason: reason.into() };
        if train.nnz() == 0 {
            return Err(refused("no interactions"));
        }
        if self.use_values && train.iter().any(|t| t.value < 0.0) {
            return Err(refused("values must not be negative: they are counts"));
        }
        let side = |rows, purpose, own_bias: usize| {
            // Columns: the factors, the user's bias (1 for items), the item's bias (1 for users).
            let mut table = FactorTable::zeros(rows, self.dim + 2);
            let drawn =
                FactorTable::normal((rows, self.dim), self.init_scale, (context.seed, purpose));
            for row in 0..rows {
                let to = table.row_mut(row);
                to[..self.dim].copy_from_slice(&drawn.row(row)[..self.dim]);
                to[self.dim + 1 - own_bias] = 1.0;
            }
            Side { squares: FactorTable::zeros(rows, self.dim + 2), table, own_bias }
        };
        Ok(Fitting::Epochs(Box::new(LogisticTrainer {
            users: side(train.n_users(), "logistic-users", 0),
            items: side(train.n_items(), "logistic-items", 1),
            columns: train.transpose(),
            rows: train.clone(),
            config: self.clone(),
            seed: context.seed,
        })))
    }
}

struct LogisticTrainer {
    users: Side,
    items: Side,
    rows: Interactions,
    columns: Interactions,
    config: LogisticMfConfig,
    seed: SeedStream,
}

impl Trainer for LogisticTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let Self { users, items, rows, columns, config, seed } = self;
        let draws = |purpose| (*seed, purpose, epoch as u64);
        let mut tally = climb(config, users, (rows, &items.table), draws("logistic-user-draws"));
        tally.add(climb(config, items, (columns, &users.table), draws("logistic-item-draws")));
        let loss = tally.loss / tally.cells.max(1) as f64;
        if !loss.is_finite() {
            return Err(FitError::Diverged { model: NAME.into(), epoch, batch: 2, loss });
        }
        Ok(EpochStats { loss, batches: 2, samples: tally.cells })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let dim = self.config.dim;
        let crop = |table: &FactorTable| {
            let mut matrix = quintet_core::Matrix::zeros(table.rows(), dim);
            (0..table.rows())
                .for_each(|row| matrix.row_mut(row).copy_from_slice(&table.row(row)[..dim]));
            matrix
        };
        let (mut users, mut items) = (crop(&self.users.table), crop(&self.items.table));
        let mut bias: Vec<f32> =
            (0..items.rows()).map(|i| self.items.table.row(i)[dim + 1]).collect();
        clear_unused_items(&self.rows, &mut items, &mut bias, UnusedBias::Lowest);
        for user in 0..users.rows() {
            if self.rows.items(quintet_core::UserIdx::new(user)).is_empty() {
                users.row_mut(user).fill(0.0);
            }
        }
        let factors = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        let factors = factors.with_part("taste", 0, dim);
        Ok(Box::new(Folding::new(factors, Learned::new(config, rows::load, false))))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        state.put("users", self.users.table.to_matrix());
        state.put("items", self.items.table.to_matrix());
        state.put("users.squares", self.users.squares.to_matrix());
        state.put("items.squares", self.items.squares.to_matrix());
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if state.kind != NAME {
            return Err(state.mismatch("kind", NAME, &state.kind).into());
        }
        let table = |key: &str, like: &FactorTable| {
            state.shaped(key, like.rows(), like.dim()).map(FactorTable::from_matrix)
        };
        let users =
            [table("users", &self.users.table)?, table("users.squares", &self.users.table)?];
        let items =
            [table("items", &self.items.table)?, table("items.squares", &self.items.table)?];
        [self.users.table, self.users.squares] = users;
        [self.items.table, self.items.squares] = items;
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        (self.users.table.rows() + self.items.table.rows()) * (self.config.dim + 1)
    }
}
