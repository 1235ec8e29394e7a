//! Gated multimodal unit: for every output dimension, a softmax decides how much of each
//! modality passes.
//!
//! Paper: Arevalo, Solorio, Montes-y-Gómez & González, "Gated Multimodal Units for Information
//! Fusion", ICLR Workshop 2017. <https://arxiv.org/abs/1702.01992>
//! With `h_m = W_m LN(x_m) + b_m`: `z = softmax over present m of V_m [h_1; …; h_M] + c_m`,
//! elementwise, and `y = Σ z_m ∘ tanh(h_m)`. Differences: any number of modalities by a masked
//! softmax (two of them give the paper's sigmoid); the gate reads the projections `h_m` instead
//! of the raw inputs, which costs `M² d_out²` and not `M d_out Σ d_m`.
//! Cost: parameters O(Σ d_m d_out + M² d_out²).

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Linear, ShareKind, Views, Weight,
    parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{
    OUTPUT_COUNTER, Prior, Projections, check_shape, masked_softmax, prefixed, title,
};

const NAME: &str = "gated";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "gated multimodal unit: a softmax over modalities for every dimension",
    build,
};

/// Parameters of [`Gated`]: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatedParams {}

/// Gated sum of modalities.
#[derive(Debug, Clone)]
pub struct Gated {
    projections: Projections,
    gate: Linear,
    prior: Prior,
    d_out: usize,
}

impl Gated {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output.
    pub fn new(
        _params: GatedParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (n, d_out) = (shape.modalities.len(), shape.d_out);
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            gate: Linear::new(n * d_out, n * d_out, &mut rng, device),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }

    /// The projections side by side and the gates, both `[batch, n_modalities, d_out]`.
    fn gates(&self, views: &Views) -> (Tensor<3>, Tensor<3>) {
        let shape = [views.batch(), self.projections.len(), self.d_out];
        let h = Tensor::cat(self.projections.forward(views), 1); // [batch, n · d_out]
        let logits = self.gate.forward(h.clone()).reshape(shape);
        (h.reshape(shape), masked_softmax(logits, &views.mask))
    }
}

impl Layer for Gated {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(prefixed("gate.", &self.gate));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.gate.weights_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Gated {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let (h, gates) = self.gates(views);
        let fused = (gates * h.tanh()).sum_dim(1).reshape([views.batch(), self.d_out]);
        self.prior.fill(fused, views)
    }

    /// The mean gate of each modality over the output dimensions.
    fn shares(&self, views: &Views) -> Tensor<2> {
        let (_, gates) = self.gates(views);
        gates.mean_dim(2).reshape([views.batch(), self.projections.len()])
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Gates
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Gated::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn by_hand() -> Gated {
        let device = Device::flex();
        let shape = two_modalities(1);
        let mut layer = Gated::new(GatedParams {}, &shape, SeedStream::new(1), &device).unwrap();
        set_projections(&mut layer);
        // Logits (0, h_text · ln 2): h_text is 2 where it is present.
        set(&mut layer, "gate.weight", &[0.0, 2f32.ln(), 0.0, 0.0]);
        layer
    }

    #[test]
    fn values_by_hand() {
        // Both present: gates 1 : e^(2 ln 2) = 1/5 : 4/5. One present: it passes whole.
        let (text, image) = (2f32.tanh(), 5f32.tanh());
        let views = four_items(&Device::flex());
        assert_close(by_hand().forward(&views), &[0.2 * text + 0.8 * image, text, image, 7.0]);
        let shares = by_hand().shares(&views);
        assert_close(shares, &[0.2, 0.8, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }
}
