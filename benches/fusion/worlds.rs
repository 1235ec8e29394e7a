//! Worlds whose truth is known: four modalities, eight targets, and the best that anybody who
//! knows the world could predict.
//!
//! An item has a latent vector `z_m ~ N(0, I)` of [`LATENT`] numbers a modality. Its features are
//! `x_m = c_m + A_m z_m + ε`, with orthogonal columns in `A_m`, so that the least-squares estimate
//! `ẑ_m` says all that the features say of `z_m`, with the noise variance [`FEATURE_NOISE`] in
//! every coordinate. The offset `c_m` is long, as it is in features of networks. Targets are
//! `y = C f + e`, with `f` made of the latent vectors as the world says.

use anyhow::Result;
use quintet::core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Numbers in a latent vector.
pub(crate) const LATENT: usize = 8;
/// Number of targets.
pub(crate) const TARGETS: usize = 8;
/// Variance of the noise of an estimated latent coordinate, whose own variance is 1.
const FEATURE_NOISE: f64 = 0.05;
/// Variance of the noise of a target, whose own variance is 1.
const TARGET_NOISE: f64 = 0.25;
/// The modalities and the widths of their features.
pub(crate) const MODALITIES: [(Modality, usize); 4] =
    [(Modality::Text, 48), (Modality::Image, 64), (Modality::Audio, 24), (Modality::Video, 32)];

/// What the targets depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// The sum of all four latent vectors.
    Additive,
    /// Products of coordinates of text and image.
    Product,
    /// Audio alone.
    OneOfFour,
    /// The modality that the item's group names; the group shows in every modality.
    Groups,
    /// One latent vector that all modalities show, more or less; absent with this probability.
    MissingAtRandom(f64),
    /// The same; absent more often where the first latent number is above 0.
    MissingByValue(f64),
}

impl Kind {
    /// All worlds, in the order of the table.
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Additive,
        Kind::Product,
        Kind::OneOfFour,
        Kind::Groups,
        Kind::MissingAtRandom(0.3),
        Kind::MissingAtRandom(0.6),
        Kind::MissingByValue(0.3),
        Kind::MissingByValue(0.6),
    ];

    /// The head of its column.
    pub(crate) fn title(self) -> String {
        let percent = |share: f64| (100.0 * share).round();
        match self {
            Kind::Additive => "additive".into(),
            Kind::Product => "product".into(),
            Kind::OneOfFour => "one of four".into(),
            Kind::Groups => "by group".into(),
            Kind::MissingAtRandom(share) => format!("{} % missing", percent(share)),
            Kind::MissingByValue(share) => format!("{} % by value", percent(share)),
        }
    }

    /// Whether items lack modalities.
    pub(crate) fn lacks(self) -> bool {
        matches!(self, Kind::MissingAtRandom(_) | Kind::MissingByValue(_))
    }
}

/// One drawn world.
pub(crate) struct World {
    /// `[n_items, d_m]` a modality.
    pub(crate) features: FeatureSet,
    /// `[n_items, TARGETS]`, with noise.
    pub(crate) targets: Matrix,
    /// `[n_items, TARGETS]`: the expectation of the targets given all that can be seen.
    pub(crate) best: Matrix,
}

/// Draws a world.
pub(crate) fn draw(kind: Kind, n_items: usize, seed: SeedStream) -> Result<World> {
    let mut rng = seed.rng("fusion-world", 0);
    let maps: Vec<ModalityMap> =
        MODALITIES.iter().map(|&(_, width)| ModalityMap::draw(width, &mut rng)).collect();
    let mix = mixing(&mut rng);
    let mut blocks: Vec<Matrix> =
        MODALITIES.iter().map(|&(_, width)| Matrix::zeros(n_items, width)).collect();
    let mut present = vec![Vec::with_capacity(n_items); MODALITIES.len()];
    let mut targets = Matrix::zeros(n_items, TARGETS);
    let mut best = Matrix::zeros(n_items, TARGETS);
    for item in 0..n_items {
        let drawn = Item::draw(kind, &mut rng);
        for (m, map) in maps.iter().enumerate() {
            map.show(&drawn.seen[m], drawn.group, blocks[m].row_mut(item), &mut rng);
            present[m].push(drawn.present[m]);
        }
        for (t, mix) in mix.iter().enumerate() {
            let of = |f: &[f64]| mix.iter().zip(f).map(|(c, f)| c * f).sum::<f64>();
            targets.row_mut(item)[t] =
                (of(&drawn.signal) + TARGET_NOISE.sqrt() * normal(&mut rng)) as f32;
            best.row_mut(item)[t] = of(&drawn.expected) as f32;
        }
    }
    let mut features = FeatureSet::new(n_items);
    for ((&(modality, _), block), present) in MODALITIES.iter().zip(blocks).zip(present) {
        features.push(ModalityFeatures::new(modality, block, present)?)?;
    }
    Ok(World { features, targets, best })
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Rows of `C`: of length 1, so that a target without noise has the variance of a coordinate.
fn mixing(rng: &mut impl Rng) -> Vec<[f64; LATENT]> {
    (0..TARGETS)
        .map(|_| {
            let row: [f64; LATENT] = std::array::from_fn(|_| normal(rng));
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.map(|v| v / length)
        })
        .collect()
}

/// How one modality shows its latent vector.
struct ModalityMap {
    /// `LATENT + 4` orthonormal columns, each as long as the features are wide: the latent
    /// coordinates, then the four groups.
    columns: Vec<Vec<f64>>,
    offset: Vec<f64>,
    scale: f64,
}

impl ModalityMap {
    fn draw(width: usize, rng: &mut impl Rng) -> Self {
        let mut columns: Vec<Vec<f64>> = Vec::new();
        while columns.len() < LATENT + MODALITIES.len() + 1 {
            let mut column: Vec<f64> = (0..width).map(|_| normal(rng)).collect();
            for other in &columns {
                let along: f64 = column.iter().zip(other).map(|(a, b)| a * b).sum();
                column.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
            let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
            column.iter_mut().for_each(|v| *v /= length);
            columns.push(column);
        }
        // Modalities come in scales that differ a hundred times.
        let scale = 10f64.powf(rng.random_range(-1.0..1.0));
        let length = 2.0 * (LATENT as f64).sqrt();
        let offset = columns.pop().unwrap_or_default().iter().map(|v| v * length).collect();
        Self { columns, offset, scale }
    }

    /// Writes the features of an item that shows `estimate` here: the estimate holds the noise
    /// already, so that nothing else needs to be added in the space of the latent vector.
    fn show(&self, estimate: &[f64], group: Option<usize>, row: &mut [f32], rng: &mut impl Rng) {
        let mut all = self.offset.clone();
        let mut add = |column: &[f64], factor: f64| {
            all.iter_mut().zip(column).for_each(|(a, c)| *a += factor * c);
        };
        for (column, value) in self.columns.iter().zip(estimate) {
            add(column, *value);
        }
        if let Some(group) = group {
            add(&self.columns[LATENT + group], 2.0);
        }
        for (target, value) in row.iter_mut().zip(all) {
            // Outside the latent space: noise that says nothing, and that hardly matters.
            *target = (self.scale * (value + 0.02 * normal(rng))) as f32;
        }
    }
}

/// One item of a world.
struct Item {
    /// The estimates `ẑ_m` that the features show.
    seen: [Vec<f64>; 4],
    present: [bool; 4],
    group: Option<usize>,
    /// `f`.
    signal: Vec<f64>,
    /// `E[f | what is seen]`.
    expected: Vec<f64>,
}

/// How much an estimate of a latent number of variance 1 is worth.
const SHRINK: f64 = 1.0 / (1.0 + FEATURE_NOISE);

impl Item {
    fn draw(kind: Kind, rng: &mut impl Rng) -> Self {
        match kind {
            Kind::MissingAtRandom(share) => Self::with_gaps(share, 0.0, rng),
            Kind::MissingByValue(share) => Self::with_gaps(share, 0.25, rng),
            _ => Self::whole(kind, rng),
        }
    }

    fn whole(kind: Kind, rng: &mut impl Rng) -> Self {
        let latent: [Vec<f64>; 4] =
            std::array::from_fn(|_| (0..LATENT).map(|_| normal(rng)).collect());
        let seen: [Vec<f64>; 4] = std::array::from_fn(|m| {
            latent[m].iter().map(|z| z + FEATURE_NOISE.sqrt() * normal(rng)).collect()
        });
        let group = (kind == Kind::Groups).then(|| rng.random_range(0..4));
        let combine = |z: &[Vec<f64>; 4], shrink: f64| -> Vec<f64> {
            let at = |m: usize, k: usize| shrink * z[m][k];
            match kind {
                // Half of a sum of four has the variance of one.
                Kind::Additive => {
                    (0..LATENT).map(|k| 0.5 * (0..4).map(|m| at(m, k)).sum::<f64>()).collect()
                }
                // Independent factors: the expectation of a product is that of its factors.
                Kind::Product => (0..LATENT).map(|k| at(0, k) * at(1, k)).collect(),
                Kind::OneOfFour => (0..LATENT).map(|k| at(2, k)).collect(),
                _ => (0..LATENT).map(|k| at(group.unwrap_or(0), k)).collect(),
            }
        };
        let (signal, expected) = (combine(&latent, 1.0), combine(&seen, SHRINK));
        Self { seen, present: [true; 4], group, signal, expected }
    }

    /// All modalities show `s`: `z_m = √½ s + √½ u_m`.
    fn with_gaps(share: f64, tilt: f64, rng: &mut impl Rng) -> Self {
        let rho = 0.5f64.sqrt();
        let signal: Vec<f64> = (0..LATENT).map(|_| normal(rng)).collect();
        let noise = 1.0 - rho * rho + FEATURE_NOISE;
        let seen: [Vec<f64>; 4] = std::array::from_fn(|_| {
            signal.iter().map(|s| rho * s + noise.sqrt() * normal(rng)).collect()
        });
        let absent = if signal[0] > 0.0 { share + tilt } else { share - tilt };
        let present: [bool; 4] = std::array::from_fn(|_| rng.random::<f64>() >= absent);
        let count = present.iter().filter(|p| **p).count() as f64;
        let variance = noise / (noise + count * rho * rho);
        let mut expected: Vec<f64> = (0..LATENT)
            .map(|k| {
                let sum: f64 = (0..4).filter(|&m| present[m]).map(|m| seen[m][k]).sum();
                variance * rho * sum / noise
            })
            .collect();
        // Which modalities are there says something of the sign of the first number.
        let likely = |absent: f64| (1.0 - absent).powf(count) * absent.powf(4.0 - count);
        expected[0] =
            mean_of_halves(expected[0], variance, likely(share + tilt), likely(share - tilt));
        Self { seen, present, group: None, signal, expected }
    }
}

/// The mean of `N(mean, variance)` with its upper half plane weighed by `above` and the lower by
/// `below`, by the trapezoid rule.
fn mean_of_halves(mean: f64, variance: f64, above: f64, below: f64) -> f64 {
    if variance <= 0.0 || (above - below).abs() < 1e-15 {
        return mean;
    }
    const STEPS: i32 = 400;
    let deviation = variance.sqrt();
    let (mut sum, mut weights) = (0.0, 0.0);
    for step in -STEPS..=STEPS {
        let u = 8.0 * f64::from(step) / f64::from(STEPS);
        let s = mean + deviation * u;
        let half = if s > 0.0 { above } else { below };
        let weight = (-0.5 * u * u).exp() * half;
        sum += weight * s;
        weights += weight;
    }
    sum / weights
}
