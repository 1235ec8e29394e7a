//! What models of a network over ids and content keep beside their vectors, to be saved, loaded and
//! put over other features, and what their trainers save.

use burn::tensor::{Device, Tensor, TensorData};
use quintet_core::{FeatureSet, Matrix, ModelState, SeedStream};
use quintet_tensor::{Adam, Dropout, EmbeddingTable, FitError, Layer, load_weights, save_weights};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::content::{Content, ContentMap};
use crate::content_model::{check_length, device_of};

/// Prefix of the trained weights in a saved state.
const WEIGHTS: &str = "net.";

/// The network and the ids behind the vectors of a fitted model.
pub(crate) struct Kept {
    /// None where no content is read.
    pub(crate) map: Option<ContentMap>,
    /// The weights of the network by their names.
    weights: ModelState,
    /// Trained ids, without rows where items have none; those of unused items are not read.
    pub(crate) ids: Matrix,
    /// Whether each item had training interactions.
    pub(crate) warm: Vec<bool>,
    /// The device of the fit; found when it is needed for a model that was loaded.
    device: Option<Device>,
}

/// What a model is made of over other features.
pub(crate) struct Over {
    pub(crate) content: Content,
    pub(crate) ids: Matrix,
    pub(crate) warm: Vec<bool>,
    pub(crate) device: Device,
}

impl Kept {
    pub(crate) fn new(
        net: &(impl Layer + ?Sized),
        content: Option<&Content>,
        (ids, warm): (Matrix, Vec<bool>),
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut weights = ModelState::new("weights");
        save_weights(net, "", &mut weights)?;
        let map = content.map(|content| content.map().clone());
        Ok(Self { map, weights, ids, warm, device: Some(device.clone().inner()) })
    }

    /// Adds everything and the parameters to `state`.
    pub(crate) fn save(&self, config: &impl Serialize, state: &mut ModelState) {
        state.meta.insert("config".into(), serde_json::to_string(config).unwrap_or_default());
        state.put("ids", self.ids.clone());
        state.put_whole("warm", self.warm.iter().map(|&w| i64::from(w)).collect());
        match &self.map {
            Some(map) => map.save(state),
            None => drop(state.meta.insert("content".into(), String::new())),
        }
        for (name, tensor) in &self.weights.tensors {
            state.tensors.insert(format!("{WEIGHTS}{name}"), tensor.clone());
        }
    }

    /// Reads back what [`Kept::save`] wrote, of `n_items` items and ids of the given shape.
    pub(crate) fn load(
        state: &ModelState,
        n_items: usize,
        [n_ids, dim]: [usize; 2],
    ) -> Result<Self, FitError> {
        let ids = state.shaped("ids", n_ids, dim)?.clone();
        let warm: Vec<bool> = state.whole("warm")?.iter().map(|&w| w != 0).collect();
        if warm.len() != n_items {
            let found = warm.len().to_string();
            return Err(state.mismatch("warm", &format!("{n_items} numbers"), &found).into());
        }
        let map = ContentMap::load(state)?;
        let map = (!map.modalities().is_empty()).then_some(map);
        let mut weights = ModelState::new("weights");
        for (key, tensor) in &state.tensors {
            if let Some(name) = key.strip_prefix(WEIGHTS) {
                weights.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        Ok(Self { map, weights, ids, warm, device: None })
    }

    /// Puts the trained weights into a new network.
    pub(crate) fn trained<N: Layer>(&self, mut net: N, device: &Device) -> Result<N, FitError> {
        load_weights(&mut net, "", &self.weights, device)?;
        Ok(net)
    }

    /// The device of the fit, or one that is found.
    pub(crate) fn device(&self) -> Result<Device, FitError> {
        device_of(&self.device)
    }

    /// Content of other features, with ids and marks for the items that they have in addition.
    pub(crate) fn over(
        &self,
        name: &str,
        map: &ContentMap,
        features: &FeatureSet,
    ) -> Result<Over, FitError> {
        check_length(name, self.warm.len(), features.n_items())?;
        let device = self.device()?;
        let data = |reason: String| FitError::Data { model: name.into(), reason };
        let content = map.apply(features, &device).map_err(data)?;
        let (n, dim) = (content.n_items(), self.ids.cols());
        let n_ids = if self.ids.rows() == 0 { 0 } else { n };
        let mut ids = self.ids.as_slice().to_vec();
        ids.resize(n_ids * dim, 0.0);
        let mut warm = self.warm.clone();
        warm.resize(n, false);
        Ok(Over { content, ids: Matrix::from_vec(n_ids, dim, ids)?, warm, device })
    }
}

/// The parameters that [`Kept::save`] wrote.
pub(crate) fn read_config<T: DeserializeOwned>(state: &ModelState) -> Result<T, FitError> {
    let read = serde_json::from_str(state.text("config")?);
    Ok(read.map_err(|e| state.mismatch("config", "the model's parameters", &e.to_string()))?)
}

/// Ids of some items, zeros for those that were not trained, `[items, dim]`.
pub(crate) fn known_ids(
    items: &[u32],
    (ids, warm): (&Matrix, &[bool]),
    device: &Device,
) -> Tensor<2> {
    let dim = ids.cols();
    let mut rows = Vec::with_capacity(items.len() * dim);
    for &item in items {
        match warm[item as usize] {
            true => rows.extend_from_slice(ids.row(item as usize)),
            false => rows.resize(rows.len() + dim, 0.0),
        }
    }
    Tensor::from_data(TensorData::new(rows, [items.len(), dim]), device)
}

/// Dropout that drops nothing.
pub(crate) fn all_kept() -> Dropout {
    Dropout::new(0.0, SeedStream::new(0).rng("none", 0))
}

/// What a trainer of tables and a network saves: `tables` by their prefixes.
pub(crate) fn save_training(
    name: &str,
    tables: &[(&str, &EmbeddingTable)],
    net: &(impl Layer + ?Sized),
    optimiser: &Adam,
) -> Result<ModelState, FitError> {
    let mut state = ModelState::new(name);
    tables.iter().for_each(|(prefix, table)| table.save(prefix, &mut state));
    save_weights(net, WEIGHTS, &mut state)?;
    optimiser.save("adam.", &mut state)?;
    Ok(state)
}

/// Reads back what [`save_training`] gave.
pub(crate) fn load_training(
    tables: &mut [(&str, &mut EmbeddingTable)],
    net: &mut (impl Layer + ?Sized),
    optimiser: &mut Adam,
    (state, device): (&ModelState, &Device),
) -> Result<(), FitError> {
    for (prefix, table) in tables {
        table.load(prefix, state)?;
    }
    load_weights(net, WEIGHTS, state, device)?;
    optimiser.load(net, "adam.", state, device)
}
