//! A fitted model whose items are content beside an id, kept with all that turns features into
//! content: it can look at other features than those it was fitted on.

use burn::tensor::{Device, Tensor};
use quintet_core::{
    Capability, Factors, FeatureSet, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    SeedStream, UserIdx, check_fold_in,
};
use quintet_tensor::{
    DeviceChoice, FactorModel, FitError, Fused, Fusion, FusionShape, Layer, Views, Weight, dot,
    load_weights, open_device, save_weights, tensor_to_vec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Content, ContentMap};
use crate::history_pool::{HistoryPool, Users};
use crate::projections;

/// How content becomes the rows of items, beside the weights of the fusion layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    /// Registry name of the fusion layer, or [`projections::NAME`].
    pub(crate) fusion: String,
    /// Its parameters.
    pub(crate) fusion_params: Value,
    /// Width of the content.
    pub(crate) dim: usize,
    /// The column of an item's row where content begins; the id has the other columns.
    pub(crate) content_at: usize,
    /// What fused vectors are multiplied by.
    pub(crate) scale: f32,
    /// What the content of an item without training is multiplied by besides.
    pub(crate) cold_scale: f32,
    /// The bias of an item without training.
    pub(crate) cold_bias: f32,
}

impl Recipe {
    /// The fusion layer, on `device`.
    pub(crate) fn layer(
        &self,
        map: &ContentMap,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Box<dyn Fusion>, FitError> {
        let shape = map.shape(self.dim);
        if self.fusion == projections::NAME {
            return Ok(Box::new(projections::MeanProjections::new(&shape, seed, device)));
        }
        named_fusion((&self.fusion, &self.fusion_params), &shape, seed, device)
    }

    /// Fused and scaled rows, `[n_items, dim]`, and the shares of the modalities.
    pub(crate) fn rows(
        &self,
        fusion: &dyn Fusion,
        content: &Content,
        device: &Device,
    ) -> Result<(Matrix, Matrix), FitError> {
        let n = content.n_items();
        let (mut rows, mut shares) = (Vec::with_capacity(n * self.dim), Vec::new());
        for chunk in content.chunks() {
            let views = content.views(&chunk, device);
            let fused = fusion.forward(&views).mul_scalar(self.scale);
            rows.extend(tensor_to_vec(fused.inner()).map_err(FitError::Device)?);
            let of_chunk = fusion.shares(&views).inner();
            shares.extend(tensor_to_vec(of_chunk).map_err(FitError::Device)?);
        }
        let rows = Matrix::from_vec(n, self.dim, rows)?;
        Ok((rows, Matrix::from_vec(n, content.names().len(), shares)?))
    }
}

/// A fusion layer by its name in quintet-fusion, with its parameters.
pub(crate) fn named_fusion(
    (name, params): (&str, &Value),
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    let registry = quintet_fusion::registry()?;
    (registry.get(name)?.build)(params, shape, seed, device)
}

/// The weights of `layer` with `prefix` before their names.
pub(crate) fn prefixed<'a, L: Layer + ?Sized>(
    prefix: &str,
    layer: &'a L,
) -> Vec<(String, &'a Weight)> {
    layer.weights().into_iter().map(|(name, w)| (format!("{prefix}{name}"), w)).collect()
}

/// The device of the fit, or one that is found for a model that was loaded.
pub(crate) fn device_of(known: &Option<Device>) -> Result<Device, FitError> {
    match known {
        Some(device) => Ok(device.clone()),
        None => {
            let opened = open_device(DeviceChoice::Auto);
            Ok(opened.map_err(|e| FitError::Device(e.to_string()))?.device)
        }
    }
}

/// Refuses features of fewer items than a model was fitted on.
pub(crate) fn check_length(model: &str, expected: usize, found: usize) -> Result<(), FitError> {
    if found >= expected {
        return Ok(());
    }
    let reason =
        format!("features of {found} items; it was fitted on {expected}, which have to come first");
    Err(FitError::Data { model: model.into(), reason })
}

/// What a model made over other features gives to its caller.
pub(crate) fn over_features<M: Recommender + 'static>(
    name: &str,
    made: Result<M, FitError>,
) -> Result<Box<dyn Recommender>, ScoreError> {
    match made {
        Ok(model) => Ok(Box::new(model)),
        Err(FitError::Data { model, reason }) => Err(ScoreError::Features { model, reason }),
        Err(e) => Err(ScoreError::Features { model: name.into(), reason: e.to_string() }),
    }
}

/// What a layer gives in training, with its vectors times `scale`.
pub(crate) fn scaled(fused: Fused, scale: f32) -> Fused {
    Fused {
        vectors: fused.vectors.mul_scalar(scale),
        penalty: fused.penalty,
        heads: fused.heads.into_iter().map(|head| head.mul_scalar(scale)).collect(),
    }
}

/// What a fusion layer adds to the loss: its own penalty, and the mean loss of its heads, each in
/// the place of the fused vectors, times `weight`.
pub(crate) fn auxiliary(
    fused: &Fused,
    views: &Views,
    weight: f32,
    loss_of: impl Fn(Tensor<2>) -> Tensor<1>,
) -> Tensor<1> {
    let nothing = Tensor::zeros([1], &fused.vectors.device());
    let own = fused.penalty.clone().unwrap_or(nothing);
    if weight == 0.0 || fused.heads.is_empty() {
        return own;
    }
    let each = weight / fused.heads.len() as f32;
    let heads = fused.stand_ins(views).into_iter();
    heads.fold(own, |sum, head| sum + loss_of(head).mul_scalar(each))
}

/// Factors with the content in some of their columns, and the way to it.
pub(crate) struct ContentModel {
    name: &'static str,
    factors: FactorModel,
    recipe: Recipe,
    map: ContentMap,
    /// The weights of the fusion layer, by `fusion.` and their names.
    weights: ModelState,
    /// Where fusion layers run; found when it is needed for a model that was loaded.
    device: Option<Device>,
    /// Whether each item had training interactions.
    warm: Vec<bool>,
    /// Where the users are made of their histories.
    pool: Option<HistoryPool>,
}

/// Ids and biases of the fitted items, which content is put beside.
pub(crate) struct Ids<'a> {
    /// Over all columns.
    pub(crate) users: Users,
    /// `[n_items, id columns]`.
    pub(crate) items: &'a Matrix,
    /// `[n_items]`.
    pub(crate) bias: &'a [f32],
    /// Whether each item had training interactions.
    pub(crate) warm: Vec<bool>,
}

impl ContentModel {
    /// Puts content and ids together. Items that were not trained are ranked by content alone.
    pub(crate) fn new(
        name: &'static str,
        recipe: Recipe,
        ids: Ids<'_>,
        fusion: &dyn Fusion,
        content: &Content,
        device: &Device,
    ) -> Result<Self, FitError> {
        let (rows, shares) = recipe.rows(fusion, content, device)?;
        let columns = Columns { recipe: &recipe, id_width: ids.items.cols() };
        let mut items = Matrix::zeros(rows.rows(), columns.width());
        let mut bias = vec![recipe.cold_bias; rows.rows()];
        for (item, bias) in bias.iter_mut().enumerate() {
            let id = ids.warm[item].then(|| ids.items.row(item));
            columns.write(items.row_mut(item), rows.row(item), id);
            if ids.warm[item] {
                *bias = ids.bias[item];
            }
        }
        let capability = Capability::personal().with_cold_items().with_modalities(content.names());
        let (users, pool) = ids.users.rows(&items);
        let factors = columns.parts(FactorModel::new(name, users, items, bias, capability)?);
        let factors = factors.with_shares(shares)?;
        let mut weights = ModelState::new("fusion");
        save_weights(fusion, "fusion.", &mut weights)?;
        let (map, device) = (content.map().clone(), Some(device.clone().inner()));
        Ok(Self { name, factors, recipe, map, weights, device, warm: ids.warm, pool })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(crate) fn load(name: &'static str, state: &ModelState) -> Result<Self, FitError> {
        let factors = FactorModel::load(state)?;
        let text = state.text("recipe")?;
        let recipe: Recipe = serde_json::from_str(text)
            .map_err(|e| state.mismatch("recipe", "how content is made", &e.to_string()))?;
        let warm: Vec<bool> = state.whole("warm")?.iter().map(|&w| w != 0).collect();
        let (n, width) = factors.factors().map_or((0, 0), |f| (f.items.rows(), f.items.cols()));
        if warm.len() != n {
            let found = format!("{}", warm.len());
            return Err(state.mismatch("warm", &format!("{n} numbers"), &found).into());
        }
        if recipe.content_at.checked_add(recipe.dim).is_none_or(|end| end > width) {
            let found = format!("{} from column {}", recipe.dim, recipe.content_at);
            return Err(state.mismatch("recipe", &format!("columns of {width}"), &found).into());
        }
        let mut weights = ModelState::new("fusion");
        for (key, tensor) in state.tensors.iter().filter(|(k, _)| k.starts_with("fusion.")) {
            weights.tensors.insert(key.clone(), tensor.clone());
        }
        let map = ContentMap::load(state)?;
        let pool = HistoryPool::load(state, [factors.n_users(), n, width])?;
        Ok(Self { name, factors, recipe, map, weights, device: None, warm, pool })
    }

    /// The fusion layer with its trained weights.
    fn layer(&self, device: &Device) -> Result<Box<dyn Fusion>, FitError> {
        let seed = SeedStream::new(0);
        let mut layer = self.recipe.layer(&self.map, seed, device)?;
        load_weights(&mut *layer, "fusion.", &self.weights, device)?;
        Ok(layer)
    }

    fn over(&self, features: &FeatureSet) -> Result<Self, FitError> {
        let device = device_of(&self.device)?;
        let data = |reason| FitError::Data { model: self.name.into(), reason };
        check_length(self.name, self.warm.len(), features.n_items())?;
        let content = self.map.apply(features, &device).map_err(data)?;
        let old = self.factors.factors().ok_or_else(|| data("no factors".into()))?;
        let columns =
            Columns { recipe: &self.recipe, id_width: old.items.cols() - self.recipe.dim };
        let mut ids = Matrix::zeros(content.n_items(), columns.id_width);
        for item in 0..self.warm.len() {
            columns.read_id(old.items.row(item), ids.row_mut(item));
        }
        let mut bias = old.bias.to_vec();
        bias.resize(content.n_items(), 0.0);
        let mut warm = self.warm.clone();
        warm.resize(content.n_items(), false);
        let users = match &self.pool {
            Some(pool) => Users::Pooled(pool.clone()),
            None => Users::Vectors(old.users.clone()),
        };
        let ids = Ids { users, items: &ids, bias: &bias, warm };
        let layer = self.layer(&device)?;
        Self::new(self.name, self.recipe.clone(), ids, &*layer, &content, &device)
    }
}

/// Where content and id lie in the row of an item.
struct Columns<'a> {
    recipe: &'a Recipe,
    id_width: usize,
}

impl Columns<'_> {
    fn width(&self) -> usize {
        self.recipe.dim + self.id_width
    }

    fn content(&self) -> std::ops::Range<usize> {
        self.recipe.content_at..self.recipe.content_at + self.recipe.dim
    }

    /// An item's row; without an id, content stands alone.
    fn write(&self, row: &mut [f32], content: &[f32], id: Option<&[f32]>) {
        let factor = if id.is_some() { 1.0 } else { self.recipe.cold_scale };
        let range = self.content();
        row[range.clone()].iter_mut().zip(content).for_each(|(r, c)| *r = factor * c);
        if let Some(id) = id {
            let rest = (0..self.width()).filter(|c| !range.contains(c));
            rest.zip(id).for_each(|(c, v)| row[c] = *v);
        }
    }

    /// The id columns of a row.
    fn read_id(&self, row: &[f32], id: &mut [f32]) {
        let range = self.content();
        let rest = (0..self.width()).filter(|c| !range.contains(c));
        rest.zip(id).for_each(|(c, v)| *v = row[c]);
    }

    /// Names the parts, in the order of their columns.
    fn parts(&self, model: FactorModel) -> FactorModel {
        let (content, width) = (self.content(), self.width());
        if content.start == 0 {
            model.with_part("content", 0, content.end).with_part("taste", content.end, width)
        } else {
            let before = content.start;
            model.with_part("taste", 0, before).with_part("content", before, content.end)
        }
    }
}

impl Recommender for ContentModel {
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
        let capability = self.factors.capability();
        if self.pool.is_some() { capability.with_fold_in() } else { capability }
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.factors.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.factors.state();
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        state.meta.insert("recipe".into(), recipe);
        state.put_whole("warm", self.warm.iter().map(|&w| i64::from(w)).collect());
        self.map.save(&mut state);
        for (key, tensor) in &self.weights.tensors {
            state.tensors.insert(key.clone(), tensor.clone());
        }
        if let Some(pool) = &self.pool {
            pool.save(&mut state);
        }
        state
    }

    /// Values and order are not read, and what was done twice counts once. Of a model whose users are made of their histories.
    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        let (Some(pool), Some(of)) = (&self.pool, self.factors.factors()) else {
            return Err(ScoreError::NoFoldIn { model: self.name.into() });
        };
        check_fold_in(items, values, out, self.n_items())?;
        // In a history, what stands in for a missing id says nothing.
        let factor = |item: ItemIdx| match self.warm[item.index()] {
            true => 1.0,
            false => self.recipe.cold_scale.recip(),
        };
        // Somebody may have done a thing twice; it counts once, as in training.
        let mut history = items.to_vec();
        history.sort_unstable();
        history.dedup();
        let mut user = vec![0.0; of.items.cols()];
        pool.add(&history, (of.items, factor), &mut user);
        let scores = out.iter_mut().zip(of.bias).enumerate();
        scores.for_each(|(i, (out, bias))| *out = dot(&user, of.items.row(i)) + bias);
        Ok(())
    }

    fn modality_shares(&self) -> Option<&Matrix> {
        self.factors.modality_shares()
    }

    fn factors(&self) -> Option<Factors<'_>> {
        self.factors.factors()
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        over_features(self.name, self.over(features))
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let mut reasons = self.factors.explain(user, item, history, k)?;
        if let (Some(pool), Some(of)) = (&self.pool, self.factors.factors()) {
            reasons.retain(|reason| !matches!(reason, Reason::Because { .. }));
            reasons.extend(pool.reasons(item, history, of.items, k));
        }
        Ok(reasons)
    }
}
