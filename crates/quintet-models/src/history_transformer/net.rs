//! The network: item vectors to hidden states.

use burn::tensor::{Device, Tensor, TensorData, activation};
use quintet_core::{SeedStream, Sequences, UserIdx};
use quintet_tensor::{
    Dropout, FitError, Fusion, GruCell, Layer, LayerNorm, Linear, Weight, dot, normal_matrix,
    select_rows,
};
use rand::Rng;

use super::windows::Window;
use super::{HistoryBody, HistoryTransformerConfig};
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

/// What turns the items that were read into states.
enum Body {
    Transformer(Box<Transformer>),
    /// A layer over the states of the one below.
    Gru(Vec<GruCell>),
}

/// Attention blocks between positions and a norm.
struct Transformer {
    /// `[max_len, dim]`, the last row for the last item.
    positions: Weight,
    blocks: Vec<Block>,
    last_norm: LayerNorm,
    heads: usize,
}

/// Where the items of several rows lie when all are padded to one length: rows are padded at their
/// end, where no earlier place sees it, with a row of zeros.
struct Padded {
    rows: usize,
    len: usize,
    /// `[rows · len]`: places in the vectors, `padding` where there is no item.
    inputs: Vec<u32>,
    /// Row and step of each item that is read, in their order.
    real: Vec<(usize, usize)>,
}

impl Padded {
    fn new(read: &[u32], lengths: &[usize], padding: u32) -> Self {
        let (rows, len) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let mut inputs = vec![padding; rows * len];
        let mut real = Vec::with_capacity(read.len());
        let mut read = read.iter();
        for (row, length) in lengths.iter().enumerate() {
            for (step, item) in read.by_ref().take(*length).enumerate() {
                inputs[row * len + step] = *item;
                real.push((row, step));
            }
        }
        Self { rows, len, inputs, real }
    }
}

impl Transformer {
    /// `table`: `[n + 1, dim]`, the last row zeros.
    fn states(
        &self,
        table: Tensor<2>,
        (padded, lengths): (&Padded, &[usize]),
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let ([_, dim], device) = (table.dims(), table.device());
        let ([max_len, _], len) = (self.positions.dims(), padded.len);
        let mut places = vec![max_len as u32 - 1; padded.inputs.len()];
        let mut real = Vec::with_capacity(padded.real.len());
        for &(row, step) in &padded.real {
            places[row * len + step] = (max_len - lengths[row] + step) as u32;
            real.push((row * len + step) as u32);
        }
        let input = select_rows(table, &padded.inputs).mul_scalar((dim as f32).sqrt());
        let mut h = dropout.apply(input + select_rows(self.positions.tensor(), &places));
        let later: Vec<f32> =
            (0..len * len).map(|at| if at % len > at / len { -1e9 } else { 0.0 }).collect();
        let mask = Tensor::<3>::from_data(TensorData::new(later, [1, len, len]), &device);
        for block in &self.blocks {
            h = block.forward(h, &mask, (padded.rows, self.heads), dropout);
        }
        self.last_norm.forward(select_rows(h, &real))
    }

    fn longest(&self) -> Result<f32, FitError> {
        let (gain, bias) = (self.last_norm.gain.to_matrix()?, self.last_norm.bias.to_matrix()?);
        let largest = gain.as_slice().iter().fold(0.0f32, |m, g| m.max(g.abs()));
        let bias = dot(bias.as_slice(), bias.as_slice()).sqrt();
        Ok(largest * (gain.cols() as f32).sqrt() + bias)
    }
}

/// As [`Transformer::states`], by recurrent layers.
fn recurrent_states(
    cells: &[GruCell],
    table: Tensor<2>,
    padded: &Padded,
    dropout: &mut Dropout,
) -> Tensor<2> {
    let [_, dim] = table.dims();
    let (rows, len) = (padded.rows, padded.len);
    let mut states: Vec<Option<Tensor<2>>> = vec![None; cells.len()];
    let mut hidden = Vec::with_capacity(len);
    for step in 0..len {
        let now: Vec<u32> = (0..rows).map(|row| padded.inputs[row * len + step]).collect();
        let input = select_rows(table.clone(), &now).mul_scalar((dim as f32).sqrt());
        let mut x = dropout.apply(input);
        for (cell, state) in cells.iter().zip(&mut states) {
            x = cell.step(x, state.take());
            *state = Some(x.clone());
        }
        hidden.push(x);
    }
    let real: Vec<u32> = padded.real.iter().map(|(row, step)| (step * rows + row) as u32).collect();
    dropout.apply(select_rows(Tensor::cat(hidden, 0), &real))
}

/// The network with the fusion layer before it.
pub(super) struct HistoryNet {
    body: Body,
    /// None where items have no content.
    pub(super) fusion: Option<Box<dyn Fusion>>,
    /// What fused vectors are multiplied by: layers give numbers of order one.
    pub(super) scale: f32,
    dim: usize,
}

impl HistoryNet {
    pub(super) fn new(
        config: &HistoryTransformerConfig,
        map: Option<&ContentMap>,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, FitError> {
        let (mut rng, dim) = (seed.rng("history-init", 0), config.dim);
        let named = (config.fusion.as_str(), &config.fusion_params);
        let fusion = map.map(|map| named_fusion(named, &map.shape(dim), seed, device));
        let each = 0..config.blocks;
        let body = match config.body {
            HistoryBody::Transformer => {
                let positions = normal_matrix(config.max_len, dim, SMALL, &mut rng);
                Body::Transformer(Box::new(Transformer {
                    positions: Weight::new(&positions, device),
                    blocks: each.map(|_| Block::new(dim, &mut rng, device)).collect(),
                    last_norm: LayerNorm::new(dim, device),
                    heads: config.heads,
                }))
            }
            HistoryBody::Gru => {
                Body::Gru(each.map(|_| GruCell::new(dim, &mut rng, device)).collect())
            }
        };
        Ok(Self { body, fusion: fusion.transpose()?, scale: 1.0 / (dim as f32).sqrt(), dim })
    }

    /// The hidden state after each item that is read, `[read, dim]`. `read` are places in
    /// `vectors`, a row of `lengths` after the other; no row is longer than `max_len`.
    pub(super) fn states(
        &self,
        vectors: Tensor<2>,
        read: &[u32],
        lengths: &[usize],
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let ([n, dim], device) = (vectors.dims(), vectors.device());
        let padded = Padded::new(read, lengths, n as u32);
        let table = Tensor::cat(vec![vectors, Tensor::zeros([1, dim], &device)], 0);
        match &self.body {
            Body::Transformer(body) => body.states(table, (&padded, lengths), dropout),
            Body::Gru(cells) => recurrent_states(cells, table, &padded, dropout),
        }
    }

    /// No hidden state is longer: a normed row has the length `√dim`, times the largest gain; a
    /// recurrent state is a mean of hyperbolic tangents.
    pub(super) fn longest(&self) -> Result<f32, FitError> {
        match &self.body {
            Body::Transformer(body) => body.longest(),
            Body::Gru(_) => Ok((self.dim as f32).sqrt()),
        }
    }
}

impl Layer for HistoryNet {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = Vec::new();
        match &self.body {
            Body::Transformer(body) => {
                all.push(("positions".to_owned(), &body.positions));
                for (at, block) in body.blocks.iter().enumerate() {
                    for (name, layer) in block.named() {
                        all.extend(prefixed(&format!("{at}.{name}."), layer));
                    }
                }
                all.extend(prefixed("last_norm.", &body.last_norm));
            }
            Body::Gru(cells) => {
                for (at, cell) in cells.iter().enumerate() {
                    all.extend(prefixed(&format!("{at}."), cell));
                }
            }
        }
        all.extend(self.fusion.iter().flat_map(|fusion| prefixed("fusion.", &**fusion)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = Vec::new();
        match &mut self.body {
            Body::Transformer(body) => {
                all.push(&mut body.positions);
                for block in &mut body.blocks {
                    block
                        .layers_mut()
                        .into_iter()
                        .for_each(|layer| all.extend(layer.weights_mut()));
                }
                all.extend(body.last_norm.weights_mut());
            }
            Body::Gru(cells) => all.extend(cells.iter_mut().flat_map(Layer::weights_mut)),
        }
        all.extend(self.fusion.iter_mut().flat_map(|fusion| fusion.weights_mut()));
        all
    }
}
