//! Additive network: the projections summed, then a multilayer perceptron.
//!
//! `u = Σ k_m (W_m LN(x_m) + b_m) / max(1, Σ k_m)`, `z_1 = f(u)`, `z_l = f(V_l z_{l-1} + c_l)` up
//! to `l = layers`, `y = U z_layers + e`; `k_m` is 1 where modality `m` is present, `f` is
//! tanh or ReLU. In training every `z_l` is under dropout.
//! Paper: the network of early multimodal recommenders, for example Oramas, Nieto, Sordo & Serra,
//! "A Deep Multimodal Approach for Cold-start Music Recommendation", DLRS 2017.
//! <https://arxiv.org/abs/1706.09739>
//! Differences: a mean over what is present in place of the sum, so that the scale does not
//! depend on how much an item has; layer norm on the inputs.
//! Parameters: with `H = hidden`, `Σ (d_m (H + 2) + H) + (layers - 1)(H² + H) + (H + 2) d_out`.
//! Cost: O(H Σ d_m + layers H² + H d_out) an item.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::{
    Dropout, FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Linear, Views, Weight,
    leaky_relu, parse_params, tanh,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{OUTPUT_COUNTER, Prior, Projections, check_shape, prefixed, title};
use crate::combine::mean_of_present;

const NAME: &str = "mlp";

pub(crate) const ENTRY: FusionEntry =
    FusionEntry { name: NAME, summary: "mean of normed projections, then hidden layers", build };

/// What the hidden layers do to each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Activation::Tanh => tanh(x),
            Activation::Relu => leaky_relu(x, 0.0),
        }
    }
}

/// Parameters of [`Mlp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MlpParams {
    /// Width of the hidden layers, at least 1.
    pub hidden: usize,
    /// Number of hidden layers, at least 1; the projections make the first.
    pub layers: usize,
    /// What the hidden layers do to each number.
    pub activation: Activation,
    /// Share of the hidden numbers that training drops, in `[0, 1)`.
    pub dropout: f32,
}

impl Default for MlpParams {
    fn default() -> Self {
        Self { hidden: 64, layers: 2, activation: Activation::Tanh, dropout: 0.1 }
    }
}

/// Multilayer perceptron over the mean of the projections.
#[derive(Debug, Clone)]
pub struct Mlp {
    params: MlpParams,
    projections: Projections,
    hidden: Vec<Linear>,
    out: Linear,
    prior: Prior,
    d_out: usize,
}

impl Mlp {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; `hidden` or `layers` is 0;
    /// `dropout` is not in `[0, 1)`.
    pub fn new(
        params: MlpParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        check(&params)?;
        let (width, d_out) = (params.hidden, shape.d_out);
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let inner = FusionShape { d_out: width, ..shape.clone() };
        Ok(Self {
            projections: Projections::new(&inner, seed, device),
            hidden: (1..params.layers)
                .map(|_| Linear::new(width, width, &mut rng, device))
                .collect(),
            out: Linear::new(width, d_out, &mut rng, device),
            prior: Prior::new(d_out, device),
            params,
            d_out,
        })
    }

    /// `[batch, d_out]`; `thin` is applied to every hidden layer.
    fn run(&self, views: &Views, mut thin: impl FnMut(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let f = self.params.activation;
        let mean = mean_of_present(&self.projections.forward(views), views); // [batch, hidden]
        let first = thin(f.apply(mean));
        let last = self.hidden.iter().fold(first, |z, layer| thin(f.apply(layer.forward(z))));
        self.prior.fill(self.out.forward(last), views)
    }
}

fn check(params: &MlpParams) -> Result<(), FitError> {
    let config = |reason: String| Err(FitError::Config { model: title(NAME), reason });
    if params.hidden == 0 {
        return config("hidden is 0, expected at least 1".into());
    }
    if params.layers == 0 {
        return config("layers is 0, expected at least 1".into());
    }
    if !(0.0..1.0).contains(&params.dropout) {
        let found = params.dropout;
        return config(format!("dropout is {found}, expected a number from 0 to below 1"));
    }
    Ok(())
}

impl Layer for Mlp {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        for (i, layer) in self.hidden.iter().enumerate() {
            all.extend(prefixed(&format!("hidden{i}."), layer));
        }
        all.extend(prefixed("out.", &self.out));
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        for layer in &mut self.hidden {
            all.extend(layer.weights_mut());
        }
        all.extend(self.out.weights_mut());
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Mlp {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        self.run(views, |z| z)
    }

    fn forward_train(&self, views: &Views, rng: &mut ChaCha8Rng) -> Fused {
        let mut dropout = Dropout::new(self.params.dropout, ChaCha8Rng::from_rng(rng));
        Fused::of(self.run(views, |z| dropout.apply(z)))
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Mlp::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};
    use quintet_tensor::tensor_to_vec;

    fn layer(params: &str) -> Result<Mlp, FitError> {
        let params = parse_params(&title(NAME), &serde_json::from_str(params).unwrap())?;
        Mlp::new(params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    #[test]
    fn values_by_hand() {
        let mut layer = layer(r#"{"hidden": 1, "layers": 2, "activation": "relu"}"#).unwrap();
        set_projections(&mut layer);
        set(&mut layer, "hidden0.weight", &[-1.0]);
        set(&mut layer, "hidden0.bias", &[4.0]);
        set(&mut layer, "out.weight", &[3.0]);
        set(&mut layer, "out.bias", &[0.25]);
        // Means 3.5, 2, 5; then ReLU(4 - mean) = 0.5, 2, 0; then 3 z + 0.25; nothing: the prior.
        assert_close(layer.forward(&four_items(&Device::flex())), &[1.75, 6.25, 0.25, 7.0]);
    }

    #[test]
    fn training_drops_hidden_numbers_and_scales_the_others() {
        let mut layer = layer(r#"{"hidden": 1, "layers": 1, "dropout": 0.5}"#).unwrap();
        set_projections(&mut layer);
        set(&mut layer, "out.weight", &[1.0]);
        let views = four_items(&Device::flex());
        let (mut dropped, mut doubled) = (0, 0);
        for step in 0..20 {
            let mut rng = SeedStream::new(2).rng("step", step);
            let y = tensor_to_vec(layer.forward_train(&views, &mut rng).vectors).unwrap();
            // tanh(2) is kept twice as large, or not at all.
            if y[1] == 0.0 {
                dropped += 1;
            } else if (y[1] - 2.0 * 2f32.tanh()).abs() < 1e-5 {
                doubled += 1;
            }
            assert!((y[3] - 7.0).abs() < 1e-5, "the prior is not under dropout");
        }
        assert_eq!(dropped + doubled, 20);
        assert!(dropped >= 4 && doubled >= 4, "{dropped} of 20 dropped at a rate of one half");
    }

    #[test]
    fn impossible_parameters_are_refused() {
        let refusal = |params: &str| layer(params).unwrap_err().to_string();
        assert!(refusal(r#"{"hidden": 0}"#).contains("hidden is 0"));
        assert!(refusal(r#"{"layers": 0}"#).contains("layers is 0"));
        assert!(refusal(r#"{"dropout": 1.0}"#).contains("dropout is 1"));
        assert!(refusal(r#"{"activation": "gelu"}"#).contains("gelu"));
    }
}
