//! Recurrent layers over packed sequences: LSTM (Hochreiter and Schmidhuber, "Long short-term
//! memory", 1997) and GRU (Cho et al., "Learning phrase representations using RNN
//! encoder-decoder", 2014), in the form and under the names of PyTorch.
//!
//! The product with the inputs is one for all steps. Steps go over all sequences at once, longest
//! first, so that those still running are the first rows: as `pack_padded_sequence` does, and
//! without padding.

use burn::prelude::*;
use burn::tensor::activation::sigmoid;

use super::layers::{Activation, Linear};
use super::params::{Init, Params};
use crate::index_tensor;

/// How a state follows from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecurrentCell {
    /// Input, forget and output gates about a cell.
    Lstm,
    /// Reset and update gates.
    Gru,
}

impl RecurrentCell {
    /// How many blocks of `hidden` rows the weights have.
    pub(super) fn blocks(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// One step of the portable form. `input` and `inner` are `[running, blocks · hidden]`, of the
    /// input and of the state `h`; `cell` is that of LSTM. Gives the next state and cell.
    fn step(
        self,
        input: Tensor<2>,
        inner: Tensor<2>,
        h: Tensor<2>,
        cell: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>) {
        let [running, hidden] = h.dims();
        let block = |x: &Tensor<2>, at: usize| {
            x.clone().slice([0..running, at * hidden..(at + 1) * hidden])
        };
        match self {
            Self::Lstm => {
                let sum = input + inner;
                let [i, f, o] = [0, 1, 3].map(|at| sigmoid(block(&sum, at)));
                let cell = f * cell + i * block(&sum, 2).tanh();
                (o * cell.clone().tanh(), cell)
            }
            Self::Gru => {
                let [r, z] = [0, 1].map(|at| sigmoid(block(&input, at) + block(&inner, at)));
                let new = (block(&input, 2) + r * block(&inner, 2)).tanh();
                (new.clone() + z * (h - new), cell)
            }
        }
    }
}

/// The sizes of a [`Recurrent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecurrentShape {
    /// Width of what comes.
    pub d_in: usize,
    /// Width of a state.
    pub hidden: usize,
    /// Layers, each over the states of the one below.
    pub layers: usize,
    /// Whether each layer also reads backwards.
    pub bidirectional: bool,
}

/// One layer in one direction.
#[derive(Debug, Clone)]
struct Direction {
    /// From the input, `[blocks · hidden, d_in]`.
    input: Linear,
    /// From the state, `[blocks · hidden, hidden]`.
    inner: Linear,
    reverse: bool,
}

impl Direction {
    fn new(
        params: &Params,
        suffix: &str,
        reverse: bool,
        d_in: usize,
        [rows, hidden]: [usize; 2],
    ) -> Self {
        let init = Init::Uniform(1.0 / (hidden as f32).sqrt());
        let linear = |name: &str, width| {
            let weight = params.array(&format!("weight_{name}_{suffix}"), [rows, width], init);
            Linear::of(weight, Some(params.array(&format!("bias_{name}_{suffix}"), [rows], init)))
        };
        Self { input: linear("ih", d_in), inner: linear("hh", hidden), reverse }
    }

    /// `[tokens, d_in] → [tokens, hidden]`.
    fn forward(&self, cell: RecurrentCell, x: Tensor<2>, lengths: &[usize]) -> Tensor<2> {
        let input = self.input.forward(x, Activation::None);
        #[cfg(feature = "flex")]
        if let Some(states) =
            super::recurrent_fused::steps(cell, &input, &self.inner, lengths, self.reverse)
        {
            return states;
        }
        self.portable(cell, input, lengths)
    }

    fn portable(&self, cell: RecurrentCell, input: Tensor<2>, lengths: &[usize]) -> Tensor<2> {
        let device = input.device();
        let hidden = self.inner.weight().dims()[1];
        let order = StepOrder::new(lengths, self.reverse);
        let input = input.select(0, index_tensor(&order.tokens, &device));
        let mut h = Tensor::<2>::zeros([lengths.len(), hidden], &device);
        let mut c = h.clone();
        let (mut states, mut inputs) = (Vec::with_capacity(order.running.len()), Vec::new());
        parts(input, &order.running, &mut inputs);
        for (now, &running) in inputs.into_iter().zip(&order.running) {
            h = h.slice([0..running, 0..hidden]);
            c = c.slice([0..running, 0..hidden]);
            let inner = self.inner.forward(h.clone(), Activation::None);
            (h, c) = cell.step(now, inner, h, c);
            states.push(h.clone());
        }
        if states.is_empty() {
            return Tensor::zeros([0, hidden], &device);
        }
        Tensor::cat(states, 0).select(0, index_tensor(&order.places, &device))
    }
}

/// Cuts rows into parts of so many, by halves: the gradient of a part is as large as what it was
/// cut from.
fn parts(rows: Tensor<2>, counts: &[usize], out: &mut Vec<Tensor<2>>) {
    if counts.len() <= 1 {
        out.extend((counts.len() == 1).then_some(rows));
        return;
    }
    let (first, second) = counts.split_at(counts.len() / 2);
    let (n, more) = (first.iter().sum(), second.iter().sum());
    parts(rows.clone().narrow(0, 0, n), first, out);
    parts(rows.narrow(0, n, more), second, out);
}

/// In which order the steps see the tokens of packed sequences.
struct StepOrder {
    /// How many sequences still run at each step.
    running: Vec<usize>,
    /// The tokens, step by step and longest sequence first.
    tokens: Vec<u32>,
    /// Where each token stands in `tokens`.
    places: Vec<u32>,
}

impl StepOrder {
    fn new(lengths: &[usize], reverse: bool) -> Self {
        let sequences = longest_first(lengths);
        let n_tokens = lengths.iter().sum();
        let mut order = Self { running: Vec::new(), tokens: Vec::new(), places: vec![0; n_tokens] };
        let longest = sequences.first().map_or(0, |(_, length)| *length);
        for step in 0..longest {
            let running = sequences.partition_point(|(_, length)| *length > step);
            order.running.push(running);
            for &(start, length) in &sequences[..running] {
                let token = start + if reverse { length - 1 - step } else { step };
                order.places[token] = order.tokens.len() as u32;
                order.tokens.push(token as u32);
            }
        }
        order
    }
}

/// First token and length of every sequence, longest first.
pub(super) fn longest_first(lengths: &[usize]) -> Vec<(usize, usize)> {
    let starts = lengths.iter().scan(0, |next, length| {
        let start = *next;
        *next += length;
        Some((start, *length))
    });
    let mut sequences: Vec<(usize, usize)> = starts.collect();
    sequences.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    sequences
}

/// Layers of LSTM or GRU.
#[derive(Debug, Clone)]
pub struct Recurrent {
    cell: RecurrentCell,
    /// A layer each, of one direction or two.
    layers: Vec<Vec<Direction>>,
}

/// The states of the last layer.
#[derive(Debug, Clone)]
pub struct RecurrentStates {
    /// Of every token, `[tokens, hidden]`, with both directions `[tokens, 2 · hidden]`.
    pub all: Tensor<2>,
    /// Of every sequence once it is read, each direction at its own end; as wide.
    pub last: Tensor<2>,
}

impl Recurrent {
    /// Arrays `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, those of further layers
    /// `_l1` and so on, those that read backwards with `_reverse` behind.
    pub fn new(params: &Params, cell: RecurrentCell, shape: &RecurrentShape) -> Self {
        let directions: &[bool] = if shape.bidirectional { &[false, true] } else { &[false] };
        let mut d_in = shape.d_in;
        let mut layers = Vec::new();
        for n in 0..shape.layers {
            let direction = |reverse: &bool| {
                let suffix = format!("l{n}{}", if *reverse { "_reverse" } else { "" });
                let rows = cell.blocks() * shape.hidden;
                Direction::new(params, &suffix, *reverse, d_in, [rows, shape.hidden])
            };
            layers.push(directions.iter().map(direction).collect());
            d_in = directions.len() * shape.hidden;
        }
        Self { cell, layers }
    }

    /// The states of sequences that lie one after the other, from `[tokens, d_in]`.
    ///
    /// # Panics
    /// When a sequence is empty, or the lengths do not add up to the number of tokens.
    pub fn forward(&self, x: Tensor<2>, lengths: &[usize]) -> RecurrentStates {
        assert_eq!(lengths.iter().sum::<usize>(), x.dims()[0], "the lengths of the tokens");
        assert!(!lengths.contains(&0), "a sequence without tokens");
        let device = x.device();
        let mut all = x;
        let mut parts = Vec::new();
        for layer in &self.layers {
            parts = layer.iter().map(|d| d.forward(self.cell, all.clone(), lengths)).collect();
            all = Tensor::cat(parts.clone(), 1);
        }
        let mut end = 0;
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for length in lengths {
            firsts.push(end as u32);
            end += length;
            lasts.push(end as u32 - 1);
        }
        let ends = [lasts, firsts].into_iter().zip(parts);
        let last = ends.map(|(at, states)| states.select(0, index_tensor(&at, &device)));
        RecurrentStates { last: Tensor::cat(last.collect(), 1), all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Loader;
    use burn::tensor::Tolerance;
    use quintet_core::SeedStream;

    const LENGTHS: [usize; 5] = [3, 7, 1, 7, 4];

    fn made(cell: RecurrentCell, device: &Device) -> (Recurrent, Tensor<2>) {
        let shape = RecurrentShape { d_in: 5, hidden: 11, layers: 2, bidirectional: true };
        let loader = Loader::random(SeedStream::new(3), device);
        let tokens = LENGTHS.iter().sum();
        let x = loader.root().array("x", [tokens, 5], Init::Normal(1.0));
        (Recurrent::new(&loader.root(), cell, &shape), x)
    }

    #[test]
    fn the_order_of_steps_by_hand() {
        // Tokens 0 1, 2, 3 4 5: longest first, and the next step without those that ended.
        let order = StepOrder::new(&[2, 1, 3], false);
        assert_eq!((order.running, order.tokens), (vec![3, 2, 1], vec![3, 0, 2, 4, 1, 5]));
        assert_eq!(order.places, [1, 4, 2, 0, 3, 5]);
        assert_eq!(StepOrder::new(&[2, 1, 3], true).tokens, [5, 1, 2, 4, 0, 3]);
    }

    #[test]
    fn a_sequence_does_not_depend_on_its_batch_mates() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            for cell in [RecurrentCell::Lstm, RecurrentCell::Gru] {
                let (layers, x) = made(cell, &device);
                let together = layers.forward(x.clone(), &LENGTHS);
                let mut start = 0;
                for (row, length) in LENGTHS.into_iter().enumerate() {
                    let alone = layers.forward(x.clone().narrow(0, start, length), &[length]);
                    let same = |a: Tensor<2>, b: Tensor<2>| {
                        let tolerance = Tolerance::<f32>::absolute(1e-5);
                        a.into_data().assert_approx_eq(&b.into_data(), tolerance);
                    };
                    same(alone.all, together.all.clone().narrow(0, start, length));
                    same(alone.last, together.last.clone().narrow(0, row, 1));
                    start += length;
                }
            }
        }
    }

    #[test]
    fn fused_and_portable_forms_agree() {
        for cell in [RecurrentCell::Lstm, RecurrentCell::Gru] {
            let of = |device: &Device| {
                let (layers, x) = made(cell, device);
                layers.forward(x, &LENGTHS).all.into_data()
            };
            let portable = of(&Device::flex().autodiff());
            of(&Device::flex()).assert_approx_eq(&portable, Tolerance::<f32>::absolute(1e-5));
        }
    }
}
