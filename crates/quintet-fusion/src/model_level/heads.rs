//! Joint heads: a sub-network for each modality, each with a head of its own, and their weighted
//! sum.
//!
//! Late fusion of networks trained together (Ngiam et al., "Multimodal Deep Learning", ICML 2011);
//! the losses of the heads, with which a weak modality keeps learning beside a strong one, are
//! those of Wang, Tran & Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?",
//! CVPR 2020.
//! `y_m = V_m gelu(W_m LN(x_m) + b_m) + c_m`, `y = Σ w_m y_m`, `w` the softmax of one logit a
//! modality over the modalities that the item has, logits 0 at the start. In training
//! [`Fused::heads`] are the `y_m`.
//! Cost: with `d = d_out` and `f = hidden`, parameters `Σ (2 d_m + d_m f + f + f d + d) + M + d`; a
//! batch `O(batch Σ (d_m f + f d))`.

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Linear, ShareKind, Views, Weight,
    gelu, parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{Prior, Projections, check_shape, masked_softmax, prefixed, title};
use crate::tokens::{MODALITY_COUNTER, Noise, check_dropout, dropped, hidden_width, noise};

const NAME: &str = "heads";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "a sub-network and a head for each modality, weighted sum, losses for every head",
    build,
};

/// Parameters of [`JointHeads`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JointHeadsParams {
    /// Width of the hidden layer of each sub-network; twice the output width by default.
    pub hidden: Option<usize>,
    /// Share of hidden numbers dropped in training, in `[0, 1)`.
    pub dropout: f32,
}

/// Sub-networks with a head each.
#[derive(Debug, Clone)]
pub struct JointHeads {
    projections: Projections,
    heads: Vec<(Modality, Linear)>,
    /// `[1, n_modalities]`.
    logits: Weight,
    prior: Prior,
    dropout: f32,
    d_out: usize,
}

impl JointHeads {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; a parameter is out of range.
    pub fn new(
        params: &JointHeadsParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        check_dropout(NAME, params.dropout)?;
        let hidden = hidden_width(NAME, params.hidden, shape.d_out)?;
        let inner = FusionShape { modalities: shape.modalities.clone(), d_out: hidden };
        let head = |&(modality, _): &(Modality, usize)| {
            let mut rng = seed.rng("fusion", MODALITY_COUNTER + modality as u64);
            (modality, Linear::new(hidden, shape.d_out, &mut rng, device))
        };
        Ok(Self {
            projections: Projections::new(&inner, seed, device),
            heads: shape.modalities.iter().map(head).collect(),
            logits: Weight::new(&Matrix::zeros(1, shape.modalities.len()), device),
            prior: Prior::new(shape.d_out, device),
            dropout: params.dropout,
            d_out: shape.d_out,
        })
    }

    /// The sum, and one `[batch, d_out]` a modality.
    fn run(&self, views: &Views, noise: &mut Noise) -> (Tensor<2>, Vec<Tensor<2>>) {
        let hidden = self.projections.forward(views).into_iter();
        let heads: Vec<Tensor<2>> = self
            .heads
            .iter()
            .zip(hidden)
            .map(|((_, head), h)| head.forward(dropped(gelu(h), noise)))
            .collect();
        let mix = self.shares(views);
        let start = Tensor::zeros([views.batch(), self.d_out], &mix.device());
        let fused = heads
            .iter()
            .enumerate()
            .fold(start, |sum, (m, y)| sum + mix.clone().narrow(1, m, 1) * y.clone());
        (self.prior.fill(fused, views), heads)
    }
}

impl Layer for JointHeads {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        for (modality, head) in &self.heads {
            all.extend(prefixed(&format!("{modality}.head."), head));
        }
        all.push(("logits".into(), &self.logits));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.heads.iter_mut().flat_map(|(_, head)| head.weights_mut()));
        all.push(&mut self.logits);
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for JointHeads {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        self.run(views, &mut None).0
    }

    fn forward_train(&self, views: &Views, rng: &mut ChaCha8Rng) -> Fused {
        let (vectors, heads) = self.run(views, &mut noise(self.dropout, rng));
        Fused { heads, ..Fused::of(vectors) }
    }

    /// The weights of the sum.
    fn shares(&self, views: &Views) -> Tensor<2> {
        let [batch, n] = views.mask.dims();
        let logits = self.logits.tensor().reshape([1, n, 1]).expand([batch, n, 1]);
        masked_softmax(logits, &views.mask).reshape([batch, n])
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Weights
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(JointHeads::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};
    use serde_json::json;

    fn layer(params: Value) -> Result<JointHeads, FitError> {
        let params = parse_params(&title(NAME), &params)?;
        JointHeads::new(&params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_and_heads_by_hand() {
        let mut layer = layer(json!({ "hidden": 1 })).unwrap();
        set_projections(&mut layer);
        // Hidden 10 and 10: GELU leaves numbers as large as they are. Heads 10 + 1 and 30.
        set(&mut layer, "text.project.weight", &[0.0, 10.0]);
        set(&mut layer, "image.project.weight", &[0.0, 9.0]);
        set(&mut layer, "text.head.weight", &[1.0]);
        set(&mut layer, "text.head.bias", &[1.0]);
        set(&mut layer, "image.head.weight", &[3.0]);
        set(&mut layer, "logits", &[0.0, 3f32.ln()]);
        let views = four_items(&Device::flex());
        let mut rng = SeedStream::new(1).rng("step", 0);
        let fused = layer.forward_train(&views, &mut rng);
        // Weights 1 : 3, so 11/4 + 90/4; then one alone; then the prior.
        assert_close(fused.vectors, &[25.25, 11.0, 30.0, 7.0]);
        assert_eq!(fused.heads.len(), 2);
        assert_close(fused.heads[0].clone().narrow(0, 0, 2), &[11.0, 11.0]);
        assert_close(fused.heads[1].clone().narrow(0, 0, 1), &[30.0]);
        assert_close(layer.shares(&views), &[0.25, 0.75, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for (params, says) in [
            (json!({ "hidden": 0 }), "hidden is 0"),
            (json!({ "dropout": -0.1 }), "dropout is -0.1"),
        ] {
            let err = layer(params).unwrap_err().to_string();
            assert!(err.contains("heads fusion") && err.contains(says), "{err}");
        }
    }
}
