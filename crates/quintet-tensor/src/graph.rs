//! Propagation over the user–item graph without a tensor framework.
//!
//! LightGCN's propagation is linear and its normalised adjacency is symmetric, so the gradient
//! with respect to the layer-0 vectors is the same propagation applied to the gradient of the
//! output (He et al., "LightGCN", SIGIR 2020).
//!
//! The mean over the layers is computed inside out,
//! `x + S x + S² x = x + S (x + S x)`, so that no layer is kept and no sum is added up apart.
//! A training step reads the output at the nodes of its batch only, and its gradient starts
//! there: [`Propagation::forward_nodes`] computes the last layer for these nodes alone,
//! [`Propagation::backward_nodes`] reads these rows alone in its first. Of `2 · layers` products
//! of a step two touch a part of the graph.
//! Cost of a full layer: `nnz · dim` multiply-adds and reads of `nnz · dim` numbers; no memory is
//! taken once [`PropagationScratch`] has its size.

use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Interactions, Matrix, UserIdx};
use rayon::prelude::*;

use crate::NodeSet;

/// Rows that a thread takes at a time where only some rows are computed.
const FEW_ROWS: usize = 32;

/// Parts of about equal work that a full product is cut into.
const PARTS: usize = 64;

/// `S = D^{-1/2} A D^{-1/2}` of the bipartite graph, users first, then items; no self-loops.
#[derive(Debug, Clone)]
pub struct Propagation {
    n_users: usize,
    indptr: Vec<usize>,
    columns: Vec<u32>,
    /// `degree^{-1/2}` of each node, 0 for a node without edges.
    scale: Vec<f32>,
    layers: usize,
    /// Rows at which the parts of a full product begin, and the number of rows.
    parts: Vec<usize>,
}

/// Memory of a training step, used again by the next.
#[derive(Debug, Clone, Default)]
pub struct PropagationScratch {
    now: Vec<f32>,
    next: Vec<f32>,
}

impl Propagation {
    /// The graph of `train`, propagated over `layers` layers; values are ignored.
    pub fn new(train: &Interactions, layers: usize) -> Self {
        let n_users = train.n_users();
        let by_item = train.transpose();
        let n_nodes = n_users + train.n_items();
        let mut indptr = Vec::with_capacity(n_nodes + 1);
        let mut columns = Vec::with_capacity(2 * train.nnz());
        indptr.push(0);
        for u in 0..n_users {
            let items = train.items(UserIdx::new(u)).iter();
            columns.extend(items.map(|i| (n_users + i.index()) as u32));
            indptr.push(columns.len());
        }
        for i in 0..train.n_items() {
            columns.extend(by_item.items(UserIdx::new(i)).iter().map(|u| u.0));
            indptr.push(columns.len());
        }
        let degree = |w: &[usize]| (w[1] - w[0]) as f32;
        let scale = indptr
            .windows(2)
            .map(|w| if w[1] > w[0] { 1.0 / degree(w).sqrt() } else { 0.0 })
            .collect();
        let parts = equal_parts(&indptr);
        Self { n_users, indptr, columns, scale, layers, parts }
    }

    /// Number of users, the first rows of every matrix here.
    pub fn n_users(&self) -> usize {
        self.n_users
    }

    /// Number of nodes, users and items.
    pub fn n_nodes(&self) -> usize {
        self.indptr.len() - 1
    }

    /// `mean(x, S x, …, S^L x)`, `[n_nodes, dim] → [n_nodes, dim]`. Its own transpose.
    ///
    /// # Panics
    /// When `x` has another number of rows.
    pub fn forward(&self, x: &Matrix) -> Matrix {
        assert_eq!(x.rows(), self.n_nodes(), "a row for every node");
        let mut scratch = PropagationScratch::default();
        let mut out = Matrix::zeros(x.rows(), x.cols());
        self.all_but_last(x, &mut scratch);
        let share = self.share();
        self.each_row(out.as_mut_slice(), x.cols(), |row, out| {
            self.last_row(x, &scratch, row, share, out);
        });
        out
    }

    /// The rows `nodes` of [`Propagation::forward`], in their order, into `out`,
    /// `[nodes.len(), dim]`.
    ///
    /// # Panics
    /// When `x` has another number of rows, a node is out of range, or `out` another length.
    pub fn forward_nodes(
        &self,
        x: &Matrix,
        nodes: &[u32],
        scratch: &mut PropagationScratch,
        out: &mut [f32],
    ) {
        assert_eq!(x.rows(), self.n_nodes(), "a row for every node");
        let dim = x.cols();
        assert_eq!(out.len(), nodes.len() * dim, "a row for every node of the batch");
        self.all_but_last(x, scratch);
        let (share, scratch) = (self.share(), &*scratch);
        let out = out.par_chunks_mut((FEW_ROWS * dim).max(1));
        out.zip(nodes.par_chunks(FEW_ROWS)).for_each(|(out, nodes)| {
            for (out, &node) in out.chunks_exact_mut(dim).zip(nodes) {
                self.last_row(x, scratch, node as usize, share, out);
            }
        });
    }

    /// Prepares the gradient of the layer-0 rows from `grad`, the gradient of the output at the
    /// nodes of the batch, `[nodes.len(), dim]`; it is zero elsewhere.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn backward_nodes<'a>(
        &'a self,
        nodes: &'a NodeSet,
        grad: &'a [f32],
        dim: usize,
        scratch: &'a mut PropagationScratch,
    ) -> NodeGradients<'a> {
        assert_eq!(grad.len(), nodes.len() * dim, "a gradient for every node of the batch");
        if self.layers > 1 {
            scratch.now.resize(self.n_nodes() * dim, 0.0);
            let first = NodeGradients { graph: self, nodes, grad, dim, inner: None };
            self.each_row(&mut scratch.now, dim, |row, out| {
                first.base(row, 1.0, out);
                first.add_sparse(row, 1.0, out);
            });
        }
        for _ in 2..self.layers {
            scratch.next.resize(self.n_nodes() * dim, 0.0);
            let base = NodeGradients { graph: self, nodes, grad, dim, inner: None };
            let now = &scratch.now;
            self.each_row(&mut scratch.next, dim, |row, out| {
                base.base(row, 1.0, out);
                self.add_row(now, row, self.scale[row], out);
            });
            std::mem::swap(&mut scratch.now, &mut scratch.next);
        }
        let inner = (self.layers > 1).then_some(&*scratch.now);
        NodeGradients { graph: self, nodes, grad, dim, inner }
    }

    fn share(&self) -> f32 {
        1.0 / (self.layers + 1) as f32
    }

    /// Leaves `x + S (x + …)`, one product short of the output, in `scratch.now`; nothing where
    /// there are fewer than two layers.
    fn all_but_last(&self, x: &Matrix, scratch: &mut PropagationScratch) {
        let dim = x.cols();
        for layer in 1..self.layers {
            scratch.next.resize(x.as_slice().len(), 0.0);
            let now = if layer == 1 { x.as_slice() } else { &scratch.now };
            self.each_row(&mut scratch.next, dim, |row, out| {
                out.copy_from_slice(x.row(row));
                self.add_row(now, row, self.scale[row], out);
            });
            std::mem::swap(&mut scratch.now, &mut scratch.next);
        }
    }

    fn last_row(
        &self,
        x: &Matrix,
        scratch: &PropagationScratch,
        row: usize,
        share: f32,
        out: &mut [f32],
    ) {
        out.iter_mut().zip(x.row(row)).for_each(|(o, x)| *o = share * x);
        if self.layers > 0 {
            let now = if self.layers == 1 { x.as_slice() } else { &scratch.now };
            self.add_row(now, row, share * self.scale[row], out);
        }
    }

    /// `out += factor · Σ_c scale_c source_c` over the neighbours of `row`.
    #[inline]
    fn add_row(&self, source: &[f32], row: usize, factor: f32, out: &mut [f32]) {
        let edges = &self.columns[self.indptr[row]..self.indptr[row + 1]];
        Arch::new().dispatch(AddRows { edges, scale: &self.scale, source, factor, out });
    }

    /// Calls `fill(row, out)` for every row of `out`, in parallel, in parts of equal work.
    fn each_row(&self, out: &mut [f32], dim: usize, fill: impl Fn(usize, &mut [f32]) + Sync) {
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
        parts.into_par_iter().for_each(|(first, part)| {
            for (place, out) in part.chunks_exact_mut(dim).enumerate() {
                fill(first + place, out);
            }
        });
    }
}

/// The gradient of the layer-0 rows, computed row by row where it is read.
#[derive(Debug, Clone, Copy)]
pub struct NodeGradients<'a> {
    graph: &'a Propagation,
    nodes: &'a NodeSet,
    grad: &'a [f32],
    dim: usize,
    /// `g + S (g + …)`, one product short of the gradient; none where there are fewer than two
    /// layers.
    inner: Option<&'a [f32]>,
}

impl NodeGradients<'_> {
    /// Writes the gradient of `row`, `[dim]`.
    pub fn write(&self, row: usize, out: &mut [f32]) {
        let share = self.graph.share();
        self.base(row, share, out);
        match self.inner {
            Some(inner) => {
                self.graph.add_row(inner, row, share * self.graph.scale[row], out);
            }
            None if self.graph.layers == 1 => self.add_sparse(row, share, out),
            None => {}
        }
    }

    /// `out = factor · g_row`, zero outside the batch.
    fn base(&self, row: usize, factor: f32, out: &mut [f32]) {
        match self.nodes.place(row as u32) {
            Some(place) => {
                let g = &self.grad[place * self.dim..][..self.dim];
                out.iter_mut().zip(g).for_each(|(o, g)| *o = factor * g);
            }
            None => out.fill(0.0),
        }
    }

    /// `out += factor · (S g)_row`, over the neighbours in the batch alone.
    #[inline]
    fn add_sparse(&self, row: usize, factor: f32, out: &mut [f32]) {
        let graph = self.graph;
        let edges = &graph.columns[graph.indptr[row]..graph.indptr[row + 1]];
        let factor = factor * graph.scale[row];
        Arch::new().dispatch(AddSparse { of: self, edges, factor, out });
    }
}

/// [`NodeGradients::add_sparse`] of one row.
struct AddSparse<'a> {
    of: &'a NodeGradients<'a>,
    edges: &'a [u32],
    factor: f32,
    out: &'a mut [f32],
}

impl WithSimd for AddSparse<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, edges, factor, out } = self;
        for &column in edges {
            let Some(place) = of.nodes.place(column) else { continue };
            let weight = factor * of.graph.scale[column as usize];
            let g = &of.grad[place * of.dim..][..of.dim];
            out.iter_mut().zip(g).for_each(|(o, g)| *o += weight * g);
        }
    }
}

/// Boundaries of [`PARTS`] ranges of rows with about as many edges and rows each.
pub(crate) fn equal_parts(indptr: &[usize]) -> Vec<usize> {
    let n_rows = indptr.len() - 1;
    // A row costs about as much as an edge, besides its edges.
    let work = |row: usize| indptr[row] + row;
    let total = work(n_rows);
    let mut parts = vec![0];
    for part in 1..PARTS {
        let target = total * part / PARTS;
        let (mut low, mut high) = (parts[part - 1], n_rows);
        while low < high {
            let middle = low.midpoint(high);
            if work(middle) < target { low = middle + 1 } else { high = middle }
        }
        parts.push(low);
    }
    parts.push(n_rows);
    parts
}

/// `out += factor · Σ_c scale_c source_c`, edge after edge, in blocks of columns whose sums stay
/// in registers.
struct AddRows<'a> {
    edges: &'a [u32],
    scale: &'a [f32],
    source: &'a [f32],
    factor: f32,
    out: &'a mut [f32],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { edges, scale, source, factor, out } = self;
        add_blocks(edges, scale, source, factor, out);
    }
}

#[inline(always)]
fn add_blocks(edges: &[u32], scale: &[f32], source: &[f32], factor: f32, out: &mut [f32]) {
    let dim = out.len();
    let mut from = 0;
    while dim - from >= 64 {
        add_columns::<64>((edges, scale), (source, dim, from), factor, &mut out[from..]);
        from += 64;
    }
    while dim - from >= 16 {
        add_columns::<16>((edges, scale), (source, dim, from), factor, &mut out[from..]);
        from += 16;
    }
    while from < dim {
        add_columns::<1>((edges, scale), (source, dim, from), factor, &mut out[from..]);
        from += 1;
    }
}

#[inline(always)]
fn add_columns<const W: usize>(
    (edges, scale): (&[u32], &[f32]),
    (source, dim, from): (&[f32], usize, usize),
    factor: f32,
    out: &mut [f32],
) {
    let mut sums = [0.0f32; W];
    for &column in edges {
        let row = column as usize;
        let Some(values) = source[row * dim + from..].first_chunk::<W>() else { continue };
        let weight = scale[row];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out += factor * sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(rows: usize, cols: usize) -> Matrix {
        let numbers = (0..rows * cols).map(|k| ((k * 37 + 11) % 64) as f32 / 32.0 - 1.0);
        Matrix::from_vec(rows, cols, numbers.collect()).unwrap()
    }

    fn small() -> Interactions {
        // Item 3 and user 3 have no edge.
        Interactions::from_pairs(4, 4, [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1), (2, 2)]).unwrap()
    }

    #[test]
    fn one_layer_by_hand() {
        // Users 0, 1; items 0, 1. User 0 has both items, user 1 has item 0.
        let train = Interactions::from_pairs(2, 2, [(0, 0), (0, 1), (1, 0)]).unwrap();
        let g = Propagation::new(&train, 1);
        let x = Matrix::from_vec(4, 1, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let y = g.forward(&x);
        // Degrees: users 2, 1; items 2, 1. S[u0,i0] = 1/2, S[u0,i1] = 1/sqrt2, S[u1,i0] = 1/sqrt2.
        let r = 0.5f32.sqrt();
        let expected = [
            (1.0 + 3.0 * 0.5 + 4.0 * r) / 2.0,
            (2.0 + 3.0 * r) / 2.0,
            (3.0 + 0.5 + 2.0 * r) / 2.0,
            (4.0 + r) / 2.0,
        ];
        for (a, b) in y.as_slice().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn propagation_is_its_own_transpose() {
        let g = Propagation::new(&small(), 3);
        let n = g.n_nodes();
        let unit = |k: usize| {
            let mut m = Matrix::zeros(n, 1);
            m.as_mut_slice()[k] = 1.0;
            g.forward(&m)
        };
        for a in 0..n {
            for b in 0..n {
                assert!((unit(a).as_slice()[b] - unit(b).as_slice()[a]).abs() < 1e-6);
            }
        }
    }

    /// The rows of a batch are rows of the whole, and the gradient from them is the propagation
    /// of a gradient that is zero elsewhere; for widths in all blocks of columns.
    #[test]
    fn rows_of_a_batch_are_those_of_the_whole() {
        for layers in 0..4 {
            for dim in [1, 3, 16, 83] {
                let g = Propagation::new(&small(), layers);
                let x = pattern(g.n_nodes(), dim);
                let mut nodes = NodeSet::new(g.n_nodes());
                for node in [6u32, 0, 3, 6] {
                    nodes.insert(node);
                }
                let whole = g.forward(&x);
                let mut scratch = PropagationScratch::default();
                let mut rows = vec![f32::NAN; nodes.len() * dim];
                g.forward_nodes(&x, nodes.nodes(), &mut scratch, &mut rows);
                for (row, &node) in rows.chunks_exact(dim).zip(nodes.nodes()) {
                    assert_eq!(row, whole.row(node as usize), "{layers} layers, {dim} columns");
                }

                let mut dense = Matrix::zeros(g.n_nodes(), dim);
                for (row, &node) in rows.chunks_exact(dim).zip(nodes.nodes()) {
                    dense.row_mut(node as usize).copy_from_slice(row);
                }
                let expected = g.forward(&dense);
                let gradients = g.backward_nodes(&nodes, &rows, dim, &mut scratch);
                let mut found = vec![f32::NAN; dim];
                for node in 0..g.n_nodes() {
                    gradients.write(node, &mut found);
                    for (f, e) in found.iter().zip(expected.row(node)) {
                        assert!((f - e).abs() < 1e-6, "{layers} layers, node {node}: {f} {e}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_cover_all_rows_once() {
        for n in [1usize, 5, 1000] {
            let indptr: Vec<usize> = (0..=n).map(|r| r * r).collect();
            let parts = equal_parts(&indptr);
            assert_eq!((parts[0], parts[parts.len() - 1]), (0, n));
            assert!(parts.windows(2).all(|w| w[0] <= w[1]));
        }
    }
}
