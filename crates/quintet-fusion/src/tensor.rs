//! Tensor fusion: the outer product of all modalities, every interaction of every order.
//!
//! `y = vec(h̃_1 ⊗ … ⊗ h̃_M) W` with `h̃_m = [W_m LN(x_m) + b_m; 1]`, and `[0; 1]` where modality
//! `m` is absent. The appended ones make the product hold all smaller products too: of pairs, of
//! single modalities, and the constant 1, so there is no bias.
//! Paper: Zadeh, Chen, Poria, Cambria & Morency, "Tensor Fusion Network for Multimodal Sentiment
//! Analysis", EMNLP 2017. <https://arxiv.org/abs/1707.07250> Differences: the modalities are
//! projected to `width` numbers first, and one linear layer reads the product.
//! Parameters: with `w = width`, `Σ (d_m (w + 2) + w) + (w + 1)^M d_out + d_out`.
//! Cost: O(w Σ d_m + (w + 1)^M d_out) an item; products of more than [`MAX_PRODUCT`] numbers are
//! refused.

use burn::prelude::*;
use quintet_core::{Matrix, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, normal_matrix, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, check_shape, title};

const NAME: &str = "tensor";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "tensor fusion: a linear layer over the outer product of all modalities",
    build,
};

/// The largest outer product that [`TensorFusion`] builds, numbers an item: 256 KiB, which is
/// 256 MiB for a batch of 1,024.
pub const MAX_PRODUCT: usize = 65_536;

/// Parameters of [`TensorFusion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorParams {
    /// Width to which each modality is projected, at least 1. `(width + 1)^modalities` may be
    /// [`MAX_PRODUCT`] at most.
    pub width: usize,
}

impl Default for TensorParams {
    fn default() -> Self {
        Self { width: 8 }
    }
}

/// A linear layer over the outer product of projected modalities.
#[derive(Debug, Clone)]
pub struct TensorFusion {
    projections: Projections,
    /// `W`, `[(width + 1)^n_modalities, d_out]`.
    out: Weight,
    prior: Prior,
    d_out: usize,
}

impl TensorFusion {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `width` is 0; the product
    /// has more than [`MAX_PRODUCT`] numbers.
    pub fn new(
        params: &TensorParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (width, n) = (params.width, shape.modalities.len());
        let size = product_size(width, n)?;
        let inner = FusionShape { d_out: width, ..shape.clone() };
        Ok(Self {
            projections: Projections::new(&inner, seed, device),
            out: Weight::new(&start(width, n, size, shape.d_out, seed), device),
            prior: Prior::new(shape.d_out, device),
            d_out: shape.d_out,
        })
    }
}

/// `(width + 1)^n`, if it is allowed.
fn product_size(width: usize, n: usize) -> Result<usize, FitError> {
    let config = |reason: String| FitError::Config { model: title(NAME), reason };
    if width == 0 {
        return Err(config("width is 0, expected at least 1".into()));
    }
    let size = (0..n).try_fold(1usize, |size, _| size.checked_mul(width.checked_add(1)?));
    size.filter(|size| *size <= MAX_PRODUCT).ok_or_else(|| {
        let found = size.map_or_else(String::new, |size| format!(" = {size}"));
        config(format!(
            "width is {width}, and the product of {n} modalities has ({width} + 1)^{n}{found} \
             numbers, at most {MAX_PRODUCT} are allowed; take a smaller width, or fusion `lmf`, \
             which does not build the product"
        ))
    })
}

/// Start of `W`: Xavier-normal. Rows that read one modality alone get the larger variance of an
/// additive model, because an item that has one modality is read by no others.
fn start(width: usize, n: usize, size: usize, d_out: usize, seed: SeedStream) -> Matrix {
    let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
    let mut start = normal_matrix(size, d_out, (2.0 / (size + d_out) as f32).sqrt(), &mut rng);
    let raise = ((size + d_out) as f32 / (n * width + d_out) as f32).sqrt();
    for row in (0..size).filter(|&row| degree(row, width, n) == 1) {
        start.row_mut(row).iter_mut().for_each(|v| *v *= raise);
    }
    start
}

/// How many modalities the number at `place` of the product is a product of: the digits of
/// `place` to the base `width + 1` that do not point at an appended 1.
fn degree(place: usize, width: usize, n: usize) -> usize {
    let digits = (0..n).scan(place, |rest, _| {
        let digit = *rest % (width + 1);
        *rest /= width + 1;
        Some(digit)
    });
    digits.filter(|&digit| digit < width).count()
}

impl Layer for TensorFusion {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.push(("out".into(), &self.out));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.push(&mut self.out);
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for TensorFusion {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let batch = views.batch();
        let one = Tensor::ones([batch, 1], &views.mask.device());
        let product =
            self.projections.forward(views).into_iter().fold(one.clone(), |product, h| {
                let extended = Tensor::cat(vec![h, one.clone()], 1); // [batch, width + 1]
                let [built, added] = [product.dims()[1], extended.dims()[1]];
                let outer =
                    product.reshape([batch, built, 1]) * extended.reshape([batch, 1, added]);
                outer.reshape([batch, built * added])
            });
        self.prior.fill(product.matmul(self.out.tensor()), views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(TensorFusion::new(&parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn layer(width: usize) -> Result<TensorFusion, FitError> {
        let params = TensorParams { width };
        TensorFusion::new(&params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(1).unwrap();
        set_projections(&mut layer);
        // Product (text·image, text, image, 1).
        set(&mut layer, "out", &[0.1, 2.0, 3.0, 0.5]);
        // Both: 1 + 4 + 15 + 0.5; text: 4 + 0.5; image: 15 + 0.5; nothing: the prior.
        assert_close(layer.forward(&four_items(&Device::flex())), &[20.5, 4.5, 15.5, 7.0]);
    }

    #[test]
    fn the_degree_counts_modalities() {
        // Width 2, two modalities: digits 0 and 1 read, digit 2 is the appended 1.
        let degrees: Vec<usize> = (0..9).map(|place| degree(place, 2, 2)).collect();
        assert_eq!(degrees, [2, 2, 1, 2, 2, 1, 1, 1, 0]);
    }

    #[test]
    fn a_product_that_is_too_large_is_refused() {
        // 256² = 65,536 numbers are allowed, 257² are not.
        assert_eq!(layer(255).unwrap().out.dims(), [65_536, 1]);
        let err = layer(256).unwrap_err().to_string();
        assert!(err.contains("width is 256") && err.contains("(256 + 1)^2 = 66049"), "{err}");
        assert!(err.contains("at most 65536") && err.contains("`lmf`"), "{err}");
        let huge = layer(usize::MAX).unwrap_err().to_string();
        assert!(huge.contains("at most 65536"), "{huge}");
        assert!(layer(0).unwrap_err().to_string().contains("width is 0"));
    }
}
