//! Completion by the mean of the training items: the reference point of all others.
//!
//! `x̂_m = mean of x_m over training items that have m`.
//! Parameters: `Σ d_m`. Cost: `O(n Σ d_m)`.

use quintet_core::{FeatureSet, Matrix, Modality};
use quintet_tensor::parse_params;
use serde::{Deserialize, Serialize};

use super::{Completion, CompletionEntry, FittedCompletion, having, shape_of};
use crate::mapping::MappingError;
use crate::mapping::linalg::{centre, gather};

const NAME: &str = "mean";

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "mean of the training items",
    build: |params, _, _| Ok(Box::new(parse_params::<MeanCompletion>(NAME, params)?)),
};

/// Completion by the mean; no parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MeanCompletion {}

/// The means of all modalities.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    shape: Vec<(Modality, usize)>,
    means: Vec<Vec<f64>>,
}

impl Means {
    pub(crate) fn fit(features: &FeatureSet, train: &[u32]) -> Result<Self, MappingError> {
        let mut means = Vec::with_capacity(features.len());
        for f in features.iter() {
            let items = having(features, train, &[f.modality])?;
            if items.is_empty() {
                let what = f.modality.to_string();
                return Err(MappingError::TooFew { method: NAME, what, needed: 1, found: 0 });
            }
            means.push(centre(&mut gather(f.modality.as_str(), &f.matrix, &items)?));
        }
        Ok(Self { shape: shape_of(features), means })
    }

    /// The mean of one modality; empty when it was not there in the fit.
    pub(crate) fn of(&self, modality: Modality) -> &[f64] {
        let at = self.shape.iter().position(|(m, _)| *m == modality);
        at.map_or(&[], |at| &self.means[at])
    }

    pub(crate) fn shape(&self) -> &[(Modality, usize)] {
        &self.shape
    }
}

impl Completion for MeanCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        Ok(Box::new(Means::fit(features, train)?))
    }
}

impl FittedCompletion for Means {
    fn predict(
        &self,
        _: &FeatureSet,
        target: Modality,
        items: &[u32],
    ) -> Result<Matrix, MappingError> {
        let mean = self.of(target);
        let mut out = Matrix::zeros(items.len(), mean.len());
        for r in 0..items.len() {
            out.row_mut(r).iter_mut().zip(mean).for_each(|(o, m)| *o = *m as f32);
        }
        Ok(out)
    }

    fn shape(&self) -> &[(Modality, usize)] {
        &self.shape
    }
}
