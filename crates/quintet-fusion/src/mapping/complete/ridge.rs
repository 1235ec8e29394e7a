//! Completion by ridge maps: see [`crate::mapping::RidgeMap`], one for every ordered pair of
//! modalities, combined as their residuals deserve.
//!
//! Paper: Hoerl & Kennard, Technometrics 1970. Parameters: `Σ_{a ≠ b} d_a d_b`, and the means.
//! Cost: a ridge fit for every ordered pair.

use quintet_core::FeatureSet;
use quintet_tensor::parse_params;

use super::linear::{Map, PairMaps};
use super::{Completion, CompletionEntry, FittedCompletion, one};
use crate::mapping::error::check;
use crate::mapping::{MappingError, RidgeMap, RidgeParams};

const NAME: &str = "ridge";

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "ridge regression from every other modality",
    build: |params, _, _| {
        let params: RidgeParams = parse_params(NAME, params)?;
        check(params.l2 > 0.0 && params.l2.is_finite(), NAME, "l2", "above 0", params.l2)?;
        Ok(Box::new(RidgeCompletion(params)))
    },
};

struct RidgeCompletion(RidgeParams);

impl Completion for RidgeCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        let maps = PairMaps::fit(features, train, &|features, [from, to], items| {
            let (x, y) = (&one(features, from)?.matrix, &one(features, to)?.matrix);
            let map = RidgeMap::fit(&format!("{from} → {to}"), x, y, items, &self.0)?;
            Ok(Box::new(move |x: &_| map.map(x)) as Map)
        })?;
        Ok(Box::new(maps))
    }
}
