//! GRCN: what users like of a modality is routed out of their items, and edges that do not fit are
//! cut, softly.
//!
//! Wei, Wang, Nie, He & Chua, "Graph-Refined Convolutional Network for Multimedia Recommendation
//! with Implicit Feedback", ACM MM 2020.
//!
//! ```text
//! X_m = norm(leaky(W_m x_m + b_m)) k_m,   P_m = norm(P_m)          prototypes of users
//! T times:  P_m ← norm(P_m + Σ_{i ∈ N(u)} a_ui X_m,i)
//!           a_ui = softmax over the items i of u that have m of P_m,u · X_m,i
//! C_m,u = P_m,u + Σ_i a_ui X_m,i         with the last prototypes
//! C_m,i = X_m,i + Σ_u a_iu P_m,u         a_iu: softmax over the users u of i, of the same products
//! w_ui = relu(max_m t_i,m a^m_ui)         t: how far to trust a modality of the one who speaks
//! w_iu = relu(max_m t_u,m a^m_iu)
//! Z = E + Ŵ E + Ŵ² E + …                  Ŵ: the refined graph, both ways; `layers` products
//! [u ; i] = [Z ; C_1 ; C_2 ; …]           score = u · i
//! loss = BPR(u, i, j) + reg (L2half(E_u, E_i, E_j) + Σ_m L2half(P_m,u))
//! ```
//! Differences: `t` starts at 1, so that the refined graph is the plain maximum at first; an item
//! without a modality leaves its softmax and has no content there; the penalty is that of the
//! batch's rows. `refine = "epoch"` (ours) computes the shares `a` and the weights `w` once an
//! epoch: gradients pass through what is sent along the edges, not through the shares, and `t`
//! stays 1. It is meant for graphs whose edges are too many for the published way; fitted vectors
//! use shares that are computed afresh either way.
//! Cost: a step projects every item, `O(n_items · Σ d_m · dim)`, and holds several numbers
//! `[nnz, dim]` for each modality and round of routing, all of them for the gradient: some 3 GiB
//! for 118,000 edges, two modalities and the defaults. With `refine = "epoch"` a step has products
//! with sparse matrices instead and takes about a third of the time; half of the memory is still
//! needed once an epoch.

mod edges;

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Layer, Linear, SparseProduct, Weight, leaky_relu, select_rows, unit_rows,
    xavier_normal,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Training, Triples, World, at_least_zero, bpr, l2_half, refuse,
};
use edges::{Edges, End};

/// Slope of the leaky rectifier.
const SLOPE: f32 = 0.01;

/// When the graph is refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrcnRefine {
    /// In every step; gradients pass through the weights of edges.
    #[default]
    Step,
    /// Once an epoch; the weights of edges are constants.
    Epoch,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrcnConfig {
    /// Width of the ids, and of the content of each modality.
    pub dim: usize,
    /// Products with the refined graph.
    pub layers: usize,
    /// T: rounds of routing.
    pub routing: usize,
    /// When the graph is refined.
    pub refine: GrcnRefine,
    /// Weight of the squares of ids and prototypes.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for GrcnConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            routing: 3,
            refine: GrcnRefine::Step,
            reg: 1e-3,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for GrcnConfig {
    const NAME: &'static str = "grcn";
    const SUMMARY: &'static str = "user-item graph refined by prototypes of modalities (Wei 2020)";
    const TINY: &'static str = r#"{"dim": 8, "lr": 0.02, "batch_size": 128}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = GrcnNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 {
            return refuse(Self::NAME, "dim", "at least 1", self.dim);
        }
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<GrcnNet, FitError> {
        let (dim, device, n) = (self.dim, &world.device, world.features.len());
        let mut table = |rows| Weight::new(&xavier_normal(rows, dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let trust = |rows| {
            let mut ones = Matrix::zeros(rows, n);
            ones.as_mut_slice().fill(1.0);
            Weight::new(&ones, device)
        };
        let views = world.features.iter().map(|f| View {
            prototypes: Weight::new(&xavier_normal(world.n_users(), dim, rng), device),
            projection: Linear::new(f.dim(), dim, rng, device),
            features: f.rows.clone(),
            present: f.present.clone(),
        });
        Ok(GrcnNet {
            users,
            items,
            user_trust: trust(world.n_users()),
            item_trust: trust(world.n_items()),
            views: views.collect(),
            edges: Edges::new(&world.train),
            constants: None,
            config: self.clone(),
        })
    }
}

/// What a modality knows.
#[derive(Clone)]
struct View {
    prototypes: Weight,
    projection: Linear,
    /// `[n_items, d_m]`.
    features: Tensor<2>,
    /// `[n_items, 1]`.
    present: Tensor<2>,
}

/// Shares of the edges that do not change in an epoch.
#[derive(Clone)]
struct Constants {
    /// Of each modality, in the order in which they are used.
    shares: Vec<Vec<SparseProduct>>,
    /// The refined graph, `[n_users, n_items]` and `[n_items, n_users]`.
    graph: [SparseProduct; 2],
}

/// The trained form of [`GrcnConfig`].
#[derive(Clone)]
pub(crate) struct GrcnNet {
    users: Weight,
    items: Weight,
    /// `[n_users, modalities]`.
    user_trust: Weight,
    /// `[n_items, modalities]`.
    item_trust: Weight,
    views: Vec<View>,
    edges: Edges,
    constants: Option<Constants>,
    config: GrcnConfig,
}

/// What a modality gives: users and items, and the shares of the edges behind them.
struct Routed {
    users: Tensor<2>,
    items: Tensor<2>,
    /// `[nnz, 1]` of each round, the last two those of users and of items; empty where they were
    /// given.
    shares: Vec<Tensor<2>>,
}

impl GrcnNet {
    fn route(&self, view: &View, given: Option<&[SparseProduct]>) -> Routed {
        let content = leaky_relu(view.projection.forward(view.features.clone()), SLOPE);
        let content = unit_rows(content * view.present.clone());
        let mut users = unit_rows(view.prototypes.tensor());
        let has = self.edges.of_items(view.present.clone());
        let mut shares = Vec::new();
        let mut round = 0;
        let mut heard = |end: End, users: &Tensor<2>| {
            let (own, other) = match end {
                End::User => (users, &content),
                End::Item => (&content, users),
            };
            let given = given.and_then(|given| given.get(round));
            round += 1;
            if let Some(product) = given {
                return product.apply(other.clone());
            }
            let share = self.edges.softmax(end, own.clone(), other.clone(), has.clone());
            shares.push(share.clone());
            self.edges.send(end, other.clone(), share)
        };
        for _ in 0..self.config.routing {
            users = unit_rows(users.clone() + heard(End::User, &users));
        }
        let (of_users, of_items) = (heard(End::User, &users), heard(End::Item, &users));
        Routed { users: users + of_users, items: content.clone() + of_items, shares }
    }

    /// The weight of each edge on its way to one end, `[nnz, 1]`.
    fn refined(&self, end: End, shares: &[Tensor<2>]) -> Tensor<2> {
        let trust = match end {
            End::User => self.edges.of_items(self.item_trust.tensor()),
            End::Item => self.edges.of_users(self.user_trust.tensor()),
        };
        let trusted = Tensor::cat(shares.to_vec(), 1) * trust; // [nnz, modalities]
        leaky_relu(trusted.max_dim(1), 0.0)
    }

    /// `Z`, of users and items.
    fn propagated(&self, send: impl Fn(End, Tensor<2>) -> Tensor<2>) -> [Tensor<2>; 2] {
        let (mut users, mut items) = (self.users.tensor(), self.items.tensor());
        let (mut of_users, mut of_items) = (users.clone(), items.clone());
        for _ in 0..self.config.layers {
            (users, items) = (send(End::User, items), send(End::Item, users));
            of_users = of_users + users.clone();
            of_items = of_items + items.clone();
        }
        [of_users, of_items]
    }

    fn over(&self, constants: Option<&Constants>) -> (Tensor<2>, Tensor<2>) {
        let given = |m: usize| constants.map(|c| c.shares[m].as_slice());
        let routed: Vec<Routed> =
            self.views.iter().enumerate().map(|(m, view)| self.route(view, given(m))).collect();
        let [users, items] = match constants {
            Some(Constants { graph: [to_users, to_items], .. }) => {
                self.propagated(|end, other| match end {
                    End::User => to_users.apply(other),
                    End::Item => to_items.apply(other),
                })
            }
            None => {
                let [to_users, to_items] = self.weights_of_edges(&routed);
                self.propagated(|end, other| match end {
                    End::User => self.edges.send(end, other, to_users.clone()),
                    End::Item => self.edges.send(end, other, to_items.clone()),
                })
            }
        };
        let (mut of_users, mut of_items) = (vec![users], vec![items]);
        for view in routed {
            of_users.push(view.users);
            of_items.push(view.items);
        }
        (Tensor::cat(of_users, 1), Tensor::cat(of_items, 1))
    }

    fn weights_of_edges(&self, routed: &[Routed]) -> [Tensor<2>; 2] {
        let last = |back: usize| -> Vec<Tensor<2>> {
            routed.iter().map(|view| view.shares[view.shares.len() - back].clone()).collect()
        };
        [self.refined(End::User, &last(2)), self.refined(End::Item, &last(1))]
    }
}

impl GraphNet for GrcnNet {
    fn begin_epoch(&mut self, _: usize, _: SeedStream) -> Result<(), FitError> {
        if self.config.refine == GrcnRefine::Step {
            return Ok(());
        }
        let routed: Vec<Routed> = self.views.iter().map(|view| self.route(view, None)).collect();
        let [to_users, to_items] = self.weights_of_edges(&routed);
        let graph =
            [self.edges.product(End::User, to_users)?, self.edges.product(End::Item, to_items)?];
        let mut shares = Vec::new();
        for view in routed {
            let last = view.shares.len() - 1;
            let rounds = view.shares.into_iter().enumerate().map(|(round, share)| {
                let end = if round == last { End::Item } else { End::User };
                self.edges.product(end, share)
            });
            shares.push(rounds.collect::<Result<_, _>>()?);
        }
        self.constants = Some(Constants { shares, graph });
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (users, items) = self.over(self.constants.as_ref());
        let loss = bpr(batch.rows(&users, &items));
        if self.config.reg == 0.0 {
            return loss;
        }
        let mut blocks = batch.rows(&self.users.tensor(), &self.items.tensor()).to_vec();
        for view in &self.views {
            blocks.push(select_rows(view.prototypes.tensor(), batch.users));
        }
        let blocks: Vec<&Tensor<2>> = blocks.iter().collect();
        loss + l2_half(&blocks, self.config.batch_size) * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        self.over(None)
    }
}

impl Layer for GrcnNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("items".to_owned(), &self.items),
            ("users.trust".to_owned(), &self.user_trust),
            ("items.trust".to_owned(), &self.item_trust),
        ];
        for (m, view) in self.views.iter().enumerate() {
            all.push((format!("users.prototype.{m}"), &view.prototypes));
            all.push((format!("projection.{m}.weight"), &view.projection.weight));
            all.push((format!("projection.{m}.bias"), &view.projection.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all =
            vec![&mut self.users, &mut self.items, &mut self.user_trust, &mut self.item_trust];
        for view in &mut self.views {
            all.push(&mut view.prototypes);
            all.extend(view.projection.weights_mut());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<GrcnConfig>();
    }

    #[test]
    fn the_same_where_shares_are_constants_of_an_epoch() {
        crate::graph::parity::check_case::<GrcnConfig>("grcn_epoch");
    }
}
