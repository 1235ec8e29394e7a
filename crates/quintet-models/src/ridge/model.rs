//! The fitted form: factors, and what is needed to solve items over other features and newcomers.

use std::sync::OnceLock;

use quintet_core::{
    Capability, Factors, FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Reason,
    Recommender, ScoreError, Triplet, UserIdx, check_fold_in,
};
use quintet_tensor::{FactorModel, FitError, SparseRows, dot};
use serde::{Deserialize, Serialize};

use super::blocks::{Blocks, Settings, active, items_of, no_solution};
use super::data::{ItemViews, dense_view, sparse_view};
use super::parts::{Behaviour, Confidence, behaviour_rows};
use super::system::{Part, System};
use crate::content::ContentMap;
use crate::content_model::{check_length, over_features};

/// The numbers that the equations of a row hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RidgeRecipe {
    pub(crate) dim: usize,
    /// What an interaction weighs beside `empty`.
    pub(crate) observed: f32,
    /// What a cell without an interaction weighs.
    pub(crate) empty: f32,
    pub(crate) use_values: bool,
    pub(crate) l2: f32,
    /// Ridge of users' deviations from what they share over all domains, where they have any.
    pub(crate) deviation_l2: Option<f32>,
    /// Weight of the behaviour.
    pub(crate) weight: f64,
    /// Weight of each description of items.
    pub(crate) views: Vec<f32>,
    /// Whether users without behaviour are told apart.
    pub(crate) cold_users: bool,
}

impl RidgeRecipe {
    pub(crate) fn settings(&self) -> Settings {
        let (observed, empty) = (f64::from(self.observed), f64::from(self.empty));
        Settings {
            dim: self.dim,
            confidence: Confidence { observed, empty },
            l2: f64::from(self.l2),
            deviation_l2: self.deviation_l2.map(f64::from),
        }
    }

    /// The ridge of `p + d` where both are free: the least of `λ ‖p‖² + λ_dev ‖d‖²` for a sum.
    fn newcomer_l2(&self) -> f64 {
        let l2 = f64::from(self.l2);
        self.deviation_l2.map_or(l2, |own| l2 * f64::from(own) / (l2 + f64::from(own)))
    }
}

/// Factors of one matrix of behaviour.
pub(crate) struct RidgeModel {
    name: &'static str,
    factors: FactorModel,
    recipe: RidgeRecipe,
    history: Interactions,
    map: Option<ContentMap>,
    attributes: Option<SparseRows>,
    /// Factors of the columns of each description of items.
    columns: Vec<Matrix>,
    /// The Gram matrix of the items that somebody used; made when first needed.
    items: OnceLock<Vec<f64>>,
}

impl RidgeModel {
    /// The factors of domain `g`.
    pub(crate) fn new(
        name: &'static str,
        recipe: RidgeRecipe,
        blocks: &Blocks,
        g: usize,
        views: &ItemViews,
        history: &Interactions,
    ) -> Result<Self, FitError> {
        let domain = &blocks.domains[g];
        let users = domain.effective(&blocks.shared);
        let columns = domain.views.iter().map(|view| view.factors.clone()).collect();
        let (map, attributes) = (views.map.clone(), views.attributes.clone());
        let history = history.clone();
        Self::of(name, recipe, (users, domain.factors.clone()), map, attributes, columns, history)
    }

    fn of(
        name: &'static str,
        recipe: RidgeRecipe,
        (users, items): (Matrix, Matrix),
        map: Option<ContentMap>,
        attributes: Option<SparseRows>,
        columns: Vec<Matrix>,
        history: Interactions,
    ) -> Result<Self, FitError> {
        let modalities = map.as_ref().map(ContentMap::modalities).unwrap_or_default();
        let mut capability = Capability::personal().with_modalities(modalities);
        capability.cold_items = !columns.is_empty();
        let bias = vec![0.0; items.rows()];
        let dim = items.cols();
        let factors = FactorModel::new(name, users, items, bias, capability)?;
        let factors = factors.with_part("taste", 0, dim);
        let items = OnceLock::new();
        Ok(Self { name, factors, recipe, history, map, attributes, columns, items })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(crate) fn load(name: &'static str, state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let recipe: RidgeRecipe = serde_json::from_str(state.text("recipe")?)
            .map_err(|e| state.mismatch("recipe", "the model's parameters", &e.to_string()))?;
        let history = state.interactions("history")?;
        let Some(of) = factors.factors() else {
            return Err(state.mismatch("users", "factors", "none").into());
        };
        let found = (history.n_users(), history.n_items(), of.users.cols());
        let expected = (of.users.rows(), of.items.rows(), recipe.dim);
        if found != expected || behaviour_rows(&history, found.1, recipe.use_values).is_none() {
            let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
            return Err(state.mismatch("history", &expected, &found).into());
        }
        let map = ContentMap::load(state)?;
        let map = (!map.modalities().is_empty()).then_some(map);
        let attributes = match state.tensors.contains_key("attributes.indptr") {
            true => Some(SparseRows::from_interactions(&state.interactions("attributes")?)),
            false => None,
        };
        let mut widths = map.as_ref().map(|m| m.shape(recipe.dim).modalities).unwrap_or_default();
        widths.truncate(recipe.views.len());
        let mut columns = Vec::with_capacity(recipe.views.len());
        for (k, (_, width)) in widths.iter().enumerate() {
            columns.push(state.shaped(&format!("view.{k}"), *width, recipe.dim)?.clone());
        }
        if let Some(rows) = &attributes {
            let key = format!("view.{}", columns.len());
            columns.push(state.shaped(&key, rows.dims()[1], recipe.dim)?.clone());
        }
        if columns.len() != recipe.views.len() {
            let (expected, found) = (recipe.views.len(), columns.len());
            return Err(state.mismatch("view", &expected.to_string(), &found.to_string()).into());
        }
        let (users, items) = (of.users.clone(), of.items.clone());
        Self::of(name, recipe, (users, items), map, attributes, columns, history)
    }

    fn over(&self, features: &FeatureSet) -> Result<Self, FitError> {
        let data = |reason| FitError::Data { model: self.name.into(), reason };
        let n = features.n_items();
        check_length(self.name, self.history.n_items(), n)?;
        let map = self.map.as_ref().ok_or_else(|| data("it reads no features".into()))?;
        let old = self.factors.factors().ok_or_else(|| data("no factors".into()))?;
        let dim = self.recipe.dim;
        let mut views: Vec<_> = map
            .host(features)
            .map_err(data)?
            .into_iter()
            .zip(&self.recipe.views)
            .map(|(f, weight)| dense_view(f, *weight, dim))
            .collect();
        if let (Some(rows), Some(weight)) = (&self.attributes, self.recipe.views.last()) {
            let rows = with_rows(rows, n);
            views.push(sparse_view(rows, *weight, dim));
        }
        for (view, columns) in views.iter_mut().zip(&self.columns) {
            view.factors = columns.clone();
        }
        let of_users = self.rows(n)?;
        let mut items = Matrix::zeros(n, dim);
        let (settings, of_items) = (self.recipe.settings(), of_users.transpose());
        items_of(
            &settings,
            (&of_items, &views),
            self.recipe.weight,
            (old.users, &active(&of_users)),
            &mut items,
        )
        .map_err(|_| no_solution(self.name))?;
        let history = longer(&self.history, n)?;
        let (map, attributes) = (Some(map.clone()), self.attributes.as_ref());
        let attributes = attributes.map(|rows| with_rows(rows, n));
        let factors = (old.users.clone(), items);
        let (recipe, columns) = (self.recipe.clone(), self.columns.clone());
        Self::of(self.name, recipe, factors, map, attributes, columns, history)
    }

    fn rows(&self, n_items: usize) -> Result<SparseRows, FitError> {
        behaviour_rows(&self.history, n_items, self.recipe.use_values).ok_or_else(|| {
            let reason = "values must not be negative: they are confidences".into();
            FitError::Data { model: self.name.into(), reason }
        })
    }

    /// The factors of somebody with these cells.
    fn newcomer(&self, cells: Vec<(u32, f32)>) -> Option<Vec<f32>> {
        let items = self.factors.factors()?.items;
        let gram = self.items.get_or_init(|| {
            let used: Vec<bool> = self.history.item_counts().iter().map(|c| *c > 0).collect();
            super::system::gram(items, &used)
        });
        let rows = SparseRows::from_rows(items.rows(), [cells]);
        let settings = self.recipe.settings();
        let part =
            Behaviour::over(&rows, (items, gram.clone()), settings.confidence, self.recipe.weight);
        let mut system = System::new(self.recipe.dim);
        system.clear(self.recipe.newcomer_l2());
        let mut out = vec![0.0; self.recipe.dim];
        if part.add(0, &mut system) && system.factor() {
            system.solve(&mut out);
        }
        Some(out)
    }
}

/// The same rows and empty ones after them.
fn with_rows(rows: &SparseRows, n: usize) -> SparseRows {
    let [known, columns] = rows.dims();
    let row = |at: usize| -> Vec<(u32, f32)> {
        if at >= known {
            return Vec::new();
        }
        let (columns, values) = rows.row(at);
        columns.iter().copied().zip(values.iter().copied()).collect()
    };
    SparseRows::from_rows(columns, (0..n).map(row))
}

/// The same cells over more items.
fn longer(train: &Interactions, n_items: usize) -> Result<Interactions, FitError> {
    let cells = train.iter();
    Ok(Interactions::from_sorted(train.n_users(), n_items, train.nnz(), cells)?)
}

impl Recommender for RidgeModel {
    fn name(&self) -> &str {
        self.name
    }

    fn n_users(&self) -> usize {
        self.factors.n_users()
    }

    fn n_items(&self) -> usize {
        self.factors.n_items()
    }

    fn capability(&self) -> Capability {
        let mut capability = self.factors.capability().with_fold_in();
        capability.cold_users = self.recipe.cold_users;
        capability
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        state.meta.insert("recipe".into(), recipe);
        state.put_interactions("history", &self.history);
        match &self.map {
            Some(map) => map.save(&mut state),
            None => drop(state.meta.insert("content".into(), String::new())),
        }
        let cells = self.attributes.as_ref().and_then(|rows| {
            let [n_rows, n_columns] = rows.dims();
            let cells = (0..n_rows).flat_map(|row| {
                let (columns, values) = rows.row(row);
                let cell = move |(column, value): (&u32, &f32)| Triplet {
                    user: UserIdx::new(row),
                    item: ItemIdx(*column),
                    value: *value,
                };
                columns.iter().zip(values).map(cell)
            });
            Interactions::from_sorted(n_rows, n_columns, rows.nnz(), cells).ok()
        });
        if let Some(cells) = cells {
            state.put_interactions("attributes", &cells);
        }
        for (k, columns) in self.columns.iter().enumerate() {
            state.put(format!("view.{k}"), columns.clone());
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
        check_fold_in(items, values, out, self.n_items())?;
        let value = |r: f32| if self.recipe.use_values { r.max(0.0) } else { 1.0 };
        let mut cells: Vec<(u32, f32)> =
            items.iter().zip(values).map(|(item, r)| (item.0, value(*r))).collect();
        cells.sort_by_key(|cell| cell.0);
        cells.dedup_by_key(|cell| cell.0);
        out.fill(0.0);
        if let (Some(query), Some(of)) = (self.newcomer(cells), self.factors.factors()) {
            out.iter_mut().enumerate().for_each(|(i, o)| *o = dot(&query, of.items.row(i)));
        }
        Ok(())
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        if self.map.is_none() {
            return Err(ScoreError::NoContent { model: self.name.into() });
        }
        over_features(self.name, self.over(features))
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
