//! Low-rank bilinear pooling: a product for every pair of modalities, beside an additive model.
//!
//! `y = Σ k_m h_m / max(1, Σ k_m) + Σ_{a<b} k_a k_b P ((U_ab h_a) ∘ (V_ab h_b))` with
//! `h_m = W_m LN(x_m) + b_m` and `k_m` 1 where modality `m` is present; `P` is shared by the pairs.
//! Papers: Kim, On, Lim, Kim, Ha & Zhang, "Hadamard Product for Low-rank Bilinear Pooling", ICLR
//! 2017 <https://arxiv.org/abs/1610.04325>; Yu, Yu, Fan & Tao, "Multi-modal Factorized Bilinear
//! Pooling with Co-Attention Learning for Visual Question Answering", ICCV 2017
//! <https://arxiv.org/abs/1708.01471>. Differences: every pair of any number of modalities, and
//! linear terms; no tanh (the first) and no power normalisation (the second) after the product,
//! because the layer norm before it keeps the numbers moderate.
//! Parameters: with `ρ = rank`, `Σ (d_m (d_out + 2) + d_out) + M (M - 1) ρ d_out + ρ d_out +
//! d_out`; one modality has no pairs, and no `P`.
//! Cost: O(d_out Σ d_m + M² ρ d_out) an item.

use burn::prelude::*;
use quintet_core::{Modality, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, normal_matrix, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, check_shape, title};
use crate::combine::mean_of_present;

const NAME: &str = "bilinear";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "mean of normed projections plus a low-rank product for every pair of them",
    build,
};

/// Standard deviation of `P` at the start, relative to Xavier's, so that training starts near an
/// additive model however many pairs there are.
const OUTPUT_SCALE: f32 = 0.1;

/// Parameters of [`Bilinear`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BilinearParams {
    /// Width of the products, at least 1.
    pub rank: usize,
}

impl Default for BilinearParams {
    fn default() -> Self {
        Self { rank: 16 }
    }
}

/// Low-rank products of pairs of modalities.
#[derive(Debug, Clone)]
pub struct Bilinear {
    projections: Projections,
    pairs: Vec<Pair>,
    /// `P`, `[rank, d_out]`; none without pairs, for which it would never have a gradient.
    out: Option<Weight>,
    prior: Prior,
    d_out: usize,
}

#[derive(Debug, Clone)]
struct Pair {
    name: String,
    /// Positions of the two modalities.
    places: [usize; 2],
    /// `U_ab` and `V_ab`, `[d_out, rank]`.
    matrices: [Weight; 2],
}

impl Pair {
    fn new(
        [a, b]: [usize; 2],
        shape: &FusionShape,
        rank: usize,
        seed: SeedStream,
        device: &Device,
    ) -> Self {
        let (first, second) = (shape.modalities[a].0, shape.modalities[b].0);
        // The start of one pair does not depend on which other modalities there are.
        let mut rng = seed.rng("pair", first as u64 * Modality::ALL.len() as u64 + second as u64);
        let std = (2.0 / (shape.d_out + rank) as f32).sqrt();
        let matrices =
            [(); 2].map(|()| Weight::new(&normal_matrix(shape.d_out, rank, std, &mut rng), device));
        Self { name: format!("{first}_{second}"), places: [a, b], matrices }
    }

    /// `k_a k_b (U h_a) ∘ (V h_b)`, `[batch, rank]`.
    fn product(&self, h: &[Tensor<2>]) -> Tensor<2> {
        // Absent projections are zero, and there is no bias: the product is zero by itself.
        let [left, right] =
            [0, 1].map(|i| h[self.places[i]].clone().matmul(self.matrices[i].tensor()));
        left * right
    }
}

impl Bilinear {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `rank` is 0.
    pub fn new(
        params: &BilinearParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (rank, d_out, n) = (params.rank, shape.d_out, shape.modalities.len());
        if rank == 0 {
            let reason = "rank is 0, expected at least 1".into();
            return Err(FitError::Config { model: title(NAME), reason });
        }
        let places = (0..n).flat_map(|a| (a + 1..n).map(move |b| [a, b]));
        let pairs: Vec<Pair> = places.map(|p| Pair::new(p, shape, rank, seed, device)).collect();
        let std = OUTPUT_SCALE * (2.0 / (rank + d_out) as f32).sqrt();
        let start = normal_matrix(rank, d_out, std, &mut seed.rng("fusion", OUTPUT_COUNTER));
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            out: (!pairs.is_empty()).then(|| Weight::new(&start, device)),
            pairs,
            prior: Prior::new(d_out, device),
            d_out,
        })
    }
}

impl Layer for Bilinear {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        for pair in &self.pairs {
            let [left, right] = &pair.matrices;
            all.push((format!("{}.left", pair.name), left));
            all.push((format!("{}.right", pair.name), right));
        }
        all.extend(self.out.iter().map(|out| ("out".into(), out)));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.pairs.iter_mut().flat_map(|pair| &mut pair.matrices));
        all.extend(self.out.iter_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Bilinear {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let h = self.projections.forward(views);
        let mut fused = mean_of_present(&h, views); // [batch, d_out]
        let products = self.pairs.iter().map(|pair| pair.product(&h)).reduce(|sum, p| sum + p);
        if let (Some(products), Some(out)) = (products, &self.out) {
            fused = fused + products.matmul(out.tensor());
        }
        self.prior.fill(fused, views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Bilinear::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(rank: usize, shape: &FusionShape) -> Result<Bilinear, FitError> {
        Bilinear::new(&BilinearParams { rank }, shape, SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(2, &two_modalities(1)).unwrap();
        set_projections(&mut layer);
        set(&mut layer, "text_image.left", &[1.0, 3.0]);
        set(&mut layer, "text_image.right", &[2.0, -1.0]);
        set(&mut layer, "out", &[0.1, 0.2]);
        // Both: left (2, 6), right (10, -5), product (20, -30): 3.5 + 0.1·20 - 0.2·30.
        // One: it alone; nothing: the prior.
        assert_close(layer.forward(&four_items(&Device::flex())), &[-0.5, 2.0, 5.0, 7.0]);
    }

    #[test]
    fn one_modality_has_no_pairs() {
        let shape = FusionShape { modalities: vec![(Modality::Text, 2)], d_out: 3 };
        let names = |l: Bilinear| l.weights().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        let names = names(layer(2, &shape).unwrap());
        assert!(names.iter().all(|n| n.starts_with("text.") || n == "prior"), "{names:?}");
    }

    #[test]
    fn a_rank_of_zero_is_refused() {
        let err = layer(0, &two_modalities(1)).unwrap_err().to_string();
        assert!(err.contains("rank is 0"), "{err}");
    }
}
