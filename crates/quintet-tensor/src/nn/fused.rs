//! The fused forms of [`super`]: loops over the numbers of the `flex` backend.
//!
//! Each gives none where it cannot be used (another backend, autodiff, another precision), and
//! the portable form follows. Products with weights are those of [`super::fused_gemm`], others
//! faer's; what follows a product is done to the rows that have just been computed, while they
//! are in the cache. The loops of a row are compiled for the processor's widest vectors and chosen
//! at run time.
//!
//! A row's result does not depend on the rows beside it: rows are cut into parts of one size,
//! whatever the number of threads, and the sums of a product go over its inner axis in one order.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::prelude::*;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::attention::AttentionMask;
use super::fused_gemm::Packed;
use super::fused_int8::PackedInt8;
use super::fused_math::{erf, exp, tanh};
use super::layers::{Activation, LayerNorm, Linear};
use super::params::Precision;

/// Rows of a product that one thread computes at a time.
const ROWS: usize = 128;
/// Below so many rows a weight is multiplied by as it is.
const FEW: usize = 48;
/// Rows of a row-wise operation that one thread takes at a time.
const LIGHT_ROWS: usize = 64;

/// The numbers of a tensor, where they lie in order in this process's memory.
pub(crate) fn numbers<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    let x = x.clone().try_into_primitive::<Flex>().ok()?;
    x.as_slice::<f32>().is_some().then_some(x)
}

pub(crate) fn tensor<const D: usize>(
    numbers: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// `f(x Wᵀ + b + residual)`.
pub(super) fn linear(
    x: &Tensor<2>,
    layer: &Linear,
    residual: Option<&Tensor<2>>,
    activation: Activation,
) -> Option<Tensor<2>> {
    let ([tokens, d_in], [d_out, _]) = (x.dims(), layer.weight().dims());
    let kept = numbers(x)?;
    let x_numbers = kept.as_slice::<f32>()?;
    let (bias, residual) = (layer.bias().map(numbers), residual.map(numbers));
    let (bias, residual) = (optional(&bias)?, optional(&residual)?);
    if d_in == 0 || d_out == 0 {
        return None;
    }
    let matrix = Matrix::of(layer, tokens)?;
    let mut out = vec![0.0f32; tokens * d_out];
    let parts = out.par_chunks_mut(ROWS * d_out).zip(x_numbers.par_chunks(ROWS * d_in));
    parts.enumerate().for_each(|(part, (out, x))| {
        matrix.product(x, out);
        let residual = rows_of(residual, part * ROWS * d_out, out.len());
        Arch::new().dispatch(AfterProduct { out, bias, residual, activation });
    });
    Some(tensor(out, [tokens, d_out], &x.device()))
}

/// A weight in the order of an inner loop.
#[derive(Debug)]
pub(super) enum PackedWeight {
    Whole(Packed),
    Int8(PackedInt8),
}

impl PackedWeight {
    /// None where the numbers are not in this process's memory, or for 32 bits.
    pub(super) fn kept_in(weight: &Tensor<2>, precision: Precision) -> Option<Self> {
        let shape = weight.dims();
        // Of a turned weight a copy in order.
        let kept = match numbers(weight) {
            Some(kept) => kept,
            None => numbers(&tensor(weight.to_data().try_to_vec().ok()?, shape, &weight.device()))?,
        };
        let kept = kept.as_slice::<f32>()?;
        match precision {
            Precision::F32 => None,
            Precision::Int8 => Some(Self::Int8(PackedInt8::new(kept, shape))),
            Precision::F16 | Precision::Bf16 => {
                Packed::new(kept, shape, false).map(|p| Self::Whole(p.kept_in(precision)))
            }
        }
    }

    /// With every output multiplied by a number. None for a weight that is still there as a whole.
    pub(super) fn scaled(&self, by: &Tensor<1>) -> Option<Self> {
        let by = numbers(by)?;
        let by = by.as_slice::<f32>()?;
        match self {
            Self::Whole(packed) => packed.scaled(by).map(Self::Whole),
            Self::Int8(packed) => Some(Self::Int8(packed.scaled(by))),
        }
    }
}

/// The weight of a layer, ready to be multiplied by.
pub(super) enum Matrix<'a> {
    /// In the order of the inner loop.
    Packed(&'a PackedWeight),
    /// As it is: for so few rows that packing costs more than it saves.
    Plain { kept: FlexTensor, shape: [usize; 2], turned: bool },
}

impl<'a> Matrix<'a> {
    /// None where its numbers are not in this process's memory.
    pub(super) fn of(layer: &'a Linear, rows: usize) -> Option<Self> {
        let shape = layer.weight().dims();
        let plain = || {
            let kept = layer.weight().clone().try_into_primitive::<Flex>().ok()?;
            // A weight that was transposed lies the other way round and is read so.
            match kept.as_slice::<f32>() {
                Some(_) => Some((kept, false)),
                None => Some((numbers(&layer.weight().clone().transpose())?, true)),
            }
        };
        let pack = || {
            let (kept, turned) = plain()?;
            Packed::new(kept.as_slice::<f32>()?, shape, turned).map(PackedWeight::Whole)
        };
        let packed = match layer.packed.get() {
            None if rows < FEW => &None,
            None => layer.packed.get_or_init(pack),
            Some(packed) => packed,
        };
        if let Some(packed) = packed {
            return Some(Self::Packed(packed));
        }
        let (kept, turned) = plain()?;
        Some(Self::Plain { kept, shape, turned })
    }

    /// `out = x · Wᵀ`, on this thread.
    pub(super) fn product(&self, x: &[f32], out: &mut [f32]) {
        let (kept, [d_out, d_in], turned) = match self {
            Self::Packed(PackedWeight::Whole(packed)) => return packed.product(x, out),
            Self::Packed(PackedWeight::Int8(packed)) => return packed.product(x, out),
            Self::Plain { kept, shape, turned } => (kept, *shape, *turned),
        };
        let weight = kept.as_slice::<f32>().unwrap_or_default();
        let right = match turned {
            false => MatRef::from_row_major_slice(weight, d_out, d_in).transpose(),
            true => MatRef::from_row_major_slice(weight, d_in, d_out),
        };
        let rows = x.len() / d_in;
        let left = MatRef::from_row_major_slice(x, rows, d_in);
        let product = MatMut::from_row_major_slice_mut(out, rows, d_out);
        matmul(product, Accum::Replace, left, right, 1.0, Par::Seq);
    }
}

/// The numbers of a tensor that may be absent: none of it is an empty slice.
pub(super) fn optional(kept: &Option<Option<FlexTensor>>) -> Option<&[f32]> {
    match kept {
        Some(kept) => kept.as_ref()?.as_slice::<f32>(),
        None => Some(&[]),
    }
}

/// Some rows of what may be absent.
pub(super) fn rows_of(all: &[f32], from: usize, n: usize) -> &[f32] {
    if all.is_empty() { all } else { &all[from..from + n] }
}

// A closure would not do for what follows: it is compiled on its own, without the processor's
// vectors, unless the compiler happens to inline it.

/// What follows a product.
pub(super) struct AfterProduct<'a> {
    pub(super) out: &'a mut [f32],
    /// One row, or nothing.
    pub(super) bias: &'a [f32],
    /// As many numbers as `out` has, or none.
    pub(super) residual: &'a [f32],
    pub(super) activation: Activation,
}

impl WithSimd for AfterProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        after_product(self.out, self.bias, self.residual, self.activation);
    }
}

/// Layer norm of some rows.
struct NormRows<'a> {
    rows: &'a mut [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
}

impl WithSimd for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.gamma.len()) {
            norm_row(row, self.gamma, self.beta, self.epsilon);
        }
    }
}

/// Softmax of every row of the scores of one sequence.
struct SoftmaxRows<'a> {
    scores: &'a mut [f32],
    length: usize,
    mask: AttentionMask,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (from, row) in self.scores.chunks_exact_mut(self.length).enumerate() {
            let causal = self.mask == AttentionMask::Causal;
            let (row, hidden) = row.split_at_mut(if causal { from + 1 } else { self.length });
            softmax_row(row);
            hidden.fill(0.0);
        }
    }
}

#[inline(always)]
fn after_product(out: &mut [f32], bias: &[f32], residual: &[f32], activation: Activation) {
    if !bias.is_empty() {
        for row in out.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    out.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
    match activation {
        Activation::None => {}
        Activation::Relu => out.iter_mut().for_each(|y| *y = y.max(0.0)),
        Activation::Gelu => {
            out.iter_mut()
                .for_each(|y| *y *= 0.5 + 0.5 * erf(*y * std::f32::consts::FRAC_1_SQRT_2));
        }
        Activation::GeluTanh => out.iter_mut().for_each(|y| {
            let inner = 0.797_884_6 * (*y + 0.044_715 * *y * *y * *y);
            *y *= 0.5 + 0.5 * tanh(inner);
        }),
        Activation::QuickGelu => out.iter_mut().for_each(|y| *y /= 1.0 + exp(-1.702 * *y)),
        Activation::Tanh => out.iter_mut().for_each(|y| *y = tanh(*y)),
    }
}

/// Layer norm of `x`, or of `x + residual`.
pub(super) fn layer_norm(
    x: &Tensor<2>,
    residual: Option<&Tensor<2>>,
    norm: &LayerNorm,
) -> Option<Tensor<2>> {
    let [tokens, dim] = x.dims();
    let (x_kept, gamma, beta) = (numbers(x)?, numbers(&norm.gamma)?, numbers(&norm.beta)?);
    let (gamma, beta) = (gamma.as_slice::<f32>()?, beta.as_slice::<f32>()?);
    let mut out = match residual {
        None => x_kept.as_slice::<f32>()?.to_vec(),
        Some(residual) => {
            let residual = numbers(residual)?;
            let sums = x_kept.as_slice::<f32>()?.iter().zip(residual.as_slice::<f32>()?);
            sums.map(|(x, r)| x + r).collect()
        }
    };
    if dim == 0 {
        return None;
    }
    out.par_chunks_mut(LIGHT_ROWS * dim).for_each(|rows| {
        Arch::new().dispatch(NormRows { rows, gamma, beta, epsilon: norm.epsilon });
    });
    Some(tensor(out, [tokens, dim], &x.device()))
}

#[inline(always)]
fn norm_row(row: &mut [f32], gamma: &[f32], beta: &[f32], epsilon: f32) {
    let n = row.len() as f32;
    let mean = sum(row) / n;
    row.iter_mut().for_each(|x| *x -= mean);
    let variance = sum_squares(row) / n;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for ((x, gamma), beta) in row.iter_mut().zip(gamma).zip(beta) {
        *x = *x * scale * gamma + beta;
    }
}

/// Attention of packed sequences; `qkv` is `[tokens, 3 · dim]`.
pub(super) fn attention(
    qkv: &Tensor<2>,
    lengths: &[usize],
    heads: usize,
    mask: AttentionMask,
) -> Option<Tensor<2>> {
    let [tokens, width] = qkv.dims();
    let dim = width / 3;
    let kept = numbers(qkv)?;
    let all = kept.as_slice::<f32>()?;
    let mut out = vec![0.0f32; tokens * dim];
    let mut sequences = Vec::with_capacity(lengths.len());
    let (mut rest, mut start) = (&mut out[..], 0);
    for &length in lengths {
        let (mine, others) = rest.split_at_mut(length * dim);
        if length > 0 {
            sequences.push((&all[start * width..(start + length) * width], mine));
        }
        (rest, start) = (others, start + length);
    }
    let shape = Heads { dim, heads, mask };
    sequences.into_par_iter().for_each(|(qkv, out)| {
        let mixed: Vec<Vec<f32>> =
            (0..heads).into_par_iter().map(|head| shape.one(qkv, head)).collect();
        let d = dim / heads;
        for (token, row) in out.chunks_exact_mut(dim).enumerate() {
            for (part, mixed) in row.chunks_exact_mut(d).zip(&mixed) {
                part.copy_from_slice(&mixed[token * d..(token + 1) * d]);
            }
        }
    });
    Some(tensor(out, [tokens, dim], &qkv.device()))
}

/// How the numbers of a token are divided.
#[derive(Clone, Copy)]
struct Heads {
    dim: usize,
    heads: usize,
    mask: AttentionMask,
}

impl Heads {
    /// One head over one sequence, `[length, d_head]`.
    fn one(self, qkv: &[f32], head: usize) -> Vec<f32> {
        let (width, d) = (3 * self.dim, self.dim / self.heads);
        let length = qkv.len() / width;
        let part = |which: usize| {
            let from = which * self.dim + head * d;
            MatRef::from_row_major_slice_with_stride(&qkv[from..], length, d, width)
        };
        let mut scores = vec![0.0f32; length * length];
        let product = MatMut::from_row_major_slice_mut(&mut scores, length, length);
        let scale = 1.0 / (d as f32).sqrt();
        matmul(product, Accum::Replace, part(0), part(1).transpose(), scale, Par::Seq);
        Arch::new().dispatch(SoftmaxRows { scores: &mut scores, length, mask: self.mask });
        let mut out = vec![0.0f32; length * d];
        let weights = MatRef::from_row_major_slice(&scores, length, length);
        let product = MatMut::from_row_major_slice_mut(&mut out, length, d);
        matmul(product, Accum::Replace, weights, part(2), 1.0, Par::Seq);
        out
    }
}

#[inline(always)]
fn softmax_row(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - most));
    let scale = 1.0 / sum(row);
    row.iter_mut().for_each(|x| *x *= scale);
}

/// Sums in eight lanes of their own, so that the compiler may use vectors.
#[inline(always)]
fn lanes(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += of(*x));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}

#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    lanes(row, |x| x)
}

#[inline(always)]
fn sum_squares(row: &[f32]) -> f32 {
    lanes(row, |x| x * x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Loader;
    use burn::tensor::Tolerance;
    use quintet_core::SeedStream;
    use rand::RngExt;

    fn random<const D: usize>(shape: [usize; D], label: &str) -> Tensor<D> {
        let mut rng = SeedStream::new(5).rng(label, 0);
        let n = shape.iter().product();
        let numbers = (0..n).map(|_| rng.random_range(-3.0..3.0)).collect();
        tensor(numbers, shape, &Device::flex())
    }

    #[test]
    fn fused_and_portable_forms_agree() {
        let autodiff = Device::flex().autodiff();
        let activations = [
            Activation::None,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Relu,
            Activation::Tanh,
        ];
        let x = random([300, 37], "x");
        let (weight, bias) = (random([19, 37], "w") * 0.3, random([19], "b"));
        let residual = random([300, 19], "r");
        let here = Linear::of(weight, Some(bias.clone()));
        let layer = Linear::of(
            Tensor::from_data(here.weight().clone().into_data(), &autodiff),
            Some(Tensor::from_data(bias.into_data(), &autodiff)),
        );
        for activation in activations {
            let there = Tensor::<2>::from_data(x.clone().into_data(), &autodiff);
            assert!(linear(&there, &layer, None, activation).is_none());
            let close = |fused: Option<Tensor<2>>, portable: Tensor<2>| {
                let (fused, portable) = (fused.unwrap().into_data(), portable.inner().into_data());
                fused.assert_approx_eq(&portable, Tolerance::<f32>::absolute(2e-5));
            };
            close(linear(&x, &here, None, activation), layer.forward(there.clone(), activation));
            let added = Tensor::from_data(residual.clone().into_data(), &autodiff);
            let portable = layer.forward_sum(there, added, activation);
            close(linear(&x, &here, Some(&residual), activation), portable);
        }
    }

    #[test]
    fn layer_norm_of_a_sum_agrees_with_its_portable_form() {
        let (x, residual) = (random([130, 51], "x"), random([130, 51], "r"));
        let norm = |device: &Device| {
            let loader = Loader::random(SeedStream::new(1), device);
            let mut norm = LayerNorm::new(&loader.root(), 51, 1e-5);
            norm.gamma = Tensor::from_data(random([51], "gamma").into_data(), device);
            norm.beta = Tensor::from_data(random([51], "beta").into_data(), device);
            norm
        };
        let autodiff = Device::flex().autodiff();
        let there = |t: &Tensor<2>| Tensor::from_data(t.clone().into_data(), &autodiff);
        let want = norm(&autodiff).forward_sum(there(&x), there(&residual)).inner().into_data();
        let plain = norm(&Device::flex());
        assert!(layer_norm(&there(&x), None, &plain).is_none());
        let got = plain.forward_sum(x, residual).into_data();
        got.assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-5));
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours_or_on_the_threads() {
        let x = random([517, 96], "x");
        let layer = Linear::of(random([64, 96], "w"), Some(random([64], "b")));
        let of = |x: Tensor<2>, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let y = pool.install(|| linear(&x, &layer, None, Activation::Gelu).unwrap());
            y.into_data().try_to_vec::<f32>().unwrap()
        };
        let all = of(x.clone(), 1);
        assert_eq!(all, of(x.clone(), 4));
        let some = of(x.slice([200..333, 0..96]), 2);
        for (a, b) in some.iter().zip(&all[200 * 64..333 * 64]) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} and {b}");
        }
    }
}
