//! The fitted model: scores, people it has not seen, and what each item of a history adds.
//!
//! A newcomer's factors are the exact solution of one row. With `A` and `b` of a history,
//! `s = y_i · A⁻¹ b = Σ_j target_j y_i · A⁻¹ y_j`: the sum over the history tells what each of its
//! items adds to the score (Hu, Koren, Volinsky 2008, section 5). Cost: `n d² + d³/3` a history.

use std::sync::OnceLock;

use quintet_core::{
    Capability, CoreError, Factors, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    Scored, UserIdx,
};
use quintet_tensor::{FactorModel, FitError};

use super::cholesky::System;
use super::gram::gram;
use super::rows::{Cells, Rows, Weights};
use super::{IalsConfig, NAME};
use crate::factor_table::{FactorTable, scores};

/// What the histories are called in a saved model.
const HISTORY: &str = "history";

/// The fitted model.
#[derive(Debug)]
pub struct Ials {
    factors: FactorModel,
    config: IalsConfig,
    /// Where values count: they are part of an explanation.
    history: Option<Rows>,
    /// Made when first needed.
    items: OnceLock<FoldIn>,
}

/// What every newcomer's row is solved against.
#[derive(Debug)]
struct FoldIn {
    table: FactorTable,
    /// The scaled `YᵀY`.
    gram: Vec<f32>,
    weights: Weights,
}

impl Ials {
    pub(super) fn new(
        users: Matrix,
        items: Matrix,
        config: IalsConfig,
        history: Option<Rows>,
    ) -> Result<Self, CoreError> {
        let bias = vec![0.0; items.rows()];
        let factors = FactorModel::new(NAME, users, items, bias, Capability::personal())?;
        Ok(Self { factors, config, history, items: OnceLock::new() })
    }

    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let config = serde_json::from_str(state.text("config")?)
            .map_err(|e| state.mismatch("config", "parameters", &e.to_string()))?;
        let history = match state.tensors.contains_key(&format!("{HISTORY}.indptr")) {
            true => Some(load_rows(state, factors.n_users(), factors.n_items())?),
            false => None,
        };
        Ok(Self { factors, config, history, items: OnceLock::new() })
    }

    fn fold(&self) -> &FoldIn {
        self.items.get_or_init(|| {
            let table = self.factors.factors().map(|f| FactorTable::from_matrix(f.items));
            let table = table.unwrap_or_else(|| FactorTable::zeros(0, self.config.dim));
            let weights = Weights::new(&self.config, table.rows());
            let gram = gram(&table).into_iter().map(|x| x * weights.unobserved).collect();
            FoldIn { table, gram, weights }
        })
    }

    fn check(&self, items: &[ItemIdx]) -> Result<(), ScoreError> {
        let len = self.n_items();
        match items.iter().find(|item| item.index() >= len) {
            Some(item) => Err(ScoreError::OutOfRange { what: "item", index: item.index(), len }),
            None => Ok(()),
        }
    }

    /// The factored system of a history. Its matrix is positive definite but for rounding; where
    /// that is not enough, the answer is what nothing adds: no system.
    fn system(&self, columns: &[u32], values: &[f32]) -> Option<System> {
        let fold = self.fold();
        let mut system = System::new(fold.table.dim());
        let cells = Cells { columns, values: Some(values) };
        system.build(&fold.gram, &fold.table, cells, &fold.weights);
        system.factor().then_some(system)
    }

    /// The value that counts for an item of a user's history.
    fn value(&self, user: UserIdx, item: ItemIdx) -> f32 {
        let Some(history) = &self.history else { return 1.0 };
        let cells = history.row(user.index());
        cells.columns.binary_search(&item.0).map_or(1.0, |place| cells.value(place))
    }
}

fn load_rows(state: &ModelState, n_rows: usize, n_columns: usize) -> Result<Rows, FitError> {
    let history = state.interactions(HISTORY)?;
    let found = (history.n_users(), history.n_items());
    let rows = Rows::new(&history, true).filter(|_| found == (n_rows, n_columns));
    let expected = || format!("[{n_rows}, {n_columns}], no value negative");
    let found = || format!("[{}, {}]", found.0, found.1);
    rows.ok_or_else(|| state.mismatch(HISTORY, &expected(), &found()).into())
}

impl Recommender for Ials {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.factors.n_users()
    }

    fn n_items(&self) -> usize {
        self.factors.n_items()
    }

    fn capability(&self) -> Capability {
        Capability::personal().with_explanations().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        state.meta.insert("config".into(), serde_json::to_string(&self.config).unwrap_or_default());
        let history = self.history.as_ref().and_then(|rows| rows.to_interactions(self.n_items()));
        if let Some(history) = history {
            state.put_interactions(HISTORY, &history);
        }
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
        assert_eq!(items.len(), values.len(), "one value an item");
        assert_eq!(out.len(), self.n_items(), "room for the score of every item");
        self.check(items)?;
        out.fill(0.0);
        // As in training: where values count, one that is not positive says nothing.
        let kept = |value: &f32| !self.config.use_values || *value > 0.0;
        let (columns, values): (Vec<u32>, Vec<f32>) = items
            .iter()
            .zip(values)
            .filter(|(_, value)| kept(value))
            .map(|(item, value)| (item.0, if self.config.use_values { *value } else { 1.0 }))
            .unzip();
        if columns.is_empty() {
            return Ok(());
        }
        if let Some(mut system) = self.system(&columns, &values) {
            system.solve();
            let table = &self.fold().table;
            let mut query = vec![0.0; table.stride()];
            query[..table.dim()].copy_from_slice(&system.right);
            scores(table, &query, None, out);
        }
        Ok(())
    }

    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.factors.similar_items(item, k)
    }

    /// What each item of the history adds to the score, largest first. Over the whole history of
    /// training the parts sum to the score of a solved row.
    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let len = self.n_users();
        if user.index() >= len {
            return Err(ScoreError::OutOfRange { what: "user", index: user.index(), len });
        }
        self.check(&[item])?;
        let history: Vec<ItemIdx> =
            history.iter().copied().filter(|j| j.index() < self.n_items()).collect();
        let columns: Vec<u32> = history.iter().map(|j| j.0).collect();
        let values: Vec<f32> = history.iter().map(|j| self.value(user, *j)).collect();
        let Some(mut system) = self.system(&columns, &values) else { return Ok(Vec::new()) };
        let fold = self.fold();
        system.right.copy_from_slice(&fold.table.row(item.index())[..fold.table.dim()]);
        system.solve();
        let mut parts: Vec<(ItemIdx, f32)> = history
            .iter()
            .zip(&values)
            .map(|(j, value)| {
                let y = fold.table.row(j.index());
                let with: f32 = y.iter().zip(&system.right).map(|(y, z)| y * z).sum();
                (*j, fold.weights.target(*value) * with)
            })
            .collect();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(parts
            .into_iter()
            .take(k)
            .map(|(item, weight)| Reason::Because { item, weight })
            .collect())
    }
}
