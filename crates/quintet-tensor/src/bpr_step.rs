//! A step of matrix factorisation with the BPR loss on plain tables.
//!
//! The loss is `mean softplus(-m) + λ/B Σ (‖u‖² + ‖i‖² + ‖j‖²)` over the triples of a batch, with
//! the margin `m = u · (i - j) + β_i - β_j` (Rendle et al., UAI 2009; see `pair_kernels`); lazy
//! Adam moves the rows of the batch. What [`crate::bpr_loss`] and [`crate::step_table`] do with
//! tensors of a graph, without any.
//! Cost: `O(batch · dim)`, no memory once the buffers have their size.

use crate::{EmbeddingTable, NodeSet, PlacedTriple, add_scaled, bpr_gradients, bpr_slopes, dot};

/// The tables that a step moves.
#[derive(Debug)]
pub struct BprTables<'a> {
    /// `[n_users, dim]`.
    pub users: &'a mut EmbeddingTable,
    /// `[n_items, dim]`.
    pub items: &'a mut EmbeddingTable,
    /// `β`, `[n_items, 1]`; none for a model without.
    pub bias: Option<&'a mut EmbeddingTable>,
}

/// Memory of a step, used again by the next.
#[derive(Debug, Clone)]
pub struct BprStep {
    n_users: usize,
    /// Users of the batch, then its items behind the users.
    nodes: NodeSet,
    triples: Vec<PlacedTriple>,
    rows: Vec<f32>,
    bias: Vec<f32>,
    grad: Vec<f32>,
    bias_grad: Vec<f32>,
    slopes: Vec<f32>,
    /// How often a row occurs in the batch.
    counts: Vec<f32>,
}

impl BprStep {
    /// For tables of these sizes.
    pub fn new(n_users: usize, n_items: usize) -> Self {
        Self {
            n_users,
            nodes: NodeSet::new(n_users + n_items),
            triples: Vec::new(),
            rows: Vec::new(),
            bias: Vec::new(),
            grad: Vec::new(),
            bias_grad: Vec::new(),
            slopes: Vec::new(),
            counts: Vec::new(),
        }
    }

    /// One step on the triples of a batch, given as columns; gives the loss.
    ///
    /// # Panics
    /// When the columns differ in length, an id is out of range or the tables have other sizes.
    pub fn step(
        &mut self,
        tables: BprTables<'_>,
        [users, positives, negatives]: [&[u32]; 3],
        l2: f32,
    ) -> f64 {
        assert_eq!(users.len(), positives.len(), "one positive a user");
        assert_eq!(users.len(), negatives.len(), "one negative a user");
        let dim = tables.users.dim();
        assert_eq!(dim, tables.items.dim(), "users and items of one width");
        let n_batch_users = self.place([users, positives, negatives]);
        self.gather(&tables, n_batch_users);
        let mut loss = bpr_slopes(&self.rows, &self.bias, dim, &self.triples, &mut self.slopes);
        self.grad.clear();
        self.grad.resize(self.rows.len(), 0.0);
        bpr_gradients(&self.rows, dim, &self.triples, &self.slopes, &mut self.grad);
        if l2 != 0.0 {
            let scale = l2 / users.len().max(1) as f32;
            let places = self.rows.chunks_exact(dim.max(1)).zip(self.grad.chunks_exact_mut(dim));
            for ((row, grad), count) in places.zip(&self.counts) {
                loss += f64::from(scale * count) * f64::from(dot(row, row));
                add_scaled(grad, 2.0 * scale * count, row);
            }
        }
        let (of_users, of_items) = self.nodes.nodes().split_at(n_batch_users);
        let (user_grad, item_grad) = self.grad.split_at(n_batch_users * dim);
        let item_ids: Vec<u32> = of_items.iter().map(|node| node - self.n_users as u32).collect();
        tables.users.step_slices(of_users, user_grad);
        tables.items.step_slices(&item_ids, item_grad);
        if let Some(bias) = tables.bias {
            self.bias_grad.clear();
            self.bias_grad.resize(self.nodes.len(), 0.0);
            for (&[_, i, j], slope) in self.triples.iter().zip(&self.slopes) {
                self.bias_grad[i as usize] += slope;
                self.bias_grad[j as usize] -= slope;
            }
            bias.step_slices(&item_ids, &self.bias_grad[n_batch_users..]);
        }
        loss
    }

    /// Finds the distinct rows, users first, and the places of the triples among them; gives the
    /// number of distinct users.
    fn place(&mut self, [users, positives, negatives]: [&[u32]; 3]) -> usize {
        let n_users = self.n_users as u32;
        self.nodes.clear();
        users.iter().for_each(|&u| {
            self.nodes.insert(u);
        });
        let n_batch_users = self.nodes.len();
        self.triples.clear();
        for ((&u, &i), &j) in users.iter().zip(positives).zip(negatives) {
            let triple = [u, n_users + i, n_users + j];
            self.triples.push(triple.map(|node| self.nodes.insert(node)));
        }
        self.counts.clear();
        self.counts.resize(self.nodes.len(), 0.0);
        self.triples.iter().flatten().for_each(|&place| self.counts[place as usize] += 1.0);
        n_batch_users
    }

    fn gather(&mut self, tables: &BprTables<'_>, n_batch_users: usize) {
        self.rows.clear();
        let (users, items) = self.nodes.nodes().split_at(n_batch_users);
        for &user in users {
            self.rows.extend_from_slice(tables.users.values().row(user as usize));
        }
        let items = items.iter().map(|&node| node as usize - self.n_users);
        for item in items.clone() {
            self.rows.extend_from_slice(tables.items.values().row(item));
        }
        self.bias.clear();
        if let Some(bias) = &tables.bias {
            self.bias.resize(n_batch_users, 0.0);
            self.bias.extend(items.map(|item| bias.values().row(item)[0]));
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::{
        AdamConfig, Device, PairBatch, bpr_loss, loss_value, normal_matrix, score_pairs,
        squared_penalty, step_table,
    };
    use quintet_core::{Matrix, SeedStream};

    /// The same loss and the same tables as with tensors and a graph, over a few steps.
    #[test]
    fn steps_are_those_of_the_graph() {
        let mut rng = SeedStream::new(3).rng("test", 0);
        let adam = AdamConfig::new(0.05);
        let mut table = |rows, cols| {
            EmbeddingTable::from_matrix(normal_matrix(rows, cols, 0.5, &mut rng), adam)
        };
        let (mut users, mut items, mut bias) = (table(4, 9), table(6, 9), table(6, 1));
        let (mut users_2, mut items_2, mut bias_2) = (users.clone(), items.clone(), bias.clone());
        let columns = [&[0u32, 2, 0, 3][..], &[1, 5, 3, 1][..], &[4, 1, 4, 0][..]];
        let (l2, device) = (0.3, Device::flex().autodiff());
        let mut step = BprStep::new(4, 6);
        for _ in 0..3 {
            let tables = BprTables { users: &mut users, items: &mut items, bias: Some(&mut bias) };
            let loss = step.step(tables, columns, l2);

            let batch = PairBatch::new(columns[0], columns[1], columns[2]);
            let of_users = users_2.leaf(&batch.users, &device);
            let of_items = items_2.leaf(&batch.items, &device);
            let of_bias = bias_2.leaf(&batch.items, &device);
            let u = batch.pick_users(of_users.clone(), &device);
            let (i, j) = batch.pick_items(of_items.clone(), &device);
            let (bi, bj) = batch.pick_items(of_bias.clone(), &device);
            let positive = score_pairs(u.clone(), i.clone()) + bi;
            let negative = score_pairs(u.clone(), j.clone()) + bj;
            let penalty = squared_penalty(&[&u, &i, &j], l2, batch.len()).unwrap();
            let expected = bpr_loss(positive, negative) + penalty;
            let mut grads = expected.backward();
            step_table(&mut users_2, &batch.users, &of_users, &mut grads).unwrap();
            step_table(&mut items_2, &batch.items, &of_items, &mut grads).unwrap();
            step_table(&mut bias_2, &batch.items, &of_bias, &mut grads).unwrap();
            let expected = loss_value(expected).unwrap();
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
            let close = |a: &Matrix, b: &Matrix| {
                let mut pairs = a.as_slice().iter().zip(b.as_slice());
                pairs.all(|(a, b)| (a - b).abs() < 1e-4)
            };
            assert!(close(users.values(), users_2.values()));
            assert!(close(items.values(), items_2.values()));
            assert!(close(bias.values(), bias_2.values()));
        }
    }
}
