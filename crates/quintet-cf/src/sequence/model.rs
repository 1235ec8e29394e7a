//! A fitted model of the next item.

use quintet_core::{Capability, Factors, ItemIdx, Matrix, ModelState, Sequences, UserIdx};
use quintet_tensor::{FactorModel, FitError, dot};
use rayon::prelude::*;

use crate::folding::{Folding, Newcomer};
use crate::query::score;

/// The prefix of the network's arrays in a state.
pub(crate) const NETWORK: &str = "network.";

/// A network on plain slices: what came before to one hidden state.
pub(crate) trait Reader: Send + Sync {
    /// Most items that are read; of a longer history the last ones.
    fn max_len(&self) -> usize;

    /// Writes the hidden state, `[dim]`, after the item vectors `inputs`, `[len, dim]` with `len`
    /// from 1 to [`Reader::max_len`], oldest first.
    fn read(&self, inputs: &[f32], out: &mut [f32]);

    /// No hidden state is longer.
    fn longest(&self) -> f32;
}

/// Builds a [`Reader`] from the arrays and strings of a state.
pub(crate) type LoadReader = fn(&ModelState) -> Result<Box<dyn Reader>, FitError>;

/// Factors: the last hidden state of each user, and the item vectors. Users without a history have
/// the mean state, so what the others like on average. Items that nobody used in training are
/// below all others, whoever asks.
pub(crate) struct NextItem {
    reader: Box<dyn Reader>,
    /// Arrays and strings of the network.
    network: ModelState,
    /// The state of somebody without a history, `[1, dim]`.
    nobody: Matrix,
}

impl NextItem {
    /// Reads every user's history. `network` is what `load` makes a reader of; `used` says which
    /// items training shows.
    pub(crate) fn fitted(
        network: ModelState,
        load: LoadReader,
        items: &Matrix,
        sequences: &Sequences,
        used: &[bool],
    ) -> Result<Folding<Self>, FitError> {
        let reader = load(&network)?;
        let (dim, n_users) = (items.cols(), sequences.n_users());
        let mut users = Matrix::zeros(n_users, dim);
        users.as_mut_slice().par_chunks_mut(dim).enumerate().for_each(|(user, out)| {
            read_history(reader.as_ref(), items, sequences.items(UserIdx::new(user)), out);
        });
        let empty = |user: &usize| sequences.items(UserIdx::new(*user)).is_empty();
        let mut nobody = Matrix::zeros(1, dim);
        let known = (0..n_users).filter(|user| !empty(user));
        let n_known = known.clone().count().max(1) as f32;
        for user in known {
            nobody.row_mut(0).iter_mut().zip(users.row(user)).for_each(|(m, x)| *m += x / n_known);
        }
        for user in (0..n_users).filter(empty) {
            users.row_mut(user).copy_from_slice(nobody.row(0));
        }
        let mut items = items.clone();
        let length = |item: usize| dot(items.row(item), items.row(item)).sqrt();
        let longest = (0..items.rows()).filter(|i| used[*i]).map(length).fold(0.0, f32::max);
        // No score is below it: |h · v| ≤ |h| |v|.
        let lowest = -(reader.longest() * longest).max(1.0);
        let mut bias = vec![0.0; items.rows()];
        for item in (0..items.rows()).filter(|i| !used[*i]) {
            items.row_mut(item).fill(0.0);
            bias[item] = lowest;
        }
        let name = network.kind.clone();
        let factors = FactorModel::new(name, users, items, bias, Capability::personal())?;
        let factors = factors.with_part("history", 0, dim);
        Ok(Folding::new(factors, Self { reader, network, nobody }))
    }

    /// Loads what [`quintet_core::Recommender::state`] gave.
    pub(crate) fn load(state: &ModelState, load: LoadReader) -> Result<Folding<Self>, FitError> {
        let factors = FactorModel::load(state)?;
        let dim = state.matrix("items")?.cols();
        let nobody = state.shaped("nobody", 1, dim)?.clone();
        let mut network = ModelState::new(state.kind.clone());
        let ours = |key: &String| key.starts_with(NETWORK);
        network.tensors = state.tensors.clone().into_iter().filter(|(k, _)| ours(k)).collect();
        network.meta = state.meta.clone().into_iter().filter(|(k, _)| ours(k)).collect();
        Ok(Folding::new(factors, Self { reader: load(&network)?, network, nobody }))
    }
}

/// The state after the last items of a history; zeros after none.
fn read_history(reader: &dyn Reader, items: &Matrix, history: &[ItemIdx], out: &mut [f32]) {
    let last = &history[history.len().saturating_sub(reader.max_len())..];
    if last.is_empty() {
        return;
    }
    let mut inputs = Vec::with_capacity(last.len() * items.cols());
    last.iter().for_each(|item| inputs.extend_from_slice(items.row(item.index())));
    reader.read(&inputs, out);
}

impl Newcomer for NextItem {
    /// Values are not read: the network sees what was done and in which order.
    fn rank(&self, model: Factors<'_>, items: &[ItemIdx], _: &[f32], out: &mut [f32]) {
        // An item that nobody used says nothing: its vector is the random one of the start.
        let known: Vec<ItemIdx> =
            items.iter().copied().filter(|i| model.bias[i.index()] == 0.0).collect();
        let mut state = self.nobody.row(0).to_vec();
        read_history(self.reader.as_ref(), model.items, &known, &mut state);
        score(&state, model, out);
    }

    fn save(&self, state: &mut ModelState) {
        state.tensors.extend(self.network.tensors.clone());
        state.meta.extend(self.network.meta.clone());
        state.put("nobody", self.nobody.clone());
    }
}
