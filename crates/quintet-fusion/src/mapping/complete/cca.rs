//! Completion by canonical correlation: see [`crate::mapping::Cca`], one for every ordered pair
//! of modalities, combined as their residuals deserve.
//!
//! Paper: Hotelling, Biometrika 1936. Parameters: `2 k (r_a + r_b)` a pair, and the means.
//! Cost: a CCA for every ordered pair.

use quintet_core::FeatureSet;
use quintet_tensor::parse_params;

use super::linear::{Map, PairMaps};
use super::{Completion, CompletionEntry, FittedCompletion, one};
use crate::mapping::error::check;
use crate::mapping::{Cca, CcaParams, MappingError};

const NAME: &str = "cca";

pub(crate) const ENTRY: CompletionEntry = CompletionEntry {
    name: NAME,
    summary: "canonical correlation with every other modality",
    build: |params, _, _| {
        let params: CcaParams = parse_params(NAME, params)?;
        let r = params.regularisation;
        check(r > 0.0 && r.is_finite(), NAME, "regularisation", "above 0", r)?;
        Ok(Box::new(CcaCompletion(params)))
    },
};

struct CcaCompletion(CcaParams);

impl Completion for CcaCompletion {
    fn fit(
        &self,
        features: &FeatureSet,
        train: &[u32],
    ) -> Result<Box<dyn FittedCompletion>, MappingError> {
        let maps = PairMaps::fit(features, train, &|features, [from, to], items| {
            let (x, y) = (&one(features, from)?.matrix, &one(features, to)?.matrix);
            let map = Cca::fit([from.as_str(), to.as_str()], x, y, items, &self.0)?;
            Ok(Box::new(move |x: &_| map.map_x_to_y(x)) as Map)
        })?;
        Ok(Box::new(maps))
    }
}
