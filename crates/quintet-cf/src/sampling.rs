//! Negatives for models that draw several for each pair.

use quintet_core::Interactions;
use quintet_data::{NegativeStrategy, TripletSampler};
use quintet_tensor::FitError;

/// Draws `negatives` items for each pair, evenly from what the user has not had.
///
/// # Errors
/// [`FitError::Config`] when `negatives` is out of range.
pub(crate) fn uniform_sampler(
    model: &str,
    train: &Interactions,
    negatives: usize,
) -> Result<TripletSampler, FitError> {
    TripletSampler::with_strategy(train, NegativeStrategy::Uniform {}, negatives)
        .map_err(|e| FitError::Config { model: model.to_owned(), reason: e.to_string() })
}
