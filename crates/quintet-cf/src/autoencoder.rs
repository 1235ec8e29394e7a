//! What the autoencoders share: a first layer over the few items of a user, batches of users, the
//! multinomial likelihood, and the fitted form.
//!
//! A row of the first layer's weight belongs to an item, and a user has few items: the layer
//! gathers rows instead of multiplying, and lies on the host like every sparse table. Adam moves
//! all its rows, as it would a dense weight.

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, SeedStream, UserIdx};
use quintet_tensor::{
    AdamConfig, EmbeddingTable, FactorModel, FitError, UnusedBias, add_scaled, clear_unused_items,
    tensor_to_vec,
};
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::folding::Folding;
use crate::query::Query;

/// Users that a thread encodes at a time.
const USERS: usize = 32;

/// The users of a batch with what goes in and what should come out.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserBatch {
    pub(crate) users: Vec<u32>,
    starts: Vec<usize>,
    /// Items of each user, also those whose input was dropped.
    items: Vec<u32>,
    /// What goes in: `1/‖x_u‖`, scaled up for those that were dropped.
    inputs: Vec<f32>,
}

impl UserBatch {
    /// The rows of `users`; each input is dropped with probability `dropout`, after the row was
    /// brought to length 1, and those that stay are scaled up by `1/(1 - dropout)`.
    pub(crate) fn new(
        train: &Interactions,
        users: &[u32],
        dropout: f32,
        rng: &mut impl rand::Rng,
    ) -> Self {
        let mut batch = Self { users: users.to_vec(), starts: vec![0], ..Self::default() };
        for &user in users {
            let items = train.items(UserIdx(user));
            let kept = unit(items.len()) / (1.0 - dropout);
            for item in items {
                let dropped = dropout > 0.0 && rng.random::<f32>() < dropout;
                batch.items.push(item.0);
                batch.inputs.push(if dropped { 0.0 } else { kept });
            }
            batch.starts.push(batch.items.len());
        }
        batch
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// The items of row `b`.
    pub(crate) fn items(&self, b: usize) -> &[u32] {
        &self.items[self.starts[b]..self.starts[b + 1]]
    }

    fn inputs(&self, b: usize) -> &[f32] {
        &self.inputs[self.starts[b]..self.starts[b + 1]]
    }
}

/// What each of `n` items brings to a row of length 1.
fn unit(n: usize) -> f32 {
    1.0 / (n.max(1) as f32).sqrt()
}

/// The users with items, in the order of an epoch, cut into batches.
pub(crate) fn user_batches(
    train: &Interactions,
    seed: SeedStream,
    (purpose, epoch): (&str, usize),
    size: usize,
) -> Vec<Vec<u32>> {
    let users = 0..train.n_users() as u32;
    let mut users: Vec<u32> = users.filter(|&u| !train.items(UserIdx(u)).is_empty()).collect();
    users.shuffle(&mut seed.rng(purpose, epoch as u64));
    users.chunks(size).map(<[u32]>::to_vec).collect()
}

/// The first layer, `[n_items, hidden]`, without its bias.
#[derive(Debug, Clone)]
pub(crate) struct SparseInput {
    pub(crate) table: EmbeddingTable,
}

impl SparseInput {
    pub(crate) fn new(start: Matrix, lr: f32) -> Self {
        Self { table: EmbeddingTable::from_matrix(start, AdamConfig::new(lr)) }
    }

    /// `x W`, `[batch, hidden]`.
    pub(crate) fn forward(&self, batch: &UserBatch) -> Matrix {
        let hidden = self.table.dim();
        let mut out = Matrix::zeros(batch.len(), hidden);
        out.as_mut_slice().par_chunks_mut(hidden.max(1)).enumerate().for_each(|(b, row)| {
            for (&item, &x) in batch.items(b).iter().zip(batch.inputs(b)) {
                if x != 0.0 {
                    add_scaled(row, x, self.table.values().row(item as usize));
                }
            }
        });
        out
    }

    /// `xᵀ grad`, by item: `grad` is `[batch, hidden]`.
    pub(crate) fn gradient(&self, batch: &UserBatch, grad: &[f32]) -> InputGradient {
        let n_items = self.table.values().rows();
        let mut starts = vec![0usize; n_items + 2];
        batch.items.iter().for_each(|&item| starts[item as usize + 2] += 1);
        for item in 1..starts.len() {
            starts[item] += starts[item - 1];
        }
        let mut places = vec![(0u32, 0.0f32); batch.items.len()];
        for b in 0..batch.len() {
            for (&item, &x) in batch.items(b).iter().zip(batch.inputs(b)) {
                let next = &mut starts[item as usize + 1];
                places[*next] = (b as u32, x);
                *next += 1;
            }
        }
        InputGradient { starts, places, grad: grad.to_vec(), hidden: self.table.dim() }
    }

    /// One Adam step on all rows.
    pub(crate) fn step(&mut self, gradient: &InputGradient) {
        self.table.step_each(|item, _, out| gradient.write(item, out));
    }
}

/// The gradient of the first layer, row by row.
pub(crate) struct InputGradient {
    starts: Vec<usize>,
    places: Vec<(u32, f32)>,
    grad: Vec<f32>,
    hidden: usize,
}

impl InputGradient {
    /// Writes the gradient of the row of `item`.
    pub(crate) fn write(&self, item: usize, out: &mut [f32]) {
        out.fill(0.0);
        for &(b, x) in &self.places[self.starts[item]..self.starts[item + 1]] {
            if x != 0.0 {
                add_scaled(out, x, &self.grad[b as usize * self.hidden..][..self.hidden]);
            }
        }
    }
}

/// A matrix as a leaf that keeps its gradient.
pub(crate) fn leaf(m: Matrix, device: &Device) -> Tensor<2> {
    let shape = [m.rows(), m.cols()];
    Tensor::from_data(TensorData::new(m.into_vec(), shape), device).require_grad()
}

/// The gradient that a leaf received, on the host; zeros where none came.
pub(crate) fn leaf_grad(leaf: &Tensor<2>, grads: &mut Gradients) -> Result<Vec<f32>, FitError> {
    match leaf.grad_remove(grads) {
        Some(grad) => tensor_to_vec(grad).map_err(FitError::Device),
        None => Ok(vec![0.0; leaf.dims().iter().product()]),
    }
}

/// `-Σ_i x_ui ln softmax(logits_u)_i`, mean over the batch: its value, and a tensor whose gradient
/// is its own.
///
/// The likelihood has one number for each user and item, and its derivative is
/// `n_u softmax - x_u`: written in one pass over the logits on the host instead of kept in a
/// dozen tensors of the graph. The tensor is `Σ logits ∘ derivative`.
pub(crate) fn multinomial_loss(
    logits: Tensor<2>,
    batch: &UserBatch,
    device: &Device,
) -> Result<(f64, Tensor<1>), FitError> {
    let [rows, n_items] = logits.dims();
    let mut slopes = tensor_to_vec(logits.clone().inner()).map_err(FitError::Device)?;
    let mean = 1.0 / rows.max(1) as f32;
    let losses: Vec<f64> = slopes
        .par_chunks_mut(n_items.max(1))
        .enumerate()
        .map(|(b, row)| {
            let items = batch.items(b);
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let chosen: f64 = items.iter().map(|&i| f64::from(row[i as usize] - largest)).sum();
            row.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f64 = row.iter().map(|x| f64::from(*x)).sum();
            let scale = mean * items.len() as f32 / sum as f32;
            row.iter_mut().for_each(|x| *x *= scale);
            for &item in items {
                row[item as usize] -= mean;
            }
            items.len() as f64 * sum.ln() - chosen
        })
        .collect();
    let slopes = Tensor::<2>::from_data(TensorData::new(slopes, [rows, n_items]), device);
    Ok((losses.iter().sum::<f64>() * f64::from(mean), (logits * slopes).sum()))
}

/// Turns a trained encoder and its last layer into the fitted form: `score = query · row + bias`.
pub(crate) fn fitted<Q: Query>(
    name: &str,
    train: &Interactions,
    mut items: Matrix,
    mut bias: Vec<f32>,
    query: Q,
) -> Result<Folding<Option<Q>>, FitError> {
    let dim = items.cols();
    clear_unused_items(train, &mut items, &mut bias, UnusedBias::Lowest);
    let mut users = Matrix::zeros(train.n_users(), dim);
    let rows = users.as_mut_slice().par_chunks_mut(dim.max(1)).enumerate();
    rows.with_min_len(USERS).for_each(|(user, row)| {
        query.query(train.items(UserIdx::new(user)), row);
    });
    let capability = quintet_core::Capability::personal();
    let model = FactorModel::new(name, users, items, bias, capability)?.with_part("taste", 0, dim);
    Ok(Folding::new(model, Some(query)))
}

/// `x W` for the items of one user, brought to length 1; `out` holds the bias.
pub(crate) fn encode_items(weight: &Matrix, items: &[ItemIdx], out: &mut [f32]) {
    let x = unit(items.len());
    for item in items {
        add_scaled(out, x, weight.row(item.index()));
    }
}

/// Reads the part of the state that [`put_layer`] wrote.
pub(crate) fn read_layer(
    state: &ModelState,
    name: &str,
    [d_in, d_out]: [usize; 2],
) -> Result<(Matrix, Vec<f32>), FitError> {
    let weight = state.shaped(&format!("{name}.weight"), d_in, d_out)?.clone();
    let bias = state.shaped(&format!("{name}.bias"), 1, d_out)?.as_slice().to_vec();
    Ok((weight, bias))
}

/// Adds a weight and its bias to the state of a model.
pub(crate) fn put_layer(state: &mut ModelState, name: &str, weight: &Matrix, bias: &[f32]) {
    state.put(format!("{name}.weight"), weight.clone());
    if let Ok(bias) = Matrix::from_vec(1, bias.len(), bias.to_vec()) {
        state.put(format!("{name}.bias"), bias);
    }
}

/// Turns `[d_in, d_out]` into `[d_out, d_in]`: the rows of items from the last layer's weight.
pub(crate) fn transposed(m: &Matrix) -> Matrix {
    let mut turned = Matrix::zeros(m.cols(), m.rows());
    for r in 0..m.rows() {
        for (c, value) in m.row(r).iter().enumerate() {
            turned.row_mut(c)[r] = *value;
        }
    }
    turned
}
