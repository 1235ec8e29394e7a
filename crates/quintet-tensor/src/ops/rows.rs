//! Operations on rows.

use burn::prelude::*;

use crate::index_tensor;

/// Rows of length 1; rows shorter than 1e-6 stay shorter. `[rows, dim] → [rows, dim]`.
pub fn unit_rows(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused::unit_rows(&x) {
        return y;
    }
    unit_rows_portable(x)
}

pub(super) fn unit_rows_portable(x: Tensor<2>) -> Tensor<2> {
    // The floor keeps the gradient of the root finite in a row of zeros.
    let length = x.clone().powi_scalar(2).sum_dim(1).clamp_min(1e-12).sqrt();
    x / length
}

/// The rows `ids` of a table, in their order, with repeats: `[n, dim] → [ids.len(), dim]`.
///
/// # Panics
/// When an id is out of range.
pub fn select_rows(table: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let rows = table.dims()[0];
    assert!(ids.iter().all(|&id| (id as usize) < rows), "an id is not below {rows}");
    #[cfg(feature = "flex")]
    if let Some(y) = fused::select_rows(&table, ids) {
        return y;
    }
    let places = index_tensor(ids, &table.device());
    table.select(0, places)
}

/// `(x - mean) / sqrt(variance + 1e-5) · gain + bias` within each row; `gain`, `bias` `[1, dim]`.
pub(crate) fn layer_norm(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = fused::layer_norm(&x, &gain, &bias) {
        return y;
    }
    layer_norm_portable(x, gain, bias)
}

fn layer_norm_portable(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().powi_scalar(2).mean_dim(1);
    centred / (variance + 1e-5).sqrt() * gain + bias
}

#[cfg(feature = "flex")]
mod fused {
    use burn::prelude::*;
    use pulp::{Arch, Simd, WithSimd};
    use rayon::prelude::*;

    use crate::slices::{add_scaled, dot_here};
    use crate::tracked::{Seen, tracked};

    /// Rows that a thread takes at a time; sums over rows are added up part by part.
    const ROWS: usize = 128;

    /// Parts of a table to which gradients are added at the same time.
    const PARTS: usize = 8;

    pub(super) fn unit_rows(x: &Tensor<2>) -> Option<Tensor<2>> {
        let dim = x.dims()[1].max(1);
        let forward = |[x]: [&[f32]; 1]| {
            let mut out = x.to_vec();
            out.par_chunks_mut(ROWS * dim).for_each(|part| {
                Arch::new().dispatch(Unit { part, dim });
            });
            out
        };
        tracked([x], x.dims(), forward, move |seen: Seen<'_, 1>| {
            let mut out = seen.grad.to_vec();
            let parts = seen.inputs[0].par_chunks(ROWS * dim);
            let parts = parts.zip(seen.output.par_chunks(ROWS * dim));
            out.par_chunks_mut(ROWS * dim).zip(parts).for_each(|(grad, (x, y))| {
                Arch::new().dispatch(UnitBack { x, y, grad, dim });
            });
            [Some(out)]
        })
    }

    /// The length that a row is divided by, and whether it is the row's own.
    #[inline(always)]
    fn length(row: &[f32]) -> (f32, bool) {
        let square = dot_here(row, row);
        (square.max(1e-12).sqrt(), square > 1e-12)
    }

    struct Unit<'a> {
        part: &'a mut [f32],
        dim: usize,
    }

    impl WithSimd for Unit<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for row in self.part.chunks_exact_mut(self.dim) {
                let by = 1.0 / length(row).0;
                row.iter_mut().for_each(|v| *v *= by);
            }
        }
    }

    struct UnitBack<'a> {
        x: &'a [f32],
        y: &'a [f32],
        grad: &'a mut [f32],
        dim: usize,
    }

    impl WithSimd for UnitBack<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let rows = self.x.chunks_exact(self.dim).zip(self.y.chunks_exact(self.dim));
            for (grad, (x, y)) in self.grad.chunks_exact_mut(self.dim).zip(rows) {
                let (length, own) = length(x);
                let by = 1.0 / length;
                let along = if own { dot_here(grad, y) } else { 0.0 };
                grad.iter_mut().zip(y).for_each(|(g, y)| *g = (*g - along * y) * by);
            }
        }
    }

    pub(super) fn select_rows(table: &Tensor<2>, ids: &[u32]) -> Option<Tensor<2>> {
        let [rows, dim] = table.dims();
        let ids = ids.to_vec();
        let forward = |[table]: [&[f32]; 1]| {
            let mut out = Vec::with_capacity(ids.len() * dim);
            for &id in &ids {
                out.extend_from_slice(&table[id as usize * dim..][..dim]);
            }
            out
        };
        let shape = [ids.len(), dim];
        let to = ids.clone();
        tracked([table], shape, forward, move |seen: Seen<'_, 1>| {
            let mut out = vec![0.0f32; rows * dim];
            let part = rows.div_ceil(PARTS).max(1);
            out.par_chunks_mut((part * dim).max(1)).enumerate().for_each(|(nth, out)| {
                // Each part reads all ids, and sums up its own in their order.
                let first = nth * part;
                for (&id, grad) in to.iter().zip(seen.grad.chunks_exact(dim.max(1))) {
                    let Some(place) = (id as usize).checked_sub(first) else { continue };
                    if let Some(out) = out.get_mut(place * dim..(place + 1) * dim) {
                        add_scaled(out, 1.0, grad);
                    }
                }
            });
            [Some(out)]
        })
    }

    pub(super) fn layer_norm(
        x: &Tensor<2>,
        gain: &Tensor<2>,
        bias: &Tensor<2>,
    ) -> Option<Tensor<2>> {
        let dim = x.dims()[1];
        if dim == 0 || gain.dims() != [1, dim] || bias.dims() != [1, dim] {
            return None;
        }
        let forward = |[x, gain, bias]: [&[f32]; 3]| {
            let mut out = vec![0.0f32; x.len()];
            out.par_chunks_mut(ROWS * dim).zip(x.par_chunks(ROWS * dim)).for_each(|(out, x)| {
                Arch::new().dispatch(Norm { x, gain, bias, out });
            });
            out
        };
        tracked([x, gain, bias], x.dims(), forward, move |seen: Seen<'_, 3>| {
            let [x, gain, _] = seen.inputs;
            let mut out = seen.grad.to_vec();
            let parts: Vec<Vec<f32>> = out
                .par_chunks_mut(ROWS * dim)
                .zip(x.par_chunks(ROWS * dim))
                .map(|(grad, x)| {
                    let mut sums = vec![0.0f32; 2 * dim];
                    Arch::new().dispatch(NormBack { x, gain, grad, sums: &mut sums });
                    sums
                })
                .collect();
            let mut sums = vec![0.0f32; 2 * dim];
            parts.iter().for_each(|part| add_scaled(&mut sums, 1.0, part));
            let of_bias = sums.split_off(dim);
            [Some(out), Some(sums), Some(of_bias)]
        })
    }

    /// Mean of a row, and one over its standard deviation.
    #[inline(always)]
    fn moments(row: &[f32]) -> (f32, f32) {
        let n = row.len() as f32;
        let mut sums = [0.0f32; 16];
        let chunks = row.chunks_exact(16);
        let tail: f32 = chunks.remainder().iter().sum();
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(s, v)| *s += v);
        }
        let mean = (sums.iter().sum::<f32>() + tail) / n;
        let mut squares = [0.0f32; 16];
        let chunks = row.chunks_exact(16);
        let tail: f32 = chunks.remainder().iter().map(|v| (v - mean) * (v - mean)).sum();
        for chunk in chunks {
            squares.iter_mut().zip(chunk).for_each(|(s, v)| *s += (v - mean) * (v - mean));
        }
        let variance = (squares.iter().sum::<f32>() + tail) / n;
        (mean, 1.0 / (variance + 1e-5).sqrt())
    }

    struct Norm<'a> {
        x: &'a [f32],
        gain: &'a [f32],
        bias: &'a [f32],
        out: &'a mut [f32],
    }

    impl WithSimd for Norm<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { x, gain, bias, out } = self;
            let dim = gain.len();
            for (out, x) in out.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
                let (mean, by) = moments(x);
                let affine = gain.iter().zip(bias);
                for ((o, x), (g, b)) in out.iter_mut().zip(x).zip(affine) {
                    *o = (x - mean) * by * g + b;
                }
            }
        }
    }

    struct NormBack<'a> {
        x: &'a [f32],
        gain: &'a [f32],
        /// The gradient of the output, which becomes that of the input.
        grad: &'a mut [f32],
        /// Gradients of gain and bias.
        sums: &'a mut [f32],
    }

    impl WithSimd for NormBack<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { x, gain, grad, sums } = self;
            let dim = gain.len();
            let (of_gain, of_bias) = sums.split_at_mut(dim);
            let mut standard = vec![0.0f32; dim];
            for (grad, x) in grad.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
                let (mean, by) = moments(x);
                for (((s, x), g), (gain_sum, bias_sum)) in standard
                    .iter_mut()
                    .zip(x)
                    .zip(&*grad)
                    .zip(of_gain.iter_mut().zip(of_bias.iter_mut()))
                {
                    *s = (x - mean) * by;
                    *gain_sum += g * *s;
                    *bias_sum += g;
                }
                grad.iter_mut().zip(gain).for_each(|(g, gain)| *g *= gain);
                let n = dim as f32;
                let mut sums = [0.0f32; 16];
                let chunks = grad.chunks_exact(16);
                let tail: f32 = chunks.remainder().iter().sum();
                for chunk in chunks {
                    sums.iter_mut().zip(chunk).for_each(|(s, v)| *s += v);
                }
                let mean_grad = (sums.iter().sum::<f32>() + tail) / n;
                let along = dot_here(grad, &standard) / n;
                for (g, s) in grad.iter_mut().zip(&standard) {
                    *g = (*g - mean_grad - along * s) * by;
                }
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
pub(super) mod tests {
    use super::*;
    use crate::{matrix_to_tensor, tensor_to_vec};
    use quintet_core::Matrix;

    /// Numbers between `-size` and `size`.
    pub(crate) fn pattern(rows: usize, cols: usize, size: f32) -> Matrix {
        let number = |k: usize| ((k * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let numbers = (0..rows * cols).map(|k| size * number(k)).collect();
        Matrix::from_vec(rows, cols, numbers).unwrap()
    }

    /// Values, and the gradients of every input by a weighted sum of the values, agree.
    pub(crate) fn assert_same<const N: usize>(
        inputs: &[Matrix; N],
        fused: impl Fn([Tensor<2>; N]) -> Tensor<2>,
        portable: impl Fn([Tensor<2>; N]) -> Tensor<2>,
        tolerance: f32,
    ) {
        let device = Device::flex().autodiff();
        let run = |f: &dyn Fn([Tensor<2>; N]) -> Tensor<2>| {
            let leaves = inputs.each_ref().map(|m| matrix_to_tensor(m, &device).require_grad());
            let y = f(leaves.clone());
            let [rows, cols] = y.dims();
            let weight = matrix_to_tensor(&pattern(rows, cols, 1.0), &device);
            let values = tensor_to_vec(y.clone().inner()).unwrap();
            let grads = (y * weight).sum().backward();
            let mut all = vec![values];
            all.extend(leaves.iter().map(|x| tensor_to_vec(x.grad(&grads).unwrap()).unwrap()));
            all
        };
        for (which, (a, b)) in run(&fused).iter().zip(run(&portable)).enumerate() {
            assert_eq!(a.len(), b.len());
            let scale = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
            for (place, (a, b)) in a.iter().zip(&b).enumerate() {
                assert!((a - b).abs() <= tolerance * scale, "array {which}, {place}: {a} {b}");
            }
        }
        // Without autodiff the values are the same.
        let plain = Device::flex();
        let y = fused(inputs.each_ref().map(|m| matrix_to_tensor(m, &plain)));
        assert_eq!(tensor_to_vec(y).unwrap(), run(&fused)[0]);
    }

    #[test]
    fn both_forms_of_a_norm_give_the_same_numbers_and_gradients() {
        for (rows, dim) in [(1, 1), (3, 7), (300, 64), (129, 83)] {
            let inputs = [pattern(rows, dim, 2.0), pattern(1, dim, 1.0), pattern(1, dim, 0.5)];
            assert_same(
                &inputs,
                |[x, g, b]| layer_norm(x, g, b),
                |[x, g, b]| layer_norm_portable(x, g, b),
                2e-5,
            );
        }
    }

    #[test]
    fn both_forms_of_unit_rows_agree_also_for_rows_of_zeros() {
        let mut x = pattern(131, 33, 2.0);
        x.row_mut(5).fill(0.0);
        assert_same(&[x], |[x]| unit_rows(x), |[x]| unit_rows_portable(x), 1e-5);
    }

    #[test]
    fn rows_are_selected_with_repeats_and_their_gradients_added() {
        let ids = [3u32, 0, 3, 6];
        let select = |x: Tensor<2>| {
            let places = index_tensor(&ids, &x.device());
            x.select(0, places)
        };
        assert_same(&[pattern(7, 5, 1.0)], |[x]| select_rows(x, &ids), |[x]| select(x), 1e-6);
    }

    #[test]
    #[should_panic(expected = "not below 7")]
    fn an_id_out_of_range_panics() {
        select_rows(matrix_to_tensor(&pattern(7, 5, 1.0), &Device::flex()), &[7]);
    }
}
