//! Models to fitted models.

use std::time::Instant;

use quintet_core::{Recommender, SeedStream};
use quintet_data::{DataError, read_state, write_atomic, write_state};
use quintet_tensor::{Device, Fit, FitContext};
use quintet_train::{FitReport, Labelled, Progress, RunPlace, fit_model};

use super::{ModelSpec, PipelineError, Prepared, RunConfig, Workspace};
use crate::Registries;

/// The entry of a saved model's metadata that says what it was fitted on.
const RUN: &str = "run";

/// A fitted model with its label.
pub struct TrainedModel {
    /// The label of its `[[models]]` table.
    pub label: String,
    /// The model.
    pub model: Box<dyn Recommender>,
    /// How it came about; `None` for a model that was never fitted, such as a known truth.
    pub report: Option<FitReport>,
    /// Seconds of fitting; 0 for a model that was loaded.
    pub seconds: f64,
}

/// Fits every model of the run and saves it under `models/<label>/`.
///
/// # Errors
/// A name or parameter is unknown, a model diverges, a file cannot be written.
pub fn train_stage(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    workspace: &Workspace,
    progress: &mut dyn Progress,
) -> Result<Vec<TrainedModel>, PipelineError> {
    workspace.write_config(config)?;
    let summary = serde_json::to_vec_pretty(&prepared.summary())?;
    write_atomic(&workspace.file("data.json"), &summary)?;
    train_models(config, prepared, registries, device, Some(workspace), progress)
}

/// Fits every model of the run; writes files only with a workspace.
///
/// # Errors
/// As [`train_stage`].
pub fn train_models(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    workspace: Option<&Workspace>,
    progress: &mut dyn Progress,
) -> Result<Vec<TrainedModel>, PipelineError> {
    // Every name and parameter is checked before the first model costs time.
    for spec in &config.models {
        (registries.models.get(&spec.model)?.build)(&spec.params)?;
    }
    let context = FitContext { device: device.clone(), seed: SeedStream::new(config.seed) };
    config
        .models
        .iter()
        .map(|spec| train_one(config, spec, prepared, registries, &context, workspace, progress))
        .collect()
}

fn train_one(
    config: &RunConfig,
    spec: &ModelSpec,
    prepared: &Prepared,
    registries: &Registries,
    context: &FitContext,
    workspace: Option<&Workspace>,
    progress: &mut dyn Progress,
) -> Result<TrainedModel, PipelineError> {
    let fit = (registries.models.get(&spec.model)?.build)(&spec.params)?;
    let identity = identity(config, &spec.model, fit.as_ref(), prepared, config.seed)?;
    let place = match workspace {
        Some(w) => {
            let place = RunPlace::new(&w.model(spec.label()), &identity)?;
            Some(place.with_events(&w.tensorboard(spec.label())))
        }
        None => None,
    };
    let begun = Instant::now();
    let data = prepared.training_data_for(fit.as_ref())?;
    let valid = prepared.validation();
    let (train, progress) = (&config.train, &mut Labelled::new(spec.label(), progress));
    let fitted = fit_model(fit.as_ref(), data, valid, context, train, place.as_ref(), progress)?;
    if let Some(w) = workspace {
        let dir = w.model(spec.label());
        let mut state = fitted.model.state();
        state.meta.insert(RUN.to_owned(), identity);
        write_state(&dir.join("model.safetensors"), &state)?;
        let report = serde_json::to_vec_pretty(&fitted.report)?;
        write_atomic(&dir.join("model.json"), &report)?;
    }
    Ok(TrainedModel {
        label: spec.label().to_owned(),
        model: fitted.model,
        report: Some(fitted.report),
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Hash of everything that a fitted model depends on.
pub(super) fn identity(
    config: &RunConfig,
    model: &str,
    fit: &dyn Fit,
    prepared: &Prepared,
    seed: u64,
) -> Result<String, PipelineError> {
    let settings = serde_json::to_string(&(fit.config(), &config.train))?;
    let (features, seed) = (prepared.features_hash.clone(), seed.to_string());
    let parts = [model, &settings, &prepared.data_hash, &features, seed.as_str()];
    Ok(RunPlace::identity(&parts))
}

/// Loads the models that [`train_stage`] saved.
///
/// # Errors
/// A model is not there, or was fitted on other data, with other settings or another seed: its
/// results would not be those of this run, and its training may have seen the test part.
pub fn load_models(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    workspace: &Workspace,
) -> Result<Vec<TrainedModel>, PipelineError> {
    let mut models = Vec::new();
    for spec in &config.models {
        let path = workspace.model(spec.label()).join("model.safetensors");
        if !path.is_file() {
            return Err(PipelineError::NotRun { path: path.display().to_string(), verb: "train" });
        }
        let state = read_state(&path)?;
        let entry = registries.models.get(&spec.model)?;
        let fit = (entry.build)(&spec.params)?;
        let own = identity(config, &spec.model, fit.as_ref(), prepared, config.seed)?;
        if state.meta.get(RUN) != Some(&own) {
            return Err(PipelineError::OtherRun { path: path.display().to_string() });
        }
        let model = (entry.load)(&state)?;
        for (what, expected, found) in [
            ("users", prepared.dataset.users.len(), model.n_users()),
            ("items", prepared.dataset.items.len(), model.n_items()),
        ] {
            if expected != found {
                return Err(quintet_core::CoreError::Shape {
                    what: format!("{what} of {}", path.display()),
                    expected,
                    found,
                }
                .into());
            }
        }
        let path = path.with_file_name("model.json");
        let report = serde_json::from_slice(&fs_err::read(&path)?)
            .map_err(|source| DataError::Json { path, row: None, source })?;
        models.push(TrainedModel {
            label: spec.label().to_owned(),
            model,
            report: Some(report),
            seconds: 0.0,
        });
    }
    Ok(models)
}
