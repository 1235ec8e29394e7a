//! `[[encode]] train`: encoders that learn from what people did, before they encode.
//!
//! An encoder and user vectors are trained as one on the interactions of the run's training part,
//! the best epoch is chosen in validation, and the weights become those that the encoder reads.
//! The test part is not looked at. Weights of one division know what others hold out, so
//! cross-validation refuses such encoders.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quintet_core::{FeatureSet, Modality, SeedStream};
use quintet_data::{ContentHash, Dataset, write_atomic};
use quintet_models::{EncoderTower, EncoderTowerConfig};
use quintet_tensor::nn::Tuning;
use quintet_tensor::{
    Device, EncodeError, EncoderLearner, FitContext, LearnerStart, RawMedia, StartLearner,
    TrainingData,
};
use quintet_train::{FitReport, Labelled, Progress, RunPlace, TrainConfig, ValidItems, fit_model};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{empty, is_empty};
use super::media::Media;
use super::stages::read_json;
use super::weights::weights_hash;
use super::{EncodeSpec, PipelineError, RunConfig, Workspace, prepare};
use crate::Registries;

/// Inputs that are read and prepared at once.
const WINDOW: usize = 256;

/// How an encoder learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderTraining {
    /// Sizes of a network that begins from nothing, where `params` names no weights.
    #[serde(skip_serializing_if = "is_empty")]
    pub sizes: Value,
    /// Which arrays learn.
    pub tuning: Tuning,
    /// At most this many epochs.
    pub epochs: usize,
    /// Stop when the metric of `[train]` has not improved for this many epochs.
    pub patience: usize,
    /// Which items compete in validation; as `[train]` says by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_items: Option<ValidItems>,
    /// Parameters of the training: `lr`, `table_lr`, `batch_size`, `steps`, `l2`, `weight_decay`.
    #[serde(skip_serializing_if = "is_empty")]
    pub params: Value,
}

impl Default for EncoderTraining {
    fn default() -> Self {
        let (epochs, patience) = (10, 2);
        let (sizes, params) = (empty(), empty());
        Self { sizes, tuning: Tuning::All, epochs, patience, valid_items: None, params }
    }
}

/// What training an encoder came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedEncoder {
    /// What it reads.
    pub modality: Modality,
    /// Its registry name.
    pub encoder: String,
    /// Items with an input that could be read.
    pub items: usize,
    /// Items whose input could not be read, and why; the encode stage counts them again.
    pub failed: Vec<String>,
    /// The training.
    pub fit: FitReport,
    /// Seconds of it; not again where the weights of an earlier run were taken.
    #[serde(skip)]
    pub seconds: Option<f64>,
}

/// What lies beside the weights.
#[derive(Serialize, Deserialize)]
struct Kept {
    identity: String,
    report: TrainedEncoder,
}

impl EncodeSpec {
    /// Checks names and parameters before anything costs time.
    ///
    /// # Errors
    /// The encoder is unknown or cannot be built so, or cannot learn.
    pub(super) fn check(&self, known: &Registries) -> Result<(), PipelineError> {
        let Some(train) = &self.train else {
            (self.entry(known)?.build)(&self.params)?;
            return Ok(());
        };
        self.start(known)?;
        EncoderTowerConfig::parse(&train.params)?;
        self.settings(train, &TrainConfig::default()).validate()?;
        Ok(())
    }

    /// How the encoder begins to learn.
    fn start<'a>(&self, known: &'a Registries) -> Result<&'a StartLearner, PipelineError> {
        self.entry(known)?.learn.as_ref().ok_or_else(|| {
            let learners = known.encoders.iter().filter(|e| e.learn.is_some());
            let able: Vec<&str> = learners.map(|e| e.name).collect();
            let reason = format!("has no weights that learn; those of {} do", able.join(", "));
            EncodeError::Config { encoder: self.encoder.clone(), reason }.into()
        })
    }

    fn settings(&self, train: &EncoderTraining, run: &TrainConfig) -> TrainConfig {
        TrainConfig {
            epochs: train.epochs,
            patience: train.patience,
            eval_every: 1,
            checkpoint_every: 1,
            valid_items: train.valid_items.unwrap_or(run.valid_items),
            ..run.clone()
        }
    }

    /// The encoder with the weights that it learned, where it learns.
    ///
    /// # Errors
    /// It has not learned yet.
    pub(super) fn ready(&self, workspace: &Workspace) -> Result<Self, PipelineError> {
        if self.train.is_none() {
            return Ok(self.clone());
        }
        let folder = weights_of(workspace, self.modality);
        if !folder.join("model.safetensors").is_file() {
            let path = folder.display().to_string();
            return Err(PipelineError::NotRun { path, verb: "encode" });
        }
        let mut spec = Self { train: None, ..self.clone() };
        spec.params["weights"] = folder.to_string_lossy().into();
        Ok(spec)
    }
}

impl RunConfig {
    /// Refuses encoders that learned from what other divisions hold out.
    pub(super) fn no_trained_encoders(&self, what: &str) -> Result<(), PipelineError> {
        let Some(spec) = self.encode.iter().find(|spec| spec.train.is_some()) else {
            return Ok(());
        };
        let (modality, encoder) = (spec.modality.to_string(), spec.encoder.clone());
        Err(PipelineError::LearnedElsewhere { what: what.to_owned(), modality, encoder })
    }
}

fn dir_of(workspace: &Workspace, modality: Modality) -> PathBuf {
    workspace.file("encoders").join(modality.as_str())
}

fn weights_of(workspace: &Workspace, modality: Modality) -> PathBuf {
    dir_of(workspace, modality).join("weights")
}

/// Trains every encoder of the run file that asks for it, or takes the weights of an earlier call
/// over the same media, interactions and settings. [`super::encode_stage`] reads them. A training
/// that was killed goes on from its last epoch.
///
/// # Errors
/// An encoder cannot learn or cannot be built so, no input can be read, training diverges, a file
/// cannot be written.
pub fn train_encoders_stage(
    config: &RunConfig,
    dataset: &Dataset,
    registries: &Registries,
    device: &Device,
    workspace: &Workspace,
    progress: &mut dyn Progress,
) -> Result<Vec<TrainedEncoder>, PipelineError> {
    let mut reports = Vec::new();
    for spec in &config.encode {
        let Some(train) = &spec.train else { continue };
        let course = Course { spec, train, config, dataset, device, workspace };
        reports.push(course.run(spec.start(registries)?, progress)?);
    }
    Ok(reports)
}

/// One encoder to train.
struct Course<'a> {
    spec: &'a EncodeSpec,
    train: &'a EncoderTraining,
    config: &'a RunConfig,
    dataset: &'a Dataset,
    device: &'a Device,
    workspace: &'a Workspace,
}

impl Course<'_> {
    fn run(
        &self,
        start: &StartLearner,
        progress: &mut dyn Progress,
    ) -> Result<TrainedEncoder, PipelineError> {
        let media = Media::of(self.dataset, self.spec.modality);
        let prepared = self.interactions()?;
        let identity = self.identity(&media, &prepared.data_hash)?;
        let dir = dir_of(self.workspace, self.spec.modality);
        let (folder, path) =
            (weights_of(self.workspace, self.spec.modality), dir.join("report.json"));
        if path.is_file() && folder.join("model.safetensors").is_file() {
            let kept: Kept = read_json(&path, "the report of a trained encoder")?;
            if kept.identity == identity {
                return Ok(kept.report);
            }
        }
        self.clear(&dir, &identity)?;
        let begun = Instant::now();
        let begin = || self.learner(start, &media, &folder);
        let mut learner = begin()?;
        let (places, failed) = self.read(learner.as_mut(), &media);
        let items = places.iter().flatten().count();
        let tower = EncoderTowerConfig::parse(&self.train.params)?;
        let fit = EncoderTower::new(tower, self.spec.modality, places, learner);
        let seed = SeedStream::new(self.config.seed);
        let context = FitContext { device: self.device.clone(), seed };
        let none = FeatureSet::new(self.dataset.items.len());
        let data = TrainingData::new(&prepared.split.train, &none);
        let (valid, settings) =
            (prepared.validation(), self.spec.settings(self.train, &self.config.train));
        let place = RunPlace::new(&dir, &identity)?;
        let label = format!("{} for {}", self.spec.encoder, self.spec.modality);
        let place = place.with_events(&self.workspace.tensorboard(&format!("encoder {label}")));
        let progress = &mut Labelled::new(&label, progress);
        let fitted = fit_model(&fit, data, valid, &context, &settings, Some(&place), progress)?;
        // The network of the best epoch: built anew, with what that model holds.
        let mut learner = begin()?;
        EncoderTower::restore(fitted.model.as_ref(), learner.as_mut())?;
        learner.save()?;
        let report = TrainedEncoder {
            modality: self.spec.modality,
            encoder: self.spec.encoder.clone(),
            items,
            failed,
            fit: fitted.report,
            seconds: Some(begun.elapsed().as_secs_f64()),
        };
        let kept = Kept { identity, report };
        write_atomic(&path, &serde_json::to_vec_pretty(&kept)?)?;
        Ok(kept.report)
    }

    /// Checkpoints and weights of another training make room, so that a changed run file is no
    /// error; those of this one stay.
    fn clear(&self, dir: &Path, identity: &str) -> Result<(), PipelineError> {
        let mark = dir.join("identity");
        let own = mark.is_file() && fs_err::read_to_string(&mark)?.trim() == identity;
        if !own && dir.is_dir() {
            fs_err::remove_dir_all(dir)?;
        }
        fs_err::create_dir_all(dir)?;
        write_atomic(&mark, format!("{identity}\n").as_bytes())?;
        Ok(())
    }

    /// The division of the run, without features.
    fn interactions(&self) -> Result<super::Prepared, PipelineError> {
        let config = RunConfig {
            encode: Vec::new(),
            features: Vec::new(),
            missing: Default::default(),
            complete: None,
            attributes: Default::default(),
            ..self.config.clone()
        };
        prepare(&config, self.dataset.clone(), FeatureSet::new(self.dataset.items.len()), None)
    }

    /// Hash of everything that the weights depend on.
    fn identity(&self, media: &Media<'_>, data: &str) -> Result<String, PipelineError> {
        let mut params = self.spec.params.clone();
        if let Some(Value::String(path)) = params.get("weights") {
            params["weights"] = weights_hash(Path::new(path))?.into();
        }
        let run = &self.config.train;
        let settings = json!([params, self.train, run.metric, run.valid_items, self.config.seed]);
        let (name, settings) = (self.spec.encoder.as_str(), settings.to_string());
        let version = env!("CARGO_PKG_VERSION");
        Ok(RunPlace::identity(&[name, &settings, data, &media.hash, version]))
    }

    fn learner(
        &self,
        start: &StartLearner,
        media: &Media<'_>,
        folder: &Path,
    ) -> Result<Box<dyn EncoderLearner>, PipelineError> {
        let corpus = if self.spec.modality == Modality::Text { media.corpus() } else { Vec::new() };
        let corpus: Vec<&RawMedia> = corpus.iter().collect();
        let device = self.device.clone().autodiff();
        Ok(start(&LearnerStart {
            params: &self.spec.params,
            sizes: &self.train.sizes,
            tuning: self.train.tuning,
            corpus: &corpus,
            folder,
            seed: SeedStream::new(self.config.seed),
            device: &device,
        })?)
    }

    /// Has all inputs read; gives the place of each item, and the items that have none.
    fn read(
        &self,
        learner: &mut dyn EncoderLearner,
        media: &Media<'_>,
    ) -> (Vec<Option<u32>>, Vec<String>) {
        let mut known: HashMap<&ContentHash, Result<u32, String>> = HashMap::new();
        let mut next = 0u32;
        for window in media.distinct().chunks(WINDOW) {
            let fetched: Vec<Result<RawMedia, EncodeError>> =
                window.par_iter().map(|&item| media.fetch(item)).collect();
            let given: Vec<&RawMedia> = fetched.iter().flatten().collect();
            let mut read = learner.read(&given).into_iter();
            for (&item, fetched) in window.iter().zip(&fetched) {
                let Some(content) = media.content(item) else { continue };
                let result = match fetched {
                    Err(e) => Err(e.to_string()),
                    Ok(_) => {
                        let place = next;
                        next += 1;
                        let none = || Err(EncodeError::Device("no result was given".to_owned()));
                        read.next().unwrap_or_else(none).map(|()| place).map_err(|e| e.to_string())
                    }
                };
                known.insert(content, result);
            }
        }
        let mut failed = Vec::new();
        let place = |item: usize| match known.get(media.content(item)?)? {
            Ok(place) => Some(*place),
            Err(e) => {
                failed.push(format!("item {}: {e}", self.dataset.items[item].id));
                None
            }
        };
        ((0..media.n_items()).map(place).collect(), failed)
    }
}
