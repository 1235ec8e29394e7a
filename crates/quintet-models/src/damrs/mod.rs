//! DA-MRS: item graphs that modalities agree on, and pairs that are trusted by how they agree.
//!
//! Xv, Li, Xie, Lin, Liu, Xia, Kang & Lin, "Improving Multi-modal Recommender Systems by Denoising
//! and Aligning Multi-modal Content and User Feedback", KDD 2024. On LightGCN.
//!
//! ```text
//! G_m   an item and its nearest by x_m, k in all, among those with cos_m' ≥ mean(cos_m') in every
//!       modality m'; every edge 1, over the roots of the row sums at both ends
//! G_s   an item and the 2 that most users used as well, weighed alike
//! h_v = G_v E_items                   for the views v = 1 … M and s
//! [u; i'] = mean(E, S E, …, S^L E)    i = i' + mean_v h_v       score = u · i
//!
//! denoised  p_v = σ(u · norm(h_v[i])), no gradient;  n̄ = mean of p over negatives and views
//!           w⁺ = mean_v p · e^{-2 var_v p};  w⁻ = max_v p - n̄ where mean_v p < n̄, else 0;
//!           both within [0, 1]
//!           -mean [w⁺ ln σ(u·i - u·j) + w⁻ ln σ(u·j - u·i)]
//! nd        for every view, with E = e^{cosine/τ} of the batch's items to all items with users,
//!           -ln(Σ_F E / Σ E) - ln(Σ_N E / (Σ E - Σ_F E)),  F: the 10 largest of the sum of all
//!           views' cosines and this view's once more, N: the 10 largest of this view outside F
//! kl        KL(a‖b) + KL(b‖a) of Bernoulli a = σ(u·norm(i')), b = σ(u·norm(mean_v h_v)),
//!           mean over the batch's users × items
//! loss = denoised + neighbour · nd + align · kl
//! ```
//! The batch's items are its distinct positives; `var` divides by the number of views. As
//! `KL(a‖b) + KL(b‖a) = (a - b)(logit a - logit b)`, no logarithm is taken.
//! Differences: the paper has pictures, texts and `s` as views, here every modality that is read is
//! one; cosines are asked for in the modalities that both items have; items that nobody used are
//! nobody's neighbours, and count neither in the mean of cosines nor in `nd`, which would train
//! their ids; an item without a modality has itself in that graph.
//! Cost: once, all pairs of items a modality; a step `O(nnz · layers · dim)`, and
//! `O((M + 1) · batch items · n_items · dim)` for `nd`, most of the time.

mod graphs;
mod neighbours;

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{
    FitError, Layer, Layers, SparseProduct, Weight, matrix_to_tensor, score_pairs, select_rows,
    sigmoid, softplus, tensor_to_matrix, unique_ids, unit_rows, xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Training, Triples, World, above_zero, at_least_one, at_least_zero, split,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DamrsConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Neighbours of an item by a modality, itself among them.
    pub k: usize,
    /// Neighbours of an item by common users.
    pub behaviour_k: usize,
    /// Items in each of the two sets that a neighbour is told from others by.
    pub positives: usize,
    /// What cosines are divided by.
    pub temperature: f32,
    /// Weight of the neighbour discrimination.
    pub neighbour: f32,
    /// Weight of the alignment of behaviour and content.
    pub align: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for DamrsConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            k: 10,
            behaviour_k: 2,
            positives: 10,
            temperature: 0.2,
            neighbour: 1e-3,
            align: 1.0,
            modalities: None,
            lr: 1e-3,
            batch_size: 4096,
        }
    }
}

impl GraphRecipe for DamrsConfig {
    const NAME: &'static str = "damrs";
    const SUMMARY: &'static str = "LightGCN with denoised item graphs and denoised pairs (Xv 2024)";
    const TINY: &'static str =
        r#"{"dim": 8, "k": 5, "positives": 4, "lr": 0.03, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = DamrsNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "k", self.k)?;
        at_least_one(Self::NAME, "positives", self.positives)?;
        above_zero(Self::NAME, "temperature", self.temperature)?;
        at_least_zero(Self::NAME, "neighbour", self.neighbour)?;
        at_least_zero(Self::NAME, "align", self.align)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<DamrsNet, FitError> {
        let device = &world.device;
        let mut table = |rows| Weight::new(&xavier_uniform(rows, self.dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let mut views = graphs::agreeing(world, self.k)?;
        views.push(graphs::used_together(&world.train, self.behaviour_k));
        Ok(DamrsNet {
            users,
            items,
            graph: world.user_item(),
            views: views.into_iter().map(SparseProduct::new).collect(),
            used: (0..world.n_items() as u32).filter(|&i| world.warm[i as usize]).collect(),
            config: self.clone(),
        })
    }
}

/// The trained form of [`DamrsConfig`].
#[derive(Clone)]
pub(crate) struct DamrsNet {
    users: Weight,
    items: Weight,
    graph: SparseProduct,
    /// A graph a modality, and that of items used together.
    views: Vec<SparseProduct>,
    /// The items that somebody used, ascending.
    used: Vec<u32>,
    config: DamrsConfig,
}

/// The vectors of a step.
struct Vectors {
    users: Tensor<2>,
    /// `i'`, from the user–item graph alone.
    behaviour: Tensor<2>,
    /// `h_v`.
    views: Vec<Tensor<2>>,
    /// The mean of the views.
    content: Tensor<2>,
}

impl DamrsNet {
    fn propagated(&self) -> Vectors {
        let ego = Tensor::cat(vec![self.users.tensor(), self.items.tensor()], 0);
        let nodes = self.graph.propagate(ego, self.config.layers, Layers::Mean);
        let (users, behaviour) = split(nodes, self.users.dims()[0]);
        let views: Vec<_> = self.views.iter().map(|g| g.apply(self.items.tensor())).collect();
        let n = views.len() as f32;
        let sum = views.iter().skip(1).fold(views[0].clone(), |sum, view| sum + view.clone());
        Vectors { users, behaviour, views, content: sum / n }
    }

    /// The mean over the batch's users × items of the symmetric divergence.
    fn alignment(&self, of: &Vectors, users: &[u32], items: &[u32]) -> Tensor<1> {
        let users = select_rows(of.users.clone(), users);
        let logits = |rows: &Tensor<2>| {
            let rows = unit_rows(select_rows(rows.clone(), items));
            users.clone().matmul(rows.transpose()) // [users, items]
        };
        let (a, b) = (logits(&of.behaviour), logits(&of.content));
        ((sigmoid(a.clone()) - sigmoid(b.clone())) * (a - b)).mean()
    }

    /// The neighbour loss as a tensor that has its value and its gradient.
    fn discrimination(&self, of: &Vectors, items: &[u32]) -> Tensor<1> {
        let unit = |view: &Tensor<2>| unit_rows(select_rows(view.clone(), &self.used));
        let units: Vec<Tensor<2>> = of.views.iter().map(unit).collect();
        // Positives have users.
        let places = items.iter().filter_map(|item| self.used.binary_search(item).ok());
        let places: Vec<u32> = places.map(|place| place as u32).collect();
        let host = |x: &Tensor<2>| tensor_to_matrix(x.clone().inner());
        let device = units[0].device();
        let Ok(views) = units.iter().map(host).collect::<Result<Vec<Matrix>, _>>() else {
            // A device that gives no numbers back gives no loss: the step refuses a NaN.
            return Tensor::full([1], f32::NAN, &device);
        };
        let Self { config, .. } = self;
        let (loss, slopes) =
            neighbours::discrimination(&views, &places, config.positives, config.temperature);
        // Linear in the rows, with the slope of the loss and its value.
        let sum = units
            .into_iter()
            .zip(&slopes)
            .map(|(unit, slope)| (unit * matrix_to_tensor(slope, &device)).sum())
            .reduce(|a, b| a + b)
            .unwrap_or_else(|| Tensor::zeros([1], &device));
        sum.clone() - sum.detach() + loss as f32
    }
}

/// `σ(u · norm(h_v))` of each view, `[batch, views]`, without a gradient.
fn trust(users: &Tensor<2>, views: &[Tensor<2>], items: &[u32]) -> Tensor<2> {
    let users = users.clone().detach();
    let one = |view: &Tensor<2>| {
        let rows = unit_rows(select_rows(view.clone().detach(), items));
        sigmoid(score_pairs(users.clone(), rows))
    };
    Tensor::cat(views.iter().map(one).collect(), 1)
}

impl GraphNet for DamrsNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let of = self.propagated();
        let [u, i, j] = batch.rows(&of.users, &(of.behaviour.clone() + of.content.clone()));
        let positive = trust(&u, &of.views, batch.positives);
        let mean = positive.clone().mean_dim(1); // [batch, 1]
        let variance = (positive.clone() - mean.clone()).powi_scalar(2).mean_dim(1);
        let strength = (mean.clone() * (variance * -2.0).exp()).clamp(0.0, 1.0);
        let common = trust(&u, &of.views, batch.negatives).mean().reshape([1, 1]);
        let doubted = mean.lower(common.clone().expand([batch.len(), 1])).float();
        let doubt = (positive.max_dim(1) - common).clamp(0.0, 1.0) * doubted;
        let apart = score_pairs(u.clone(), i) - score_pairs(u, j);
        let mut loss = (softplus(apart.clone().neg()) * strength + softplus(apart) * doubt).mean();

        let (users, _) = unique_ids(batch.users);
        let (items, _) = unique_ids(batch.positives);
        if self.config.neighbour > 0.0 {
            loss = loss + self.discrimination(&of, &items) * self.config.neighbour;
        }
        if self.config.align > 0.0 {
            loss = loss + self.alignment(&of, &users, &items) * self.config.align;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let of = self.propagated();
        (of.users, of.behaviour + of.content)
    }
}

impl Layer for DamrsNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)]
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        vec![&mut self.users, &mut self.items]
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<crate::DamrsConfig>();
    }
}
