//! iALS: least squares over every cell of the matrix, observed or not.
//!
//! Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008;
//! Takács, Pilászy, Tikk, RecSys 2011 (conjugate gradient); Rendle, Krichene, Zhang, Koren,
//! "Revisiting the Performance of iALS on Item Recommendation Benchmarks", RecSys 2022.
//! `Σ_all c_ui (p_ui - x_u·y_i)² + Σ_u λ_u ‖x_u‖² + Σ_i λ_i ‖y_i‖²`, `p` = 1 where `r > 0`. Users
//! are solved with items held fixed, then items with users held fixed: one iteration, which is an
//! epoch here. Weights come in three conventions, see [`Confidence`], and both solvers take each.
//!
//! Differences: `YᵀY` is summed in 64 bits over blocks; rows without cells keep the factor 0, so
//! an item that nobody used scores 0; factors below 1e-12 become 0; negative values are an error (the `implicit` library reads
//! them as dislike). The loss of an epoch is the exact value of the objective after it, divided
//! by the cells; it costs nothing, see `ials/cg.rs`.
//! Cost: an iteration of `steps` conjugate-gradient steps takes
//! `2 (steps + 1) (2 nnz d + (users + items) d²)` multiply-adds, Cholesky
//! `2 nnz d² + (users + items) d³ / 3`. Memory: both sparse forms (4 bytes a cell each, 8 with
//! values) and both tables.

mod cg;
mod cholesky;
mod gram;
mod half;
mod model;
mod rows;

use quintet_core::{ModelState, Recommender};
use quintet_tensor::{
    EpochStats, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::factor_table::FactorTable;
pub use model::Ials;
use rows::Rows;

const NAME: &str = "ials";

/// How an observed value becomes a weight. `r` is 1 where values are not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// `c = 1 + α r` for observed cells, 1 for all others (Hu et al. 2008).
    OnePlusAlpha,
    /// `c = α r` for observed cells, 1 for all others (the `implicit` library). With values of 1
    /// and α = 1 observed cells weigh no more than others.
    Alpha,
    /// `α r` for observed cells and, on top, `α₀ s²` for every cell (Rendle et al. 2022, α = 1).
    Revisited,
}

/// How a row is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// A few steps of conjugate gradient from the row's last factors.
    #[serde(rename = "cg")]
    ConjugateGradient,
    /// Exactly.
    Cholesky,
}

/// What factors are before the first iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialFactors {
    /// Uniform in `[0, scale)`: the `implicit` library, with 0.01.
    Uniform,
    /// Normal with deviation `scale / √dim` (Rendle et al. 2022, with 0.1).
    Normal,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IalsConfig {
    /// Width of the factors.
    pub dim: usize,
    /// How a value becomes a weight.
    pub confidence: Confidence,
    /// `α` of it.
    pub alpha: f32,
    /// `α₀`: weight of every cell in the revisited form, and part of the frequency below.
    pub alpha0: f32,
    /// `λ`.
    pub l2: f32,
    /// `ν` of `λ_u = λ (n_u + α₀ N)^ν`, N rows on the other side; 0 gives λ for every row, and 1
    /// is the choice of Rendle et al. 2022.
    pub frequency_power: f32,
    /// How rows are solved.
    pub solver: Solver,
    /// Steps of conjugate gradient.
    pub cg_steps: usize,
    /// The factors at the start.
    pub init: InitialFactors,
    /// Their scale.
    pub init_scale: f32,
    /// Whether values (counts, ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
}

impl Default for IalsConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            confidence: Confidence::Revisited,
            alpha: 1.0,
            alpha0: 0.01,
            l2: 0.03,
            frequency_power: 1.0,
            solver: Solver::ConjugateGradient,
            cg_steps: 3,
            init: InitialFactors::Normal,
            init_scale: 0.1,
            use_values: false,
        }
    }
}

impl IalsConfig {
    fn validate(&self) -> Result<(), FitError> {
        let bad = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if self.dim == 0 {
            return bad("dim must be at least 1; found 0".into());
        }
        let positive = [
            ("alpha", self.alpha),
            ("alpha0", self.alpha0),
            ("l2", self.l2),
            ("init_scale", self.init_scale),
        ];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return bad(format!("{key} must be positive; found {value}"));
            }
        }
        if !(self.frequency_power.is_finite() && self.frequency_power >= 0.0) {
            let found = self.frequency_power;
            return bad(format!("frequency_power must be at least 0; found {found}"));
        }
        if self.solver == Solver::ConjugateGradient && self.cg_steps == 0 {
            return bad("cg_steps must be at least 1; found 0".into());
        }
        Ok(())
    }

    fn table(&self, rows: usize, context: &FitContext, purpose: &str) -> FactorTable {
        let (shape, source) = ((rows, self.dim), (context.seed, purpose));
        match self.init {
            InitialFactors::Uniform => FactorTable::uniform(shape, (0.0, self.init_scale), source),
            InitialFactors::Normal => {
                FactorTable::normal(shape, self.init_scale / (self.dim as f32).sqrt(), source)
            }
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "weighted least squares over all cells (Hu 2008, Rendle 2022), CG or Cholesky",
        build: |params| Ok(Box::new(parse_params::<IalsConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Ials::load(state)?)),
        tiny: r#"{"dim": 4, "alpha0": 0.1, "l2": 0.1}"#,
    }
}

impl Fit for IalsConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        self.validate()?;
        let refused = |reason: &str| FitError::Data { model: NAME.into(), reason: reason.into() };
        let rows = Rows::new(data.train, self.use_values)
            .ok_or_else(|| refused("values must not be negative: they are confidences"))?;
        if rows.nnz() == 0 {
            return Err(refused("no interactions"));
        }
        Ok(Fitting::Epochs(Box::new(IalsTrainer {
            users: self.table(data.train.n_users(), context, "ials-users"),
            items: self.table(data.train.n_items(), context, "ials-items"),
            columns: rows.transpose(data.train.n_items()),
            rows,
            config: self.clone(),
        })))
    }
}

struct IalsTrainer {
    users: FactorTable,
    items: FactorTable,
    rows: Rows,
    columns: Rows,
    config: IalsConfig,
}

impl Trainer for IalsTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let Self { users, items, rows, columns, config } = self;
        half::solve_all(config, rows, items, users)?;
        let mut loss = half::solve_all(config, columns, users, items)?;
        loss += half::penalty(config, rows, users, items.rows());
        let samples = rows.nnz();
        loss /= samples as f64;
        if !loss.is_finite() {
            return Err(FitError::Diverged { model: NAME.into(), epoch, batch: 2, loss });
        }
        Ok(EpochStats { loss, batches: 2, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let history = self.config.use_values.then(|| self.rows.clone());
        let (users, items) = (self.users.to_matrix(), self.items.to_matrix());
        Ok(Box::new(Ials::new(users, items, self.config.clone(), history)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        state.put("users", self.users.to_matrix());
        state.put("items", self.items.to_matrix());
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let users = state.shaped("users", self.users.rows(), self.users.dim())?;
        let items = state.shaped("items", self.items.rows(), self.items.dim())?;
        if state.kind != NAME {
            return Err(state.mismatch("kind", NAME, &state.kind).into());
        }
        self.users = FactorTable::from_matrix(users);
        self.items = FactorTable::from_matrix(items);
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        (self.users.rows() + self.items.rows()) * self.config.dim
    }
}

#[cfg(test)]
mod tests;
