//! LIRDRec: items from their features alone, and user weights that are copied from epoch to epoch.
//!
//! Zhou, "Learning Item Representations Directly from Multimodal Features for Effective
//! Recommendation", arXiv 2505.04960, 2025.
//!
//! ```text
//! views   x_1 … x_M, and shared: [DCT x_1 ; … ; DCT x_M], DCT-II with orthonormal rows
//! z_v = W₂ lrelu(W₁ x_v), no second bias     X_v = norm([P_v; z_v])
//! Y = Σ_{l=0..L} S^l [X_v]_v           items += G items       G: FREEDOM's frozen graph
//! a_u = softmax(w₁ net(Y_u) + w₂ θ_u)  user = [a_uv Y_uv]_v   net: linear, to a number a view
//! loss = BPR(u, i, j) + reg (mean u² + mean i²)               over all users and items
//! before epoch e > 1: θ ← a, w₁ ← w₁ b^(e-1), then w₁, w₂ ← w₁, w₂ / (w₁ + w₂)
//! score = u · i
//! ```
//! The memory θ (`[n_users, views]`, Xavier-normal at first) and `w` have no gradient; they are
//! saved with the training and with the model.
//! Differences: θ takes what the weights at the end of an epoch give, and vectors are those of the
//! current weights, not of the last training step; a modality that an item lacks is zero in its
//! view and in the input of the shared view, and leaves `G`; items that nobody used are nobody's
//! neighbours.
//! Cost: once, `n_items · Σ d_m²` for the DCT; a step encodes all items, `O(n_items · (d_v · 256 +
//! 256 · dim))` a view, and `O((nnz · layers + n_items · k) · dim · views)`.

use burn::prelude::*;
use burn::tensor::activation::softmax;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{Matrix, Modality, ModelState, SeedStream};
use quintet_tensor::{
    FitError, Layer, Layers, Linear, SparseProduct, Weight, matrix_to_tensor, tensor_to_matrix,
    xavier_normal,
};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dragon::shared_out;
use crate::graph::{
    AttributeView, Content, EncoderShape, GraphNet, GraphRecipe, ItemFeatures, ModalityEncoder,
    Training, Triples, World, above_zero, at_least_one, at_least_zero, at_most_one, bpr,
    default_linear, refuse, split,
};

/// Rows that a thread transforms at a time.
const ROWS: usize = 256;

/// Parameters; the defaults lie within the paper's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LirdrecConfig {
    /// Width of the vectors of each view.
    pub dim: usize,
    /// Width between the two layers of an encoder.
    pub hidden: usize,
    /// Products with the user–item graph.
    pub layers: usize,
    /// Neighbours of an item, itself among them.
    pub k: usize,
    /// Weight of pictures in the item graph; the others share the rest.
    pub image_weight: f32,
    /// Weight of the network against the memory in the first epoch.
    pub start: f32,
    /// What the weight of the network is multiplied by, to the power of the epoch.
    pub decay: f32,
    /// Weight of the squares of the vectors.
    pub reg: f32,
    /// Attributes of items as one more view in the item graph: `weight`, `k`, `only`.
    pub attributes: Option<AttributeView>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// Step size of Adam.
    pub lr: f32,
    /// Triples a step.
    pub batch_size: usize,
}

impl Default for LirdrecConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            hidden: 256,
            layers: 2,
            k: 10,
            image_weight: 0.1,
            start: 0.9,
            decay: 0.9,
            reg: 1e-3,
            attributes: None,
            modalities: None,
            lr: 1e-4,
            batch_size: 2048,
        }
    }
}

impl GraphRecipe for LirdrecConfig {
    const NAME: &'static str = "lirdrec";
    const SUMMARY: &'static str =
        "items from content with a shared frequency view, no item id (Zhou 2025)";
    const TINY: &'static str = r#"{"dim": 8, "hidden": 16, "k": 5, "lr": 0.01, "batch_size": 256}"#;
    const RANKS_NEW_ITEMS: bool = true;
    type Net = LirdrecNet;

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
        at_least_zero(Self::NAME, "reg", self.reg)?;
        at_most_one(Self::NAME, "start", self.start)?;
        above_zero(Self::NAME, "decay", self.decay)?;
        if self.decay > 1.0 {
            return refuse(Self::NAME, "decay", "at most 1", self.decay);
        }
        Ok(())
    }

    fn net(&self, world: &World, rng: &mut ChaCha8Rng) -> Result<LirdrecNet, FitError> {
        let device = &world.device;
        let mut contents: Vec<Content> = world.features.iter().map(Content::of).collect();
        contents.push(shared_view(&world.features, device)?);
        let (n_users, hidden, dim) = (world.n_users(), self.hidden, self.dim);
        let mut encoder = |of: &Content| {
            let d_in = of.rows.dims()[1];
            let shape = EncoderShape { n_users, d_in, hidden, dim, out_bias: false };
            ModalityEncoder::new(shape, rng, device)
        };
        let encoders: Vec<_> = contents.iter().map(&mut encoder).collect();
        let views = encoders.len();
        Ok(LirdrecNet {
            encoders,
            net: default_linear(views * dim, views, rng, device),
            memory: xavier_normal(n_users, views, rng),
            mix: [self.start, 1.0 - self.start],
            contents,
            graph: world.user_item(),
            alike: world.frozen_graph(self, self.k, self.image_weight)?,
            device: device.clone(),
            config: self.clone(),
        })
    }
}

/// The trained form of [`LirdrecConfig`].
#[derive(Clone)]
pub(crate) struct LirdrecNet {
    /// One a modality, and one for the shared view.
    encoders: Vec<ModalityEncoder>,
    net: Linear,
    /// `θ`, `[n_users, views]`.
    memory: Matrix,
    /// `w₁`, `w₂`.
    mix: [f32; 2],
    contents: Vec<Content>,
    graph: SparseProduct,
    alike: SparseProduct,
    device: Device,
    config: LirdrecConfig,
}

impl LirdrecNet {
    /// `Y` of users and of items, `[rows, views · dim]`.
    fn propagated(&self) -> (Tensor<2>, Tensor<2>) {
        let nodes = self.encoders.iter().zip(&self.contents).map(|(e, of)| e.nodes(of));
        let nodes = Tensor::cat(nodes.collect(), 1);
        let nodes = self.graph.propagate(nodes, self.config.layers, Layers::Sum);
        split(nodes, self.memory.rows())
    }

    /// `a`, `[n_users, views]`.
    fn user_weights(&self, users: Tensor<2>) -> Tensor<2> {
        let memory = matrix_to_tensor(&self.memory, &self.device);
        softmax(self.net.forward(users) * self.mix[0] + memory * self.mix[1], 1)
    }
}

impl GraphNet for LirdrecNet {
    fn begin_epoch(&mut self, epoch: usize, _: SeedStream) -> Result<(), FitError> {
        if epoch <= 1 {
            return Ok(());
        }
        let (users, _) = self.propagated();
        let weights = self.user_weights(users).inner();
        self.memory = tensor_to_matrix(weights).map_err(FitError::Device)?;
        let exponent = i32::try_from(epoch - 1).unwrap_or(i32::MAX);
        let network = self.mix[0] * self.config.decay.powi(exponent);
        let sum = network + self.mix[1];
        // A network that has faded away with no memory beside it keeps its weight.
        if sum > 0.0 {
            self.mix = [network / sum, self.mix[1] / sum];
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Triples<'_>, _: &mut ChaCha8Rng) -> Tensor<1> {
        let (users, items) = self.vectors();
        let loss = bpr(batch.rows(&users, &items));
        if self.config.reg == 0.0 {
            return loss;
        }
        let squares = |x: Tensor<2>| x.powi_scalar(2).mean();
        loss + (squares(users) + squares(items)) * self.config.reg
    }

    fn vectors(&self) -> (Tensor<2>, Tensor<2>) {
        let (users, items) = self.propagated();
        let weights = self.user_weights(users.clone());
        let dim = self.config.dim;
        let views: Vec<_> =
            (0..self.encoders.len()).map(|v| users.clone().narrow(1, v * dim, dim)).collect();
        (shared_out(&views, &weights), items.clone() + self.alike.apply(items))
    }

    fn memory(&self) -> Vec<(&'static str, Matrix)> {
        let mut mix = Matrix::zeros(1, 2);
        mix.row_mut(0).copy_from_slice(&self.mix);
        vec![("theta", self.memory.clone()), ("mix", mix)]
    }

    fn remember(&mut self, state: &ModelState) -> Result<(), FitError> {
        let (users, views) = (self.memory.rows(), self.memory.cols());
        self.memory = state.shaped("theta", users, views)?.clone();
        let mix = state.shaped("mix", 1, 2)?.as_slice();
        self.mix = [mix[0], mix[1]];
        Ok(())
    }
}

/// The rows of all modalities side by side, each transformed; present where any modality is.
fn shared_view(features: &[ItemFeatures], device: &Device) -> Result<Content, FitError> {
    let n = features.iter().map(|f| f.has().len()).max().unwrap_or(0);
    let transformed =
        features.iter().map(|f| Ok(matrix_to_tensor(&cosine_transform(&f.host()?)?, device)));
    let rows = Tensor::cat(transformed.collect::<Result<Vec<_>, FitError>>()?, 1);
    let any = |item: usize| f32::from(u8::from(features.iter().any(|f| f.has()[item])));
    let present = Matrix::from_vec(n, 1, (0..n).map(any).collect())?;
    Ok(Content { rows, present: matrix_to_tensor(&present, device) })
}

/// The orthonormal DCT-II of each row: `y_k = s_k Σ_n x_n cos(π (2n + 1) k / 2N)`, `s_0 = √(1/N)`,
/// else `√(2/N)` (Ahmed, Natarajan & Rao, IEEE Trans. Computers 1974).
fn cosine_transform(x: &Matrix) -> Result<Matrix, FitError> {
    let (rows, n) = (x.rows(), x.cols());
    if rows == 0 || n == 0 {
        return Ok(x.clone());
    }
    // The angles repeat: only so many cosines are different.
    let angle = std::f64::consts::PI / (2 * n) as f64;
    let cosines: Vec<f64> = (0..4 * n).map(|a| (angle * a as f64).cos()).collect();
    let scale = |k: usize| ((if k == 0 { 1.0 } else { 2.0 }) / n as f64).sqrt();
    // Row k of the transform; the products below read it turned.
    let mut transform = vec![0.0f32; n * n];
    transform.par_chunks_mut(n).enumerate().for_each(|(k, row)| {
        let entry = |at: usize| (scale(k) * cosines[(2 * at + 1) * k % (4 * n)]) as f32;
        row.iter_mut().enumerate().for_each(|(at, v)| *v = entry(at));
    });
    let transform = MatRef::from_row_major_slice(&transform, n, n).transpose();
    let mut out = vec![0.0f32; rows * n];
    let parts = out.par_chunks_mut(ROWS * n).zip(x.as_slice().par_chunks(ROWS * n));
    parts.for_each(|(out, x)| {
        let rows = x.len() / n;
        let product = MatMut::from_row_major_slice_mut(out, rows, n);
        let x = MatRef::from_row_major_slice(x, rows, n);
        matmul(product, Accum::Replace, x, transform, 1.0, Par::Seq);
    });
    Ok(Matrix::from_vec(rows, n, out)?)
}

impl Layer for LirdrecNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let encoders = self.encoders.iter().enumerate();
        let mut all: Vec<_> =
            encoders.flat_map(|(m, encoder)| encoder.weights(&m.to_string())).collect();
        all.push(("net.weight".into(), &self.net.weight));
        all.push(("net.bias".into(), &self.net.bias));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all: Vec<_> =
            self.encoders.iter_mut().flat_map(ModalityEncoder::weights_mut).collect();
        all.extend(self.net.weights_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{FeatureSet, Interactions, ModalityFeatures};

    #[test]
    fn loss_gradients_and_vectors_are_those_of_pytorch() {
        crate::graph::parity::check::<LirdrecConfig>();
    }

    #[test]
    fn weight_moves_to_the_memory_by_the_number_of_the_epoch() {
        let train = Interactions::from_pairs(2, 2, [(0, 0), (1, 1)]).unwrap();
        let rows = Matrix::from_vec(2, 2, vec![1.0, 0.2, -0.3, 1.0]).unwrap();
        let text = ModalityFeatures::new(Modality::Text, rows, vec![true; 2]).unwrap();
        let mut features = FeatureSet::new(2);
        features.push(text).unwrap();
        let world = World::new("lirdrec", &train, &features, None, true, &Device::flex()).unwrap();
        let seed = SeedStream::new(1);
        let config = LirdrecConfig { dim: 3, hidden: 4, ..LirdrecConfig::default() };
        let mut net = config.net(&world, &mut seed.rng("lirdrec", 0)).unwrap();
        net.begin_epoch(1, seed).unwrap();
        assert_eq!(net.mix, [0.9, 1.0 - 0.9]);
        net.begin_epoch(2, seed).unwrap();
        // 0.9 · 0.9 beside 0.1.
        assert!((net.mix[0] - 0.81 / 0.91).abs() < 1e-6, "{:?}", net.mix);
        net.begin_epoch(3, seed).unwrap();
        let network = 0.81 / 0.91 * 0.81;
        assert!((net.mix[0] - network / (network + 0.1 / 0.91)).abs() < 1e-6, "{:?}", net.mix);
        // The memory holds weights that sum to 1.
        assert!((net.memory.row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_transform_keeps_lengths_and_finds_a_cosine() {
        let n = 8usize;
        let wave = |at: usize| (std::f32::consts::PI * (2 * at + 1) as f32 * 3.0 / 16.0).cos();
        let x: Vec<f32> = (0..n).map(wave).chain([1.0; 8]).collect();
        let y = cosine_transform(&Matrix::from_vec(2, n, x).unwrap()).unwrap();
        for (row, place, length) in [(0, 3, 2.0), (1, 0, 8f32.sqrt())] {
            for (k, v) in y.row(row).iter().enumerate() {
                let expected = if k == place { length } else { 0.0 };
                assert!((v - expected).abs() < 1e-6, "row {row}: {:?}", y.row(row));
            }
        }
    }
}
