//! What completions by one map a pair of modalities share.
//!
//! An item may have several other modalities, and each says something about the absent one. The
//! predictions are averaged with weights `1 / s²`, where `s²` is the mean squared residual of the
//! map on its training pairs (Bates & Granger, "The Combination of Forecasts", 1969). With two
//! modalities there is one prediction, which is the map's. A pair of modalities that fewer than
//! two training items have, or of which one does not vary, has no map; where no map is left, the
//! mean of the training items stands in.

use quintet_core::{FeatureSet, Matrix, Modality};

use super::mean::Means;
use super::{FittedCompletion, having, one, rows};
use crate::mapping::MappingError;

/// From rows of one modality to rows of another.
pub(crate) type Map = Box<dyn Fn(&Matrix) -> Result<Matrix, MappingError> + Send + Sync>;

/// Fits a map from the first to the second modality on the items named.
pub(crate) type FitMap<'a> =
    dyn Fn(&FeatureSet, [Modality; 2], &[u32]) -> Result<Map, MappingError> + 'a;

struct Pair {
    from: Modality,
    to: Modality,
    map: Map,
    weight: f64,
}

/// One map for every ordered pair of modalities.
pub(crate) struct PairMaps {
    means: Means,
    pairs: Vec<Pair>,
}

impl PairMaps {
    pub(crate) fn fit(
        features: &FeatureSet,
        train: &[u32],
        fit: &FitMap<'_>,
    ) -> Result<Self, MappingError> {
        let means = Means::fit(features, train)?;
        let mut pairs = Vec::new();
        let names: Vec<Modality> = features.iter().map(|f| f.modality).collect();
        for &from in &names {
            for &to in names.iter().filter(|&&to| to != from) {
                let items = having(features, train, &[from, to])?;
                if items.len() < 2 {
                    continue;
                }
                let map = match fit(features, [from, to], &items) {
                    Ok(map) => map,
                    Err(MappingError::NoVariance { .. }) => continue,
                    Err(other) => return Err(other),
                };
                let weight = weight(features, [from, to], &items, &map)?;
                pairs.push(Pair { from, to, map, weight });
            }
        }
        Ok(Self { means, pairs })
    }
}

/// `1 / s²`, with a floor under `s²` so that an exact map has a finite weight.
fn weight(
    features: &FeatureSet,
    [from, to]: [Modality; 2],
    items: &[u32],
    map: &Map,
) -> Result<f64, MappingError> {
    let found = map(&rows(one(features, from)?, items))?;
    let wanted = rows(one(features, to)?, items);
    let squares = found.as_slice().iter().zip(wanted.as_slice());
    let sum: f64 = squares.map(|(f, w)| f64::from(f - w).powi(2)).sum();
    Ok(1.0 / (sum / found.as_slice().len().max(1) as f64 + 1e-12))
}

impl FittedCompletion for PairMaps {
    fn predict(
        &self,
        features: &FeatureSet,
        target: Modality,
        items: &[u32],
    ) -> Result<Matrix, MappingError> {
        let mean = self.means.of(target);
        let (mut sums, mut total) = (vec![0.0; items.len() * mean.len()], vec![0.0; items.len()]);
        for pair in self.pairs.iter().filter(|p| p.to == target) {
            let from = one(features, pair.from)?;
            let places: Vec<usize> =
                (0..items.len()).filter(|&r| from.present[items[r] as usize]).collect();
            let chosen: Vec<u32> = places.iter().map(|&r| items[r]).collect();
            let mapped = (pair.map)(&rows(from, &chosen))?;
            for (row, &r) in places.iter().enumerate() {
                total[r] += pair.weight;
                let sums = &mut sums[r * mean.len()..][..mean.len()];
                sums.iter_mut()
                    .zip(mapped.row(row))
                    .for_each(|(s, &v)| *s += pair.weight * f64::from(v));
            }
        }
        let mut out = Matrix::zeros(items.len(), mean.len());
        for r in 0..items.len() {
            let sums = &sums[r * mean.len()..][..mean.len()];
            for (c, o) in out.row_mut(r).iter_mut().enumerate() {
                *o = if total[r] > 0.0 { sums[c] / total[r] } else { mean[c] } as f32;
            }
        }
        Ok(out)
    }

    fn shape(&self) -> &[(Modality, usize)] {
        self.means.shape()
    }
}
