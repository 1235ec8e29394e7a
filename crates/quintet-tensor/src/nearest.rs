//! The items that look most alike: exact cosine neighbours, block by block.
//!
//! Cost: `n² · dim` multiply-adds as products of matrices, and a block of scores a thread; the
//! `[n, n]` similarities are never held.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{Matrix, ModalityFeatures, top_k};
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
    let n = features.present.len();
    assert!(candidates.is_none_or(|c| c.len() == n), "a flag for each of {n} items");
    let (items, unit) = unit_rows_of(features, None);
    let (found, table) = match candidates {
        None => (items.clone(), unit.clone()),
        Some(_) => unit_rows_of(features, candidates),
    };
    let mut out: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    if itself && k > 0 {
        out.iter_mut().enumerate().for_each(|(item, row)| row.push((item as u32, 1.0)));
    }
    let others = k.saturating_sub(usize::from(itself));
    let dim = unit.cols();
    if others == 0 || found.is_empty() || dim == 0 {
        return out;
    }
    let table = MatRef::from_row_major_slice(table.as_slice(), found.len(), dim);
    let search = |(block, queries): (usize, &[f32])| {
        let rows = queries.len() / dim;
        let mut scores = vec![0.0f32; rows * found.len()];
        let product = MatMut::from_row_major_slice_mut(&mut scores, rows, found.len());
        let queries = MatRef::from_row_major_slice(queries, rows, dim);
        matmul(product, Accum::Replace, queries, table.transpose(), 1.0, Par::Seq);
        let best = |(row, scores): (usize, &[f32])| {
            let own = items[block * QUERIES + row];
            let best = top_k(scores, others, |at| found[at.index()] == own).into_iter();
            (own, best.map(|s| (found[s.item.index()], s.score)).collect())
        };
        scores.chunks_exact(found.len()).enumerate().map(best).collect::<Vec<_>>()
    };
    let blocks = unit.as_slice().par_chunks(QUERIES * dim).enumerate();
    let near: Vec<(u32, Vec<(u32, f32)>)> = blocks.flat_map_iter(search).collect();
    for (item, near) in near {
        out[item as usize].extend(near);
    }
    out
}

/// The items of those in `wanted` that have a direction, and their rows at length 1.
fn unit_rows_of(features: &ModalityFeatures, wanted: Option<&[bool]>) -> (Vec<u32>, Matrix) {
    let takes_part = |i: usize| features.present[i] && wanted.is_none_or(|w| w[i]);
    // In 64 bits, so that squares do not overflow.
    let norm = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..features.present.len())
        .map(|i| if takes_part(i) { norm(features.matrix.row(i)) } else { 0.0 })
        .collect();
    let items: Vec<u32> = (0..norms.len()).filter(|&i| norms[i] > 0.0).map(|i| i as u32).collect();
    let mut unit = Matrix::zeros(items.len(), features.matrix.cols());
    for (row, &item) in items.iter().enumerate() {
        let by = norms[item as usize];
        let from = features.matrix.row(item as usize);
        let pairs = unit.row_mut(row).iter_mut().zip(from);
        pairs.for_each(|(to, v)| *to = (f64::from(*v) / by) as f32);
    }
    (items, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Modality;

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
