//! Low-rank multimodal fusion: tensor fusion without the tensor.
//!
//! `y_o = Σ_r w_r Π_m p_m[r, o] + b_o`, where `p_m = A_m [h_m; 1]` holds `rank` factors for each
//! output if modality `m` is present, and ones if it is not; `h_m = W_m LN(x_m) + b_m`.
//! Paper: Liu, Shen, Lakshminarasimhan, Liang, Zadeh & Morency, "Efficient Low-rank Multimodal
//! Fusion with Modality-Specific Factors", ACL 2018. <https://arxiv.org/abs/1806.00064>
//! Differences: the constant column starts at 1 and `b` at `-Σ w_r`, so that training starts near
//! an additive model without an offset, where the paper draws all of them.
//! Parameters: with `ρ = rank`, `Σ (d_m (d_out + 2) + d_out) + M ρ (d_out² + d_out) + ρ + 2 d_out`.
//! Cost: O(d_out Σ d_m + M ρ d_out²) an item; tensor fusion costs O(Π (d_m + 1)).

use burn::prelude::*;
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, normal_matrix, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, check_shape, title};
use crate::combine::Factors;

const NAME: &str = "lmf";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "low-rank multimodal fusion: sum of products of one factor a modality",
    build,
};

/// Parameters of [`Lmf`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LmfParams {
    /// Number of products in the sum, at least 1; the paper uses 4 to 16.
    pub rank: usize,
}

impl Default for LmfParams {
    fn default() -> Self {
        Self { rank: 8 }
    }
}

/// Sum of `rank` products over modalities.
#[derive(Debug, Clone)]
pub struct Lmf {
    params: LmfParams,
    projections: Projections,
    factors: Factors,
    /// `w`, `[1, rank]`.
    mix: Weight,
    /// `b`, `[1, d_out]`.
    bias: Weight,
    prior: Prior,
    d_out: usize,
}

impl Lmf {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `rank` is 0.
    pub fn new(
        params: LmfParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (rank, d_out) = (params.rank, shape.d_out);
        if rank == 0 {
            let reason = "rank is 0, expected at least 1".into();
            return Err(FitError::Config { model: title(NAME), reason });
        }
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let mix = normal_matrix(1, rank, (2.0 / (rank + 1) as f32).sqrt(), &mut rng);
        let mut bias = Matrix::zeros(1, d_out);
        bias.as_mut_slice().fill(-mix.as_slice().iter().sum::<f32>());
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            factors: Factors::new(shape, [d_out, rank * d_out], 1.0, seed, device),
            mix: Weight::new(&mix, device),
            bias: Weight::new(&bias, device),
            prior: Prior::new(d_out, device),
            params,
            d_out,
        })
    }
}

impl Layer for Lmf {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(self.factors.weights());
        all.push(("mix".into(), &self.mix));
        all.push(("bias".into(), &self.bias));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.factors.weights_mut());
        all.push(&mut self.mix);
        all.push(&mut self.bias);
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Lmf {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let (batch, rank) = (views.batch(), self.params.rank);
        let product = self.factors.product(&self.projections.forward(views), views);
        let product = product.reshape([batch, rank, self.d_out]);
        let mixed = product * self.mix.tensor().reshape([1, rank, 1]);
        let fused = mixed.sum_dim(1).reshape([batch, self.d_out]) + self.bias.tensor();
        self.prior.fill(fused, views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Lmf::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(rank: usize) -> Result<Lmf, FitError> {
        let shape = two_modalities(1);
        Lmf::new(LmfParams { rank }, &shape, SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(2).unwrap();
        set_projections(&mut layer);
        set(&mut layer, "text.factor.weight", &[0.5, -1.0]);
        set(&mut layer, "image.factor.weight", &[0.2, 0.4]);
        set(&mut layer, "mix", &[2.0, 1.0]);
        set(&mut layer, "bias", &[-3.0]);
        // Factors: text (2, -1), image (2, 3).
        // Both: 2·4 + 1·(-3) - 3; text: 2·2 - 1 - 3; image: 2·2 + 3 - 3; nothing: the prior.
        assert_close(layer.forward(&four_items(&Device::flex())), &[2.0, 0.0, 4.0, 7.0]);
    }

    #[test]
    fn the_start_has_no_offset() {
        let mut layer = layer(3).unwrap();
        set(&mut layer, "text.factor.weight", &[0.0; 3]);
        set(&mut layer, "image.factor.weight", &[0.0; 3]);
        assert_close(layer.forward(&four_items(&Device::flex())), &[0.0; 4]);
    }

    #[test]
    fn a_rank_of_zero_is_refused() {
        assert!(layer(0).unwrap_err().to_string().contains("rank is 0"));
    }
}
