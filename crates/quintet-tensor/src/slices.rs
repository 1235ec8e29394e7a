//! Loops over rows of numbers, in the widest vectors that the processor has.
//!
//! Sums run in an order that depends on the lengths alone, and no multiplication is fused with
//! an addition: every processor gives the same bytes.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Running sums of a dot product.
const SUMS: usize = 16;

/// Rows of a product that a thread takes at a time.
const ROWS: usize = 16;

/// Up to so many rows a product is not worth a second thread.
const SERIAL_ROWS: usize = 64;

/// Dot product of two rows of the same length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    Arch::new().dispatch(Dot(a, b))
}

/// `out += factor · x`.
pub fn add_scaled(out: &mut [f32], factor: f32, x: &[f32]) {
    Arch::new().dispatch(AddScaled(out, factor, x));
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        dot_here(self.0, self.1)
    }
}

struct AddScaled<'a>(&'a mut [f32], f32, &'a [f32]);

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        add_scaled_here(self.0, self.1, self.2);
    }
}

/// As [`dot`], for loops that run inside a dispatch already.
#[inline(always)]
pub(crate) fn dot_here(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; SUMS];
    let (heads_a, heads_b) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let tail: f32 = heads_a.remainder().iter().zip(heads_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in heads_a.zip(heads_b) {
        for (s, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *s += x * y;
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// As [`add_scaled`], for loops that run inside a dispatch already.
#[inline(always)]
pub(crate) fn add_scaled_here(out: &mut [f32], factor: f32, x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += factor * x);
}

/// `out += x · W`, `[rows, d_in] × [d_in, d_out] → [rows, d_out]`, rows in parallel. A row's
/// result does not depend on the other rows.
///
/// # Panics
/// When the lengths disagree.
pub fn add_product(x: &[f32], weight: &[f32], [d_in, d_out]: [usize; 2], out: &mut [f32]) {
    assert_eq!(weight.len(), d_in * d_out, "a weight of [{d_in}, {d_out}]");
    assert_eq!(x.len() * d_out, out.len() * d_in, "as many rows in as out");
    if d_in == 0 || d_out == 0 {
        return;
    }
    let part = |(out, x): (&mut [f32], &[f32])| {
        Arch::new().dispatch(ProductRows { x, weight, shape: [d_in, d_out], out });
    };
    if x.len() <= SERIAL_ROWS * d_in {
        return part((out, x));
    }
    out.par_chunks_mut(ROWS * d_out).zip(x.par_chunks(ROWS * d_in)).for_each(part);
}

struct ProductRows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    shape: [usize; 2],
    out: &'a mut [f32],
}

impl WithSimd for ProductRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [d_in, d_out] = self.shape;
        // Four rows share what is read of the weight.
        for (out, x) in self.out.chunks_mut(4 * d_out).zip(self.x.chunks(4 * d_in)) {
            for (k, line) in self.weight.chunks_exact(d_out).enumerate() {
                for (out, x) in out.chunks_exact_mut(d_out).zip(x.chunks_exact(d_in)) {
                    add_scaled_here(out, x[k], line);
                }
            }
        }
    }
}

/// `out += xᵀ · y`, `[rows, d_in]ᵀ × [rows, d_out] → [d_in, d_out]`: the gradient of a weight.
///
/// # Panics
/// When the lengths disagree.
pub fn add_outer(x: &[f32], y: &[f32], [d_in, d_out]: [usize; 2], out: &mut [f32]) {
    assert_eq!(out.len(), d_in * d_out, "a gradient of [{d_in}, {d_out}]");
    assert_eq!(x.len() * d_out, y.len() * d_in, "as many rows on both sides");
    if d_in == 0 || d_out == 0 {
        return;
    }
    out.par_chunks_mut(d_out).enumerate().with_min_len(8).for_each(|(k, out)| {
        Arch::new().dispatch(OuterRow { x, y, shape: [d_in, d_out], k, out });
    });
}

struct OuterRow<'a> {
    x: &'a [f32],
    y: &'a [f32],
    shape: [usize; 2],
    k: usize,
    out: &'a mut [f32],
}

impl WithSimd for OuterRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [d_in, d_out] = self.shape;
        for (x, y) in self.x.chunks_exact(d_in).zip(self.y.chunks_exact(d_out)) {
            add_scaled_here(self.out, x[self.k], y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|k| ((k * step + 3) % 17) as f32 / 8.0 - 1.0).collect()
    }

    #[test]
    fn products_are_those_of_plain_loops() {
        let (rows, d_in, d_out) = (37, 5, 19);
        let (x, w) = (pattern(rows * d_in, 7), pattern(d_in * d_out, 5));
        let mut y = vec![1.0; rows * d_out];
        add_product(&x, &w, [d_in, d_out], &mut y);
        for r in 0..rows {
            for o in 0..d_out {
                let sum: f32 = (0..d_in).map(|k| x[r * d_in + k] * w[k * d_out + o]).sum();
                assert!((y[r * d_out + o] - 1.0 - sum).abs() < 1e-5);
            }
        }
        let mut g = vec![0.0; d_in * d_out];
        add_outer(&x, &y, [d_in, d_out], &mut g);
        for k in 0..d_in {
            for o in 0..d_out {
                let sum: f32 = (0..rows).map(|r| x[r * d_in + k] * y[r * d_out + o]).sum();
                assert!((g[k * d_out + o] - sum).abs() < 1e-4);
            }
        }
        let (a, b) = (pattern(35, 3), pattern(35, 11));
        let plain: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        assert!((dot(&a, &b) - plain).abs() < 1e-5);
    }
}
