//! SLMRec: an encoder of the user–item graph for ids and each modality, taught to agree.
//!
//! Tao, Liu, Xia, Wang, Yang, Huang & Chua, "Self-supervised Learning for Multimedia
//! Recommendation", IEEE Transactions on Multimedia 2022.
//!
//! ```text
//! H_0 = LGN([E_u ; E_i]),   H_m = LGN([E_u ; k_m (W_m x_m + b_m)])       LGN: mean of the layers
//! z_u = [H_0 ; H_1 ; …]_u F_U + f_U      z_i = [H_0 ; H_1 ; …]_i F_I + f_I      score = z_u · z_i
//! view(i) = F_I of the row after `task`:
//!     drop   each number is 0 with probability `drop`, the others grow
//!     mask   the block of one modality, drawn for each item, is 0
//! within = InfoNCE(view'(i), view''(i); τ)         over the distinct positives of the batch
//! across = mean_m InfoNCE(z_i, H_m,i; τ)           over those of them that have m
//! loss = BPR(z_u, z_i, z_j) + ssl (within + across) + reg L2half(E_u, E_i, E_j)
//! ```
//! Differences: BPR is the supervised loss, as in the other models here, where the authors' program
//! has a softmax over the batch; `drop` and `mask` act on the rows of the batch after the graph and
//! before they are fused, which needs no second and third pass over the graph; `across` contrasts
//! the fused row with each modality in place of the paper's fine and coarse spaces, which contrast
//! modalities with each other after further projections; items alone are contrasted.
//! Cost: a step projects every item, `O(n_items · Σ d_m · dim)`, one propagation of width
//! `(modalities + 1) · dim`, and contrasts `O(batch² · dim)`.

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{
    Dropout, FitError, InfoNce, Layer, Layers, Linear, SparseProduct, Weight, info_nce,
    matrix_to_tensor, select_rows, unique_ids, xavier_uniform,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Training, Triples, World, at_least_zero, below_one, bpr, l2_half, refuse,
};

/// How two views of an item are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlmrecTask {
    /// Numbers are dropped.
    #[default]
    Drop,
    /// A modality is hidden.
    Mask,
    /// None are made.
    None,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlmrecConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// How two views of an item are made.
    pub task: SlmrecTask,
    /// Share of the numbers that are dropped.
    pub drop: f32,
    /// τ of the contrasts.
    pub temperature: f32,
    /// Weight of the contrasts.
    pub ssl: f32,
    /// Weight of the squares of ids.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for SlmrecConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 3,
            task: SlmrecTask::Drop,
            drop: 0.1,
            temperature: 0.2,
            ssl: 0.01,
            reg: 1e-4,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for SlmrecConfig {
    const NAME: &'static str = "slmrec";
    const SUMMARY: &'static str = "graph encoders of ids and modalities that agree (Tao 2022)";
    const TINY: &'static str = r#"{"dim": 8, "layers": 2, "lr": 0.02, "batch_size": 128}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = SlmrecNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if self.dim == 0 {
            return refuse(Self::NAME, "dim", "at least 1", self.dim);
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return refuse(Self::NAME, "temperature", "above 0", self.temperature);
        }
        below_one(Self::NAME, "drop", self.drop)?;
        at_least_zero(Self::NAME, "ssl", self.ssl)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<SlmrecNet, FitError> {
        let (dim, device) = (self.dim, &world.device);
        let mut table = |rows| Weight::new(&xavier_uniform(rows, dim, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let channels = world.features.iter().map(|f| Channel {
            projection: Linear::new(f.dim(), dim, rng, device),
            features: f.rows.clone(),
            present: f.present.clone(),
            has: f.has().to_vec(),
        });
        let channels: Vec<Channel> = channels.collect();
        let wide = (channels.len() + 1) * dim;
        Ok(SlmrecNet {
            users,
            items,
            channels,
            fuse_users: Linear::new(wide, dim, rng, device),
            fuse_items: Linear::new(wide, dim, rng, device),
            graph: world.user_item(),
            config: self.clone(),
        })
    }
}

/// A modality.
#[derive(Clone)]
struct Channel {
    projection: Linear,
    /// `[n_items, d_m]`.
    features: Tensor<2>,
    /// `[n_items, 1]`.
    present: Tensor<2>,
    has: Vec<bool>,
}

/// The trained form of [`SlmrecConfig`].
#[derive(Clone)]
pub(crate) struct SlmrecNet {
    users: Weight,
    items: Weight,
    channels: Vec<Channel>,
    fuse_users: Linear,
    fuse_items: Linear,
    graph: SparseProduct,
    config: SlmrecConfig,
}

impl SlmrecNet {
    /// `[H_0 ; H_1 ; …]` of users and items.
    fn encoded(&self) -> [Tensor<2>; 2] {
        let (n_users, n_items) = (self.users.dims()[0], self.items.dims()[0]);
        let users = Tensor::cat(vec![self.users.tensor(); self.channels.len() + 1], 1);
        let content = self.channels.iter().map(|channel| {
            channel.projection.forward(channel.features.clone()) * channel.present.clone()
        });
        let items = std::iter::once(self.items.tensor()).chain(content).collect();
        let ego = Tensor::cat(vec![users, Tensor::cat(items, 1)], 0);
        let nodes = self.graph.propagate(ego, self.config.layers, Layers::Mean);
        [nodes.clone().narrow(0, 0, n_users), nodes.narrow(0, n_users, n_items)]
    }

    /// A view of some items' rows, fused.
    fn view(&self, rows: Tensor<2>, rng: &mut ChaCha8Rng) -> Tensor<2> {
        let changed = match self.config.task {
            SlmrecTask::Drop => {
                let own = ChaCha8Rng::seed_from_u64(rng.random());
                Dropout::new(self.config.drop, own).apply(rows)
            }
            SlmrecTask::Mask => {
                let mask = mask(rows.dims()[0], self.channels.len(), self.config.dim, rng);
                let device = rows.device();
                rows * matrix_to_tensor(&mask, &device)
            }
            SlmrecTask::None => rows,
        };
        self.fuse_items.forward(changed)
    }

    /// `within + across` over the distinct `items`.
    fn contrasts(&self, items: &[u32], encoded: &Tensor<2>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let config = InfoNce { temperature: self.config.temperature, symmetric: false };
        let rows = select_rows(encoded.clone(), items);
        let fused = self.fuse_items.forward(rows.clone());
        let dim = self.config.dim;
        let mut sum = Tensor::zeros([1], &rows.device());
        if self.config.task != SlmrecTask::None {
            let (first, second) = (self.view(rows.clone(), rng), self.view(rows.clone(), rng));
            sum = sum + info_nce(first, second, config, None);
        }
        for (m, channel) in self.channels.iter().enumerate() {
            let places = 0..items.len() as u32;
            let has: Vec<u32> =
                places.filter(|at| channel.has[items[*at as usize] as usize]).collect();
            if has.is_empty() {
                continue;
            }
            let block = rows.clone().narrow(1, (m + 1) * dim, dim);
            let (fused, own) = (select_rows(fused.clone(), &has), select_rows(block, &has));
            sum = sum + info_nce(fused, own, config, None) / self.channels.len() as f32;
        }
        sum
    }
}

/// `[rows, (modalities + 1) · dim]` of ones, with zeros in the block of one modality of each row.
fn mask(rows: usize, modalities: usize, dim: usize, rng: &mut ChaCha8Rng) -> Matrix {
    let mut mask = Matrix::zeros(rows, (modalities + 1) * dim);
    mask.as_mut_slice().fill(1.0);
    for row in 0..rows {
        let hidden = rng.random_range(0..modalities.max(1)) + 1;
        mask.row_mut(row).chunks_exact_mut(dim).skip(hidden).take(1).for_each(|b| b.fill(0.0));
    }
    mask
}

impl GraphNet for SlmrecNet {
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let [users, items] = self.encoded();
        let [u, i, j] = batch.rows(&users, &items);
        let item = |rows| self.fuse_items.forward(rows);
        let mut loss = bpr([self.fuse_users.forward(u), item(i), item(j)]);
        if self.config.ssl > 0.0 {
            let (distinct, _) = unique_ids(batch.positives);
            loss = loss + self.contrasts(&distinct, &items, rng) * self.config.ssl;
        }
        if self.config.reg > 0.0 {
            let [u, i, j] = batch.rows(&self.users.tensor(), &self.items.tensor());
            loss = loss + l2_half(&[&u, &i, &j], self.config.batch_size) * self.config.reg;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let [users, items] = self.encoded();
        (self.fuse_users.forward(users), self.fuse_items.forward(items))
    }
}

impl Layer for SlmrecNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        for (m, channel) in self.channels.iter().enumerate() {
            all.push((format!("projection.{m}.weight"), &channel.projection.weight));
            all.push((format!("projection.{m}.bias"), &channel.projection.bias));
        }
        for (name, layer) in [("users", &self.fuse_users), ("items", &self.fuse_items)] {
            all.push((format!("fuse.{name}.weight"), &layer.weight));
            all.push((format!("fuse.{name}.bias"), &layer.bias));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.channels.iter_mut().flat_map(|c| c.projection.weights_mut()));
        all.extend(self.fuse_users.weights_mut());
        all.extend(self.fuse_items.weights_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<SlmrecConfig>();
    }

    #[test]
    fn a_mask_hides_one_modality_of_each_row_and_never_the_id() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mask = mask(40, 3, 2, &mut rng);
        let mut hidden = [0; 3];
        for row in 0..40 {
            let blocks: Vec<f32> = mask.row(row).chunks(2).map(|b| b[0] + b[1]).collect();
            assert_eq!((blocks[0], blocks.iter().sum::<f32>()), (2.0, 6.0));
            hidden.iter_mut().zip(&blocks[1..]).for_each(|(h, b)| *h += usize::from(*b == 0.0));
        }
        assert!(hidden.iter().all(|h| *h > 0), "{hidden:?}");
    }
}
