//! The items that look most alike: exact cosine neighbours, block by block.
//!
//! Cost: `n² · dim` multiply-adds as products of matrices, and a block of scores a thread; neither
//! the `[n, n]` similarities nor a copy of the features is held. Numbers beyond about 1e18 have no
//! finite products: such items find nothing.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{ModalityFeatures, top_k};
use rayon::prelude::*;

/// Items whose neighbours a thread searches together.
const QUERIES: usize = 64;

/// For every item the `k` items of the largest cosine, best first, equal ones by position, as
/// positions and cosines. Items that do not have the modality, and rows of zeros, are neither
/// found nor find anything. With `itself` an item takes the first of its own `k` places with
/// cosine 1, also one that has nothing else. `candidates` says which items may be found by
/// others; all of them where it is none.
///
/// # Panics
/// When there is not one flag an item in `candidates`.
pub fn nearest_items(
    features: &ModalityFeatures,
    k: usize,
    itself: bool,
    candidates: Option<&[bool]>,
) -> Vec<Vec<(u32, f32)>> {
    let (n, dim) = (features.present.len(), features.dim());
    assert!(candidates.is_none_or(|c| c.len() == n), "a flag for each of {n} items");
    let mut out: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    if itself && k > 0 {
        out.iter_mut().enumerate().for_each(|(item, row)| row.push((item as u32, 1.0)));
    }
    let others = k.saturating_sub(usize::from(itself));
    if others == 0 || dim == 0 {
        return out;
    }
    // Products of the rows as they are, scaled afterwards: no copy of the features is made.
    let scale = inverse_lengths(features);
    let found = |item: usize| scale[item] > 0.0 && candidates.is_none_or(|c| c[item]);
    let table = MatRef::from_row_major_slice(features.matrix.as_slice(), n, dim);
    let blocks =
        features.matrix.as_slice().par_chunks(QUERIES * dim).zip(out.par_chunks_mut(QUERIES));
    blocks.enumerate().for_each(|(block, (rows, out))| {
        let mut scores = vec![0.0f32; out.len() * n];
        let product = MatMut::from_row_major_slice_mut(&mut scores, out.len(), n);
        let rows = MatRef::from_row_major_slice(rows, out.len(), dim);
        matmul(product, Accum::Replace, rows, table.transpose(), 1.0, Par::Seq);
        for (place, (out, scores)) in out.iter_mut().zip(scores.chunks_exact_mut(n)).enumerate() {
            let own = block * QUERIES + place;
            if scale[own] == 0.0 {
                continue;
            }
            scores.iter_mut().zip(&scale).for_each(|(s, by)| *s *= by * scale[own]);
            let best = top_k(scores, others, |at| at.index() == own || !found(at.index()));
            out.extend(best.into_iter().map(|s| (s.item.0, s.score)));
        }
    });
    out
}

/// One over the length of each row; 0 for items without the modality and rows of zeros.
fn inverse_lengths(features: &ModalityFeatures) -> Vec<f32> {
    let of = |item: usize| {
        let row = features.matrix.row(item);
        let square: f64 = row.iter().map(|v| f64::from(*v).powi(2)).sum();
        if features.present[item] && square > 1e-60 { (1.0 / square.sqrt()) as f32 } else { 0.0 }
    };
    (0..features.present.len()).into_par_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Matrix, Modality};

    fn features(n: usize, dim: usize) -> ModalityFeatures {
        let number = |k: usize| ((k * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let matrix = Matrix::from_vec(n, dim, (0..n * dim).map(number).collect()).unwrap();
        let present = (0..n).map(|i| i % 7 != 3).collect();
        ModalityFeatures::new(Modality::Text, matrix, present).unwrap()
    }

    #[test]
    fn blocks_give_what_a_plain_search_gives() {
        let of = features(3 * QUERIES + 5, 9);
        let cosine = |i: usize, j: usize| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let (a, b) = (of.matrix.row(i), of.matrix.row(j));
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        for itself in [false, true] {
            let found = nearest_items(&of, 4, itself, None);
            for (item, near) in found.iter().enumerate() {
                if !of.present[item] {
                    let alone = if itself { vec![(item as u32, 1.0)] } else { Vec::new() };
                    assert_eq!(*near, alone);
                    continue;
                }
                let mut all: Vec<f64> = (0..of.present.len())
                    .filter(|&j| j != item && of.present[j])
                    .map(|j| cosine(item, j))
                    .collect();
                all.sort_by(|a, b| b.total_cmp(a));
                assert_eq!(near.len(), 4);
                if itself {
                    assert_eq!(near[0], (item as u32, 1.0));
                }
                let from = usize::from(itself);
                for (place, (other, score)) in near[from..].iter().enumerate() {
                    assert!((f64::from(*score) - all[place]).abs() < 1e-6, "{item}, {place}");
                    assert!((cosine(item, *other as usize) - all[place]).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn rows_of_zeros_find_nothing_and_are_not_found() {
        let rows = vec![1.0, 0.0, 0.0, 0.0, 3.0, 0.0];
        let matrix = Matrix::from_vec(3, 2, rows).unwrap();
        let of = ModalityFeatures::new(Modality::Image, matrix, vec![true; 3]).unwrap();
        assert_eq!(nearest_items(&of, 2, false, None), [vec![(2, 1.0)], vec![], vec![(0, 1.0)]]);
        assert_eq!(nearest_items(&of, 0, true, None), [vec![], vec![], vec![]]);
    }

    #[test]
    fn others_than_candidates_are_not_found_and_find() {
        let rows = vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0];
        let matrix = Matrix::from_vec(3, 2, rows).unwrap();
        let of = ModalityFeatures::new(Modality::Image, matrix, vec![true; 3]).unwrap();
        let found = nearest_items(&of, 1, false, Some(&[true, false, true]));
        let items: Vec<u32> = found.iter().map(|near| near[0].0).collect();
        assert_eq!(items, [2, 0, 0]);
    }
}
