//! Products with a sparse matrix that gradients flow through.
//!
//! Burn has no sparse tensors. A matrix here never gets a gradient itself; the gradient of `S x`
//! by `x` is `Sᵀ` times that of the output, so a [`SparseProduct`] holds both in compressed rows.
//! Cost of a product: `nnz · dim` multiply-adds; no memory but the output.

use std::sync::Arc;

use burn::prelude::*;
use burn::tensor::{IndexingUpdateOp, TensorData};
use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Interactions, UserIdx};
use rayon::prelude::*;

use crate::graph::equal_parts;
#[cfg(feature = "flex")]
use crate::slices::add_scaled;
#[cfg(feature = "flex")]
use crate::tracked::{Seen, tracked};

/// A sparse matrix in compressed rows; columns of a row ascend.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseRows {
    n_cols: usize,
    indptr: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    /// Rows at which parts of about equal work begin.
    parts: Vec<usize>,
}

impl SparseRows {
    /// Takes the rows one after the other, each as columns with their values.
    ///
    /// # Panics
    /// When a column is not below `n_cols`, or the columns of a row do not ascend.
    pub fn from_rows(n_cols: usize, rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let (mut indptr, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            assert!(row.windows(2).all(|w| w[0].0 < w[1].0), "columns of a row ascend");
            assert!(row.last().is_none_or(|c| (c.0 as usize) < n_cols), "a column below {n_cols}");
            columns.extend(row.iter().map(|cell| cell.0));
            values.extend(row.iter().map(|cell| cell.1));
            indptr.push(columns.len());
        }
        let parts = equal_parts(&indptr);
        Self { n_cols, indptr, columns, values, parts }
    }

    /// The cells of `matrix` as they are.
    pub fn from_interactions(matrix: &Interactions) -> Self {
        let row = |u: usize| {
            let user = UserIdx::new(u);
            let items = matrix.items(user).iter().map(|i| i.0);
            items.zip(matrix.values(user).iter().copied()).collect()
        };
        Self::from_rows(matrix.n_items(), (0..matrix.n_users()).map(row))
    }

    /// `[rows, columns]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.indptr.len() - 1, self.n_cols]
    }

    /// Number of stored cells.
    pub fn nnz(&self) -> usize {
        self.columns.len()
    }

    /// The columns of a row, ascending, and their values.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.indptr[row]..self.indptr[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// The same matrix turned.
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0usize; self.n_cols + 1];
        self.columns.iter().for_each(|&c| indptr[c as usize + 1] += 1);
        for c in 0..self.n_cols {
            indptr[c + 1] += indptr[c];
        }
        let mut next = indptr.clone();
        let mut columns = vec![0u32; self.nnz()];
        let mut values = vec![0.0f32; self.nnz()];
        for row in 0..self.dims()[0] {
            let (cols, vals) = self.row(row);
            for (&c, &v) in cols.iter().zip(vals) {
                let slot = &mut next[c as usize];
                (columns[*slot], values[*slot]) = (row as u32, v);
                *slot += 1;
            }
        }
        let parts = equal_parts(&indptr);
        Self { n_cols: self.dims()[0], indptr, columns, values, parts }
    }

    /// Every value times what `factor` gives for its row and column.
    pub fn scaled(mut self, factor: impl Fn(usize, usize) -> f32) -> Self {
        for row in 0..self.dims()[0] {
            for cell in self.indptr[row]..self.indptr[row + 1] {
                self.values[cell] *= factor(row, self.columns[cell] as usize);
            }
        }
        self
    }

    /// Sums of the rows' values.
    pub fn row_sums(&self) -> Vec<f32> {
        (0..self.dims()[0]).map(|r| self.row(r).1.iter().sum()).collect()
    }

    /// `D_r^{-1/2} M D_c^{-1/2}` with the sums of rows and columns; what sums to nothing is left
    /// out.
    pub fn normalised(self) -> Self {
        let root = |sums: Vec<f32>| -> Vec<f32> {
            sums.into_iter().map(|s| if s > 0.0 { 1.0 / s.sqrt() } else { 0.0 }).collect()
        };
        let (rows, columns) = (root(self.row_sums()), root(self.transpose().row_sums()));
        self.scaled(|r, c| rows[r] * columns[c])
    }

    /// `out = factor · (base + M x)`, `x` `[columns, dim]`, `base` and `out` `[rows, dim]`; without
    /// a base it counts as 0. A row's sums run over its cells in their order.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn multiply(
        &self,
        x: &[f32],
        base: Option<&[f32]>,
        factor: f32,
        out: &mut [f32],
        dim: usize,
    ) {
        let [rows, cols] = self.dims();
        assert_eq!(
            (x.len(), out.len()),
            (cols * dim, rows * dim),
            "{rows} and {cols} rows of {dim}"
        );
        assert!(base.is_none_or(|b| b.len() == out.len()), "a base of {rows} rows");
        if dim == 0 {
            return;
        }
        let mut rest = out;
        let mut parts = Vec::with_capacity(self.parts.len());
        for w in self.parts.windows(2) {
            let (part, after) = rest.split_at_mut((w[1] - w[0]) * dim);
            parts.push((w[0], part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(first, out)| {
            let base = base.map(|b| &b[first * dim..][..out.len()]);
            Arch::new().dispatch(Rows { of: self, first, x, base, factor, out, dim });
        });
    }
}

struct Rows<'a> {
    of: &'a SparseRows,
    first: usize,
    x: &'a [f32],
    base: Option<&'a [f32]>,
    factor: f32,
    out: &'a mut [f32],
    dim: usize,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, first, x, base, factor, out, dim } = self;
        for (place, out) in out.chunks_exact_mut(dim).enumerate() {
            match base {
                Some(base) => out.copy_from_slice(&base[place * dim..][..dim]),
                None => out.fill(0.0),
            }
            let cells = of.row(first + place);
            let mut from = 0;
            while dim - from >= 64 {
                add_columns::<64>(cells, (x, dim, from), &mut out[from..]);
                from += 64;
            }
            while dim - from >= 16 {
                add_columns::<16>(cells, (x, dim, from), &mut out[from..]);
                from += 16;
            }
            while from < dim {
                add_columns::<1>(cells, (x, dim, from), &mut out[from..]);
                from += 1;
            }
            if factor != 1.0 {
                out.iter_mut().for_each(|o| *o *= factor);
            }
        }
    }
}

/// Sums of `W` columns, which stay in registers.
#[inline(always)]
fn add_columns<const W: usize>(
    (columns, values): (&[u32], &[f32]),
    (x, dim, from): (&[f32], usize, usize),
    out: &mut [f32],
) {
    let mut sums = [0.0f32; W];
    for (&column, &value) in columns.iter().zip(values) {
        let Some(row) = x[column as usize * dim + from..].first_chunk::<W>() else { continue };
        sums.iter_mut().zip(row).for_each(|(s, v)| *s += value * v);
    }
    out.iter_mut().zip(sums).for_each(|(o, s)| *o += s);
}

/// What becomes of the layers of a propagation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// `mean(x, S x, …, S^L x)`.
    Mean,
    /// `x + S x + … + S^L x`.
    Sum,
    /// `S^L x`.
    Last,
}

/// What a graph of the items alone adds to the items of a propagation.
#[derive(Debug, Clone, Copy)]
pub enum ItemGraph<'a> {
    /// Nothing.
    None,
    /// The items themselves.
    Items,
    /// So many products of the items with the graph, one after the other.
    Walk(&'a SparseProduct, usize),
}

/// A sparse matrix and its transpose, ready for products with tensors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SparseProduct {
    matrix: Arc<SparseRows>,
    transposed: Arc<SparseRows>,
}

impl SparseProduct {
    /// Any matrix.
    pub fn new(matrix: SparseRows) -> Self {
        let transposed = Arc::new(matrix.transpose());
        Self { matrix: Arc::new(matrix), transposed }
    }

    /// A matrix that is its own transpose, held once.
    pub fn symmetric(matrix: SparseRows) -> Self {
        let matrix = Arc::new(matrix);
        Self { transposed: Arc::clone(&matrix), matrix }
    }

    /// `S = D^{-1/2} A D^{-1/2}` of the bipartite graph of some users and items, users first; no
    /// loops. `edges`: `[n_users, n_items]`; values are ignored.
    pub fn user_item(edges: &Interactions) -> Self {
        let n_users = edges.n_users();
        let by_item = edges.transpose();
        let one = |neighbours: &[quintet_core::ItemIdx], from: usize| -> Vec<(u32, f32)> {
            neighbours.iter().map(|n| ((from + n.index()) as u32, 1.0)).collect()
        };
        let users = (0..n_users).map(|u| one(edges.items(UserIdx::new(u)), n_users));
        let items = (0..edges.n_items()).map(|i| one(by_item.items(UserIdx::new(i)), 0));
        let n = n_users + edges.n_items();
        Self::symmetric(SparseRows::from_rows(n, users.chain(items)).normalised())
    }

    /// The matrix.
    pub fn matrix(&self) -> &SparseRows {
        &self.matrix
    }

    /// The transposed product.
    pub fn transpose(&self) -> Self {
        Self { matrix: Arc::clone(&self.transposed), transposed: Arc::clone(&self.matrix) }
    }

    /// `S x`, `[columns, dim] → [rows, dim]`.
    ///
    /// # Panics
    /// When `x` has another number of rows.
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        self.propagate(x, 1, Layers::Last)
    }

    /// `layers` products one after the other, pooled as `pool` says. LightGCN's propagation is
    /// the mean over a [`SparseProduct::user_item`] (He et al., SIGIR 2020). One operation: the
    /// gradient is the same with the transposed matrix, and no layer is kept.
    ///
    /// # Panics
    /// When `x` has another number of rows, or several layers go through a matrix that is not
    /// square.
    pub fn propagate(&self, x: Tensor<2>, layers: usize, pool: Layers) -> Tensor<2> {
        let ([rows, cols], [n, _]) = (self.matrix.dims(), x.dims());
        assert_eq!(n, cols, "a row of x for every column");
        let one = layers == 1 && pool == Layers::Last;
        assert!(rows == cols || one, "a square matrix for a pooled product, not {rows} × {cols}");
        #[cfg(feature = "flex")]
        if let Some(y) = self.fused(&x, layers, pool) {
            return y;
        }
        self.portable(x, layers, pool)
    }

    /// [`SparseProduct::propagate`] over users, then items, given as two tables, with what a graph
    /// of the items adds: `[n_users, dim] , [n_items, dim] → [n_users + n_items, dim]`. One
    /// operation: the tables are neither put together nor cut apart again for their gradients.
    ///
    /// # Panics
    /// When the tables have another number of rows than the graphs.
    pub fn propagate_tables(
        &self,
        users: Tensor<2>,
        items: Tensor<2>,
        (layers, pool): (usize, Layers),
        more: ItemGraph<'_>,
    ) -> Tensor<2> {
        let ([rows, cols], [n_users, dim]) = (self.matrix.dims(), users.dims());
        let n_items = items.dims()[0];
        assert!(rows == cols && cols == n_users + n_items, "a row of the tables for every column");
        assert_eq!(items.dims()[1], dim, "tables of one width");
        if let ItemGraph::Walk(graph, _) = more {
            assert_eq!(graph.matrix.dims(), [n_items; 2], "a graph of the items");
        }
        #[cfg(feature = "flex")]
        if let Some(y) = self.fused_tables(&users, &items, (layers, pool), more) {
            return y;
        }
        self.portable_tables(users, items, (layers, pool), more)
    }

    fn portable_tables(
        &self,
        users: Tensor<2>,
        items: Tensor<2>,
        (layers, pool): (usize, Layers),
        more: ItemGraph<'_>,
    ) -> Tensor<2> {
        let (n_users, n_items) = (users.dims()[0], items.dims()[0]);
        let all = self.propagate(Tensor::cat(vec![users, items.clone()], 0), layers, pool);
        let more = match more {
            ItemGraph::None => return all,
            ItemGraph::Items => items,
            ItemGraph::Walk(graph, layers) => graph.propagate(items, layers, Layers::Last),
        };
        let of_items = all.clone().narrow(0, n_users, n_items) + more;
        Tensor::cat(vec![all.narrow(0, 0, n_users), of_items], 0)
    }

    #[cfg(feature = "flex")]
    fn fused_tables(
        &self,
        users: &Tensor<2>,
        items: &Tensor<2>,
        (layers, pool): (usize, Layers),
        more: ItemGraph<'_>,
    ) -> Option<Tensor<2>> {
        let ([rows, _], [n_users, dim]) = (self.matrix.dims(), users.dims());
        let cut = n_users * dim;
        let forward = |[users, items]: [&[f32]; 2]| {
            let all = [users, items].concat();
            let mut out = run(&self.matrix, &all, dim, layers, pool);
            match more {
                ItemGraph::None => {}
                ItemGraph::Items => add_to(&mut out[cut..], items),
                ItemGraph::Walk(graph, layers) => {
                    add_to(&mut out[cut..], &run(&graph.matrix, items, dim, layers, Layers::Last));
                }
            }
            out
        };
        let back = Arc::clone(&self.transposed);
        let (itself, walk) = match more {
            ItemGraph::None => (false, None),
            ItemGraph::Items => (true, None),
            ItemGraph::Walk(graph, layers) => {
                (false, Some((Arc::clone(&graph.transposed), layers)))
            }
        };
        tracked([users, items], [rows, dim], forward, move |seen: Seen<'_, 2>| {
            let mut to_users = run(&back, seen.grad, dim, layers, pool);
            let mut to_items = to_users.split_off(cut);
            if itself {
                add_to(&mut to_items, &seen.grad[cut..]);
            }
            if let Some((graph, layers)) = &walk {
                let walked = run(graph, &seen.grad[cut..], dim, *layers, Layers::Last);
                add_to(&mut to_items, &walked);
            }
            [Some(to_users), Some(to_items)]
        })
    }

    #[cfg(feature = "flex")]
    fn fused(&self, x: &Tensor<2>, layers: usize, pool: Layers) -> Option<Tensor<2>> {
        let ([rows, _], [_, dim]) = (self.matrix.dims(), x.dims());
        let back = Arc::clone(&self.transposed);
        let forward = |[x]: [&[f32]; 1]| run(&self.matrix, x, dim, layers, pool);
        tracked([x], [rows, dim], forward, move |seen: Seen<'_, 1>| {
            [Some(run(&back, seen.grad, dim, layers, pool))]
        })
    }

    fn portable(&self, x: Tensor<2>, layers: usize, pool: Layers) -> Tensor<2> {
        let (mut now, mut sum) = (x.clone(), x);
        for _ in 0..layers {
            now = self.portable_product(now);
            if pool != Layers::Last {
                sum = sum + now.clone();
            }
        }
        match pool {
            Layers::Mean => sum * (1.0 / (layers + 1) as f32),
            Layers::Sum => sum,
            Layers::Last => now,
        }
    }

    fn portable_product(&self, x: Tensor<2>) -> Tensor<2> {
        let ([rows, _], [_, dim]) = (self.matrix.dims(), x.dims());
        let device = x.device();
        let nnz = self.matrix.nnz();
        let out = Tensor::<2>::zeros([rows, dim], &device);
        if nnz == 0 {
            return out;
        }
        let whole =
            |ids: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(ids, [nnz]), &device);
        let columns = self.matrix.columns.iter().map(|&c| c as i32).collect();
        let row_of =
            (0..rows).flat_map(|r| std::iter::repeat_n(r as i32, self.matrix.row(r).0.len()));
        let values = TensorData::new(self.matrix.values.clone(), [nnz, 1]);
        let cells = x.select(0, whole(columns)) * Tensor::<2>::from_data(values, &device);
        out.select_assign(0, whole(row_of.collect()), cells, IndexingUpdateOp::Add)
    }
}

/// The pooled layers of plain numbers, inside out: `x + S x + S² x = x + S (x + S x)`.
#[cfg(feature = "flex")]
fn run(matrix: &SparseRows, x: &[f32], dim: usize, layers: usize, pool: Layers) -> Vec<f32> {
    let share = if pool == Layers::Mean { 1.0 / (layers + 1) as f32 } else { 1.0 };
    if layers == 0 {
        return x.to_vec();
    }
    let base = (pool != Layers::Last).then_some(x);
    let size = matrix.dims()[0] * dim;
    let mut now: Option<Vec<f32>> = None;
    for layer in 1..=layers {
        let mut next = vec![0.0f32; size];
        let factor = if layer == layers { share } else { 1.0 };
        matrix.multiply(now.as_deref().unwrap_or(x), base, factor, &mut next, dim);
        now = Some(next);
    }
    now.unwrap_or_default()
}

/// `out += x`, in parallel.
#[cfg(feature = "flex")]
fn add_to(out: &mut [f32], x: &[f32]) {
    const CHUNK: usize = 1 << 14;
    let parts = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK));
    parts.for_each(|(out, x)| add_scaled(out, 1.0, x));
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests;
