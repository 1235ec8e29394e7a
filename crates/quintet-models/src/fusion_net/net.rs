//! Projections and layers: the trunk, with its heads.

use burn::tensor::{Device, Tensor, activation};
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{
    Dropout, Layer, Linear, UncertaintyWeights, Views, Weight, unit_rows, xavier_normal,
};

use super::heads::Heads;
use super::objective::{n_goals, weighting};
use super::{FusionNetConfig, Weighting};
use crate::content::ContentMap;
use crate::content_model::prefixed;

/// Everything but the tables. Of parameters with tasks, heads are named.
pub(super) struct FusionNet {
    /// `W_m`, `[d_m, dim]`.
    projections: Vec<Weight>,
    /// `b`, `[1, dim]`.
    bias: Weight,
    item_layers: Vec<Linear>,
    user_layers: Vec<Linear>,
    /// Where there are tasks.
    pub(super) heads: Option<Heads>,
    /// Where the weights of the objectives are learned.
    pub(super) tasks: Option<UncertaintyWeights>,
    dim: usize,
}

/// The content of items side by side, each row of length 1 (0 for an item without any): what lists
/// are varied in.
pub(super) fn facts(views: &Views) -> Tensor<2> {
    let blocks = (0..views.modalities.len()).map(|m| views.masked(m)).collect();
    unit_rows(Tensor::cat(blocks, 1)).detach()
}

impl FusionNet {
    pub(super) fn new(
        config: &FusionNetConfig,
        map: Option<&ContentMap>,
        seed: SeedStream,
        device: &Device,
    ) -> Self {
        let dim = config.dim;
        let mut rng = seed.rng("fusion-net-init", 0);
        let widths = map.map(|map| map.shape(dim).modalities).unwrap_or_default();
        let projections = widths
            .iter()
            .map(|&(_, width)| Weight::new(&xavier_normal(width, dim, &mut rng), device))
            .collect();
        let mut layers =
            |n: usize| (0..n).map(|_| Linear::new(dim, dim, &mut rng, device)).collect();
        let (item_layers, user_layers) = (layers(config.layers), layers(config.user_layers));
        let learned = weighting(config) == Weighting::Uncertainty;
        let heads = config.tasks.as_ref().map(|tasks| {
            let n = (tasks.n_heads(), tasks.value_of.is_some());
            Heads::new(n, tasks.chain, dim, device)
        });
        Self {
            projections,
            bias: Weight::new(&Matrix::zeros(1, dim), device),
            item_layers,
            user_layers,
            heads,
            tasks: learned.then(|| UncertaintyWeights::new(n_goals(config), device)),
            dim,
        }
    }

    /// `v_i`, `[n, dim]`, from views and ids; at least one of them is there.
    pub(super) fn items(
        &self,
        views: Option<&Views>,
        ids: Option<Tensor<2>>,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        // A row that is absent is zero, and projections have no bias.
        let seen = views.into_iter().flat_map(|views| {
            let all = self.projections.iter().enumerate();
            all.map(|(m, weight)| views.masked(m).matmul(weight.tensor()))
        });
        let sum = seen.chain(ids).fold(self.bias.tensor(), |sum, part| part + sum);
        through(&self.item_layers, sum, dropout)
    }

    /// Vectors of users from their embeddings.
    pub(super) fn users(&self, embeddings: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
        through(&self.user_layers, embeddings, dropout)
    }
}

/// `h ← W drop(ReLU(h)) + b` for each layer.
fn through(layers: &[Linear], mut h: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
    for layer in layers {
        h = layer.forward(dropout.apply(activation::relu(h)));
    }
    h
}

impl Layer for FusionNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = |(m, weight)| (format!("projection.{m}"), weight);
        let mut all: Vec<_> = self.projections.iter().enumerate().map(named).collect();
        all.push(("bias".into(), &self.bias));
        for (side, layers) in [("item", &self.item_layers), ("user", &self.user_layers)] {
            for (l, layer) in layers.iter().enumerate() {
                all.extend(prefixed(&format!("{side}.{l}."), layer));
            }
        }
        all.extend(self.heads.iter().flat_map(|heads| prefixed("head.", heads)));
        all.extend(self.tasks.iter().flat_map(|tasks| prefixed("tasks.", tasks)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all: Vec<_> = self.projections.iter_mut().collect();
        all.push(&mut self.bias);
        let layers = self.item_layers.iter_mut().chain(&mut self.user_layers);
        all.extend(layers.flat_map(Layer::weights_mut));
        all.extend(self.heads.iter_mut().flat_map(Layer::weights_mut));
        all.extend(self.tasks.iter_mut().flat_map(Layer::weights_mut));
        all
    }
}

impl FusionNet {
    /// Width of all vectors.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }
}
