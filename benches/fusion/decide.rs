//! Decisions: what single modalities predict, put together.

use anyhow::Result;
use quintet::core::{FeatureSet, Matrix};
use quintet::fusion::mapping::{RidgeMap, RidgeParams};

use crate::learn::Parts;
use crate::worlds::{TARGETS, World};

/// The mean over the modalities that an item has; zero without any.
pub(crate) fn mean(singles: &[Matrix], features: &FeatureSet) -> Matrix {
    let mut out = Matrix::zeros(features.n_items(), TARGETS);
    for item in 0..features.n_items() {
        let there = singles.iter().zip(features.iter()).filter(|(_, f)| f.present[item]);
        let there: Vec<&Matrix> = there.map(|(single, _)| single).collect();
        for single in &there {
            let row = out.row_mut(item).iter_mut().zip(single.row(item));
            row.for_each(|(o, v)| *o += v / there.len() as f32);
        }
    }
    out
}

/// A ridge regression from all predictions and the presence flags to the targets.
pub(crate) fn stacked(singles: &[Matrix], world: &World, parts: &Parts) -> Result<Matrix> {
    let n = world.features.n_items();
    let width = singles.len() * (TARGETS + 1);
    let mut inputs = Matrix::zeros(n, width);
    for item in 0..n {
        let row = inputs.row_mut(item);
        for (m, (single, f)) in singles.iter().zip(world.features.iter()).enumerate() {
            if f.present[item] {
                let at = m * (TARGETS + 1);
                row[at..at + TARGETS].copy_from_slice(single.row(item));
                row[at + TARGETS] = 1.0;
            }
        }
    }
    let params = RidgeParams { l2: 10.0 };
    let ridge = RidgeMap::fit("stack", &inputs, &world.targets, &parts.valid, &params)?;
    Ok(ridge.map(&inputs)?)
}
