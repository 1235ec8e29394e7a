//! MGCN: content gated by behaviour, and what modalities have in common beside what each adds.
//!
//! Yu et al., "Multi-View Graph Convolutional Network for Multimedia Recommendation", ACM MM 2023.
//!
//! ```text
//! e_m = E_items ∘ σ(Gate_m(W_m x_m))       C = mean(E, S E, …, S^L E)
//! items: M_m = KNN_cos(x_m, k)ⁿ e_m        users: M_m = R̂ times those rows
//! a_m = q · tanh(W_a M_m + b_a)            K = Σ_m softmax_m(a) M_m
//! P_m = σ(H_m C) ∘ (M_m - K)               side = mean(K, P_1, …)       final = C + side
//! loss = BPR + reg L2half(final) + cl (InfoNCE(side_i, C_i; τ) + InfoNCE(side_u, C_u; τ))
//! ```
//! Differences: features are not trained; layers start Xavier-normal with biases 0; an item
//! without a modality leaves its view, and the softmax and the mean run over what is there; items
//! that nobody used are nobody's neighbours.
//! Cost: a step projects all features, `O(n_items · Σ d_m · dim)`, and `O((nnz · (layers + M) +
//! M · n_items · k) · dim)` for graphs; what follows them is computed for the batch's rows alone.

use burn::prelude::*;
use quintet_core::Modality;
use quintet_tensor::{
    FitError, ItemGraph, Layer, Layers, Linear, SparseProduct, Weight, sigmoid, tanh,
    xavier_normal, xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Nodes, SideLoss, Training, Triples, World, above_zero, at_least_one,
    at_least_zero, named, node_rows, softmax_over,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MgcnConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Products with the item graphs.
    pub item_layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Weight of the contrast of content and behaviour.
    pub cl: f32,
    /// Temperature of the contrast.
    pub temperature: f32,
    /// Weight of the squares of the final vectors.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam in the first epoch.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for MgcnConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            item_layers: 1,
            k: 10,
            cl: 1e-3,
            temperature: 0.2,
            reg: 1e-4,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for MgcnConfig {
    const NAME: &'static str = "mgcn";
    const SUMMARY: &'static str = "views gated by behaviour, common and specific parts (Yu 2023)";
    const TINY: &'static str = r#"{"dim": 8, "k": 5, "lr": 0.03, "batch_size": 512}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = MgcnNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 0.96, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "k", self.k)?;
        at_least_zero(Self::NAME, "cl", self.cl)?;
        above_zero(Self::NAME, "temperature", self.temperature)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<MgcnNet, FitError> {
        let (d, device) = (self.dim, &world.device);
        let mut table = |rows| Weight::new(&xavier_uniform(rows, d, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let projections = world.features.iter().map(|f| Linear::new(f.dim(), d, rng, device));
        let projections = projections.collect();
        let mut each = || world.features.iter().map(|_| Linear::new(d, d, rng, device)).collect();
        let (gates, preferences) = (each(), each());
        Ok(MgcnNet {
            users,
            items,
            projections,
            gates,
            preferences,
            attention: Linear::new(d, d, rng, device),
            query: Weight::new(&xavier_normal(d, 1, rng), device),
            features: world.features.iter().map(|f| (f.rows.clone(), f.present.clone())).collect(),
            alike: world
                .features
                .iter()
                .map(|f| Ok(SparseProduct::new(world.knn(f, self.k, true)?)))
                .collect::<Result<_, FitError>>()?,
            presence: Nodes::presence(world),
            graph: world.user_item(),
            users_of_items: world.users_of_items(),
            config: self.clone(),
        })
    }
}

/// The trained form of [`MgcnConfig`].
#[derive(Clone)]
pub(crate) struct MgcnNet {
    users: Weight,
    items: Weight,
    projections: Vec<Linear>,
    gates: Vec<Linear>,
    /// From behaviour to how much of what a modality adds is wanted.
    preferences: Vec<Linear>,
    attention: Linear,
    /// `[dim, 1]`.
    query: Weight,
    /// `[n_items, d_m]` and `[n_items, 1]`.
    features: Vec<(Tensor<2>, Tensor<2>)>,
    alike: Vec<SparseProduct>,
    presence: Nodes,
    graph: SparseProduct,
    users_of_items: SparseProduct,
    config: MgcnConfig,
}

impl MgcnNet {
    fn view(&self, m: usize) -> Nodes {
        let (rows, present) = &self.features[m];
        let projected = self.projections[m].forward(rows.clone()) * present.clone();
        let gate = sigmoid(self.gates[m].forward(projected));
        let gated = self.items.tensor() * gate * present.clone();
        let items = self.alike[m].propagate(gated, self.config.item_layers, Layers::Last);
        Nodes { users: self.users_of_items.apply(items.clone()), items }
    }

    /// Behaviour and side, `[rows, dim]` each.
    fn over(&self, batch: Option<&Triples<'_>>) -> (Tensor<2>, Tensor<2>) {
        let (users, items) = (self.users.tensor(), self.items.tensor());
        let how = (self.config.layers, Layers::Mean);
        let behaviour = self.graph.propagate_tables(users, items, how, ItemGraph::None);
        let behaviour = node_rows(behaviour, self.users.dims()[0], batch);
        let views = (0..self.features.len()).map(|m| self.view(m).rows(batch)).collect();
        let side = self.side(&behaviour, views, self.presence.rows(batch));
        (behaviour, side)
    }

    /// Row by row; `has`: `[rows, modalities]`.
    fn side(&self, behaviour: &Tensor<2>, views: Vec<Tensor<2>>, has: Tensor<2>) -> Tensor<2> {
        let query = self.query.tensor();
        let logits = |v: &Tensor<2>| tanh(self.attention.forward(v.clone())).matmul(query.clone());
        let logits = Tensor::cat(views.iter().map(logits).collect(), 1);
        let shares = softmax_over(logits, has.clone()); // [rows, modalities]
        let mut common = Tensor::zeros_like(behaviour);
        for (m, view) in views.iter().enumerate() {
            common = common + view.clone() * shares.clone().narrow(1, m, 1);
        }
        let mut sum = common.clone();
        for (m, view) in views.into_iter().enumerate() {
            let wanted = sigmoid(self.preferences[m].forward(behaviour.clone()));
            sum = sum + wanted * (view - common.clone()) * has.clone().narrow(1, m, 1);
        }
        sum / (has.sum_dim(1) + 1.0)
    }
}

impl GraphNet for MgcnNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (behaviour, side) = self.over(Some(batch));
        let MgcnConfig { reg, cl, temperature, batch_size, .. } = self.config;
        let loss = SideLoss { reg, weight: cl, temperature, nominal: batch_size };
        loss.of(&behaviour, &side)
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let (behaviour, side) = self.over(None);
        let nodes = Nodes::cut(behaviour + side, self.users.dims()[0]);
        (nodes.users, nodes.items)
    }
}

impl Layer for MgcnNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("items".to_owned(), &self.items),
            ("attention.weight".to_owned(), &self.attention.weight),
            ("attention.bias".to_owned(), &self.attention.bias),
            ("query".to_owned(), &self.query),
        ];
        all.extend(named("projection", &self.projections));
        all.extend(named("gate", &self.gates));
        all.extend(named("preference", &self.preferences));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.attention.weights_mut());
        all.push(&mut self.query);
        let layers = [&mut self.projections, &mut self.gates, &mut self.preferences];
        all.extend(layers.into_iter().flatten().flat_map(Layer::weights_mut));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<MgcnConfig>();
    }
}
