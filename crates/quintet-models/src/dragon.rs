//! DRAGON: a user and an item side of every modality, and graphs among users and among items.
//!
//! Zhou, Zhou, Zhang & Shen, "Enhancing Dyadic Relations with Homogeneous Graphs for Multimodal
//! Recommendation", ECAI 2023.
//!
//! ```text
//! z_m = W₂ lrelu(W₁ x_m)   X = norm([P_m; z_m])   Y_m = X + S X + … + S^L X
//! item = [Y_m]_m           item += G item               G: FREEDOM's frozen graph
//! user = [w_um Y_m]_m      user += Σ_v softmax(c_uv) user_v   the 40 users with the largest c_uv
//! loss = -mean log₂ σ(u·i - u·j) + reg (Σ_m mean P_m[u]² + mean w²)
//! score = u · i
//! ```
//! `c_uv` is the number of common training items. `w` has one free number a user and modality,
//! which starts from a softmax; its mean runs over all users, that of `P_m` over the batch's. The
//! logarithm is to base 2, so that the first term is 1.4427 times the usual one.
//! Differences: features are not trained; vectors are those of the current weights, not of the
//! last training step; a user with fewer than 40 others in common has as many as there are; a
//! modality that an item lacks is zero and leaves `G`; items that nobody used are nobody's
//! neighbours.
//! Cost: a step encodes all items, `O(n_items · (d_m · 256 + 256 · dim))` a modality, and
//! `O((nnz · layers + n_items · k + n_users · 40) · dim · modalities)`.

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{FitError, Layer, Layers, SparseProduct, Weight, select_rows, xavier_normal};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    AttributeView, Content, EncoderShape, GraphNet, GraphRecipe, ModalityEncoder, Training,
    Triples, World, at_least_one, at_least_zero, at_most_one, bpr, split, weighted_users,
};

/// Parameters; the defaults are those of the paper's configuration for Baby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DragonConfig {
    /// Width of the vectors of each modality.
    pub dim: usize,
    /// Width between the two layers of an encoder.
    pub hidden: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Neighbours of a user.
    pub user_k: usize,
    /// Weight of pictures in the item graph; the others share the rest.
    pub image_weight: f32,
    /// Weight of the squares of user vectors and user weights.
    pub reg: f32,
    /// Attributes of items as one more view in the item graph: `weight`, `k`, `only`.
    pub attributes: Option<AttributeView>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for DragonConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            hidden: 256,
            layers: 2,
            k: 10,
            user_k: 40,
            image_weight: 0.1,
            reg: 1e-3,
            attributes: None,
            modalities: None,
            lr: 1e-4,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for DragonConfig {
    const NAME: &'static str = "dragon";
    const SUMMARY: &'static str =
        "encoded modalities with graphs of users and of items (Zhou 2023)";
    const TINY: &'static str =
        r#"{"dim": 8, "hidden": 16, "k": 5, "user_k": 5, "lr": 0.01, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = DragonNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn attribute_view(&self) -> Option<&AttributeView> {
        self.attributes.as_ref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "hidden", self.hidden)?;
        at_least_one(Self::NAME, "k", self.k)?;
        at_most_one(Self::NAME, "image_weight", self.image_weight)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<DragonNet, FitError> {
        let device = &world.device;
        let mut encoder = |d_in| {
            let (hidden, dim) = (self.hidden, self.dim);
            let n_users = world.n_users();
            ModalityEncoder::new(
                EncoderShape { n_users, d_in, hidden, dim, out_bias: true },
                rng,
                device,
            )
        };
        let encoders: Vec<_> = world.features.iter().map(|f| encoder(f.dim())).collect();
        let shares = start_shares(world.n_users(), encoders.len(), rng);
        Ok(DragonNet {
            encoders,
            shares: Weight::new(&shares, device),
            contents: world.features.iter().map(Content::of).collect(),
            graph: world.user_item(),
            alike: world.frozen_graph(self, self.k, self.image_weight)?,
            in_common: weighted_users(&world.train, self.user_k),
            config: self.clone(),
        })
    }
}

/// A softmax over each user's modalities of Xavier-normal numbers.
pub(crate) fn start_shares(n_users: usize, n_modalities: usize, rng: &mut impl Rng) -> Matrix {
    let mut shares = xavier_normal(n_users, n_modalities, rng);
    for user in 0..n_users {
        let row = shares.row_mut(user);
        row.iter_mut().for_each(|v| *v = v.exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|v| *v /= sum);
    }
    shares
}

/// `[w_1 Y_1, …, w_M Y_M]`; `shares` `[rows, M]`.
pub(crate) fn shared_out(views: &[Tensor<2>], shares: &Tensor<2>) -> Tensor<2> {
    let one = |(m, view): (usize, &Tensor<2>)| view.clone() * shares.clone().narrow(1, m, 1);
    Tensor::cat(views.iter().enumerate().map(one).collect(), 1)
}

/// The penalty of DRAGON and MENTOR: mean squares of the batch's user vectors, modality by
/// modality, and of all shares.
pub(crate) fn share_penalty<'a>(
    tables: impl Iterator<Item = &'a Weight>,
    shares: &Weight,
    users: &[u32],
) -> Tensor<1> {
    let squares = |x: Tensor<2>| x.powi_scalar(2).mean();
    let rows = tables.map(|table| squares(select_rows(table.tensor(), users)));
    rows.fold(squares(shares.tensor()), |sum, part| sum + part)
}

/// The trained form of [`DragonConfig`].
#[derive(Clone)]
pub(crate) struct DragonNet {
    encoders: Vec<ModalityEncoder>,
    /// `w`, `[n_users, modalities]`.
    shares: Weight,
    contents: Vec<Content>,
    graph: SparseProduct,
    alike: SparseProduct,
    /// Users with items in common.
    in_common: SparseProduct,
    config: DragonConfig,
}

impl GraphNet for DragonNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (users, items) = self.vectors();
        let loss = bpr(batch.rows(&users, &items)) * std::f32::consts::LOG2_E;
        if self.config.reg == 0.0 {
            return loss;
        }
        let tables = self.encoders.iter().map(|encoder| &encoder.users);
        loss + share_penalty(tables, &self.shares, batch.users) * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let n_users = self.shares.dims()[0];
        let view = |(encoder, content): (&ModalityEncoder, &Content)| {
            let nodes = encoder.nodes(content);
            split(self.graph.propagate(nodes, self.config.layers, Layers::Sum), n_users)
        };
        let views = self.encoders.iter().zip(&self.contents).map(view);
        let (users, items): (Vec<_>, Vec<_>) = views.unzip();
        let items = Tensor::cat(items, 1);
        let users = shared_out(&users, &self.shares.tensor());
        (users.clone() + self.in_common.apply(users), items.clone() + self.alike.apply(items))
    }
}

impl Layer for DragonNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let encoders = self.encoders.iter().enumerate();
        let mut all: Vec<_> =
            encoders.flat_map(|(m, encoder)| encoder.weights(&m.to_string())).collect();
        all.push(("users.shares".into(), &self.shares));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all: Vec<_> =
            self.encoders.iter_mut().flat_map(ModalityEncoder::weights_mut).collect();
        all.push(&mut self.shares);
        all
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<crate::DragonConfig>();
    }
}
