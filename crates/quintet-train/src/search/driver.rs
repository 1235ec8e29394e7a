//! Runs a search.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use quintet_core::SeedStream;
use serde::Serialize;
use serde_json::Value;

use super::halving::rungs;
use super::importance::importance;
use super::log::{Record, TrialLog};
use super::space::{Point, Space};
use super::{Method, TuneConfig, tpe};
use crate::TrainError;

/// How often a point is drawn again that was drawn before.
const REDRAWS: u64 = 64;

/// One fit that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Number of the point.
    pub trial: usize,
    /// Which of the seeds, from 0.
    pub seed: usize,
    /// To how many epochs it may train, in all; more than before for a trial that goes on.
    pub epochs: usize,
    /// The values of the point, in the order of the axes.
    pub point: &'a Point,
}

/// What a fit gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The metric in validation, larger is better; the error of a fit that failed, which counts
    /// as worse than any other.
    pub value: Result<f64, String>,
    /// The epoch that was kept.
    pub best_epoch: usize,
}

/// What points are worth. Only validation data may be looked at.
pub trait Objective: Sync {
    /// Fits one point with one seed. What belongs to a trial alone, such as a loss that diverges,
    /// is an outcome.
    ///
    /// # Errors
    /// What ends the search.
    fn fit(&self, job: Job<'_>) -> Result<Outcome, TrainError>;

    /// A trial is over: what it kept to go on from can be removed.
    ///
    /// # Errors
    /// A file cannot be removed.
    fn forget(&self, trial: usize) -> Result<(), TrainError>;
}

/// One point with all its seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialResult {
    /// Its number.
    pub trial: usize,
    /// The values that were tried, by path.
    pub params: Value,
    /// The metric in validation, one value a seed.
    pub values: Vec<f64>,
    /// Their mean; none where a seed failed.
    pub mean: Option<f64>,
    /// Their standard deviation; 0 for one seed.
    pub spread: f64,
    /// To how many epochs it was allowed to train.
    pub epochs: usize,
    /// The epochs that were kept, one a seed.
    pub best_epochs: Vec<usize>,
    /// Seconds of all its fits.
    pub seconds: f64,
    /// Why the first seed failed that did.
    pub error: Option<String>,
    #[serde(skip)]
    pub(super) point: Point,
}

impl TrialResult {
    /// The values in the order of the axes.
    pub fn point(&self) -> &[Value] {
        &self.point
    }

    fn worth(&self) -> f64 {
        self.mean.unwrap_or(f64::NEG_INFINITY)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchResult {
    /// All points, the best first; those that went further before those that did not.
    pub trials: Vec<TrialResult>,
    /// The share of the variance that each parameter explains on its own.
    pub importance: Vec<(String, f64)>,
    /// Fits that were done now.
    pub fitted: usize,
    /// Fits that an earlier call had done.
    pub known: usize,
}

/// Searches, going on from what `log` holds. `most` is the number of epochs of a whole fit;
/// `heard` is told of every fit.
///
/// # Errors
/// Settings out of range, a log that does not follow from them, what ends the objective, or no
/// trial that ended well.
pub fn search(
    config: &TuneConfig,
    most: usize,
    seed: SeedStream,
    log: TrialLog,
    objective: &dyn Objective,
    heard: &(dyn Fn(&Record) + Sync),
) -> Result<SearchResult, TrainError> {
    config.validate()?;
    let known = log.records().len();
    let search = Search {
        config,
        most,
        seed,
        log: Mutex::new(log),
        objective,
        heard,
        new: AtomicUsize::new(0),
    };
    let (mut trials, level) = match config.method {
        Method::Halving => search.halve()?,
        _ => search.in_rounds()?,
    };
    let level: Vec<(&Point, f64)> = level.iter().map(|t| (&t.point, t.worth())).collect();
    let importance = importance(&config.space, &level);
    trials.sort_by(|a, b| {
        b.epochs.cmp(&a.epochs).then(b.worth().total_cmp(&a.worth())).then(a.trial.cmp(&b.trial))
    });
    if trials.iter().all(|t| t.mean.is_none()) {
        let reason = trials.iter().find_map(|t| t.error.clone());
        return Err(TrainError::NoTrial { reason: reason.unwrap_or_else(|| "no trial".into()) });
    }
    let fitted = search.new.into_inner();
    Ok(SearchResult { trials, importance, fitted, known })
}

struct Search<'a> {
    config: &'a TuneConfig,
    most: usize,
    seed: SeedStream,
    log: Mutex<TrialLog>,
    objective: &'a dyn Objective,
    heard: &'a (dyn Fn(&Record) + Sync),
    new: AtomicUsize,
}

/// All trials at their last state, and those that were compared on level terms.
type Found = (Vec<TrialResult>, Vec<TrialResult>);

impl Search<'_> {
    /// Whole fits, as many at a time as are asked for; each round knows the rounds before it.
    fn in_rounds(&self) -> Result<Found, TrainError> {
        let space = &self.config.space;
        let all = match (self.config.method, space.n_points()) {
            (Method::Grid, Some(points)) => points,
            (_, Some(points)) => self.config.trials.min(points),
            (_, None) => self.config.trials,
        };
        let mut done: Vec<TrialResult> = Vec::new();
        while done.len() < all {
            let round = self.config.parallel.min(all - done.len());
            let mut points: Vec<(usize, Point)> = Vec::with_capacity(round);
            for trial in done.len()..done.len() + round {
                let taken: Vec<&Point> =
                    done.iter().map(|t| &t.point).chain(points.iter().map(|p| &p.1)).collect();
                let point = self.suggest(space, trial, &done, &taken);
                points.push((trial, point));
            }
            done.extend(self.fit_all(&points, self.most)?);
            for (trial, _) in &points {
                self.objective.forget(*trial)?;
            }
        }
        Ok((done.clone(), done))
    }

    /// Rounds of successive halving.
    fn halve(&self) -> Result<Found, TrainError> {
        let space = &self.config.space;
        let n =
            space.n_points().map_or(self.config.trials, |points| self.config.trials.min(points));
        let mut points: Vec<(usize, Point)> = Vec::new();
        for trial in 0..n {
            let taken: Vec<&Point> = points.iter().map(|p| &p.1).collect();
            let point = self.draw(space, trial, &taken, |rng| space.draw(rng));
            points.push((trial, point));
        }
        let (mut last, mut first) = (BTreeMap::new(), Vec::new());
        for rung in rungs(n, self.most, self.config.min_epochs, self.config.reduction) {
            // The best of the round before; all of them in the first.
            let mut kept: Vec<&TrialResult> =
                points.iter().filter_map(|(trial, _)| last.get(trial)).collect();
            kept.sort_by(|a, b| b.worth().total_cmp(&a.worth()).then(a.trial.cmp(&b.trial)));
            let go_on: Vec<usize> = kept.iter().take(rung.trials).map(|t| t.trial).collect();
            if !last.is_empty() {
                let (stay, leave): (Vec<_>, Vec<_>) =
                    points.into_iter().partition(|(trial, _)| go_on.contains(trial));
                leave.iter().try_for_each(|(trial, _)| self.objective.forget(*trial))?;
                points = stay;
            }
            let results = self.fit_all(&points, rung.epochs)?;
            if first.is_empty() {
                first.clone_from(&results);
            }
            last.extend(results.into_iter().map(|t| (t.trial, t)));
        }
        points.iter().try_for_each(|(trial, _)| self.objective.forget(*trial))?;
        Ok((last.into_values().collect(), first))
    }

    fn suggest(
        &self,
        space: &Space,
        trial: usize,
        done: &[TrialResult],
        taken: &[&Point],
    ) -> Point {
        match self.config.method {
            Method::Grid => space.grid(trial),
            Method::Tpe => {
                let tried: Vec<(&Point, f64)> =
                    done.iter().map(|t| (&t.point, t.worth())).collect();
                self.draw(space, trial, taken, |rng| tpe::suggest(space, &tried, rng))
            }
            Method::Random | Method::Halving => {
                self.draw(space, trial, taken, |rng| space.draw(rng))
            }
        }
    }

    /// A point that was not tried, as far as some draws find one.
    fn draw(
        &self,
        space: &Space,
        trial: usize,
        taken: &[&Point],
        draw: impl Fn(&mut rand_chacha::ChaCha8Rng) -> Point,
    ) -> Point {
        let rng = |again: u64| self.seed.rng("trials", trial as u64 * 2 * REDRAWS + again);
        let mut tries = (0..REDRAWS).map(|again| draw(&mut rng(again)));
        let new = |point: &Point| !taken.contains(&point);
        if let Some(point) = tries.find(|point| new(point)) {
            return point;
        }
        // Where only few are left, they are looked for in order.
        let left = space.n_points().and_then(|n| (0..n).map(|at| space.grid(at)).find(|p| new(p)));
        left.unwrap_or_else(|| space.draw(&mut rng(REDRAWS)))
    }

    /// Fits points with every seed, several at a time, as far as the log does not have them.
    fn fit_all(
        &self,
        points: &[(usize, Point)],
        epochs: usize,
    ) -> Result<Vec<TrialResult>, TrainError> {
        let jobs: Vec<Job<'_>> = points
            .iter()
            .flat_map(|(trial, point)| {
                (0..self.config.seeds).map(|seed| Job { trial: *trial, seed, epochs, point })
            })
            .collect();
        let next = AtomicUsize::new(0);
        let records: Mutex<Vec<(usize, Record)>> = Mutex::new(Vec::new());
        let work = || -> Result<(), TrainError> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(at) else { return Ok(()) };
                let record = self.fit(*job)?;
                lock(&records).push((at, record));
            }
        };
        let workers = self.config.parallel.min(jobs.len());
        let ended: Vec<Result<(), TrainError>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = others.into_iter().map(|other| match other.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            std::iter::once(own).chain(others).collect()
        });
        ended.into_iter().collect::<Result<(), _>>()?;
        let mut records = lock(&records).split_off(0);
        records.sort_by_key(|(at, _)| *at);
        let records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
        let seeds = records.chunks(self.config.seeds);
        Ok(points.iter().zip(seeds).map(|((_, point), records)| result(point, records)).collect())
    }

    /// One fit, from the log or done now.
    fn fit(&self, job: Job<'_>) -> Result<Record, TrainError> {
        let params = self.config.space.params(&Value::Null, job.point);
        if let Some(known) = lock(&self.log).find(job.trial, job.seed, job.epochs) {
            if known.params != params {
                let path = lock_path(&self.log);
                return Err(TrainError::OtherSearch { path });
            }
            return Ok(known.clone());
        }
        let begun = Instant::now();
        let outcome = self.objective.fit(job)?;
        let value = outcome
            .value
            .and_then(|v| if v.is_finite() { Ok(v) } else { Err(format!("the metric is {v}")) });
        let record = Record {
            trial: job.trial,
            seed: job.seed,
            epochs: job.epochs,
            params,
            best_epoch: outcome.best_epoch,
            seconds: begun.elapsed().as_secs_f64(),
            error: value.as_ref().err().cloned(),
            value: value.ok(),
        };
        lock(&self.log).push(record.clone())?;
        self.new.fetch_add(1, Ordering::Relaxed);
        (self.heard)(&record);
        Ok(record)
    }
}

/// A lock whose holder panicked is taken all the same: the panic ends the search anyway.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lock_path(log: &Mutex<TrialLog>) -> String {
    lock(log).path().display().to_string()
}

/// The seeds of one point together.
fn result(point: &Point, records: &[Record]) -> TrialResult {
    let values: Vec<f64> = records.iter().filter_map(|r| r.value).collect();
    let n = values.len() as f64;
    let mean = (values.len() == records.len()).then(|| values.iter().sum::<f64>() / n);
    let spread = match mean {
        Some(mean) if values.len() > 1 => {
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            (squares / (n - 1.0)).sqrt()
        }
        _ => 0.0,
    };
    let first = records.first();
    TrialResult {
        trial: first.map_or(0, |r| r.trial),
        params: first.map_or(Value::Null, |r| r.params.clone()),
        mean,
        spread,
        epochs: first.map_or(0, |r| r.epochs),
        best_epochs: records.iter().map(|r| r.best_epoch).collect(),
        seconds: records.iter().map(|r| r.seconds).sum(),
        error: records.iter().find_map(|r| r.error.clone()),
        values,
        point: point.clone(),
    }
}
