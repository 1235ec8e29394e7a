//! BM3: the vectors predict each other under dropout; no negatives.
//!
//! Zhou et al., "Bootstrap Latent Representations for Multi-modal Recommendation", WWW 2023.
//!
//! ```text
//! [u; i'] = mean(E, S E, …, S^L E)      i = i' + E_items      h_m = W_m x_m
//! x° = drop(x), without gradient        g: one linear layer for all
//! rec   = C(g(u), i°) + C(g(i), u°)     C(a, b) = 1 - mean cos(a, b)
//! align = Σ_m C(g(h_m), i°)             mask = Σ_m C(g(h_m), h_m°)
//! loss  = rec + cl (align + mask) + reg (‖u_all‖_F + ‖i_all‖_F) / n_items
//! score = g(u) · g(i)
//! ```
//! Differences: features are not trained; biases start at 0; dropout is drawn for the rows of the
//! batch, so an item that is twice in a batch drops other numbers; the terms of a modality are
//! means over the batch's items that have it.
//! Cost: a step `O(nnz · layers · dim)`; projections of the batch's rows alone. The loss says
//! little about ranking: stop by the validation metric.

use burn::prelude::*;
use quintet_core::Modality;
use quintet_tensor::{
    Dropout, FitError, ItemGraph, Layer, Layers, Linear, SparseProduct, Weight, cosine_bootstrap,
    row_squares, select_rows, xavier_uniform,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Training, Triples, World, at_least_one, at_least_zero, below_one, named,
    norms_of, split,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bm3Config {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Share of the numbers of a target that are dropped.
    pub dropout: f32,
    /// Weight of the losses of the modalities.
    pub cl: f32,
    /// Weight of the norms of all vectors.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Pairs a step.
    pub batch_size: usize,
}

impl Default for Bm3Config {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 1,
            dropout: 0.5,
            cl: 2.0,
            reg: 0.1,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for Bm3Config {
    const NAME: &'static str = "bm3";
    const SUMMARY: &'static str = "views that predict each other, no negatives (Zhou 2023)";
    const TINY: &'static str =
        r#"{"dim": 16, "layers": 2, "dropout": 0.3, "lr": 0.03, "batch_size": 256}"#;
    // All that it has for an item that nobody used is the predictor's bias.
    const RANKS_NEW_ITEMS: bool = false;
    type Net = Bm3Net;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        below_one(Self::NAME, "dropout", self.dropout)?;
        at_least_zero(Self::NAME, "cl", self.cl)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<Bm3Net, FitError> {
        let device = &world.device;
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let of = world.features.iter();
        Ok(Bm3Net {
            users,
            items,
            predictor: Linear::new(self.dim, self.dim, rng, device),
            projections: of.map(|f| Linear::new(f.dim(), self.dim, rng, device)).collect(),
            features: world.features.iter().map(|f| f.rows.clone()).collect(),
            has: world.features.iter().map(|f| f.has().to_vec()).collect(),
            graph: world.user_item(),
            config: self.clone(),
        })
    }
}

/// The trained form of [`Bm3Config`].
#[derive(Clone)]
pub(crate) struct Bm3Net {
    users: Weight,
    items: Weight,
    predictor: Linear,
    projections: Vec<Linear>,
    /// `[n_items, d_m]`.
    features: Vec<Tensor<2>>,
    /// Whether an item has the modality.
    has: Vec<Vec<bool>>,
    graph: SparseProduct,
    config: Bm3Config,
}

impl Bm3Net {
    /// Users, then items.
    fn nodes(&self) -> Tensor<2> {
        let (users, items) = (self.users.tensor(), self.items.tensor());
        let how = (self.config.layers, Layers::Mean);
        self.graph.propagate_tables(users, items, how, ItemGraph::Items)
    }

    /// The losses of the modalities; `targets`: the items of the batch without gradient.
    fn content(
        &self,
        batch: &Triples<'_>,
        targets: &Tensor<2>,
        drop: &mut Dropout,
    ) -> Option<Tensor<1>> {
        let mut sum: Option<Tensor<1>> = None;
        for (m, layer) in self.projections.iter().enumerate() {
            let places = 0..batch.len() as u32;
            let places: Vec<u32> =
                places.filter(|&b| self.has[m][batch.positives[b as usize] as usize]).collect();
            if places.is_empty() {
                continue;
            }
            let items: Vec<u32> = places.iter().map(|&b| batch.positives[b as usize]).collect();
            let rows = layer.forward(select_rows(self.features[m].clone(), &items));
            let predicted = self.predictor.forward(rows.clone());
            let align = cosine_bootstrap(predicted.clone(), select_rows(targets.clone(), &places));
            let both = align + cosine_bootstrap(predicted, drop.apply(rows.detach()));
            sum = Some(match sum {
                Some(sum) => sum + both,
                None => both,
            });
        }
        sum
    }
}

impl GraphNet for Bm3Net {
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let mut drop = Dropout::new(self.config.dropout, ChaCha8Rng::from_rng(rng));
        let (n_users, size) = (self.users.dims()[0], batch.len());
        let nodes = self.nodes();
        let positives = batch.positives.iter().map(|i| n_users as u32 + i);
        let both: Vec<u32> = batch.users.iter().copied().chain(positives).collect();
        let both = select_rows(nodes.clone(), &both);
        let targets = drop.apply(both.clone().detach());
        let i_target = targets.clone().narrow(0, size, size);
        // Users predict items and items users; the mean over both is half of the sum.
        let crossed = Tensor::cat(vec![i_target.clone(), targets.narrow(0, 0, size)], 0);
        let mut loss = cosine_bootstrap(self.predictor.forward(both), crossed) * 2.0;
        if self.config.cl > 0.0
            && let Some(content) = self.content(batch, &i_target, &mut drop)
        {
            loss = loss + content * self.config.cl;
        }
        if self.config.reg > 0.0 {
            let n_items = self.items.dims()[0];
            let squares = row_squares(nodes);
            let users = norms_of(&squares.clone().narrow(0, 0, n_users), 1, n_items);
            let items = norms_of(&squares.narrow(0, n_users, n_items), 1, n_items);
            loss = loss + (users + items) * self.config.reg;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let (users, items) = split(self.nodes(), self.users.dims()[0]);
        (self.predictor.forward(users), self.predictor.forward(items))
    }
}

impl Layer for Bm3Net {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("items".to_owned(), &self.items),
            ("predictor.weight".to_owned(), &self.predictor.weight),
            ("predictor.bias".to_owned(), &self.predictor.bias),
        ];
        all.extend(named("projection", &self.projections));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.predictor.weights_mut());
        all.extend(self.projections.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<Bm3Config>();
    }
}
