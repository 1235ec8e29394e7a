//! A step of Adam in one pass over the numbers, where they lie in this process's memory.
//!
//! The portable form is a dozen operations over whole tensors, each of which reads and writes
//! memory; for a weight of millions of numbers that is most of the step. Both forms give the same
//! bytes: the operations on a number are the same, in the same order.

use burn::prelude::*;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::AdamConfig;
use crate::nn::fused::{numbers, tensor};

/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The moved values and the new moments from the values, the moments and the gradient; none where
/// the numbers are not at hand.
pub(crate) fn update(
    config: &AdamConfig,
    (c1, c2): (f32, f32),
    [value, m, v, grad]: [&Tensor<2>; 4],
) -> Option<[Tensor<2>; 3]> {
    let kept = [numbers(value)?, numbers(m)?, numbers(v)?, numbers(grad)?];
    let [x, m, v, g] = [
        kept[0].as_slice::<f32>()?,
        kept[1].as_slice::<f32>()?,
        kept[2].as_slice::<f32>()?,
        kept[3].as_slice::<f32>()?,
    ];
    let mut moved = [vec![0.0f32; x.len()], vec![0.0f32; x.len()], vec![0.0f32; x.len()]];
    let [new_x, new_m, new_v] = &mut moved;
    new_x
        .par_chunks_mut(CHUNK)
        .zip(new_m.par_chunks_mut(CHUNK))
        .zip(new_v.par_chunks_mut(CHUNK))
        .enumerate()
        .for_each(|(part, ((new_x, new_m), new_v))| {
            let places = part * CHUNK..part * CHUNK + new_x.len();
            let (x, m) = (&x[places.clone()], &m[places.clone()]);
            let (v, g) = (&v[places.clone()], &g[places]);
            let scalars = Scalars::new(config, c1, c2);
            Arch::new().dispatch(Chunk { scalars, old: [x, m, v, g], new: [new_x, new_m, new_v] });
        });
    let (shape, device) = (value.dims(), value.device());
    Some(moved.map(|numbers| tensor(numbers, shape, &device)))
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
    /// Values, moments, gradient.
    old: [&'a [f32]; 4],
    /// Values, moments.
    new: [&'a mut [f32]; 3],
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scalars: s, old: [x, m, v, g], new: [new_x, new_m, new_v] } = self;
        let old = x.iter().zip(m).zip(v.iter().zip(g));
        let new = new_x.iter_mut().zip(new_m).zip(new_v);
        for (((x, m), (v, g)), ((new_x, new_m), new_v)) in old.zip(new) {
            *new_m = m * s.beta1 + g * s.new1;
            *new_v = v * s.beta2 + g * g * s.new2;
            let step = *new_m * s.lr / ((*new_v * s.c2).sqrt() + s.eps);
            *new_x = x * s.keep - step;
        }
    }
}
