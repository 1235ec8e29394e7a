//! The triples of one block of users and one block of items.

use pulp::{Arch, Simd, WithSimd};

use super::{BprSgdConfig, BprSgdTrainer};
use crate::split_mix::SplitMix64;

/// Draws of a negative before the triple is given up: the user has nearly all items of the block.
const MAX_DRAWS: usize = 16;
/// Triples that are drawn before the first of them is trained, so that looking up what a user has
/// need not wait for the arithmetic of the triple in front.
const AHEAD: usize = 16;

/// Some items, in the order of an epoch.
pub(super) struct ItemPart<'a> {
    /// The place of the first.
    pub(super) first: usize,
    pub(super) numbers: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

/// What a block trained.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) trained: usize,
    /// Sum of `-ln σ(s_ui - s_uj)`.
    pub(super) loss: f64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Tally) {
        self.trained += other.trained;
        self.loss += other.loss;
    }
}

/// One block of users and one of items, which no other thread has.
pub(super) struct Block<'a, 'b> {
    pub(super) trainer: &'a BprSgdTrainer,
    pub(super) first_user: usize,
    pub(super) users: &'b mut [f32],
    pub(super) items: ItemPart<'b>,
    /// The item at each place.
    pub(super) order: &'a [u32],
}

impl Block<'_, '_> {
    /// Trains as many triples as there are positives.
    pub(super) fn run(self, positives: &[[u32; 2]], rng: SplitMix64) -> Tally {
        Arch::new().dispatch(Run { block: self, positives, rng })
    }

    /// A positive, and an item of the block that its user does not have.
    #[inline(always)]
    fn draw(&self, positives: &[[u32; 2]], rng: &mut SplitMix64) -> Option<[usize; 3]> {
        let [user, positive] = positives[rng.below(positives.len())];
        let known = self.trainer.row(self.first_user + user as usize);
        for _ in 0..MAX_DRAWS {
            let negative = rng.below(self.items.bias.len());
            let item = self.order[self.items.first + negative];
            if known.binary_search(&item).is_err() {
                return Some([user as usize, positive as usize, negative]);
            }
        }
        None
    }
}

struct Run<'a, 'b, 'c> {
    block: Block<'a, 'b>,
    positives: &'c [[u32; 2]],
    rng: SplitMix64,
}

impl WithSimd for Run<'_, '_, '_> {
    type Output = Tally;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Tally {
        let Self { block, positives, mut rng } = self;
        let (mut tally, mut product) = (Tally::default(), 1.0f64);
        if positives.is_empty() {
            return tally;
        }
        let config = &block.trainer.config;
        let size = block.trainer.items.stride();
        let mut drawn = [None; AHEAD];
        for done in (0..positives.len()).step_by(AHEAD) {
            let count = AHEAD.min(positives.len() - done);
            drawn[..count].fill_with(|| block.draw(positives, &mut rng));
            for [user, i, j] in drawn[..count].iter().flatten() {
                let p = &mut block.users[user * size..][..size];
                let (q_i, q_j) = two_rows(block.items.numbers, [*i, *j], size);
                let bias = match config.item_bias {
                    true => block.items.bias[*i] - block.items.bias[*j],
                    false => 0.0,
                };
                let gap = bias + difference(simd, p, q_i, q_j);
                let g = 1.0 / (1.0 + gap.exp());
                update(simd, config, g, [p, q_i, q_j]);
                if config.item_bias {
                    let (b_i, b_j) = (block.items.bias[*i], block.items.bias[*j]);
                    block.items.bias[*i] += config.lr * (g - config.l2 * b_i);
                    block.items.bias[*j] += config.lr * (-g - config.l2 * b_j);
                }
                // One logarithm for many triples.
                product *= f64::from((1.0 - g).max(f32::MIN_POSITIVE));
                if product < 1e-250 {
                    tally.loss -= product.ln();
                    product = 1.0;
                }
                tally.trained += 1;
                // A gap that is not a number must not hide behind the maximum above.
                if gap.is_nan() {
                    tally.loss = f64::NAN;
                }
            }
        }
        tally.loss -= product.ln();
        tally
    }
}

/// Two rows that differ, to write to both.
#[inline(always)]
fn two_rows(numbers: &mut [f32], [a, b]: [usize; 2], size: usize) -> (&mut [f32], &mut [f32]) {
    let (front, back) = numbers.split_at_mut(a.max(b) * size);
    let (low, high) = (&mut front[a.min(b) * size..][..size], &mut back[..size]);
    if a < b { (low, high) } else { (high, low) }
}

/// `p · (a - b)`.
#[inline(always)]
fn difference<S: Simd>(simd: S, p: &[f32], a: &[f32], b: &[f32]) -> f32 {
    let ((p, _), (a, _), (b, _)) = (S::as_simd_f32s(p), S::as_simd_f32s(a), S::as_simd_f32s(b));
    let ((p, _), (a, _), (b, _)) = (p.as_chunks::<2>(), a.as_chunks::<2>(), b.as_chunks::<2>());
    let mut sums = [simd.splat_f32s(0.0); 2];
    for ((p, a), b) in p.iter().zip(a).zip(b) {
        sums[0] = simd.mul_add_f32s(p[0], simd.sub_f32s(a[0], b[0]), sums[0]);
        sums[1] = simd.mul_add_f32s(p[1], simd.sub_f32s(a[1], b[1]), sums[1]);
    }
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))
}

/// The step of all three rows, each from the others' numbers before it.
#[inline(always)]
fn update<S: Simd>(simd: S, config: &BprSgdConfig, g: f32, [p, q_i, q_j]: [&mut [f32]; 3]) {
    let along = simd.splat_f32s(config.lr * g);
    let kept = simd.splat_f32s(1.0 - config.lr * config.l2);
    let (p, _) = S::as_mut_simd_f32s(p);
    let ((q_i, _), (q_j, _)) = (S::as_mut_simd_f32s(q_i), S::as_mut_simd_f32s(q_j));
    for ((p, q_i), q_j) in p.iter_mut().zip(q_i).zip(q_j) {
        let step = simd.mul_f32s(along, *p);
        let apart = simd.sub_f32s(*q_i, *q_j);
        *p = simd.mul_add_f32s(along, apart, simd.mul_f32s(kept, *p));
        *q_i = simd.mul_add_f32s(kept, *q_i, step);
        *q_j = simd.sub_f32s(simd.mul_f32s(kept, *q_j), step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_by_hand() {
        struct Step<'a>([&'a mut [f32]; 3], &'a BprSgdConfig);
        impl WithSimd for Step<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                let [p, a, b] = self.0;
                let gap = difference(simd, p, a, b);
                update(simd, self.1, 0.25, [p, a, b]);
                gap
            }
        }
        let row = |x: f32, y: f32| {
            let mut row = [0.0f32; 32];
            (row[0], row[1]) = (x, y);
            row
        };
        let (mut p, mut numbers) = (row(1.0, 2.0), [row(0.5, -1.0), row(2.0, 1.0)].concat());
        let (q_i, q_j) = two_rows(&mut numbers, [1, 0], 32);
        let config = BprSgdConfig { lr: 0.4, l2: 0.5, ..BprSgdConfig::default() };
        // p·(q_i - q_j) = 1·1.5 + 2·2; γ g = 0.1; 1 - γ λ = 0.8.
        assert_eq!(Arch::new().dispatch(Step([&mut p, q_i, q_j], &config)), 5.5);
        let close = |found: &[f32], expected: [f32; 3]| {
            let apart = |(f, e): (&f32, f32)| (f - e).abs() > 1e-6;
            assert!(!found.iter().zip(expected).any(apart), "{found:?} {expected:?}");
        };
        close(&p, [0.8 + 0.15, 1.6 + 0.2, 0.0]);
        close(&numbers[32..], [1.6 + 0.1, 0.8 + 0.2, 0.0]);
        close(&numbers[..32], [0.4 - 0.1, -0.8 - 0.2, 0.0]);
    }
}
