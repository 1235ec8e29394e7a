//! A newcomer whose factors are learned from their history, items held fixed.

use std::sync::OnceLock;

use quintet_core::{Factors, ItemIdx, ModelState};
use quintet_tensor::{FactorModel, FitError};

use crate::factor_table::{FactorTable, scores};
use crate::folding::{Folding, Newcomer};

/// Learns the factors of one user, items held fixed. The same history must give the same factors.
pub(crate) trait FoldUser: Send + Sync {
    /// The padded factors of somebody with these items, at least one, and values.
    fn user(&self, items: &FactorTable, bias: &[f32], history: &[u32], values: &[f32]) -> Vec<f32>;
}

/// The parameters that the model was fitted with, as JSON, give the learner of newcomers; none
/// where they leave nothing to learn.
pub(crate) type LoadFold = fn(&str) -> Option<Box<dyn FoldUser>>;

/// The learner and what loading it needs.
pub(crate) struct Learned {
    cold_users: bool,
    config: String,
    fold: Option<Box<dyn FoldUser>>,
    /// The item factors with padding, made when first needed.
    items: OnceLock<FactorTable>,
}

impl Learned {
    /// `config` is what `fold` reads.
    pub(crate) fn new(config: String, fold: LoadFold, cold_users: bool) -> Self {
        let fold = fold(&config);
        Self { cold_users, config, fold, items: OnceLock::new() }
    }

    /// Loads a model whose newcomers are learned.
    pub(crate) fn load(state: &ModelState, fold: LoadFold) -> Result<Folding<Self>, FitError> {
        let cold_users = state.text("cold_users")? == "true";
        let learned = Self::new(state.text("config")?.to_owned(), fold, cold_users);
        Ok(Folding::new(FactorModel::load(state)?, learned))
    }
}

impl Newcomer for Learned {
    fn rank(&self, model: Factors<'_>, items: &[ItemIdx], values: &[f32], out: &mut [f32]) {
        let Some(fold) = self.fold.as_ref().filter(|_| !items.is_empty()) else {
            return out.copy_from_slice(model.bias);
        };
        let table = self.items.get_or_init(|| FactorTable::from_matrix(model.items));
        let history: Vec<u32> = items.iter().map(|item| item.0).collect();
        let user = fold.user(table, model.bias, &history, values);
        scores(table, &user, Some(model.bias), out);
    }

    fn save(&self, state: &mut ModelState) {
        state.meta.insert("config".into(), self.config.clone());
        state.meta.insert("cold_users".into(), self.cold_users.to_string());
    }

    fn folds_in(&self) -> bool {
        self.fold.is_some()
    }

    fn cold_users(&self) -> bool {
        self.cold_users
    }
}
