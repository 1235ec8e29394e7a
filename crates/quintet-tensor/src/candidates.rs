//! Scores of queries with a few items each, and the gradients of a function of these scores.
//!
//! Losses with many negatives a positive spend nearly all their time here: dot products forward,
//! scaled additions backward. The gradient of an item collects from all queries that have it
//! among their candidates; the places are sorted by item first (by counting), so that items run
//! in parallel and each sums in the order of the batch: the same bytes for any number of threads.
//! Cost: `O(queries · candidates · dim)` each way, of which candidates with slope 0 are left out.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::Matrix;
use rayon::prelude::*;

use crate::slices::{add_scaled_here, dot_here};

/// Queries or items that a thread takes at a time.
const ROWS: usize = 16;

/// Writes `queries[b] · items[candidates[b, c]]`, `[queries, n]`, into `out`.
///
/// # Panics
/// When the lengths disagree or an item is out of range.
pub fn candidate_scores(queries: &Matrix, items: &Matrix, candidates: &[u32], out: &mut Vec<f32>) {
    assert_eq!(queries.cols(), items.cols(), "queries and items of one width");
    out.clear();
    out.resize(candidates.len(), 0.0);
    let Some(n) = columns(queries, candidates) else { return };
    let rows = out.par_chunks_mut(n).zip(candidates.par_chunks(n)).enumerate();
    rows.with_min_len(ROWS).for_each(|(b, (out, candidates))| {
        Arch::new().dispatch(ScoreRow { query: queries.row(b), items, candidates, out });
    });
}

struct ScoreRow<'a> {
    query: &'a [f32],
    items: &'a Matrix,
    candidates: &'a [u32],
    out: &'a mut [f32],
}

impl WithSimd for ScoreRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, &item) in self.out.iter_mut().zip(self.candidates) {
            *out = dot_here(self.query, self.items.row(item as usize));
        }
    }
}

/// `out += Σ slope · row` over numbers of rows with their slopes; slopes of 0 are left out.
struct SumRows<'a, F> {
    rows: &'a Matrix,
    terms: F,
    out: &'a mut [f32],
}

impl<F: Iterator<Item = (usize, f32)>> WithSimd for SumRows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, slope) in self.terms {
            if slope != 0.0 {
                add_scaled_here(self.out, slope, self.rows.row(row));
            }
        }
    }
}

/// Candidates of each query; none where there is nothing.
fn columns(queries: &Matrix, candidates: &[u32]) -> Option<usize> {
    let n = candidates.len().checked_div(queries.rows()).filter(|n| *n > 0)?;
    assert_eq!(n * queries.rows(), candidates.len(), "as many candidates for each query");
    Some(n)
}

/// The way back from scores to queries and items; the memory of a step serves the next.
#[derive(Debug, Clone, Default)]
pub struct CandidateGradients {
    /// Where the places of each item begin, `[n_items + 1]`.
    starts: Vec<u32>,
    /// Places of the candidates, item by item.
    order: Vec<u32>,
}

impl CandidateGradients {
    /// Adds `Σ_c slope_bc items_c` to the gradients of the queries and `Σ_bc slope_bc queries_b`
    /// to those of the items; `slopes` are the derivatives by the scores, `[queries, n]`.
    ///
    /// # Panics
    /// When the shapes disagree or an item is out of range.
    pub fn add(
        &mut self,
        (queries, items): (&Matrix, &Matrix),
        candidates: &[u32],
        slopes: &[f32],
        query_grad: &mut Matrix,
        item_grad: &mut Matrix,
    ) {
        let dim = items.cols();
        assert_eq!(candidates.len(), slopes.len(), "a slope for every candidate");
        assert_eq!(query_grad.as_slice().len(), queries.as_slice().len(), "gradient of queries");
        assert_eq!(item_grad.as_slice().len(), items.as_slice().len(), "gradient of items");
        let Some(n) = columns(queries, candidates).filter(|_| dim > 0) else { return };
        let rows = query_grad.as_mut_slice().par_chunks_mut(dim);
        rows.enumerate().with_min_len(ROWS).for_each(|(b, grad)| {
            let places = b * n..(b + 1) * n;
            let slopes = slopes[places.clone()].iter().copied();
            let terms = candidates[places].iter().map(|&item| item as usize).zip(slopes);
            Arch::new().dispatch(SumRows { rows: items, terms, out: grad });
        });
        self.sort(candidates, slopes, items.rows());
        let rows = item_grad.as_mut_slice().par_chunks_mut(dim);
        rows.enumerate().with_min_len(ROWS).for_each(|(item, grad)| {
            let places = self.starts[item] as usize..self.starts[item + 1] as usize;
            let places = self.order[places].iter().map(|&place| place as usize);
            let terms = places.map(|place| (place / n, slopes[place]));
            Arch::new().dispatch(SumRows { rows: queries, terms, out: grad });
        });
    }

    /// Sorts the places with a slope by item, stable.
    fn sort(&mut self, candidates: &[u32], slopes: &[f32], n_items: usize) {
        let kept = || candidates.iter().zip(slopes).enumerate().filter(|(_, (_, s))| **s != 0.0);
        self.starts.clear();
        self.starts.resize(n_items + 2, 0);
        // Counts stand two further, so that filling moves each to where its item begins.
        kept().for_each(|(_, (&item, _))| self.starts[item as usize + 2] += 1);
        for item in 1..self.starts.len() {
            self.starts[item] += self.starts[item - 1];
        }
        let total = self.starts.last().copied().unwrap_or(0);
        self.order.clear();
        self.order.resize(total as usize, 0);
        for (place, (&item, _)) in kept() {
            let next = &mut self.starts[item as usize + 1];
            self.order[*next as usize] = place as u32;
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_gradients_by_hand() {
        let queries = Matrix::from_vec(2, 1, vec![2.0, 3.0]).unwrap();
        let items = Matrix::from_vec(3, 1, vec![1.0, 10.0, 100.0]).unwrap();
        let candidates = [2, 0, 0, 2];
        let mut scores = Vec::new();
        candidate_scores(&queries, &items, &candidates, &mut scores);
        assert_eq!(scores, [200.0, 2.0, 3.0, 300.0]);
        let (mut dq, mut di) = (Matrix::zeros(2, 1), Matrix::zeros(3, 1));
        di.as_mut_slice()[1] = 7.0;
        let mut gradients = CandidateGradients::default();
        for _ in 0..2 {
            let slopes = [0.5, 1.0, 0.0, -1.0];
            gradients.add((&queries, &items), &candidates, &slopes, &mut dq, &mut di);
        }
        // Query 0: 0.5 · 100 + 1 · 1; query 1: -1 · 100. Item 0: 1 · 2; item 2: 0.5 · 2 - 3.
        assert_eq!(dq.as_slice(), [102.0, -200.0]);
        assert_eq!(di.as_slice(), [4.0, 7.0, -4.0]);
        candidate_scores(&Matrix::zeros(0, 1), &items, &[], &mut scores);
        assert!(scores.is_empty());
    }
}
