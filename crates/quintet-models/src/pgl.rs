//! PGL: items are what they are made of, and learn from the principal part of the graph.
//!
//! Yu, Tan, Lu & Bao, "Mind Individual Information! Principal Graph Learning for Multimedia
//! Recommendation", AAAI 2025.
//!
//! ```text
//! b_i = [norm(W_m x_m)]_m             b_u = [P_m]_m; items have no id
//! h = G b_i                           G: FREEDOM's frozen graph, pictures weigh 0.1
//! [u; i'] = mean(b, Ŝ b, …, Ŝ^L b)    i = i' + h
//!   local     Ŝ over a share of the edges, drawn anew every epoch
//!   global    Ŝ = Σ_{r ≤ l} s_r s_{n-l+r} u_r v_rᵀ of S, n = 64, l = 16, without |x| < 1e-3
//! loss = BPR(u, i, j) + reg ½ [InfoNCE(drop u, drop u; τ) + InfoNCE(drop i, drop i; τ)]
//! score = u · i, over the whole S
//! ```
//! New items have no edge in `S`: their vector is `cold_scale · b_i / (L + 1) + h`. The first term
//! of items with edges is a mean of `L + 1` alike layers, so that new items rank low at the
//! published scale of 1; choose it on items of the validation set that were made cold on purpose.
//! Differences: features are not trained; the shipped configuration has `reg = 0`, here it is that
//! of the published runs on Baby; the global subgraph is found in the block of `S` between users
//! and items; a modality that an item lacks is zero in `b_i` and leaves `G`; items that nobody used
//! are nobody's neighbours.
//! Cost: a step `O((nnz · layers + n_items · k) · dim · modalities)` and the projection of all
//! items.

use burn::prelude::*;
use quintet_core::{Interactions, Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, InfoNce, Layer, Layers, Linear, SparseProduct, Weight, info_nce, matrix_to_tensor,
    unit_rows, xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    AttributeView, Content, GraphNet, GraphRecipe, PrincipalShape, Training, Triples, World,
    above_zero, at_least_one, at_least_zero, at_most_one, below_one, bpr, dropout, keep_edges,
    principal_graph, refuse, split,
};

/// Which part of the user–item graph is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subgraph {
    /// Edges drawn anew every epoch, rarer ends first.
    Local,
    /// The leading singular vectors.
    Global,
}

/// Parameters; the defaults are those of the paper's runs on Baby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PglConfig {
    /// Width of the vectors of each modality.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Weight of pictures in the item graph; the others share the rest.
    pub image_weight: f32,
    /// Which part of the graph is trained on.
    pub subgraph: Subgraph,
    /// Local: share of the edges left out in an epoch.
    pub edge_dropout: f32,
    /// Global: singular triplets that values are taken from; even.
    pub rank: usize,
    /// Global: singular triplets whose vectors are taken; even.
    pub leading: usize,
    /// Share of the numbers that each of the two contrasted copies drops.
    pub dropout: f32,
    /// Weight of the contrast.
    pub reg: f32,
    /// What cosines are divided by.
    pub temperature: f32,
    /// What the own content of items without interactions is multiplied by.
    pub cold_scale: f32,
    /// Attributes of items as one more view in the item graph: `weight`, `k`, `only`.
    pub attributes: Option<AttributeView>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for PglConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            k: 10,
            image_weight: 0.1,
            subgraph: Subgraph::Local,
            edge_dropout: 0.7,
            rank: 64,
            leading: 16,
            dropout: 0.2,
            reg: 0.05,
            temperature: 0.2,
            cold_scale: 1.0,
            attributes: None,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for PglConfig {
    const NAME: &'static str = "pgl";
    const SUMMARY: &'static str =
        "items from content alone, trained on a principal subgraph (Yu 2025)";
    const TINY: &'static str =
        r#"{"dim": 8, "k": 5, "edge_dropout": 0.2, "lr": 0.03, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = PglNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 0.96, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn attribute_view(&self) -> Option<&AttributeView> {
        self.attributes.as_ref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "k", self.k)?;
        at_most_one(Self::NAME, "image_weight", self.image_weight)?;
        below_one(Self::NAME, "edge_dropout", self.edge_dropout)?;
        below_one(Self::NAME, "dropout", self.dropout)?;
        at_least_zero(Self::NAME, "reg", self.reg)?;
        at_least_zero(Self::NAME, "cold_scale", self.cold_scale)?;
        above_zero(Self::NAME, "temperature", self.temperature)?;
        // The triplets of the graph come in pairs.
        for (key, value) in [("rank", self.rank), ("leading", self.leading)] {
            if value == 0 || value % 2 != 0 {
                return refuse(Self::NAME, key, "even and at least 2", value);
            }
        }
        if self.leading > self.rank {
            let expected = format!("at most rank, {}", self.rank);
            return refuse(Self::NAME, "leading", &expected, self.leading);
        }
        Ok(())
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<PglNet, FitError> {
        let device = &world.device;
        let mut table = |_| Weight::new(&xavier_uniform(world.n_users(), self.dim, rng), device);
        let users = world.features.iter().map(&mut table).collect();
        let whole = world.user_item();
        // A mean over layers of which all but the first are empty.
        let scales = world.warm.iter().map(|&warm| if warm { 1.0 } else { self.cold_scale });
        let scales = Matrix::from_vec(world.n_items(), 1, scales.collect())?;
        Ok(PglNet {
            users,
            projections: world
                .features
                .iter()
                .map(|f| Linear::new(f.dim(), self.dim, rng, device))
                .collect(),
            contents: world.features.iter().map(Content::of).collect(),
            train: world.train.clone(),
            of_items: world.users_of_items(),
            subgraph: whole.clone(),
            built: false,
            whole,
            alike: world.frozen_graph(self, self.k, self.image_weight)?,
            scales: matrix_to_tensor(&scales, device),
            config: self.clone(),
        })
    }
}

/// The trained form of [`PglConfig`].
#[derive(Clone)]
pub(crate) struct PglNet {
    /// A table a modality, `[n_users, dim]`.
    users: Vec<Weight>,
    projections: Vec<Linear>,
    contents: Vec<Content>,
    train: Interactions,
    /// The block of the graph that maps items to users.
    of_items: SparseProduct,
    whole: SparseProduct,
    /// What is trained on.
    subgraph: SparseProduct,
    /// Whether the global subgraph is there.
    built: bool,
    alike: SparseProduct,
    /// `[n_items, 1]`, one but for new items.
    scales: Tensor<2>,
    config: PglConfig,
}

impl PglNet {
    /// Users, items by the graph of users and items, and what items add from those that look
    /// alike.
    fn over(&self, graph: &SparseProduct) -> [Tensor<2>; 3] {
        // A bias must not reach items without the modality.
        let project = |(layer, of): (&Linear, &Content)| {
            unit_rows(layer.forward(of.rows.clone())) * of.present.clone()
        };
        let own: Vec<_> = self.projections.iter().zip(&self.contents).map(project).collect();
        let own = Tensor::cat(own, 1); // [n_items, modalities · dim]
        let users = Tensor::cat(self.users.iter().map(Weight::tensor).collect(), 1);
        let n_users = users.dims()[0];
        let ego = Tensor::cat(vec![users, own.clone()], 0);
        let (users, items) = split(graph.propagate(ego, self.config.layers, Layers::Mean), n_users);
        [users, items, self.alike.apply(own)]
    }
}

impl GraphNet for PglNet {
    fn begin_epoch(&mut self, epoch: usize, seed: SeedStream) -> Result<(), FitError> {
        let config = &self.config;
        match config.subgraph {
            Subgraph::Local if config.edge_dropout > 0.0 => {
                let edges = keep_edges(&self.train, 1.0 - config.edge_dropout, seed, epoch)?;
                self.subgraph = SparseProduct::user_item(&edges);
            }
            Subgraph::Global if !self.built => {
                let shape = PrincipalShape { rank: config.rank, leading: config.leading };
                let mut rng = seed.rng("principal-subgraph", 0);
                self.subgraph = principal_graph(&self.of_items, shape, &mut rng)?;
                self.built = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let [users, items, alike] = self.over(&self.subgraph);
        let rows = batch.rows(&users, &(items + alike));
        let [u, i, _] = rows.clone();
        let mut loss = bpr(rows);
        if self.config.reg > 0.0 {
            let mut drop = dropout(self.config.dropout, rng);
            let how = InfoNce { temperature: self.config.temperature, symmetric: false };
            let mut apart = |x: Tensor<2>| {
                let (first, second) = (drop.apply(x.clone()), drop.apply(x));
                info_nce(first, second, how, None)
            };
            loss = loss + (apart(u) + apart(i)) * (0.5 * self.config.reg);
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let [users, items, alike] = self.over(&self.whole);
        (users, items * self.scales.clone() + alike)
    }
}

impl Layer for PglNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let tables = self.users.iter().enumerate().map(|(m, w)| (format!("users.{m}"), w));
        let mut all: Vec<_> = tables.collect();
        for (m, layer) in self.projections.iter().enumerate() {
            all.push((format!("projection.{m}.weight"), &layer.weight));
            all.push((format!("projection.{m}.bias"), &layer.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all: Vec<_> = self.users.iter_mut().collect();
        all.extend(self.projections.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parity;
    use quintet_core::{FeatureSet, ModalityFeatures};
    use quintet_tensor::tensor_to_matrix;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        parity::check::<PglConfig>();
    }

    #[test]
    fn the_global_subgraph_is_that_of_singular_triplets_in_pytorch() {
        parity::check_case::<PglConfig>("pgl_global");
    }

    /// `b_i` of one modality has length 1, a new item's share of it `1 / (layers + 1)`.
    #[test]
    fn the_scale_of_new_items_is_that_of_their_own_content() {
        let train = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 1)]).unwrap();
        let rows = Matrix::from_vec(3, 2, vec![1.0, 0.2, -0.3, 1.0, 0.7, -0.4]).unwrap();
        let text = ModalityFeatures::new(Modality::Text, rows, vec![true; 3]).unwrap();
        let mut features = FeatureSet::new(3);
        features.push(text).unwrap();
        let world = World::new("pgl", &train, &features, None, true, &Device::flex()).unwrap();
        let items = |cold_scale| {
            let config = PglConfig { dim: 4, k: 2, cold_scale, ..PglConfig::default() };
            let net = config.net(&world, &mut SeedStream::new(1).rng("pgl", 0)).unwrap();
            tensor_to_matrix(net.vectors().1).unwrap()
        };
        let (one, four) = (items(1.0), items(4.0));
        for (item, expected) in [(0, 0.0), (1, 0.0), (2, 3.0 / 3.0)] {
            let pairs = one.row(item).iter().zip(four.row(item));
            let length = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            assert!((length - expected).abs() < 1e-5, "item {item}: {length}");
        }
    }

    #[test]
    fn odd_numbers_of_triplets_are_refused() {
        for config in [
            PglConfig { rank: 5, ..PglConfig::default() },
            PglConfig { leading: 66, ..PglConfig::default() },
        ] {
            let refused = config.check();
            assert!(matches!(refused, Err(FitError::Config { .. })), "{refused:?}");
        }
    }
}
