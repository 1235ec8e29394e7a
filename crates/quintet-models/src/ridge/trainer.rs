//! The trainer of one matrix of behaviour; an epoch is a sweep.

use std::collections::BTreeMap;

use quintet_core::{Interactions, Modality, ModelState, Recommender};
use quintet_tensor::{
    EpochStats, FitContext, FitError, Fitting, Trainer, TrainingData, check_interactions,
};

use super::blocks::{Blocks, Domain};
use super::data::{ItemViews, item_views, user_view, view_weight};
use super::model::{RidgeModel, RidgeRecipe};
use super::parts::behaviour_rows;
use crate::graph::{at_least_zero, refuse};

/// What the parameters of the models have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RidgeParams<'a> {
    pub(crate) name: &'static str,
    pub(crate) dim: usize,
    pub(crate) modalities: Option<&'a [Modality]>,
    pub(crate) components: usize,
    pub(crate) weights: &'a BTreeMap<String, f32>,
    pub(crate) observed: f32,
    pub(crate) empty: f32,
    pub(crate) l2: f32,
    pub(crate) use_values: bool,
    /// Whether attributes of users are read.
    pub(crate) user_view: bool,
}

impl RidgeParams<'_> {
    /// # Errors
    /// [`FitError::Config`] that names the parameter.
    pub(crate) fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 {
            return refuse(self.name, "dim", "at least 1", self.dim);
        }
        for (key, value) in [("alpha", self.observed), ("alpha0", self.empty), ("l2", self.l2)] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(self.name, key, "positive", value);
            }
        }
        for (name, weight) in self.weights {
            let users = self.user_view && name == "users";
            if name != "attributes" && !users && name.parse::<Modality>().is_err() {
                let known = if self.user_view { "attributes or users" } else { "or attributes" };
                let expected = format!("those of modalities, {known}");
                return refuse(self.name, "the names of weights", &expected, name);
            }
            at_least_zero(self.name, &format!("weights.{name}"), *weight)?;
        }
        Ok(())
    }

    /// The descriptions of the items of a matrix of behaviour.
    pub(crate) fn item_views(&self, data: TrainingData<'_>) -> Result<ItemViews, FitError> {
        item_views(self.name, data, self.modalities, self.components, self.weights, self.dim)
    }

    /// The recipe of a matrix of behaviour with these descriptions.
    pub(crate) fn recipe(&self, views: &ItemViews, weight: f64, cold_users: bool) -> RidgeRecipe {
        RidgeRecipe {
            dim: self.dim,
            observed: self.observed,
            empty: self.empty,
            use_values: self.use_values,
            l2: self.l2,
            deviation_l2: None,
            weight,
            views: views.views.iter().map(|view| view.weight as f32).collect(),
            cold_users,
        }
    }

    /// The sparse rows of a matrix of behaviour.
    pub(crate) fn behaviour(
        &self,
        train: &Interactions,
    ) -> Result<quintet_tensor::SparseRows, FitError> {
        check_interactions(self.name, train)?;
        behaviour_rows(train, train.n_items(), self.use_values).ok_or_else(|| {
            let reason = "values must not be negative: they are confidences".into();
            FitError::Data { model: self.name.into(), reason }
        })
    }

    /// Begins the fit of one matrix of behaviour.
    ///
    /// # Errors
    /// Parameters or data do not fit, or nothing describes items or users.
    pub(crate) fn start(
        &self,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<Fitting, FitError> {
        let trainer = RidgeTrainer::new(self, data, context)?;
        Ok(Fitting::Epochs(Box::new(trainer)))
    }
}

/// One matrix of behaviour in training.
pub(crate) struct RidgeTrainer {
    name: &'static str,
    pub(crate) blocks: Blocks,
    views: ItemViews,
    recipe: RidgeRecipe,
    train: Interactions,
}

impl RidgeTrainer {
    pub(crate) fn new(
        params: &RidgeParams<'_>,
        data: TrainingData<'_>,
        context: &FitContext,
    ) -> Result<Self, FitError> {
        params.check()?;
        let rows = params.behaviour(data.train)?;
        let views = params.item_views(data)?;
        let of_users = match params.user_view {
            true => {
                let weight = view_weight(params.weights, "users");
                let attributes = data.user_attributes;
                user_view(params.name, attributes, data.train.n_users(), weight, params.dim)?
            }
            false => Vec::new(),
        };
        if views.views.is_empty() && of_users.is_empty() {
            let reason = "it reads features or attributes of items, and there are none of a \
                          weight above 0; run `quintet encode` first";
            return Err(FitError::Data { model: params.name.into(), reason: reason.into() });
        }
        let recipe = params.recipe(&views, 1.0, !of_users.is_empty());
        let settings = recipe.settings();
        let domain = Domain::new(rows, views.views.clone(), 1.0, &settings, (context.seed, 0));
        let n_users = data.train.n_users();
        let blocks = Blocks::new(settings, n_users, of_users, vec![domain], context.seed);
        Ok(Self { name: params.name, blocks, views, recipe, train: data.train.clone() })
    }
}

impl Trainer for RidgeTrainer {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        self.blocks.sweep(self.name)?;
        let samples = self.train.nnz();
        let loss = self.blocks.loss() / samples as f64;
        if !loss.is_finite() {
            return Err(FitError::Diverged { model: self.name.into(), epoch, batch: 1, loss });
        }
        Ok(EpochStats { loss, batches: 1, samples })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let (recipe, train) = (self.recipe.clone(), &self.train);
        Ok(Box::new(RidgeModel::new(self.name, recipe, &self.blocks, 0, &self.views, train)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(self.name);
        for (name, table) in self.blocks.tables() {
            state.put(name, table.clone());
        }
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        if state.kind != self.name {
            return Err(state.mismatch("kind", self.name, &state.kind).into());
        }
        self.blocks.load(state)
    }

    fn n_parameters(&self) -> usize {
        self.blocks.tables().iter().map(|(_, table)| table.as_slice().len()).sum()
    }
}
