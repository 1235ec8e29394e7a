//! Propagation over the user–item graph without a tensor framework.
//!
//! LightGCN's propagation is linear and its normalised adjacency is symmetric, so the gradient
//! with respect to the layer-0 vectors is the same propagation applied to the gradient of the
//! output (He et al., "LightGCN", SIGIR 2020).

use quintet_core::{Interactions, ItemIdx, Matrix, UserIdx};
use rayon::prelude::*;

/// `S = D^{-1/2} A D^{-1/2}` of the bipartite graph, users first, then items; no self-loops.
#[derive(Debug, Clone)]
pub struct Propagation {
    n_users: usize,
    indptr: Vec<usize>,
    columns: Vec<u32>,
    weights: Vec<f32>,
    layers: usize,
}

impl Propagation {
    /// The graph of `train`, propagated over `layers` layers; values are ignored.
    pub fn new(train: &Interactions, layers: usize) -> Self {
        let n_users = train.n_users();
        let by_item = train.transpose();
        let user_degree: Vec<f32> =
            (0..n_users).map(|u| train.items(UserIdx::new(u)).len() as f32).collect();
        let item_degree: Vec<f32> = train.item_counts().iter().map(|&c| c as f32).collect();
        let mut graph = Self {
            n_users,
            indptr: vec![0],
            columns: Vec::with_capacity(2 * train.nnz()),
            weights: Vec::with_capacity(2 * train.nnz()),
            layers,
        };
        for (u, degree) in user_degree.iter().enumerate() {
            for item in train.items(UserIdx::new(u)) {
                graph.columns.push((n_users + item.index()) as u32);
                graph.weights.push(1.0 / (degree * item_degree[item.index()]).sqrt());
            }
            graph.indptr.push(graph.columns.len());
        }
        for (i, degree) in item_degree.iter().enumerate() {
            for user in by_item.items(UserIdx::new(i)) {
                let ItemIdx(u) = *user;
                graph.columns.push(u);
                graph.weights.push(1.0 / (user_degree[u as usize] * degree).sqrt());
            }
            graph.indptr.push(graph.columns.len());
        }
        graph
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
        let mut sum = x.clone();
        let mut current = x.clone();
        for _ in 0..self.layers {
            current = self.multiply(&current);
            sum.as_mut_slice().iter_mut().zip(current.as_slice()).for_each(|(s, c)| *s += c);
        }
        let scale = 1.0 / (self.layers + 1) as f32;
        sum.as_mut_slice().iter_mut().for_each(|s| *s *= scale);
        sum
    }

    /// `S x`, rows in parallel; every row is summed in a fixed order.
    fn multiply(&self, x: &Matrix) -> Matrix {
        let dim = x.cols();
        let mut out = Matrix::zeros(x.rows(), dim);
        out.as_mut_slice().par_chunks_mut(dim.max(1)).enumerate().with_min_len(64).for_each(
            |(row, target)| {
                for e in self.indptr[row]..self.indptr[row + 1] {
                    let weight = self.weights[e];
                    let source = x.row(self.columns[e] as usize);
                    target.iter_mut().zip(source).for_each(|(t, s)| *t += weight * s);
                }
            },
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let pairs = [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1), (2, 2)];
        let train = Interactions::from_pairs(3, 3, pairs).unwrap();
        let g = Propagation::new(&train, 3);
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
}
