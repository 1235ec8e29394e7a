//! The pairwise loss and its gradient on plain rows.
//!
//! Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized Ranking from
//! Implicit Feedback", UAI 2009. The loss of a batch is `mean softplus(-m)` with the margin
//! `m = u · (i - j) + β_i - β_j`; its derivative by `m` is `-σ(-m) / batch`. Two dot products and
//! three scaled additions a triple need no graph of operations: here they are loops, and the
//! result is the same bytes for any number of threads, because sums run in the order of the
//! batch.
//! Cost: `O(batch · dim)`.

use pulp::{Arch, Simd, WithSimd};

/// A user, a positive and a negative as places among the rows of a batch.
pub type PlacedTriple = [u32; 3];

/// Writes the derivative of the mean BPR loss by the margin of each triple into `slopes` (all
/// negative) and gives the loss.
///
/// - `rows`: `[n_rows, dim]`, users and items
/// - `bias`: one number a row, or empty for none; those of users are not read
///
/// # Panics
/// When a place is out of range.
pub fn bpr_slopes(
    rows: &[f32],
    bias: &[f32],
    dim: usize,
    triples: &[PlacedTriple],
    slopes: &mut Vec<f32>,
) -> f64 {
    slopes.clear();
    slopes.resize(triples.len(), 0.0);
    Arch::new().dispatch(Slopes { rows, bias, dim, triples, slopes })
}

struct Slopes<'a> {
    rows: &'a [f32],
    bias: &'a [f32],
    dim: usize,
    triples: &'a [PlacedTriple],
    slopes: &'a mut [f32],
}

impl WithSimd for Slopes<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Self { rows, bias, dim, triples, slopes } = self;
        let scale = 1.0 / triples.len().max(1) as f32;
        let mut loss = 0.0f64;
        for (&[u, i, j], slope) in triples.iter().zip(slopes) {
            let (u, p, n) = (row(rows, dim, u), row(rows, dim, i), row(rows, dim, j));
            let mut margin = dot_difference(u, p, n);
            if !bias.is_empty() {
                margin += bias[i as usize] - bias[j as usize];
            }
            // e^{-|m|} overflows nowhere and serves both the loss and the slope.
            let e = (-margin.abs()).exp();
            loss += f64::from((-margin).max(0.0) + e.ln_1p());
            let falling = if margin >= 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
            *slope = -scale * falling;
        }
        loss * f64::from(scale)
    }
}

/// Adds the gradient of `Σ slope · margin` by the rows to `grad`, `[n_rows, dim]`.
///
/// # Panics
/// When a place is out of range or the lengths disagree.
pub fn bpr_gradients(
    rows: &[f32],
    dim: usize,
    triples: &[PlacedTriple],
    slopes: &[f32],
    grad: &mut [f32],
) {
    assert_eq!(triples.len(), slopes.len(), "a slope for every triple");
    assert_eq!(rows.len(), grad.len(), "a gradient for every row");
    Arch::new().dispatch(Gradients { rows, dim, triples, slopes, grad });
}

struct Gradients<'a> {
    rows: &'a [f32],
    dim: usize,
    triples: &'a [PlacedTriple],
    slopes: &'a [f32],
    grad: &'a mut [f32],
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows, dim, triples, slopes, grad } = self;
        for (&[u, i, j], &slope) in triples.iter().zip(slopes) {
            let (p, n) = (row(rows, dim, i), row(rows, dim, j));
            let target = &mut grad[u as usize * dim..][..dim];
            for ((g, p), n) in target.iter_mut().zip(p).zip(n) {
                *g += slope * (p - n);
            }
            let user = row(rows, dim, u);
            for (item, slope) in [(i, slope), (j, -slope)] {
                let target = &mut grad[item as usize * dim..][..dim];
                target.iter_mut().zip(user).for_each(|(g, u)| *g += slope * u);
            }
        }
    }
}

#[inline(always)]
fn row(rows: &[f32], dim: usize, place: u32) -> &[f32] {
    &rows[place as usize * dim..][..dim]
}

/// `u · (p - n)` with sixteen running sums, which the compiler turns into vector instructions.
#[inline(always)]
fn dot_difference(u: &[f32], p: &[f32], n: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let heads = u.chunks_exact(16).zip(p.chunks_exact(16)).zip(n.chunks_exact(16));
    for ((u, p), n) in heads {
        for (s, ((u, p), n)) in sums.iter_mut().zip(u.iter().zip(p).zip(n)) {
            *s += u * (p - n);
        }
    }
    let from = u.len() - u.len() % 16;
    let tail = u[from..].iter().zip(&p[from..]).zip(&n[from..]);
    sums.iter().sum::<f32>() + tail.map(|((u, p), n)| u * (p - n)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_triple_by_hand() {
        // u = 2, p = 1, n = 0.5, biases 0 and 0: margin 1.
        let rows = [2.0, 1.0, 0.5];
        let mut slopes = Vec::new();
        let loss = bpr_slopes(&rows, &[], 1, &[[0, 1, 2]], &mut slopes);
        let sigma = 1.0f32 / (1.0 + 1.0f32.exp());
        assert!((loss - f64::from((1.0f32 + (-1.0f32).exp()).ln())).abs() < 1e-6);
        assert!((slopes[0] + sigma).abs() < 1e-6);
        let mut grad = [0.0; 3];
        bpr_gradients(&rows, 1, &[[0, 1, 2]], &slopes, &mut grad);
        let expected = [-sigma * 0.5, -sigma * 2.0, sigma * 2.0];
        for (g, e) in grad.iter().zip(expected) {
            assert!((g - e).abs() < 1e-6, "{grad:?}");
        }
    }

    #[test]
    fn gradient_is_that_of_central_differences() {
        let (n, dim) = (5, 19);
        let mut rows: Vec<f32> =
            (0..n * dim).map(|k| ((k * 29 + 5) % 41) as f32 / 40.0 - 0.5).collect();
        let mut bias = vec![0.0, 0.1, -0.2, 0.3, 0.05];
        let triples = [[0, 2, 3], [1, 3, 2], [0, 4, 2], [1, 2, 4]];
        let mut slopes = Vec::new();
        bpr_slopes(&rows, &bias, dim, &triples, &mut slopes);
        let mut grad = vec![0.0; n * dim];
        bpr_gradients(&rows, dim, &triples, &slopes, &mut grad);
        let loss =
            |rows: &[f32], bias: &[f32]| bpr_slopes(rows, bias, dim, &triples, &mut Vec::new());
        let step = 1e-2;
        for (place, found) in grad.iter().enumerate() {
            let value = rows[place];
            rows[place] = value + step;
            let up = loss(&rows, &bias);
            rows[place] = value - step;
            let down = loss(&rows, &bias);
            rows[place] = value;
            let expected = (up - down) / f64::from(2.0 * step);
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{place}: {found} {expected}");
        }
        // The bias of an item moves the margins in which it stands.
        let expected: f32 = slopes[0] - slopes[1] - slopes[2] + slopes[3];
        bias[2] += step;
        let up = loss(&rows, &bias);
        bias[2] -= 2.0 * step;
        let down = loss(&rows, &bias);
        let found = (up - down) / f64::from(2.0 * step);
        assert!((found - f64::from(expected)).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn large_margins_do_not_overflow() {
        let mut slopes = Vec::new();
        let triples = [[0, 1, 2], [0, 2, 1]];
        let loss = bpr_slopes(&[1.0, 200.0, 0.0], &[], 1, &triples, &mut slopes);
        assert!((loss - 100.0).abs() < 1e-4 && slopes[0] == 0.0 && slopes[1] == -0.5);
    }
}
