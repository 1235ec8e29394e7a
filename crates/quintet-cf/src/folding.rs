//! A model in dot-product form that can do more than [`FactorModel`]: it learns the factors of a
//! newcomer, or ranks for users without a history.

use std::sync::OnceLock;

use quintet_core::{
    Capability, Factors, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError, Scored,
    UserIdx,
};
use quintet_tensor::{FactorModel, FitError};

use crate::factor_table::{FactorTable, scores};

/// Learns the factors of one user, items held fixed. The same history must give the same factors.
pub(crate) trait FoldUser: Send + Sync {
    /// The padded factors of somebody with these items, at least one, and values.
    fn user(&self, items: &FactorTable, bias: &[f32], history: &[u32], values: &[f32]) -> Vec<f32>;
}

/// The parameters that the model was fitted with, as JSON, give the learner of newcomers.
pub(crate) type LoadFold = fn(&str) -> Option<Box<dyn FoldUser>>;

/// [`FactorModel`] and what it cannot do.
pub(crate) struct FoldingModel {
    factors: FactorModel,
    cold_users: bool,
    config: String,
    fold: Option<Box<dyn FoldUser>>,
    /// The item factors with padding, made when first needed.
    items: OnceLock<FactorTable>,
}

impl FoldingModel {
    /// `config` is what `fold` reads.
    pub(crate) fn new(
        factors: FactorModel,
        config: String,
        fold: LoadFold,
        cold_users: bool,
    ) -> Self {
        let fold = fold(&config);
        Self { factors, cold_users, config, fold, items: OnceLock::new() }
    }

    /// Loads what [`Recommender::state`] gave.
    pub(crate) fn load(state: &ModelState, fold: LoadFold) -> Result<Self, FitError> {
        let cold_users = state.text("cold_users")? == "true";
        let config = state.text("config")?.to_owned();
        Ok(Self::new(FactorModel::load(state)?, config, fold, cold_users))
    }
}

impl Recommender for FoldingModel {
    fn name(&self) -> &str {
        self.factors.name()
    }

    fn n_users(&self) -> usize {
        self.factors.n_users()
    }

    fn n_items(&self) -> usize {
        self.factors.n_items()
    }

    fn capability(&self) -> Capability {
        let mut capability = self.factors.capability();
        capability.folds_in = self.fold.is_some();
        capability.cold_users = self.cold_users;
        capability
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        state.meta.insert("config".into(), self.config.clone());
        state.meta.insert("cold_users".into(), self.cold_users.to_string());
        state
    }

    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors()
    }

    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        let (Some(fold), Some(f)) = (&self.fold, self.factors.factors()) else {
            return Err(ScoreError::NoFoldIn { model: self.name().into() });
        };
        assert_eq!(items.len(), values.len(), "one value an item");
        assert_eq!(out.len(), self.n_items(), "room for the score of every item");
        let len = self.n_items();
        if let Some(item) = items.iter().find(|item| item.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "item", index: item.index(), len });
        }
        if items.is_empty() {
            out.copy_from_slice(f.bias);
            return Ok(());
        }
        let table = self.items.get_or_init(|| FactorTable::from_matrix(f.items));
        let history: Vec<u32> = items.iter().map(|item| item.0).collect();
        let user = fold.user(table, f.bias, &history, values);
        scores(table, &user, Some(f.bias), out);
        Ok(())
    }

    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.factors.similar_items(item, k)
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.factors.explain(user, item, history, k)
    }
}
