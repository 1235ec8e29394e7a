//! Attention over modalities: one number a modality and item, a softmax over what is present.
//!
//! `a_m = q · tanh(W h_m + b)`, `α = softmax of a over the present`, `y = Σ α_m h_m` with
//! `h_m = W_m LN(x_m) + b_m`; `W`, `b` and `q` are shared by the modalities.
//! Paper: the additive score of Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly
//! Learning to Align and Translate", ICLR 2015. <https://arxiv.org/abs/1409.0473> Differences: it
//! scores modalities where the paper scores positions; the query is learned, not a decoder's state.
//! Parameters: with `A = width`, `Σ (d_m (d_out + 2) + d_out) + (d_out + 2) A + d_out`.
//! Cost: O(d_out Σ d_m + M d_out A) an item.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Linear, ShareKind, Views, Weight,
    normal_matrix, parse_params, tanh,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{
    OUTPUT_COUNTER, Prior, Projections, check_shape, masked_softmax, prefixed, title,
};

const NAME: &str = "attention";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "sum of normed projections with one attention weight a modality and item",
    build,
};

/// Parameters of [`Attention`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionParams {
    /// Width of the space in which modalities are scored, at least 1; by default that of the
    /// output.
    pub width: Option<usize>,
}

/// Attention over modalities.
#[derive(Debug, Clone)]
pub struct Attention {
    projections: Projections,
    score: Linear,
    /// `[width, 1]`.
    query: Weight,
    prior: Prior,
    d_out: usize,
}

impl Attention {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `width` is 0.
    pub fn new(
        params: &AttentionParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let d_out = shape.d_out;
        let width = params.width.unwrap_or(d_out);
        if width == 0 {
            let reason = "width is 0, expected at least 1".into();
            return Err(FitError::Config { model: title(NAME), reason });
        }
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let score = Linear::new(d_out, width, &mut rng, device);
        let std = (2.0 / (width + 1) as f32).sqrt();
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            score,
            query: Weight::new(&normal_matrix(width, 1, std, &mut rng), device),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }

    /// `[batch, n_modalities]`, as [`Fusion::shares`].
    fn attention(&self, h: &[Tensor<2>], views: &Views) -> Tensor<2> {
        let [batch, n] = views.mask.dims();
        let logit = |h: &Tensor<2>| {
            tanh(self.score.forward(h.clone())).matmul(self.query.tensor()) // [batch, 1]
        };
        let logits = Tensor::cat(h.iter().map(logit).collect(), 1).reshape([batch, n, 1]);
        masked_softmax(logits, &views.mask).reshape([batch, n])
    }
}

impl Layer for Attention {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(prefixed("score.", &self.score));
        all.push(("query".into(), &self.query));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.score.weights_mut());
        all.push(&mut self.query);
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Attention {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let h = self.projections.forward(views);
        let attention = self.attention(&h, views);
        let start = Tensor::zeros([views.batch(), self.d_out], &attention.device());
        let fused = h
            .into_iter()
            .enumerate()
            .fold(start, |sum, (m, h)| sum + attention.clone().narrow(1, m, 1) * h);
        self.prior.fill(fused, views)
    }

    /// The weights of the sum.
    fn shares(&self, views: &Views) -> Tensor<2> {
        self.attention(&self.projections.forward(views), views)
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Attention
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Attention::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(width: Option<usize>) -> Result<Attention, FitError> {
        let params = AttentionParams { width };
        Attention::new(&params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(None).unwrap();
        set_projections(&mut layer);
        // Scores tanh(h - 2): 0 for text, tanh 3 for image; times ln 3 / tanh 3: 0 and ln 3.
        set(&mut layer, "score.weight", &[1.0]);
        set(&mut layer, "score.bias", &[-2.0]);
        set(&mut layer, "query", &[3f32.ln() / 3f32.tanh()]);
        let views = four_items(&Device::flex());
        // Both: (1·2 + 3·5) / 4; one: it alone; nothing: the prior.
        assert_close(layer.forward(&views), &[4.25, 2.0, 5.0, 7.0]);
        assert_close(layer.shares(&views), &[0.25, 0.75, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_width_is_a_choice_and_not_zero() {
        let score = |width| layer(width).unwrap().score.weight.dims();
        assert_eq!((score(None), score(Some(5))), ([1, 1], [1, 5]));
        assert!(layer(Some(0)).unwrap_err().to_string().contains("width is 0"));
    }
}
