//! The network: item vectors to hidden states.

use burn::tensor::{Device, Tensor, TensorData, activation};
use quintet_core::{SeedStream, Sequences, UserIdx};
use quintet_tensor::{
    Dropout, FitError, Fusion, Layer, LayerNorm, Linear, Weight, dot, normal_matrix, select_rows,
};
use rand::Rng;

use super::HistoryTransformerConfig;
use super::windows::Window;
use crate::content::ContentMap;
use crate::content_model::{named_fusion, prefixed};

/// Standard deviation of the positions at the start.
const SMALL: f32 = 0.02;

/// Histories to be read, one after the other.
pub(super) struct Rows {
    users: Vec<u32>,
    /// Items that are read of each.
    pub(super) lengths: Vec<usize>,
    /// What is read, and what comes next at each place.
    pub(super) read: Vec<u32>,
    pub(super) targets: Vec<u32>,
}

impl Rows {
    pub(super) fn new(sequences: &Sequences, windows: &[Window]) -> Self {
        let mut rows =
            Self { users: Vec::new(), lengths: Vec::new(), read: Vec::new(), targets: Vec::new() };
        for window in windows {
            let items = &sequences.items(UserIdx(window.user))[window.range.clone()];
            rows.users.push(window.user);
            rows.lengths.push(window.positions());
            rows.read.extend(items[..items.len() - 1].iter().map(|item| item.0));
            rows.targets.extend(items[1..].iter().map(|item| item.0));
        }
        rows
    }

    /// The user and what comes next, at each place.
    pub(super) fn pairs(&self) -> Vec<(u32, u32)> {
        let users = self.users.iter().zip(&self.lengths);
        let users = users.flat_map(|(user, n)| std::iter::repeat_n(*user, *n));
        users.zip(self.targets.iter().copied()).collect()
    }
}

/// `v`, `[n, dim]`, of ids and content, one of which is there.
pub(super) fn vectors(ids: Option<Tensor<2>>, content: Option<Tensor<2>>) -> Tensor<2> {
    match (ids, content) {
        (Some(ids), Some(content)) => ids + content,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => unreachable!("items have ids or content"),
    }
}

/// One attention block.
struct Block {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    forward_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl Block {
    fn new(dim: usize, rng: &mut impl Rng, device: &Device) -> Self {
        let mut linear = || Linear::new(dim, dim, rng, device);
        let norm = || LayerNorm::new(dim, device);
        Self {
            attention_norm: norm(),
            query: linear(),
            key: linear(),
            value: linear(),
            output: linear(),
            forward_norm: norm(),
            inner: linear(),
            outer: linear(),
        }
    }

    fn named(&self) -> [(&'static str, &dyn Layer); 8] {
        [
            ("attention_norm", &self.attention_norm),
            ("query", &self.query),
            ("key", &self.key),
            ("value", &self.value),
            ("output", &self.output),
            ("forward_norm", &self.forward_norm),
            ("inner", &self.inner),
            ("outer", &self.outer),
        ]
    }

    fn layers_mut(&mut self) -> [&mut dyn Layer; 8] {
        [
            &mut self.attention_norm,
            &mut self.query,
            &mut self.key,
            &mut self.value,
            &mut self.output,
            &mut self.forward_norm,
            &mut self.inner,
            &mut self.outer,
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
            let x = x.reshape([rows, len, heads, width]).swap_dims(1, 2);
            x.reshape([rows * heads, len, width])
        };
        let normed = self.attention_norm.forward(h.clone());
        let query = self.query.forward(normed.clone()).mul_scalar(1.0 / (width as f32).sqrt());
        let key = split(self.key.forward(normed.clone()));
        let scores = split(query).matmul(key.swap_dims(1, 2)) + mask.clone();
        let weights = dropout.apply(activation::softmax(scores, 2)); // [rows · heads, len, len]
        let mixed = weights.matmul(split(self.value.forward(normed)));
        let mixed = mixed.reshape([rows, heads, len, width]).swap_dims(1, 2);
        let mixed = self.output.forward(mixed.reshape([positions, dim]));
        let h = h + dropout.apply(mixed);
        let inner = activation::relu(self.inner.forward(self.forward_norm.forward(h.clone())));
        let outer = self.outer.forward(dropout.apply(inner));
        h + dropout.apply(outer)
    }
}

/// The network with the fusion layer before it.
pub(super) struct HistoryNet {
    /// `[max_len, dim]`, the last row for the last item.
    positions: Weight,
    blocks: Vec<Block>,
    last_norm: LayerNorm,
    /// None where items have no content.
    pub(super) fusion: Option<Box<dyn Fusion>>,
    /// What fused vectors are multiplied by: layers give numbers of order one.
    pub(super) scale: f32,
    heads: usize,
}

impl HistoryNet {
    pub(super) fn new(
        config: &HistoryTransformerConfig,
        map: Option<&ContentMap>,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let mut rng = seed.rng("history-init", 0);
        let positions = normal_matrix(config.max_len, config.dim, SMALL, &mut rng);
        let named = (config.fusion.as_str(), &config.fusion_params);
        let fusion = map.map(|map| named_fusion(named, &map.shape(config.dim), seed, device));
        Ok(Self {
            positions: Weight::new(&positions, device),
            blocks: (0..config.blocks).map(|_| Block::new(config.dim, &mut rng, device)).collect(),
            last_norm: LayerNorm::new(config.dim, device),
            fusion: fusion.transpose()?,
            scale: 1.0 / (config.dim as f32).sqrt(),
            heads: config.heads,
        })
    }

    /// The hidden state after each item that is read, `[read, dim]`. `read` are places in
    /// `vectors`, a row of `lengths` after the other; no row is longer than the positions.
    pub(super) fn states(
        &self,
        vectors: Tensor<2>,
        read: &[u32],
        lengths: &[usize],
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let ([n, dim], device) = (vectors.dims(), vectors.device());
        let [max_len, _] = self.positions.dims();
        let (rows, len) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        // Rows are padded at their end, where no earlier place sees it, with a row of zeros.
        let mut inputs = vec![n as u32; rows * len];
        let mut places = vec![max_len as u32 - 1; rows * len];
        let mut real = Vec::with_capacity(read.len());
        let mut read = read.iter();
        for (row, length) in lengths.iter().enumerate() {
            for (step, item) in read.by_ref().take(*length).enumerate() {
                let at = row * len + step;
                inputs[at] = *item;
                places[at] = (max_len - length + step) as u32;
                real.push(at as u32);
            }
        }
        let table = Tensor::cat(vec![vectors, Tensor::zeros([1, dim], &device)], 0);
        let input = select_rows(table, &inputs).mul_scalar((dim as f32).sqrt());
        let mut h = dropout.apply(input + select_rows(self.positions.tensor(), &places));
        let later: Vec<f32> =
            (0..len * len).map(|at| if at % len > at / len { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::<3>::from_data(TensorData::new(later, [1, len, len]), &device);
        for block in &self.blocks {
            h = block.forward(h, &mask, (rows, self.heads), dropout);
        }
        self.last_norm.forward(select_rows(h, &real))
    }

    /// No hidden state is longer: a normed row has the length `√dim`, times the largest gain.
    pub(super) fn longest(&self) -> Result<f32, FitError> {
        let (gain, bias) = (self.last_norm.gain.to_matrix()?, self.last_norm.bias.to_matrix()?);
        let largest = gain.as_slice().iter().fold(0.0f32, |m, g| m.max(g.abs()));
        let bias = dot(bias.as_slice(), bias.as_slice()).sqrt();
        Ok(largest * (gain.cols() as f32).sqrt() + bias)
    }
}

impl Layer for HistoryNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = vec![("positions".to_owned(), &self.positions)];
        for (at, block) in self.blocks.iter().enumerate() {
            for (name, layer) in block.named() {
                all.extend(prefixed(&format!("{at}.{name}."), layer));
            }
        }
        all.extend(prefixed("last_norm.", &self.last_norm));
        all.extend(self.fusion.iter().flat_map(|fusion| prefixed("fusion.", &**fusion)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = vec![&mut self.positions];
        for block in &mut self.blocks {
            block.layers_mut().into_iter().for_each(|layer| all.extend(layer.weights_mut()));
        }
        all.extend(self.last_norm.weights_mut());
        all.extend(self.fusion.iter_mut().flat_map(|fusion| fusion.weights_mut()));
        all
    }
}
