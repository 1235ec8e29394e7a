//! LGMRec: a local view of the graph, and a global one over hyperedges that content chooses.
//!
//! Guo et al., "LGMRec: Local and Global Graph Learning for Multimodal Recommendation", AAAI 2024.
//!
//! ```text
//! C = mean(E, S E, …, S^L E)              F_m = x_m W_m, a user's row the mean over their items
//! M_m = S^n [users; items of F_m]         local = C + Σ_m norm(M_m)
//! H_m = drop(softmax((z_m + noise) / τ))  z_m = x_m V_m for items, R x_m V_m for users
//! repeated: l = H_iᵀ e; e ← H_i l; g_u = H_u l                      from e = C_items
//! global = Σ_m [g_u; e]                   final = local + α norm(global)
//! loss = BPR + reg EmbNorm(final) + cl HCL
//! HCL  = Σ_b -ln softmax over all users of cos(g_m, g_n) / τ, and so for items
//! ```
//! The noise is Gumbel's, in training only; every user and positive of a batch finds its
//! hyperedge vector of one modality among those of another.
//!
//! Differences: the final vectors are made without noise, where the benchmark's draw it and differ
//! at every call; a user's mean runs over the items that have the modality; an item without one
//! belongs to no hyperedge of it and is not contrasted; items that nobody used take from hyperedges
//! and give them nothing.
//! Cost: a step projects all features, `O(n_items · Σ d_m · (dim + hyperedges))`; its graphs take
//! `O(nnz · dim)` a layer of behaviour and of each modality, its contrast `O(batch · (n_users +
//! n_items) · dim)` a pair of modalities.

use burn::prelude::*;
use burn::tensor::{TensorData, activation};
use quintet_core::{Modality, UserIdx};
use quintet_tensor::{
    Dropout, FitError, Layer, Layers, SparseProduct, SparseRows, Weight, contrast_rows,
    select_rows, unit_rows, xavier_uniform,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, Nodes, Training, Triples, World, above_zero, at_least_one,
    at_least_zero, bpr, emb_norm, refuse,
};

/// Parameters; the defaults are those of the paper's configuration for Baby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LgmrecConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products of behaviour with the user–item graph.
    pub layers: usize,
    /// Products of content with the user–item graph.
    pub modality_layers: usize,
    /// Passes through the hyperedges.
    pub hyper_layers: usize,
    /// Number of hyperedges.
    pub hyperedges: usize,
    /// Share of the memberships in hyperedges that are kept in a step.
    pub keep: f32,
    /// Whether the choice of hyperedges is drawn in training (Gumbel noise) or a plain softmax.
    pub gumbel: bool,
    /// Temperature of the choice and of the contrast.
    pub temperature: f32,
    /// How much the global view counts.
    pub alpha: f32,
    /// Weight of the contrast of modalities, which is summed over the batch.
    pub cl: f32,
    /// Weight of the norms of the final vectors.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for LgmrecConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 2,
            modality_layers: 2,
            hyper_layers: 1,
            hyperedges: 4,
            keep: 0.5,
            gumbel: true,
            temperature: 0.2,
            alpha: 0.3,
            cl: 1e-4,
            reg: 1e-6,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for LgmrecConfig {
    const NAME: &'static str = "lgmrec";
    const SUMMARY: &'static str = "local graph and hyperedges that content chooses (Guo 2024)";
    const TINY: &'static str = r#"{"dim": 8, "lr": 0.03, "batch_size": 512}"#;
    // Their local view is empty, and hyperedges alone need not tell them apart.
    const RANKS_NEW_ITEMS: bool = false;
    type Net = LgmrecNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 1.0, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "hyper_layers", self.hyper_layers)?;
        at_least_one(Self::NAME, "hyperedges", self.hyperedges)?;
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return refuse(Self::NAME, "keep", "in (0, 1]", self.keep);
        }
        above_zero(Self::NAME, "temperature", self.temperature)?;
        at_least_zero(Self::NAME, "alpha", self.alpha)?;
        at_least_zero(Self::NAME, "cl", self.cl)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<LgmrecNet, FitError> {
        let device = &world.device;
        let mut uniform = |rows, cols| Weight::new(&xavier_uniform(rows, cols, rng), device);
        let (users, items) =
            (uniform(world.n_users(), self.dim), uniform(world.n_items(), self.dim));
        let content = world.features.iter().map(|f| Content {
            projection: uniform(f.dim(), self.dim),
            choice: uniform(f.dim(), self.hyperedges),
            rows: f.rows.clone(),
            present: f.present.clone(),
            has: f.has().to_vec(),
            mean: items_of_users(world, f.has(), true),
        });
        Ok(LgmrecNet {
            content: content.collect(),
            users,
            items,
            graph: world.user_item(),
            sum: items_of_users(world, &vec![true; world.n_items()], false),
            warm: used(world),
            config: self.clone(),
        })
    }
}

/// The sum, or the mean, over those of a user's items that `has` names, `[n_users, n_items]`.
fn items_of_users(world: &World, has: &[bool], mean: bool) -> SparseProduct {
    let rows = (0..world.n_users()).map(|user| {
        let items = world.train.items(UserIdx::new(user)).iter().filter(|i| has[i.index()]);
        let items: Vec<u32> = items.map(|i| i.0).collect();
        let share = if mean { 1.0 / items.len() as f32 } else { 1.0 };
        items.into_iter().map(|item| (item, share)).collect()
    });
    SparseProduct::new(SparseRows::from_rows(world.n_items(), rows))
}

/// One where somebody used the item, `[n_items, 1]`.
fn used(world: &World) -> Tensor<2> {
    let flags: Vec<f32> = world.warm.iter().map(|&warm| f32::from(u8::from(warm))).collect();
    Tensor::from_data(TensorData::new(flags, [world.n_items(), 1]), &world.device)
}

/// One modality.
#[derive(Clone)]
struct Content {
    /// `[d_m, dim]`.
    projection: Weight,
    /// `[d_m, hyperedges]`.
    choice: Weight,
    /// `[n_items, d_m]`.
    rows: Tensor<2>,
    /// `[n_items, 1]`.
    present: Tensor<2>,
    has: Vec<bool>,
    /// The mean over a user's items that have the modality.
    mean: SparseProduct,
}

/// The trained form of [`LgmrecConfig`].
#[derive(Clone)]
pub(crate) struct LgmrecNet {
    users: Weight,
    items: Weight,
    content: Vec<Content>,
    graph: SparseProduct,
    /// The sum over a user's items.
    sum: SparseProduct,
    /// `[n_items, 1]`.
    warm: Tensor<2>,
    config: LgmrecConfig,
}

/// The views of all nodes.
struct Views {
    behaviour: Nodes,
    /// The content of each modality after the graph.
    local: Vec<Nodes>,
    /// What comes back from the hyperedges of each modality.
    hyper: Vec<Nodes>,
}

impl LgmrecNet {
    /// Without a generator there is neither noise nor dropout.
    fn views(&self, mut rng: Option<&mut ChaCha8Rng>) -> Views {
        let n_users = self.users.dims()[0];
        let ego = Nodes { users: self.users.tensor(), items: self.items.tensor() }.all();
        let behaviour = self.graph.propagate(ego, self.config.layers, Layers::Mean);
        let behaviour = Nodes::cut(behaviour, n_users);
        let (mut local, mut hyper) = (Vec::new(), Vec::new());
        for content in &self.content {
            // Both products in one pass over the features.
            let both = Tensor::cat(vec![content.projection.tensor(), content.choice.tensor()], 1);
            let both = content.rows.clone().matmul(both);
            let items = both.clone().narrow(1, 0, self.config.dim);
            let all = Nodes { users: content.mean.apply(items.clone()), items }.all();
            let all = self.graph.propagate(all, self.config.modality_layers, Layers::Last);
            local.push(Nodes::cut(all, n_users));
            let logits = both.narrow(1, self.config.dim, self.config.hyperedges);
            let members = self.members(logits, content, rng.as_deref_mut());
            hyper.push(self.through_hyperedges(&members, behaviour.items.clone()));
        }
        Views { behaviour, local, hyper }
    }

    /// How much each node belongs to each hyperedge; `logits` of the items.
    fn members(&self, logits: Tensor<2>, content: &Content, rng: Option<&mut ChaCha8Rng>) -> Nodes {
        let logits = Nodes { users: self.sum.apply(logits.clone()), items: logits };
        let Nodes { users, items } = match rng {
            Some(rng) => {
                let mut drop =
                    Dropout::new(1.0 - self.config.keep, ChaCha8Rng::from_rng(&mut *rng));
                let mut chosen = |x| drop.apply(self.chosen(x, Some(&mut *rng)));
                Nodes { users: chosen(logits.users), items: chosen(logits.items) }
            }
            None => Nodes {
                users: self.chosen(logits.users, None),
                items: self.chosen(logits.items, None),
            },
        };
        Nodes { users, items: items * content.present.clone() }
    }

    fn chosen(&self, logits: Tensor<2>, rng: Option<&mut ChaCha8Rng>) -> Tensor<2> {
        let logits = match rng {
            Some(rng) if self.config.gumbel => {
                logits.clone() + gumbel(logits.dims(), rng, &logits.device())
            }
            _ => logits,
        };
        activation::softmax(logits * (1.0 / self.config.temperature), 1)
    }

    fn through_hyperedges(&self, members: &Nodes, mut items: Tensor<2>) -> Nodes {
        let mut users = Tensor::zeros_like(&self.users.tensor());
        let giving = (members.items.clone() * self.warm.clone()).transpose();
        for _ in 0..self.config.hyper_layers {
            let edges = giving.clone().matmul(items); // [hyperedges, dim]
            items = members.items.clone().matmul(edges.clone());
            users = members.users.clone().matmul(edges);
        }
        Nodes { users, items }
    }

    /// The final rows of a batch, or of all.
    fn rows(&self, views: &Views, batch: Option<&Triples<'_>>) -> Tensor<2> {
        let local = views.local.iter().map(|view| unit_rows(view.rows(batch)));
        let local = local.fold(views.behaviour.rows(batch), |sum, view| sum + view);
        let global = views.hyper.iter().map(|view| view.rows(batch)).reduce(|a, b| a + b);
        match global {
            Some(global) => local + unit_rows(global) * self.config.alpha,
            None => local,
        }
    }

    /// The contrasts of every two modalities, summed over users and positives.
    fn contrast(&self, hyper: &[Nodes], batch: &Triples<'_>) -> Option<Tensor<1>> {
        let of = |first: &Tensor<2>, second: &Tensor<2>, own: &[u32]| {
            let first = unit_rows(select_rows(first.clone(), own));
            let mean =
                contrast_rows(first, unit_rows(second.clone()), own, self.config.temperature);
            mean * own.len() as f32
        };
        let mut sums = Vec::new();
        for (m, first) in hyper.iter().enumerate() {
            for (n, second) in hyper[..m].iter().enumerate() {
                sums.push(of(&first.users, &second.users, batch.users));
                let has = |m: usize, item: u32| self.content[m].has[item as usize];
                let positives = batch.positives.iter().copied();
                let both: Vec<u32> = positives.filter(|&i| has(m, i) && has(n, i)).collect();
                if !both.is_empty() {
                    sums.push(of(&first.items, &second.items, &both));
                }
            }
        }
        sums.into_iter().reduce(|a, b| a + b)
    }
}

/// `-ln(-ln u)` of uniform `u`.
fn gumbel([rows, cols]: [usize; 2], rng: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
    /// Numbers of one generator: the draws do not depend on the number of threads.
    const CHUNK: usize = 1 << 14;
    let seed = rng.next_u64();
    let mut noise = vec![0.0f32; rows * cols];
    noise.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, noise)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(chunk as u64));
        for v in noise {
            *v = -(-rng.random::<f32>().max(f32::MIN_POSITIVE).ln()).ln();
        }
    });
    Tensor::from_data(TensorData::new(noise, [rows, cols]), device)
}

impl GraphNet for LgmrecNet {
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let views = self.views(Some(rng));
        let rows = self.rows(&views, Some(batch));
        let part = |which: usize| rows.clone().narrow(0, which * batch.len(), batch.len());
        let parts = [part(0), part(1), part(2)];
        let size = emb_norm(&[&parts[0], &parts[1], &parts[2]], batch.len());
        let mut loss = bpr(parts) + size * self.config.reg;
        if self.config.cl > 0.0
            && let Some(contrast) = self.contrast(&views.hyper, batch)
        {
            loss = loss + contrast * self.config.cl;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let nodes = Nodes::cut(self.rows(&self.views(None), None), self.users.dims()[0]);
        (nodes.users, nodes.items)
    }
}

impl Layer for LgmrecNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        for (m, content) in self.content.iter().enumerate() {
            all.push((format!("projection.{m}"), &content.projection));
            all.push((format!("choice.{m}"), &content.choice));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        let content = self.content.iter_mut();
        all.extend(content.flat_map(|c| [&mut c.projection, &mut c.choice]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_tensor::tensor_to_vec;

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<LgmrecConfig>();
    }

    #[test]
    fn gumbel_noise_has_its_mean_and_does_not_repeat() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let device = Device::flex();
        let draws = tensor_to_vec(gumbel([300, 200], &mut rng, &device)).unwrap();
        let mean = draws.iter().map(|v| f64::from(*v)).sum::<f64>() / draws.len() as f64;
        // Euler's constant; the deviation of one is π / √6, of the mean 0.005.
        assert!((mean - 0.5772).abs() < 0.025, "{mean}");
        assert_ne!(draws, tensor_to_vec(gumbel([300, 200], &mut rng, &device)).unwrap());
    }
}
