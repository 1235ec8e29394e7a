//! The networks learn: the loss of a toy task falls under Adam.

use burn::prelude::*;
use quintet_core::SeedStream;
use quintet_tensor::nn::{Loader, Params, Tuned, Tuning};
use quintet_tensor::{Adam, AdamConfig};
use quintet_text::{BagConfig, BagPooling, GruConfig, StatePooling, TextCnnConfig};

/// Texts of 3 to 9 of 20 words.
const WORDS: u32 = 20;

/// Ids one after the other, lengths, and ±1 of each text.
struct Task {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    signs: Vec<f32>,
}

impl Task {
    /// `sign` is the answer for the words of a text.
    fn new(sign: fn(&[u32]) -> bool) -> Self {
        let mut task = Self { ids: vec![], lengths: vec![], signs: vec![] };
        let mut state = 9u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..96 {
            let length = 3 + draw(7) as usize;
            let text: Vec<u32> = (0..length).map(|_| draw(WORDS)).collect();
            task.signs.push(if sign(&text) { 1.0 } else { -1.0 });
            task.lengths.push(length);
            task.ids.extend(text);
        }
        let positive = task.signs.iter().filter(|sign| **sign > 0.0).count();
        assert!((24..72).contains(&positive), "{positive} of 96");
        task
    }

    /// The mean squared error of the first number of each vector.
    fn loss(&self, vectors: Tensor<2>) -> Tensor<1> {
        let n = self.signs.len();
        let signs = TensorData::new(self.signs.clone(), [n, 1]);
        let error =
            vectors.clone().slice([0..n, 0..1]) - Tensor::from_data(signs, &vectors.device());
        (error.clone() * error).mean()
    }
}

/// Trains a network from nothing; its loss has to fall below `share` of what it was.
fn falls<N>(
    task: &Task,
    share: f32,
    init: impl Fn(&Params) -> N,
    forward: impl Fn(&N, &Task) -> Tensor<2>,
) {
    let device = Device::flex().autodiff();
    let loader = Loader::random(SeedStream::new(2), &device);
    let (seed, none) = (SeedStream::new(3), ("toy", &[][..]));
    let mut tuned = Tuned::new(loader, &init, Tuning::All, seed, none).unwrap();
    let mut adam = Adam::new(AdamConfig::new(0.02));
    let mut losses = Vec::new();
    for _ in 0..150 {
        let loss = task.loss(forward(&init(&tuned.loader().root()), task));
        losses.push(loss.clone().inner().into_scalar::<f32>());
        adam.step(&mut tuned, &mut loss.backward());
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < share * first, "the loss fell from {first} to {last}");
}

#[test]
fn textcnn_learns_pairs_of_words() {
    let config = TextCnnConfig {
        vocab_size: WORDS as usize,
        embedding_dim: 16,
        num_filters: 24,
        kernel_sizes: vec![2, 3],
        projection_dim: Some(1),
    };
    let device = Device::flex().autodiff();
    // Whether some word under 8 follows one over 12.
    let task = Task::new(|text| text.windows(2).any(|pair| pair[0] > 12 && pair[1] < 8));
    let run = |n: &quintet_text::TextCnn, t: &Task| n.forward(&t.ids, &t.lengths, &device);
    falls(&task, 0.1, |params| config.init(params), run);
}

#[test]
fn gru_learns_what_came_first() {
    let config = GruConfig {
        vocab_size: WORDS as usize,
        embedding_dim: 16,
        hidden_size: 24,
        num_layers: 1,
        bidirectional: false,
        pooling: StatePooling::Last,
        projection_dim: Some(1),
    };
    let device = Device::flex().autodiff();
    let task = Task::new(|text| text[0] >= WORDS / 2);
    let run = |n: &quintet_text::RecurrentText, t: &Task| n.forward(&t.ids, &t.lengths, &device);
    falls(&task, 0.1, |params| config.init(params), run);
}

#[test]
fn a_bag_learns_which_words_speak_for_what() {
    let config =
        BagConfig { vocab_size: WORDS as usize, embedding_dim: 2, pooling: BagPooling::Mean };
    let device = Device::flex().autodiff();
    // More words from 10 than below: a mean of ones and minus ones is not all of the way to ±1.
    let task = Task::new(|text| 2 * text.iter().filter(|word| **word >= 10).count() > text.len());
    let run = |n: &quintet_text::Bag, t: &Task| n.forward(&t.ids, &t.lengths, &device);
    falls(&task, 0.5, |params| config.init(params), run);
}
