//! Scaled dot-product attention over packed sequences (Vaswani et al., 2017).

use burn::prelude::*;
use burn::tensor::activation::softmax;

use crate::index_tensor;

/// Which tokens of its sequence a token looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionMask {
    /// All of them.
    Full,
    /// Itself and those before it.
    Causal,
}

/// Attention of several heads over the sequences of `lengths`, which lie one after the other.
/// `qkv` has queries, keys and values side by side, `[tokens, 3 · dim]`, each of them the numbers
/// of all heads. Gives `[tokens, dim]`.
///
/// # Panics
/// When the width is not 3 times a multiple of `heads`, or the lengths do not add up to the
/// number of tokens.
pub fn attention(
    qkv: Tensor<2>,
    lengths: &[usize],
    heads: usize,
    mask: AttentionMask,
) -> Tensor<2> {
    let [tokens, width] = qkv.dims();
    assert!(heads > 0 && width % (3 * heads) == 0, "{width} numbers for {heads} heads");
    assert_eq!(lengths.iter().sum::<usize>(), tokens, "the lengths of {tokens} tokens");
    #[cfg(feature = "flex")]
    if let Some(out) = super::fused::attention(&qkv, lengths, heads, mask) {
        return out;
    }
    portable(qkv, lengths, heads, mask)
}

/// The form of tensor operations: sequences are padded to the longest and packed again.
fn portable(qkv: Tensor<2>, lengths: &[usize], heads: usize, mask: AttentionMask) -> Tensor<2> {
    let [tokens, width] = qkv.dims();
    let (dim, device) = (width / 3, qkv.device());
    let (batch, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
    if longest == 0 {
        return Tensor::zeros([0, dim], &device);
    }
    let padding = Padding::new(lengths, longest);
    let d_head = dim / heads;
    let split = |x: Tensor<2>| -> Tensor<4> {
        let padded = x.select(0, index_tensor(&padding.spread, &device));
        padded.reshape([batch, longest, heads, d_head]).swap_dims(1, 2)
    };
    let part = |which: usize| qkv.clone().slice([0..tokens, which * dim..(which + 1) * dim]);
    let [q, k, v] = [0, 1, 2].map(|which| split(part(which)));
    let scores = q.matmul(k.swap_dims(2, 3)) / (d_head as f32).sqrt();
    let hidden = padding.hidden(mask, &device).expand([batch, heads, longest, longest]);
    let weights = softmax(scores.mask_fill(hidden, -1e30), 3);
    let mixed = weights.matmul(v).swap_dims(1, 2).reshape([batch * longest, dim]);
    mixed.select(0, index_tensor(&padding.gather, &device))
}

/// Where the tokens of packed sequences are in padded ones, and back.
struct Padding<'a> {
    lengths: &'a [usize],
    longest: usize,
    /// For each padded place the token; padding shows the first token of its sequence.
    spread: Vec<u32>,
    /// For each token its padded place.
    gather: Vec<u32>,
}

impl<'a> Padding<'a> {
    fn new(lengths: &'a [usize], longest: usize) -> Self {
        let (mut spread, mut gather) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (row, &length) in lengths.iter().enumerate() {
            // An empty sequence has no token of its own; what stands there is not used.
            let first = if length == 0 { 0 } else { start };
            let token = |at| (if at < length { start + at } else { first }) as u32;
            spread.extend((0..longest).map(token));
            gather.extend((0..length).map(|at| (row * longest + at) as u32));
            start += length;
        }
        Self { lengths, longest, spread, gather }
    }

    /// True where a token must not look, `[batch, 1, longest, longest]`.
    fn hidden(&self, mask: AttentionMask, device: &Device) -> Tensor<4, Bool> {
        let longest = self.longest;
        let causal = mask == AttentionMask::Causal;
        let hidden: Vec<bool> = self
            .lengths
            .iter()
            .flat_map(|&length| {
                (0..longest).flat_map(move |from| {
                    (0..longest).map(move |to| to >= length.max(1) || (causal && to > from))
                })
            })
            .collect();
        let shape = [self.lengths.len(), 1, longest, longest];
        Tensor::from_data(TensorData::new(hidden, shape), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;
    use quintet_core::SeedStream;
    use rand::RngExt;

    /// The definition, with loops.
    fn naive(qkv: &[f32], lengths: &[usize], heads: usize, dim: usize, causal: bool) -> Vec<f32> {
        let d = dim / heads;
        let mut out = vec![0.0; qkv.len() / 3];
        let mut start = 0;
        for &length in lengths {
            for (head, from) in (0..heads).flat_map(|h| (0..length).map(move |t| (h, t))) {
                let at = |part: usize, token: usize, c: usize| {
                    qkv[(start + token) * 3 * dim + part * dim + head * d + c]
                };
                let score = |to| (0..d).map(|c| at(0, from, c) * at(1, to, c)).sum::<f32>();
                let seen = if causal { from + 1 } else { length };
                let scores: Vec<f32> = (0..seen).map(|to| score(to) / (d as f32).sqrt()).collect();
                let most = scores.iter().copied().fold(f32::MIN, f32::max);
                let weights: Vec<f32> = scores.iter().map(|s| (s - most).exp()).collect();
                let total: f32 = weights.iter().sum();
                for c in 0..d {
                    let mixed: f32 =
                        weights.iter().enumerate().map(|(to, w)| w * at(2, to, c)).sum();
                    out[(start + from) * dim + head * d + c] = mixed / total;
                }
            }
            start += length;
        }
        out
    }

    #[test]
    fn both_forms_are_the_definition() {
        let (heads, dim) = (3, 24);
        let lengths = [5, 1, 0, 17, 2];
        let tokens = lengths.iter().sum();
        let mut rng = SeedStream::new(3).rng("qkv", 0);
        let numbers: Vec<f32> =
            (0..tokens * 3 * dim).map(|_| rng.random_range(-2.0..2.0)).collect();
        let qkv = TensorData::new(numbers.clone(), [tokens, 3 * dim]);
        let qkv = Tensor::<2>::from_data(qkv, &Device::flex());
        for mask in [AttentionMask::Full, AttentionMask::Causal] {
            let want = naive(&numbers, &lengths, heads, dim, mask == AttentionMask::Causal);
            let want = TensorData::new(want, [tokens, dim]);
            let tolerance = Tolerance::<f32>::absolute(1e-5);
            let fused = attention(qkv.clone(), &lengths, heads, mask).into_data();
            fused.assert_approx_eq(&want, tolerance);
            let slow = portable(qkv.clone(), &lengths, heads, mask).into_data();
            slow.assert_approx_eq(&want, tolerance);
        }
    }
}
