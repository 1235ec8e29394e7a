//! MENTOR: DRAGON's encoders held together by alignment, masking and noise.
//!
//! Xu, Chen, Yang, Li, Wang & Ngai, "MENTOR: Multi-level Self-supervised Learning for Multimodal
//! Recommendation", AAAI 2025.
//!
//! ```text
//! z = W₂ lrelu(W₁ x)   X = norm([P; z])   Y = X + S X + … + S^L X
//!   for every modality m, for a free table of item ids, and twice more for every modality with
//!   noise: after each product, h += 0.1 sign(h) ∘ norm(uniform noise)
//! items of every view += G items
//! r = [Y_m]_m, its users times w_um    g = Y of the ids    n, n' = [Y_m]_m of the noisy views
//! loss = -mean log₂ σ(u·i - u·j) + reg (Σ_m mean P_m[u]² + mean w²)
//!      + align  Σ_{a, b of r, g, Y_1 … Y_M} |var a - var b| + |mean a - mean b|
//!      + mask_f (C(drop(u), MLP(u)) + C(drop(i), MLP(i)))
//!      + mask_g (InfoNCE(n_users, n'_users; τ) + InfoNCE(n_items, n'_items; τ))
//! score = u · i, rows of r
//! ```
//! `var` and `mean` are single numbers over a table of users and items, `C` is `1 - mean cos` over
//! all users or items, and InfoNCE contrasts all users with all users, all items with all items.
//! The logarithm is to base 2. The published `g` and modality views are each twice side by side,
//! `[Y, Y]`, which changes neither mean nor variance.
//! Differences: features are not trained; vectors are those of the current weights, not of the
//! last training step. The authors' software computes both sides of `mask_f` without a gradient, so
//! that it trains nothing there; here it trains, with a linear layer as MLP, at the published
//! weight: `mask_f = 0` gives what that software trains. A modality that an item lacks is zero and
//! leaves `G`; items that nobody used are nobody's neighbours, and are contrasted like others.
//! Cost: a step encodes all items `3 M + 1` times, and `mask_g` takes `O((n_users² + n_items²) ·
//! dim · M)`: most of the time; memory for 64 rows of it a thread.

use burn::prelude::*;
use quintet_core::{Matrix, Modality};
use quintet_tensor::{
    FitError, Layer, Layers, Linear, SparseProduct, Weight, contrast_rows, matrix_to_tensor,
    unit_rows, xavier_normal,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dragon::{share_penalty, shared_out, start_shares};
use crate::graph::{
    AttributeView, Content, EncoderShape, GraphNet, GraphRecipe, ModalityEncoder, Training,
    Triples, World, above_zero, at_least_one, at_least_zero, at_most_one, below_one, bpr,
    cosine_distance, default_linear, dropout, split,
};

/// Parameters; the defaults are those of the paper's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MentorConfig {
    /// Width of the vectors of each modality.
    pub dim: usize,
    /// Width between the two layers of an encoder.
    pub hidden: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Weight of pictures in the item graph; the others share the rest.
    pub image_weight: f32,
    /// Weight of the squares of user vectors and user weights.
    pub reg: f32,
    /// Weight of the differences of means and variances.
    pub align: f32,
    /// Weight of the masked vectors.
    pub mask_f: f32,
    /// Share of the numbers that are masked.
    pub dropout: f32,
    /// Weight of the contrast of the noisy views; they are left out at 0.
    pub mask_g: f32,
    /// What cosines are divided by.
    pub temperature: f32,
    /// Length of the noise after each product.
    pub noise: f32,
    /// Attributes of items as one more view in the item graph: `weight`, `k`, `only`.
    pub attributes: Option<AttributeView>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for MentorConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            hidden: 256,
            layers: 2,
            k: 10,
            image_weight: 0.1,
            reg: 1e-3,
            align: 0.1,
            mask_f: 1.5,
            dropout: 0.5,
            mask_g: 1e-4,
            temperature: 0.2,
            noise: 0.1,
            attributes: None,
            modalities: None,
            lr: 1e-4,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for MentorConfig {
    const NAME: &'static str = "mentor";
    const SUMMARY: &'static str =
        "encoded modalities with alignment, masking and noisy contrast (Xu 2025)";
    const TINY: &'static str = r#"{"dim": 8, "hidden": 16, "k": 5, "lr": 0.01, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = MentorNet;

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
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "hidden", self.hidden)?;
        at_least_one(Self::NAME, "k", self.k)?;
        at_most_one(Self::NAME, "image_weight", self.image_weight)?;
        below_one(Self::NAME, "dropout", self.dropout)?;
        above_zero(Self::NAME, "temperature", self.temperature)?;
        let weights = [
            ("reg", self.reg),
            ("align", self.align),
            ("mask_f", self.mask_f),
            ("mask_g", self.mask_g),
            ("noise", self.noise),
        ];
        weights.into_iter().try_for_each(|(key, value)| at_least_zero(Self::NAME, key, value))
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<MentorNet, FitError> {
        let device = &world.device;
        let (n_users, hidden, dim) = (world.n_users(), self.hidden, self.dim);
        let encoder = |d_in, rng: &mut ChaCha8Rng| {
            let shape = EncoderShape { n_users, d_in, hidden, dim, out_bias: true };
            ModalityEncoder::new(shape, rng, device)
        };
        let mut all = || world.features.iter().map(|f| encoder(f.dim(), rng)).collect::<Vec<_>>();
        let (plain, noisy) = (all(), [all(), all()]);
        let width = dim * plain.len();
        Ok(MentorNet {
            shares: Weight::new(&start_shares(n_users, plain.len(), rng), device),
            plain,
            noisy,
            of_ids: encoder(dim, rng),
            items: Weight::new(&xavier_normal(world.n_items(), dim, rng), device),
            predictor: default_linear(width, width, rng, device),
            contents: world.features.iter().map(Content::of).collect(),
            graph: world.user_item(),
            alike: world.frozen_graph(self, self.k, self.image_weight)?,
            config: self.clone(),
        })
    }
}

/// The trained form of [`MentorConfig`].
#[derive(Clone)]
pub(crate) struct MentorNet {
    /// An encoder a modality.
    plain: Vec<ModalityEncoder>,
    noisy: [Vec<ModalityEncoder>; 2],
    of_ids: ModalityEncoder,
    /// `[n_items, dim]`.
    items: Weight,
    /// `w`, `[n_users, modalities]`.
    shares: Weight,
    /// The MLP of `mask_f`.
    predictor: Linear,
    contents: Vec<Content>,
    graph: SparseProduct,
    alike: SparseProduct,
    config: MentorConfig,
}

/// Rows of users and of items.
type Sides = (Tensor<2>, Tensor<2>);

impl MentorNet {
    /// `Y`, split, before the item graph.
    fn view(&self, encoder: &ModalityEncoder, content: &Content) -> Sides {
        let nodes = encoder.nodes(content);
        split(self.graph.propagate(nodes, self.config.layers, Layers::Sum), self.shares.dims()[0])
    }

    /// `items + G items`.
    fn with_alike(&self, items: Tensor<2>) -> Tensor<2> {
        items.clone() + self.alike.apply(items)
    }

    /// The view of each modality, with the item graph.
    fn views(&self) -> Vec<Sides> {
        let view = |(encoder, content)| {
            let (users, items) = self.view(encoder, content);
            (users, self.with_alike(items))
        };
        self.plain.iter().zip(&self.contents).map(view).collect()
    }

    /// `r`.
    fn scored(&self, views: &[Sides]) -> Sides {
        let users: Vec<_> = views.iter().map(|view| view.0.clone()).collect();
        let items = views.iter().map(|view| view.1.clone()).collect();
        (shared_out(&users, &self.shares.tensor()), Tensor::cat(items, 1))
    }

    fn noisy_view(&self, encoders: &[ModalityEncoder], rng: &mut ChaCha8Rng) -> Sides {
        let nodes = encoders.iter().zip(&self.contents).map(|(encoder, content)| {
            let mut now = encoder.nodes(content);
            let mut sum = now.clone();
            for _ in 0..self.config.layers {
                now = self.graph.apply(now);
                if self.config.noise > 0.0 {
                    let noise = directions(now.dims(), rng, &now.device());
                    let sign = now.clone().detach().sign();
                    now = now + sign * noise * self.config.noise;
                }
                sum = sum + now.clone();
            }
            sum
        });
        let nodes = Tensor::cat(nodes.collect(), 1);
        let (users, items) = split(nodes, self.shares.dims()[0]);
        (users, self.with_alike(items))
    }

    /// `Σ |var a - var b| + |mean a - mean b|` over all pairs of views.
    fn alignment(&self, scored: &Sides, views: &[Sides]) -> Tensor<1> {
        let (users, items) = self.view(&self.of_ids, &Content::of_all(self.items.tensor()));
        let of_ids = (users, self.with_alike(items));
        let moments: Vec<_> =
            [scored, &of_ids].into_iter().chain(views).map(|(u, i)| moments(u, i)).collect();
        let mut sum = moments[0].0.zeros_like();
        for (place, a) in moments.iter().enumerate() {
            for b in &moments[..place] {
                let apart = |a: &Tensor<1>, b: &Tensor<1>| (a.clone() - b.clone()).abs();
                sum = sum + apart(&a.0, &b.0) + apart(&a.1, &b.1);
            }
        }
        sum
    }

    fn masked(&self, (users, items): &Sides, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let mut drop = dropout(self.config.dropout, rng);
        let mut apart = |x: &Tensor<2>| {
            cosine_distance(drop.apply(x.clone()), self.predictor.forward(x.clone()))
        };
        apart(users) + apart(items)
    }

    fn contrast(&self, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let [a, b] = self.noisy.each_ref().map(|encoders| self.noisy_view(encoders, rng));
        let apart = |a: Tensor<2>, b: Tensor<2>| {
            let own: Vec<u32> = (0..a.dims()[0] as u32).collect();
            contrast_rows(unit_rows(a), unit_rows(b), &own, self.config.temperature)
        };
        apart(a.0, b.0) + apart(a.1, b.1)
    }
}

/// The mean and the variance of all numbers of both tables.
fn moments(users: &Tensor<2>, items: &Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let n =
        (users.dims().iter().product::<usize>() + items.dims().iter().product::<usize>()) as f32;
    let mean = (users.clone().sum() + items.clone().sum()) / n;
    let squares = |x: &Tensor<2>| (x.clone() - mean.clone().reshape([1, 1])).powi_scalar(2).sum();
    let variance = (squares(users) + squares(items)) / n;
    (mean, variance)
}

/// Rows of length 1 of numbers uniform in `[0, 1)`.
fn directions([rows, dim]: [usize; 2], rng: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
    let mut noise = Matrix::zeros(rows, dim);
    noise.as_mut_slice().iter_mut().for_each(|v| *v = rng.random());
    unit_rows(matrix_to_tensor(&noise, device))
}

impl GraphNet for MentorNet {
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let config = &self.config;
        let views = self.views();
        let scored = self.scored(&views);
        let mut loss = bpr(batch.rows(&scored.0, &scored.1)) * std::f32::consts::LOG2_E;
        if config.reg > 0.0 {
            let tables = self.plain.iter().map(|encoder| &encoder.users);
            loss = loss + share_penalty(tables, &self.shares, batch.users) * config.reg;
        }
        if config.align > 0.0 {
            loss = loss + self.alignment(&scored, &views) * config.align;
        }
        if config.mask_f > 0.0 {
            loss = loss + self.masked(&scored, rng) * config.mask_f;
        }
        if config.mask_g > 0.0 {
            loss = loss + self.contrast(rng) * config.mask_g;
        }
        loss
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        self.scored(&self.views())
    }
}

impl Layer for MentorNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        let kinds = [("", &self.plain), ("noisy.0.", &self.noisy[0]), ("noisy.1.", &self.noisy[1])];
        for (kind, encoders) in kinds {
            for (m, encoder) in encoders.iter().enumerate() {
                all.extend(encoder.weights(&format!("{kind}{m}")));
            }
        }
        all.extend(self.of_ids.weights("ids"));
        all.extend([
            ("items".to_owned(), &self.items),
            ("users.shares".to_owned(), &self.shares),
            ("predictor.weight".to_owned(), &self.predictor.weight),
            ("predictor.bias".to_owned(), &self.predictor.bias),
        ]);
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let [first, second] = &mut self.noisy;
        let encoders = self.plain.iter_mut().chain(first).chain(second);
        let encoders = encoders.chain(std::iter::once(&mut self.of_ids));
        let mut all: Vec<_> = encoders.flat_map(ModalityEncoder::weights_mut).collect();
        all.extend([&mut self.items, &mut self.shares]);
        all.extend(self.predictor.weights_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<crate::MentorConfig>();
    }
}
