//! What the pairwise models share: a batch of triples as unique rows, and the epoch around it.

use std::ops::Range;

use burn::tensor::{Device, Gradients, Int, Tensor};
use quintet_core::{Interactions, Matrix};

use crate::{EmbeddingTable, EpochStats, FitError, index_tensor, tensor_to_vec, unique_ids};

/// A batch of (user, positive, negative) as unique ids and places among them.
#[derive(Debug, Clone)]
pub struct PairBatch {
    /// Distinct users, ascending.
    pub users: Vec<u32>,
    /// Distinct items, positives and negatives together, ascending.
    pub items: Vec<u32>,
    user_places: Vec<u32>,
    item_places: Vec<u32>,
}

impl PairBatch {
    /// Finds the distinct ids of `users`, `positives` and `negatives`, one of each a triple.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn new(users: &[u32], positives: &[u32], negatives: &[u32]) -> Self {
        assert_eq!(users.len(), positives.len(), "one positive a user");
        assert_eq!(users.len(), negatives.len(), "one negative a user");
        let (users, user_places) = unique_ids(users);
        let both: Vec<u32> = positives.iter().chain(negatives).copied().collect();
        let (items, item_places) = unique_ids(&both);
        Self { users, items, user_places, item_places }
    }

    /// The same triples in at most `workers` batches, in their order.
    pub fn shards(&self, workers: usize) -> Vec<Self> {
        let (n, at) = (self.len(), |ids: &[u32], place: &u32| ids[*place as usize]);
        let part = |range: Range<usize>| {
            let users: Vec<u32> =
                self.user_places[range.clone()].iter().map(|p| at(&self.users, p)).collect();
            let items = |places: &[u32]| -> Vec<u32> {
                places[range.clone()].iter().map(|p| at(&self.items, p)).collect()
            };
            Self::new(&users, &items(&self.item_places[..n]), &items(&self.item_places[n..]))
        };
        crate::shard_ranges(n, workers).into_iter().map(part).collect()
    }

    /// Number of triples.
    pub fn len(&self) -> usize {
        self.user_places.len()
    }

    /// Whether there is no triple.
    pub fn is_empty(&self) -> bool {
        self.user_places.is_empty()
    }

    /// Rows of `user_rows` (one for each of `users`) in batch order, `[batch, dim]`.
    pub fn pick_users(&self, user_rows: Tensor<2>, device: &Device) -> Tensor<2> {
        user_rows.select(0, index_tensor(&self.user_places, device))
    }

    /// Rows of `item_rows` (one for each of `items`) of the positives and of the negatives,
    /// each `[batch, dim]`.
    pub fn pick_items(&self, item_rows: Tensor<2>, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let places: Tensor<1, Int> = index_tensor(&self.item_places, device);
        let both = item_rows.select(0, places);
        let n = self.len();
        (both.clone().narrow(0, 0, n), both.narrow(0, n, n))
    }
}

/// Row-wise dot products, `[batch, dim] × [batch, dim] → [batch, 1]`.
pub fn score_pairs(users: Tensor<2>, items: Tensor<2>) -> Tensor<2> {
    (users * items).sum_dim(1)
}

/// `λ · Σ ‖block‖² / batch`: squared L2 of the rows of a batch (Rendle et al. 2009).
pub fn squared_penalty(blocks: &[&Tensor<2>], lambda: f32, batch: usize) -> Option<Tensor<1>> {
    if lambda == 0.0 {
        return None;
    }
    blocks
        .iter()
        .map(|b| (*b).clone().powi_scalar(2).sum())
        .reduce(|a, b| a + b)
        .map(|sum| sum * (lambda / batch.max(1) as f32))
}

/// The bias of an item that nobody used in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusedBias {
    /// The lowest of the used items: without evidence an item ranks last.
    Lowest,
    /// The mean of the used items, neither favour nor handicap: content decides.
    Mean,
}

/// Zeroes the factors of items that nobody used in training (they still hold their random
/// start) and sets their bias.
pub fn clear_unused_items(
    train: &Interactions,
    items: &mut Matrix,
    bias: &mut [f32],
    unused: UnusedBias,
) {
    let counts = train.item_counts();
    let known: Vec<f32> =
        bias.iter().zip(&counts).filter(|(_, c)| **c > 0).map(|(b, _)| *b).collect();
    let fill = match unused {
        _ if known.is_empty() => 0.0,
        UnusedBias::Lowest => known.iter().copied().fold(f32::INFINITY, f32::min),
        UnusedBias::Mean => known.iter().sum::<f32>() / known.len() as f32,
    };
    for (item, b) in bias.iter_mut().enumerate().filter(|(i, _)| counts[*i] == 0) {
        items.row_mut(item).fill(0.0);
        *b = fill;
    }
}

/// Moves the rows `ids` of `table` by the gradient that their leaf received.
///
/// # Errors
/// The device failed to give the gradient.
pub fn step_table(
    table: &mut EmbeddingTable,
    ids: &[u32],
    leaf: &Tensor<2>,
    grads: &mut Gradients,
) -> Result<(), FitError> {
    match leaf.grad_remove(grads) {
        Some(grad) => table.step(ids, grad),
        None => Ok(()),
    }
}

/// Checks the parameters that every trained model has.
///
/// # Errors
/// [`FitError::Config`] that names the parameter.
pub fn check_training_params(
    model: &str,
    dim: usize,
    batch_size: usize,
    lr: f32,
    l2: f32,
) -> Result<(), FitError> {
    let bad = |reason: String| Err(FitError::Config { model: model.to_owned(), reason });
    if dim == 0 || batch_size == 0 {
        return bad(format!("dim and batch_size must be at least 1; found {dim}, {batch_size}"));
    }
    if !(lr.is_finite() && lr > 0.0) {
        return bad(format!("lr must be positive; found {lr}"));
    }
    if !(l2.is_finite() && l2 >= 0.0) {
        return bad(format!("l2 must be at least 0; found {l2}"));
    }
    Ok(())
}

/// Refuses to learn from nothing.
///
/// # Errors
/// [`FitError::Data`] when there is no interaction.
pub fn check_interactions(model: &str, train: &Interactions) -> Result<(), FitError> {
    match train.nnz() {
        0 => Err(FitError::Data { model: model.to_owned(), reason: "no interactions".into() }),
        _ => Ok(()),
    }
}

/// The number a loss holds.
///
/// # Errors
/// The device failed.
pub fn loss_value(loss: Tensor<1>) -> Result<f64, FitError> {
    let values = tensor_to_vec(loss.inner()).map_err(FitError::Device)?;
    Ok(values.first().copied().map_or(f64::NAN, f64::from))
}

/// Runs the batches of one epoch; `step` gives the loss and the number of samples of each.
///
/// # Errors
/// [`FitError::Diverged`] at the first loss that is not finite.
pub fn run_epoch<B>(
    model: &str,
    epoch: usize,
    batches: impl Iterator<Item = B>,
    mut step: impl FnMut(&B) -> Result<(f64, usize), FitError>,
) -> Result<EpochStats, FitError> {
    let (mut sum, mut n_batches, mut samples) = (0.0, 0, 0);
    for batch in batches {
        let (loss, size) = step(&batch)?;
        n_batches += 1;
        samples += size;
        if !loss.is_finite() {
            return Err(FitError::Diverged { model: model.into(), epoch, batch: n_batches, loss });
        }
        sum += loss;
    }
    Ok(EpochStats { loss: sum / n_batches.max(1) as f64, batches: n_batches, samples })
}
