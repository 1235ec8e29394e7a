//! Models without training: `score(u, ·) = R_u S`, with `S` made of interactions and features.
//!
//! Row `j` of `S` says what having item `j` adds to the score of every item. A new user needs
//! nothing but their items; new items need features, from which `S` is made again.

use quintet_core::{
    Capability, FeatureSet, Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, ModelState,
    Reason, Recommender, ScoreError, Scored, UserIdx, top_k,
};
use quintet_tensor::{
    Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, add_scaled, check_interactions,
    parse_params,
};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::graph::{chosen, with_ones};

/// What the items add to each other; rows are sources.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ItemMatrix {
    /// Cells by source and target.
    Sparse(Interactions),
    /// `[n_items, n_items]`.
    Dense(Matrix),
}

impl ItemMatrix {
    fn add(&self, source: ItemIdx, out: &mut [f32]) {
        match self {
            Self::Sparse(m) => {
                let row = UserIdx(source.0);
                for (target, weight) in m.items(row).iter().zip(m.values(row)) {
                    out[target.index()] += weight;
                }
            }
            Self::Dense(m) => add_scaled(out, 1.0, m.row(source.index())),
        }
    }

    /// What `source` adds to `target`.
    pub(crate) fn get(&self, source: ItemIdx, target: ItemIdx) -> f32 {
        match self {
            Self::Sparse(m) => {
                let row = UserIdx(source.0);
                m.items(row).binary_search(&target).map_or(0.0, |place| m.values(row)[place])
            }
            Self::Dense(m) => m.row(source.index())[target.index()],
        }
    }

    fn save(&self, state: &mut ModelState) {
        match self {
            Self::Sparse(m) => state.put_interactions("similar", m),
            Self::Dense(m) => state.put("weights", m.clone()),
        }
    }

    fn load(state: &ModelState, n: usize) -> Result<Self, FitError> {
        if state.tensors.contains_key("weights") {
            return Ok(Self::Dense(state.shaped("weights", n, n)?.clone()));
        }
        let m = state.interactions("similar")?;
        if (m.n_users(), m.n_items()) != (n, n) {
            let found = format!("[{}, {}]", m.n_users(), m.n_items());
            return Err(state.mismatch("similar", &format!("[{n}, {n}]"), &found).into());
        }
        Ok(Self::Sparse(m))
    }
}

/// The parameters of such a model.
pub(crate) trait ItemMatrixRecipe:
    Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Registry name.
    const NAME: &'static str;
    /// One line for lists.
    const SUMMARY: &'static str;
    /// Parameters for a toy world, JSON text.
    const TINY: &'static str;

    /// Which modalities are read; all that have features by default.
    fn modalities(&self) -> Option<&[Modality]>;

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the key.
    fn check(&self) -> Result<(), FitError>;

    /// Makes the matrix. `train` holds ones; `features` are those that are read.
    ///
    /// # Errors
    /// It does not fit into memory, or holds a number that is not finite.
    fn matrix(&self, train: &Interactions, features: &FeatureSet) -> Result<ItemMatrix, FitError>;
}

/// The registry entry of a model.
pub(crate) fn entry<R: ItemMatrixRecipe>() -> ModelEntry {
    ModelEntry {
        name: R::NAME,
        summary: R::SUMMARY,
        build: |params| Ok(Box::new(ItemMatrixFit::<R>(parse_params(R::NAME, params)?))),
        load: |state| Ok(Box::new(ItemMatrixModel::<R>::load(state)?)),
        tiny: R::TINY,
    }
}

struct ItemMatrixFit<R>(R);

impl<R: ItemMatrixRecipe> Fit for ItemMatrixFit<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        self.0.check()?;
        check_interactions(R::NAME, data.train)?;
        let read = names(chosen(R::NAME, data.features, self.0.modalities(), true)?);
        let features = data.features.only(&read);
        let model = ItemMatrixModel::new(self.0.clone(), with_ones(data.train), &features)?;
        Ok(Fitting::Fitted(Box::new(model)))
    }
}

fn names(features: Vec<&ModalityFeatures>) -> Vec<Modality> {
    features.into_iter().map(|f| f.modality).collect()
}

/// The fitted form.
#[derive(Debug, Clone)]
pub(crate) struct ItemMatrixModel<R> {
    recipe: R,
    history: Interactions,
    matrix: ItemMatrix,
    modalities: Vec<Modality>,
}

impl<R: ItemMatrixRecipe> ItemMatrixModel<R> {
    pub(crate) fn new(
        recipe: R,
        history: Interactions,
        features: &FeatureSet,
    ) -> Result<Self, FitError> {
        let matrix = recipe.matrix(&history, features)?;
        let modalities = features.iter().map(|f| f.modality).collect();
        Ok(Self { recipe, history, matrix, modalities })
    }

    fn load(state: &ModelState) -> Result<Self, FitError> {
        let recipe = serde_json::from_str(state.text("recipe")?)
            .map_err(|e| state.mismatch("recipe", "the model's parameters", &e.to_string()))?;
        let history = state.interactions("history")?;
        let names = state.text("modalities")?.split(',').filter(|name| !name.is_empty());
        let modality = |name: &str| {
            name.parse().map_err(|_| state.mismatch("modalities", "names of modalities", name))
        };
        Ok(Self {
            recipe,
            matrix: ItemMatrix::load(state, history.n_items())?,
            history,
            modalities: names.map(modality).collect::<Result<_, _>>()?,
        })
    }

    fn over(&self, features: &FeatureSet) -> Result<Self, FitError> {
        let (expected, found) = (self.n_items(), features.n_items());
        if found < expected {
            let reason = format!(
                "features of {found} items; it was fitted on {expected}, which have to come first"
            );
            return Err(FitError::Data { model: R::NAME.into(), reason });
        }
        let features =
            features.only(&names(chosen(R::NAME, features, Some(&self.modalities), true)?));
        let old = &self.history;
        let history = Interactions::from_sorted(old.n_users(), found, old.nnz(), old.iter())?;
        Self::new(self.recipe.clone(), history, &features)
    }

    fn check_item(&self, item: ItemIdx) -> Result<(), ScoreError> {
        let (index, len) = (item.index(), self.n_items());
        if index < len { Ok(()) } else { Err(ScoreError::OutOfRange { what: "item", index, len }) }
    }

    #[cfg(test)]
    pub(crate) fn matrix(&self) -> &ItemMatrix {
        &self.matrix
    }
}

impl<R: ItemMatrixRecipe> Recommender for ItemMatrixModel<R> {
    fn name(&self) -> &str {
        R::NAME
    }

    fn n_users(&self) -> usize {
        self.history.n_users()
    }

    fn n_items(&self) -> usize {
        self.history.n_items()
    }

    fn capability(&self) -> Capability {
        let capability = Capability::personal().with_cold_items().with_explanations();
        capability.with_fold_in().with_modalities(self.modalities.clone())
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        out.as_mut_slice().par_chunks_mut(n_items).zip(users).for_each(|(row, &user)| {
            self.history.items(user).iter().for_each(|&source| self.matrix.add(source, row));
        });
        Ok(())
    }

    /// Somebody may have done a thing twice; it counts once, whatever its value.
    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        assert_eq!(items.len(), values.len(), "a value for every item");
        assert_eq!(out.len(), self.n_items(), "a score for every item");
        items.iter().try_for_each(|&item| self.check_item(item))?;
        let mut distinct = items.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        out.fill(0.0);
        distinct.into_iter().for_each(|source| self.matrix.add(source, out));
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(R::NAME);
        state.put_interactions("history", &self.history);
        self.matrix.save(&mut state);
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        state.meta.insert("recipe".into(), recipe);
        let names: Vec<&str> = self.modalities.iter().map(|m| m.as_str()).collect();
        state.meta.insert("modalities".into(), names.join(","));
        state
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        match self.over(features) {
            Ok(model) => Ok(Box::new(model)),
            Err(FitError::Data { model, reason }) => Err(ScoreError::Features { model, reason }),
            Err(e) => Err(ScoreError::Features { model: R::NAME.into(), reason: e.to_string() }),
        }
    }

    /// An item that nobody used is the source of nothing: what others add to it counts as well.
    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.check_item(item)?;
        let both = |other| self.matrix.get(item, other).max(self.matrix.get(other, item));
        let row: Vec<f32> = (0..self.n_items()).map(|i| both(ItemIdx::new(i))).collect();
        Ok(top_k(&row, k, |i| i == item || row[i.index()] <= 0.0))
    }

    fn explain(
        &self,
        _user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.check_item(item)?;
        let mut found: Vec<(ItemIdx, f32)> = history
            .iter()
            .filter(|j| j.index() < self.n_items() && **j != item)
            .map(|&j| (j, self.matrix.get(j, item)))
            .filter(|(_, weight)| *weight != 0.0)
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let reasons = found.into_iter().take(k);
        Ok(reasons.map(|(item, weight)| Reason::Because { item, weight }).collect())
    }
}
