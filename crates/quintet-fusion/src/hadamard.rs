//! Hadamard product: an additive model plus the elementwise product of one factor a modality.
//!
//! `y = Σ k_m h_m / max(1, Σ k_m) + Π p_m - 1` with `h_m = W_m LN(x_m) + b_m`, and
//! `p_m = A_m h_m + c_m` where modality `m` is present, 1 where it is not. `c_m` starts at 1 and
//! `A_m` small, so `Π p_m - 1 ≈ Σ A_m h_m`: training starts from an additive model.
//! Paper: Kim, On, Lim, Kim, Ha & Zhang, "Hadamard Product for Low-rank Bilinear Pooling", ICLR
//! 2017. <https://arxiv.org/abs/1610.04325> Differences: any number of modalities; no tanh and
//! no output projection, which the constant column and the sum make unnecessary.
//! Parameters: `Σ (d_m (d_out + 2) + d_out) + M (d_out² + d_out) + d_out`.
//! Cost: O(d_out Σ d_m + M d_out²) an item.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{Prior, Projections, check_shape, title};
use crate::combine::{Factors, mean_of_present};

const NAME: &str = "hadamard";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "mean of normed projections plus the product of one factor a modality",
    build,
};

/// Standard deviation of the factors' matrices at the start, relative to Xavier's: small beside
/// the constant 1, so that terms of second order are a tenth of those of first order.
const FACTOR_SCALE: f32 = 0.1;

/// Parameters of [`Hadamard`]: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HadamardParams {}

/// Sum and product of projected modalities.
#[derive(Debug, Clone)]
pub struct Hadamard {
    projections: Projections,
    factors: Factors,
    prior: Prior,
    d_out: usize,
}

impl Hadamard {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output.
    pub fn new(
        _params: HadamardParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let d_out = shape.d_out;
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            factors: Factors::new(shape, [d_out, d_out], FACTOR_SCALE, seed, device),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }
}

impl Layer for Hadamard {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(self.factors.weights());
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.factors.weights_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Hadamard {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let h = self.projections.forward(views);
        let product = self.factors.product(&h, views) - 1.0; // [batch, d_out]
        self.prior.fill(mean_of_present(&h, views) + product, views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Hadamard::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer() -> Hadamard {
        let (shape, device) = (two_modalities(1), Device::flex());
        let mut layer =
            Hadamard::new(HadamardParams {}, &shape, SeedStream::new(1), &device).unwrap();
        set_projections(&mut layer);
        layer
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer();
        set(&mut layer, "text.factor.weight", &[0.5]);
        set(&mut layer, "image.factor.weight", &[-0.1]);
        set(&mut layer, "image.factor.bias", &[0.7]);
        // Factors: text 0.5·2 + 1 = 2, image -0.1·5 + 0.7 = 0.2.
        // Both: 3.5 + 2·0.2 - 1; text: 2 + 2 - 1; image: 5 + 0.2 - 1; nothing: the prior.
        assert_close(layer.forward(&four_items(&Device::flex())), &[2.9, 3.0, 4.2, 7.0]);
    }

    #[test]
    fn without_slopes_only_the_sum_is_left() {
        let mut layer = layer();
        set(&mut layer, "text.factor.weight", &[0.0]);
        set(&mut layer, "image.factor.weight", &[0.0]);
        // The constants start at 1, so the product is 1.
        assert_close(layer.forward(&four_items(&Device::flex())), &[3.5, 2.0, 5.0, 7.0]);
    }
}
