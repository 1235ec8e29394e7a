//! The fitted form: factors, and the way from features to the vectors of items.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{
    Capability, Factors, FeatureSet, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    SeedStream, UserIdx,
};
use quintet_tensor::{
    Dropout, FactorModel, FitError, dot, load_weights, matrix_to_tensor, save_weights,
    tensor_to_matrix, tensor_to_vec,
};

use super::net::FusionNet;
use super::{FusionNetConfig, NAME};
use crate::content::{Content, ContentMap};
use crate::content_model::{check_length, device_of, over_features};

/// Prefix of the trained weights in the saved state.
const WEIGHTS: &str = "net.";

/// The fitted model.
pub(super) struct FusionNetModel {
    factors: FactorModel,
    config: FusionNetConfig,
    /// None without features.
    map: Option<ContentMap>,
    weights: ModelState,
    ids: Matrix,
    warm: Vec<bool>,
    device: Option<Device>,
}

/// Dropout that drops nothing.
fn all_kept() -> Dropout {
    Dropout::new(0.0, SeedStream::new(0).rng("none", 0))
}

/// The vectors of all users.
pub(super) fn user_vectors(
    net: &FusionNet,
    embeddings: &Matrix,
    device: &Device,
) -> Result<Matrix, FitError> {
    let u = net.users(matrix_to_tensor(embeddings, device), &mut all_kept());
    tensor_to_matrix(u.inner()).map_err(FitError::Device)
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

/// No score of a trained item is below it: `|u · v| ≤ |u| |v|`.
fn lowest_score(users: &Matrix, items: &Matrix, warm: &[bool]) -> f32 {
    let length = |row: &[f32]| dot(row, row).sqrt();
    let longest = (0..users.rows()).map(|user| length(users.row(user))).fold(0.0, f32::max);
    let known = (0..items.rows()).filter(|item| warm[*item]);
    -longest * known.map(|item| length(items.row(item))).fold(0.0, f32::max)
}

impl FusionNetModel {
    /// `users` are final vectors, `ids` embeddings.
    pub(super) fn new(
        config: &FusionNetConfig,
        net: &FusionNet,
        (users, ids, warm): (Matrix, Matrix, Vec<bool>),
        content: Option<&Content>,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut items = item_vectors(net, config, (&ids, &warm), content, device)?;
        let mut bias = vec![0.0; items.rows()];
        let mut capability = Capability::personal();
        match content {
            Some(content) => {
                capability = capability.with_cold_items().with_modalities(content.names());
            }
            // Nothing is known of an item that nobody used.
            None => {
                let lowest = lowest_score(&users, &items, &warm);
                for (item, _) in warm.iter().enumerate().filter(|(_, warm)| !**warm) {
                    items.row_mut(item).fill(0.0);
                    bias[item] = lowest;
                }
            }
        }
        let dim = net.dim();
        let factors = FactorModel::new(NAME, users, items, bias, capability)?;
        let mut weights = ModelState::new("weights");
        save_weights(net, "", &mut weights)?;
        Ok(Self {
            factors: factors.with_part("taste", 0, dim),
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
        Ok(Self { factors, config, map, weights, ids, warm, device: None })
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
        let users = self.factors.factors().map(|f| f.users.clone());
        let users = users.ok_or_else(|| data("no factors".into()))?;
        let parts = (users, Matrix::from_vec(n, dim, ids)?, warm);
        Self::new(&self.config, &net, parts, Some(&content), &device)
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
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        state.meta.insert("config".into(), config);
        state.put("ids", self.ids.clone());
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

    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors()
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
