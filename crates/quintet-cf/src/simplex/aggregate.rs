//! The part of a user that is made from the items of their history.
//!
//! `a_u = (Σ_j α_j e_j) V` over the items `j` of the user; `α` is `1/n` (average) or the softmax
//! of `q · tanh(e_j W + b)` with the user's own row (user attention) or one learned row (self
//! attention) as `q` (Mao et al., CIKM 2021, section 3.3).

use quintet_core::{Interactions, Matrix, ModelState, UserIdx};
use quintet_tensor::{
    AdamConfig, EmbeddingTable, FitError, NodeSet, add_outer, add_product, add_scaled, dot,
};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How the items of a history are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimplexAggregation {
    /// Their mean.
    #[default]
    Average,
    /// Attention with the user's own row as query.
    UserAttention,
    /// Attention with a learned query, the same for everybody.
    SelfAttention,
}

/// The trained weights of the aggregation.
#[derive(Debug, Clone)]
pub(super) struct Aggregator {
    pub(super) kind: SimplexAggregation,
    /// `V`, `[dim, dim]`.
    pub(super) map: EmbeddingTable,
    /// `W`, `[dim, dim]`; unused by the average.
    pub(super) key: EmbeddingTable,
    /// `b`, `[1, dim]`.
    pub(super) key_bias: EmbeddingTable,
    /// `q` of the self attention, `[1, dim]`.
    pub(super) query: EmbeddingTable,
}

/// The gradients of the weights, and of the rows that came in.
#[derive(Debug, Clone, Default)]
pub(super) struct AggregatorGrads {
    pub(super) map: Matrix,
    pub(super) key: Matrix,
    pub(super) key_bias: Matrix,
    pub(super) query: Matrix,
}

/// What the way back needs of the way forward.
#[derive(Debug, Clone)]
pub(super) struct Pooled {
    /// Where the history of each row of the batch begins.
    starts: Vec<usize>,
    items: Vec<u32>,
    alpha: Vec<f32>,
    /// `Σ_j α_j e_j`, `[batch, dim]`.
    sums: Matrix,
    /// The distinct items, and `tanh(e W + b)` of each.
    distinct: NodeSet,
    keys: Vec<f32>,
}

impl Pooled {
    pub(super) fn new(n_items: usize) -> Self {
        Self {
            starts: Vec::new(),
            items: Vec::new(),
            alpha: Vec::new(),
            sums: Matrix::default(),
            distinct: NodeSet::new(n_items),
            keys: Vec::new(),
        }
    }
}

impl Aggregator {
    pub(super) fn new(
        kind: SimplexAggregation,
        dim: usize,
        adam: AdamConfig,
        rng: &mut impl Rng,
    ) -> Self {
        let mut table = |rows: usize| EmbeddingTable::new(rows, dim, adam, rng);
        let (map, key, query) = (table(dim), table(dim), table(1));
        let key_bias = EmbeddingTable::from_matrix(Matrix::zeros(1, dim), adam);
        Self { kind, map, key, key_bias, query }
    }

    /// Adds `factor · a_u` to `out`, `[batch, dim]`; `rows` are the rows of the users.
    pub(super) fn forward(
        &self,
        (users, train): (&[u32], &Interactions),
        (rows, items): (&Matrix, &Matrix),
        factor: f32,
        pooled: &mut Pooled,
        out: &mut Matrix,
    ) {
        pooled.items.clear();
        pooled.starts.clear();
        pooled.starts.push(0);
        for &user in users {
            pooled.items.extend(train.items(UserIdx(user)).iter().map(|i| i.0));
            pooled.starts.push(pooled.items.len());
        }
        self.keys(items, pooled);
        self.pool(rows, items, pooled);
        let dim = items.cols();
        let mut mapped = vec![0.0; out.as_slice().len()];
        add_product(pooled.sums.as_slice(), self.map.values().as_slice(), [dim; 2], &mut mapped);
        add_scaled(out.as_mut_slice(), factor, &mapped);
    }

    /// `tanh(e W + b)` of the distinct items.
    fn keys(&self, items: &Matrix, pooled: &mut Pooled) {
        if self.kind == SimplexAggregation::Average {
            return;
        }
        let dim = items.cols();
        pooled.distinct.clear();
        for &item in &pooled.items {
            pooled.distinct.insert(item);
        }
        let rows = gather(items, pooled.distinct.nodes());
        pooled.keys.clear();
        for _ in pooled.distinct.nodes() {
            pooled.keys.extend_from_slice(self.key_bias.values().row(0));
        }
        add_product(&rows, self.key.values().as_slice(), [dim; 2], &mut pooled.keys);
        pooled.keys.iter_mut().for_each(|k| *k = k.tanh());
    }

    fn pool(&self, rows: &Matrix, items: &Matrix, pooled: &mut Pooled) {
        let dim = items.cols();
        let Pooled { starts, items: history, alpha, sums, distinct, keys } = pooled;
        alpha.clear();
        alpha.resize(history.len(), 0.0);
        sums.reset(rows.rows(), dim);
        for (b, w) in starts.windows(2).enumerate() {
            let places = w[0]..w[1];
            let (history, alpha) = (&history[places.clone()], &mut alpha[places]);
            if self.kind == SimplexAggregation::Average {
                alpha.fill(1.0 / history.len().max(1) as f32);
            } else {
                let query = self.query_of(rows, b);
                for (a, &item) in alpha.iter_mut().zip(history) {
                    let place = distinct.place(item).unwrap_or(0);
                    *a = dot(query, &keys[place * dim..][..dim]);
                }
                softmax(alpha);
            }
            for (a, &item) in alpha.iter().zip(history) {
                add_scaled(sums.row_mut(b), *a, items.row(item as usize));
            }
        }
    }

    fn query_of<'a>(&'a self, rows: &'a Matrix, b: usize) -> &'a [f32] {
        match self.kind {
            SimplexAggregation::UserAttention => rows.row(b),
            _ => self.query.values().row(0),
        }
    }

    /// The way back from `grad`, the gradient of `a_u`, `[batch, dim]`: writes the gradients of
    /// the weights, adds to those of the users' rows and of all items.
    pub(super) fn backward(
        &self,
        (rows, items): (&Matrix, &Matrix),
        grad: &Matrix,
        pooled: &Pooled,
        grads: &mut AggregatorGrads,
        (row_grad, item_grad): (&mut Matrix, &mut Matrix),
    ) {
        let dim = items.cols();
        grads.map.reset(dim, dim);
        let sums = pooled.sums.as_slice();
        add_outer(sums, grad.as_slice(), [dim; 2], grads.map.as_mut_slice());
        // d(sums) = grad Vᵀ.
        let turned = transposed(self.map.values());
        let mut sum_grad = Matrix::zeros(grad.rows(), dim);
        add_product(grad.as_slice(), turned.as_slice(), [dim; 2], sum_grad.as_mut_slice());
        grads.query.reset(1, dim);
        let mut key_grad = vec![0.0f32; pooled.keys.len()];
        for (b, w) in pooled.starts.windows(2).enumerate() {
            let (history, alpha) = (&pooled.items[w[0]..w[1]], &pooled.alpha[w[0]..w[1]]);
            let of_sum = sum_grad.row(b);
            for (a, &item) in alpha.iter().zip(history) {
                add_scaled(item_grad.row_mut(item as usize), *a, of_sum);
            }
            if self.kind == SimplexAggregation::Average {
                continue;
            }
            let of_alpha: Vec<f32> =
                history.iter().map(|&item| dot(of_sum, items.row(item as usize))).collect();
            let mean = dot(alpha, &of_alpha);
            let query = self.query_of(rows, b);
            for ((a, d), &item) in alpha.iter().zip(&of_alpha).zip(history) {
                let slope = a * (d - mean);
                let place = pooled.distinct.place(item).unwrap_or(0) * dim;
                let of_query = match self.kind {
                    SimplexAggregation::UserAttention => row_grad.row_mut(b),
                    _ => grads.query.row_mut(0),
                };
                add_scaled(of_query, slope, &pooled.keys[place..][..dim]);
                add_scaled(&mut key_grad[place..][..dim], slope, query);
            }
        }
        self.key_backward(items, pooled, &mut key_grad, grads, item_grad);
    }

    /// From the gradient of `tanh(e W + b)` to those of `W`, `b` and `e`.
    fn key_backward(
        &self,
        items: &Matrix,
        pooled: &Pooled,
        key_grad: &mut [f32],
        grads: &mut AggregatorGrads,
        item_grad: &mut Matrix,
    ) {
        let dim = items.cols();
        grads.key.reset(dim, dim);
        grads.key_bias.reset(1, dim);
        if self.kind == SimplexAggregation::Average {
            return;
        }
        key_grad.iter_mut().zip(&pooled.keys).for_each(|(g, k)| *g *= 1.0 - k * k);
        for row in key_grad.chunks_exact(dim) {
            add_scaled(grads.key_bias.as_mut_slice(), 1.0, row);
        }
        let rows = gather(items, pooled.distinct.nodes());
        add_outer(&rows, key_grad, [dim; 2], grads.key.as_mut_slice());
        let turned = transposed(self.key.values());
        let mut of_items = vec![0.0; rows.len()];
        add_product(key_grad, turned.as_slice(), [dim; 2], &mut of_items);
        for (row, &item) in of_items.chunks_exact(dim).zip(pooled.distinct.nodes()) {
            add_scaled(item_grad.row_mut(item as usize), 1.0, row);
        }
    }

    /// One Adam step on the weights that are in use.
    pub(super) fn step(&mut self, grads: &AggregatorGrads) {
        self.map.step_dense(&grads.map);
        if self.kind != SimplexAggregation::Average {
            self.key.step_dense(&grads.key);
            self.key_bias.step_dense(&grads.key_bias);
        }
        if self.kind == SimplexAggregation::SelfAttention {
            self.query.step_dense(&grads.query);
        }
    }

    fn parts(&self) -> [(&'static str, &EmbeddingTable); 4] {
        let Self { map, key, key_bias, query, .. } = self;
        [("map.", map), ("key.", key), ("key_bias.", key_bias), ("query.", query)]
    }

    pub(super) fn save(&self, state: &mut ModelState) {
        self.parts().into_iter().for_each(|(name, table)| table.save(name, state));
    }

    pub(super) fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        self.map.load("map.", state)?;
        self.key.load("key.", state)?;
        self.key_bias.load("key_bias.", state)?;
        self.query.load("query.", state)
    }

    pub(super) fn n_parameters(&self) -> usize {
        let used = match self.kind {
            SimplexAggregation::Average => 1,
            SimplexAggregation::UserAttention => 3,
            SimplexAggregation::SelfAttention => 4,
        };
        self.parts()[..used].iter().map(|(_, table)| table.n_parameters()).sum()
    }
}

fn gather(rows: &Matrix, ids: &[u32]) -> Vec<f32> {
    ids.iter().flat_map(|&id| rows.row(id as usize)).copied().collect()
}

fn transposed(m: &Matrix) -> Matrix {
    let mut turned = Matrix::zeros(m.cols(), m.rows());
    for r in 0..m.rows() {
        for (c, value) in m.row(r).iter().enumerate() {
            turned.row_mut(c)[r] = *value;
        }
    }
    turned
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter_mut().for_each(|v| *v = (*v - largest).exp());
    let sum: f32 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= sum);
}
