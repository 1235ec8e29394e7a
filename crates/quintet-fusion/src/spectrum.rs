//! Fusion of spectra: the modalities meet in the frequency domain, where a product is a circular
//! convolution.
//!
//! `G_m = F h_m ∘ w_m`, `y = F⁻¹ ((Π_{m present} G_m + Σ_{m present} G_m) / 2)` with
//! `h_m = W_m LN(x_m) + b_m`, `F` the orthonormal discrete Fourier transform of real vectors and
//! `w_m` a complex filter that starts at 1. An absent modality is the factor 1 and the addend 0.
//! Paper: Ong & Khong, "Spectrum-based Modality Representation Fusion Graph Convolutional Network
//! for Multimodal Recommendation", WSDM 2025. <https://arxiv.org/abs/2412.14978> Differences: one
//! vector, where the paper keeps a view for each modality and one for the product; the product
//! uses the modalities' filters and has none of its own; filters start at 1 instead of random.
//! Parameters: with `K = ⌊d_out / 2⌋ + 1` frequencies, `Σ (d_m (d_out + 2) + d_out) + 2 M K +
//! d_out`. The imaginary parts of frequency 0, and of the highest one of an even width, do not
//! survive the inverse transform.
//! Cost: O(d_out Σ d_m + M d_out²) an item: the transforms are products with constant matrices.

use std::f64::consts::TAU;

use burn::prelude::*;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Views, Weight, matrix_to_tensor,
    parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{Prior, Projections, check_shape, title};

const NAME: &str = "spectrum";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "filtered spectra of normed projections, their product and their sum",
    build,
};

/// Parameters of [`Spectrum`]: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpectrumParams {}

/// Sum and product of filtered spectra.
#[derive(Debug, Clone)]
pub struct Spectrum {
    projections: Projections,
    filters: Vec<(Modality, Complex<Weight>)>,
    transform: Transform,
    prior: Prior,
    d_out: usize,
}

/// A real and an imaginary part.
#[derive(Debug, Clone)]
struct Complex<T> {
    real: T,
    imaginary: T,
}

impl Complex<Tensor<2>> {
    fn times(self, other: Self) -> Self {
        let (a, b, c, d) = (self.real, self.imaginary, other.real, other.imaginary);
        Self { real: a.clone() * c.clone() - b.clone() * d.clone(), imaginary: a * d + b * c }
    }

    fn plus(self, other: Self) -> Self {
        Self { real: self.real + other.real, imaginary: self.imaginary + other.imaginary }
    }

    /// Itself in the rows where `k`, `[batch, 1]`, is 1, the number 1 where it is 0.
    fn or_one(self, k: &Tensor<2>) -> Self {
        let one = k.clone().neg() + 1.0;
        Self { real: self.real * k.clone() + one, imaginary: self.imaginary * k.clone() }
    }
}

/// The discrete Fourier transform of real vectors of `n` numbers and its inverse, orthonormal,
/// as constant matrices.
#[derive(Debug, Clone)]
struct Transform {
    /// `[n, K]`.
    to: Complex<Tensor<2>>,
    /// `[K, n]`.
    from: Complex<Tensor<2>>,
}

impl Transform {
    fn new(n: usize, device: &Device) -> Self {
        let frequencies = n / 2 + 1;
        let (mut cos, mut sin) = (Matrix::zeros(n, frequencies), Matrix::zeros(n, frequencies));
        let (mut back_cos, mut back_sin) =
            (Matrix::zeros(frequencies, n), Matrix::zeros(frequencies, n));
        for t in 0..n {
            for k in 0..frequencies {
                // Frequencies without a conjugate partner count once, and are real.
                let single = k == 0 || 2 * k == n;
                let twice = if single { 1.0 } else { 2.0 };
                // The remainder keeps the angle exact for wide vectors.
                let angle = TAU * ((t * k) % n) as f64 / n as f64;
                let (c, s) = (angle.cos() / (n as f64).sqrt(), angle.sin() / (n as f64).sqrt());
                let s = if single { 0.0 } else { s };
                cos.row_mut(t)[k] = c as f32;
                sin.row_mut(t)[k] = -s as f32;
                back_cos.row_mut(k)[t] = (twice * c) as f32;
                back_sin.row_mut(k)[t] = -(twice * s) as f32;
            }
        }
        let tensor = |m: &Matrix| matrix_to_tensor(m, device);
        Self {
            to: Complex { real: tensor(&cos), imaginary: tensor(&sin) },
            from: Complex { real: tensor(&back_cos), imaginary: tensor(&back_sin) },
        }
    }

    /// `[batch, n]` to its spectrum `[batch, K]`.
    fn spectrum(&self, x: Tensor<2>) -> Complex<Tensor<2>> {
        Complex {
            real: x.clone().matmul(self.to.real.clone()),
            imaginary: x.matmul(self.to.imaginary.clone()),
        }
    }

    /// A spectrum `[batch, K]` to real numbers `[batch, n]`.
    fn inverse(&self, s: Complex<Tensor<2>>) -> Tensor<2> {
        s.real.matmul(self.from.real.clone()) + s.imaginary.matmul(self.from.imaginary.clone())
    }
}

impl Spectrum {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output.
    pub fn new(
        _params: SpectrumParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let d_out = shape.d_out;
        let zeros = Matrix::zeros(1, d_out / 2 + 1);
        let mut ones = zeros.clone();
        ones.as_mut_slice().fill(1.0);
        let filter = |&(modality, _): &(Modality, usize)| {
            let [real, imaginary] = [&ones, &zeros].map(|start| Weight::new(start, device));
            (modality, Complex { real, imaginary })
        };
        Ok(Self {
            projections: Projections::new(shape, seed, device),
            filters: shape.modalities.iter().map(filter).collect(),
            transform: Transform::new(d_out, device),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }
}

impl Layer for Spectrum {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        for (modality, filter) in &self.filters {
            all.push((format!("{modality}.filter.real"), &filter.real));
            all.push((format!("{modality}.filter.imaginary"), &filter.imaginary));
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        for (_, filter) in &mut self.filters {
            all.extend([&mut filter.real, &mut filter.imaginary]);
        }
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Spectrum {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let h = self.projections.forward(views).into_iter();
        let terms = h.zip(&self.filters).enumerate().map(|(m, (h, (_, filter)))| {
            let filter =
                Complex { real: filter.real.tensor(), imaginary: filter.imaginary.tensor() };
            // The spectrum of an absent modality is zero, as its projection is.
            let filtered = self.transform.spectrum(h).times(filter); // [batch, K]
            (filtered.clone().or_one(&views.present(m)), filtered)
        });
        let whole = terms.reduce(|(product, sum), (p, s)| (product.times(p), sum.plus(s)));
        let fused = match whole {
            Some((product, sum)) => self.transform.inverse(product.plus(sum)) * 0.5,
            None => Tensor::zeros([views.batch(), self.d_out], &views.mask.device()),
        };
        self.prior.fill(fused, views)
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Spectrum::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, two_modalities};

    #[test]
    fn a_product_of_spectra_is_a_circular_convolution() {
        let device = Device::flex();
        for n in 1..=7 {
            let transform = Transform::new(n, &device);
            let a: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin()).collect();
            let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.9).cos()).collect();
            let row = |v: &[f32]| Tensor::<1>::from_floats(v, &device).reshape([1, n]);
            let (x, y) = (transform.spectrum(row(&a)), transform.spectrum(row(&b)));
            assert_close(transform.inverse(x.clone()), &a);
            let lag = |t: usize| (0..n).map(|s| a[s] * b[(t + n - s) % n]).sum::<f32>();
            let expected: Vec<f32> = (0..n).map(|t| lag(t) / (n as f32).sqrt()).collect();
            assert_close(transform.inverse(x.times(y)), &expected);
        }
    }

    #[test]
    fn values_by_hand() {
        let (shape, device) = (two_modalities(2), Device::flex());
        let mut layer =
            Spectrum::new(SpectrumParams {}, &shape, SeedStream::new(1), &device).unwrap();
        // h_text = (3, 1) and h_image = (2, 4): LN gives (-1, 1), only its second number is read.
        set(&mut layer, "text.project.weight", &[0.0, 0.0, 3.0, 1.0]);
        set(&mut layer, "image.project.weight", &[0.0, 0.0, 2.0, 4.0]);
        set(&mut layer, "prior", &[7.0, 8.0]);
        let r = 2f32.sqrt();
        // Spectra (a + b, a - b) / √2: text (4, 2) / √2, image (6, -2) / √2. Their product (12, -2)
        // back: (10, 14) / √2; the sum of the vectors: (5, 5).
        let both = [(10.0 / r + 5.0) / 2.0, (14.0 / r + 5.0) / 2.0];
        let expected = [both[0], both[1], 3.0, 1.0, 2.0, 4.0, 7.0, 8.0];
        assert_close(layer.forward(&four_items(&device)), &expected);
        // Without the text's difference, both numbers of its vector are its mean, 2.
        set(&mut layer, "text.filter.real", &[1.0, 0.0]);
        // Product (12, 0) back: (12, 12) / √2; sum of the vectors: (4, 6).
        let both = [(12.0 / r + 4.0) / 2.0, (12.0 / r + 6.0) / 2.0];
        let expected = [both[0], both[1], 2.0, 2.0, 2.0, 4.0, 7.0, 8.0];
        assert_close(layer.forward(&four_items(&device)), &expected);
    }
}
