//! Which fusion helps on these data, and what it is worth when modalities go missing.

mod compare;
mod removal;

pub use compare::{FusionChoice, FusionRow, FusionTable, Paired, compare_fusions};
pub use removal::{RemovalRow, RemovalTable, remove_modalities};

use std::time::Duration;

use quintet_core::{Modality, SeedStream};
use quintet_tensor::{Device, FitContext};
use quintet_train::{Fitted, Labelled, Progress, fit_model};
use serde_json::{Map, Value};

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
}

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
        for name in wanted.iter().filter(|n| n.as_str() != PROJECTIONS) {
            self.registries.fusions.get(name)?;
        }
        let own = (self.model == "vbpr").then_some(PROJECTIONS);
        let known = self.registries.fusions.names().chain(own);
        let mut all: Vec<String> = match wanted {
            [] => known.map(str::to_owned).collect(),
            _ => wanted.to_vec(),
        };
        all.sort_by_key(|name| name != "concat");
        all.dedup();
        Ok(all)
    }

    fn fit(
        &self,
        candidate: &Candidate,
        seed: u64,
        progress: &mut dyn Progress,
    ) -> Result<Fitted, PipelineError> {
        let mut params = self.base.clone();
        if candidate.layer != PROJECTIONS {
            params.insert("fusion".into(), candidate.layer.clone().into());
        }
        if let Some(modality) = candidate.only {
            params.insert("modalities".into(), Value::from(vec![modality.as_str()]));
        }
        let fit = (self.registries.models.get(&self.model)?.build)(&Value::Object(params))?;
        let context = FitContext { device: self.device.clone(), seed: SeedStream::new(seed) };
        let data = self.prepared.training_data_for(fit.as_ref())?;
        let valid = self.prepared.validation();
        let label = format!("{}, seed {seed}", candidate.label);
        let (train, progress) = (&self.config.train, &mut Labelled::new(&label, progress));
        Ok(fit_model(fit.as_ref(), data, valid, &context, train, None, progress)?)
    }
}

/// Element-wise mean of vectors of one length.
fn mean_of(rows: &[Vec<f64>]) -> Vec<f64> {
    let n = rows.len() as f64;
    let len = rows.first().map_or(0, Vec::len);
    (0..len).map(|at| rows.iter().map(|row| row[at]).sum::<f64>() / n).collect()
}

/// Standard deviation of the means of rows; 0 for a single one.
fn spread_of(rows: &[Vec<f64>]) -> f64 {
    let means: Vec<f64> =
        rows.iter().map(|row| row.iter().sum::<f64>() / row.len().max(1) as f64).collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let squares: f64 = means.iter().map(|m| (m - mean).powi(2)).sum();
    (squares / (n - 1.0).max(1.0)).sqrt()
}
