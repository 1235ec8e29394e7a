//! Vectors made up from the other modalities of an item.

use std::collections::BTreeMap;

use quintet_core::{FeatureSet, Interactions, Modality, SeedStream};
use quintet_fusion::mapping::completions;
use quintet_tensor::{DeviceChoice, open_device};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PipelineError;
use super::config::{empty, is_empty};

/// The `[complete]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteSpec {
    /// How, by the name in `quintet list`.
    pub method: String,
    /// Its parameters.
    #[serde(default = "empty", skip_serializing_if = "is_empty")]
    pub params: Value,
}

impl CompleteSpec {
    /// Checks the name and the parameters.
    ///
    /// # Errors
    /// The method is unknown, or a parameter is.
    pub fn validate(&self) -> Result<(), PipelineError> {
        let device = open_device(DeviceChoice::Auto)?.device;
        (completions()?.get(&self.method)?.build)(&self.params, SeedStream::new(0), &device)?;
        Ok(())
    }

    /// Features whose gaps are filled from the other modalities of the item, and how many vectors
    /// were made up. Learned from the items of `train` alone; an item without any modality stays
    /// without.
    ///
    /// # Errors
    /// As [`CompleteSpec::validate`]; too few training items have two modalities.
    pub fn fill(
        &self,
        features: &FeatureSet,
        train: &Interactions,
        seed: SeedStream,
    ) -> Result<(FeatureSet, BTreeMap<Modality, usize>), PipelineError> {
        // Small networks at most: not worth a device of their own.
        let device = open_device(DeviceChoice::Auto)?.device;
        let counts = train.item_counts();
        let items: Vec<u32> = (0..features.n_items() as u32)
            .filter(|&i| counts.get(i as usize).is_some_and(|c| *c > 0))
            .collect();
        let completion = (completions()?.get(&self.method)?.build)(&self.params, seed, &device)?;
        let done = completion.fit(features, &items)?.complete(features)?;
        let count = |rows: &Vec<bool>| rows.iter().filter(|m| **m).count();
        let made_up = done.made_up.iter().map(|(m, rows)| (*m, count(rows))).collect();
        Ok((done.features, made_up))
    }
}
