//! Dropout whose draws depend on the seed, the epoch and the batch alone (Srivastava et al.,
//! "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014).
//!
//! Burn's dropout draws from a generator of the whole process, which no run can go back to.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Sets each number to 0 with probability `rate` and scales the others by `1 / (1 - rate)`.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Numbers below it, of 2^16, are dropped.
    below: u16,
    rng: ChaCha8Rng,
}

impl Dropout {
    /// `rate` lies in `[0, 1)`; it is rounded to 16 bits.
    pub fn new(rate: f32, rng: ChaCha8Rng) -> Self {
        Self { below: (rate * 65536.0) as u16, rng }
    }

    /// Drops numbers of `x`; the next call draws others.
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        if self.below == 0 {
            return x;
        }
        let dims = x.dims();
        let mut bytes = vec![0u8; 2 * dims.iter().product::<usize>()];
        self.rng.fill_bytes(&mut bytes);
        let scale = 65536.0 / (65536.0 - f32::from(self.below));
        let keep = |pair: &[u8; 2]| {
            if u16::from_le_bytes(*pair) < self.below { 0.0 } else { scale }
        };
        let mask: Vec<f32> = bytes.as_chunks::<2>().0.iter().map(keep).collect();
        let device = x.device();
        x * Tensor::from_data(TensorData::new(mask, dims), &device)
    }
}
