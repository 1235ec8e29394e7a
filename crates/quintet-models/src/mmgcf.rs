//! MMGCF: LightGCN whose items take in their features after the propagation.
//!
//! "Multimodal Graph Collaborative Filtering for Recommendation with Graph Convolutional
//! Networks", UMAP 2026.
//!
//! ```text
//! [u; i'] = mean(E, Ŝ E, …, Ŝ^L E)    Ŝ over a share of the edges, drawn anew every epoch
//! f_m = W_m x_m                       users never see features
//!   equal        i = fuse(i', fuse(f_1, …, f_M))
//!   alpha        i = fuse(a i', (1-a) f_1, …, (1-a) f_M),  a = σ(w), w free, from 0
//!   normalised   i = fuse(M norm(i'), norm(f_1), …, norm(f_M))
//! fuse = mean | sum | concat: linear([…])
//! loss = BPR(u, i, j) + reg · half the squares of the batch's rows of E, per triple
//! score = u · i, over the whole S
//! ```
//! Differences: the authors give a grid and no one configuration; the defaults here are its middle.
//! A modality that an item lacks counts in neither sum of a mean, and is zero in a concat.
//! Cost: a step `O(nnz · layers · dim)`; projections of the batch's rows alone.

use burn::prelude::*;
use quintet_core::{Interactions, Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Layer, Layers, Linear, SparseProduct, Weight, select_rows, sigmoid, unit_rows,
    xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    Content, GraphNet, GraphRecipe, Training, Triples, World, at_least_one, at_least_zero,
    below_one, bpr, keep_edges, l2_half, split,
};

/// How several vectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fuse {
    /// The mean of what is there.
    Mean,
    /// The sum.
    Sum,
    /// A linear layer over all of them side by side.
    Concat,
}

/// What goes into the fusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// The modalities are fused first, and the result with the propagated vector.
    Equal,
    /// One learned share for the propagated vector, the rest for the modalities.
    Alpha,
    /// Vectors of length 1, the propagated one as often as there are modalities.
    Normalised,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmgcfConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// How several vectors become one.
    pub fuse: Fuse,
    /// What goes into the fusion.
    pub weighting: Weighting,
    /// Share of the edges left out in an epoch.
    pub edge_dropout: f32,
    /// Weight of the squared lengths of the ids.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for MmgcfConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            fuse: Fuse::Mean,
            weighting: Weighting::Equal,
            edge_dropout: 0.5,
            reg: 1e-3,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for MmgcfConfig {
    const NAME: &'static str = "mmgcf";
    const SUMMARY: &'static str = "LightGCN with item features fused in at the end (UMAP 2026)";
    const TINY: &'static str = r#"{"dim": 8, "edge_dropout": 0.2, "lr": 0.03, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = MmgcfNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        below_one(Self::NAME, "edge_dropout", self.edge_dropout)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<MmgcfNet, FitError> {
        let device = &world.device;
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let n = world.features.len();
        let widths = match (self.fuse, self.weighting) {
            (Fuse::Concat, Weighting::Equal) => vec![n, 2],
            (Fuse::Concat, _) => vec![n + 1],
            _ => Vec::new(),
        };
        let whole = world.user_item();
        let mut linear = |d_in| Linear::new(d_in, self.dim, rng, device);
        Ok(MmgcfNet {
            users,
            items,
            projections: world.features.iter().map(|f| linear(f.dim())).collect(),
            joins: widths.into_iter().map(|n| linear(n * self.dim)).collect(),
            share: (self.weighting == Weighting::Alpha)
                .then(|| Weight::new(&Matrix::zeros(1, 1), device)),
            contents: world.features.iter().map(Content::of).collect(),
            train: world.train.clone(),
            sampled: whole.clone(),
            whole,
            config: self.clone(),
        })
    }
}

/// The trained form of [`MmgcfConfig`].
#[derive(Clone)]
pub(crate) struct MmgcfNet {
    users: Weight,
    items: Weight,
    projections: Vec<Linear>,
    /// The linear layers of a concat: one, or two where the modalities are fused first.
    joins: Vec<Linear>,
    /// `w`, `[1, 1]`.
    share: Option<Weight>,
    contents: Vec<Content>,
    train: Interactions,
    whole: SparseProduct,
    /// The graph of this epoch.
    sampled: SparseProduct,
    config: MmgcfConfig,
}

/// Vectors to be fused: rows, and one where the row is there.
type Part = (Tensor<2>, Tensor<2>);

impl MmgcfNet {
    fn propagated(&self, graph: &SparseProduct) -> (Tensor<2>, Tensor<2>) {
        let ego = Tensor::cat(vec![self.users.tensor(), self.items.tensor()], 0);
        let nodes = graph.propagate(ego, self.config.layers, Layers::Mean);
        split(nodes, self.users.dims()[0])
    }

    /// Rows of items from their propagated rows and their content.
    fn fused(&self, own: Tensor<2>, contents: &[Content]) -> Tensor<2> {
        let there = own.ones_like().narrow(1, 0, 1);
        let project = |(layer, of): (&Linear, &Content)| {
            (layer.forward(of.rows.clone()) * of.present.clone(), of.present.clone())
        };
        let parts: Vec<Part> = self.projections.iter().zip(contents).map(project).collect();
        let scaled = |own: Tensor<2>, parts: Vec<Part>| {
            std::iter::once((own, there.clone())).chain(parts).collect::<Vec<_>>()
        };
        match (self.config.weighting, &self.share) {
            (Weighting::Alpha, Some(share)) => {
                let a = sigmoid(share.tensor()); // [1, 1]
                let rest = a.clone().neg() + 1.0;
                let parts = parts.into_iter().map(|(x, p)| (x * rest.clone(), p)).collect();
                self.fuse(scaled(own * a, parts), 0)
            }
            (Weighting::Normalised, _) => {
                let unit = |(x, p): Part| (unit_rows(x) * p.clone(), p);
                let n = parts.len() as f32;
                self.fuse(scaled(unit_rows(own) * n, parts.into_iter().map(unit).collect()), 0)
            }
            _ => {
                let any = parts.iter().map(|part| part.1.clone());
                let any = any.reduce(Tensor::max_pair).unwrap_or_else(|| there.zeros_like());
                let content = self.fuse(parts, 0);
                self.fuse(vec![(own, there), (content * any.clone(), any)], 1)
            }
        }
    }

    fn fuse(&self, parts: Vec<Part>, place: usize) -> Tensor<2> {
        let counts = parts.iter().map(|part| part.1.clone()).reduce(|a, b| a + b);
        let rows: Vec<Tensor<2>> = parts.into_iter().map(|part| part.0).collect();
        if let Some(join) = self.joins.get(place) {
            return join.forward(Tensor::cat(rows, 1));
        }
        // Models of this family read at least one modality.
        let sum = rows.into_iter().reduce(|a, b| a + b);
        let sum = sum.unwrap_or_else(|| unreachable!("a fusion of no vectors"));
        match (self.config.fuse, counts) {
            (Fuse::Mean, Some(counts)) => sum / counts.clamp_min(1.0),
            _ => sum,
        }
    }

    fn rows(&self, items: &Tensor<2>, ids: &[u32]) -> Tensor<2> {
        let contents: Vec<Content> = self.contents.iter().map(|of| of.select(ids)).collect();
        self.fused(select_rows(items.clone(), ids), &contents)
    }
}

impl GraphNet for MmgcfNet {
    fn begin_epoch(&mut self, epoch: usize, seed: SeedStream) -> Result<(), FitError> {
        if self.config.edge_dropout > 0.0 {
            let share = 1.0 - self.config.edge_dropout;
            let edges = keep_edges(&self.train, share, seed, epoch)?;
            self.sampled = SparseProduct::user_item(&edges);
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (users, items) = self.propagated(&self.sampled);
        let u = select_rows(users, batch.users);
        let loss = bpr([u, self.rows(&items, batch.positives), self.rows(&items, batch.negatives)]);
        if self.config.reg == 0.0 {
            return loss;
        }
        let ego = batch.rows(&self.users.tensor(), &self.items.tensor());
        loss + l2_half(&ego.each_ref(), self.config.batch_size) * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let (users, items) = self.propagated(&self.whole);
        (users, self.fused(items, &self.contents))
    }
}

impl Layer for MmgcfNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        let kinds = [("projection", &self.projections), ("join", &self.joins)];
        for (kind, layers) in kinds {
            for (m, layer) in layers.iter().enumerate() {
                all.push((format!("{kind}.{m}.weight"), &layer.weight));
                all.push((format!("{kind}.{m}.bias"), &layer.bias));
            }
        }
        all.extend(self.share.iter().map(|share| ("share".to_owned(), share)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.projections.iter_mut().flat_map(Layer::weights_mut));
        all.extend(self.joins.iter_mut().flat_map(Layer::weights_mut));
        all.extend(self.share.iter_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::MmgcfConfig;
    use crate::graph::parity::check_case;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        for weighting in ["equal", "alpha", "normalised"] {
            for fuse in ["mean", "sum", "concat"] {
                check_case::<MmgcfConfig>(&format!("mmgcf_{weighting}_{fuse}"));
            }
        }
    }
}
