//! A step of Adam in one pass over the numbers, where they lie in this process's memory.
//!
//! The portable form is a dozen operations over whole tensors, each of which reads and writes
//! memory; for a weight of millions of numbers that is most of the step. Both forms give the same
//! bytes: the operations on a number are the same, in the same order.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::prelude::*;
use burn::tensor::TensorData;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::AdamConfig;
use crate::nn::fused::numbers;

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Whether the numbers of all of them lie in this process's memory.
pub(crate) fn at_hand(all: [&Tensor<2>; 4]) -> bool {
    all.into_iter().all(|x| numbers(x).is_some())
}

/// The moved values and the new moments from the values, the moments and the gradient. What nothing
/// else holds is changed in place.
///
/// # Panics
/// When a tensor is not [`at_hand`], or the shapes differ.
pub(crate) fn update(
    config: &AdamConfig,
    (c1, c2): (f32, f32),
    state: [Tensor<2>; 3],
    grad: &Tensor<2>,
) -> [Tensor<2>; 3] {
    let mut state = state.map(whole);
    let grad = whole(grad.clone());
    let [x, m, v] = state.each_mut().map(FlexTensor::storage_mut::<f32>);
    let g = grad.storage::<f32>();
    assert!([x.len(), m.len(), v.len()] == [g.len(); 3], "a gradient of the shape of its weight");
    x.par_chunks_mut(CHUNK)
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .zip(g.par_chunks(CHUNK))
        .for_each(|(((x, m), v), g)| {
            let scalars = Scalars::new(config, c1, c2);
            Arch::new().dispatch(Chunk { scalars, x, m, v, g });
        });
    state.map(Tensor::from_primitive::<Flex>)
}

/// The tensor with its numbers in order and nothing else in its memory.
fn whole(x: Tensor<2>) -> FlexTensor {
    let n: usize = x.dims().iter().product();
    let Ok(x) = x.try_into_primitive::<Flex>() else { unreachable!("numbers at hand") };
    if x.is_contiguous() && x.storage::<f32>().len() == n {
        return x;
    }
    let numbers = x.to_contiguous().as_slice::<f32>().unwrap_or_default().to_vec();
    FlexTensor::from_data(TensorData::new(numbers, x.layout().shape().clone()))
}

struct Scalars {
    beta1: f32,
    beta2: f32,
    new1: f32,
    new2: f32,
    lr: f32,
    c2: f32,
    eps: f32,
    keep: f32,
}

impl Scalars {
    fn new(config: &AdamConfig, c1: f32, c2: f32) -> Self {
        let AdamConfig { lr, beta1, beta2, eps, weight_decay } = *config;
        let keep = if weight_decay > 0.0 { 1.0 - lr * weight_decay } else { 1.0 };
        Self { beta1, beta2, new1: 1.0 - beta1, new2: 1.0 - beta2, lr: c1 * lr, c2, eps, keep }
    }
}

struct Chunk<'a> {
    scalars: Scalars,
    x: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a [f32],
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scalars: s, x, m, v, g } = self;
        for (((x, m), v), g) in x.iter_mut().zip(m).zip(v).zip(g) {
            *m = *m * s.beta1 + g * s.new1;
            *v = *v * s.beta2 + g * g * s.new2;
            let step = *m * s.lr / ((*v * s.c2).sqrt() + s.eps);
            *x = *x * s.keep - step;
        }
    }
}
