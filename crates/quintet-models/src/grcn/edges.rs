//! Edges between users and items with weights that gradients flow through.
//!
//! [`SparseProduct`] has constant values. Here an edge is a row: its ends are selected, weighed,
//! and added up by a sparse matrix of ones, which is differentiable in both.
//! Cost: `O(nnz · dim)`, also of memory.

use burn::prelude::*;
use quintet_core::{Interactions, Triplet};
use quintet_tensor::{
    FitError, SparseProduct, SparseRows, score_pairs, select_rows, tensor_to_vec,
};

/// Where a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    User,
    Item,
}

/// The edges of a graph, by user, then item.
#[derive(Clone)]
pub(super) struct Edges {
    train: Interactions,
    users: Vec<u32>,
    items: Vec<u32>,
    /// `[n_users, nnz]`, one where an edge is the user's.
    by_user: SparseProduct,
    /// `[n_items, nnz]`.
    by_item: SparseProduct,
}

impl Edges {
    pub(super) fn new(train: &Interactions) -> Self {
        let users: Vec<u32> = train.iter().map(|t| t.user.0).collect();
        let items: Vec<u32> = train.iter().map(|t| t.item.0).collect();
        Self {
            by_user: sums(&users, train.n_users()),
            by_item: sums(&items, train.n_items()),
            users,
            items,
            train: train.clone(),
        }
    }

    /// The rows of the edges' users, `[nnz, dim]`.
    pub(super) fn of_users(&self, users: Tensor<2>) -> Tensor<2> {
        select_rows(users, &self.users)
    }

    /// The rows of the edges' items, `[nnz, dim]`.
    pub(super) fn of_items(&self, items: Tensor<2>) -> Tensor<2> {
        select_rows(items, &self.items)
    }

    /// Shares of the edges within each node of an end, by the products of unit rows,
    /// `[nnz, 1]`; edges with a flag of 0 have none.
    ///
    /// - `own`: rows of the nodes where messages arrive, `other`: of those that send them
    pub(super) fn softmax(
        &self,
        end: End,
        own: Tensor<2>,
        other: Tensor<2>,
        flags: Tensor<2>,
    ) -> Tensor<2> {
        let (own, other, sums) = match end {
            End::User => (self.of_users(own), self.of_items(other), &self.by_user),
            End::Item => (self.of_items(own), self.of_users(other), &self.by_item),
        };
        // Cosines: nothing overflows.
        let weights = score_pairs(own, other).exp() * flags;
        let totals = sums.apply(weights.clone());
        let totals = match end {
            End::User => self.of_users(totals),
            End::Item => self.of_items(totals),
        };
        // The floor is for nodes without an edge that counts.
        weights / totals.clamp_min(1e-12)
    }

    /// `Σ` over the edges of each node of an end of their weight, `[nnz, 1]`, times the row of the
    /// other end.
    pub(super) fn send(&self, end: End, other: Tensor<2>, weights: Tensor<2>) -> Tensor<2> {
        match end {
            End::User => self.by_user.apply(self.of_items(other) * weights),
            End::Item => self.by_item.apply(self.of_users(other) * weights),
        }
    }

    /// The same as a product with constants.
    ///
    /// # Errors
    /// The device failed, or a weight is not finite.
    pub(super) fn product(&self, end: End, weights: Tensor<2>) -> Result<SparseProduct, FitError> {
        let weights = tensor_to_vec(weights.inner()).map_err(FitError::Device)?;
        let cells = self.train.iter().zip(weights).map(|(t, value)| Triplet { value, ..t });
        let (n_users, n_items) = (self.train.n_users(), self.train.n_items());
        let weighed = Interactions::from_sorted(n_users, n_items, self.train.nnz(), cells)?;
        let product = SparseProduct::new(SparseRows::from_interactions(&weighed));
        Ok(if end == End::User { product } else { product.transpose() })
    }
}

/// Adds up the edges of each node; edges are rows.
fn sums(node_of_edge: &[u32], n_nodes: usize) -> SparseProduct {
    let mut rows = vec![Vec::new(); n_nodes];
    for (edge, node) in node_of_edge.iter().enumerate() {
        rows[*node as usize].push((edge as u32, 1.0));
    }
    SparseProduct::new(SparseRows::from_rows(node_of_edge.len(), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::Matrix;
    use quintet_tensor::matrix_to_tensor;

    #[test]
    fn shares_and_messages_by_hand() {
        // User 0 has items 0 and 1, user 1 has item 1; user 2 and item 2 have nothing.
        let train = Interactions::from_pairs(3, 3, [(0, 0), (0, 1), (1, 1)]).unwrap();
        let edges = Edges::new(&train);
        let column = |v: [f32; 3]| {
            matrix_to_tensor(&Matrix::from_vec(3, 1, v.to_vec()).unwrap(), &Device::flex())
        };
        let values = |t: Tensor<2>| tensor_to_vec(t).unwrap();
        let (users, items) = (column([1.0, 0.5, 9.0]), column([0.0, 2f32.ln(), 9.0]));
        let ones = edges.of_items(column([1.0; 3]));
        // User 0: e^0 = 1 and e^(ln 2) = 2.
        let shares = edges.softmax(End::User, users.clone(), items.clone(), ones.clone());
        let close = |found: &[f32], expected: &[f32]| {
            let same = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6);
            assert!(same && found.len() == expected.len(), "{found:?} {expected:?}");
        };
        close(&values(shares.clone()), &[1.0 / 3.0, 2.0 / 3.0, 1.0]);
        let sent = values(edges.send(End::User, column([3.0, 6.0, 9.0]), shares.clone()));
        close(&sent, &[5.0, 6.0, 0.0]);
        let product = edges.product(End::User, shares).unwrap();
        close(&values(product.apply(column([3.0, 6.0, 9.0]))), &sent);
        // Item 1: 2 of user 0, √2 of user 1.
        let shares = edges.softmax(End::Item, items, users.clone(), ones);
        let root = 2f32.sqrt();
        close(&values(shares.clone()), &[1.0, 2.0 / (2.0 + root), root / (2.0 + root)]);
        let product = edges.product(End::Item, shares.clone()).unwrap();
        let sent = values(edges.send(End::Item, users.clone(), shares));
        close(&values(product.apply(users.clone())), &sent);
        // Without the flag of item 1, user 1 has no edge that counts.
        let flags = edges.of_items(column([1.0, 0.0, 1.0]));
        let shares = edges.softmax(End::User, users, column([0.0; 3]), flags);
        close(&values(shares), &[1.0, 0.0, 0.0]);
    }
}
