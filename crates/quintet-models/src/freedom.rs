//! FREEDOM: a frozen graph of items that look alike, and a user–item graph with edges left out.
//!
//! Zhou & Shen, "A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal
//! Recommendation", ACM MM 2023.
//!
//! ```text
//! G = Σ_m w_m KNN(x_m, k)             every edge 1/k, itself among the k; pictures weigh 0.1
//! [u; i'] = mean(E, Ŝ E, …, Ŝ^L E)    Ŝ over a share of the edges, drawn anew every epoch
//! i = i' + Gⁿ E_items                 score = u · i, over the whole S
//! loss = BPR(u, i, j) + reg Σ_m BPR(u, W_m x_m[i], W_m x_m[j])
//! ```
//! Differences: features are not trained; an item without a modality leaves its graph, and the
//! weights of the others grow; items that nobody used are nobody's neighbours.
//! Cost: a step `O(nnz · layers · dim + n_items · k · dim)`; projections of the batch's rows alone.

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    FitError, ItemGraph, Layer, Layers, Linear, SparseProduct, Weight, pair_margins, select_rows,
    triple_margins, unique_ids, xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    AttributeView, GraphNet, GraphRecipe, Training, Triples, World, at_least_zero, below_one,
    bpr_of, keep_edges, refuse, split,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FreedomConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Products with the item graph.
    pub item_layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Weight of pictures in the item graph; the others share the rest.
    pub image_weight: f32,
    /// Share of the edges left out in an epoch.
    pub edge_dropout: f32,
    /// Weight of the losses of the modalities.
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

impl Default for FreedomConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            item_layers: 1,
            k: 10,
            image_weight: 0.1,
            edge_dropout: 0.8,
            reg: 1e-3,
            attributes: None,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for FreedomConfig {
    const NAME: &'static str = "freedom";
    const SUMMARY: &'static str =
        "frozen item graph by content, denoised user–item graph (Zhou 2023)";
    const TINY: &'static str =
        r#"{"dim": 8, "k": 5, "edge_dropout": 0.2, "lr": 0.03, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = FreedomNet;

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
        if self.dim == 0 || self.k == 0 {
            return refuse(
                Self::NAME,
                "dim and k",
                "at least 1",
                format!("{}, {}", self.dim, self.k),
            );
        }
        if !(0.0..=1.0).contains(&self.image_weight) {
            return refuse(Self::NAME, "image_weight", "in [0, 1]", self.image_weight);
        }
        below_one(Self::NAME, "edge_dropout", self.edge_dropout)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<FreedomNet, FitError> {
        let device = &world.device;
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let whole = world.user_item();
        Ok(FreedomNet {
            users,
            items,
            projections: world
                .features
                .iter()
                .map(|f| Linear::new(f.dim(), self.dim, rng, device))
                .collect(),
            features: world.features.iter().map(|f| f.rows.clone()).collect(),
            train: world.train.clone(),
            sampled: whole.clone(),
            whole,
            alike: world.frozen_graph(self, self.k, self.image_weight)?,
            config: self.clone(),
        })
    }
}

/// The trained form of [`FreedomConfig`].
#[derive(Debug, Clone)]
pub(crate) struct FreedomNet {
    users: Weight,
    items: Weight,
    projections: Vec<Linear>,
    /// `[n_items, d_m]`.
    features: Vec<Tensor<2>>,
    train: quintet_core::Interactions,
    whole: SparseProduct,
    /// The graph of this epoch.
    sampled: SparseProduct,
    alike: SparseProduct,
    config: FreedomConfig,
}

impl FreedomNet {
    /// The final vectors of users, then items.
    fn over(&self, graph: &SparseProduct) -> Tensor<2> {
        let (users, items) = (self.users.tensor(), self.items.tensor());
        let alike = ItemGraph::Walk(&self.alike, self.config.item_layers);
        graph.propagate_tables(users, items, (self.config.layers, Layers::Mean), alike)
    }
}

impl GraphNet for FreedomNet {
    fn begin_epoch(&mut self, epoch: usize, seed: SeedStream) -> Result<(), FitError> {
        if self.config.edge_dropout > 0.0 {
            let share = 1.0 - self.config.edge_dropout;
            let edges = keep_edges(&self.train, share, seed, epoch)?;
            self.sampled = SparseProduct::user_item(&edges);
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let rows = select_rows(self.over(&self.sampled), &batch.nodes(self.users.dims()[0]));
        let mut loss = bpr_of(triple_margins(rows.clone()));
        if self.config.reg > 0.0 {
            let (items, places) = unique_ids(&batch.items());
            for (layer, features) in self.projections.iter().zip(&self.features) {
                let projected = layer.forward(select_rows(features.clone(), &items));
                let margins = pair_margins(rows.clone(), select_rows(projected, &places));
                loss = loss + bpr_of(margins) * self.config.reg;
            }
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        split(self.over(&self.whole), self.users.dims()[0])
    }
}

impl Layer for FreedomNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        for (m, layer) in self.projections.iter().enumerate() {
            all.push((format!("projection.{m}.weight"), &layer.weight));
            all.push((format!("projection.{m}.bias"), &layer.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.projections.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{FeatureSet, Matrix, UserIdx};
    use quintet_tensor::TrainingData;
    use quintet_testkit::{World, fit_all};

    use super::*;
    use crate::parity::context;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<FreedomConfig>();
    }

    /// Items that nobody used and that have no content: what they are like, only attributes tell.
    #[test]
    fn attributes_place_items_without_content() {
        let world = World::new();
        let mut features = FeatureSet::new(world.train.n_items());
        for of in world.features.iter() {
            let mut of = of.clone();
            world.cold.iter().for_each(|item| of.present[item.index()] = false);
            features.push(of).unwrap();
        }
        let data =
            TrainingData::new(&world.train, &features).with_item_attributes(&world.item_attributes);
        let right = |attributes: Option<AttributeView>| {
            let config = FreedomConfig { attributes, lr: 0.03, ..FreedomConfig::default() };
            let params = serde_json::to_value(config).unwrap();
            let fit = (crate::graph::entry::<FreedomConfig>().build)(&params).unwrap();
            let model = fit_all(fit.as_ref(), data, &context(), 30);
            let users: Vec<UserIdx> = world.users().collect();
            let mut scores = Matrix::zeros(users.len(), world.train.n_items());
            model.score(&users, &mut scores).unwrap();
            let loaded = (crate::graph::entry::<FreedomConfig>().load)(&model.state()).unwrap();
            assert_eq!(loaded.state(), model.state());
            let right = users.iter().enumerate().filter(|(nth, user)| {
                let own = world.group_of_user(**user).unwrap();
                let of = |group: usize| scores.row(*nth)[world.cold[group].index()];
                of(own) > of(1 - own)
            });
            right.count()
        };
        let (without, with) = (right(None), right(Some(AttributeView::default())));
        assert!(with >= 38 && without < 30, "{with} and {without} of 40 users");
    }
}
