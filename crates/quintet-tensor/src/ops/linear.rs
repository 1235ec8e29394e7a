//! `x W + b` with its gradient.

use burn::prelude::*;

/// `x W + b`, `[batch, d_in] → [batch, d_out]`; `weight` `[d_in, d_out]`, `bias` `[1, d_out]`.
pub(crate) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused::affine(&x, &weight, &bias) {
        return y;
    }
    affine_portable(x, weight, bias)
}

fn affine_portable(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    x.matmul(weight) + bias
}

#[cfg(feature = "flex")]
mod fused {
    use burn::prelude::*;
    use faer::linalg::matmul::matmul;
    use faer::{Accum, MatMut, MatRef, Par};
    use rayon::prelude::*;

    use crate::slices::add_scaled;
    use crate::tracked::{Seen, tracked};

    /// Rows of an output that a thread computes at a time.
    const ROWS: usize = 256;

    pub(super) fn affine(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<2>) -> Option<Tensor<2>> {
        let ([batch, d_in], [_, d_out]) = (x.dims(), weight.dims());
        if batch == 0 || d_in == 0 || d_out == 0 {
            return None;
        }
        let forward = |[x, weight, bias]: [&[f32]; 3]| {
            let mut out = vec![0.0f32; batch * d_out];
            let weight = MatRef::from_row_major_slice(weight, d_in, d_out);
            let parts = out.par_chunks_mut(ROWS * d_out).zip(x.par_chunks(ROWS * d_in));
            parts.for_each(|(out, x)| {
                out.chunks_exact_mut(d_out).for_each(|row| row.copy_from_slice(bias));
                product(
                    Accum::Add,
                    out,
                    MatRef::from_row_major_slice(x, x.len() / d_in, d_in),
                    weight,
                );
            });
            out
        };
        tracked([x, weight, bias], [batch, d_out], forward, move |seen: Seen<'_, 3>| {
            let [x, weight, _] = seen.inputs;
            let [to_x, to_weight, to_bias] = seen.wanted;
            let grad = seen.grad;
            [
                to_x.then(|| of_input(grad, weight, [batch, d_in, d_out])),
                to_weight.then(|| of_weight(x, grad, [batch, d_in, d_out])),
                to_bias.then(|| of_bias(grad, d_out)),
            ]
        })
    }

    fn product(accum: Accum, out: &mut [f32], left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
        let out = MatMut::from_row_major_slice_mut(out, left.nrows(), right.ncols());
        matmul(out, accum, left, right, 1.0, Par::Seq);
    }

    /// `g Wᵀ`.
    fn of_input(grad: &[f32], weight: &[f32], [batch, d_in, d_out]: [usize; 3]) -> Vec<f32> {
        let mut out = vec![0.0f32; batch * d_in];
        let weight = MatRef::from_row_major_slice(weight, d_in, d_out).transpose();
        let parts = out.par_chunks_mut(ROWS * d_in).zip(grad.par_chunks(ROWS * d_out));
        parts.for_each(|(out, grad)| {
            let grad = MatRef::from_row_major_slice(grad, grad.len() / d_out, d_out);
            product(Accum::Replace, out, grad, weight);
        });
        out
    }

    /// `xᵀ g`: the rows of the result are shared out, so that each is summed in one order.
    fn of_weight(x: &[f32], grad: &[f32], [batch, d_in, d_out]: [usize; 3]) -> Vec<f32> {
        let mut out = vec![0.0f32; d_in * d_out];
        let x = MatRef::from_row_major_slice(x, batch, d_in);
        let grad = MatRef::from_row_major_slice(grad, batch, d_out);
        let rows = d_in.div_ceil(4).clamp(1, ROWS);
        out.par_chunks_mut(rows * d_out).enumerate().for_each(|(part, out)| {
            let n = out.len() / d_out;
            let columns = x.get(.., part * rows..part * rows + n).transpose();
            product(Accum::Replace, out, columns, grad);
        });
        out
    }

    fn of_bias(grad: &[f32], d_out: usize) -> Vec<f32> {
        let mut out = vec![0.0f32; d_out];
        grad.chunks_exact(d_out).for_each(|row| add_scaled(&mut out, 1.0, row));
        out
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::ops::rows::tests::{assert_same, pattern};

    #[test]
    fn both_forms_give_the_same_numbers_and_gradients() {
        for (batch, d_in, d_out) in [(1, 1, 1), (5, 3, 2), (700, 130, 64)] {
            let inputs =
                [pattern(batch, d_in, 1.0), pattern(d_in, d_out, 0.3), pattern(1, d_out, 1.0)];
            assert_same(
                &inputs,
                |[x, w, b]| affine(x, w, b),
                |[x, w, b]| affine_portable(x, w, b),
                2e-5,
            );
        }
    }
}
