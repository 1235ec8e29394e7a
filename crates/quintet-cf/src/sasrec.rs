//! SASRec: what comes next, by self-attention over what came before.
//!
//! Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. With item vectors `v`,
//! learned positions `p` and `H = drop(√dim · v + p)`, each block computes
//! `Q = LN(H)`, `H ← Q + Attention(Q W_q, H W_k, H W_v)`, `F = LN(H)`,
//! `H ← F + drop(drop(relu(F W_1)) W_2)`; attention is causal, over `heads` heads, with dropout on
//! its weights. A last LN gives the hidden states; an item's score is `h · v`, with the same `v`.
//! Only the query is normalised and the residual is taken from it, as in the authors' code.
//!
//! Differences: the loss is the softmax over all items by default, which Klenitskiy & Vasilev
//! (RecSys 2023) find far stronger than the paper's one negative a position (`loss = "bce"`); all
//! of a long history is learned from, in stretches, not its last `max_len` items alone
//! (`stretches = "last"`); batches hold histories of like length and short ones are padded at
//! their end, where a causal network does not see it, with positions counted from the last item
//! as in the paper; items are moved by lazy Adam unless all of them compete.
//! Cost: parameters `items · dim + max_len · dim + blocks · 5 dim²`, one epoch `O(nnz · (dim · items
//! + blocks · (dim² + max_len · dim)))`.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::{relu, softmax};
use quintet_core::{Matrix, ModelState};
use quintet_tensor::{
    Fit, FitContext, FitError, Fitting, Layer, LayerNorm, Linear, ModelEntry, TrainingData, Weight,
    add_scaled, dot, index_tensor, parse_params,
};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sequence::model::NETWORK;
use crate::sequence::product::product;
use crate::sequence::windows::Stretches;
use crate::sequence::{
    BatchShape, Dropout, Network, NextItem, NextItemLoss, Reader, SequenceTrainer, Setup,
};

const NAME: &str = "sasrec";

/// Standard deviation of the positions at the start.
const SMALL: f32 = 0.02;

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SasRecConfig {
    /// Width of the item vectors and of the network.
    pub dim: usize,
    /// Attention blocks.
    pub blocks: usize,
    /// Attention heads; they divide `dim`.
    pub heads: usize,
    /// Most items that are looked back at.
    pub max_len: usize,
    /// Which part of a longer history is learned from.
    pub stretches: Stretches,
    /// Share of numbers that are dropped in training.
    pub dropout: f32,
    /// What is minimised: `softmax`, `sampled_softmax`, `bce`, `bpr_max` or `top1_max`.
    pub loss: NextItemLoss,
    /// Items drawn a step, for the losses that draw.
    pub negatives: usize,
    /// Items are drawn in proportion to `count^popularity_exponent`.
    pub popularity_exponent: f32,
    /// Step size of Adam.
    pub lr: f32,
    /// Stretches of histories a step.
    pub batch_size: usize,
}

impl Default for SasRecConfig {
    fn default() -> Self {
        Self {
            dim: 64,
            blocks: 2,
            heads: 1,
            max_len: 50,
            stretches: Stretches::All,
            dropout: 0.2,
            loss: NextItemLoss::Softmax,
            negatives: 256,
            popularity_exponent: 0.0,
            lr: 1e-3,
            batch_size: 128,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "the next item by self-attention over the last ones (Kang 2018)",
        build: |params| Ok(Box::new(parse_params::<SasRecConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(NextItem::load(state, load_reader)?)),
        // Softmax would learn the order of the toy world, in which nothing comes after the last
        // item, instead of its groups.
        tiny: r#"{"dim": 8, "blocks": 1, "max_len": 6, "dropout": 0.1, "loss": "bce", "lr": 0.02,
                  "batch_size": 16}"#,
    }
}

impl SasRecConfig {
    fn setup(&self) -> Setup {
        Setup {
            name: NAME,
            dim: self.dim,
            max_len: self.max_len,
            stretches: self.stretches,
            lr: self.lr,
            batch_size: self.batch_size,
            dropout: self.dropout,
            loss: self.loss,
            negatives: self.negatives,
            popularity_exponent: self.popularity_exponent,
            penalty: 1.0,
        }
    }
}

impl Fit for SasRecConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        let setup = self.setup();
        setup.validate()?;
        if self.blocks == 0 || self.heads == 0 || !self.dim.is_multiple_of(self.heads) {
            return Err(FitError::Config {
                model: NAME.into(),
                reason: format!(
                    "blocks must be at least 1 and heads divide dim; found {}, {} and {}",
                    self.blocks, self.heads, self.dim
                ),
            });
        }
        let mut rng = context.seed.rng("sasrec-init", 0);
        let network = |device: &Device| SasRec::new(self, &mut rng, device);
        SequenceTrainer::start(setup, data, context, network, load_reader)
    }
}

/// One attention block.
struct Block {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    forward_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl Block {
    fn new(dim: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut linear = || Linear::new(dim, dim, rng, device);
        let (query, key, value, inner, outer) = (linear(), linear(), linear(), linear(), linear());
        let norm = || LayerNorm::new(dim, device);
        Self { attention_norm: norm(), query, key, value, forward_norm: norm(), inner, outer }
    }

    fn layers(&self) -> [(&'static str, &dyn Layer); 7] {
        [
            ("attention_norm", &self.attention_norm),
            ("query", &self.query),
            ("key", &self.key),
            ("value", &self.value),
            ("forward_norm", &self.forward_norm),
            ("inner", &self.inner),
            ("outer", &self.outer),
        ]
    }

    /// `h`: `[rows · len, dim]`; `mask`: `[1, len, len]`, hugely negative where a key comes later.
    fn forward(
        &self,
        h: Tensor<2>,
        mask: &Tensor<3>,
        (rows, heads): (usize, usize),
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let [positions, dim] = h.dims();
        let (len, width) = (positions / rows, dim / heads);
        let split = |x: Tensor<2>| -> Tensor<3> {
            if heads == 1 {
                return x.reshape([rows, len, dim]);
            }
            let x = x.reshape([rows, len, heads, width]).swap_dims(1, 2);
            x.reshape([rows * heads, len, width])
        };
        let normed = self.attention_norm.forward(h.clone());
        // The scale goes with the query: that is `dim` numbers a position instead of `len`.
        let query = self.query.forward(normed.clone()).mul_scalar(1.0 / (width as f32).sqrt());
        let key = split(self.key.forward(h.clone()));
        let scores = split(query).matmul(key.swap_dims(1, 2)) + mask.clone(); // [rows · heads, len, len]
        let weights = dropout.apply(softmax(scores, 2));
        let mixed = weights.matmul(split(self.value.forward(h)));
        let mixed = if heads == 1 {
            mixed.reshape([positions, dim])
        } else {
            let mixed = mixed.reshape([rows, heads, len, width]).swap_dims(1, 2);
            mixed.reshape([positions, dim])
        };
        let normed = self.forward_norm.forward(normed + mixed);
        let inner = dropout.apply(relu(self.inner.forward(normed.clone())));
        normed + dropout.apply(self.outer.forward(inner))
    }
}

/// The network.
struct SasRec {
    /// `[max_len, dim]`, the last row for the last item.
    positions: Weight,
    blocks: Vec<Block>,
    last_norm: LayerNorm,
    heads: usize,
}

impl SasRec {
    fn new(config: &SasRecConfig, rng: &mut impl Rng, device: &Device) -> Self {
        let mut positions = Matrix::zeros(config.max_len, config.dim);
        if let Ok(normal) = Normal::new(0.0, SMALL) {
            positions.as_mut_slice().iter_mut().for_each(|x| *x = normal.sample(rng));
        }
        Self {
            positions: Weight::new(&positions, device),
            blocks: (0..config.blocks).map(|_| Block::new(config.dim, rng, device)).collect(),
            last_norm: LayerNorm::new(config.dim, device),
            heads: config.heads,
        }
    }
}

impl Layer for SasRec {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("positions".to_owned(), &self.positions)];
        for (at, block) in self.blocks.iter().enumerate() {
            for (name, layer) in block.layers() {
                let own = layer.weights().into_iter();
                all.extend(own.map(|(part, w)| (format!("{at}.{name}.{part}"), w)));
            }
        }
        let last = self.last_norm.weights().into_iter();
        all.extend(last.map(|(part, w)| (format!("last_norm.{part}"), w)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.positions];
        for block in &mut self.blocks {
            let layers: [&mut dyn Layer; 7] = [
                &mut block.attention_norm,
                &mut block.query,
                &mut block.key,
                &mut block.value,
                &mut block.forward_norm,
                &mut block.inner,
                &mut block.outer,
            ];
            layers.into_iter().for_each(|layer| all.extend(layer.weights_mut()));
        }
        all.extend(self.last_norm.weights_mut());
        all
    }
}

impl Network for SasRec {
    const TIME_MAJOR: bool = false;

    fn forward(
        &self,
        inputs: &[Tensor<2>],
        shape: &BatchShape,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let input = inputs[0].clone();
        let ([_, dim], device) = (input.dims(), input.device());
        let (rows, len) = (shape.rows(), shape.len);
        let [max_len, _] = self.positions.dims();
        // Positions end at the last item of a row; padding, which nobody reads, has the last one.
        let place = |n: usize, step: usize| (max_len - n + step).min(max_len - 1) as u32;
        let places: Vec<u32> =
            shape.lengths.iter().flat_map(|n| (0..len).map(|step| place(*n, step))).collect();
        let positions = self.positions.tensor().select(0, index_tensor(&places, &device));
        let mut h = dropout.apply(input.mul_scalar((dim as f32).sqrt()) + positions);
        let later: Vec<f32> =
            (0..len * len).map(|at| if at % len > at / len { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::<3>::from_data(TensorData::new(later, [1, len, len]), &device);
        for block in &self.blocks {
            h = block.forward(h, &mask, (rows, self.heads), dropout);
        }
        self.last_norm.forward(h)
    }

    fn describe(&self, state: &mut ModelState) {
        state.meta.insert(format!("{NETWORK}blocks"), self.blocks.len().to_string());
        state.meta.insert(format!("{NETWORK}heads"), self.heads.to_string());
    }
}

/// `y = x W + b` on the host.
struct HostLinear {
    weight: Matrix,
    bias: Matrix,
}

impl HostLinear {
    fn load(state: &ModelState, name: &str, dim: usize) -> Result<Self, FitError> {
        let weight = state.shaped(&format!("{NETWORK}{name}.weight"), dim, dim)?.clone();
        let bias = state.shaped(&format!("{NETWORK}{name}.bias"), 1, dim)?.clone();
        Ok(Self { weight, bias })
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let dim = self.weight.rows();
        let mut y = vec![0.0; x.len()];
        product(x, self.weight.as_slice(), [x.len() / dim, dim, dim], &mut y);
        y.chunks_exact_mut(dim).for_each(|row| add_scaled(row, 1.0, self.bias.row(0)));
        y
    }
}

/// Layer normalisation on the host.
struct HostNorm {
    gain: Matrix,
    bias: Matrix,
}

impl HostNorm {
    fn load(state: &ModelState, name: &str, dim: usize) -> Result<Self, FitError> {
        let gain = state.shaped(&format!("{NETWORK}{name}.gain"), 1, dim)?.clone();
        let bias = state.shaped(&format!("{NETWORK}{name}.bias"), 1, dim)?.clone();
        Ok(Self { gain, bias })
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let dim = self.gain.cols();
        let mut y = x.to_vec();
        for row in y.chunks_exact_mut(dim) {
            let mean = row.iter().sum::<f32>() / dim as f32;
            row.iter_mut().for_each(|v| *v -= mean);
            let variance = dot(row, row) / dim as f32;
            let scale = 1.0 / (variance + 1e-5).sqrt();
            for ((v, gain), bias) in row.iter_mut().zip(self.gain.row(0)).zip(self.bias.row(0)) {
                *v = *v * scale * gain + bias;
            }
        }
        y
    }
}

/// One attention block on the host.
struct HostBlock {
    norms: [HostNorm; 2],
    /// Query, key, value, inner, outer.
    linears: [HostLinear; 5],
}

impl HostBlock {
    fn load(state: &ModelState, at: usize, dim: usize) -> Result<Self, FitError> {
        let linear = |name: &str| HostLinear::load(state, &format!("{at}.{name}"), dim);
        let norm = |name: &str| HostNorm::load(state, &format!("{at}.{name}"), dim);
        Ok(Self {
            norms: [norm("attention_norm")?, norm("forward_norm")?],
            linears: [
                linear("query")?,
                linear("key")?,
                linear("value")?,
                linear("inner")?,
                linear("outer")?,
            ],
        })
    }

    /// The states after the block from position `from` on, of all states before it.
    fn forward(&self, h: &[f32], from: usize, heads: usize) -> Vec<f32> {
        let dim = self.norms[0].gain.cols();
        let [query, key, value, inner, outer] = &self.linears;
        let mut normed = self.norms[0].forward(&h[from * dim..]);
        let queries = query.forward(&normed);
        let (keys, values) = (key.forward(h), value.forward(h));
        let width = dim / heads;
        for (place, row) in normed.chunks_exact_mut(dim).enumerate() {
            let query = &queries[place * dim..(place + 1) * dim];
            for head in 0..heads {
                let part = head * width..(head + 1) * width;
                let of = |at: usize| at * dim + part.start..at * dim + part.end;
                let scale = 1.0 / (width as f32).sqrt();
                let mut weights: Vec<f32> = (0..=from + place)
                    .map(|at| scale * dot(&query[part.clone()], &keys[of(at)]))
                    .collect();
                let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                weights.iter_mut().for_each(|w| *w = (*w - most).exp());
                let sum: f32 = weights.iter().sum();
                for (at, w) in weights.iter().enumerate() {
                    add_scaled(&mut row[part.clone()], w / sum, &values[of(at)]);
                }
            }
        }
        let mut out = self.norms[1].forward(&normed);
        let mut hidden = inner.forward(&out);
        hidden.iter_mut().for_each(|x| *x = x.max(0.0));
        add_scaled(&mut out, 1.0, &outer.forward(&hidden));
        out
    }
}

/// The network on the host.
struct HostSasRec {
    positions: Matrix,
    blocks: Vec<HostBlock>,
    last_norm: HostNorm,
    heads: usize,
}

fn load_reader(state: &ModelState) -> Result<Box<dyn Reader>, FitError> {
    let positions = state.matrix(&format!("{NETWORK}positions"))?.clone();
    let dim = positions.cols();
    let whole = |name: &str, allowed: &dyn Fn(usize) -> bool| {
        let key = format!("{NETWORK}{name}");
        let text = state.text(&key)?;
        let number = text.parse::<usize>().ok().filter(|n| allowed(*n));
        number.ok_or_else(|| state.mismatch(&key, "a number that fits the arrays", text))
    };
    let blocks = whole("blocks", &|n| n > 0)?;
    let heads = whole("heads", &|n| n > 0 && dim.is_multiple_of(n))?;
    if positions.rows() == 0 || dim == 0 {
        return Err(state.mismatch("network.positions", "positions of some width", "none").into());
    }
    Ok(Box::new(HostSasRec {
        blocks: (0..blocks).map(|at| HostBlock::load(state, at, dim)).collect::<Result<_, _>>()?,
        last_norm: HostNorm::load(state, "last_norm", dim)?,
        positions,
        heads,
    }))
}

impl Reader for HostSasRec {
    fn max_len(&self) -> usize {
        self.positions.rows()
    }

    fn read(&self, inputs: &[f32], out: &mut [f32]) {
        let dim = self.positions.cols();
        let len = inputs.len() / dim;
        let from = (self.positions.rows() - len) * dim;
        let mut h = self.positions.as_slice()[from..].to_vec();
        add_scaled(&mut h, (dim as f32).sqrt(), inputs);
        for (at, block) in self.blocks.iter().enumerate() {
            // After the last block only the last position is looked at.
            let from = if at + 1 == self.blocks.len() { len - 1 } else { 0 };
            h = block.forward(&h, from, self.heads);
        }
        out.copy_from_slice(&self.last_norm.forward(&h));
    }

    /// A normalised row has the length `√dim`.
    fn longest(&self) -> f32 {
        let largest = self.last_norm.gain.row(0).iter().fold(0.0f32, |m, g| m.max(g.abs()));
        let bias = self.last_norm.bias.row(0);
        largest * (self.last_norm.gain.cols() as f32).sqrt() + dot(bias, bias).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::SeedStream;

    #[test]
    fn states_losses_and_gradients_are_those_of_pytorch() {
        let config =
            SasRecConfig { dim: 8, heads: 2, blocks: 2, max_len: 6, ..SasRecConfig::default() };
        let rng = SeedStream::new(1).rng("t", 0);
        let make = |device: &Device| SasRec::new(&config, &mut rng.clone(), device);
        crate::sequence::parity::check("sasrec", make, load_reader);
    }

    #[test]
    fn parameters_that_contradict_are_named() {
        let world = quintet_testkit::World::new();
        let device = Device::flex();
        let context = FitContext { device, seed: SeedStream::new(1) };
        let said =
            |config: SasRecConfig| config.start(world.data(), &context).err().unwrap().to_string();
        let base = SasRecConfig::default;
        assert!(said(SasRecConfig { heads: 3, ..base() }).contains("heads divide dim"));
        assert!(said(SasRecConfig { max_len: 0, ..base() }).contains("max_len"));
        assert!(said(SasRecConfig { dropout: 1.0, ..base() }).contains("dropout"));
        let data = TrainingData::new(&world.train, &world.features);
        let said = base().start(data, &context).err().unwrap().to_string();
        assert!(said.contains("a time column"), "{said}");
    }
}
