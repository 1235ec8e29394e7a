//! The fitted form: factors, and the way from features to the vectors of items.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{
    Capability, Factors, FeatureSet, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    SeedStream, UserIdx,
};
use quintet_tensor::{
    Dropout, FactorModel, FitError, dot, load_weights, save_weights, tensor_to_vec,
};
use rayon::prelude::*;

use super::net::FusionNet;
use super::served::{UserVectors, longest_row};
use super::{FusionNetConfig, NAME};
use crate::content::{Content, ContentMap};
use crate::content_model::{check_length, device_of, over_features};

/// Prefix of the trained weights in the saved state.
const WEIGHTS: &str = "net.";

/// The fitted model.
pub(super) struct FusionNetModel {
    /// What ranks, or, where probabilities are multiplied, the sum of the heads before that.
    factors: FactorModel,
    users: UserVectors,
    config: FusionNetConfig,
    /// None without features.
    map: Option<ContentMap>,
    weights: ModelState,
    ids: Matrix,
    warm: Vec<bool>,
    device: Option<Device>,
}

/// Dropout that drops nothing.
pub(super) fn all_kept() -> Dropout {
    Dropout::new(0.0, SeedStream::new(0).rng("none", 0))
}

/// The vectors of all items; those without training interactions have no id.
fn item_vectors(
    net: &FusionNet,
    config: &FusionNetConfig,
    (ids, warm): (&Matrix, &[bool]),
    content: Option<&Content>,
    device: &Device,
) -> Result<Matrix, FitError> {
    let (n, dim) = (warm.len(), net.dim());
    let chunks = match content {
        Some(content) => content.chunks(),
        None => vec![(0..n as u32).collect()],
    };
    let mut rows = Vec::with_capacity(n * dim);
    for chunk in chunks {
        let views = content.map(|content| content.views(&chunk, device));
        let mut known = Vec::with_capacity(chunk.len() * dim);
        for &item in &chunk {
            match warm[item as usize] {
                true => known.extend_from_slice(ids.row(item as usize)),
                false => known.resize(known.len() + dim, 0.0),
            }
        }
        let known = Tensor::from_data(TensorData::new(known, [chunk.len(), dim]), device);
        let known = config.item_id.then_some(known);
        let v = net.items(views.as_ref(), known, &mut all_kept());
        rows.extend(tensor_to_vec(v.inner()).map_err(FitError::Device)?);
    }
    Ok(Matrix::from_vec(n, dim, rows)?)
}

/// The length of the longest item of those that were trained.
fn longest_trained(items: &Matrix, warm: &[bool]) -> f32 {
    let known = (0..items.rows()).filter(|item| warm[*item]);
    known.map(|item| dot(items.row(item), items.row(item)).sqrt()).fold(0.0, f32::max)
}

impl FusionNetModel {
    /// `ids` are embeddings.
    pub(super) fn new(
        config: &FusionNetConfig,
        net: &FusionNet,
        (users, ids, warm): (UserVectors, Matrix, Vec<bool>),
        content: Option<&Content>,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut items = item_vectors(net, config, (&ids, &warm), content, device)?;
        let mut bias = vec![users.level; items.rows()];
        let mut capability = Capability::personal();
        match content {
            Some(content) => {
                capability = capability.with_cold_items().with_modalities(content.names());
            }
            // Nothing is known of an item that nobody used.
            None => {
                // No score of a trained item is below it: `|u · v| ≤ |u| |v|`.
                let longest = longest_trained(&items, &warm);
                let lowest = users.level - longest_row(&users.sum) * longest;
                for (item, _) in warm.iter().enumerate().filter(|(_, warm)| !**warm) {
                    items.row_mut(item).fill(0.0);
                    bias[item] = lowest;
                }
            }
        }
        let dim = net.dim();
        let factors = FactorModel::new(NAME, users.sum.clone(), items, bias, capability)?;
        let mut weights = ModelState::new("weights");
        save_weights(net, "", &mut weights)?;
        Ok(Self {
            factors: factors.with_part("taste", 0, dim),
            users,
            config: config.clone(),
            map: content.map(|content| content.map().clone()),
            weights,
            ids,
            warm,
            device: Some(device.clone().inner()),
        })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let config: FusionNetConfig = serde_json::from_str(state.text("config")?)
            .map_err(|e| state.mismatch("config", "the model's parameters", &e.to_string()))?;
        config.check()?;
        let (n, dim) = (factors.n_items(), config.dim);
        state.shaped("items", n, dim)?;
        let users = UserVectors::load(state, state.matrix("users")?.clone())?;
        let ids = state.shaped("ids", n, dim)?.clone();
        let warm: Vec<bool> = state.whole("warm")?.iter().map(|&w| w != 0).collect();
        if warm.len() != n {
            let found = warm.len().to_string();
            return Err(state.mismatch("warm", &format!("{n} numbers"), &found).into());
        }
        let map = ContentMap::load(state)?;
        let map = (!map.modalities().is_empty()).then_some(map);
        let mut weights = ModelState::new("weights");
        for (key, tensor) in &state.tensors {
            if let Some(name) = key.strip_prefix(WEIGHTS) {
                weights.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        Ok(Self { factors, users, config, map, weights, ids, warm, device: None })
    }

    fn over(&self, map: &ContentMap, features: &FeatureSet) -> Result<Self, FitError> {
        check_length(NAME, self.warm.len(), features.n_items())?;
        let device = device_of(&self.device)?;
        let data = |reason: String| FitError::Data { model: NAME.into(), reason };
        let content = map.apply(features, &device).map_err(data)?;
        let mut net = FusionNet::new(&self.config, Some(map), SeedStream::new(0), &device);
        load_weights(&mut net, "", &self.weights, &device)?;
        let (n, dim) = (content.n_items(), self.config.dim);
        let mut ids = self.ids.as_slice().to_vec();
        ids.resize(n * dim, 0.0);
        let mut warm = self.warm.clone();
        warm.resize(n, false);
        let parts = (self.users.clone(), Matrix::from_vec(n, dim, ids)?, warm);
        Self::new(&self.config, &net, parts, Some(&content), &device)
    }

    /// Scores of a product of probabilities.
    fn score_product(&self, items: &Matrix, users: &[UserIdx], out: &mut Matrix) {
        // Nothing is known of an item that nobody used, where there is no content.
        let unknown: Vec<usize> = match self.map {
            Some(_) => Vec::new(),
            None => (0..items.rows()).filter(|item| !self.warm[*item]).collect(),
        };
        let lowest = self.users.lowest(longest_trained(items, &self.warm));
        out.reset(users.len(), items.rows());
        let rows = out.as_mut_slice().par_chunks_mut(items.rows().max(1)).zip(users);
        rows.for_each(|(row, user)| {
            self.users.score(user.index(), items, row);
            unknown.iter().for_each(|item| row[*item] = lowest);
        });
    }
}

impl Recommender for FusionNetModel {
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
        self.factors.capability()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let factors = self.factors.factors().filter(|_| !self.users.product.is_empty());
        let Some(factors) = factors else { return self.factors.score(users, out) };
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        self.score_product(factors.items, users, out);
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        state.meta.insert("config".into(), config);
        state.put("ids", self.ids.clone());
        if self.config.tasks.is_some() {
            self.users.save(&mut state);
        }
        state.put_whole("warm", self.warm.iter().map(|&w| i64::from(w)).collect());
        match &self.map {
            Some(map) => map.save(&mut state),
            None => drop(state.meta.insert("content".into(), String::new())),
        }
        for (name, tensor) in &self.weights.tensors {
            state.tensors.insert(format!("{WEIGHTS}{name}"), tensor.clone());
        }
        state
    }

    /// None where probabilities are multiplied: that is no product of two vectors.
    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors().filter(|_| self.users.product.is_empty())
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        match &self.map {
            Some(map) => over_features(NAME, self.over(map, features)),
            None => Err(ScoreError::NoContent { model: NAME.into() }),
        }
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
