//! Squeeze and excitation across modalities: what an item has in all of them sets how much of
//! each number passes.
//!
//! `z = ReLU(S [k_1 h_1; …; k_M h_M] + s)`, `E_m = σ(V_m z + v_m)`,
//! `y = Σ k_m 2 E_m ∘ h_m / max(1, Σ k_m)` with `h_m = W_m LN(x_m) + b_m` and `k_m` 1 where
//! modality `m` is present. `2 σ(0) = 1`: training starts near the mean.
//! Papers: Hu, Shen & Sun, "Squeeze-and-Excitation Networks", CVPR 2018
//! <https://arxiv.org/abs/1709.01507>; Joze, Shaban, Iuzzolino & Koishida, "MMTM: Multimodal
//! Transfer Module for CNN Fusion", CVPR 2020 <https://arxiv.org/abs/1911.08670>. Differences:
//! one vector an item, so there is nothing to pool before the squeeze.
//! Parameters: with `B = ⌈M d_out / reduction⌉`, `Σ (d_m (d_out + 2) + d_out) + (M d_out + 1) B +
//! (B + 1) M d_out + d_out`.
//! Cost: O(d_out Σ d_m + M d_out B) an item.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Linear, ShareKind, Views, Weight,
    leaky_relu, parse_params, sigmoid,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{
    OUTPUT_COUNTER, Prior, Projections, check_shape, nothing_present, prefixed, title,
};
use crate::combine::count_of_present;

const NAME: &str = "squeeze_excite";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "squeeze and excitation: all modalities together gate each dimension of each",
    build,
};

/// Parameters of [`SqueezeExcite`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqueezeExciteParams {
    /// How many times narrower the bottleneck is than all projections side by side, at least 1.
    pub reduction: usize,
}

impl Default for SqueezeExciteParams {
    fn default() -> Self {
        Self { reduction: 4 }
    }
}

/// Mean of projected modalities under gates that read all of them.
#[derive(Debug, Clone)]
pub struct SqueezeExcite {
    projections: Projections,
    squeeze: Linear,
    excite: Linear,
    prior: Prior,
    d_out: usize,
}

impl SqueezeExcite {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `reduction` is 0.
    pub fn new(
        params: &SqueezeExciteParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        if params.reduction == 0 {
            let reason = "reduction is 0, expected at least 1".into();
            return Err(FitError::Config { model: title(NAME), reason });
        }
        let whole = shape.modalities.len() * shape.d_out;
        let narrow = whole.div_ceil(params.reduction);
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            squeeze: Linear::new(whole, narrow, &mut rng, device),
            excite: Linear::new(narrow, whole, &mut rng, device),
            prior: Prior::new(shape.d_out, device),
            d_out: shape.d_out,
        })
    }

    /// The projections side by side and their excitations in `(0, 1)`, both
    /// `[batch, n_modalities, d_out]`; the first are zero where absent.
    fn excitations(&self, views: &Views) -> (Tensor<3>, Tensor<3>) {
        let shape = [views.batch(), self.projections.len(), self.d_out];
        let h = Tensor::cat(self.projections.forward(views), 1); // [batch, n · d_out]
        let z = leaky_relu(self.squeeze.forward(h.clone()), 0.0);
        let excitations = sigmoid(self.excite.forward(z));
        (h.reshape(shape), excitations.reshape(shape))
    }
}

impl Layer for SqueezeExcite {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(prefixed("squeeze.", &self.squeeze));
        all.extend(prefixed("excite.", &self.excite));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.squeeze.weights_mut());
        all.extend(self.excite.weights_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for SqueezeExcite {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let (h, excitations) = self.excitations(views);
        let sum = (excitations * h * 2.0).sum_dim(1).reshape([views.batch(), self.d_out]);
        self.prior.fill(sum / count_of_present(views), views)
    }

    /// The mean excitation of each modality over the output dimensions, divided by their sum over
    /// the present.
    fn shares(&self, views: &Views) -> Tensor<2> {
        let (_, excitations) = self.excitations(views);
        let means = excitations.mean_dim(2).reshape(views.mask.dims()) * views.mask.clone();
        let sum = means.clone().sum_dim(1) + nothing_present(&views.mask);
        means / sum
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
    Ok(Box::new(SqueezeExcite::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(reduction: usize) -> Result<SqueezeExcite, FitError> {
        let (params, shape) = (SqueezeExciteParams { reduction }, two_modalities(1));
        SqueezeExcite::new(&params, &shape, SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(2).unwrap();
        set_projections(&mut layer);
        // z = ReLU(h_text + h_image - 3): 4, 0, 2. E_text = σ(z ln 3 / 4): 3/4, 1/2, and for
        // image σ(-z ln 3 / 4): 1/4, -, 1 / (1 + √3).
        set(&mut layer, "squeeze.weight", &[1.0, 1.0]);
        set(&mut layer, "squeeze.bias", &[-3.0]);
        set(&mut layer, "excite.weight", &[3f32.ln() / 4.0, -(3f32.ln()) / 4.0]);
        let views = four_items(&Device::flex());
        // Both: (2·0.75·2 + 2·0.25·5) / 2; text: 2·0.5·2; image: 2·5 / (1 + √3); nothing: prior.
        let image = 10.0 / (1.0 + 3f32.sqrt());
        assert_close(layer.forward(&views), &[2.75, 2.0, image, 7.0]);
        assert_close(layer.shares(&views), &[0.75, 0.25, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_bottleneck_has_at_least_one_number() {
        let width = |reduction| layer(reduction).unwrap().squeeze.weight.dims()[1];
        assert_eq!((width(1), width(2), width(100)), (2, 1, 1));
        assert!(layer(0).unwrap_err().to_string().contains("reduction is 0"));
    }
}
