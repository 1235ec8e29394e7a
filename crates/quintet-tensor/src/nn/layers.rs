//! Layers over tokens, `[tokens, dim]`.

#[cfg(feature = "flex")]
use std::sync::{Arc, OnceLock};

use burn::prelude::*;
use burn::tensor::activation;

use super::params::{Init, Params, Precision};

/// What follows a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x Φ(x)` with the error function (Hendrycks and Gimpel, 2016).
    Gelu,
    /// Its approximation by tanh, as in GPT-2.
    GeluTanh,
    /// `x σ(1.702 x)`, as in CLIP.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// By the name that `config.json` of Hugging Face has for it.
    ///
    /// # Errors
    /// The name is not known; the message lists those that are.
    pub fn by_name(name: &str) -> Result<Self, String> {
        match name {
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "quick_gelu" => Ok(Self::QuickGelu),
            "relu" => Ok(Self::Relu),
            _ => Err(format!(
                "expected gelu, gelu_new, gelu_pytorch_tanh, quick_gelu or relu, found {name:?}"
            )),
        }
    }

    /// The portable form.
    pub(crate) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => x,
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => {
                // 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
                let cubic = x.clone() * x.clone() * x.clone() * 0.044_715;
                let inner = (x.clone() + cubic) * 0.797_884_6;
                x * (inner.tanh() + 1.0) * 0.5
            }
            Self::QuickGelu => x.clone() * activation::sigmoid(x * 1.702),
            Self::Relu => activation::relu(x),
            Self::Tanh => x.tanh(),
        }
    }
}

/// `y = f(x Wᵀ + b)`, `[tokens, d_in] → [tokens, d_out]`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    /// The weight in the order of the fused form, from its first use on.
    #[cfg(feature = "flex")]
    pub(super) packed: Arc<OnceLock<Option<super::fused::PackedWeight>>>,
}

impl Linear {
    /// Of a weight, `[d_out, d_in]` as PyTorch keeps it, and a bias, `[d_out]`.
    pub fn of(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self {
            weight,
            bias,
            #[cfg(feature = "flex")]
            packed: Arc::default(),
        }
    }

    /// In the precision that the arrays were asked for with; `weight` is whole.
    fn loaded(weight: Tensor<2>, bias: Option<Tensor<1>>, params: &Params) -> Self {
        let layer = Self::of(weight, bias);
        match params.precision() {
            Precision::F32 => layer,
            _ if params.failed() => layer,
            precision => layer.kept_in(precision),
        }
    }

    /// On the CPU: the weight in this precision alone. What [`Self::weight`] gives then has its
    /// shape and no numbers.
    #[cfg_attr(not(feature = "flex"), allow(unused_variables, unused_mut))]
    fn kept_in(mut self, precision: Precision) -> Self {
        #[cfg(feature = "flex")]
        if let Some(packed) = super::fused::PackedWeight::kept_in(&self.weight, precision) {
            let (shape, device) = (self.weight.dims(), self.weight.device());
            self.weight = Tensor::<2>::zeros([1, 1], &device).expand(shape);
            let _ = self.packed.set(Some(packed));
        }
        self
    }

    /// `[d_out, d_in]`.
    pub fn weight(&self) -> &Tensor<2> {
        &self.weight
    }

    /// `[d_out]`.
    pub fn bias(&self) -> Option<&Tensor<1>> {
        self.bias.as_ref()
    }

    /// Arrays `weight` and `bias`.
    pub fn new(params: &Params, d_in: usize, d_out: usize) -> Self {
        let weight = params.array("weight", [d_out, d_in], Init::Normal(0.02));
        Self::loaded(weight, Some(params.array("bias", [d_out], Init::Zeros)), params)
    }

    /// Arrays of other names; without a bias where it has no name.
    pub fn named(
        params: &Params,
        weight: &str,
        bias: Option<&str>,
        [d_in, d_out]: [usize; 2],
    ) -> Self {
        let weight = params.array(weight, [d_out, d_in], Init::Normal(0.02));
        let bias = bias.map(|name| params.array(name, [d_out], Init::Zeros));
        Self::loaded(weight, bias, params)
    }

    /// With every output multiplied by its number of `scale`, `[d_out]`, as after the parts of
    /// newer networks (LayerScale, Touvron et al., 2021).
    #[must_use]
    pub fn scaled(self, scale: Tensor<1>, params: &Params) -> Self {
        if params.failed() {
            return self;
        }
        #[cfg(feature = "flex")]
        if let Some(Some(packed)) = self.packed.get()
            && let Some(packed) = packed.scaled(&scale)
        {
            let bias = self.bias.map(|bias| bias * scale);
            let scaled = Self::of(self.weight, bias);
            let _ = scaled.packed.set(Some(packed));
            return scaled;
        }
        let weight = self.weight * scale.clone().unsqueeze_dim(1);
        Self::of(weight, self.bias.map(|bias| bias * scale))
    }

    /// With the weight kept as `[d_in, d_out]`, which GPT-2 calls `Conv1D`.
    pub fn transposed(params: &Params, d_in: usize, d_out: usize) -> Self {
        let weight = params.array("weight", [d_in, d_out], Init::Normal(0.02)).transpose();
        Self::loaded(weight, Some(params.array("bias", [d_out], Init::Zeros)), params)
    }

    /// The layers below `names`, all `[d_in, d_out]` and of one input, as one: their outputs
    /// side by side.
    ///
    /// # Panics
    /// When there is no name.
    pub fn joined(params: &Params, names: &[&str], d_in: usize, d_out: usize) -> Self {
        let parts = names.iter().map(|name| params.at(name));
        let (weights, biases): (Vec<Tensor<2>>, Vec<Tensor<1>>) = parts
            .map(|part| {
                let weight = part.array("weight", [d_out, d_in], Init::Normal(0.02));
                (weight, part.array("bias", [d_out], Init::Zeros))
            })
            .unzip();
        if params.failed() {
            // It is refused in the end; joining would take the memory that a stranger asks for.
            let width = names.len() * d_out;
            let weight = Tensor::<2>::zeros([1, 1], &weights[0].device()).expand([width, d_in]);
            return Self::of(weight, None);
        }
        Self::loaded(Tensor::cat(weights, 0), Some(Tensor::cat(biases, 0)), params)
    }

    /// `[tokens, d_in] → [tokens, d_out]`, and the activation.
    ///
    /// # Panics
    /// When `x` is not `d_in` wide.
    pub fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        self.of_sum(x, None, activation)
    }

    /// `f(x Wᵀ + b + residual)`.
    ///
    /// # Panics
    /// When `x` is not `d_in` wide or `residual` not `[tokens, d_out]`.
    pub fn forward_sum(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        activation: Activation,
    ) -> Tensor<2> {
        let expected = [x.dims()[0], self.weight.dims()[0]];
        assert_eq!(residual.dims(), expected, "a residual is [tokens, d_out]");
        self.of_sum(x, Some(residual), activation)
    }

    fn of_sum(
        &self,
        x: Tensor<2>,
        residual: Option<Tensor<2>>,
        activation: Activation,
    ) -> Tensor<2> {
        assert_eq!(x.dims()[1], self.weight.dims()[1], "a linear layer gets [tokens, d_in]");
        #[cfg(feature = "flex")]
        if let Some(y) = super::fused::linear(&x, self, residual.as_ref(), activation) {
            return y;
        }
        let y = x.matmul(self.weight.clone().transpose());
        let y = match &self.bias {
            Some(bias) => y + bias.clone().unsqueeze(),
            None => y,
        };
        activation.apply(match residual {
            Some(residual) => y + residual,
            None => y,
        })
    }
}

/// `(x - mean) / √(variance + ε) · γ + β` over the last axis (Ba et al., 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[dim]`.
    pub gamma: Tensor<1>,
    /// `[dim]`.
    pub beta: Tensor<1>,
    /// What keeps the divisor from 0.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Arrays `weight` and `bias`, or `gamma` and `beta` as in weights from TensorFlow.
    pub fn new(params: &Params, dim: usize, epsilon: f32) -> Self {
        let old = !params.has("weight") && params.has("gamma");
        let [gamma, beta] = if old { ["gamma", "beta"] } else { ["weight", "bias"] };
        let gamma = params.array(gamma, [dim], Init::Ones);
        Self { gamma, beta: params.array(beta, [dim], Init::Zeros), epsilon }
    }

    /// `[tokens, dim] → [tokens, dim]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.of_sum(x, None)
    }

    /// Of `x + residual`, as after each part of a transformer.
    pub fn forward_sum(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        self.of_sum(x, Some(residual))
    }

    fn of_sum(&self, x: Tensor<2>, residual: Option<Tensor<2>>) -> Tensor<2> {
        assert_eq!(x.dims()[1], self.gamma.dims()[0], "a layer norm gets [tokens, dim]");
        #[cfg(feature = "flex")]
        if let Some(y) = super::fused::layer_norm(&x, residual.as_ref(), self) {
            return y;
        }
        let x = match residual {
            Some(residual) => x + residual,
            None => x,
        };
        let x = x.clone() - x.mean_dim(1);
        let variance = (x.clone() * x.clone()).mean_dim(1);
        let x = x / (variance + self.epsilon).sqrt();
        x * self.gamma.clone().unsqueeze() + self.beta.clone().unsqueeze()
    }
}

/// A table of vectors.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `[rows, dim]`.
    pub weight: Tensor<2>,
}

impl Embedding {
    /// Array `weight`; a new one begins as in a transformer, small.
    pub fn new(params: &Params, rows: usize, dim: usize) -> Self {
        Self { weight: params.array("weight", [rows, dim], Init::Normal(0.02)) }
    }

    /// Array `weight`; a new one begins as large as word vectors are (uniform within ±0.25, Kim
    /// 2014): a network without norms sees nothing but its own biases in smaller ones.
    pub fn of_words(params: &Params, rows: usize, dim: usize) -> Self {
        Self { weight: params.array("weight", [rows, dim], Init::Uniform(0.25)) }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The rows of `ids`, `[ids, dim]`.
    pub fn forward(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        self.weight.clone().select(0, ids)
    }
}
