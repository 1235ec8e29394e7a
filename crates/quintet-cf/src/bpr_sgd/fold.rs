//! The factors of a newcomer: the same steps on the user's row, items held fixed.

use pulp::{Arch, Simd, WithSimd};

use super::BprSgdConfig;
use crate::factor_table::{FactorTable, add_scaled, dot};
use crate::learned::FoldUser;
use crate::split_mix::SplitMix64;

/// Steps for each item of the history.
const STEPS: usize = 100;
/// Fewest and most steps.
const LIMITS: (usize, usize) = (1_000, 50_000);

pub(super) fn load(config: &str) -> Option<Box<dyn FoldUser>> {
    let config: BprSgdConfig = serde_json::from_str(config).ok()?;
    Some(Box::new(config))
}

impl FoldUser for BprSgdConfig {
    fn user(&self, items: &FactorTable, bias: &[f32], history: &[u32], _: &[f32]) -> Vec<f32> {
        let mut known = history.to_vec();
        known.sort_unstable();
        known.dedup();
        Arch::new().dispatch(Fold { config: self, items, bias, known: &known })
    }
}

struct Fold<'a> {
    config: &'a BprSgdConfig,
    items: &'a FactorTable,
    bias: &'a [f32],
    known: &'a [u32],
}

impl WithSimd for Fold<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { config, items, bias, known } = self;
        let mut user = vec![0.0f32; items.stride()];
        if known.len() >= items.rows() {
            return user;
        }
        let mut rng = SplitMix64::from_number(
            known.iter().fold(0, |h, i| (h ^ u64::from(*i)).wrapping_mul(0x0100_0000_01b3)),
        );
        for _ in 0..(STEPS * known.len()).clamp(LIMITS.0, LIMITS.1) {
            let i = known[rng.below(known.len())] as usize;
            let j = rng.below(items.rows());
            if known.binary_search(&(j as u32)).is_ok() {
                continue;
            }
            let (q_i, q_j) = (items.row(i), items.row(j));
            let gap = bias[i] - bias[j] + dot(simd, &user, q_i) - dot(simd, &user, q_j);
            let along = config.lr / (1.0 + gap.exp());
            user.iter_mut().for_each(|p| *p *= 1.0 - config.lr * config.l2);
            add_scaled(simd, along, q_i, &mut user);
            add_scaled(simd, -along, q_j, &mut user);
        }
        user
    }
}
