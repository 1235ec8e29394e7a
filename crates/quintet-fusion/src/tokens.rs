//! Multi-head attention over the tokens of an item, and the block of a transformer.
//!
//! Vaswani et al., "Attention Is All You Need", NeurIPS 2017, with the norms before the branches
//! (Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020). Head `h`
//! of a query token `i` reads the tokens `j` it is allowed to: `α_ij = softmax over allowed j of
//! q_i · k_j / √e` and `o_i = Σ_j α_ij v_j`; the heads side by side go through one linear map. A
//! token that is allowed nothing gets zeros from the sum.
//! A head is `e = ⌈dim / heads⌉` wide, so that any number of heads fits any width; the heads
//! together are `D = heads · e` wide, which is `dim` where `heads` divides it.
//! Cost: attention has `4 dim D + 3 D + dim` parameters, a block `4 dim` for its norms and
//! `2 dim hidden + hidden + dim` for its feed-forward part besides.

use burn::prelude::*;
use quintet_tensor::{
    Dropout, FitError, FusionShape, Layer, LayerNorm, Linear, Views, Weight, gelu,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::blocks::{check_shape, prefixed, title};

/// Counters of the generators of parts that one modality has to itself start here.
pub(crate) const MODALITY_COUNTER: u64 = 200;

/// Dropout in training, nothing outside.
pub(crate) type Noise = Option<Dropout>;

/// The dropout of one step, whose draws come from `rng`.
pub(crate) fn noise(rate: f32, rng: &mut ChaCha8Rng) -> Noise {
    Some(Dropout::new(rate, ChaCha8Rng::from_rng(rng)))
}

/// `x` under dropout in training, else `x`.
pub(crate) fn dropped<const D: usize>(x: Tensor<D>, noise: &mut Noise) -> Tensor<D> {
    match noise {
        Some(dropout) => dropout.apply(x),
        None => x,
    }
}

/// What a caller sets on layers of tokens.
pub(crate) struct TokenParams {
    pub(crate) layers: usize,
    pub(crate) heads: Option<usize>,
    pub(crate) dropout: f32,
}

/// Refuses shapes and parameters that no layer of tokens can serve, and gives the number of heads:
/// what was asked for, else 4, or the output width where it is smaller.
pub(crate) fn check_tokens(
    name: &str,
    params: &TokenParams,
    shape: &FusionShape,
) -> Result<usize, FitError> {
    check_shape(name, shape)?;
    let config = |reason: String| Err(FitError::Config { model: title(name), reason });
    let width = shape.d_out;
    // A layer norm over one number gives zero whatever the number is.
    if width < 2 {
        return config("the output width is 1, expected at least 2: tokens are normed".into());
    }
    if params.layers == 0 {
        return config("layers is 0, expected at least 1".into());
    }
    check_dropout(name, params.dropout)?;
    match params.heads.unwrap_or(width.min(4)) {
        heads if (1..=width).contains(&heads) => Ok(heads),
        heads => config(format!("heads is {heads}, expected from 1 to the output width {width}")),
    }
}

/// Refuses a share of dropped numbers outside `[0, 1)`.
pub(crate) fn check_dropout(name: &str, dropout: f32) -> Result<(), FitError> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    let reason = format!("dropout is {dropout}, expected a share from 0 to below 1");
    Err(FitError::Config { model: title(name), reason })
}

/// The width of the hidden layer: what was asked for, twice the output where nothing was.
pub(crate) fn hidden_width(
    name: &str,
    hidden: Option<usize>,
    d_out: usize,
) -> Result<usize, FitError> {
    match hidden {
        Some(0) => Err(FitError::Config {
            model: title(name),
            reason: "hidden is 0, expected at least 1".into(),
        }),
        Some(width) => Ok(width),
        None => Ok(2 * d_out),
    }
}

/// `x W + b` for every token, `[batch, tokens, d_in] → [batch, tokens, d_out]`.
pub(crate) fn linear(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    let y = layer.forward(x.reshape([batch * tokens, width]));
    let width = y.dims()[1];
    y.reshape([batch, tokens, width])
}

/// Layer norm of every token, `[batch, tokens, dim] → [batch, tokens, dim]`.
pub(crate) fn normed(layer: &LayerNorm, x: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    layer.forward(x.reshape([batch * tokens, width])).reshape([batch, tokens, width])
}

/// One `[batch, dim]` a token side by side: `[batch, tokens, dim]`.
pub(crate) fn as_tokens(h: Vec<Tensor<2>>) -> Tensor<3> {
    let widened = h.into_iter().map(|h| {
        let [batch, dim] = h.dims();
        h.reshape([batch, 1, dim])
    });
    Tensor::cat(widened.collect(), 1)
}

/// The mean of the tokens of the modalities that are present, `[batch, n_modalities, dim] →
/// [batch, dim]`; zero where none is.
pub(crate) fn mean_present(tokens: Tensor<3>, views: &Views) -> Tensor<2> {
    let [batch, n, dim] = tokens.dims();
    let sum = (tokens * views.mask.clone().reshape([batch, n, 1])).sum_dim(1);
    sum.reshape([batch, dim]) / views.mask.clone().sum_dim(1).clamp_min(1.0)
}

/// Attention of all heads on projections that are there already.
///
/// - `query`: `[batch, n_q, D]`; `key`, `value`: `[batch, n_k, D]`
/// - `allowed`: `[batch, n_q, n_k]`, 1 where a query may read a key, else 0
/// - output: `[batch, n_q, D]`, zero for queries that may read nothing
pub(crate) fn attend(
    [query, key, value]: [Tensor<3>; 3],
    heads: usize,
    allowed: &Tensor<3>,
    noise: &mut Noise,
) -> Tensor<3> {
    let [batch, n_q, width] = query.dims();
    let (n_k, e) = (key.dims()[1], width / heads);
    // An item has a handful of tokens: products of such small matrices cost a CPU more in calls
    // than in arithmetic, so all pairs of tokens are multiplied number by number instead.
    let keys = |x: Tensor<3>| x.reshape([batch, 1, n_k, heads, e]);
    let query = query.reshape([batch, n_q, 1, heads, e]) * (1.0 / (e as f32).sqrt());
    let logits = (query * keys(key)).sum_dim(4); // [batch, n_q, n_k, heads, 1]
    let allowed = allowed.clone().reshape([batch, n_q, n_k, 1, 1]);
    let forbidden = allowed.clone().lower_elem(0.5).expand([batch, n_q, n_k, heads, 1]);
    // Finite, so that a query that may read nothing is 0 / 1 and not NaN.
    let logits = logits.mask_fill(forbidden, -1e9);
    let largest = logits.clone().max_dim(2).detach();
    let powers = (logits - largest).exp() * allowed.clone();
    let none = allowed.max_dim(2).neg() + 1.0; // [batch, n_q, 1, 1, 1]
    let sum = powers.clone().sum_dim(2) + none;
    let weights = dropped(powers / sum, noise);
    (weights * keys(value)).sum_dim(2).reshape([batch, n_q, width])
}

/// The four linear maps of multi-head attention.
#[derive(Debug, Clone)]
pub(crate) struct MultiHead {
    pub(crate) heads: usize,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) out: Linear,
}

impl MultiHead {
    /// `heads` is at least 1.
    pub(crate) fn new(dim: usize, heads: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let width = heads * dim.div_ceil(heads);
        Self {
            heads,
            query: Linear::new(dim, width, rng, device),
            key: Linear::new(dim, width, rng, device),
            value: Linear::new(dim, width, rng, device),
            out: Linear::new(width, dim, rng, device),
        }
    }

    /// Tokens attend to each other, `[batch, tokens, dim] → [batch, tokens, dim]`.
    fn forward(&self, x: Tensor<3>, allowed: &Tensor<3>, noise: &mut Noise) -> Tensor<3> {
        let projected = [&self.query, &self.key, &self.value].map(|l| linear(l, x.clone()));
        linear(&self.out, attend(projected, self.heads, allowed, noise))
    }
}

impl Layer for MultiHead {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = prefixed("query.", &self.query);
        all.extend(prefixed("key.", &self.key));
        all.extend(prefixed("value.", &self.value));
        all.extend(prefixed("out.", &self.out));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.query.weights_mut();
        all.extend(self.key.weights_mut());
        all.extend(self.value.weights_mut());
        all.extend(self.out.weights_mut());
        all
    }
}

/// `x + W_2 gelu(W_1 LN(x) + b_1) + b_2`, token by token; GELU is the exact one, with `erf`.
#[derive(Debug, Clone)]
pub(crate) struct FeedForward {
    norm: LayerNorm,
    hidden: Linear,
    out: Linear,
}

impl FeedForward {
    pub(crate) fn new(dim: usize, hidden: usize, rng: &mut impl Rng, device: &Device) -> Self {
        Self {
            norm: LayerNorm::new(dim, device),
            hidden: Linear::new(dim, hidden, rng, device),
            out: Linear::new(hidden, dim, rng, device),
        }
    }

    /// `[batch, dim] → [batch, dim]`.
    pub(crate) fn forward(&self, x: Tensor<2>, noise: &mut Noise) -> Tensor<2> {
        let hidden = gelu(self.hidden.forward(self.norm.forward(x.clone())));
        x + dropped(self.out.forward(dropped(hidden, noise)), noise)
    }
}

impl Layer for FeedForward {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = prefixed("norm.", &self.norm);
        all.extend(prefixed("hidden.", &self.hidden));
        all.extend(prefixed("out.", &self.out));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.norm.weights_mut();
        all.extend(self.hidden.weights_mut());
        all.extend(self.out.weights_mut());
        all
    }
}

/// One block of a transformer: `x ← x + Attention(LN(x))`, then the feed-forward part.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    norm: LayerNorm,
    attention: MultiHead,
    feed_forward: FeedForward,
}

impl Block {
    pub(crate) fn new(
        [dim, hidden]: [usize; 2],
        heads: usize,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Self {
        Self {
            norm: LayerNorm::new(dim, device),
            attention: MultiHead::new(dim, heads, rng, device),
            feed_forward: FeedForward::new(dim, hidden, rng, device),
        }
    }

    /// `x`: `[batch, tokens, dim]`; `allowed`: `[batch, tokens, tokens]`. Tokens that nobody may
    /// read come out with numbers that nobody should read.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        allowed: &Tensor<3>,
        noise: &mut Noise,
    ) -> Tensor<3> {
        let attended = self.attention.forward(normed(&self.norm, x.clone()), allowed, noise);
        let x = x + dropped(attended, noise);
        let [batch, tokens, dim] = x.dims();
        let flat = self.feed_forward.forward(x.reshape([batch * tokens, dim]), noise);
        flat.reshape([batch, tokens, dim])
    }
}

impl Layer for Block {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = prefixed("norm.", &self.norm);
        all.extend(prefixed("attention.", &self.attention));
        all.extend(prefixed("feed_forward.", &self.feed_forward));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.norm.weights_mut();
        all.extend(self.attention.weights_mut());
        all.extend(self.feed_forward.weights_mut());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use quintet_tensor::tensor_to_vec;

    #[test]
    fn attention_by_hand() {
        let device = Device::flex();
        let tokens = |v: Vec<f32>, n: usize| {
            let width = v.len() / n;
            Tensor::<3>::from_data(TensorData::new(v, [1, n, width]), &device)
        };
        // Two heads of width 1. Head 0: logits q k = (ln 3, 0), weights 3/4 and 1/4 of the values
        // 4 and 8. Head 1: logits (0, 0), the mean of 1 and 3.
        let query = tokens(vec![1.0, 0.0], 1);
        let key = tokens(vec![3f32.ln(), 5.0, 0.0, 5.0], 2);
        let value = tokens(vec![4.0, 1.0, 8.0, 3.0], 2);
        let run = |allowed: Vec<f32>| {
            let allowed = tokens(allowed, 1);
            let projected = [query.clone(), key.clone(), value.clone()];
            tensor_to_vec(attend(projected, 2, &allowed, &mut None)).unwrap()
        };
        let both = run(vec![1.0, 1.0]);
        assert!((both[0] - 5.0).abs() < 1e-5 && (both[1] - 2.0).abs() < 1e-6, "{both:?}");
        assert_eq!(run(vec![0.0, 1.0]), [8.0, 3.0]);
        assert_eq!(run(vec![0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn any_number_of_heads_fits_any_width() {
        // e = ⌈5 / 3⌉ = 2, D = 6: 4 · 5 · 6 + 3 · 6 + 5.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let layer = MultiHead::new(5, 3, &mut rng, &Device::flex());
        assert_eq!(layer.n_parameters(), 143);
    }
}
