//! From data to a fitted model.

use burn::tensor::Device;
use quintet_core::{
    Behaviours, FeatureSet, Interactions, ModelState, Named, Recommender, SeedStream, Sequences,
    SparseFeatures,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::FitError;

/// What a model may learn from: training interactions and item features, nothing held out.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TrainingData<'a> {
    /// Training interactions, `[n_users, n_items]`.
    pub train: &'a Interactions,
    /// Item features by modality, over the same items.
    pub features: &'a FeatureSet,
    /// The training interactions in the order of time, where times are known.
    pub sequences: Option<&'a Sequences>,
    /// Attributes of the users, where there are any; a row each.
    pub user_attributes: Option<&'a SparseFeatures>,
    /// Attributes of the items, where there are any; a row each.
    pub item_attributes: Option<&'a SparseFeatures>,
    /// What users did, kind by kind, for models that ask for it ([`Fit::reads_behaviours`]): the
    /// kinds and values of the events of training, also those that do not count as `train`.
    pub behaviours: Option<&'a Behaviours>,
}

impl<'a> TrainingData<'a> {
    /// Interactions and features; the rest is added where it is known.
    pub fn new(train: &'a Interactions, features: &'a FeatureSet) -> Self {
        Self {
            train,
            features,
            sequences: None,
            user_attributes: None,
            item_attributes: None,
            behaviours: None,
        }
    }

    /// Adds the order of time.
    pub fn with_sequences(mut self, sequences: &'a Sequences) -> Self {
        self.sequences = Some(sequences);
        self
    }

    /// Adds the attributes of the users.
    pub fn with_user_attributes(mut self, attributes: &'a SparseFeatures) -> Self {
        self.user_attributes = Some(attributes);
        self
    }

    /// Adds the attributes of the items.
    pub fn with_item_attributes(mut self, attributes: &'a SparseFeatures) -> Self {
        self.item_attributes = Some(attributes);
        self
    }

    /// Adds what users did, kind by kind.
    pub fn with_behaviours(mut self, behaviours: &'a Behaviours) -> Self {
        self.behaviours = Some(behaviours);
        self
    }
}

/// Where and from which seed to train.
#[derive(Debug, Clone)]
pub struct FitContext {
    /// The device, without autodiff; models switch it on for their own tensors.
    pub device: Device,
    /// The run's seed.
    pub seed: SeedStream,
}

/// A model with its parameters, before it has seen data.
pub trait Fit: Send + Sync {
    /// Registry name.
    fn name(&self) -> &str;

    /// The parameters with all defaults filled in, as written beside the run.
    fn config(&self) -> Value;

    /// Whether [`TrainingData::behaviours`] is read. They are as large as the log, and only models
    /// that say so are given them.
    fn reads_behaviours(&self) -> bool {
        false
    }

    /// Begins: a closed-form model comes back fitted, any other as a trainer.
    ///
    /// # Errors
    /// The parameters, the data or the features do not fit the model.
    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError>;
}

/// How far [`Fit::start`] came.
pub enum Fitting {
    /// Nothing is left to do.
    Fitted(Box<dyn Recommender>),
    /// To be trained epoch by epoch.
    Epochs(Box<dyn Trainer>),
}

/// What an epoch did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochStats {
    /// Mean loss over the batches.
    pub loss: f64,
    /// Number of optimiser steps.
    pub batches: usize,
    /// Number of training samples.
    pub samples: usize,
}

/// A model in training.
///
/// Randomness of an epoch depends on the seed and the epoch number only, so that a run that
/// was stopped and resumed from [`Trainer::save`] goes on as if it had not been (bitwise, on a
/// CPU).
pub trait Trainer: Send {
    /// Trains epoch `epoch`, counted from 1.
    ///
    /// # Errors
    /// [`FitError::Diverged`] when the loss is not finite; a device failure.
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError>;

    /// The model with the current weights.
    ///
    /// # Errors
    /// A weight is not finite; a device failure.
    fn model(&self) -> Result<Box<dyn Recommender>, FitError>;

    /// What a reader of the results should know of the training so far, a sentence each, such as
    /// the privacy that it has spent.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Everything needed to go on: weights, moments, step counts.
    ///
    /// # Errors
    /// A device failure.
    fn save(&self) -> Result<ModelState, FitError>;

    /// Goes back to what [`Trainer::save`] gave.
    ///
    /// # Errors
    /// The state is of another model, or its shapes do not fit.
    fn load(&mut self, state: &ModelState) -> Result<(), FitError>;

    /// Number of trained numbers.
    fn n_parameters(&self) -> usize;
}

/// Builds an unfitted model from its parameters.
pub type BuildModel = fn(&Value) -> Result<Box<dyn Fit>, FitError>;

/// Loads a fitted model.
pub type LoadModel = fn(&ModelState) -> Result<Box<dyn Recommender>, FitError>;

/// One registered recommender.
#[derive(Debug, Clone)]
pub struct ModelEntry {
    /// Registry name.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Builds it from parameters; `null` means the defaults.
    pub build: BuildModel,
    /// Loads what [`Recommender::state`] gave.
    pub load: LoadModel,
    /// Parameters under which it learns a toy world within a second, for the contract suite;
    /// JSON text.
    pub tiny: &'static str,
}

impl Named for ModelEntry {
    fn name(&self) -> &str {
        self.name
    }
}

/// Reads the parameters of `model`: `null` gives the defaults, an unknown key is an error.
/// `T` must refuse unknown fields.
///
/// # Errors
/// [`FitError::Config`] that names the model and the key.
pub fn parse_params<T: DeserializeOwned>(model: &str, params: &Value) -> Result<T, FitError> {
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    T::deserialize(params)
        .map_err(|e| FitError::Config { model: model.to_owned(), reason: e.to_string() })
}
