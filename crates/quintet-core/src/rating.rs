//! The face of every model that predicts ratings, and of what fits one.
//!
//! A rating model answers for a pair of a user and an item with a number on the scale of the
//! ratings. It always answers: whoever it does not know, and whatever has too few neighbours, is
//! answered by means, and the answer says so ([`Prediction::fallback`]), so that reports can
//! count it ([`PredictionCounts`]).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    Capability, CoreError, Interactions, ItemIdx, ModelState, Named, RegistryError, ScoreError,
    SeedStream, StateError, UserIdx,
};

/// Whose rating of what is asked for; `None` is somebody or something without a position.
pub type RatingPair = (Option<UserIdx>, Option<ItemIdx>);

/// Why a prediction does not come from the whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fallback {
    /// The user has no training rating.
    UnknownUser,
    /// The item has no training rating.
    UnknownItem,
    /// Neither has one.
    UnknownBoth,
    /// Fewer neighbours than the model asks for have what the prediction needs.
    FewNeighbours,
}

/// One predicted rating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The rating; inside the scale where the model clips.
    pub value: f32,
    /// The same before it was moved into the scale. Lists are ranked by it: clipped ratings
    /// tie at the end of the scale.
    pub unclipped: f32,
    /// What was missing, if the value does not come from the whole model.
    pub fallback: Option<Fallback>,
}

impl Prediction {
    /// Whether the value was moved to the end of the scale.
    pub fn clipped(&self) -> bool {
        self.value != self.unclipped
    }
}

/// How often predictions did not come from the whole model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionCounts {
    /// All predictions.
    pub predictions: usize,
    /// Of users without a training rating, of known items.
    pub unknown_user: usize,
    /// Of items without a training rating, for known users.
    pub unknown_item: usize,
    /// Where neither is known.
    pub unknown_both: usize,
    /// With fewer neighbours than the model asks for.
    pub few_neighbours: usize,
    /// Moved to the end of the scale.
    pub clipped: usize,
}

impl PredictionCounts {
    /// Counts.
    ///
    /// ```
    /// use quintet_core::{Fallback, Prediction, PredictionCounts};
    /// let fallback = Some(Fallback::UnknownUser);
    /// let counts = PredictionCounts::of(&[Prediction { value: 5.0, unclipped: 5.5, fallback }]);
    /// assert_eq!((counts.predictions, counts.unknown_user, counts.clipped), (1, 1, 1));
    /// ```
    pub fn of(predictions: &[Prediction]) -> Self {
        let count = |f: Fallback| predictions.iter().filter(|p| p.fallback == Some(f)).count();
        Self {
            predictions: predictions.len(),
            unknown_user: count(Fallback::UnknownUser),
            unknown_item: count(Fallback::UnknownItem),
            unknown_both: count(Fallback::UnknownBoth),
            few_neighbours: count(Fallback::FewNeighbours),
            clipped: predictions.iter().filter(|p| p.clipped()).count(),
        }
    }
}

/// A fitted rating model. Six methods are required.
///
/// An implementation must be deterministic: a pair has the same prediction alone, in any batch
/// and on any number of threads.
pub trait RatingPredictor: Send + Sync {
    /// The registry name of the model.
    fn name(&self) -> &str;

    /// Number of users of the training matrix, those without ratings included.
    fn n_users(&self) -> usize;

    /// Number of items of the training matrix, those without ratings included.
    fn n_items(&self) -> usize;

    /// What it can do.
    fn capability(&self) -> Capability;

    /// The rating that `user` would give to `item`. `None`, and whoever has no training rating,
    /// is unknown: the prediction then rests on means and says so.
    ///
    /// # Errors
    /// [`ScoreError::OutOfRange`] for a position outside the training matrix, and
    /// [`ScoreError::NotANumber`] where a broken model would give no number.
    fn predict(
        &self,
        user: Option<UserIdx>,
        item: Option<ItemIdx>,
    ) -> Result<Prediction, ScoreError>;

    /// The saved form; the registry entry of the same name loads it.
    fn state(&self) -> ModelState;

    /// [`RatingPredictor::predict`] for many pairs at once, in their order, in parallel. Models
    /// with work that pairs can share do it once.
    ///
    /// # Errors
    /// Those of the first pair that has one.
    fn predict_all(&self, pairs: &[RatingPair]) -> Result<Vec<Prediction>, ScoreError> {
        let found: Vec<_> = pairs.par_iter().map(|&(u, i)| self.predict(u, i)).collect();
        found.into_iter().collect()
    }
}

/// Why a rating model could not be fitted or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RatingError {
    /// The parameters do not fit the model.
    #[error("model {model}: {reason}")]
    Config {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// The ratings are not what the model needs.
    #[error("model {model} cannot be fitted: {reason}")]
    Data {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// The error grew without bound.
    #[error(
        "model {model}: the squared error is {loss} in epoch {epoch}; lower the learning rate or check the ratings"
    )]
    Diverged {
        /// The model.
        model: String,
        /// Epoch, from 1.
        epoch: usize,
        /// Mean squared error of the epoch.
        loss: f64,
    },
    /// A name is unknown.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A saved state does not fit.
    #[error(transparent)]
    State(#[from] StateError),
    /// A matrix does not fit.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A prediction failed.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// A rating model with its parameters, before it has seen ratings.
pub trait FitRating: Send + Sync {
    /// Registry name.
    fn name(&self) -> &str;

    /// The parameters with all defaults filled in, as written beside a run.
    fn config(&self) -> Value;

    /// Learns from `ratings` `[n_users, n_items]`. All randomness comes from `seed`; the same
    /// seed gives the same bytes on any number of threads.
    ///
    /// # Errors
    /// The parameters or the ratings do not fit the model, or training diverged.
    fn fit(
        &self,
        ratings: &Interactions,
        seed: SeedStream,
    ) -> Result<Box<dyn RatingPredictor>, RatingError>;
}

/// Builds an unfitted rating model from its parameters.
pub type BuildRating = fn(&Value) -> Result<Box<dyn FitRating>, RatingError>;

/// Loads a fitted rating model.
pub type LoadRating = fn(&ModelState) -> Result<Box<dyn RatingPredictor>, RatingError>;

/// What a rating model can learn, for the contract suite and for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learns {
    /// Neither users nor items: a line to be beaten.
    Nothing,
    /// Who rates high, or what is rated high.
    Level,
    /// Who likes what.
    Taste,
}

/// One registered rating model.
#[derive(Debug, Clone)]
pub struct RatingEntry {
    /// Registry name.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// What it can learn.
    pub learns: Learns,
    /// Builds it from parameters; `null` means the defaults.
    pub build: BuildRating,
    /// Loads what [`RatingPredictor::state`] gave.
    pub load: LoadRating,
    /// Sets of parameters under each of which it learns a toy world within a second, for the
    /// contract suite; JSON texts.
    pub tiny: &'static [&'static str],
}

impl Named for RatingEntry {
    fn name(&self) -> &str {
        self.name
    }
}
