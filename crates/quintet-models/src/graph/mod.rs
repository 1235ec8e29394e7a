//! What the models over graphs and features share: the data, the loop, the fitted form.
//!
//! A model here is a struct of weights with three functions ([`GraphNet`]): the loss of a batch of
//! triples, the final vectors of users and items, and, where it needs one, the preparation of an
//! epoch. Everything around it, from the parameters to the saved state, is written once:
//! [`entry`] makes a registry entry of its parameters ([`GraphRecipe`]).

mod attribute_view;
mod attributes;
mod common;
mod edges;
mod encoder;
mod fit;
mod losses;
mod model;
mod options;
#[cfg(test)]
pub(crate) mod parity;
mod principal;
mod sides;
mod stacked;
mod world;

use burn::prelude::*;
use quintet_core::{Matrix, ModelState, SeedStream};
use quintet_data::TripletBatch;
use quintet_tensor::{Dropout, FitError, Layer, Linear, Robust, Weight};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use attribute_view::AttributeView;
pub(crate) use common::{most_in_common, weighted_users};
pub(crate) use edges::{Edges, joined, union};
pub(crate) use encoder::{Content, EncoderShape, ModalityEncoder, default_linear, split};
pub(crate) use fit::entry;
pub(crate) use losses::{Triples, bpr, bpr_of, cosine_distance, emb_norm, l2_half, norms_of};
pub(crate) use principal::{PrincipalShape, principal_graph};
pub(crate) use sides::{Nodes, SideLoss, node_rows, softmax_over};
pub(crate) use stacked::Stacked;
pub(crate) use world::{ItemFeatures, World, by_row_sums, chosen, keep_edges, with_ones};

/// What every model of this family is told about training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Training {
    /// Step size of Adam in the first epoch.
    pub(crate) lr: f32,
    /// What the step size is multiplied by every 50 epochs, smoothly; 1 for a constant one.
    pub(crate) lr_decay: f32,
    /// Triples a step.
    pub(crate) batch_size: usize,
}

/// The parameters of a model: all that is needed to build it.
pub(crate) trait GraphRecipe:
    Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Registry name.
    const NAME: &'static str;
    /// One line for lists.
    const SUMMARY: &'static str;
    /// Parameters under which it learns a toy world within a second, JSON text.
    const TINY: &'static str;
    /// Whether items that nobody used have vectors that mean something.
    const RANKS_NEW_ITEMS: bool;

    /// The trained form.
    type Net: GraphNet + Clone + 'static;

    /// What the training loop needs.
    fn training(&self) -> Training;

    /// Which modalities are read; all that have features by default.
    fn modalities(&self) -> Option<&[quintet_core::Modality]>;

    /// Attributes as one more view in the item graph, where the model has that.
    fn attribute_view(&self) -> Option<&AttributeView> {
        None
    }

    /// Whether it reads the attributes of items; the fitted model then keeps them.
    fn reads_attributes(&self) -> bool {
        self.attribute_view().is_some()
    }

    /// Whether the model can do without any features.
    fn needs_features(&self) -> bool {
        true
    }

    /// Checks the ranges of what is its own; the training parameters are checked elsewhere.
    ///
    /// # Errors
    /// [`FitError::Config`] that names the key.
    fn check(&self) -> Result<(), FitError>;

    /// Draws the weights and builds the graphs.
    ///
    /// # Errors
    /// The data do not fit the model.
    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<Self::Net, FitError>;
}

/// A model with its weights. The names of weights that have a row an item begin with `items`,
/// those that have a row a user with `users`: a fitted model grows them for items that come later.
pub(crate) trait GraphNet: Layer + Send {
    /// Prepares epoch `epoch`, counted from 1, from the weights and the seed alone.
    fn begin_epoch(&mut self, _epoch: usize, _seed: SeedStream) -> Result<(), FitError> {
        Ok(())
    }

    /// The loss of a batch, with gradients.
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1>;

    /// The final vectors of users and items, `[n_users, dim]` and `[n_items, dim]`, over the
    /// whole graph and without noise: scores are their products.
    fn vectors(&self) -> (Tensor<2>, Tensor<2>);

    /// Numbers that belong to the state of training but have no gradient.
    fn memory(&self) -> Vec<(&'static str, Matrix)> {
        Vec::new()
    }

    /// Takes back what [`GraphNet::memory`] gave.
    ///
    /// # Errors
    /// An array is missing or has another shape.
    fn remember(&mut self, _state: &ModelState) -> Result<(), FitError> {
        Ok(())
    }
}

/// Refuses a parameter out of its range.
pub(crate) fn refuse<T>(
    model: &str,
    key: &str,
    expected: &str,
    found: impl std::fmt::Display,
) -> Result<T, FitError> {
    let reason = format!("{key} must be {expected}; found {found}");
    Err(FitError::Config { model: model.into(), reason })
}

/// Checks that a weight of a loss is a number of at least 0.
pub(crate) fn at_least_zero(model: &str, key: &str, value: f32) -> Result<(), FitError> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { refuse(model, key, "at least 0", value) }
}

/// Checks the numbers of a robust loss.
pub(crate) fn robust_in_range(model: &str, robust: Option<Robust>) -> Result<(), FitError> {
    match robust.and_then(|robust| robust.fault()) {
        Some((key, expected, found)) => refuse(model, &format!("robust.{key}"), expected, found),
        None => Ok(()),
    }
}

/// Checks that a size is at least 1.
pub(crate) fn at_least_one(model: &str, key: &str, value: usize) -> Result<(), FitError> {
    if value > 0 { Ok(()) } else { refuse(model, key, "at least 1", value) }
}

/// Checks that a number is finite and above 0.
pub(crate) fn above_zero(model: &str, key: &str, value: f32) -> Result<(), FitError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { refuse(model, key, "above 0", value) }
}

/// Checks that a weight that is shared with others lies in `[0, 1]`.
pub(crate) fn at_most_one(model: &str, key: &str, value: f32) -> Result<(), FitError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { refuse(model, key, "in [0, 1]", value) }
}

/// A dropout that draws what `rng` draws next.
pub(crate) fn dropout(rate: f32, rng: &mut ChaCha8Rng) -> Dropout {
    Dropout::new(rate, ChaCha8Rng::from_rng(rng))
}

/// Checks that a share lies in `[0, 1)`.
pub(crate) fn below_one(model: &str, key: &str, value: f32) -> Result<(), FitError> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { refuse(model, key, "in [0, 1)", value) }
}

/// The weights of several layers, as `prefix.0.weight`, `prefix.0.bias`, and so on.
pub(crate) fn named<'a>(
    prefix: &'a str,
    layers: &'a [Linear],
) -> impl Iterator<Item = (String, &'a Weight)> {
    layers.iter().enumerate().flat_map(move |(place, layer)| {
        layer.weights().into_iter().map(move |(name, w)| (format!("{prefix}.{place}.{name}"), w))
    })
}

/// The batch as the losses read it.
pub(crate) fn triples(batch: &TripletBatch) -> Triples<'_> {
    Triples { users: &batch.users, positives: &batch.positives, negatives: &batch.negatives }
}
