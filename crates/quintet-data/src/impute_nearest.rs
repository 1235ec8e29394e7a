//! The items that look most alike in another modality: exact cosine neighbours, tile by tile.

use quintet_core::{Matrix, ModalityFeatures, top_k};
use rayon::prelude::*;

/// Items whose neighbours one task searches; their scores are held at a time.
const QUERIES: usize = 16;
/// Candidates that stay in the cache while all queries of a task pass over them.
const TILE: usize = 256;

/// For every item of `queries` the `k` items of `candidates` with the largest cosine in `other`,
/// best first, equal ones by position. Items that `other` does not have take no part: they are
/// never found, and find nothing.
///
/// Time is `O(queries · candidates · dim)`; memory `O(candidates)` for every query of a task.
pub(crate) fn nearest_items(
    other: &ModalityFeatures,
    queries: &[usize],
    candidates: &[usize],
    k: usize,
) -> Vec<Vec<usize>> {
    let candidates: Vec<usize> = candidates.iter().copied().filter(|&i| other.present[i]).collect();
    let unit = unit_rows(&other.matrix, &candidates);
    let search = |queries: &[usize]| {
        let rows = unit_rows(&other.matrix, queries);
        let mut scores = Matrix::zeros(queries.len(), candidates.len());
        for start in (0..candidates.len()).step_by(TILE) {
            let end = (start + TILE).min(candidates.len());
            for query in 0..queries.len() {
                let to = &mut scores.row_mut(query)[start..end];
                for (score, candidate) in to.iter_mut().zip(start..end) {
                    *score = dot(rows.row(query), unit.row(candidate));
                }
            }
        }
        let found = |(query, &item): (usize, &usize)| match other.present[item] {
            false => Vec::new(),
            true => top_k(scores.row(query), k, |at| candidates[at.index()] == item)
                .into_iter()
                .map(|best| candidates[best.item.index()])
                .collect(),
        };
        queries.iter().enumerate().map(found).collect::<Vec<_>>()
    };
    queries.par_chunks(QUERIES).flat_map_iter(search).collect()
}

/// The rows of some items, of length 1; a row of zeros stays one.
fn unit_rows(matrix: &Matrix, items: &[usize]) -> Matrix {
    let mut unit = Matrix::zeros(items.len(), matrix.cols());
    for (at, &item) in items.iter().enumerate() {
        let norm = norm(matrix.row(item));
        if norm > 0.0 {
            let from = matrix.row(item).iter();
            unit.row_mut(at).iter_mut().zip(from).for_each(|(to, v)| {
                *to = (f64::from(*v) / norm) as f32;
            });
        }
    }
    unit
}

/// Euclidean length, in 64 bits so that squares do not overflow.
pub(crate) fn norm(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// Eight sums side by side, which a compiler may keep in one register; the order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Modality;

    #[test]
    fn the_nearest_by_angle_are_found_across_tiles() {
        // Item i points at angle i / 100, with lengths that must not matter.
        let n = 2 * TILE + 100;
        let values = (0..n).flat_map(|i| {
            let (angle, length) = (i as f32 / 100.0, 1.0 + (i % 7) as f32);
            [length * angle.cos(), length * angle.sin()]
        });
        let matrix = Matrix::from_vec(n, 2, values.collect()).unwrap();
        let mut present = vec![true; n];
        present[301] = false;
        let other = ModalityFeatures::new(Modality::Text, matrix, present).unwrap();
        let candidates: Vec<usize> = (0..n).filter(|i| i % 2 == 1).collect();
        let queries: Vec<usize> = (0..40).map(|q| 260 + q).chain([301, 0]).collect();
        let found = nearest_items(&other, &queries, &candidates, 2);
        assert_eq!(found.len(), queries.len());
        let sorted = |mut list: Vec<usize>| {
            list.sort_unstable();
            list
        };
        // An even item lies between two candidates; an odd one does not find itself.
        assert_eq!(sorted(found[0].clone()), [259, 261]);
        assert_eq!(sorted(found[3].clone()), [261, 265]);
        assert_eq!(found[39][0], 297);
        assert!(found[40].is_empty());
        assert_eq!(found[41], [1, 3]);
    }

    #[test]
    fn long_rows_are_multiplied_whole() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|i| (i * i) as f32).sum::<f32>());
        assert_eq!(norm(&[3e30, 4e30]) as f32, 5e30);
    }
}
