//! SMORE: modalities filtered and fused in the frequency domain.
//!
//! Ong & Khong, "Spectrum-based Modality Representation Fusion Graph Convolutional Network for
//! Multimodal Recommendation", WSDM 2025.
//!
//! ```text
//! f_m = W_m x_m                            F_m = rfft(f_m), orthonormal, along the width
//! v_m = irfft(F_m ∘ w_m)                   v_f = irfft(F_1 ∘ F_2 ∘ … ∘ w_f)          w complex
//! e_m = E_items ∘ σ(Gate_m(v_m))           e_f = E_items ∘ σ(Gate_f(v_f))
//! items: M_m = KNN_cos(x_m, k_m)ⁿ e_m      M_f with all those edges, each at its largest weight
//! users: M   = R̂ times those rows          C = mean(E, S E, …, S^L E)
//! N_m = softmax(q_m(M_f)) ∘ M_m            q: linear, tanh, linear; softmax along the width
//! side = mean(drop(σ(H_m C)) ∘ N_m, …, drop(σ(H_f C)) ∘ M_f)             final = C + side
//! loss = BPR + reg L2half(final) + cl (InfoNCE(side_i, C_i; τ) + InfoNCE(side_u, C_u; τ))
//! ```
//! Differences: features are not trained; layers start Xavier-normal with biases 0; an item
//! without a modality leaves its view and its edges, counts as the spectrum 1 in the product, and
//! the mean runs over what is there; items that nobody used are nobody's neighbours; dropout is
//! drawn for the rows of the batch.
//! Cost: that of MGCN and one view more. The transform is a product with a fixed matrix, and a
//! filter with its inverse one of `[dim, dim]`.

use std::f64::consts::TAU;

use burn::prelude::*;
use burn::tensor::{TensorData, activation};
use quintet_core::Modality;
use quintet_tensor::{
    Dropout, FitError, ItemGraph, Layer, Layers, Linear, SparseProduct, Weight, normal_matrix,
    sigmoid, tanh, xavier_normal, xavier_uniform,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::graph::{
    GraphNet, GraphRecipe, ItemFeatures, Nodes, SideLoss, Training, Triples, World, above_zero,
    at_least_one, at_least_zero, below_one, named, node_rows, union,
};

/// Parameters; the defaults are those of the paper's configuration for Baby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoreConfig {
    /// Width of the vectors.
    pub dim: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Products with the item graphs.
    pub item_layers: usize,
    /// Neighbours of an item by pictures, itself among them.
    pub k_image: usize,
    /// Neighbours of an item by text and by any other modality, itself among them.
    pub k_text: usize,
    /// Share of the numbers of a preference that are dropped.
    pub dropout: f32,
    /// Weight of the contrast of content and behaviour.
    pub cl: f32,
    /// Temperature of the contrast.
    pub temperature: f32,
    /// Weight of the squares of the final vectors.
    pub reg: f32,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam in the first epoch.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for SmoreConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            layers: 4,
            item_layers: 1,
            k_image: 40,
            k_text: 15,
            dropout: 0.1,
            cl: 0.01,
            temperature: 0.2,
            reg: 1e-4,
            modalities: None,
            lr: 1e-3,
            batch_size: 2048,
        }
    }
}

impl SmoreConfig {
    fn k(&self, features: &ItemFeatures) -> usize {
        if features.modality == Modality::Image { self.k_image } else { self.k_text }
    }
}

impl GraphRecipe for SmoreConfig {
    const NAME: &'static str = "smore";
    const SUMMARY: &'static str = "views filtered and fused in the frequency domain (Ong 2025)";
    const TINY: &'static str = r#"{"dim": 8, "layers": 2, "k_image": 5, "k_text": 5, "lr": 0.03,
        "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = SmoreNet;

    fn training(&self) -> Training {
        Training { lr: self.lr, lr_decay: 0.96, batch_size: self.batch_size }
    }

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        at_least_one(Self::NAME, "dim", self.dim)?;
        at_least_one(Self::NAME, "k_image", self.k_image)?;
        at_least_one(Self::NAME, "k_text", self.k_text)?;
        below_one(Self::NAME, "dropout", self.dropout)?;
        at_least_zero(Self::NAME, "cl", self.cl)?;
        above_zero(Self::NAME, "temperature", self.temperature)?;
        at_least_zero(Self::NAME, "reg", self.reg)
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<SmoreNet, FitError> {
        let (d, n, device) = (self.dim, world.features.len(), &world.device);
        let mut table = |rows| Weight::new(&xavier_uniform(rows, d, rng), device);
        let (users, items) = (table(world.n_users()), table(world.n_items()));
        let projections = world.features.iter().map(|f| Linear::new(f.dim(), d, rng, device));
        let projections = projections.collect();
        let filters = (0..=n).map(|_| Weight::new(&normal_matrix(2, d / 2 + 1, 1.0, rng), device));
        let filters = filters.collect();
        let mut layers =
            |n: usize| (0..n).map(|_| Linear::new(d, d, rng, device)).collect::<Vec<_>>();
        let (gates, preferences, hidden) = (layers(n + 1), layers(n + 1), layers(n));
        let queries = (0..n).map(|_| Weight::new(&xavier_normal(d, d, rng), device)).collect();
        let graphs = world.features.iter().map(|f| world.knn(f, self.k(f), true));
        let graphs = graphs.collect::<Result<Vec<_>, _>>()?;
        let has: Vec<&[bool]> = world.features.iter().map(ItemFeatures::has).collect();
        let fused = union(&graphs, &has);
        let presence = Nodes::presence(world);
        Ok(SmoreNet {
            users,
            items,
            projections,
            filters,
            gates,
            preferences,
            hidden,
            queries,
            features: world.features.iter().map(|f| (f.rows.clone(), f.present.clone())).collect(),
            any: presence.items.clone().sum_dim(1).clamp_max(1.0),
            alike: graphs.into_iter().chain([fused]).map(SparseProduct::new).collect(),
            presence,
            graph: world.user_item(),
            users_of_items: world.users_of_items(),
            fourier: Fourier::new(d, device),
            config: self.clone(),
        })
    }
}

/// The real Fourier transform of rows as matrices.
#[derive(Clone)]
struct Fourier {
    /// `[dim, bins]` each.
    forward: Complex,
    /// `[bins, dim]` each.
    inverse: Complex,
}

/// Real and imaginary parts of the same shape.
#[derive(Clone)]
struct Complex {
    re: Tensor<2>,
    im: Tensor<2>,
}

impl Complex {
    /// Element by element; one of both may be a single row.
    fn times(&self, other: &Self) -> Self {
        let product = |a: &Tensor<2>, b: &Tensor<2>| a.clone() * b.clone();
        Self {
            re: product(&self.re, &other.re) - product(&self.im, &other.im),
            im: product(&self.re, &other.im) + product(&self.im, &other.re),
        }
    }

    /// A weight of two rows.
    fn of(weight: &Weight) -> Self {
        let row = |at| weight.tensor().narrow(0, at, 1);
        Self { re: row(0), im: row(1) }
    }
}

impl Fourier {
    fn new(dim: usize, device: &Device) -> Self {
        let bins = dim / 2 + 1;
        let root = (dim as f64).sqrt();
        // The bins that are left out of a real transform mirror the others, except for the first
        // and, at even widths, the last.
        let times = |bin: usize| if bin == 0 || 2 * bin == dim { 1.0 } else { 2.0 };
        let angle = |at: usize, bin: usize| TAU * (at * bin % dim) as f64 / dim as f64;
        let table = |rows: usize, cols: usize, value: &dyn Fn(usize, usize) -> f64| {
            let cells = (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c)));
            let numbers: Vec<f32> = cells.map(|(r, c)| (value(r, c) / root) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(numbers, [rows, cols]), device)
        };
        Self {
            forward: Complex {
                re: table(dim, bins, &|at, bin| angle(at, bin).cos()),
                im: table(dim, bins, &|at, bin| -angle(at, bin).sin()),
            },
            inverse: Complex {
                re: table(bins, dim, &|bin, at| times(bin) * angle(at, bin).cos()),
                im: table(bins, dim, &|bin, at| -times(bin) * angle(at, bin).sin()),
            },
        }
    }

    /// `[rows, dim] → [rows, bins]`.
    fn forward(&self, x: Tensor<2>) -> Complex {
        Complex {
            re: x.clone().matmul(self.forward.re.clone()),
            im: x.matmul(self.forward.im.clone()),
        }
    }

    /// `[rows, bins] → [rows, dim]`.
    fn inverse(&self, x: Complex) -> Tensor<2> {
        x.re.matmul(self.inverse.re.clone()) + x.im.matmul(self.inverse.im.clone())
    }

    /// What transforming, multiplying with `filter` and transforming back is as one matrix,
    /// `[dim, dim]`.
    fn filter(&self, filter: &Weight) -> Tensor<2> {
        self.inverse(self.forward.times(&Complex::of(filter)))
    }
}

/// The trained form of [`SmoreConfig`]. Where there is one more than modalities, the last belongs
/// to the fused view.
#[derive(Clone)]
pub(crate) struct SmoreNet {
    users: Weight,
    items: Weight,
    projections: Vec<Linear>,
    /// `[2, bins]`: real and imaginary parts; one more than modalities.
    filters: Vec<Weight>,
    /// One more than modalities.
    gates: Vec<Linear>,
    /// From behaviour to how much of a view is wanted; one more than modalities.
    preferences: Vec<Linear>,
    /// From the fused view to the shares of a modality's numbers.
    hidden: Vec<Linear>,
    /// `[dim, dim]`, after the hidden layer.
    queries: Vec<Weight>,
    /// `[n_items, d_m]` and `[n_items, 1]`.
    features: Vec<(Tensor<2>, Tensor<2>)>,
    /// `[n_items, 1]`, one where an item has any modality.
    any: Tensor<2>,
    /// One more than modalities.
    alike: Vec<SparseProduct>,
    presence: Nodes,
    graph: SparseProduct,
    users_of_items: SparseProduct,
    fourier: Fourier,
    config: SmoreConfig,
}

impl SmoreNet {
    /// The filtered content of every modality, then the fused one, `[n_items, dim]` each.
    fn filtered(&self) -> Vec<Tensor<2>> {
        let (mut all, mut product) = (Vec::new(), Complex::of(self.fused_filter()));
        for (m, (rows, present)) in self.features.iter().enumerate() {
            let projected = self.projections[m].forward(rows.clone()) * present.clone();
            all.push(projected.clone().matmul(self.fourier.filter(&self.filters[m])));
            let Complex { re, im } = self.fourier.forward(projected);
            let absent = present.clone().neg() + 1.0;
            product = product.times(&Complex { re: re + absent, im });
        }
        all.push(self.fourier.inverse(product));
        all
    }

    fn fused_filter(&self) -> &Weight {
        // One more than modalities: never empty.
        &self.filters[self.features.len()]
    }

    /// The views of all nodes, the fused one last.
    fn views(&self) -> Vec<Nodes> {
        let present = self.features.iter().map(|(_, present)| present).chain([&self.any]);
        let view = |(v, (content, present)): (usize, (Tensor<2>, &Tensor<2>))| {
            let gate = sigmoid(self.gates[v].forward(content));
            let gated = self.items.tensor() * gate * present.clone();
            let items = self.alike[v].propagate(gated, self.config.item_layers, Layers::Last);
            Nodes { users: self.users_of_items.apply(items.clone()), items }
        };
        self.filtered().into_iter().zip(present).enumerate().map(view).collect()
    }

    /// Behaviour and side, `[rows, dim]` each.
    fn over(&self, batch: Option<&Triples<'_>>, drop: &mut Dropout) -> (Tensor<2>, Tensor<2>) {
        let (users, items) = (self.users.tensor(), self.items.tensor());
        let how = (self.config.layers, Layers::Mean);
        let behaviour = self.graph.propagate_tables(users, items, how, ItemGraph::None);
        let behaviour = node_rows(behaviour, self.users.dims()[0], batch);
        let views = self.views().iter().map(|view| view.rows(batch)).collect();
        let side = self.side(&behaviour, views, self.presence.rows(batch), drop);
        (behaviour, side)
    }

    /// Row by row; `has`: `[rows, modalities]`.
    fn side(
        &self,
        behaviour: &Tensor<2>,
        views: Vec<Tensor<2>>,
        has: Tensor<2>,
        drop: &mut Dropout,
    ) -> Tensor<2> {
        let n = self.features.len();
        let fused = views[n].clone();
        let mut sum = Tensor::zeros_like(behaviour);
        for (v, view) in views.into_iter().enumerate() {
            let wanted = sigmoid(self.preferences[v].forward(behaviour.clone()));
            let wanted = drop.apply(wanted) * view;
            // The rows of a view are zero where the modality is absent.
            sum = sum + if v < n { wanted * self.shares(v, fused.clone()) } else { wanted };
        }
        sum / (has.sum_dim(1) + 1.0)
    }

    fn shares(&self, m: usize, fused: Tensor<2>) -> Tensor<2> {
        let logits = tanh(self.hidden[m].forward(fused)).matmul(self.queries[m].tensor());
        activation::softmax(logits, 1)
    }
}

impl GraphNet for SmoreNet {
    fn loss(&mut self, batch: &Triples<'_>, rng: &mut ChaCha8Rng) -> Tensor<1> {
        let mut drop = Dropout::new(self.config.dropout, ChaCha8Rng::from_rng(rng));
        let (behaviour, side) = self.over(Some(batch), &mut drop);
        let SmoreConfig { reg, cl, temperature, batch_size, .. } = self.config;
        let loss = SideLoss { reg, weight: cl, temperature, nominal: batch_size };
        loss.of(&behaviour, &side)
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let mut keep = Dropout::new(0.0, ChaCha8Rng::seed_from_u64(0));
        let (behaviour, side) = self.over(None, &mut keep);
        let nodes = Nodes::cut(behaviour + side, self.users.dims()[0]);
        (nodes.users, nodes.items)
    }
}

impl Layer for SmoreNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("users".to_owned(), &self.users), ("items".to_owned(), &self.items)];
        let lists = [("filter", &self.filters), ("query", &self.queries)];
        for (prefix, weights) in lists {
            let places = weights.iter().enumerate();
            all.extend(places.map(|(place, w)| (format!("{prefix}.{place}"), w)));
        }
        all.extend(named("projection", &self.projections));
        all.extend(named("gate", &self.gates));
        all.extend(named("preference", &self.preferences));
        all.extend(named("hidden", &self.hidden));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.users, &mut self.items];
        all.extend(self.filters.iter_mut().chain(&mut self.queries));
        let Self { projections, gates, preferences, hidden, .. } = self;
        let layers = [projections, gates, preferences, hidden];
        all.extend(layers.into_iter().flatten().flat_map(Layer::weights_mut));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_tensor::{tensor_to_matrix, tensor_to_vec};

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<SmoreConfig>();
    }

    #[test]
    fn the_transform_of_a_wave_is_one_bin_and_back_again_the_wave() {
        let device = Device::flex();
        for dim in [6, 7] {
            let fourier = Fourier::new(dim, &device);
            let wave = |at: usize| (TAU * at as f64 / dim as f64).sin() as f32;
            let wave: Vec<f32> = (0..dim).map(wave).collect();
            let x = Tensor::<2>::from_data(TensorData::new(wave.clone(), [1, dim]), &device);
            let there = fourier.forward(x);
            let im = tensor_to_matrix(there.im.clone()).unwrap();
            // A sine of one period is -√dim / 2 in the imaginary part of bin 1.
            for (bin, v) in im.as_slice().iter().enumerate() {
                let expected = if bin == 1 { -(dim as f32).sqrt() / 2.0 } else { 0.0 };
                assert!((v - expected).abs() < 1e-6, "width {dim}, bin {bin}: {v}");
            }
            let back = tensor_to_vec(fourier.inverse(there)).unwrap();
            assert!(back.iter().zip(&wave).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?}");
        }
    }
}
