//! LATTICE: a graph of items that look alike, part of it learned.
//!
//! Zhang et al., "Mining Latent Structures for Multimedia Recommendation", ACM MM 2021.
//!
//! ```text
//! [u; i'] = mean(E, P E, …, P^L E)       P = D⁻¹ (A + Id), a random walk with loops
//! α = softmax(w)                         f_m = W_m x_m
//! G = (1 - λ) Lap(Σ_m α_m top_k cos(f_m)) + λ Σ_m α_m Lap(top_k cos(x_m))
//! i = i' + norm(Gⁿ E_items)              Lap: each edge over the roots of both row sums
//! loss = BPR(u, i, j) + reg L2half(u, i, j)
//! ```
//! The learned half is made again at the start of each epoch and for the final vectors. The first
//! batch of an epoch has gradients through the cosines that were kept, the sums and `α`, not
//! through the choice of neighbours; the batches after it take the graph as it is.
//!
//! Differences: features are not trained; neighbours of a cosine below zero are dropped; an item
//! without a modality leaves its graph, and the weights of the others grow; items that nobody used
//! are nobody's neighbours.
//! Cost: a step `O(nnz · layers · dim + n_items · k · dim)`; an epoch one search for neighbours,
//! `O(n_items² · dim)` a modality, and one step that holds `[n_items · k, dim]` a modality.

use burn::prelude::*;
use quintet_core::{
    Interactions, ItemIdx, Matrix, Modality, ModalityFeatures, SeedStream, UserIdx,
};
use quintet_tensor::{
    FitError, Layer, Layers, Linear, SparseProduct, SparseRows, Weight, matrix_to_tensor,
    nearest_items, tensor_to_matrix, tensor_to_vec, unit_rows, xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    Edges, GraphNet, GraphRecipe, Nodes, Training, Triples, World, at_least_one, at_least_zero,
    bpr, joined, l2_half, refuse,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatticeConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Products with the item graph.
    pub item_layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Share of the graph of the features as they are; the learned one has the rest.
    pub lambda: f32,
    /// Weight of the squares of the final vectors.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam in the first epoch.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for LatticeConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            item_layers: 1,
            k: 10,
            lambda: 0.9,
            reg: 0.0,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for LatticeConfig {
    const NAME: &'static str = "lattice";
    const SUMMARY: &'static str = "item graph by content, part of it learned (Zhang 2021)";
    const TINY: &'static str = r#"{"dim": 8, "k": 5, "lr": 0.03, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = LatticeNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 0.96, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "k", self.k)?;
        if !(0.0..=1.0).contains(&self.lambda) {
            return refuse(Self::NAME, "lambda", "in [0, 1]", self.lambda);
        }
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<LatticeNet, FitError> {
        let device = &world.device;
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let n = world.features.len();
        let equal = vec![1.0 / n as f32; n];
        let original = world.features.iter().map(|f| world.knn(f, self.k, true));
        let original = original.collect::<Result<Vec<_>, _>>()?;
        let content = world.features.iter().map(|f| Content {
            modality: f.modality,
            rows: f.rows.clone(),
            present: f.present.clone(),
            has: f.has().to_vec(),
            layer: Linear::new(f.dim(), self.dim, rng, device),
        });
        Ok(LatticeNet {
            users,
            items,
            content: content.collect(),
            shares: Weight::new(&Matrix::from_vec(1, n, equal.clone())?, device),
            counts: counts(world)?,
            walk: random_walk(&world.train),
            alike: SparseProduct::new(world.weighted_graph(&original, &equal)),
            original: original.into_iter().map(SparseProduct::new).collect(),
            fresh: None,
            warm: world.warm.clone(),
            config: self.clone(),
        })
    }
}

/// `D⁻¹ (A + Id)` over users, then items.
fn random_walk(train: &Interactions) -> SparseProduct {
    let n_users = train.n_users();
    let by_item = train.transpose();
    let shared = |nodes: Vec<u32>| {
        let share = 1.0 / nodes.len() as f32;
        nodes.into_iter().map(|node| (node, share)).collect::<Vec<_>>()
    };
    let places = |of: &[ItemIdx], from: usize| -> Vec<u32> {
        of.iter().map(|n| (from + n.index()) as u32).collect()
    };
    let users = (0..n_users).map(|u| {
        let items = places(train.items(UserIdx::new(u)), n_users);
        shared([vec![u as u32], items].concat())
    });
    let items = (0..train.n_items()).map(|i| {
        let users = places(by_item.items(UserIdx::new(i)), 0);
        shared([users, vec![(n_users + i) as u32]].concat())
    });
    let n = n_users + train.n_items();
    SparseProduct::new(SparseRows::from_rows(n, users.chain(items)))
}

/// One where a modality counts for an item, `[n_items, modalities]`: where the item has it, and
/// everywhere for an item that has none, whose only neighbour is itself.
fn counts(world: &World) -> Result<Tensor<2>, FitError> {
    let has: Vec<&[bool]> = world.features.iter().map(|f| f.has()).collect();
    let mut counts = Matrix::zeros(world.n_items(), has.len());
    for item in 0..world.n_items() {
        let none = has.iter().all(|h| !h[item]);
        let row = counts.row_mut(item).iter_mut().zip(&has);
        row.for_each(|(count, has)| *count = f32::from(u8::from(none || has[item])));
    }
    Ok(matrix_to_tensor(&counts, &world.device))
}

/// One modality.
#[derive(Clone)]
struct Content {
    modality: Modality,
    /// `[n_items, d_m]`.
    rows: Tensor<2>,
    /// `[n_items, 1]`.
    present: Tensor<2>,
    has: Vec<bool>,
    layer: Linear,
}

/// The learned half of the graph, and how much each modality counts for an item.
#[derive(Clone)]
struct Learned {
    edges: Edges,
    /// `[edges, 1]`.
    weights: Tensor<2>,
    /// `[n_items, modalities]`, rows sum to 1.
    shares: Tensor<2>,
}

/// The trained form of [`LatticeConfig`].
#[derive(Clone)]
pub(crate) struct LatticeNet {
    users: Weight,
    items: Weight,
    content: Vec<Content>,
    /// `[1, modalities]`, before the softmax.
    shares: Weight,
    counts: Tensor<2>,
    walk: SparseProduct,
    /// The graph of each modality's features as they are.
    original: Vec<SparseProduct>,
    /// Both halves as they were at the start of the epoch.
    alike: SparseProduct,
    /// The same with gradients, until the first batch took it.
    fresh: Option<Learned>,
    warm: Vec<bool>,
    config: LatticeConfig,
}

impl LatticeNet {
    fn learn(&self) -> Result<Learned, FitError> {
        let shares = burn::tensor::activation::softmax(self.shares.tensor(), 1);
        let shares = shares * self.counts.clone(); // [n_items, modalities]
        let shares = shares.clone() / shares.sum_dim(1);
        let (mut graphs, mut weights) = (Vec::new(), Vec::new());
        for (m, content) in self.content.iter().enumerate() {
            let rows = content.layer.forward(content.rows.clone()) * content.present.clone();
            let edges = self.neighbours(content, &rows)?;
            let unit = unit_rows(rows);
            let cosines = (edges.starts(unit.clone()) * edges.ends(unit)).sum_dim(1);
            // A loop weighs one, also where there is nothing to take a cosine of.
            let loops = edges.loops(&self.counts.device());
            let cosines = cosines * (loops.clone().neg() + 1.0) + loops;
            weights.push(cosines * edges.starts(shares.clone().narrow(1, m, 1)));
            graphs.push(edges);
        }
        let edges = Edges::chained(&graphs);
        let weights = edges.normalised(Tensor::cat(weights, 0));
        Ok(Learned { edges, weights, shares })
    }

    /// The nearest of each item by projected rows.
    fn neighbours(&self, content: &Content, rows: &Tensor<2>) -> Result<Edges, FitError> {
        let rows = tensor_to_matrix(rows.clone().inner()).map_err(FitError::Device)?;
        let of = ModalityFeatures::new(content.modality, rows, content.has.clone())?;
        let near = nearest_items(&of, self.config.k, true, Some(&self.warm));
        let near = near.into_iter().map(|row| {
            row.into_iter().filter(|(_, cosine)| *cosine > 0.0).map(|(item, _)| item).collect()
        });
        Ok(Edges::new(&near.collect::<Vec<_>>()))
    }

    /// The product with both halves, with gradients.
    fn mixed(&self, learned: &Learned, x: Tensor<2>) -> Tensor<2> {
        let lambda = self.config.lambda;
        let product = learned.edges.product(learned.weights.clone(), x.clone()) * (1.0 - lambda);
        self.original.iter().enumerate().fold(product, |sum, (m, graph)| {
            let share = learned.shares.clone().narrow(1, m, 1);
            sum + graph.apply(x.clone()) * share * lambda
        })
    }

    /// Both halves as numbers.
    fn frozen(&self, learned: &Learned) -> Result<SparseProduct, FitError> {
        let lambda = self.config.lambda;
        let weights = tensor_to_vec(learned.weights.clone().inner()).map_err(FitError::Device)?;
        let shares = tensor_to_matrix(learned.shares.clone().inner()).map_err(FitError::Device)?;
        let rows =
            learned.edges.cells(&weights).into_iter().enumerate().map(|(item, mut cells)| {
                cells.iter_mut().for_each(|cell| cell.1 *= 1.0 - lambda);
                for (graph, share) in self.original.iter().zip(shares.row(item)) {
                    let (columns, values) = graph.matrix().row(item);
                    cells.extend(columns.iter().zip(values).map(|(c, v)| (*c, lambda * share * v)));
                }
                joined(cells, |a, b| a + b)
            });
        Ok(SparseProduct::new(SparseRows::from_rows(self.items.dims()[0], rows)))
    }

    fn nodes(&self, alike: Tensor<2>) -> Nodes {
        let ego = Nodes { users: self.users.tensor(), items: self.items.tensor() };
        let walked = self.walk.propagate(ego.all(), self.config.layers, Layers::Mean);
        let Nodes { users, items } = Nodes::cut(walked, self.users.dims()[0]);
        Nodes { users, items: items + unit_rows(alike) }
    }

    fn through(&self, graph: &SparseProduct) -> Tensor<2> {
        graph.propagate(self.items.tensor(), self.config.item_layers, Layers::Last)
    }
}

impl GraphNet for LatticeNet {
    fn begin_epoch(&mut self, _: usize, _: SeedStream) -> Result<(), FitError> {
        let learned = self.learn()?;
        self.alike = self.frozen(&learned)?;
        self.fresh = Some(learned);
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let alike = match self.fresh.take() {
            Some(learned) => (0..self.config.item_layers)
                .fold(self.items.tensor(), |x, _| self.mixed(&learned, x)),
            None => self.through(&self.alike),
        };
        let nodes = self.nodes(alike);
        let rows = batch.rows(&nodes.users, &nodes.items);
        let size = l2_half(&[&rows[0], &rows[1], &rows[2]], self.config.batch_size);
        bpr(rows) + size * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        // A device that fails here fails again when the vectors are read.
        let alike = self.learn().and_then(|learned| self.frozen(&learned));
        let nodes = self.nodes(self.through(alike.as_ref().unwrap_or(&self.alike)));
        (nodes.users, nodes.items)
    }
}

impl Layer for LatticeNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("items".to_owned(), &self.items),
            ("shares".to_owned(), &self.shares),
        ];
        for (m, content) in self.content.iter().enumerate() {
            all.push((format!("projection.{m}.weight"), &content.layer.weight));
            all.push((format!("projection.{m}.bias"), &content.layer.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items, &mut self.shares];
        all.extend(self.content.iter_mut().flat_map(|c| c.layer.weights_mut()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<LatticeConfig>();
    }

    #[test]
    fn batches_after_the_first_see_the_same_graph_without_gradients() {
        let pairs = (0..40).map(|n| (n / 5, (n * 7 + n / 5) % 12));
        let train = Interactions::from_pairs(8, 12, pairs).unwrap();
        let mut features = quintet_core::FeatureSet::new(12);
        for (modality, dim) in [(Modality::Text, 4), (Modality::Image, 3)] {
            let numbers = (0..12 * dim).map(|n| ((n * 37 + dim) % 29) as f32 / 14.0 - 1.0);
            let rows = Matrix::from_vec(12, dim, numbers.collect()).unwrap();
            let present = (0..12).map(|item| item != dim && item != 7).collect();
            features.push(ModalityFeatures::new(modality, rows, present).unwrap()).unwrap();
        }
        let device = Device::flex().autodiff();
        let recipe = LatticeConfig { dim: 4, k: 4, lambda: 0.4, ..LatticeConfig::default() };
        let world = World::new("lattice", &train, &features, None, true, &device).unwrap();
        let mut rng = SeedStream::new(2).rng("lattice", 0);
        let mut net = recipe.net(&world, &mut rng).unwrap();
        net.begin_epoch(1, SeedStream::new(2)).unwrap();
        let batch = Triples { users: &[0, 1, 5], positives: &[0, 6, 2], negatives: &[3, 7, 11] };
        let mut step = || {
            let loss = net.loss(&batch, &mut rng);
            let value = tensor_to_vec(loss.clone().inner()).unwrap()[0];
            let grads = loss.backward();
            let learned = [&net.shares, &net.content[0].layer.weight];
            (value, learned.map(|weight| weight.tensor().grad(&grads).is_some()))
        };
        let (first, second) = (step(), step());
        assert!((first.0 - second.0).abs() < 1e-6, "{} {}", first.0, second.0);
        assert_eq!((first.1, second.1), ([true; 2], [false; 2]));
    }
}
