//! VBPR as the multimodal benchmarks run it: an id beside one projection of all features.
//!
//! He & McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016,
//! in the form of the benchmark programs.
//!
//! ```text
//! q_i = [e_i ; W [x_1i ; x_2i ; …] + b]     p_u of the same width     score = p_u · q_i
//! loss = BPR(u, i, j) + reg (‖p_u‖_F + ‖q_i‖_F + ‖q_j‖_F) / B
//! ```
//! No biases of items. The penalty is of plain norms over the rows of the batch, not of squares.
//! Differences: features are not trained; an item without any modality has no content at all, not
//! even `b`. `vbpr_paper` is the form of the paper; `vbpr` reads centred and reduced features and
//! fuses modalities.
//! Cost: a step `O(B · Σ d_m · dim)`: only the distinct items of the batch are projected.

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{
    FitError, Layer, Weight, join_columns, pair_margins, row_squares, select_rows, unique_ids,
    xavier_uniform,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Stacked, Training, Triples, World, at_least_zero, bpr_of, norms_of,
};

/// Parameters; the defaults are those of the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VbprBenchmarkConfig {
    /// Width of the id, and of the content.
    pub dim: usize,
    /// Weight of the norms.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for VbprBenchmarkConfig {
    fn default() -> Self {
        Self { dim: 64, reg: 1.0, modalities: None, lr: 1e-3, batch_size: 2048 }
    }
}

impl GraphRecipe for VbprBenchmarkConfig {
    const NAME: &'static str = "vbpr_benchmark";
    const SUMMARY: &'static str = "VBPR as the multimodal benchmarks run it (He & McAuley 2016)";
    const TINY: &'static str = r#"{"dim": 8, "reg": 0.1, "lr": 0.01, "batch_size": 64}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = VbprBenchmarkNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 {
            return crate::graph::refuse(Self::NAME, "dim", "at least 1", self.dim);
        }
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<VbprBenchmarkNet, FitError> {
        let device = &world.device;
        let mut table = |rows, width| Weight::new(&xavier_uniform(rows, width, rng), device);
        Ok(VbprBenchmarkNet {
            users: table(world.n_users(), 2 * self.dim),
            items: table(world.n_items(), self.dim),
            content: Stacked::new(world, self.dim, rng),
            bias: Weight::new(&Matrix::zeros(1, self.dim), device),
            reg: self.reg,
        })
    }
}

/// The trained form of [`VbprBenchmarkConfig`].
#[derive(Clone)]
pub(crate) struct VbprBenchmarkNet {
    users: Weight,
    items: Weight,
    content: Stacked,
    bias: Weight,
    reg: f32,
}

impl VbprBenchmarkNet {
    /// Content is projected once for an item that comes several times.
    fn rows(&self, items: &[u32]) -> Tensor<2> {
        let (distinct, places) = unique_ids(items);
        let any = select_rows(self.content.any(), &distinct);
        let content = self.content.rows(&distinct) + any * self.bias.tensor();
        join_columns(select_rows(self.items.tensor(), items), select_rows(content, &places))
    }
}

impl GraphNet for VbprBenchmarkNet {
    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let u = select_rows(self.users.tensor(), batch.users);
        let items = self.rows(&batch.items());
        let loss = bpr_of(pair_margins(u.clone(), items.clone()));
        if self.reg == 0.0 {
            return loss;
        }
        let norms = norms_of(&row_squares(u), 1, batch.len())
            + norms_of(&row_squares(items), 2, batch.len());
        loss + norms * self.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let content = self.content.all() + self.content.any() * self.bias.tensor();
        (self.users.tensor(), Tensor::cat(vec![self.items.tensor(), content], 1))
    }
}

impl Layer for VbprBenchmarkNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        all.extend(self.content.named("projection"));
        all.push(("bias".to_owned(), &self.bias));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.content.blocks_mut());
        all.push(&mut self.bias);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<VbprBenchmarkConfig>();
    }
}
