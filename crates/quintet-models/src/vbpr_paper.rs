//! VBPR as published: factors, a bias and what the eye sees, each with its own penalty.
//!
//! He & McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016.
//!
//! ```text
//! score = α + β_u + β_i + p_u · e_i + θ_u · (E x_i) + β' · x_i       x_i: raw features
//! loss = BPR(u, i, j) + (r_id (‖p_u‖² + ‖e_i‖² + ‖e_j‖² + β_i² + β_j²) + r_visual ‖θ_u‖²) / B
//!        + r_projection (‖E‖² + ‖β'‖²)
//! ```
//! Differences: `α` and `β_u` add the same to every item of a user: they change no list, have no
//! gradient in BPR, and are left out. Adam over batches instead of a gradient step a triple. Any
//! modalities, their features side by side; `modalities = ["image"]` is the paper's model. An item
//! that nobody used has `e_i = 0` and `β_i = 0`. The weights of the penalties are ours: those of
//! the paper belong to another step size.
//! Cost: a step `O(B · Σ d_m · content_dim)`: only the rows of the batch are projected.

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{FitError, Layer, Weight, select_rows, xavier_uniform};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Stacked, Training, Triples, World, at_least_zero, bpr, refuse,
};

/// Parameters; the widths are those of the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VbprPaperConfig {
    /// Width of the factors.
    pub dim: usize,
    /// Width of the content.
    pub content_dim: usize,
    /// Weight of the squares of factors and biases.
    pub reg_id: f32,
    /// Weight of the squares of what users see in content.
    pub reg_visual: f32,
    /// Weight of the squares of the projection and of the bias of features.
    pub reg_projection: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for VbprPaperConfig {
    fn default() -> Self {
        Self {
            dim: 10,
            content_dim: 10,
            reg_id: 1e-2,
            reg_visual: 1e-2,
            reg_projection: 0.0,
            modalities: None,
            lr: 5e-3,
            batch_size: 1024,
        }
    }
}

impl GraphRecipe for VbprPaperConfig {
    const NAME: &'static str = "vbpr_paper";
    const SUMMARY: &'static str = "VBPR as published, with biases and raw features (He 2016)";
    const TINY: &'static str = r#"{"dim": 8, "content_dim": 8, "lr": 0.01, "batch_size": 64}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = VbprPaperNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 || self.content_dim == 0 {
            let found = format!("{}, {}", self.dim, self.content_dim);
            return refuse(Self::NAME, "dim and content_dim", "at least 1", found);
        }
        at_least_zero(Self::NAME, "reg_id", self.reg_id)?;
        at_least_zero(Self::NAME, "reg_visual", self.reg_visual)?;
        at_least_zero(Self::NAME, "reg_projection", self.reg_projection)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<VbprPaperNet, FitError> {
        let device = &world.device;
        let mut table = |rows, width| Weight::new(&xavier_uniform(rows, width, rng), device);
        Ok(VbprPaperNet {
            users: table(world.n_users(), self.dim),
            seen: table(world.n_users(), self.content_dim),
            items: table(world.n_items(), self.dim),
            bias: Weight::new(&Matrix::zeros(world.n_items(), 1), device),
            content: Stacked::new(world, self.content_dim, rng),
            lean: Stacked::new(world, 1, rng),
            config: self.clone(),
        })
    }
}

/// The trained form of [`VbprPaperConfig`].
#[derive(Clone)]
pub(crate) struct VbprPaperNet {
    users: Weight,
    /// θ.
    seen: Weight,
    items: Weight,
    bias: Weight,
    /// E.
    content: Stacked,
    /// β'.
    lean: Stacked,
    config: VbprPaperConfig,
}

impl VbprPaperNet {
    /// `[p_u ; θ_u ; 1]`.
    fn side(&self, factors: Tensor<2>, seen: Tensor<2>) -> Tensor<2> {
        let one = Tensor::ones([factors.dims()[0], 1], &factors.device());
        Tensor::cat(vec![factors, seen, one], 1)
    }
}

impl GraphNet for VbprPaperNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let p = select_rows(self.users.tensor(), batch.users);
        let seen = select_rows(self.seen.tensor(), batch.users);
        let u = self.side(p.clone(), seen.clone());
        let square = |x: Tensor<2>| x.powi_scalar(2).sum();
        let mut of_ids = square(p);
        let mut rows = |ids: &[u32]| {
            let e = select_rows(self.items.tensor(), ids);
            let bias = select_rows(self.bias.tensor(), ids);
            of_ids = of_ids.clone() + square(e.clone()) + square(bias.clone());
            Tensor::cat(vec![e, self.content.rows(ids), bias + self.lean.rows(ids)], 1)
        };
        let (i, j) = (rows(batch.positives), rows(batch.negatives));
        let config = &self.config;
        let penalty = of_ids * config.reg_id + square(seen) * config.reg_visual;
        let mut loss = bpr([u, i, j]) + penalty / batch.len().max(1) as f32;
        if config.reg_projection > 0.0 {
            for block in self.content.blocks().chain(self.lean.blocks()) {
                loss = loss + square(block) * config.reg_projection;
            }
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let bias = self.bias.tensor() + self.lean.all();
        let items = Tensor::cat(vec![self.items.tensor(), self.content.all(), bias], 1);
        (self.side(self.users.tensor(), self.seen.tensor()), items)
    }
}

impl Layer for VbprPaperNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![
            ("users".to_owned(), &self.users),
            ("users.seen".to_owned(), &self.seen),
            ("items".to_owned(), &self.items),
            ("items.bias".to_owned(), &self.bias),
        ];
        all.extend(self.content.named("projection"));
        all.extend(self.lean.named("lean"));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.seen, &mut self.items, &mut self.bias];
        all.extend(self.content.blocks_mut());
        all.extend(self.lean.blocks_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<VbprPaperConfig>();
    }
}
