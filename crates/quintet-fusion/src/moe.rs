//! Mixture of experts: a gate that sees all modalities shares an item out over small networks.
//!
//! Papers: Jacobs, Jordan, Nowlan & Hinton, "Adaptive Mixtures of Local Experts", Neural
//! Computation 1991 (the dense gate); Shazeer et al., "Outrageously Large Neural Networks: The
//! Sparsely-Gated Mixture-of-Experts Layer", ICLR 2017 (`top_k`, importance loss); Fedus, Zoph &
//! Shazeer, "Switch Transformers", JMLR 2022 (switch loss).
//! With `h_m = W_m LN(x_m) + b_m` and `c = [k_1 h_1; …; k_M h_M; k_1 … k_M]`: gate `g =
//! softmax(G c + b)`, over the `top_k` largest logits where that is set; experts `E_e(c) = V_e
//! gelu(U_e c + u_e) + v_e`; `y = Σ_e g_e E_e(c)`.
//! In training `balance · P` is added to the loss, over the items of a batch that have anything:
//! `importance`: `P = Var(I) / mean(I)²` with `I_e = Σ_items g_e`, the squared coefficient of
//! variation (equation 7 of Shazeer et al.); `switch`: `P = n Σ_e f_e p_e` for `n` experts, `f_e`
//! the share of choices that fall on expert `e`, `p_e` the mean of the softmax over all experts
//! (equation 4 of Fedus et al.; 1 when all experts are used alike).
//! Differences: no noise on the gate; all experts are computed and the unused ones weighted with
//! zero, since they are small: `top_k` keeps experts apart and saves no time. Equal logits at the
//! edge of the `top_k` are all kept.
//! Cost: with `d = d_out`, `n` experts, `f = hidden` and `c = M d + M`, parameters
//! `Σ (2 d_m + d_m d + d) + n (c f + f + f d + d) + c n + n + d`; a batch `O(batch n (c f + f d))`.

use burn::prelude::*;
use burn::tensor::activation::softmax;
use quintet_core::SeedStream;
use quintet_tensor::{
    FitError, Fused, Fusion, FusionEntry, FusionShape, Layer, Linear, Views, Weight, gelu,
    parse_params,
};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blocks::{
    OUTPUT_COUNTER, Prior, Projections, check_shape, nothing_present, prefixed, title,
};
use crate::tokens::hidden_width;

const NAME: &str = "moe";

pub(crate) const ENTRY: FusionEntry = FusionEntry {
    name: NAME,
    summary: "mixture of experts over all modalities, dense or top-k gate, balanced load",
    build,
};

/// Which penalty keeps the load of the experts balanced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceLoss {
    /// The squared coefficient of variation of the sums of gates (Shazeer et al. 2017); 0 at best.
    #[default]
    Importance,
    /// Shares of choices times mean probabilities (Fedus et al. 2022); 1 when balanced.
    Switch,
}

/// Parameters of [`Moe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MoeParams {
    /// Experts, at least 2.
    pub experts: usize,
    /// Width of the hidden layer of an expert; twice the output width by default.
    pub hidden: Option<usize>,
    /// How many experts an item uses, from 1 to `experts`; all of them by default.
    pub top_k: Option<usize>,
    /// Weight of the penalty on unequal loads, 0 or more.
    pub balance: f32,
    /// The penalty: `importance` or `switch`.
    pub balance_loss: BalanceLoss,
}

impl Default for MoeParams {
    fn default() -> Self {
        Self {
            experts: 4,
            hidden: None,
            top_k: None,
            balance: 0.01,
            balance_loss: BalanceLoss::Importance,
        }
    }
}

/// Mixture of experts.
#[derive(Debug, Clone)]
pub struct Moe {
    projections: Projections,
    gate: Linear,
    experts: Vec<Expert>,
    prior: Prior,
    params: MoeParams,
    d_out: usize,
}

#[derive(Debug, Clone)]
struct Expert {
    hidden: Linear,
    out: Linear,
}

/// What the gate says, both `[batch, experts]`.
struct Gate {
    /// Softmax over all experts.
    all: Tensor<2>,
    /// Softmax over the chosen ones, zero for the others.
    chosen: Tensor<2>,
}

impl Moe {
    /// Builds the layer with start values drawn from `seed`.
    ///
    /// # Errors
    /// The shape has no modality, one narrower than 2, or no output; a parameter is out of range.
    pub fn new(
        params: MoeParams,
        shape: &FusionShape,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        check_shape(NAME, shape)?;
        check(&params)?;
        let (n, d_out) = (shape.modalities.len(), shape.d_out);
        let hidden = hidden_width(NAME, params.hidden, d_out)?;
        let width = n * d_out + n;
        let mut rng = seed.rng("fusion", OUTPUT_COUNTER);
        let gate = Linear::new(width, params.experts, &mut rng, device);
        let expert = |_| Expert {
            hidden: Linear::new(width, hidden, &mut rng, device),
            out: Linear::new(hidden, d_out, &mut rng, device),
        };
        Ok(Self {
            experts: (0..params.experts).map(expert).collect(),
            projections: Projections::new(shape, seed, device),
            gate,
            prior: Prior::new(d_out, device),
            params,
            d_out,
        })
    }

    /// The output and the gate.
    fn run(&self, views: &Views) -> (Tensor<2>, Gate) {
        let mut side_by_side = self.projections.forward(views);
        side_by_side.push(views.mask.clone());
        let c = Tensor::cat(side_by_side, 1); // [batch, M · d_out + M]
        let gate = self.gate(c.clone());
        let start = Tensor::zeros([views.batch(), self.d_out], &c.device());
        let fused = self.experts.iter().enumerate().fold(start, |sum, (e, expert)| {
            let y = expert.out.forward(gelu(expert.hidden.forward(c.clone())));
            sum + gate.chosen.clone().narrow(1, e, 1) * y
        });
        (self.prior.fill(fused, views), gate)
    }

    fn gate(&self, c: Tensor<2>) -> Gate {
        let logits = self.gate.forward(c);
        let all = softmax(logits.clone(), 1);
        let Some(k) = self.params.top_k else {
            return Gate { chosen: all.clone(), all };
        };
        let edge = logits.clone().detach().topk(k, 1).min_dim(1); // [batch, 1]
        let below = logits.clone().lower(edge.expand(logits.dims()));
        // The largest logit is always kept, so a row is never empty.
        Gate { chosen: softmax(logits.mask_fill(below, -1e9), 1), all }
    }

    /// `balance · P`, `[1]`.
    fn penalty(&self, gate: Gate, views: &Views) -> Tensor<1> {
        let counts = nothing_present(&views.mask).neg() + 1.0; // [batch, 1]
        let n = self.params.experts as f32;
        let penalty = match self.params.balance_loss {
            BalanceLoss::Importance => {
                let load = (gate.chosen * counts).sum_dim(0); // [1, experts]
                let mean = load.clone().mean_dim(1);
                let variance = (load - mean.clone()).powi_scalar(2).mean_dim(1);
                // A batch of items with nothing has no load.
                variance / (mean.powi_scalar(2) + 1e-10)
            }
            BalanceLoss::Switch => {
                let edge = match self.params.top_k {
                    Some(_) => gate.chosen.clone().zeros_like(),
                    None => {
                        gate.chosen.clone().max_dim(1).expand(gate.chosen.dims()) * (1.0 - 1e-6)
                    }
                };
                // Choices have no gradient; it comes through the probabilities.
                let choices = gate.chosen.greater(edge).float() * counts.clone();
                let total = choices.clone().sum().clamp_min(1.0).reshape([1, 1]);
                let items = counts.clone().sum().clamp_min(1.0).reshape([1, 1]);
                let shares = choices.sum_dim(0) / total;
                let means = (gate.all * counts).sum_dim(0) / items;
                (shares * means).sum_dim(1) * n
            }
        };
        penalty.reshape([1]) * self.params.balance
    }
}

fn check(params: &MoeParams) -> Result<(), FitError> {
    let config = |reason: String| Err(FitError::Config { model: title(NAME), reason });
    let experts = params.experts;
    if experts < 2 {
        return config(format!("experts is {experts}, expected at least 2"));
    }
    if let Some(k) = params.top_k.filter(|k| *k == 0 || *k > experts) {
        return config(format!("top_k is {k}, expected from 1 to the {experts} experts"));
    }
    if !(params.balance >= 0.0 && params.balance.is_finite()) {
        return config(format!("balance is {}, expected 0 or more", params.balance));
    }
    Ok(())
}

impl Layer for Moe {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.projections.weights();
        all.extend(prefixed("gate.", &self.gate));
        for (e, expert) in self.experts.iter().enumerate() {
            all.extend(prefixed(&format!("expert{e}.hidden."), &expert.hidden));
            all.extend(prefixed(&format!("expert{e}.out."), &expert.out));
        }
        all.push(("prior".into(), &self.prior.weight));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.projections.weights_mut();
        all.extend(self.gate.weights_mut());
        for expert in &mut self.experts {
            all.extend(expert.hidden.weights_mut());
            all.extend(expert.out.weights_mut());
        }
        all.push(&mut self.prior.weight);
        all
    }
}

impl Fusion for Moe {
    fn name(&self) -> &str {
        NAME
    }

    fn d_out(&self) -> usize {
        self.d_out
    }

    fn forward(&self, views: &Views) -> Tensor<2> {
        self.run(views).0
    }

    fn forward_train(&self, views: &Views, _rng: &mut ChaCha8Rng) -> Fused {
        let (vectors, gate) = self.run(views);
        let weighs = self.params.balance > 0.0;
        let penalty = weighs.then(|| self.penalty(gate, views));
        Fused { penalty, ..Fused::of(vectors) }
    }
}

fn build(
    params: &Value,
    shape: &FusionShape,
    seed: SeedStream,
    device: &Device,
) -> Result<Box<dyn Fusion>, FitError> {
    Ok(Box::new(Moe::new(parse_params(&title(NAME), params)?, shape, seed, device)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::tests::{assert_close, four_items, set, set_projections, two_modalities};
    use quintet_tensor::tensor_to_vec;
    use serde_json::json;

    fn layer(params: Value) -> Result<Moe, FitError> {
        let params = parse_params(&title(NAME), &params)?;
        Moe::new(params, &two_modalities(1), SeedStream::new(1), &Device::flex())
    }

    /// Gate logits by presence of (text, image): both (ln 3, 0), text (ln 3, 0), image (0, 0).
    /// Experts that always say 10 and 20. Prior 7.
    fn by_hand(params: Value) -> Moe {
        let mut layer = layer(params).unwrap();
        set_projections(&mut layer);
        let ln3 = 3f32.ln();
        set(&mut layer, "gate.weight", &[0.0, 0.0, 0.0, 0.0, ln3, 0.0, 0.0, 0.0]);
        for (e, value) in [10.0, 20.0].into_iter().enumerate() {
            set(&mut layer, &format!("expert{e}.out.weight"), &[0.0, 0.0]);
            set(&mut layer, &format!("expert{e}.out.bias"), &[value]);
        }
        layer
    }

    fn penalty(layer: &Moe) -> f32 {
        let mut rng = SeedStream::new(1).rng("step", 0);
        let fused = layer.forward_train(&four_items(&Device::flex()), &mut rng);
        tensor_to_vec(fused.penalty.unwrap()).unwrap()[0]
    }

    #[test]
    fn values_and_balance_by_hand() {
        let layer = by_hand(json!({ "experts": 2, "balance": 1.0 }));
        // Gates (3/4, 1/4), (3/4, 1/4), (1/2, 1/2).
        assert_close(layer.forward(&four_items(&Device::flex())), &[12.5, 12.5, 15.0, 7.0]);
        // Loads 2 and 1 over the three items with something: mean 3/2, variance 1/4, ratio 1/9.
        assert!((penalty(&layer) - 1.0 / 9.0).abs() < 1e-6);
    }

    #[test]
    fn the_switch_loss_by_hand() {
        let mut layer =
            by_hand(json!({ "experts": 2, "balance": 0.5, "balance_loss": "switch", "top_k": 1 }));
        set(&mut layer, "gate.bias", &[0.0, 3f32.ln() / 2.0]);
        // Logits (ln 3, ln 3 / 2) twice, (0, ln 3 / 2) once: experts 0, 0, 1.
        assert_close(layer.forward(&four_items(&Device::flex())), &[10.0, 10.0, 20.0, 7.0]);
        // The softmax over all is (√3, 1) / (1 + √3) twice and the reverse once. With a = √3 / (1 +
        // √3): p = ((2a + 1 - a) / 3, (2 (1 - a) + a) / 3), f = (2/3, 1/3).
        let a = 3f32.sqrt() / (1.0 + 3f32.sqrt());
        let expected = 0.5 * 2.0 * (2.0 / 3.0 * (1.0 + a) / 3.0 + (2.0 - a) / 9.0);
        assert!((penalty(&layer) - expected).abs() < 1e-6);
    }

    #[test]
    fn without_weight_there_is_no_penalty() {
        let layer = by_hand(json!({ "experts": 2, "balance": 0.0 }));
        let mut rng = SeedStream::new(1).rng("step", 0);
        assert!(layer.forward_train(&four_items(&Device::flex()), &mut rng).penalty.is_none());
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for (params, says) in [
            (json!({ "experts": 1 }), "experts is 1"),
            (json!({ "top_k": 5 }), "top_k is 5, expected from 1 to the 4 experts"),
            (json!({ "top_k": 0 }), "top_k is 0"),
            (json!({ "balance": -1.0 }), "balance is -1"),
            (json!({ "hidden": 0 }), "hidden is 0"),
            (json!({ "balance_loss": "cv" }), "importance"),
        ] {
            let err = layer(params).unwrap_err().to_string();
            assert!(err.contains("moe fusion") && err.contains(says), "{err}");
        }
    }
}
