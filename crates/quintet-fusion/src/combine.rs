//! Two ways to bring projections together that several layers share: the mean over what is
//! present, and a product in which the absent counts as the factor 1.

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{FusionShape, Layer, Linear, Views, Weight, normal_matrix};

use crate::blocks::prefixed;

/// `Σ k_m h_m / max(1, Σ k_m)`: `[batch, d]` from one `[batch, d]` a modality, zero in absent
/// rows. A mean, so that its scale does not depend on how much an item has.
pub(crate) fn mean_of_present(h: &[Tensor<2>], views: &Views) -> Tensor<2> {
    sum(h) / count_of_present(views)
}

/// `Σ h_m`, `[batch, d]`.
///
/// # Panics
/// When there are no modalities, which no layer is built for.
pub(crate) fn sum(h: &[Tensor<2>]) -> Tensor<2> {
    h[1..].iter().fold(h[0].clone(), |sum, h| sum + h.clone())
}

/// `max(1, Σ k_m)`, `[batch, 1]`.
pub(crate) fn count_of_present(views: &Views) -> Tensor<2> {
    views.mask.clone().sum_dim(1).clamp_min(1.0)
}

/// One factor a modality, `p_m = A_m h_m + c_m` where it is present and 1 where it is not.
///
/// The constant column `c_m` starts at 1: a product of small numbers vanishes and one of large
/// numbers explodes, and `Π (1 + a_m) ≈ 1 + Σ a_m` starts as a sum.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    parts: Vec<(Modality, Linear)>,
}

impl Factors {
    /// From projections `[batch, d_in]` to factors `[batch, d_factor]`. `A_m` starts normal with
    /// standard deviation `scale · sqrt(2 / (d_in + d_factor))`.
    pub(crate) fn new(
        shape: &FusionShape,
        [d_in, d_factor]: [usize; 2],
        scale: f32,
        seed: SeedStream,
        device: &Device,
    ) -> Self {
        let std = scale * (2.0 / (d_in + d_factor) as f32).sqrt();
        let parts = shape.modalities.iter().map(|&(modality, _)| {
            // The start of one modality does not depend on which others there are.
            let mut rng = seed.rng("factor", modality as u64);
            let mut ones = Matrix::zeros(1, d_factor);
            ones.as_mut_slice().fill(1.0);
            let linear = Linear {
                weight: Weight::new(&normal_matrix(d_in, d_factor, std, &mut rng), device),
                bias: Weight::new(&ones, device),
            };
            (modality, linear)
        });
        Self { parts: parts.collect() }
    }

    /// `Π_m p_m`, `[batch, d_factor]`; 1 in rows with nothing present.
    ///
    /// # Panics
    /// When `h` has another number of modalities or another width than the factors.
    pub(crate) fn product(&self, h: &[Tensor<2>], views: &Views) -> Tensor<2> {
        assert_eq!(h.len(), self.parts.len(), "one projection a factor");
        let factor = |m: usize| {
            let k = views.present(m);
            self.parts[m].1.forward(h[m].clone()) * k.clone() + (k.neg() + 1.0)
        };
        (1..h.len()).fold(factor(0), |product, m| product * factor(m))
    }
}

impl Layer for Factors {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::with_capacity(2 * self.parts.len());
        for (modality, linear) in &self.parts {
            all.extend(prefixed(&format!("{modality}.factor."), linear));
        }
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        self.parts.iter_mut().flat_map(|(_, linear)| linear.weights_mut()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, two_modalities};

    fn projections(device: &Device) -> Vec<Tensor<2>> {
        let column = |v: [f32; 4]| Tensor::<1>::from_floats(v, device).reshape([4, 1]);
        vec![column([2.0, 2.0, 0.0, 0.0]), column([5.0, 0.0, 5.0, 0.0])]
    }

    #[test]
    fn the_mean_runs_over_what_is_present() {
        let device = Device::flex();
        let mean = mean_of_present(&projections(&device), &four_items(&device));
        assert_close(mean, &[3.5, 2.0, 5.0, 0.0]);
    }

    #[test]
    fn the_absent_counts_as_the_factor_one() {
        let device = Device::flex();
        let shape = two_modalities(1);
        let mut factors = Factors::new(&shape, [1, 1], 1.0, SeedStream::new(1), &device);
        set(&mut factors, "text.factor.weight", &[0.5]);
        set(&mut factors, "image.factor.weight", &[2.0]);
        let product = factors.product(&projections(&device), &four_items(&device));
        // Text: 0.5·2 + 1 = 2; image: 2·5 + 1 = 11.
        assert_close(product, &[22.0, 2.0, 11.0, 1.0]);
    }
}
