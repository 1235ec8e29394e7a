//! One loop for every model.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use quintet_core::{Held, Interactions, Newcomers, Recommender, Sequences, Valid};
use quintet_metrics::{EvalConfig, EvalError, Evaluator, registry};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, Trainer, TrainingData};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Checkpoint, EventLog, Progress, RunPlace, Stopper, TrainConfig, TrainError, ValidItems,
};

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Optimiser steps.
    pub batches: usize,
    /// Training samples.
    pub samples: usize,
    /// Seconds of training.
    pub train_seconds: f64,
    /// Seconds of validation.
    pub valid_seconds: f64,
    /// Validation metrics, where the epoch was evaluated.
    pub valid: BTreeMap<String, f64>,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The model has no epochs.
    ClosedForm,
    /// The validation metric stopped improving.
    Patience,
    /// All epochs were trained.
    Epochs,
}

/// What happened. Holds no times, so that equal runs give equal reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Registry name of the model.
    pub model: String,
    /// Its parameters, resolved.
    pub config: Value,
    /// Trained numbers; 0 for closed-form models.
    pub n_parameters: usize,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch whose weights were kept.
    pub best_epoch: usize,
    /// The validation metric that decided.
    pub metric: String,
    /// Its value at the kept weights.
    pub best_valid: f64,
    /// Why training ended.
    pub stopped: Stopped,
    /// What a reader of the results should know, such as the privacy that training has spent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A fitted model and how it came about.
pub struct Fitted {
    /// The model at its best epoch.
    pub model: Box<dyn Recommender>,
    /// What happened.
    pub report: FitReport,
    /// Every epoch.
    pub log: Vec<EpochRecord>,
}

/// What choices look at.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    held: &'a Held<Valid>,
    history: Option<&'a Interactions>,
    order: Option<&'a Sequences>,
}

impl<'a> From<&'a Held<Valid>> for Validation<'a> {
    fn from(held: &'a Held<Valid>) -> Self {
        Self { held, history: None, order: None }
    }
}

impl<'a> Validation<'a> {
    /// Adds what is known of users whom training never shows, with its order where times are
    /// known. Models that can fold in these users are asked to ([`Newcomers`]); their history is
    /// masked for every model, as that of others is.
    pub fn with_history(mut self, history: &'a Interactions, order: Option<&'a Sequences>) -> Self {
        self.history = Some(history).filter(|h| h.nnz() > 0);
        self.order = order;
        self
    }
}

/// Fits one model and keeps the weights of the epoch that is best on `valid`.
///
/// With a `place`, every epoch is logged, checkpoints are written, and a run that was stopped
/// goes on from its newest whole checkpoint.
///
/// # Errors
/// The model does not fit the data, diverges, or a file cannot be written.
pub fn fit_model<'a>(
    fit: &dyn Fit,
    data: TrainingData<'a>,
    valid: impl Into<Validation<'a>>,
    context: &FitContext,
    config: &TrainConfig,
    place: Option<&RunPlace>,
    progress: &mut dyn Progress,
) -> Result<Fitted, TrainError> {
    config.validate()?;
    let judge = Judge::new(config, data, valid.into())?;
    match fit.start(data, context)? {
        Fitting::Fitted(model) => {
            let best_valid = judge.value(model.as_ref())?.1;
            if let Some(mut events) = place.map(|p| p.events(0)).transpose()?.flatten() {
                events.scalars(1, &[(&format!("valid/{}", config.metric), best_valid)])?;
            }
            Ok(Fitted {
                model,
                report: FitReport {
                    model: fit.name().to_owned(),
                    config: fit.config(),
                    n_parameters: 0,
                    epochs: 0,
                    best_epoch: 0,
                    metric: config.metric.clone(),
                    best_valid,
                    stopped: Stopped::ClosedForm,
                    notes: Vec::new(),
                },
                log: Vec::new(),
            })
        }
        Fitting::Epochs(trainer) => {
            progress.begin(fit.name(), config.epochs);
            let run = Run { fit, trainer, judge, config, place, events: None };
            let result = run.run(progress);
            progress.end();
            result
        }
    }
}

/// Computes the validation metric.
struct Judge<'a> {
    valid: Validation<'a>,
    /// What the users have seen: training, and the history of newcomers.
    seen: Cow<'a, Interactions>,
    eval: EvalConfig,
    metric: &'a str,
    /// Items that compete, `[n_items]`; all of them when `None`.
    candidates: Option<Vec<bool>>,
}

impl<'a> Judge<'a> {
    fn new(
        config: &'a TrainConfig,
        data: TrainingData<'a>,
        valid: Validation<'a>,
    ) -> Result<Self, TrainError> {
        let (name, k) = config.cutoff()?;
        let eval = EvalConfig { cutoffs: vec![k], metrics: vec![name.to_owned()] };
        // A typo in the metric's name is found here, not after the first epochs.
        Evaluator::new(&eval, &registry().map_err(EvalError::from)?)?;
        let candidates = competing(config.valid_items, data.train, valid.held.truth())?;
        let train = data.train;
        let seen = match valid.history {
            None => Cow::Borrowed(train),
            Some(history) => {
                let cells = train.iter().chain(history.iter());
                let (n_users, n_items) = (train.n_users(), train.n_items());
                let seen = Interactions::from_triplets(n_users, n_items, cells);
                Cow::Owned(seen.map_err(FitError::from)?)
            }
        };
        Ok(Self { valid, seen, eval, metric: &config.metric, candidates })
    }

    fn value(&self, model: &dyn Recommender) -> Result<(BTreeMap<String, f64>, f64), TrainError> {
        let metrics = registry().map_err(EvalError::from)?;
        let mut evaluator = Evaluator::new(&self.eval, &metrics)?;
        if let Some(candidates) = &self.candidates {
            evaluator = evaluator.with_candidates(candidates);
        }
        let folded = self.valid.history.map(|h| Newcomers::new(model, h, self.valid.order));
        let model = folded.as_ref().map_or(model, |folded| folded as &dyn Recommender);
        let result = evaluator.evaluate(model, self.valid.held, &self.seen)?;
        let value = result.get(self.metric).unwrap_or(f64::NAN);
        Ok((BTreeMap::from([(self.metric.to_owned(), value)]), value))
    }
}

/// Items that compete in validation, `[n_items]`; all of them when `None`.
fn competing(
    items: ValidItems,
    train: &Interactions,
    valid: &Interactions,
) -> Result<Option<Vec<bool>>, TrainError> {
    let (train, valid) = (train.item_counts(), valid.item_counts());
    let counts = || train.iter().zip(&valid);
    match items {
        ValidItems::All => Ok(None),
        ValidItems::Used => Ok(Some(counts().map(|(train, valid)| train + valid > 0).collect())),
        ValidItems::New => {
            let new: Vec<bool> = counts().map(|(train, valid)| *train == 0 && *valid > 0).collect();
            if new.contains(&true) {
                return Ok(Some(new));
            }
            Err(TrainError::Config {
                key: "valid_items",
                expected: "\"used\" or \"all\" where validation has no item that training lacks"
                    .into(),
                found: "\"new\"".into(),
            })
        }
    }
}

struct Run<'a> {
    fit: &'a dyn Fit,
    trainer: Box<dyn Trainer>,
    judge: Judge<'a>,
    config: &'a TrainConfig,
    place: Option<&'a RunPlace>,
    events: Option<EventLog>,
}

impl Run<'_> {
    fn run(mut self, progress: &mut dyn Progress) -> Result<Fitted, TrainError> {
        let mut at = self.resume(progress)?;
        if let Some(place) = self.place {
            self.events = place.events(at.epoch as u64)?;
            self.tell(&at)?;
        }
        let mut stopped = Stopped::Epochs;
        if at.stopper.waited >= self.config.patience {
            stopped = Stopped::Patience;
        }
        while at.epoch < self.config.epochs && stopped == Stopped::Epochs {
            at.epoch += 1;
            self.epoch(&mut at)?;
            if let Some(record) = at.log.last() {
                progress.epoch(record, &self.config.metric, at.stopper.best);
            }
            if at.stopper.waited >= self.config.patience {
                stopped = Stopped::Patience;
            }
            self.keep(&mut at, stopped == Stopped::Patience)?;
        }
        // Of all epochs: those after the best one have been seen as well.
        let notes = self.trainer.notes();
        self.trainer.load(&at.best)?;
        Ok(Fitted {
            model: self.trainer.model()?,
            report: FitReport {
                model: self.fit.name().to_owned(),
                config: self.fit.config(),
                n_parameters: self.trainer.n_parameters(),
                epochs: at.epoch,
                best_epoch: at.stopper.best_epoch,
                metric: self.config.metric.clone(),
                best_valid: at.stopper.best,
                stopped,
                notes,
            },
            log: at.log,
        })
    }

    /// The newest checkpoint, or the start.
    fn resume(&mut self, progress: &mut dyn Progress) -> Result<Checkpoint, TrainError> {
        if let Some(place) = self.place {
            let (found, notes) = place.checkpoints().newest()?;
            for note in notes {
                progress.note(&format!("damaged checkpoint passed over: {note}"));
            }
            if let Some(checkpoint) = found {
                self.trainer.load(&checkpoint.trainer)?;
                progress.note(&format!(
                    "{}: resumed after epoch {}",
                    self.fit.name(),
                    checkpoint.epoch
                ));
                return Ok(checkpoint);
            }
        }
        let start = self.trainer.save()?;
        Ok(Checkpoint {
            epoch: 0,
            best: start.clone(),
            trainer: start,
            stopper: Stopper { best: f64::NEG_INFINITY, best_epoch: 0, waited: 0 },
            log: Vec::new(),
        })
    }

    fn epoch(&mut self, at: &mut Checkpoint) -> Result<(), TrainError> {
        let begun = Instant::now();
        let stats = self.trainer.epoch(at.epoch)?;
        let train_seconds = begun.elapsed().as_secs_f64();
        let mut record = EpochRecord {
            epoch: at.epoch,
            loss: stats.loss,
            batches: stats.batches,
            samples: stats.samples,
            train_seconds,
            valid_seconds: 0.0,
            valid: BTreeMap::new(),
        };
        if at.epoch.is_multiple_of(self.config.eval_every) || at.epoch == self.config.epochs {
            let begun = Instant::now();
            let (values, value) = self.judge.value(self.trainer.model()?.as_ref())?;
            record.valid = values;
            record.valid_seconds = begun.elapsed().as_secs_f64();
            if value > at.stopper.best {
                at.stopper = Stopper { best: value, best_epoch: at.epoch, waited: 0 };
                at.best = self.trainer.save()?;
            } else {
                at.stopper.waited += 1;
            }
        }
        at.log.push(record);
        Ok(())
    }

    /// Writes epochs to the event file that it does not have.
    fn tell(&mut self, at: &Checkpoint) -> Result<(), TrainError> {
        match &mut self.events {
            Some(events) => Ok(events.epochs(&at.log)?),
            None => Ok(()),
        }
    }

    /// Logs, and writes a checkpoint when one is due or the run ends.
    fn keep(&mut self, at: &mut Checkpoint, last: bool) -> Result<(), TrainError> {
        let Some(place) = self.place else { return Ok(()) };
        place.write_log(&at.log)?;
        self.tell(at)?;
        let every = self.config.checkpoint_every;
        let due =
            every > 0 && (at.epoch.is_multiple_of(every) || last || at.epoch == self.config.epochs);
        if due {
            at.trainer = self.trainer.save()?;
            place.checkpoints().save(at)?;
        }
        Ok(())
    }
}
