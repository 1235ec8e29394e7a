//! What models share whose final vectors are behaviour plus something made of content.

use burn::prelude::*;
use burn::tensor::activation;
use quintet_tensor::{InfoNce, info_nce, select_rows, triple_margins};

use super::{Triples, World, bpr_of, l2_half};

/// A table of users and one of items of the same width.
#[derive(Clone)]
pub(crate) struct Nodes {
    /// `[n_users, dim]`.
    pub(crate) users: Tensor<2>,
    /// `[n_items, dim]`.
    pub(crate) items: Tensor<2>,
}

impl Nodes {
    /// Cuts a table of users, then items.
    pub(crate) fn cut(all: Tensor<2>, n_users: usize) -> Self {
        let n_items = all.dims()[0] - n_users;
        Self { users: all.clone().narrow(0, 0, n_users), items: all.narrow(0, n_users, n_items) }
    }

    /// Which modalities a node has, one column each; users have all.
    pub(crate) fn presence(world: &World) -> Self {
        let items = world.features.iter().map(|f| f.present.clone()).collect();
        let users = Tensor::ones([world.n_users(), world.features.len()], &world.device);
        Self { users, items: Tensor::cat(items, 1) }
    }

    /// Users, then items.
    pub(crate) fn all(&self) -> Tensor<2> {
        Tensor::cat(vec![self.users.clone(), self.items.clone()], 0)
    }

    /// The rows of a batch: users, then positives, then negatives; all rows without one. What is
    /// computed row by row is computed for these alone.
    pub(crate) fn rows(&self, batch: Option<&Triples<'_>>) -> Tensor<2> {
        match batch {
            Some(batch) => Tensor::cat(batch.rows(&self.users, &self.items).to_vec(), 0),
            None => self.all(),
        }
    }
}

/// The rows of a batch out of those of users, then items: users, then positives, then negatives;
/// all rows without one.
pub(crate) fn node_rows(all: Tensor<2>, n_users: usize, batch: Option<&Triples<'_>>) -> Tensor<2> {
    match batch {
        Some(batch) => select_rows(all, &batch.nodes(n_users)),
        None => all,
    }
}

/// Softmax of each row over the columns where `has` is one; over all where it is nowhere.
pub(crate) fn softmax_over(logits: Tensor<2>, has: Tensor<2>) -> Tensor<2> {
    activation::softmax(logits + (has - 1.0) * 1e9, 1)
}

/// `BPR + reg · L2half + weight · (InfoNCE(side, behaviour) over positives and users)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SideLoss {
    /// Weight of the squares of the final rows.
    pub(crate) reg: f32,
    /// Weight of the contrast.
    pub(crate) weight: f32,
    /// Its temperature.
    pub(crate) temperature: f32,
    /// The batch size as configured.
    pub(crate) nominal: usize,
}

impl SideLoss {
    /// Both as [`Nodes::rows`] of the batch gives them; the final rows are their sum.
    pub(crate) fn of(&self, behaviour: &Tensor<2>, side: &Tensor<2>) -> Tensor<1> {
        let n = side.dims()[0] / 3;
        let part = |x: &Tensor<2>, which: usize| x.clone().narrow(0, which * n, n);
        let all = behaviour.clone() + side.clone();
        let mut loss = bpr_of(triple_margins(all.clone()));
        if self.reg > 0.0 {
            loss = loss + l2_half(&[&all], self.nominal) * self.reg;
        }
        if self.weight > 0.0 {
            let config = InfoNce { temperature: self.temperature, symmetric: false };
            let contrast =
                |which| info_nce(part(side, which), part(behaviour, which), config, None);
            loss = loss + (contrast(0) + contrast(1)) * self.weight;
        }
        loss
    }
}
