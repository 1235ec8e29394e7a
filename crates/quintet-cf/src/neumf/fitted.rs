//! The fitted NeuMF: the perceptron on the host, a block of items at a time.
//!
//! The first layer is linear in `[p; q]`: what items bring is computed once, what a user brings
//! once a user, and each pair starts with an addition.

use quintet_core::{
    Capability, Interactions, Matrix, ModelState, Recommender, ScoreError, UserIdx,
};
use quintet_tensor::{FitError, Linear, add_product, add_scaled, dot};
use rayon::prelude::*;

use super::{NAME, Network, NeuMfKind, Tables};
use crate::autoencoder::{put_layer, read_layer};

/// Items that go through the perceptron together.
const BLOCK: usize = 64;

/// The fitted model.
pub(super) struct NeuMf {
    /// Factors of the product, `[n, dim]`; those of users hold `h_G` already. Empty rows without
    /// this part.
    product_users: Matrix,
    product_items: Matrix,
    /// Embeddings of the users of the perceptron, and what items bring to its first layer,
    /// `[n_items, layers[1]]`, with the bias.
    mlp_users: Matrix,
    mlp_items: Matrix,
    /// The users' half of the first layer, then the others; each with its bias.
    layers: Vec<(Matrix, Vec<f32>)>,
    /// `h_M`, `c`.
    output: Vec<f32>,
    constant: f32,
    /// Items that nobody used in training, ascending: they rank last.
    unused: Vec<i64>,
}

impl NeuMf {
    /// `scale` multiplies both outputs.
    pub(super) fn new(
        train: &Interactions,
        tables: &Tables,
        network: &Network,
        scale: f32,
    ) -> Result<Self, FitError> {
        let none = |rows: usize| Matrix::zeros(rows, 0);
        let (n_users, n_items) = (train.n_users(), train.n_items());
        let (mut product_users, mut product_items) = (none(n_users), none(n_items));
        let mut constant = 0.0;
        if network.kind != NeuMfKind::Mlp {
            let (weight, bias) = host(&network.product_output)?;
            product_users = tables.product_users.values().clone();
            for user in 0..n_users {
                let row = product_users.row_mut(user).iter_mut();
                row.zip(weight.as_slice()).for_each(|(p, h)| *p *= scale * h);
            }
            product_items = tables.product_items.values().clone();
            constant += scale * bias[0];
        }
        let (mut mlp_users, mut mlp_items) = (none(n_users), none(n_items));
        let (mut layers, mut output) = (Vec::new(), Vec::new());
        if network.kind != NeuMfKind::Gmf {
            layers = network.layers.iter().map(host).collect::<Result<Vec<_>, _>>()?;
            mlp_users = tables.mlp_users.values().clone();
            let (first, bias) = &mut layers[0];
            let (half, width) = (mlp_users.cols(), first.cols());
            let both = std::mem::take(first).into_vec();
            let (of_users, of_items) = both.split_at(half * width);
            mlp_items = Matrix::zeros(n_items, width);
            for item in 0..n_items {
                mlp_items.row_mut(item).copy_from_slice(bias);
            }
            let rows = tables.mlp_items.values().as_slice();
            add_product(rows, of_items, [half, width], mlp_items.as_mut_slice());
            *first = Matrix::from_vec(half, width, of_users.to_vec())?;
            bias.fill(0.0);
            let (weight, bias) = host(&network.mlp_output)?;
            output = weight.as_slice().iter().map(|h| scale * h).collect();
            constant += scale * bias[0];
        }
        let counts = train.item_counts();
        let unused = (0..n_items).filter(|&i| counts[i] == 0).map(|i| i as i64).collect();
        let model = Self {
            product_users,
            product_items,
            mlp_users,
            mlp_items,
            layers,
            output,
            constant,
            unused,
        };
        model.check_finite()?;
        Ok(model)
    }

    fn check_finite(&self) -> Result<(), FitError> {
        let tables = [
            (&self.product_users, "user factors"),
            (&self.product_items, "item factors"),
            (&self.mlp_users, "user embeddings"),
            (&self.mlp_items, "item embeddings"),
        ];
        for (matrix, what) in tables.into_iter().chain(self.layers.iter().map(|l| (&l.0, "layer")))
        {
            matrix.check_finite(&format!("{NAME}: {what}"))?;
        }
        Ok(())
    }

    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let matrix = |key: &str| Ok::<_, FitError>(state.matrix(key)?.clone());
        let (product_users, product_items) = (matrix("product_users")?, matrix("product_items")?);
        let (n_users, n_items) = (product_users.rows(), product_items.rows());
        let mlp_users = state.shaped("mlp_users", n_users, matrix("mlp_users")?.cols())?.clone();
        let mlp_items = state.shaped("mlp_items", n_items, matrix("mlp_items")?.cols())?.clone();
        let output = matrix("output")?.into_vec();
        let n_layers = state.whole("layers")?.first().copied().unwrap_or(0);
        let mut layers = Vec::new();
        let mut width = mlp_users.cols();
        for l in 0..n_layers {
            let next = matrix(&format!("layer{l}.weight"))?.cols();
            layers.push(read_layer(state, &format!("layer{l}"), [width, next])?);
            width = next;
        }
        let first = layers.first().map_or(0, |(w, _)| w.cols());
        if product_users.cols() != product_items.cols()
            || mlp_items.cols() != first
            || output.len() != width
            || layers.is_empty() != output.is_empty()
        {
            return Err(state.mismatch("layers", "widths that fit together", "others").into());
        }
        let constant = state.shaped("constant", 1, 1)?.as_slice()[0];
        let unused = state.whole("unused")?.to_vec();
        if unused.iter().any(|&i| i < 0 || i >= n_items as i64) {
            return Err(state.mismatch("unused", "positions of items", "others").into());
        }
        Ok(Self {
            product_users,
            product_items,
            mlp_users,
            mlp_items,
            layers,
            output,
            constant,
            unused,
        })
    }

    /// Scores of the items from `first` on.
    fn score_block(&self, user: usize, of_user: &[f32], first: usize, out: &mut [f32]) {
        out.fill(self.constant);
        if self.product_items.cols() > 0 {
            let query = self.product_users.row(user);
            for (place, score) in out.iter_mut().enumerate() {
                *score += dot(query, self.product_items.row(first + place));
            }
        }
        if self.output.is_empty() {
            return;
        }
        let width = self.mlp_items.cols();
        let mut x = self.mlp_items.as_slice()[first * width..][..out.len() * width].to_vec();
        for row in x.chunks_exact_mut(width) {
            add_scaled(row, 1.0, of_user);
        }
        rectify(&mut x);
        for (weight, bias) in &self.layers[1..] {
            let mut next: Vec<f32> = bias.repeat(out.len());
            add_product(&x, weight.as_slice(), [weight.rows(), weight.cols()], &mut next);
            rectify(&mut next);
            x = next;
        }
        for (score, row) in out.iter_mut().zip(x.chunks_exact(self.output.len())) {
            *score += dot(row, &self.output);
        }
    }
}

fn rectify(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
}

fn host(layer: &Linear) -> Result<(Matrix, Vec<f32>), FitError> {
    Ok((layer.weight.to_matrix()?, layer.bias.to_matrix()?.into_vec()))
}

impl Recommender for NeuMf {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.product_users.rows()
    }

    fn n_items(&self) -> usize {
        self.product_items.rows()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        let rows = out.as_mut_slice().par_chunks_mut(n_items).zip(users);
        rows.for_each(|(row, user)| {
            let user = user.index();
            let mut of_user = vec![0.0; self.mlp_items.cols()];
            if let Some((weight, _)) = self.layers.first() {
                let shape = [weight.rows(), weight.cols()];
                add_product(self.mlp_users.row(user), weight.as_slice(), shape, &mut of_user);
            }
            row.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
                self.score_block(user, &of_user, block * BLOCK, out);
            });
            let mut unused = self.unused.iter().map(|&i| i as usize).peekable();
            let mut lowest = f32::INFINITY;
            for (item, score) in row.iter().enumerate() {
                if unused.next_if_eq(&item).is_none() {
                    lowest = lowest.min(*score);
                }
            }
            let lowest = if lowest.is_finite() { lowest } else { 0.0 };
            self.unused.iter().for_each(|&i| row[i as usize] = lowest);
        });
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        state.put("product_users", self.product_users.clone());
        state.put("product_items", self.product_items.clone());
        state.put("mlp_users", self.mlp_users.clone());
        state.put("mlp_items", self.mlp_items.clone());
        state.put_whole("layers", vec![self.layers.len() as i64]);
        for (l, (weight, bias)) in self.layers.iter().enumerate() {
            put_layer(&mut state, &format!("layer{l}"), weight, bias);
        }
        let output = Matrix::from_vec(1, self.output.len(), self.output.clone());
        state.put("output", output.unwrap_or_default());
        let constant = Matrix::from_vec(1, 1, vec![self.constant]);
        state.put("constant", constant.unwrap_or_default());
        state.put_whole("unused", self.unused.clone());
        state
    }
}
