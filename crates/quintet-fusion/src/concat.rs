//! Concatenation: every modality to the common width, side by side, one linear layer.
//!
//! `y = W [k_1 h_1; …; k_M h_M; k_1 … k_M] + b` with `h_m = W_m LN(x_m) + b_m` and `k_m` 1 where
//! modality `m` is present. The presence flags let the layer tell "absent" from "average".
//! Cost: parameters O(Σ d_m d_out + M d_out²).

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fusion, FusionEntry, FusionShape, Layer, Linear, ShareKind, Views, Weight,
    parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{
    OUTPUT_COUNTER, Prior, Projections, check_shape, nothing_present, prefixed, title,
};

const NAME: &str = "concat";

pub(crate) const ENTRY: FusionEntry =
    FusionEntry { name: NAME, summary: "normed projections side by side, one linear layer", build };

/// Parameters of [`Concat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConcatParams {
    /// Whether the output layer also reads which modalities are present.
    pub presence_flags: bool,
}

impl Default for ConcatParams {
    fn default() -> Self {
        Self { presence_flags: true }
    }
}

/// Concatenation of projected modalities.
#[derive(Debug, Clone)]
pub struct Concat {
    params: ConcatParams,
    projections: Projections,
    out: Linear,
    prior: Prior,
    d_out: usize,
}

impl Concat {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output.
    pub fn new(
        params: ConcatParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        let (n, d_out) = (shape.modalities.len(), shape.d_out);
        let flags = if params.presence_flags { n } else { 0 };
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        Ok(Self {
            params,
            projections: Projections::new(shape, seed, device),
            out: Linear::new(n * d_out + flags, d_out, &mut rng, device),
            prior: Prior::new(d_out, device),
            d_out,
        })
    }
}

impl Layer for Concat {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(prefixed("out.", &self.out));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.out.weights_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Concat {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        let mut side_by_side = self.projections.forward(views);
        if self.params.presence_flags {
            side_by_side.push(views.mask.clone());
        }
        let fused = self.out.forward(Tensor::cat(side_by_side, 1)); // [batch, d_out]
        self.prior.fill(fused, views)
    }

    /// `‖W_m h_m‖ / Σ ‖W_j h_j‖` over the present: how long each modality's addend in the output
    /// is. Flags and biases belong to no modality and are left out; addends may also cancel.
    fn shares(&self, views: &Views) -> Tensor<2> {
        let matrix = self.out.weight.tensor();
        let length = |(m, h): (usize, Tensor<2>)| {
            let addend = h.matmul(matrix.clone().narrow(0, m * self.d_out, self.d_out));
            // The root has no gradient at zero, and all lengths may be zero.
            (addend.powi_scalar(2).sum_dim(1) + 1e-20).sqrt()
        };
        let lengths = self.projections.forward(views).into_iter().enumerate().map(length);
        let lengths = Tensor::cat(lengths.collect(), 1) * views.mask.clone(); // [batch, n]
        let sum = lengths.clone().sum_dim(1) + nothing_present(&views.mask);
        lengths / sum
    }

    fn share_kind(&self) -> ShareKind {
        ShareKind::Addends
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Concat::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};

    fn by_hand() -> Concat {
        let params = ConcatParams::default();
        let device = Device::flex();
        let mut layer =
            Concat::new(params, &two_modalities(1), SeedStream::new(1), &device).unwrap();
        set_projections(&mut layer);
        // Text counts once, image twice; flags add 100 and 1000; bias 0.5.
        set(&mut layer, "out.weight", &[1.0, 2.0, 100.0, 1000.0]);
        set(&mut layer, "out.bias", &[0.5]);
        layer
    }

    #[test]
    fn values_by_hand() {
        let (layer, views) = (by_hand(), four_items(&Device::flex()));
        // Both: 2 + 2·5 + 1100 + 0.5; text: 2 + 100 + 0.5; image: 10 + 1000 + 0.5; nothing: 7.
        let y = layer.forward(&views);
        let expected = [1112.5, 102.5, 1010.5, 7.0];
        assert_close(y * 0.1, &expected.map(|v| v * 0.1));
    }

    #[test]
    fn shares_by_hand() {
        let shares = by_hand().shares(&four_items(&Device::flex()));
        // |1·2| : |2·5| = 1/6 : 5/6.
        assert_close(shares, &[1.0 / 6.0, 5.0 / 6.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn flags_can_be_left_out_and_a_typo_is_named() {
        let device = Device::flex();
        let shape = two_modalities(3);
        let build =
            |p: &str| build(&serde_json::from_str(p).unwrap(), &shape, SeedStream::new(1), &device);
        let layer = build(r#"{"presence_flags": false}"#).unwrap();
        let weights = layer.weights();
        let out = weights.iter().find(|(name, _)| name == "out.weight").unwrap();
        assert_eq!(out.1.dims(), [6, 3]);
        let err = build(r#"{"presence_flag": false}"#).err().unwrap().to_string();
        assert!(err.contains("concat fusion") && err.contains("presence_flag"), "{err}");
    }
}
