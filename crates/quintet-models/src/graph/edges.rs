//! Graphs whose edges have weights that gradients flow through, and graphs made of several.

use burn::prelude::*;
use burn::tensor::{IndexingUpdateOp, TensorData};
use quintet_tensor::{SparseRows, index_tensor, select_rows};

/// Directed edges between `n` nodes in a fixed order. Their weights are a tensor `[edges, 1]`,
/// so that a product with them has a gradient by the weights as well.
#[derive(Clone)]
pub(crate) struct Edges {
    n: usize,
    from: Vec<u32>,
    to: Vec<u32>,
}

impl Edges {
    /// The edges of each node, one node after the other.
    pub(crate) fn new(rows: &[Vec<u32>]) -> Self {
        let from = rows.iter().enumerate();
        let from = from.flat_map(|(node, to)| std::iter::repeat_n(node as u32, to.len()));
        Self { n: rows.len(), from: from.collect(), to: rows.concat() }
    }

    /// The edges of several graphs over the same nodes, one graph after the other.
    ///
    /// # Panics
    /// When the numbers of nodes differ.
    pub(crate) fn chained(graphs: &[Self]) -> Self {
        let n = graphs.first().map_or(0, |g| g.n);
        assert!(graphs.iter().all(|g| g.n == n), "graphs over the same nodes");
        let all = |side: fn(&Self) -> &[u32]| graphs.iter().flat_map(side).copied().collect();
        Self { n, from: all(|g| &g.from), to: all(|g| &g.to) }
    }

    /// For each edge the row of the node that it leaves, `[n, dim] → [edges, dim]`.
    pub(crate) fn starts(&self, x: Tensor<2>) -> Tensor<2> {
        select_rows(x, &self.from)
    }

    /// For each edge the row of the node that it leads to, `[n, dim] → [edges, dim]`.
    pub(crate) fn ends(&self, x: Tensor<2>) -> Tensor<2> {
        select_rows(x, &self.to)
    }

    /// One for edges that lead back to their node, `[edges, 1]`.
    pub(crate) fn loops(&self, device: &Device) -> Tensor<2> {
        let pairs = self.from.iter().zip(&self.to);
        let flags: Vec<f32> = pairs.map(|(a, b)| f32::from(u8::from(a == b))).collect();
        Tensor::from_data(TensorData::new(flags, [self.from.len(), 1]), device)
    }

    /// For each node the sum over its edges, `[edges, dim] → [n, dim]`.
    fn sums(&self, x: Tensor<2>) -> Tensor<2> {
        let device = x.device();
        let out = Tensor::<2>::zeros([self.n, x.dims()[1]], &device);
        out.select_assign(0, index_tensor(&self.from, &device), x, IndexingUpdateOp::Add)
    }

    /// `w_ij / sqrt(r_i r_j)` with `r` the sums of the weights of a node's edges, which have to be
    /// above zero.
    pub(crate) fn normalised(&self, weights: Tensor<2>) -> Tensor<2> {
        let root = self.sums(weights.clone()).sqrt().recip();
        weights * self.starts(root.clone()) * self.ends(root)
    }

    /// For each node the weighted sum of its neighbours' rows, `[n, dim] → [n, dim]`. Holds some
    /// copies of `[edges, dim]`.
    pub(crate) fn product(&self, weights: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        self.sums(self.ends(x) * weights)
    }

    /// The edges of each node with their weights.
    ///
    /// # Panics
    /// When there is not one weight an edge.
    pub(crate) fn cells(&self, weights: &[f32]) -> Vec<Vec<(u32, f32)>> {
        assert_eq!(weights.len(), self.from.len(), "a weight an edge");
        let mut rows = vec![Vec::new(); self.n];
        for ((from, to), weight) in self.from.iter().zip(&self.to).zip(weights) {
            rows[*from as usize].push((*to, *weight));
        }
        rows
    }
}

/// The cells of a row in order, those of equal column brought together by `join`.
pub(crate) fn joined(
    mut cells: Vec<(u32, f32)>,
    join: impl Fn(f32, f32) -> f32,
) -> Vec<(u32, f32)> {
    // Stable, so that sums run in the order in which the cells came.
    cells.sort_by_key(|cell| cell.0);
    let mut merged: Vec<(u32, f32)> = Vec::with_capacity(cells.len());
    for (column, value) in cells {
        match merged.last_mut() {
            Some(last) if last.0 == column => last.1 = join(last.1, value),
            _ => merged.push((column, value)),
        }
    }
    merged
}

/// The edges of all graphs, each with its largest weight. A graph counts for the items that `has`
/// says; all do for an item that none counts for.
pub(crate) fn union(graphs: &[SparseRows], has: &[&[bool]]) -> SparseRows {
    let n = graphs.first().map_or(0, |g| g.dims()[0]);
    let rows = (0..n).map(|item| {
        let none = has.iter().all(|h| !h[item]);
        let counting = graphs.iter().zip(has).filter(|(_, has)| none || has[item]);
        let cells = counting.flat_map(|(graph, _)| {
            let (columns, values) = graph.row(item);
            columns.iter().copied().zip(values.iter().copied())
        });
        joined(cells.collect(), f32::max)
    });
    SparseRows::from_rows(n, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_tensor::tensor_to_vec;

    #[test]
    fn a_product_by_hand_has_gradients_of_weights_and_rows() {
        let device = Device::flex().autodiff();
        let edges = Edges::new(&[vec![1, 0], vec![1]]);
        let weights = Tensor::<2>::from_data([[2.0], [3.0], [5.0]], &device).require_grad();
        let x = Tensor::<2>::from_data([[1.0, 10.0], [7.0, 20.0]], &device).require_grad();
        let y = edges.product(weights.clone(), x.clone());
        // Row 0: 2 · row 1 + 3 · row 0; row 1: 5 · row 1.
        assert_eq!(tensor_to_vec(y.clone().inner()).unwrap(), [17.0, 70.0, 35.0, 100.0]);
        let grads = y.narrow(1, 0, 1).sum().backward();
        let of = |t: &Tensor<2>| tensor_to_vec(t.grad(&grads).unwrap()).unwrap();
        assert_eq!(of(&weights), [7.0, 1.0, 7.0]);
        assert_eq!(of(&x), [3.0, 0.0, 7.0, 0.0]);
    }

    #[test]
    fn weights_are_divided_by_the_roots_of_both_sums() {
        let edges = Edges::new(&[vec![0, 1], vec![1]]);
        let weights = Tensor::<2>::from_data([[1.0], [3.0], [16.0]], &Device::flex());
        let found = tensor_to_vec(edges.normalised(weights)).unwrap();
        // r = (4, 16): 1 / 4, 3 / 8, 16 / 16.
        assert_eq!(found, [0.25, 0.375, 1.0]);
        assert_eq!(edges.cells(&found), [vec![(0, 0.25), (1, 0.375)], vec![(1, 1.0)]]);
    }

    #[test]
    fn a_union_takes_the_largest_of_the_graphs_that_count() {
        let a = SparseRows::from_rows(2, [vec![(0, 0.5), (1, 0.2)], vec![(1, 1.0)]]);
        let b = SparseRows::from_rows(2, [vec![(1, 0.7)], vec![(0, 0.4), (1, 0.3)]]);
        let both = union(&[a.clone(), b.clone()], &[&[true, false], &[true, true]]);
        assert_eq!(both.row(0), (&[0, 1][..], &[0.5, 0.7][..]));
        assert_eq!(both.row(1), (&[0, 1][..], &[0.4, 0.3][..]));
        let none = union(&[a, b], &[&[true, false], &[true, false]]);
        assert_eq!(none.row(1), (&[0, 1][..], &[0.4, 1.0][..]));
    }
}
