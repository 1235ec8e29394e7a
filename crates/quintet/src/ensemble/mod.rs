//! Decision fusion of whole recommenders, as a recommender.
//!
//! Members are fitted side by side, each from its own parameters; a combination of
//! [`quintet_fusion::decision`] makes one list of theirs. Combinations that learn do so on a share
//! of the training interactions of each user, which is held out from a first fit of the members
//! (Wolpert, "Stacked Generalization", Neural Networks 1992); then the members are fitted again on
//! everything. Validation and test are never seen. Parameters and cost: those of the members, for
//! combinations that learn about twice.

mod holdout;
mod model;

use std::collections::BTreeSet;
use std::sync::Arc;

use quintet_core::{Interactions, ModelState, Recommender, Registry, RegistryError};
use quintet_fusion::decision::{DecisionFusion, ItemFacts, decisions};
use quintet_tensor::{
    EpochStats, Fit, FitContext, FitError, Fitting, ModelEntry, Trainer, TrainingData,
    check_interactions, parse_params,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use model::Ensemble;

/// Registry name.
pub(crate) const NAME: &str = "ensemble";

/// One member of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberParams {
    /// Registry name of the model.
    pub model: String,
    /// Its parameters; the defaults by default.
    #[serde(default)]
    pub params: Value,
    /// What it is called in explanations; the model's name by default.
    #[serde(default)]
    pub label: Option<String>,
    /// How many epochs it trains at most; as many as the ensemble by default.
    #[serde(default)]
    pub epochs: Option<usize>,
}

impl MemberParams {
    fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.model)
    }
}

/// Parameters of the ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleParams {
    /// The members; labels must differ.
    pub members: Vec<MemberParams>,
    /// Registry name of the combination.
    pub method: String,
    /// Its parameters.
    pub method_params: Value,
    /// Share of each user's training interactions that a combination learns from, rounded up;
    /// users with one interaction keep it.
    pub holdout: f64,
    /// Epochs of the members on the rest.
    pub holdout_epochs: usize,
    /// How many users a combination learns from at most; they are spread over all.
    pub holdout_users: usize,
    /// Whether the items of a user's training history are taken out of the lists before these are
    /// combined; they then stand last.
    pub exclude_seen: bool,
}

impl Default for EnsembleParams {
    fn default() -> Self {
        let member = |model: &str| MemberParams {
            model: model.to_owned(),
            params: Value::Null,
            label: None,
            epochs: None,
        };
        Self {
            members: vec![member("ials"), member("vbpr")],
            method: "rrf".into(),
            method_params: json!({}),
            holdout: 0.1,
            holdout_epochs: 20,
            holdout_users: 1000,
            exclude_seen: true,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "several models, one list: decision fusion",
        build: |params| Ok(Box::new(EnsembleFit::new(parse_params(NAME, params)?)?)),
        load: |state| Ok(Box::new(Ensemble::load(state)?)),
        tiny: r#"{
            "members": [
                {"model": "ials", "params": {"dim": 8}},
                {"model": "vbpr", "params": {"dim": 8, "content_dim": 8, "lr": 0.05,
                                             "batch_size": 256, "l2": 0.001}, "label": "content"}
            ],
            "method": "stack", "holdout_epochs": 20
        }"#,
    }
}

/// Every model that can be a member: all that are compiled in but the ensemble.
pub(crate) fn members() -> Result<Registry<ModelEntry>, RegistryError> {
    let mut models = Registry::new("model");
    quintet_cf::register(&mut models)?;
    quintet_models::register(&mut models)?;
    Ok(models)
}

/// The combination of so many models.
fn combination(
    params: &EnsembleParams,
    n_models: usize,
) -> Result<Box<dyn DecisionFusion>, FitError> {
    (decisions()?.get(&params.method)?.build)(&params.method_params, n_models)
}

fn config(reason: String) -> FitError {
    FitError::Config { model: NAME.into(), reason }
}

/// An ensemble before it has seen data.
struct EnsembleFit {
    params: EnsembleParams,
    fits: Vec<Box<dyn Fit>>,
}

impl EnsembleFit {
    fn new(params: EnsembleParams) -> Result<Self, FitError> {
        if params.members.len() < 2 {
            let n = params.members.len();
            return Err(config(format!("{n} members, at least 2 are needed")));
        }
        let mut labels = BTreeSet::new();
        if let Some(twice) = params.members.iter().find(|m| !labels.insert(m.label())) {
            return Err(config(format!("two members are called {:?}", twice.label())));
        }
        if !(params.holdout > 0.0 && params.holdout < 1.0) {
            let holdout = params.holdout;
            return Err(config(format!("holdout is {holdout}, between 0 and 1 is needed")));
        }
        for (name, value) in [
            ("holdout_epochs", Some(params.holdout_epochs)),
            ("holdout_users", Some(params.holdout_users)),
            ("epochs of a member", params.members.iter().filter_map(|m| m.epochs).min()),
        ] {
            if value == Some(0) {
                return Err(config(format!("{name} is 0, at least 1 is needed")));
            }
        }
        combination(&params, params.members.len())?;
        let known = members()?;
        let build = |m: &MemberParams| (known.get(&m.model)?.build)(&m.params);
        let fits = params.members.iter().map(build).collect::<Result<_, FitError>>()?;
        Ok(Self { params, fits })
    }
}

impl Fit for EnsembleFit {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        let mut params = self.params.clone();
        for (member, fit) in params.members.iter_mut().zip(&self.fits) {
            member.params = fit.config();
        }
        serde_json::to_value(params).unwrap_or_default()
    }

    fn reads_behaviours(&self) -> bool {
        self.fits.iter().any(|fit| fit.reads_behaviours())
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        check_interactions(NAME, data.train)?;
        let facts = facts(&data);
        let mut decision = combination(&self.params, self.fits.len())?;
        if decision.learns() {
            let lessons = holdout::lessons(&self.params, &self.fits, data, context)?;
            decision.learn(&lessons, &facts, context.seed)?;
        }
        let start = |fit: &dyn Fit| {
            Ok(match fit.start(data, context)? {
                Fitting::Fitted(model) => Running::Fitted(Arc::from(model)),
                Fitting::Epochs(trainer) => Running::Epochs(trainer),
            })
        };
        let members =
            self.fits.iter().map(AsRef::as_ref).map(start).collect::<Result<Vec<_>, FitError>>()?;
        let done = members.iter().all(|m| matches!(m, Running::Fitted(_)));
        let trainer = EnsembleTrainer {
            params: self.params.clone(),
            members,
            decision: Arc::from(decision),
            train: Arc::new(data.train.clone()),
            facts: Arc::new(facts),
        };
        if done {
            return Ok(Fitting::Fitted(trainer.model()?));
        }
        Ok(Fitting::Epochs(Box::new(trainer)))
    }
}

fn facts(data: &TrainingData<'_>) -> ItemFacts {
    let present = |item: usize| data.features.iter().map(|f| f.present[item]).collect();
    ItemFacts {
        counts: data.train.item_counts(),
        modalities: (0..data.train.n_items()).map(present).collect(),
    }
}

/// A member after its start.
enum Running {
    Fitted(Arc<dyn Recommender>),
    Epochs(Box<dyn Trainer>),
}

struct EnsembleTrainer {
    params: EnsembleParams,
    members: Vec<Running>,
    decision: Arc<dyn DecisionFusion>,
    train: Arc<Interactions>,
    facts: Arc<ItemFacts>,
}

impl EnsembleTrainer {
    fn trainers(&self) -> impl Iterator<Item = (usize, &dyn Trainer)> {
        self.members.iter().enumerate().filter_map(|(at, member)| match member {
            Running::Epochs(trainer) => Some((at, trainer.as_ref())),
            Running::Fitted(_) => None,
        })
    }
}

impl Trainer for EnsembleTrainer {
    /// One epoch of each member that still trains; the loss is the mean of theirs, 0 after the last.
    fn epoch(&mut self, epoch: usize) -> Result<EpochStats, FitError> {
        let mut total = EpochStats { loss: 0.0, batches: 0, samples: 0 };
        let mut trained = 0usize;
        for (member, params) in self.members.iter_mut().zip(&self.params.members) {
            let Running::Epochs(trainer) = member else { continue };
            if params.epochs.is_some_and(|last| epoch > last) {
                continue;
            }
            let stats = trainer.epoch(epoch)?;
            total.loss += stats.loss;
            total.batches += stats.batches;
            total.samples += stats.samples;
            trained += 1;
        }
        total.loss /= trained.max(1) as f64;
        Ok(total)
    }

    fn model(&self) -> Result<Box<dyn Recommender>, FitError> {
        let model = |member: &Running| match member {
            Running::Fitted(model) => Ok(Arc::clone(model)),
            Running::Epochs(trainer) => trainer.model().map(Arc::from),
        };
        let members = self.members.iter().map(model).collect::<Result<Vec<_>, FitError>>()?;
        let (train, facts) = (Arc::clone(&self.train), Arc::clone(&self.facts));
        let decision = Arc::clone(&self.decision);
        Ok(Box::new(Ensemble::new(self.params.clone(), members, decision, train, facts)?))
    }

    fn save(&self) -> Result<ModelState, FitError> {
        let mut state = ModelState::new(NAME);
        self.decision.save("decision.", &mut state);
        for (at, trainer) in self.trainers() {
            put_under(&format!("member.{at}."), trainer.save()?, &mut state);
        }
        Ok(state)
    }

    fn load(&mut self, state: &ModelState) -> Result<(), FitError> {
        let mut decision = combination(&self.params, self.members.len())?;
        decision.load("decision.", state)?;
        for (at, member) in self.members.iter_mut().enumerate() {
            if let Running::Epochs(trainer) = member {
                trainer.load(&take_under(&format!("member.{at}."), state)?)?;
            }
        }
        self.decision = Arc::from(decision);
        Ok(())
    }

    fn n_parameters(&self) -> usize {
        self.trainers().map(|(_, trainer)| trainer.n_parameters()).sum()
    }
}

/// Adds everything of `part` to `state`, under a prefix.
fn put_under(prefix: &str, part: ModelState, state: &mut ModelState) {
    state.meta.insert(format!("{prefix}kind"), part.kind);
    let tensors = part.tensors.into_iter().map(|(key, t)| (format!("{prefix}tensor.{key}"), t));
    state.tensors.extend(tensors);
    let meta = part.meta.into_iter().map(|(key, text)| (format!("{prefix}meta.{key}"), text));
    state.meta.extend(meta);
}

/// What [`put_under`] added.
fn take_under(prefix: &str, state: &ModelState) -> Result<ModelState, FitError> {
    let mut part = ModelState::new(state.text(&format!("{prefix}kind"))?);
    let (tensors, meta) = (format!("{prefix}tensor."), format!("{prefix}meta."));
    for (key, tensor) in &state.tensors {
        if let Some(key) = key.strip_prefix(&tensors) {
            part.tensors.insert(key.to_owned(), tensor.clone());
        }
    }
    for (key, text) in &state.meta {
        if let Some(key) = key.strip_prefix(&meta) {
            part.meta.insert(key.to_owned(), text.clone());
        }
    }
    Ok(part)
}
