//! The item graphs of DA-MRS: neighbours that all modalities agree on, and items used together.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{Interactions, Matrix, top_k};
use quintet_tensor::{FitError, SparseRows};
use rayon::prelude::*;

use crate::graph::{ItemFeatures, World, by_row_sums, most_in_common};

/// Items whose neighbours a thread searches together.
const QUERIES: usize = 64;

/// What rounding may take from a cosine that equals the mean.
const ROUNDING: f32 = 1e-6;

/// One modality as the search reads it.
struct Directions {
    /// Rows of length 1; zero where the item has none.
    unit: Matrix,
    /// Whether the item has a direction.
    has: Vec<bool>,
    /// The rows of the items that may be found.
    table: Matrix,
    /// The mean cosine of all pairs of these, an item with itself among them.
    mean: f32,
}

impl Directions {
    fn new(features: &ItemFeatures, candidates: &[u32]) -> Result<Self, FitError> {
        let mut unit = features.host()?;
        let mut has = vec![false; unit.rows()];
        for (item, has) in has.iter_mut().enumerate() {
            let row = unit.row_mut(item);
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            *has = length > 0.0;
            row.iter_mut()
                .filter(|_| length > 0.0)
                .for_each(|v| *v = (f64::from(*v) / length) as f32);
        }
        let mut table = Matrix::zeros(candidates.len(), unit.cols());
        let mut sum = vec![0.0f64; unit.cols()];
        let mut n = 0usize;
        for (row, &item) in candidates.iter().enumerate() {
            let from = unit.row(item as usize);
            table.row_mut(row).copy_from_slice(from);
            sum.iter_mut().zip(from).for_each(|(s, v)| *s += f64::from(*v));
            n += usize::from(has[item as usize]);
        }
        // The mean of all products is the squared length of the mean.
        let mean = sum.iter().map(|s| s * s).sum::<f64>() / (n.max(1) as f64).powi(2);
        Ok(Self { unit, has, table, mean: mean as f32 - ROUNDING })
    }

    /// Cosines of some items with those that may be found, row by row.
    fn cosines(&self, from: usize, rows: usize) -> Vec<f32> {
        let (n, dim) = (self.table.rows(), self.table.cols());
        let mut out = vec![0.0f32; rows * n];
        if n > 0 && dim > 0 {
            let product = MatMut::from_row_major_slice_mut(&mut out, rows, n);
            let queries = &self.unit.as_slice()[from * dim..][..rows * dim];
            let queries = MatRef::from_row_major_slice(queries, rows, dim);
            let table = MatRef::from_row_major_slice(self.table.as_slice(), n, dim);
            matmul(product, Accum::Replace, queries, table.transpose(), 1.0, Par::Seq);
        }
        out
    }
}

/// A graph a modality: an item with its `k - 1` nearest among the items that somebody used and
/// whose cosines reach the mean in every modality that both have. Every edge weighs 1, divided by
/// the roots of the row sums at both ends; an item that lacks the modality has itself alone.
///
/// # Errors
/// The device failed.
pub(super) fn agreeing(world: &World, k: usize) -> Result<Vec<SparseRows>, FitError> {
    let candidates: Vec<u32> =
        (0..world.n_items() as u32).filter(|&item| world.warm[item as usize]).collect();
    let all: Vec<Directions> =
        world.features.iter().map(|f| Directions::new(f, &candidates)).collect::<Result<_, _>>()?;
    let starts: Vec<usize> = (0..world.n_items()).step_by(QUERIES).collect();
    // For each item, the neighbours by each modality.
    let search = |&from: &usize| {
        let rows = QUERIES.min(world.n_items() - from);
        let cosines: Vec<Vec<f32>> = all.iter().map(|of| of.cosines(from, rows)).collect();
        let of = |row| near(&all, &candidates, &cosines, (from + row, row), k);
        (0..rows).map(of).collect::<Vec<_>>()
    };
    let near: Vec<Vec<Vec<u32>>> = starts.par_iter().flat_map_iter(search).collect();
    let graph = |m: usize| with_ones(near.iter().map(|of_item| of_item[m].clone()));
    Ok((0..all.len()).map(graph).collect())
}

fn near(
    all: &[Directions],
    candidates: &[u32],
    cosines: &[Vec<f32>],
    (item, row): (usize, usize),
    k: usize,
) -> Vec<Vec<u32>> {
    let n = candidates.len();
    let rows: Vec<&[f32]> = cosines.iter().map(|c| &c[row * n..][..n]).collect();
    let agree = |place: usize| {
        let other = candidates[place] as usize;
        let reaches = |(of, row): (&Directions, &&[f32])| {
            !of.has[item] || !of.has[other] || row[place] >= of.mean
        };
        other != item && all.iter().zip(&rows).all(reaches)
    };
    let by_modality = |(of, row): (&Directions, &&[f32])| {
        let mut found = vec![item as u32];
        if of.has[item] {
            let skip = |place: usize| !of.has[candidates[place] as usize] || !agree(place);
            let best = top_k(row, k.saturating_sub(1), |place| skip(place.index()));
            found.extend(best.into_iter().map(|s| candidates[s.item.index()]));
        }
        found
    };
    all.iter().zip(&rows).map(by_modality).collect()
}

/// An item with the `k` that most users used as well.
pub(super) fn used_together(train: &Interactions, k: usize) -> SparseRows {
    let near = most_in_common(&train.transpose(), k).into_iter().enumerate();
    with_ones(near.map(|(item, near)| {
        let near = near.into_iter().map(|(other, _)| other);
        std::iter::once(item as u32).chain(near).collect()
    }))
}

fn with_ones(near: impl ExactSizeIterator<Item = Vec<u32>>) -> SparseRows {
    let n = near.len();
    let rows = near.map(|mut near| {
        near.sort_unstable();
        near.into_iter().map(|item| (item, 1.0)).collect()
    });
    by_row_sums(SparseRows::from_rows(n, rows))
}
