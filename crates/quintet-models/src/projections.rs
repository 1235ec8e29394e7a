//! One linear projection a modality, averaged over those present: the content of VBPR.
//!
//! `c = Σ k_m W_m x_m / Σ k_m`. Not a registered fusion layer: nothing is normed and there is no
//! vector for an item without content, whose row is zero, so that it adds nothing to a score.

use burn::tensor::{Device, Tensor};
use quintet_core::SeedStream;
use quintet_tensor::{Fusion, FusionShape, Layer, Linear, ShareKind, Views, Weight};

/// What [`Fusion::name`] gives.
pub(crate) const NAME: &str = "projections";

/// The layer.
pub(crate) struct MeanProjections {
    layers: Vec<Linear>,
    d_out: usize,
}

impl MeanProjections {
    /// Draws the projections one after the other.
    pub(crate) fn draw(shape: &FusionShape, rng: &mut impl rand::Rng, device: &Device) -> Self {
        let layer = |&(_, d): &(_, usize)| Linear::new(d, shape.d_out, rng, device);
        Self { layers: shape.modalities.iter().map(layer).collect(), d_out: shape.d_out }
    }

    /// Draws the projections from a seed.
    pub(crate) fn new(shape: &FusionShape, seed: SeedStream, device: &Device) -> Self {
        Self::draw(shape, &mut seed.rng("projections", 0), device)
    }

    /// One addend a modality, `[batch, d_out]`.
    fn addends(&self, views: &Views) -> Vec<Tensor<2>> {
        let count = views.mask.clone().sum_dim(1).clamp_min(1.0);
        let one = |(m, layer): (usize, &Linear)| {
            layer.forward(views.masked(m)) * views.present(m) / count.clone()
        };
        self.layers.iter().enumerate().map(one).collect()
    }
}

impl Fusion for MeanProjections {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        // `Content` refuses an empty list of modalities.
        let sum = self.addends(views).into_iter().reduce(|a, b| a + b);
        sum.unwrap_or_else(|| Tensor::zeros([views.batch(), self.d_out], &views.mask.device()))
    }

    fn shares(&self, views: &Views) -> Tensor<2> {
        let length = |a: Tensor<2>| (a.powi_scalar(2).sum_dim(1) + 1e-20).sqrt();
        let lengths = Tensor::cat(self.addends(views).into_iter().map(length).collect(), 1);
        let lengths = lengths * views.mask.clone();
        let none = views.mask.clone().max_dim(1).neg() + 1.0;
        let sum = lengths.clone().sum_dim(1) + none;
        lengths / sum
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Addends
    }
}

impl Layer for MeanProjections {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let named = |(m, layer): (usize, &'static str)| format!("{m}.{layer}");
        self.layers
            .iter()
            .enumerate()
            .flat_map(|(m, l)| [(named((m, "weight")), &l.weight), (named((m, "bias")), &l.bias)])
            .collect()
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.layers.iter_mut().flat_map(Layer::weights_mut).collect()
    }
}
