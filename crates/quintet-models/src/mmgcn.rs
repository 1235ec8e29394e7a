//! MMGCN: a graph network for each modality, the ids of users and items in each layer.
//!
//! Wei, Wang, Nie, He, Hong & Chua, "MMGCN: Multi-modal Graph Convolution Network for Personalized
//! Recommendation of Micro-video", ACM MM 2019.
//!
//! ```text
//! X⁰_m = norm([P_m ; k_m (W_m x_m + b_m)])      users' preferences of a modality, and its features
//! H = leaky(A X^l C_l)                          A: the mean over neighbours
//! X̂ = leaky(X^l V_l + v_l) + E                  E: ids, shared by the modalities
//! X^{l+1} = leaky(H G_l + g_l + X̂)              or leaky([H ; X̂] G_l + g_l)   (`concatenate`)
//! [u ; i] = mean_m X^L_m                        score = u · i
//! loss = BPR(u, i, j) + reg (L2half(E_u, E_i, E_j) + Σ_m L2half(P_m,u))
//! ```
//! `leaky` has slope 0.01; `norm` gives rows of length 1; `k_m` is 1 where an item has the modality
//! and 0 elsewhere.
//!
//! Differences: all modalities have the same width (the paper's programs take wider features for
//! pictures); the mean over modalities, not their sum, which is the same up to a scale; the penalty
//! is that of the batch's rows; an item without a modality enters its graph as a row of zeros, and
//! hears what its users prefer there.
//! Cost: a step projects every item: `O(n_items · Σ d_m · dim)`, and for each modality
//! `O(layers · (nnz · dim + (users + items) · dim²))`.

use burn::prelude::*;
use quintet_core::{Interactions, ItemIdx, Modality, UserIdx};
use quintet_tensor::{
    FitError, Layer, Linear, SparseProduct, SparseRows, Weight, leaky_relu, select_rows, unit_rows,
    xavier_normal,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Training, Triples, World, at_least_zero, bpr, l2_half, refuse,
};

/// Slope of the leaky rectifier.
const SLOPE: f32 = 0.01;

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmgcnConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Layers of the network of a modality.
    pub layers: usize,
    /// Whether what neighbours say stands beside a node's own vector instead of being added.
    pub concatenate: bool,
    /// Weight of the squares of ids and preferences.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for MmgcnConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            concatenate: false,
            reg: 1e-3,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for MmgcnConfig {
    const NAME: &'static str = "mmgcn";
    const SUMMARY: &'static str = "a user-item graph network for each modality (Wei 2019)";
    const TINY: &'static str = r#"{"dim": 8, "lr": 0.02, "batch_size": 128}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = MmgcnNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 || self.layers == 0 {
            let found = format!("{}, {}", self.dim, self.layers);
            return refuse(Self::NAME, "dim and layers", "at least 1", found);
        }
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<MmgcnNet, FitError> {
        let (dim, device) = (self.dim, &world.device);
        let users = Weight::new(&xavier_normal(world.n_users(), dim, rng), device);
        let items = Weight::new(&xavier_normal(world.n_items(), dim, rng), device);
        let wide = if self.concatenate { 2 * dim } else { dim };
        let branches = world.features.iter().map(|f| Branch {
            preferences: Weight::new(&xavier_normal(world.n_users(), dim, rng), device),
            projection: Linear::new(f.dim(), dim, rng, device),
            hops: (0..self.layers)
                .map(|_| Hop {
                    around: Linear::new(dim, dim, rng, device),
                    own: Linear::new(dim, dim, rng, device),
                    merge: Linear::new(wide, dim, rng, device),
                })
                .collect(),
            features: f.rows.clone(),
            present: f.present.clone(),
        });
        Ok(MmgcnNet {
            users,
            items,
            branches: branches.collect(),
            neighbours: SparseProduct::new(means(&world.train)),
            config: self.clone(),
        })
    }
}

/// The mean over the neighbours of users, then items.
fn means(train: &Interactions) -> SparseRows {
    let n_users = train.n_users();
    let by_item = train.transpose();
    let row = |neighbours: &[ItemIdx], from: usize| -> Vec<(u32, f32)> {
        let share = 1.0 / neighbours.len().max(1) as f32;
        neighbours.iter().map(|n| ((from + n.index()) as u32, share)).collect()
    };
    let users = (0..n_users).map(|u| row(train.items(UserIdx::new(u)), n_users));
    let items = (0..train.n_items()).map(|i| row(by_item.items(UserIdx::new(i)), 0));
    SparseRows::from_rows(n_users + train.n_items(), users.chain(items))
}

/// A layer.
#[derive(Clone)]
struct Hop {
    /// C; its bias stays zero and is no weight.
    around: Linear,
    /// V.
    own: Linear,
    /// G.
    merge: Linear,
}

/// The network of a modality.
#[derive(Clone)]
struct Branch {
    preferences: Weight,
    projection: Linear,
    hops: Vec<Hop>,
    /// `[n_items, d_m]`.
    features: Tensor<2>,
    /// `[n_items, 1]`.
    present: Tensor<2>,
}

/// The trained form of [`MmgcnConfig`].
#[derive(Clone)]
pub(crate) struct MmgcnNet {
    users: Weight,
    items: Weight,
    branches: Vec<Branch>,
    neighbours: SparseProduct,
    config: MmgcnConfig,
}

impl MmgcnNet {
    fn branch(&self, branch: &Branch, ids: &Tensor<2>) -> Tensor<2> {
        let content = branch.projection.forward(branch.features.clone()) * branch.present.clone();
        let mut x = unit_rows(Tensor::cat(vec![branch.preferences.tensor(), content], 0));
        for hop in &branch.hops {
            let around = hop.around.forward(self.neighbours.apply(x.clone()));
            let around = leaky_relu(around, SLOPE);
            let own = leaky_relu(hop.own.forward(x), SLOPE) + ids.clone();
            let merged = if self.config.concatenate {
                hop.merge.forward(Tensor::cat(vec![around, own], 1))
            } else {
                hop.merge.forward(around) + own
            };
            x = leaky_relu(merged, SLOPE);
        }
        x
    }
}

impl GraphNet for MmgcnNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (users, items) = self.vectors();
        let loss = bpr(batch.rows(&users, &items));
        if self.config.reg == 0.0 {
            return loss;
        }
        let mut blocks = batch.rows(&self.users.tensor(), &self.items.tensor()).to_vec();
        for branch in &self.branches {
            blocks.push(select_rows(branch.preferences.tensor(), batch.users));
        }
        let blocks: Vec<&Tensor<2>> = blocks.iter().collect();
        loss + l2_half(&blocks, self.config.batch_size) * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let (n_users, n_items) = (self.users.dims()[0], self.items.dims()[0]);
        let ids = Tensor::cat(vec![self.users.tensor(), self.items.tensor()], 0);
        let device = ids.device();
        let mut nodes = Tensor::zeros([n_users + n_items, self.config.dim], &device);
        for branch in &self.branches {
            nodes = nodes + self.branch(branch, &ids);
        }
        let nodes = nodes / self.branches.len().max(1) as f32;
        (nodes.clone().narrow(0, 0, n_users), nodes.narrow(0, n_users, n_items))
    }
}

impl Layer for MmgcnNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        let mut add = |name: String, weight| all.push((name, weight));
        for (m, branch) in self.branches.iter().enumerate() {
            add(format!("users.preference.{m}"), &branch.preferences);
            add(format!("projection.{m}.weight"), &branch.projection.weight);
            add(format!("projection.{m}.bias"), &branch.projection.bias);
            for (l, hop) in branch.hops.iter().enumerate() {
                add(format!("around.{m}.{l}.weight"), &hop.around.weight);
                for (part, layer) in [("own", &hop.own), ("merge", &hop.merge)] {
                    add(format!("{part}.{m}.{l}.weight"), &layer.weight);
                    add(format!("{part}.{m}.{l}.bias"), &layer.bias);
                }
            }
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        for branch in &mut self.branches {
            all.push(&mut branch.preferences);
            all.extend(branch.projection.weights_mut());
            for hop in &mut branch.hops {
                all.push(&mut hop.around.weight);
                all.extend(hop.own.weights_mut());
                all.extend(hop.merge.weights_mut());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<MmgcnConfig>();
    }

    #[test]
    fn the_same_where_layers_stand_side_by_side() {
        crate::graph::parity::check_case::<MmgcnConfig>("mmgcn_concatenated");
    }
}
