//! The fused form of the steps of [`super::recurrent`]: loops over the numbers of the `flex`
//! backend, groups of sequences side by side.

use burn::prelude::*;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::fused::{numbers, tensor};
use super::fused_math::{exp, tanh};
use super::layers::Linear;
use super::recurrent::{RecurrentCell, longest_first};

/// Sequences that one thread steps through together: enough for a product of matrices.
const TOGETHER: usize = 16;

/// A sequence with its inputs and the place of its states.
struct Sequence<'a> {
    /// `[length, blocks · hidden]`.
    input: &'a [f32],
    /// `[length, hidden]`.
    states: &'a mut [f32],
}

/// The arrays of a direction.
#[derive(Clone, Copy)]
struct Step<'a> {
    cell: RecurrentCell,
    hidden: usize,
    /// `[blocks · hidden, hidden]`.
    weight: &'a [f32],
    /// `[blocks · hidden]`.
    bias: &'a [f32],
    reverse: bool,
}

/// The states of every token, `[tokens, hidden]`, from what the inputs give, `[tokens, blocks ·
/// hidden]`.
pub(super) fn steps(
    cell: RecurrentCell,
    input: &Tensor<2>,
    inner: &Linear,
    lengths: &[usize],
    reverse: bool,
) -> Option<Tensor<2>> {
    let ([tokens, width], [_, hidden]) = (input.dims(), inner.weight().dims());
    if tokens == 0 || hidden == 0 {
        return None;
    }
    let (input_kept, weight) = (numbers(input)?, numbers(inner.weight())?);
    let bias = numbers(inner.bias()?)?;
    let (weight, bias) = (weight.as_slice::<f32>()?, bias.as_slice::<f32>()?);
    let step = Step { cell, hidden, weight, bias, reverse };
    let all = input_kept.as_slice::<f32>()?;
    let mut out = vec![0.0f32; tokens * hidden];
    let mut by_start = std::collections::BTreeMap::new();
    let (mut rest, mut start) = (&mut out[..], 0);
    for &length in lengths {
        let (states, others) = rest.split_at_mut(length * hidden);
        let input = &all[start * width..(start + length) * width];
        by_start.insert(start, Sequence { input, states });
        (rest, start) = (others, start + length);
    }
    // Of like length, so that few wait for the longest of their group.
    let order = longest_first(lengths);
    let mut sequences: Vec<Sequence<'_>> =
        order.iter().filter_map(|(start, _)| by_start.remove(start)).collect();
    sequences.par_chunks_mut(TOGETHER).for_each(|group| step.group(group));
    Some(tensor(out, [tokens, hidden], &input.device()))
}

impl Step<'_> {
    /// All steps of sequences that are sorted by length, longest first.
    fn group(self, sequences: &mut [Sequence<'_>]) {
        let (hidden, width) = (self.hidden, self.bias.len());
        let mut h = vec![0.0f32; sequences.len() * hidden];
        let mut c = vec![0.0f32; sequences.len() * hidden];
        let mut inner = vec![0.0f32; sequences.len() * width];
        let right = MatRef::from_row_major_slice(self.weight, width, hidden).transpose();
        let longest = sequences.first().map_or(0, |s| s.states.len() / hidden);
        for step in 0..longest {
            let running = sequences.partition_point(|s| s.states.len() / hidden > step);
            let left = MatRef::from_row_major_slice(&h[..running * hidden], running, hidden);
            let inner = &mut inner[..running * width];
            let product = MatMut::from_row_major_slice_mut(inner, running, width);
            matmul(product, Accum::Replace, left, right, 1.0, Par::Seq);
            let rows = inner.chunks_exact_mut(width);
            let states = h.chunks_exact_mut(hidden).zip(c.chunks_exact_mut(hidden));
            for ((sequence, inner), (h, c)) in sequences.iter_mut().zip(rows).zip(states) {
                let length = sequence.states.len() / hidden;
                let at = if self.reverse { length - 1 - step } else { step };
                let input = &sequence.input[at * width..(at + 1) * width];
                let gates = Gates { cell: self.cell, input, inner, bias: self.bias, h, c };
                Arch::new().dispatch(gates);
                sequence.states[at * hidden..(at + 1) * hidden].copy_from_slice(h);
            }
        }
    }
}

/// What follows the product in one step of one sequence.
struct Gates<'a> {
    cell: RecurrentCell,
    input: &'a [f32],
    inner: &'a mut [f32],
    bias: &'a [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
}

impl WithSimd for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.cell {
            RecurrentCell::Lstm => self.lstm(),
            RecurrentCell::Gru => self.gru(),
        }
    }
}

impl Gates<'_> {
    #[inline(always)]
    fn lstm(self) {
        let n = self.h.len();
        let inputs = self.input.iter().zip(self.bias);
        self.inner.iter_mut().zip(inputs).for_each(|(sum, (x, b))| *sum += x + b);
        let (i_f, g_o) = self.inner.split_at_mut(2 * n);
        let (i, f) = i_f.split_at_mut(n);
        let (g, o) = g_o.split_at_mut(n);
        i.iter_mut().for_each(|x| *x = sigmoid(*x));
        f.iter_mut().for_each(|x| *x = sigmoid(*x));
        g.iter_mut().for_each(|x| *x = tanh(*x));
        for (((c, i), f), g) in self.c.iter_mut().zip(i).zip(f).zip(g) {
            *c = *f * *c + *i * *g;
        }
        for ((h, o), c) in self.h.iter_mut().zip(o).zip(self.c) {
            *h = sigmoid(*o) * tanh(*c);
        }
    }

    #[inline(always)]
    fn gru(self) {
        let n = self.h.len();
        self.inner.iter_mut().zip(self.bias).for_each(|(sum, b)| *sum += b);
        let (r_z, new) = self.inner.split_at_mut(2 * n);
        r_z.iter_mut().zip(self.input).for_each(|(gate, x)| *gate = sigmoid(*gate + x));
        let (r, z) = r_z.split_at_mut(n);
        for ((new, r), x) in new.iter_mut().zip(r).zip(&self.input[2 * n..]) {
            *new = tanh(x + *r * *new);
        }
        for ((h, z), new) in self.h.iter_mut().zip(z).zip(new) {
            *h = *new + *z * (*h - *new);
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
