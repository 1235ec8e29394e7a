//! The trainer around a network of sequences.

use burn::prelude::*;
use burn::tensor::{Gradients, TensorData};
use quintet_core::{Interactions, Matrix, ModelState, Recommender, Sequences, UserIdx};
use quintet_tensor::{
    Adam, AdamConfig, EmbeddingTable, EpochStats, FitContext, FitError, Fitting, Layer, Trainer,
    TrainingData, check_training_params, load_weights, run_epoch, save_weights, tensor_to_vec,
};

use super::Dropout;
use super::model::{LoadReader, NETWORK, NextItem};
use super::next_item::{NextItemLoss, Output, Positions, RowGrads};
use super::rivals::{RivalSampler, Rivals};
use super::windows::{Stretches, Window, batches, cut};

/// What the configurations of sequence models have in common.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) dim: usize,
    pub(crate) max_len: usize,
    pub(crate) stretches: Stretches,
    pub(crate) lr: f32,
    pub(crate) batch_size: usize,
    pub(crate) dropout: f32,
    pub(crate) loss: NextItemLoss,
    pub(crate) negatives: usize,
    pub(crate) popularity_exponent: f32,
    pub(crate) penalty: f32,
}

impl Setup {
    /// # Errors
    /// [`FitError::Config`] that names the parameter.
    pub(crate) fn validate(&self) -> Result<(), FitError> {
        check_training_params(self.name, self.dim, self.batch_size, self.lr, self.penalty)?;
        let bad = |reason: String| Err(FitError::Config { model: self.name.into(), reason });
        if self.max_len == 0 || self.negatives == 0 {
            let (len, negatives) = (self.max_len, self.negatives);
            return bad(format!(
                "max_len and negatives must be at least 1; found {len}, {negatives}"
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return bad(format!("dropout must lie in [0, 1); found {}", self.dropout));
        }
        if !self.popularity_exponent.is_finite() {
            let found = self.popularity_exponent;
            return bad(format!("popularity_exponent must be finite; found {found}"));
        }
        Ok(())
    }

    /// The sequences of the data, where they can be learned from.
    ///
    /// # Errors
    /// [`FitError::Data`] that says what is missing.
    pub(crate) fn sequences<'a>(&self, data: TrainingData<'a>) -> Result<&'a Sequences, FitError> {
        let bad = |reason: &str| FitError::Data { model: self.name.into(), reason: reason.into() };
        let sequences = data.sequences.ok_or_else(|| {
            bad("it learns from the order of events, and the data has none: every training \
                 interaction needs a time (a time column in the source)")
        })?;
        let users = (0..sequences.n_users()).map(UserIdx::new);
        if users.map(|user| sequences.items(user).len()).all(|n| n < 2) {
            return Err(bad("nobody has two interactions, so nothing comes next"));
        }
        Ok(sequences)
    }
}

/// How the positions of a batch lie in its tensors. Short rows are padded at their end, where no
/// earlier position sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchShape {
    /// Positions of each row.
    pub(crate) lengths: Vec<usize>,
    /// The largest of them.
    pub(crate) len: usize,
    /// Whether the rows of one step lie together, or the steps of one row.
    time_major: bool,
}

impl BatchShape {
    pub(crate) fn new(lengths: Vec<usize>, time_major: bool) -> Self {
        Self { len: lengths.iter().copied().max().unwrap_or(0), lengths, time_major }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// The place of a position among all, padding included.
    fn place(&self, row: usize, step: usize) -> usize {
        if self.time_major { step * self.rows() + row } else { row * self.len + step }
    }

    /// Row and place of every position that is no padding, by row, then step.
    fn places(&self) -> impl Iterator<Item = usize> {
        let rows = self.lengths.iter().enumerate();
        rows.flat_map(move |(row, len)| (0..*len).map(move |step| self.place(row, step)))
    }
}

/// A network over item vectors. Its layers are all its weights but the item vectors.
pub(crate) trait Network: Layer + Send {
    /// Whether it goes step by step, over one leaf for each; otherwise all positions are one.
    const TIME_MAJOR: bool;

    /// The item vectors of a batch, `[positions, dim]` (or as many `[rows, dim]` as there are
    /// steps), to the hidden state after each position, `[positions, dim]`.
    fn forward(&self, inputs: &[Tensor<2>], shape: &BatchShape, dropout: &mut Dropout)
    -> Tensor<2>;

    /// What the reader needs beside the weights: strings under [`NETWORK`].
    fn describe(&self, state: &mut ModelState);
}

/// The gradients of a step.
pub(crate) struct Step {
    pub(crate) loss: f64,
    /// Of the network's weights.
    pub(crate) network: Gradients,
    /// Of the item vectors.
    pub(crate) items: RowGrads,
    /// Hidden states, `[positions, dim]`, by row, then step.
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the reference by tests"))]
    pub(crate) hidden: Vec<f32>,
}

/// Histories of a batch, two items or more each, and who competes.
pub(crate) struct Batch<'a> {
    pub(crate) histories: &'a [&'a [u32]],
    pub(crate) rivals: &'a Rivals,
}

/// Loss and gradients of a batch, by the network under autodiff up to the hidden states and by
/// the kernel of the output layer from there on.
pub(crate) fn gradients<N: Network>(
    network: &N,
    items: &Matrix,
    batch: &Batch<'_>,
    output: Output,
    dropout: &mut Dropout,
    device: &Device,
) -> Result<Step, FitError> {
    let dim = items.cols();
    let lengths = batch.histories.iter().map(|h| h.len() - 1).collect();
    let shape = BatchShape::new(lengths, N::TIME_MAJOR);
    let places: Vec<usize> = shape.places().collect();
    let read: Vec<u32> = batch.histories.iter().flat_map(|h| &h[..h.len() - 1]).copied().collect();
    let targets: Vec<u32> = batch.histories.iter().flat_map(|h| &h[1..]).copied().collect();
    let leaves = leaves(items, &places, &read, &shape, device);
    let states = network.forward(&leaves, &shape, dropout);

    let all = tensor_to_vec(states.clone().inner()).map_err(FitError::Device)?;
    let mut hidden = Vec::with_capacity(places.len() * dim);
    places.iter().for_each(|at| hidden.extend_from_slice(&all[at * dim..(at + 1) * dim]));
    let rivals = match batch.rivals {
        Rivals::Shared { items, .. } | Rivals::Own(items) => items,
    };
    let rows = read.iter().chain(&targets).chain(rivals).copied();
    let mut grads = RowGrads::new(rows, dim);
    let at = Positions { hidden: &hidden, targets: &targets, items };
    let (loss, hidden_grad) = output.step(at, batch.rivals, &mut grads);

    let mut state_grad = vec![0.0f32; all.len()];
    for (at, grad) in places.iter().zip(hidden_grad.chunks_exact(dim)) {
        state_grad[at * dim..(at + 1) * dim].copy_from_slice(grad);
    }
    let state_grad =
        Tensor::<2>::from_data(TensorData::new(state_grad, states.dims()), &states.device());
    // Its gradient at the states is the one that the output layer gave.
    let mut network_grads = (states * state_grad).sum().backward();
    let mut input_grad = Vec::with_capacity(all.len());
    for leaf in &leaves {
        match leaf.grad_remove(&mut network_grads) {
            Some(grad) => input_grad.extend(tensor_to_vec(grad).map_err(FitError::Device)?),
            None => input_grad.resize(input_grad.len() + leaf.dims()[0] * dim, 0.0),
        }
    }
    for (at, item) in places.iter().zip(&read) {
        grads.add(*item, 1.0, &input_grad[at * dim..(at + 1) * dim]);
    }
    Ok(Step { loss, network: network_grads, items: grads, hidden })
}

/// The item vectors at all positions as leaves that keep their gradient; zeros for padding.
fn leaves(
    items: &Matrix,
    places: &[usize],
    read: &[u32],
    shape: &BatchShape,
    device: &Device,
) -> Vec<Tensor<2>> {
    let dim = items.cols();
    let mut data = vec![0.0f32; shape.rows() * shape.len * dim];
    for (at, item) in places.iter().zip(read) {
        data[at * dim..(at + 1) * dim].copy_from_slice(items.row(*item as usize));
    }
    let rows = if shape.time_major { shape.rows() } else { shape.rows() * shape.len };
    let leaf = |part: &[f32]| {
        let data = TensorData::new(part.to_vec(), [rows, dim]);
        Tensor::<2>::from_data(data, device).require_grad()
    };
    data.chunks_exact(rows * dim).map(leaf).collect()
}

/// Trains a network and the item vectors with Adam.
pub(crate) struct SequenceTrainer<N> {
    setup: Setup,
    network: N,
    optimiser: Adam,
    items: EmbeddingTable,
    windows: Vec<Window>,
    sampler: RivalSampler,
    used: Vec<bool>,
    sequences: Sequences,
    train: Interactions,
    context: FitContext,
    device: Device,
    load_reader: LoadReader,
}

impl<N: Network + 'static> SequenceTrainer<N> {
    /// Begins; `network` makes the layers on a device with autodiff.
    pub(crate) fn start(
        setup: Setup,
        data: TrainingData<'_>,
        context: &FitContext,
        network: impl FnOnce(&Device) -> N,
        load_reader: LoadReader,
    ) -> Result<Fitting, FitError> {
        let sequences = setup.sequences(data)?;
        let (train, device) = (data.train, context.device.clone().autodiff());
        let counts = train.item_counts();
        let adam = AdamConfig::new(setup.lr);
        let mut rng = context.seed.rng(&format!("{}-items", setup.name), 0);
        Ok(Fitting::Epochs(Box::new(Self {
            network: network(&device),
            optimiser: Adam::new(adam),
            items: EmbeddingTable::new(train.n_items(), setup.dim, adam, &mut rng),
            windows: cut(sequences, setup.max_len, setup.stretches),
            sampler: RivalSampler::new(
                setup.loss,
                setup.negatives,
                setup.popularity_exponent,
                &counts,
            ),
            used: counts.iter().map(|c| *c > 0).collect(),
            sequences: sequences.clone(),
            train: train.clone(),
            context: context.clone(),
            device,
            load_reader,
            setup,
        })))
    }

    fn step(&mut self, places: &[usize], counter: u64) -> Result<(f64, usize), FitError> {
        let setup = &self.setup;
        let rng = |what: &str| self.context.seed.rng(&format!("{}-{what}", setup.name), counter);
        let windows: Vec<&Window> = places.iter().map(|at| &self.windows[*at]).collect();
        let histories: Vec<Vec<u32>> = windows
            .iter()
            .map(|w| self.sequences.items(UserIdx(w.user))[w.range.clone()].iter().map(|i| i.0))
            .map(Iterator::collect)
            .collect();
        let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
        let rivals = self.sampler.draw(&windows, &self.train, &mut rng("negatives"));
        let batch = Batch { histories: &histories, rivals: &rivals };
        let output = Output { loss: setup.loss, penalty: setup.penalty };
        let mut dropout = Dropout::new(setup.dropout, rng("dropout"));
        let mut step = gradients(
            &self.network,
            self.items.values(),
            &batch,
            output,
            &mut dropout,
            &self.device,
        )?;
        let positions = windows.iter().map(|w| w.positions()).sum();
        self.optimiser.step(&mut self.network, &mut step.network);
        self.move_items(step.items)?;
        Ok((step.loss, positions))
    }

    /// Where every item competes, every item moves; otherwise those of the step.
    fn move_items(&mut self, grads: RowGrads) -> Result<(), FitError> {
        let dim = self.items.dim();
        if self.setup.loss == NextItemLoss::Softmax {
            let mut dense = Matrix::zeros(self.items.values().rows(), dim);
            for (place, row) in grads.rows.iter().enumerate() {
                dense.row_mut(*row as usize).copy_from_slice(grads.grad.row(place));
            }
            self.items.step_dense(&dense);
            return Ok(());
        }
        let shape = [grads.rows.len(), dim];
        let data = TensorData::new(grads.grad.into_vec(), shape);
        self.items.step(&grads.rows, Tensor::from_data(data, &self.context.device))
    }
}

impl<N: Network + 'static> Trainer for SequenceTrainer<N> {
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let purpose = format!("{}-order", self.setup.name);
        let order = (purpose.as_str(), epoch as u64);
        let batches = batches(&self.windows, self.setup.batch_size, self.context.seed, order);
        let counters = (epoch as u64) << 32..;
        run_epoch(self.setup.name, epoch, batches.into_iter().zip(counters), |(places, counter)| {
            self.step(places, *counter)
        })
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let mut state = ModelState::new(self.setup.name);
        save_weights(&self.network, NETWORK, &mut state)?;
        self.network.describe(&mut state);
        let (items, load) = (self.items.values(), self.load_reader);
        Ok(Box::new(NextItem::fitted(state, load, items, &self.sequences, &self.used)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(self.setup.name);
        self.items.save("items.", &mut state);
        save_weights(&self.network, NETWORK, &mut state)?;
        self.optimiser.save("adam.", &mut state)?;
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.items.load("items.", state)?;
        load_weights(&mut self.network, NETWORK, state, &self.device)?;
        self.optimiser.load(&self.network, "adam.", state, &self.device)
    }

    fn n_parameters(&self) -> usize {
        self.items.n_parameters() + self.network.n_parameters()
    }
}
