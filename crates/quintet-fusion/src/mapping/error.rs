//! Errors of cross-modal mapping.

use quintet_core::{CoreError, Modality, RegistryError};
use quintet_tensor::FitError;
use thiserror::Error;

/// Why a mapping could not be fitted or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MappingError {
    /// A parameter lies outside its range.
    #[error("{method}: parameter {parameter} must be {expected}, found {found}")]
    Parameter {
        /// The method.
        method: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Too few rows or pairs to fit on.
    #[error("{method}: {what} has {found} training rows, at least {needed} are needed")]
    TooFew {
        /// The method.
        method: &'static str,
        /// The modality, or the pair of modalities.
        what: String,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Every column is constant over the training rows.
    #[error("{method}: {what} does not vary over its {rows} training rows")]
    NoVariance {
        /// The method.
        method: &'static str,
        /// The modality.
        what: String,
        /// Number of training rows.
        rows: usize,
    },
    /// More components than the training rows have directions.
    #[error("{method}: {wanted} components are asked for, the rank of {what} is {rank}")]
    Rank {
        /// The method.
        method: &'static str,
        /// The modality, or the pair of modalities.
        what: String,
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        rank: usize,
    },
    /// Weights that are no distribution.
    #[error("{method}: {side} marginal: {reason}")]
    Marginal {
        /// The method.
        method: &'static str,
        /// `source` or `target`.
        side: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The features lack a modality that the mapping was fitted on.
    #[error("{method}: {modality} features are needed; the set has: {known}")]
    MissingModality {
        /// The method.
        method: &'static str,
        /// The modality.
        modality: Modality,
        /// The modalities that are there.
        known: String,
    },
    /// The loss is NaN or infinite.
    #[error(
        "{method}: the loss is {loss} in epoch {epoch}, batch {batch}; lower the learning rate"
    )]
    Diverged {
        /// The method.
        method: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Batch, from 1.
        batch: usize,
        /// The loss.
        loss: f64,
    },
    /// A decomposition did not converge.
    #[error("{method}: {reason}")]
    Solver {
        /// The method.
        method: &'static str,
        /// Why.
        reason: String,
    },
    /// A shape does not fit, or a number is not finite.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A name is unknown.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Parameters cannot be read, or the device failed.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// Refuses `found` unless `good`.
pub(crate) fn check(
    good: bool,
    method: &'static str,
    parameter: &'static str,
    expected: &'static str,
    found: impl ToString,
) -> Result<(), MappingError> {
    if good {
        return Ok(());
    }
    Err(MappingError::Parameter { method, parameter, expected, found: found.to_string() })
}
