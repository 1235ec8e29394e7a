//! Products of small row-major matrices on one thread, and a fast `exp`.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// `out = a · b`, `[m, k] × [k, n] → [m, n]`.
pub(crate) fn product(a: &[f32], b: &[f32], [m, k, n]: [usize; 3], out: &mut [f32]) {
    let a = MatRef::from_row_major_slice(a, m, k);
    let b = MatRef::from_row_major_slice(b, k, n);
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    matmul(out, Accum::Replace, a, b, 1.0, Par::Seq);
}

/// `out = a · bᵀ`, `[m, k] × [n, k] → [m, n]`.
pub(crate) fn product_t(a: &[f32], b: &[f32], [m, k, n]: [usize; 3], out: &mut [f32]) {
    let a = MatRef::from_row_major_slice(a, m, k);
    let b = MatRef::from_row_major_slice(b, n, k);
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    matmul(out, Accum::Replace, a, b.transpose(), 1.0, Par::Seq);
}

/// `out += aᵀ · b` for the columns of `a` (`[m, n]`) from `from` on, as many as `out` has rows:
/// `[columns, m] × [m, k] → [columns, k]`.
pub(crate) fn add_t_product(
    a: &[f32],
    b: &[f32],
    [m, n, k]: [usize; 3],
    from: usize,
    out: &mut [f32],
) {
    let columns = out.len() / k;
    let a = MatRef::from_row_major_slice(a, m, n).subcols(from, columns);
    let b = MatRef::from_row_major_slice(b, m, k);
    let out = MatMut::from_row_major_slice_mut(out, columns, k);
    matmul(out, Accum::Add, a.transpose(), b, 1.0, Par::Seq);
}

/// `e^x` within two units of the last place, without a branch or a call, so that loops over it
/// become vector instructions. Powers below -87 are taken for -87, above 88 for 88.
///
/// `e^x = 2^n · e^r` with `n` the whole number nearest to `x / ln 2`, so that `|r| ≤ ln 2 / 2`;
/// `e^r` by its Taylor series to the seventh power, whose rest is below 2e-8.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: products of the first with small whole numbers are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let e_r = series.iter().fold(1.0 / 5040.0, |sum, c| sum * r + c);
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    e_r * power
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_the_standard_library() {
        let mut x = -87.0f32;
        while x < 88.0 {
            let (found, expected) = (exp(x), x.exp());
            assert!((found - expected).abs() <= 3e-7 * expected, "{x}: {found} {expected}");
            x += 0.0137;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 1e-37 && exp(1e9).is_finite());
    }

    #[test]
    fn products_by_hand() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 1.0]);
        let mut out = [9.0; 4];
        product(&a, &b, [2, 2, 2], &mut out);
        assert_eq!(out, [3.0, 2.0, 7.0, 4.0]);
        product_t(&a, &b, [2, 2, 2], &mut out);
        assert_eq!(out, [1.0, 3.0, 3.0, 7.0]);
        // The second column of a, (2, 4), with both rows of b.
        let mut out = [1.0, 1.0];
        add_t_product(&a, &b, [2, 2, 2], 1, &mut out);
        assert_eq!(out, [1.0 + 2.0 + 4.0, 1.0 + 4.0]);
    }
}
