//! Contrast of rows with a table, without the six passes over `[rows, table rows]` that autodiff
//! would make.

use burn::prelude::*;
use burn::tensor::{TensorData, activation};

/// `mean_i -ln softmax_j(first_i · second_j / τ)_{own_i}`: each row of the first view should
/// choose its own row of the second. Rows are compared as they are; see
/// [`unit_rows`](crate::unit_rows) for cosines.
///
/// - `first`: `[rows, dim]`, `second`: `[table rows, dim]`; both get their gradient
/// - `own`: a row of the second view for each of the first
///
/// van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018.
/// Cost: `O(rows · table rows · dim)`; memory for 64 rows of logits a thread.
///
/// # Panics
/// When the shapes disagree, a row is not there, or the temperature is not above 0.
pub fn contrast_rows(
    first: Tensor<2>,
    second: Tensor<2>,
    own: &[u32],
    temperature: f32,
) -> Tensor<1> {
    let ([rows, dim], [n, width]) = (first.dims(), second.dims());
    assert_eq!((rows, dim), (own.len(), width), "an own row for each row, of the same width");
    assert!(own.iter().all(|&o| (o as usize) < n), "an own row is not below {n}");
    assert!(temperature > 0.0, "temperature {temperature} is not above 0");
    #[cfg(feature = "flex")]
    if let Some(loss) = fused::contrast(&first, &second, own, temperature) {
        return loss.reshape([1]);
    }
    contrast_portable(first, second, own, temperature)
}

fn contrast_portable(
    first: Tensor<2>,
    second: Tensor<2>,
    own: &[u32],
    temperature: f32,
) -> Tensor<1> {
    let own: Vec<i32> = own.iter().map(|&o| o as i32).collect();
    let own = TensorData::new(own, [first.dims()[0], 1]);
    let own = Tensor::<2, Int>::from_data(own, &first.device());
    let logits = first.matmul(second.transpose()) / temperature;
    activation::log_softmax(logits, 1).gather(1, own).mean().neg()
}

#[cfg(feature = "flex")]
mod fused {
    use burn::prelude::*;
    use faer::linalg::matmul::matmul;
    use faer::{Accum, MatMut, MatRef, Par};
    use pulp::{Arch, Simd, WithSimd};
    use rayon::prelude::*;

    use crate::nn::fused_math::exp;
    use crate::slices::add_scaled;
    use crate::tracked::{Seen, tracked};

    /// Rows of the first view that a thread takes at a time: their logits stay in the cache.
    const ROWS: usize = 64;

    /// The logits are computed again for the gradient: that is cheaper than memory for them.
    pub(super) fn contrast(
        first: &Tensor<2>,
        second: &Tensor<2>,
        own: &[u32],
        temperature: f32,
    ) -> Option<Tensor<2>> {
        let ([rows, dim], [n, _]) = (first.dims(), second.dims());
        if rows == 0 || dim == 0 {
            return None;
        }
        let by = 1.0 / temperature;
        let kept = own.to_vec();
        let forward = |[first, second]: [&[f32]; 2]| {
            let second = MatRef::from_row_major_slice(second, n, dim);
            let losses: Vec<f64> = first
                .par_chunks(ROWS * dim)
                .zip(own.par_chunks(ROWS))
                .map(|(first, own)| {
                    let mut logits = logits_of(first, second, by);
                    let mut sum = 0.0f64;
                    for (logits, &own) in logits.chunks_exact_mut(n).zip(own) {
                        let own = logits[own as usize];
                        let (largest, total) = Arch::new().dispatch(Softmax(logits));
                        sum += f64::from(largest - own) + f64::from(total).ln();
                    }
                    sum
                })
                .collect();
            vec![(losses.iter().sum::<f64>() / rows as f64) as f32]
        };
        tracked([first, second], [1, 1], forward, move |seen: Seen<'_, 2>| {
            let views = Views { second: seen.inputs[1], own: &kept, by, dim };
            let scale = seen.grad[0] * by / rows as f32;
            let (a, b) = views.gradients(seen.inputs[0], scale);
            [Some(a), Some(b)]
        })
    }

    fn logits_of(first: &[f32], second: MatRef<'_, f32>, by: f32) -> Vec<f32> {
        let (n, dim) = (second.nrows(), second.ncols());
        let rows = first.len() / dim;
        let mut logits = vec![0.0f32; rows * n];
        let out = MatMut::from_row_major_slice_mut(&mut logits, rows, n);
        let first = MatRef::from_row_major_slice(first, rows, dim);
        matmul(out, Accum::Replace, first, second.transpose(), by, Par::Seq);
        logits
    }

    /// Into so many parts, whatever the number of threads, are the rows cut for the gradient.
    const GROUPS: usize = 4;

    struct Views<'a> {
        second: &'a [f32],
        own: &'a [u32],
        by: f32,
        dim: usize,
    }

    impl Views<'_> {
        /// `scale · (P - O) second` and `scale · (P - O)ᵀ first`, with `P` the softmax of the
        /// logits and `O` one at each row's own.
        fn gradients(&self, first: &[f32], scale: f32) -> (Vec<f32>, Vec<f32>) {
            let dim = self.dim;
            let mut of_first = vec![0.0f32; first.len()];
            let group = self.own.len().div_ceil(ROWS).div_ceil(GROUPS).max(1) * ROWS;
            let parts = of_first.par_chunks_mut(group * dim).zip(first.par_chunks(group * dim));
            let parts: Vec<Vec<f32>> = parts
                .zip(self.own.par_chunks(group))
                .map(|((of_first, first), own)| self.part(of_first, first, own, scale))
                .collect();
            // Added up in the order of the parts, whoever computed them.
            let mut of_second = vec![0.0f32; self.second.len()];
            parts.iter().for_each(|part| add_scaled(&mut of_second, 1.0, part));
            (of_first, of_second)
        }

        /// Writes the gradient of some rows of the first view; gives their part of the second's.
        fn part(&self, of_first: &mut [f32], first: &[f32], own: &[u32], scale: f32) -> Vec<f32> {
            let (dim, n) = (self.dim, self.second.len() / self.dim);
            let table = MatRef::from_row_major_slice(self.second, n, dim);
            let mut of_second = vec![0.0f32; self.second.len()];
            let chunks = of_first.chunks_mut(ROWS * dim).zip(first.chunks(ROWS * dim));
            for ((of_first, first), own) in chunks.zip(own.chunks(ROWS)) {
                let shares = self.shares(first, own, scale);
                let rows = own.len();
                let shares = MatRef::from_row_major_slice(&shares, rows, n);
                let out = MatMut::from_row_major_slice_mut(of_first, rows, dim);
                matmul(out, Accum::Replace, shares, table, 1.0, Par::Seq);
                let out = MatMut::from_row_major_slice_mut(&mut of_second, n, dim);
                let first = MatRef::from_row_major_slice(first, rows, dim);
                matmul(out, Accum::Add, shares.transpose(), first, 1.0, Par::Seq);
            }
            of_second
        }

        /// `scale · (P - O)` of some rows.
        fn shares(&self, first: &[f32], own: &[u32], scale: f32) -> Vec<f32> {
            let n = self.second.len() / self.dim;
            let table = MatRef::from_row_major_slice(self.second, n, self.dim);
            let mut shares = logits_of(first, table, self.by);
            for (shares, &own) in shares.chunks_exact_mut(n).zip(own) {
                let (_, total) = Arch::new().dispatch(Softmax(shares));
                let factor = scale / total;
                shares.iter_mut().for_each(|p| *p *= factor);
                shares[own as usize] -= scale;
            }
            shares
        }
    }

    /// Replaces logits by `e^{logit - largest}`; gives the largest and the sum.
    struct Softmax<'a>(&'a mut [f32]);

    impl WithSimd for Softmax<'_> {
        type Output = (f32, f32);

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> (f32, f32) {
            let logits = self.0;
            let mut tops = [f32::NEG_INFINITY; 16];
            let chunks = logits.chunks_exact(16);
            let tail = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            for chunk in chunks {
                tops.iter_mut().zip(chunk).for_each(|(t, v)| *t = if v > t { *v } else { *t });
            }
            let largest = tops.iter().fold(tail, |a, b| a.max(*b));
            let mut sums = [0.0f32; 16];
            let mut chunks = logits.chunks_exact_mut(16);
            for chunk in &mut chunks {
                for (s, v) in sums.iter_mut().zip(chunk) {
                    *v = exp(*v - largest);
                    *s += *v;
                }
            }
            let mut total: f32 = sums.iter().sum();
            for v in chunks.into_remainder() {
                *v = exp(*v - largest);
                total += *v;
            }
            (largest, total)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::ops::rows::tests::{assert_same, pattern};

    #[test]
    fn both_forms_give_the_same_loss_and_gradients() {
        for (rows, n, dim) in [(1, 1, 3), (70, 70, 16), (300, 90, 5)] {
            let own: Vec<u32> = (0..rows).map(|r| (r * 7 % n) as u32).collect();
            assert_same(
                &[pattern(rows, dim, 1.0), pattern(n, dim, 1.0)],
                |[a, b]| contrast_rows(a, b, &own, 0.2).reshape([1, 1]),
                |[a, b]| contrast_portable(a, b, &own, 0.2).reshape([1, 1]),
                2e-5,
            );
        }
    }
}
