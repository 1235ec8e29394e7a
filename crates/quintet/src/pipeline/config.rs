//! The run file.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_core::Modality;
use quintet_data::{ImputeConfig, ShapeConfig, SplitConfig};
use quintet_ingest::IngestConfig;
use quintet_metrics::{BootstrapConfig, EvalConfig, EvalError, Evaluator};
use quintet_rules::RuleSpec;
use quintet_tensor::EncoderEntry;
use quintet_train::{TrainConfig, TuneConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tune::tuned_model;
use super::{AttributesSpec, CompleteSpec, EncoderTraining, ForeignFeatures, PipelineError};
use crate::Registries;

/// A run file: TOML, every unknown key refused, every default written back beside the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What the run is called.
    pub name: String,
    /// The seed of everything random.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Where the data comes from.
    pub ingest: IngestConfig,
    /// Which interactions count.
    #[serde(default)]
    pub shape: ShapeConfig,
    /// How data is held out.
    pub split: SplitConfig,
    /// Which encoder reads which modality.
    #[serde(default)]
    pub encode: Vec<EncodeSpec>,
    /// Features that somebody else computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<ForeignFeatures>,
    /// What to do about items without a modality; they stay without it by default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<Modality, ImputeConfig>,
    /// How vectors are made up from the other modalities of an item, after `missing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<CompleteSpec>,
    /// Which attributes of users and items models may read.
    #[serde(default, skip_serializing_if = "AttributesSpec::is_default")]
    pub attributes: AttributesSpec,
    /// The fit loop.
    #[serde(default)]
    pub train: TrainConfig,
    /// Which models to fit.
    #[serde(default)]
    pub models: Vec<ModelSpec>,
    /// Which rating models to fit; they have a table of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rating_models: Vec<ModelSpec>,
    /// Which parameters of a model to search, for `quintet tune`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<TuneConfig>,
    /// What to measure.
    #[serde(default)]
    pub evaluate: EvaluateSpec,
    /// Whom to recommend to at the end of a run.
    #[serde(default)]
    pub recommend: RecommendSpec,
}

fn default_seed() -> u64 {
    42
}

/// One `[[encode]]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodeSpec {
    /// The modality.
    pub modality: Modality,
    /// The encoder, by registry name.
    pub encoder: String,
    /// Its parameters.
    #[serde(default = "empty", skip_serializing_if = "is_empty")]
    pub params: Value,
    /// How it learns from what people did, before it encodes; it does not by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<EncoderTraining>,
}

impl EncodeSpec {
    /// The encoder's entry.
    ///
    /// # Errors
    /// The name is unknown, or the encoder reads another modality.
    pub fn entry<'a>(&self, known: &'a Registries) -> Result<&'a EncoderEntry, PipelineError> {
        let entry = known.encoders.get(&self.encoder)?;
        if entry.modality != self.modality {
            return Err(PipelineError::WrongModality {
                encoder: self.encoder.clone(),
                reads: entry.modality.to_string(),
                asked: self.modality.to_string(),
            });
        }
        Ok(entry)
    }
}

/// One `[[models]]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The model, by registry name.
    pub model: String,
    /// What this variant is called; the model's name by default.
    #[serde(default)]
    pub label: Option<String>,
    /// Its parameters.
    #[serde(default = "empty", skip_serializing_if = "is_empty")]
    pub params: Value,
}

impl ModelSpec {
    /// The label, or the model's name.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.model)
    }
}

/// An empty table: what `params` is when it is left out. TOML has no null.
pub(super) fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

pub(super) fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The `[evaluate]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSpec {
    /// Cut-offs.
    pub cutoffs: Vec<usize>,
    /// Metrics, by registry name.
    pub metrics: Vec<String>,
    /// The metric of intervals and comparisons.
    pub primary: String,
    /// The label every other model is compared with; the last of `[[models]]` by default.
    pub reference: Option<String>,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// What is done to lists before they are shown; measured beside the lists as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
    /// Best items of a user that the rules choose from.
    pub rule_candidates: usize,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        let base = EvalConfig::default();
        Self {
            cutoffs: base.cutoffs,
            metrics: base.metrics,
            primary: "ndcg@10".into(),
            reference: None,
            resamples: 2000,
            rules: Vec::new(),
            rule_candidates: 100,
        }
    }
}

impl EvaluateSpec {
    /// What the evaluator takes.
    pub fn eval_config(&self) -> EvalConfig {
        EvalConfig { cutoffs: self.cutoffs.clone(), metrics: self.metrics.clone() }
    }

    /// The same for the primary metric alone.
    pub(super) fn primary_config(&self) -> EvalConfig {
        let (name, k) = self.primary.split_once('@').unwrap_or((&self.primary, "10"));
        EvalConfig { cutoffs: vec![k.parse().unwrap_or(10)], metrics: vec![name.to_owned()] }
    }
}

/// The `[recommend]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendSpec {
    /// Length of a list.
    pub k: usize,
    /// Users to show at the end of a run, by their own ids.
    pub users: Vec<String>,
    /// Which model; the reference of `[evaluate]` by default.
    pub label: Option<String>,
}

impl Default for RecommendSpec {
    fn default() -> Self {
        Self { k: 10, users: Vec::new(), label: None }
    }
}

impl RunConfig {
    /// Reads a run file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has an unknown or wrong key: one line that
    /// names the file, the line and the key.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let text = fs_err::read_to_string(path)?;
        let config: Self = toml::from_str(&text).map_err(|e| {
            let start = e.span().map_or(0, |s| s.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            // serde's message does not always name the key; its line does.
            let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
            PipelineError::Config {
                path: path.display().to_string(),
                line,
                reason: format!("{} (in `{shown}`)", e.message().replace('\n', " ")),
            }
        })?;
        config.check(path)?;
        Ok(config)
    }

    /// Checks what serde cannot: labels and references.
    ///
    /// # Errors
    /// A label occurs twice, could not be a folder's name, or is referred to and not there.
    pub fn check(&self, path: &Path) -> Result<(), PipelineError> {
        let bad = |reason: String| {
            Err(PipelineError::Config { path: path.display().to_string(), line: 1, reason })
        };
        let recommenders = self.models.iter().map(|spec| ("models", spec.label()));
        let raters = self.rating_models.iter().map(|spec| ("rating_models", spec.label()));
        let mut labels = Vec::new();
        for (table, label) in recommenders.chain(raters) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_+. ".contains(c);
            if label.is_empty() || label.starts_with('.') || !label.chars().all(plain) {
                return bad(format!(
                    "[[{table}]] label {label:?}: expected letters, digits, space, - _ + ."
                ));
            }
            if labels.contains(&label) {
                return bad(format!("[[{table}]] label {label:?} occurs twice; give one a label"));
            }
            labels.push(label);
        }
        let mut modalities = Vec::new();
        let encoded = self.encode.iter().map(|spec| ("encode", spec.modality));
        let foreign = self.features.iter().map(|spec| ("features", spec.modality));
        for (table, modality) in encoded.chain(foreign) {
            if modalities.contains(&modality) {
                return bad(format!("[[{table}]] modality {modality} occurs twice"));
            }
            modalities.push(modality);
        }
        if let Some(modality) = self.missing.keys().find(|m| !modalities.contains(m)) {
            return bad(format!(
                "[missing.{modality}]: expected a modality of [[encode]] or [[features]]"
            ));
        }
        for (key, label) in [
            ("[evaluate] reference", &self.evaluate.reference),
            ("[recommend] label", &self.recommend.label),
        ] {
            if let Some(label) = label {
                self.find(label, key)?;
            }
        }
        Ok(())
    }

    /// Checks every name, parameter and range that needs no data, so that a typo costs no work.
    ///
    /// # Errors
    /// An encoder, a model, a metric or a parameter is unknown or out of range.
    pub fn check_names(&self, known: &Registries) -> Result<(), PipelineError> {
        self.ingest.validate()?;
        self.split.validate()?;
        self.train.validate()?;
        self.attributes.validate()?;
        if let Some(complete) = &self.complete {
            complete.validate()?;
        }
        for missing in self.missing.values() {
            missing.validate()?;
        }
        for spec in &self.encode {
            spec.check(known)?;
        }
        for spec in &self.models {
            (known.models.get(&spec.model)?.build)(&spec.params)?;
        }
        for spec in &self.rating_models {
            (known.rating_models.get(&spec.model)?.build)(&spec.params)?;
        }
        if let Some(tune) = &self.tune {
            tune.validate()?;
            tuned_model(self, tune, known)?;
        }
        known.metrics.get(self.train.cutoff()?.0)?;
        let evaluate = &self.evaluate;
        let keys = Evaluator::new(&evaluate.eval_config(), &known.metrics)?.keys();
        BootstrapConfig { resamples: evaluate.resamples, ..BootstrapConfig::default() }
            .validate()?;
        if !keys.contains(&evaluate.primary) {
            let (key, known) = (evaluate.primary.clone(), keys.join(", "));
            return Err(EvalError::UnknownKey { key, known }.into());
        }
        Ok(())
    }

    /// The model with a label.
    ///
    /// # Errors
    /// No model has it; the error lists the labels.
    pub fn find(&self, label: &str, what: &str) -> Result<&ModelSpec, PipelineError> {
        self.models.iter().find(|m| m.label() == label).ok_or_else(|| PipelineError::Label {
            what: what.to_owned(),
            label: label.to_owned(),
            known: self.models.iter().map(ModelSpec::label).collect::<Vec<_>>().join(", "),
        })
    }

    /// The label that others are compared with.
    pub fn reference(&self) -> Option<&str> {
        let last = || self.models.last().map(ModelSpec::label);
        self.evaluate.reference.as_deref().or_else(last)
    }
}
