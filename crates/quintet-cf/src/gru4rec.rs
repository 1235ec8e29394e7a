//! GRU4Rec: what comes next, by a recurrent network over what came before.
//!
//! Hidasi, Karatzoglou, Baltrunas, Tikk, "Session-based Recommendations with Recurrent Neural
//! Networks", ICLR 2016; Hidasi & Karatzoglou, "Recurrent Neural Networks with Top-k Gains for
//! Session-based Recommendations", CIKM 2018. With the vector `v` of an item and the state `h`:
//! `r = σ(v W_r + h U_r)`, `z = σ(v W_z + h U_z)`, `n = tanh(v W_n + r ⊙ (h U_n))`,
//! `h ← n + z ⊙ (h - n)` (each with biases, as in PyTorch); an item's score is `h · v`, with the
//! same `v` ("constrained embeddings" of 2018).
//!
//! Differences: histories are cut into stretches and batched by length, instead of running
//! sessions side by side and resetting states in between: a batch then has no stale states, and
//! every stretch is seen from its begin; negatives are drawn once a step from the whole catalogue,
//! in proportion to `count^popularity_exponent`, without those of the batch; no item bias.
//! `loss = "sampled_softmax"` is the cross-entropy of the papers, corrected for the draws.
//! Cost: parameters `items · dim + layers · 6 dim²`, one epoch `O(nnz · dim · (rivals + layers ·
//! dim))`.

use burn::prelude::*;
use quintet_core::{Matrix, ModelState};
use quintet_tensor::{
    Fit, FitContext, FitError, Fitting, GruCell, Layer, ModelEntry, TrainingData, Weight,
    add_scaled, parse_params,
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sequence::model::NETWORK;
use crate::sequence::product::{self, product};
use crate::sequence::windows::Stretches;
use crate::sequence::{
    BatchShape, Dropout, Network, NextItem, NextItemLoss, Reader, SequenceTrainer, Setup,
};

const NAME: &str = "gru4rec";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gru4RecConfig {
    /// Width of the item vectors and of the states.
    pub dim: usize,
    /// Recurrent layers.
    pub layers: usize,
    /// Most items that are looked back at.
    pub max_len: usize,
    /// Which part of a longer history is learned from.
    pub stretches: Stretches,
    /// Share of numbers that are dropped in training, of the item vectors and of the states.
    pub dropout: f32,
    /// What is minimised: `softmax`, `sampled_softmax`, `bce`, `bpr_max` or `top1_max`.
    pub loss: NextItemLoss,
    /// Items drawn a step, for the losses that draw.
    pub negatives: usize,
    /// Items are drawn in proportion to `count^popularity_exponent`.
    pub popularity_exponent: f32,
    /// Penalty of large scores in BPR-max.
    pub score_penalty: f32,
    /// Step size of Adam.
    pub lr: f32,
    /// Stretches of histories a step.
    pub batch_size: usize,
}

impl Default for Gru4RecConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 1,
            max_len: 50,
            stretches: Stretches::All,
            dropout: 0.2,
            loss: NextItemLoss::Softmax,
            negatives: 256,
            popularity_exponent: 0.5,
            score_penalty: 1.0,
            lr: 2e-3,
            batch_size: 128,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "the next item by a recurrent network over the last ones (Hidasi 2016)",
        build: |params| Ok(Box::new(parse_params::<Gru4RecConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(NextItem::load(state, load_reader)?)),
        // Softmax would learn the order of the toy world, in which nothing comes after the last
        // item, instead of its groups.
        tiny: r#"{"dim": 8, "max_len": 6, "dropout": 0.1, "loss": "bce",
                  "popularity_exponent": 0.0, "lr": 0.02, "batch_size": 16}"#,
    }
}

impl Fit for Gru4RecConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        let setup = Setup {
            name: NAME,
            dim: self.dim,
            max_len: self.max_len,
            stretches: self.stretches,
            lr: self.lr,
            batch_size: self.batch_size,
            dropout: self.dropout,
            loss: self.loss,
            negatives: self.negatives,
            popularity_exponent: self.popularity_exponent,
            penalty: self.score_penalty,
        };
        setup.validate()?;
        if self.layers == 0 {
            let reason = "layers must be at least 1; found 0".to_owned();
            return Err(FitError::Config { model: NAME.into(), reason });
        }
        let mut rng = context.seed.rng("gru4rec-init", 0);
        let network = |device: &Device| Gru4Rec::new(self, &mut rng, device);
        SequenceTrainer::start(setup, data, context, network, load_reader)
    }
}

/// The network.
struct Gru4Rec {
    cells: Vec<GruCell>,
    max_len: usize,
}

impl Gru4Rec {
    fn new(config: &Gru4RecConfig, rng: &mut impl Rng, device: &Device) -> Self {
        let cells = (0..config.layers).map(|_| GruCell::new(config.dim, rng, device));
        Self { cells: cells.collect(), max_len: config.max_len }
    }
}

impl Layer for Gru4Rec {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        for (at, cell) in self.cells.iter().enumerate() {
            all.extend(cell.weights().into_iter().map(|(name, w)| (format!("{at}.{name}"), w)));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.cells.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}

impl Network for Gru4Rec {
    const TIME_MAJOR: bool = true;

    fn forward(&self, inputs: &[Tensor<2>], _: &BatchShape, dropout: &mut Dropout) -> Tensor<2> {
        let mut states: Vec<Option<Tensor<2>>> = vec![None; self.cells.len()];
        let mut hidden = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut x = dropout.apply(input.clone());
            for (cell, state) in self.cells.iter().zip(&mut states) {
                x = cell.step(x, state.take());
                *state = Some(x.clone());
            }
            hidden.push(x);
        }
        dropout.apply(Tensor::cat(hidden, 0))
    }

    fn describe(&self, state: &mut ModelState) {
        state.meta.insert(format!("{NETWORK}layers"), self.cells.len().to_string());
        state.meta.insert(format!("{NETWORK}max_len"), self.max_len.to_string());
    }
}

/// One layer on the host.
struct HostCell {
    input: [Matrix; 2],
    inner: [Matrix; 2],
}

/// The network on the host.
struct HostGru4Rec {
    cells: Vec<HostCell>,
    dim: usize,
    max_len: usize,
}

fn load_reader(state: &ModelState) -> Result<Box<dyn Reader>, FitError> {
    let whole = |name: &str| {
        let key = format!("{NETWORK}{name}");
        let text = state.text(&key)?;
        let number = text.parse::<usize>().ok().filter(|n| *n > 0);
        number.ok_or_else(|| state.mismatch(&key, "a number of at least 1", text))
    };
    let (layers, max_len) = (whole("layers")?, whole("max_len")?);
    let dim = state.matrix(&format!("{NETWORK}0.inner.weight"))?.rows();
    if dim == 0 {
        return Err(state.mismatch("network.0.inner.weight", "some rows", "none").into());
    }
    let cell = |at: usize| -> Result<HostCell, FitError> {
        let linear = |name: &str| -> Result<[Matrix; 2], FitError> {
            let array = |part: &str, rows: usize| {
                state.shaped(&format!("{NETWORK}{at}.{name}.{part}"), rows, 3 * dim).cloned()
            };
            Ok([array("weight", dim)?, array("bias", 1)?])
        };
        Ok(HostCell { input: linear("input")?, inner: linear("inner")? })
    };
    let cells = (0..layers).map(cell).collect::<Result<_, _>>()?;
    Ok(Box::new(HostGru4Rec { cells, dim, max_len }))
}

impl HostCell {
    /// The states of all steps, `[len, dim]`, in place of the inputs.
    fn run(&self, x: &mut [f32], dim: usize) {
        let len = x.len() / dim;
        let mut input = vec![0.0; len * 3 * dim];
        product(x, self.input[0].as_slice(), [len, dim, 3 * dim], &mut input);
        let mut inner = vec![0.0; 3 * dim];
        let mut h = vec![0.0f32; dim];
        for (input, out) in input.chunks_exact_mut(3 * dim).zip(x.chunks_exact_mut(dim)) {
            add_scaled(input, 1.0, self.input[1].row(0));
            inner.copy_from_slice(self.inner[1].row(0));
            for (state, row) in h.iter().zip(self.inner[0].as_slice().chunks_exact(3 * dim)) {
                add_scaled(&mut inner, *state, row);
            }
            let (gates, last) = input.split_at_mut(2 * dim);
            let (of_gates, of_last) = inner.split_at(2 * dim);
            for (gate, inner) in gates.iter_mut().zip(of_gates) {
                *gate = product::sigmoid(*gate + inner);
            }
            let (reset, update) = gates.split_at(dim);
            for ((new, inner), reset) in last.iter_mut().zip(of_last).zip(reset) {
                // tanh x = 2 σ(2x) - 1
                *new = 2.0 * product::sigmoid(2.0 * (*new + reset * inner)) - 1.0;
            }
            for ((state, new), update) in h.iter_mut().zip(last.iter()).zip(update) {
                *state = new + update * (*state - new);
            }
            out.copy_from_slice(&h);
        }
    }
}

impl Reader for HostGru4Rec {
    fn max_len(&self) -> usize {
        self.max_len
    }

    fn read(&self, inputs: &[f32], out: &mut [f32]) {
        let mut x = inputs.to_vec();
        self.cells.iter().for_each(|cell| cell.run(&mut x, self.dim));
        out.copy_from_slice(&x[x.len() - self.dim..]);
    }

    /// A state is a mean of hyperbolic tangents.
    fn longest(&self) -> f32 {
        (self.dim as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn states_losses_and_gradients_are_those_of_pytorch() {
        let config = Gru4RecConfig { dim: 8, layers: 2, max_len: 6, ..Gru4RecConfig::default() };
        let rng = SeedStream::new(1).rng("t", 0);
        let make = |device: &Device| Gru4Rec::new(&config, &mut rng.clone(), device);
        crate::sequence::parity::check("gru4rec", make, load_reader);
    }
}
