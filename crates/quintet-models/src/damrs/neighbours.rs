//! The neighbour discrimination of DA-MRS, with its gradient.
//!
//! ```text
//! S^v = cosines of some items with all items in view v,  E = e^{S/τ}
//! F = the k largest of Σ_v' S^v' + S^v      N = the k largest of S^v outside F
//! loss = mean over items and views of -ln(Σ_F E / Σ E) - ln(Σ_N E / (Σ E - Σ_F E))
//! ```
//! Which items are near is found on plain numbers anyway; the gradient is computed with it, block
//! by block, and no table of items by items is held.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{Matrix, top_k};
use rayon::prelude::*;

/// Items that a thread takes at a time.
const ROWS: usize = 64;

/// Into so many parts, whatever the number of threads, are the items cut.
const GROUPS: usize = 4;

/// The loss of `items`, which are rows of each view, and its gradient by the views' rows.
/// `views` hold rows of length 1, `[n_items, dim]`.
pub(super) fn discrimination(
    views: &[Matrix],
    items: &[u32],
    k: usize,
    temperature: f32,
) -> (f64, Vec<Matrix>) {
    let mut out: Vec<Matrix> = views.iter().map(|v| Matrix::zeros(v.rows(), v.cols())).collect();
    let share = 1.0 / (views.len() * items.len()).max(1) as f32;
    let of = Discrimination { views, k, by: 1.0 / temperature, share };
    let group = items.len().div_ceil(ROWS).div_ceil(GROUPS).max(1) * ROWS;
    let parts: Vec<_> = items.par_chunks(group).map(|items| of.group(items)).collect();
    let mut loss = 0.0;
    // Added up in the order of the parts, whoever computed them.
    for (part, gradients) in parts {
        loss += part;
        for (out, gradient) in out.iter_mut().zip(gradients) {
            let pairs = out.as_mut_slice().iter_mut().zip(gradient.as_slice());
            pairs.for_each(|(o, g)| *o += g);
        }
    }
    (loss * f64::from(share), out)
}

struct Discrimination<'a> {
    views: &'a [Matrix],
    k: usize,
    /// `1 / τ`.
    by: f32,
    /// What an item of a view weighs.
    share: f32,
}

impl Discrimination<'_> {
    fn group(&self, items: &[u32]) -> (f64, Vec<Matrix>) {
        let zeros = |v: &Matrix| Matrix::zeros(v.rows(), v.cols());
        let mut gradients: Vec<Matrix> = self.views.iter().map(zeros).collect();
        let mut loss = 0.0;
        for items in items.chunks(ROWS) {
            let own: Vec<Vec<f32>> = self.views.iter().map(|v| rows_of(v, items)).collect();
            let cosines: Vec<Vec<f32>> =
                self.views.iter().zip(&own).map(|(v, own)| cosines(own, v)).collect();
            for (place, view) in self.views.iter().enumerate() {
                let n = view.rows();
                let mut slopes = Vec::with_capacity(items.len() * n);
                for row in 0..items.len() {
                    let of_row: Vec<&[f32]> = cosines.iter().map(|c| &c[row * n..][..n]).collect();
                    loss += self.row(&of_row, place, &mut slopes);
                }
                add_gradient(&mut gradients[place], view, (&own[place], items), &slopes);
            }
        }
        (loss, gradients)
    }

    /// Appends the slope of the loss of one item in one view by its cosines; gives the loss.
    fn row(&self, cosines: &[&[f32]], place: usize, slopes: &mut Vec<f32>) -> f64 {
        let own = cosines[place];
        let sums: Vec<f32> =
            (0..own.len()).map(|j| own[j] + cosines.iter().map(|c| c[j]).sum::<f32>()).collect();
        let first: Vec<usize> =
            top_k(&sums, self.k, |_| false).iter().map(|s| s.item.index()).collect();
        let second = top_k(own, self.k, |j| first.contains(&j.index()));
        let second: Vec<usize> = second.iter().map(|s| s.item.index()).collect();
        let from = slopes.len();
        // Cosines are at most 1: nothing overflows.
        slopes.extend(own.iter().map(|c| ((c - 1.0) * self.by).exp()));
        let powers = &mut slopes[from..];
        let sum = |of: &[usize]| of.iter().map(|&j| f64::from(powers[j])).sum::<f64>();
        let all: f64 = powers.iter().map(|p| f64::from(*p)).sum();
        let (of_first, of_second) = (sum(&first), sum(&second));
        let rest = all - of_first;
        let mut loss = (all / of_first).ln();
        // In a catalogue of at most k items nothing is left for the second.
        let of_rest = if second.is_empty() { 0.0 } else { 1.0 / rest };
        if !second.is_empty() {
            loss += (rest / of_second).ln();
        }
        let scale = f64::from(self.by * self.share);
        let (outside, inside) = (1.0 / all + of_rest, 1.0 / all - 1.0 / of_first);
        let nearest = outside - 1.0 / of_second;
        let slope = |power: f32, by: f64| (f64::from(power) * by * scale) as f32;
        let kept: Vec<(usize, f32)> = first
            .iter()
            .map(|&j| (j, slope(powers[j], inside)))
            .chain(second.iter().map(|&j| (j, slope(powers[j], nearest))))
            .collect();
        powers.iter_mut().for_each(|p| *p = slope(*p, outside));
        kept.into_iter().for_each(|(j, s)| powers[j] = s);
        loss
    }
}

fn rows_of(view: &Matrix, items: &[u32]) -> Vec<f32> {
    items.iter().flat_map(|&item| view.row(item as usize)).copied().collect()
}

fn cosines(own: &[f32], view: &Matrix) -> Vec<f32> {
    let (n, dim) = (view.rows(), view.cols());
    let rows = own.len() / dim;
    let mut out = vec![0.0f32; rows * n];
    let product = MatMut::from_row_major_slice_mut(&mut out, rows, n);
    let own = MatRef::from_row_major_slice(own, rows, dim);
    let table = MatRef::from_row_major_slice(view.as_slice(), n, dim);
    matmul(product, Accum::Replace, own, table.transpose(), 1.0, Par::Seq);
    out
}

/// `gradient += slopesᵀ own`, and `slopes view` at the rows of the items.
fn add_gradient(
    gradient: &mut Matrix,
    view: &Matrix,
    (own, items): (&[f32], &[u32]),
    slopes: &[f32],
) {
    let (n, dim, rows) = (view.rows(), view.cols(), items.len());
    let slopes = MatRef::from_row_major_slice(slopes, rows, n);
    let table = MatRef::from_row_major_slice(view.as_slice(), n, dim);
    let mut of_own = vec![0.0f32; rows * dim];
    let product = MatMut::from_row_major_slice_mut(&mut of_own, rows, dim);
    matmul(product, Accum::Replace, slopes, table, 1.0, Par::Seq);
    let own = MatRef::from_row_major_slice(own, rows, dim);
    let product = MatMut::from_row_major_slice_mut(gradient.as_mut_slice(), n, dim);
    matmul(product, Accum::Add, slopes.transpose(), own, 1.0, Par::Seq);
    for (&item, of_own) in items.iter().zip(of_own.chunks_exact(dim)) {
        gradient.row_mut(item as usize).iter_mut().zip(of_own).for_each(|(g, o)| *g += o);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views() -> Vec<Matrix> {
        let number = |k: usize| ((k * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let unit = |view: usize| {
            let mut m =
                Matrix::from_vec(150, 5, (0..750).map(|k| number(k + 750 * view)).collect());
            for row in 0..150 {
                let row = m.as_mut().unwrap().row_mut(row);
                let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
                row.iter_mut().for_each(|v| *v /= length);
            }
            m.unwrap()
        };
        (0..3).map(unit).collect()
    }

    /// The formula itself is compared with PyTorch's, in one block.
    #[test]
    fn blocks_and_groups_add_up_to_the_mean() {
        let views = views();
        let items: Vec<u32> = (0..150).rev().collect();
        let (whole, gradients) = discrimination(&views, &items, 4, 0.2);
        let mut sum = 0.0;
        let mut sums = vec![Matrix::zeros(150, 5); 3];
        for item in items {
            let (loss, parts) = discrimination(&views, &[item], 4, 0.2);
            sum += loss / 150.0;
            for (sum, part) in sums.iter_mut().zip(&parts) {
                let pairs = sum.as_mut_slice().iter_mut().zip(part.as_slice());
                pairs.for_each(|(s, p)| *s += p / 150.0);
            }
        }
        assert!((whole - sum).abs() < 1e-6 && whole > 1.0, "{whole} {sum}");
        for (found, expected) in gradients.iter().zip(&sums) {
            for (f, e) in found.as_slice().iter().zip(expected.as_slice()) {
                assert!((f - e).abs() < 1e-6, "{f} {e}");
            }
        }
    }

    #[test]
    fn few_items_have_a_finite_loss() {
        let views: Vec<Matrix> = views()
            .into_iter()
            .map(|v| Matrix::from_vec(3, 5, v.as_slice()[..15].to_vec()).unwrap())
            .collect();
        let (loss, gradients) = discrimination(&views, &[0, 2], 10, 0.2);
        assert!(loss.abs() < 1e-9, "all items are first: {loss}");
        assert!(gradients.iter().all(|g| g.as_slice().iter().all(|v| v.abs() < 1e-6)));
    }
}
