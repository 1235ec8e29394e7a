//! Functions of one number, applied to each.
//!
//! Burn computes these one number after the other on one thread, forward and back; here they run
//! in vectors and in parallel.

use burn::prelude::*;
use burn::tensor::activation;

#[cfg(feature = "flex")]
use fused::{Curve, apply};

/// `1 / (1 + e^{-x})`.
pub fn sigmoid(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = apply(&x, Curve::Sigmoid) {
        return y;
    }
    activation::sigmoid(x)
}

/// The hyperbolic tangent.
pub fn tanh(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = apply(&x, Curve::Tanh) {
        return y;
    }
    x.tanh()
}

/// `x Φ(x)` with the exact distribution function (Hendrycks & Gimpel, 2016).
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = apply(&x, Curve::Gelu) {
        return y;
    }
    activation::gelu(x)
}

/// `x` where it is positive, `slope · x` elsewhere (Maas et al., 2013); a slope of 0 gives ReLU.
pub fn leaky_relu(x: Tensor<2>, slope: f32) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(y) = apply(&x, Curve::LeakyRelu(slope)) {
        return y;
    }
    activation::leaky_relu(x, f64::from(slope))
}

#[cfg(feature = "flex")]
mod fused {
    use burn::prelude::*;
    use pulp::{Arch, Simd, WithSimd};
    use rayon::prelude::*;

    use crate::nn::fused_math::{erf, exp, tanh};
    use crate::tracked::{Seen, tracked};

    /// Numbers that a thread takes at a time.
    const CHUNK: usize = 1 << 13;

    #[derive(Debug, Clone, Copy)]
    pub(super) enum Curve {
        Sigmoid,
        Tanh,
        Gelu,
        LeakyRelu(f32),
    }

    pub(super) fn apply(x: &Tensor<2>, curve: Curve) -> Option<Tensor<2>> {
        let forward = |[x]: [&[f32]; 1]| {
            let mut out = vec![0.0f32; x.len()];
            out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
                Arch::new().dispatch(Values { curve, x, out });
            });
            out
        };
        tracked([x], x.dims(), forward, move |seen: Seen<'_, 1>| {
            let mut out = seen.grad.to_vec();
            let chunks = seen.inputs[0].par_chunks(CHUNK).zip(seen.output.par_chunks(CHUNK));
            out.par_chunks_mut(CHUNK).zip(chunks).for_each(|(grad, (x, y))| {
                Arch::new().dispatch(Slopes { curve, x, y, grad });
            });
            [Some(out)]
        })
    }

    struct Values<'a> {
        curve: Curve,
        x: &'a [f32],
        out: &'a mut [f32],
    }

    impl WithSimd for Values<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let pairs = self.out.iter_mut().zip(self.x);
            match self.curve {
                Curve::Sigmoid => pairs.for_each(|(y, x)| *y = 1.0 / (1.0 + exp(-x))),
                Curve::Tanh => pairs.for_each(|(y, x)| *y = tanh(*x)),
                Curve::Gelu => pairs.for_each(|(y, &x)| *y = x * normal_below(x)),
                Curve::LeakyRelu(slope) => {
                    pairs.for_each(|(y, &x)| *y = if x > 0.0 { x } else { slope * x });
                }
            }
        }
    }

    /// Multiplies `grad` by the derivative.
    struct Slopes<'a> {
        curve: Curve,
        x: &'a [f32],
        y: &'a [f32],
        grad: &'a mut [f32],
    }

    impl WithSimd for Slopes<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self { curve, x, y, grad } = self;
            match curve {
                Curve::Sigmoid => {
                    grad.iter_mut().zip(y).for_each(|(g, y)| *g *= y * (1.0 - y));
                }
                Curve::Tanh => grad.iter_mut().zip(y).for_each(|(g, y)| *g *= 1.0 - y * y),
                Curve::Gelu => grad.iter_mut().zip(x).for_each(|(g, &x)| {
                    // The density of the normal distribution: e^{-x²/2} / √(2π).
                    *g *= normal_below(x) + x * exp(-0.5 * x * x) * 0.398_942_3;
                }),
                Curve::LeakyRelu(slope) => {
                    let slope_at = |x: f32| if x > 0.0 { 1.0 } else { slope };
                    grad.iter_mut().zip(x).for_each(|(g, &x)| *g *= slope_at(x));
                }
            }
        }
    }

    /// `Φ(x)`, the chance that a normal variable lies below `x`.
    #[inline(always)]
    fn normal_below(x: f32) -> f32 {
        0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::ops::rows::tests::{assert_same, pattern};

    #[test]
    fn both_forms_give_the_same_numbers_and_gradients() {
        let x = pattern(57, 301, 3.0);
        assert_same(std::array::from_ref(&x), |[x]| sigmoid(x), |[x]| activation::sigmoid(x), 1e-5);
        assert_same(std::array::from_ref(&x), |[x]| tanh(x), |[x]| x.tanh(), 1e-5);
        assert_same(std::array::from_ref(&x), |[x]| gelu(x), |[x]| activation::gelu(x), 1e-5);
        assert_same(
            std::array::from_ref(&x),
            |[x]| leaky_relu(x, 0.2),
            |[x]| activation::leaky_relu(x, 0.2),
            1e-6,
        );
        assert_same(&[x], |[x]| leaky_relu(x, 0.0), |[x]| activation::relu(x), 1e-6);
    }
}
