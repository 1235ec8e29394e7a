//! The fitted form: factors, and all that is needed to make them again over other features.

use burn::prelude::*;
use quintet_core::{
    Capability, Factors, FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Reason,
    Recommender, ScoreError, SeedStream, SparseFeatures, UserIdx,
};
use quintet_tensor::{
    DeviceChoice, FactorModel, FitError, Layer, UnusedBias, clear_unused_items, load_weights,
    open_device, tensor_to_matrix,
};
use std::marker::PhantomData;

use super::attributes;
use super::fit::longer;
use super::{GraphNet, GraphRecipe, World};

/// Prefix of the trained weights in the saved state.
const WEIGHTS: &str = "net.";

pub(crate) struct GraphModel<R> {
    factors: FactorModel,
    recipe: R,
    weights: ModelState,
    train: Interactions,
    attributes: Option<SparseFeatures>,
    /// Where the net runs; found when it is needed for a model that was loaded.
    device: Option<Device>,
    _of: PhantomData<R>,
}

impl<R: GraphRecipe> GraphModel<R> {
    pub(crate) fn new(
        recipe: &R,
        net: &R::Net,
        weights: ModelState,
        world: &World,
        device: Option<Device>,
    ) -> Result<Self, FitError> {
        let (users, items) = net.vectors();
        let host = |t: Tensor<2>| tensor_to_matrix(t.inner()).map_err(FitError::Device);
        let (users, mut items) = (host(users)?, host(items)?);
        let mut bias = vec![0.0; items.rows()];
        if !R::RANKS_NEW_ITEMS {
            clear_unused_items(&world.train, &mut items, &mut bias, UnusedBias::Lowest);
        }
        let dim = users.cols();
        let mut capability = Capability::personal().with_modalities(world.modalities());
        if R::RANKS_NEW_ITEMS {
            capability = capability.with_cold_items();
        }
        let factors = FactorModel::new(R::NAME, users, items, bias, capability)?;
        Ok(Self {
            factors: factors.with_part("taste", 0, dim),
            recipe: recipe.clone(),
            weights,
            train: world.train.clone(),
            attributes: world.attributes.clone(),
            device,
            _of: PhantomData,
        })
    }

    /// Loads what [`Recommender::state`] gave.
    pub(crate) fn load(state: &ModelState) -> Result<Self, FitError> {
        let text = state.text("recipe")?;
        let recipe: R = serde_json::from_str(text)
            .map_err(|e| state.mismatch("recipe", "the model's parameters", &e.to_string()))?;
        let mut weights = ModelState::new("weights");
        for (key, tensor) in &state.tensors {
            if let Some(name) = key.strip_prefix(WEIGHTS) {
                weights.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        let factors = FactorModel::load(state)?;
        let train = state.interactions("train")?;
        if (train.n_users(), train.n_items()) != (factors.n_users(), factors.n_items()) {
            let expected = format!("{} by {}", factors.n_users(), factors.n_items());
            let found = format!("{} by {}", train.n_users(), train.n_items());
            return Err(state.mismatch("train", &expected, &found).into());
        }
        let attributes = if recipe.reads_attributes() {
            Some(attributes::load(state, train.n_items())?)
        } else {
            None
        };
        Ok(Self { factors, recipe, weights, train, attributes, device: None, _of: PhantomData })
    }

    fn over(&self, features: &FeatureSet) -> Result<Self, FitError> {
        let data = |reason| FitError::Data { model: R::NAME.into(), reason };
        let (expected, found) = (self.train.n_items(), features.n_items());
        if found < expected {
            return Err(data(format!(
                "features of {found} items; it was fitted on {expected}, which have to come first"
            )));
        }
        let device = match &self.device {
            Some(device) => device.clone(),
            None => {
                open_device(DeviceChoice::Auto).map_err(|e| FitError::Device(e.to_string()))?.device
            }
        };
        let read = self.factors.capability().modalities;
        let mut world = World::new(
            R::NAME,
            &longer(&self.train, found)?,
            features,
            Some(&read),
            self.recipe.needs_features(),
            &device,
        )?;
        world.attributes =
            self.attributes.as_ref().map(|a| attributes::longer(a, found)).transpose()?;
        let mut net = self.recipe.net(&world, &mut SeedStream::new(0).rng(R::NAME, 0))?;
        let weights = self.grown(&net, expected, found)?;
        load_weights(&mut net, "", &weights, &device)?;
        net.remember(&weights)?;
        // The weights stay those of the fit: they can be grown again.
        Self::new(&self.recipe, &net, self.weights.clone(), &world, self.device.clone())
            .map(|model| Self { train: world.train.clone(), ..model })
    }

    /// The weights with rows of zeros for the items that came later.
    fn grown(&self, net: &R::Net, from: usize, to: usize) -> Result<ModelState, FitError> {
        let mut weights = self.weights.clone();
        for (name, weight) in net.weights() {
            let [rows, cols] = weight.dims();
            if !name.starts_with("items") || rows != to || from == to {
                continue;
            }
            // A model that was grown before has some of the rows already.
            let old = self.weights.matrix(&name)?;
            if old.cols() == cols && old.rows() < to {
                let mut numbers = old.as_slice().to_vec();
                numbers.resize(to * cols, 0.0);
                weights.put(name, Matrix::from_vec(to, cols, numbers)?);
            }
        }
        Ok(weights)
    }
}

impl<R: GraphRecipe> Recommender for GraphModel<R> {
    fn name(&self) -> &str {
        R::NAME
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
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        state.meta.insert("recipe".into(), recipe);
        state.put_interactions("train", &self.train);
        if let Some(attributes) = &self.attributes {
            attributes::save(attributes, &mut state);
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
        if self.factors.capability().modalities.is_empty() {
            return Err(ScoreError::NoContent { model: R::NAME.into() });
        }
        match self.over(features) {
            Ok(model) => Ok(Box::new(model)),
            Err(FitError::Data { model, reason }) => Err(ScoreError::Features { model, reason }),
            Err(e) => Err(ScoreError::Features { model: R::NAME.into(), reason: e.to_string() }),
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
