//! Which fusion helps on these data, and what it is worth when modalities go missing.

mod compare;
mod removal;

pub use compare::{FusionChoice, FusionRow, FusionTable, compare_fusions};
pub use removal::{RemovalRow, RemovalTable, remove_modalities};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use quintet_core::{Held, Interactions, Modality, Phase, Recommender};
use quintet_metrics::Evaluator;
use quintet_tensor::Device;
use quintet_train::Progress;
use serde_json::{Map, Value};

use super::kept::{Fits, KeptFit, KeptFits};
use super::{PipelineError, Prepared, RunConfig};
use crate::Registries;

/// The name of VBPR's own mean of linear projections in lists of layers.
pub const PROJECTIONS: &str = "projections";

/// What to compare.
#[derive(Debug, Clone)]
pub struct FusionRequest {
    /// The model that carries the fusion layer: `two_tower` or `vbpr`. Its parameters are those
    /// of the first `[[models]]` table of the run file that names it, or the defaults.
    pub model: String,
    /// Fusion layers by registry name; all where empty.
    pub layers: Vec<String>,
    /// How many seeds, counted up from that of the run file.
    pub seeds: usize,
    /// No fit begins after this long.
    pub budget: Option<Duration>,
    /// Whether the test part is opened, for paired tests on it.
    pub open_test: bool,
    /// Where fits are kept as they end: a comparison that was stopped, or gets more layers or
    /// seeds, makes only those that are not there.
    pub kept: Option<PathBuf>,
}

/// Values by user under the name of what was measured.
type ByName = BTreeMap<String, Vec<f64>>;

/// One fit: a layer over some modalities.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    label: String,
    layer: String,
    only: Option<Modality>,
}

/// Everything that fits have in common.
struct Shop<'a> {
    config: &'a RunConfig,
    prepared: &'a Prepared,
    registries: &'a Registries,
    device: &'a Device,
    model: String,
    base: Map<String, Value>,
}

impl<'a> Shop<'a> {
    fn open(
        config: &'a RunConfig,
        prepared: &'a Prepared,
        registries: &'a Registries,
        device: &'a Device,
        model: &str,
    ) -> Result<Self, PipelineError> {
        let own = config.models.iter().find(|spec| spec.model == model);
        let mut base = own.and_then(|s| s.params.as_object().cloned()).unwrap_or_default();
        for key in ["fusion", "fusion_params", "modalities"] {
            base.remove(key);
        }
        let entry = registries.models.get(model)?;
        let defaults = (entry.build)(&Value::Object(base.clone()))?.config();
        if defaults.get("fusion").is_none() {
            return Err(PipelineError::Fusion {
                reason: format!("model {model} has no fusion layer; two_tower and vbpr have one"),
            });
        }
        Ok(Self { config, prepared, registries, device, model: model.to_owned(), base })
    }

    /// The layers asked for, checked; `concat` comes first, for others are compared with it.
    fn layers(&self, wanted: &[String]) -> Result<Vec<String>, PipelineError> {
        let own = (self.model == "vbpr").then_some(PROJECTIONS);
        for name in wanted.iter().filter(|name| Some(name.as_str()) != own) {
            if name == PROJECTIONS {
                let reason = format!("{PROJECTIONS} are VBPR's own, {} has none", self.model);
                return Err(PipelineError::Fusion { reason });
            }
            self.registries.fusions.get(name)?;
        }
        let known = self.registries.fusions.names().chain(own);
        let mut all: Vec<String> = match wanted {
            [] => known.map(str::to_owned).collect(),
            _ => wanted.to_vec(),
        };
        all.sort_by_key(|name| name != "concat");
        let mut named = BTreeSet::new();
        all.retain(|name| named.insert(name.clone()));
        Ok(all)
    }

    /// What was kept of the fit of a candidate, or makes it, unless it is too late for that:
    /// `measure` gives values by user under the names of `measured`.
    fn fit(
        &self,
        candidate: &Candidate,
        seed: u64,
        kept: &mut KeptFits,
        measured: &[String],
        measure: &dyn Fn(&dyn Recommender) -> Result<ByName, PipelineError>,
        progress: &mut dyn Progress,
    ) -> Result<Option<KeptFit>, PipelineError> {
        let mut params = self.base.clone();
        if candidate.layer != PROJECTIONS {
            params.insert("fusion".into(), candidate.layer.clone().into());
        }
        if let Some(modality) = candidate.only {
            params.insert("modalities".into(), Value::from(vec![modality.as_str()]));
        }
        let fit = (self.registries.models.get(&self.model)?.build)(&Value::Object(params))?;
        let fits = Fits { config: self.config, prepared: self.prepared, device: self.device };
        let which = (self.model.as_str(), candidate.label.as_str(), seed);
        let measure = |model: &dyn Recommender| Ok((BTreeMap::new(), measure(model)?));
        fits.fit(which, fit.as_ref(), kept, (measured, &measure), progress)
    }

    /// The primary metric of every user; all items compete, what was seen is masked.
    fn values<P: Phase>(
        &self,
        model: &dyn Recommender,
        held: &Held<P>,
        seen: &Interactions,
    ) -> Result<Vec<f64>, PipelineError> {
        let config = self.config.evaluate.primary_config();
        let evaluator = Evaluator::new(&config, &self.registries.metrics)?;
        let model = self.prepared.with_newcomers(model);
        let evaluation = evaluator.evaluate(&model, held, seen)?;
        Ok(evaluation.require_per_user(&self.config.evaluate.primary)?.to_vec())
    }
}
