//! Every model of a run with several seeds, on the run's one split.
//!
//! One seed says what a model did once; a difference that chance in training can turn round is
//! none. The split is that of the run's own seed, so that all fits have the same users, and
//! differences are between means over seeds, user by user. Splits by chance are the matter of
//! [`cross_validate`](super::cross_validate).

use std::collections::BTreeMap;
use std::time::Duration;

use quintet_core::Recommender;
use quintet_data::write_atomic;
use quintet_tensor::{Device, Fit};
use quintet_train::Progress;
use serde::Serialize;

use super::evaluate::Bench;
use super::judge::{Judge, MeanSpread, mean};
use super::kept::{Fits, KeptFit, KeptFits};
use super::{Interval, ModelSpec, Paired, PipelineError, Prepared, RunConfig, Workspace};
use crate::Registries;

/// The names under which values by user are kept.
const TEST: &str = "test";
const NEW: &str = "new items";

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct SeedsRow {
    /// Its label.
    pub label: String,
    /// Trained numbers.
    pub parameters: usize,
    /// Seeds that were fitted.
    pub seeds: usize,
    /// Mean seconds of a fit.
    pub seconds: f64,
    /// The metric of early stopping at its best epoch; none for a model that cannot say.
    pub valid: Option<MeanSpread>,
    /// Every test metric.
    pub test: BTreeMap<String, MeanSpread>,
    /// The primary test metric, mean over seeds, with its interval over users.
    pub primary: Interval,
    /// The reference minus this model; none for the reference itself.
    pub against: Option<Paired>,
    /// The primary metric of items without training interactions among themselves; none where the
    /// test part has none.
    pub new_items: Option<MeanSpread>,
    /// The reference minus this model there.
    pub new_against: Option<Paired>,
}

/// All models.
#[derive(Debug, Clone, Serialize)]
pub struct SeedsTable {
    /// The metric of intervals and comparisons.
    pub primary: String,
    /// The metric of early stopping.
    pub valid_metric: String,
    /// The label that others are compared with.
    pub reference: Option<String>,
    /// Users of the test part.
    pub users: usize,
    /// Users whose test part has an item without training interactions.
    pub new_users: usize,
    /// One row a model, in the order of the run file.
    pub models: Vec<SeedsRow>,
    /// Models that the budget did not reach.
    pub not_run: Vec<String>,
    /// Fits that earlier calls had kept.
    pub known: usize,
    /// Fits that this call made.
    pub fitted: usize,
}

/// What one model has gathered, in the order of the seeds.
#[derive(Debug, Default)]
struct Gathered {
    fits: Vec<KeptFit>,
}

impl Gathered {
    /// Values by user, a row a seed.
    fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        self.fits.iter().filter_map(|fit| fit.users.get(name).cloned()).collect()
    }

    fn seconds(&self) -> f64 {
        mean(&self.fits.iter().map(|fit| fit.seconds).collect::<Vec<_>>())
    }

    fn valid(&self) -> Option<MeanSpread> {
        let values: Vec<f64> = self.fits.iter().filter_map(|fit| fit.valid).collect();
        (!values.is_empty()).then(|| MeanSpread::of(&values))
    }

    fn means(&self) -> BTreeMap<String, MeanSpread> {
        let keys = self.fits.first().map(|fit| fit.means.keys()).into_iter().flatten();
        let of = |key: &String| {
            let values: Vec<f64> =
                self.fits.iter().filter_map(|fit| fit.means.get(key).copied()).collect();
            (key.clone(), MeanSpread::of(&values))
        };
        keys.map(of).collect()
    }
}

/// What all fits of a call have in common.
struct Shop<'a> {
    config: &'a RunConfig,
    prepared: &'a Prepared,
    bench: Bench<'a>,
    device: &'a Device,
    /// The names of what is measured.
    measured: Vec<String>,
}

/// Fits every model of the run with `seeds` seeds, counted up from that of the run, and measures
/// each on the test part. Fits are kept in `seeds/fits.jsonl` as they end, and a call that was
/// stopped, or wants more seeds or models, makes only those that are not there; the table goes
/// into `seeds/result.json`. No fit begins after `budget`: all models get their first seed, then
/// their second one.
///
/// # Errors
/// A name or parameter is unknown, a model diverges, no fit could begin, the file of fits is in
/// use or damaged, a file cannot be written.
pub fn seeds_stage(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    workspace: &Workspace,
    (seeds, budget): (usize, Option<Duration>),
    progress: &mut dyn Progress,
) -> Result<SeedsTable, PipelineError> {
    let build = |spec: &ModelSpec| Ok((registries.models.get(&spec.model)?.build)(&spec.params)?);
    // Every name and parameter is checked before the first model costs time.
    let fits: Vec<Box<dyn Fit>> =
        config.models.iter().map(build).collect::<Result<_, PipelineError>>()?;
    let bench = Bench::new(config, prepared, registries)?;
    let mut measured = vec![TEST.to_owned()];
    if bench.has_new_items() {
        measured.push(NEW.to_owned());
    }
    let shop = Shop { config, prepared, bench, device, measured };
    let path = workspace.file("seeds").join("fits.jsonl");
    let mut kept = KeptFits::open(Some(&path), budget)?;
    let mut gathered: Vec<Gathered> = fits.iter().map(|_| Gathered::default()).collect();
    for nth in 0..seeds.max(1) {
        for ((spec, fit), into) in config.models.iter().zip(&fits).zip(&mut gathered) {
            // Models are compared over their first seeds.
            if into.fits.len() == nth {
                let seed = config.seed + nth as u64;
                into.fits.extend(shop.fit(spec, fit.as_ref(), seed, &mut kept, progress)?);
            }
        }
    }
    if gathered.iter().all(|g| g.fits.is_empty()) {
        return Err(PipelineError::NothingFitted);
    }
    let table = shop.table(&gathered)?;
    let table = SeedsTable { known: kept.reused, fitted: kept.made, ..table };
    let bytes = serde_json::to_vec_pretty(&table)?;
    write_atomic(&workspace.file("seeds").join("result.json"), &bytes)?;
    Ok(table)
}

impl Shop<'_> {
    fn fit(
        &self,
        spec: &ModelSpec,
        fit: &dyn Fit,
        seed: u64,
        kept: &mut KeptFits,
        progress: &mut dyn Progress,
    ) -> Result<Option<KeptFit>, PipelineError> {
        let fits = Fits { config: self.config, prepared: self.prepared, device: self.device };
        let measure = |model: &dyn Recommender| {
            let primary = &self.config.evaluate.primary;
            let evaluation = self.bench.warm(model)?;
            let mut users = BTreeMap::new();
            users.insert(TEST.to_owned(), evaluation.require_per_user(primary)?.to_vec());
            if let Some(new) = self.bench.among_new(model)? {
                users.insert(NEW.to_owned(), new.require_per_user(primary)?.to_vec());
            }
            Ok((evaluation.means().clone(), users))
        };
        let which = (spec.model.as_str(), spec.label(), seed);
        fits.fit(which, fit, kept, (&self.measured, &measure), progress)
    }

    fn table(&self, gathered: &[Gathered]) -> Result<SeedsTable, PipelineError> {
        let judge = Judge::new(self.config);
        let labels = self.config.models.iter().map(ModelSpec::label);
        let (run, not_run): (Vec<_>, Vec<_>) =
            labels.zip(gathered).partition(|(_, g)| !g.fits.is_empty());
        let reference = self.config.reference();
        let at = run.iter().position(|(label, _)| Some(*label) == reference);
        let against = |name: &str| {
            let rows: Vec<Vec<Vec<f64>>> = run.iter().map(|(_, g)| g.rows(name)).collect();
            match rows.iter().any(Vec::is_empty) {
                true => Ok(vec![None; rows.len()]),
                false => {
                    let rows: Vec<&[Vec<f64>]> = rows.iter().map(Vec::as_slice).collect();
                    judge.against(&rows, at, true)
                }
            }
        };
        let mut models = Vec::with_capacity(run.len());
        let both = against(TEST)?.into_iter().zip(against(NEW)?);
        for (&(label, g), (against, new_against)) in run.iter().zip(both) {
            let new: Vec<f64> = g.rows(NEW).iter().map(|row| mean(row)).collect();
            models.push(SeedsRow {
                label: label.to_owned(),
                parameters: g.fits.first().map_or(0, |fit| fit.parameters),
                seeds: g.fits.len(),
                seconds: g.seconds(),
                valid: g.valid(),
                test: g.means(),
                primary: judge.mean(&g.rows(TEST))?,
                against,
                new_items: (!new.is_empty()).then(|| MeanSpread::of(&new)),
                new_against,
            });
        }
        let users =
            |name| run.first().and_then(|(_, g)| g.rows(name).first().map(Vec::len)).unwrap_or(0);
        Ok(SeedsTable {
            primary: self.config.evaluate.primary.clone(),
            valid_metric: self.config.train.metric.clone(),
            reference: reference.map(str::to_owned),
            users: users(TEST),
            new_users: users(NEW),
            models,
            not_run: not_run.into_iter().map(|(label, _)| label.to_owned()).collect(),
            known: 0,
            fitted: 0,
        })
    }
}
