//! The same model with one fusion layer after the other, judged in validation.

use quintet_core::{Modality, Recommender};
use quintet_data::Split;
use quintet_tensor::Device;
use quintet_train::Progress;
use serde::Serialize;

use super::{Candidate, FusionRequest, Shop};
use crate::Registries;
use crate::pipeline::judge::{Judge, mean, mean_of, spread_of};
use crate::pipeline::kept::KeptFits;
use crate::pipeline::{Interval, Paired, PipelineError, Prepared, RunConfig};

/// The names under which values by user are kept.
const VALID: &str = "valid";
const TEST: &str = "test";

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct FusionRow {
    /// The layer, and the modality where it reads a single one.
    pub label: String,
    /// Trained numbers of the whole model.
    pub parameters: usize,
    /// Seeds that were fitted.
    pub seeds: usize,
    /// Mean seconds of a fit.
    pub seconds: f64,
    /// The metric in validation, mean over seeds and users.
    pub valid: Interval,
    /// Standard deviation over seeds.
    pub valid_spread: f64,
    /// The metric on the test part, where it was opened.
    pub test: Option<Interval>,
    /// Standard deviation over seeds.
    pub test_spread: Option<f64>,
    /// Against `concat`; on the test part where it was opened, else in validation.
    pub against_concat: Option<Paired>,
    /// Against the best single modality, chosen in validation.
    pub against_single: Option<Paired>,
}

/// What to take, and by how much.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FusionChoice {
    /// The row.
    pub label: String,
    /// The row with the highest mean in validation, which may be another one.
    pub best: String,
    /// The best row minus the chosen one, in validation.
    pub given_up: Interval,
    /// The chosen row minus `concat`, in validation.
    pub over_concat: Option<Interval>,
    /// Rows that are as good as the best for all that the validation users say.
    pub level: usize,
}

/// All layers.
#[derive(Debug, Clone, Serialize)]
pub struct FusionTable {
    /// The model that carries the layers.
    pub model: String,
    /// The metric.
    pub metric: String,
    /// Users in validation.
    pub valid_users: usize,
    /// Users of the test part; 0 where it was not opened.
    pub test_users: usize,
    /// The rows, best in validation first.
    pub rows: Vec<FusionRow>,
    /// What the budget did not reach.
    pub not_run: Vec<String>,
    /// Fits that earlier calls had kept.
    pub known: usize,
    /// Fits that this call made.
    pub fitted: usize,
    /// The recommendation.
    pub choice: Option<FusionChoice>,
}

/// What one candidate has gathered: a row of users a seed.
#[derive(Debug)]
struct Gathered {
    candidate: Candidate,
    parameters: usize,
    seconds: f64,
    valid: Vec<Vec<f64>>,
    test: Vec<Vec<f64>>,
}

/// Fits the model with every layer and every seed, as far as the budget reaches: all layers with
/// the first seed, then with the second, and so on. Choices look at validation alone. Fits that
/// the request's file has are not made again.
///
/// # Errors
/// A layer or metric is unknown, a fit fails, no fit could begin, the file of fits is in use,
/// damaged or cannot be written.
pub fn compare_fusions(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    request: &FusionRequest,
    progress: &mut dyn Progress,
) -> Result<FusionTable, PipelineError> {
    let shop = Shop::open(config, prepared, registries, device, &request.model)?;
    let mut kept = KeptFits::open(request.kept.as_deref(), request.budget)?;
    let mut all: Vec<Gathered> = candidates(&shop, request)?
        .into_iter()
        .map(|candidate| Gathered {
            candidate,
            parameters: 0,
            seconds: 0.0,
            valid: Vec::new(),
            test: Vec::new(),
        })
        .collect();
    for nth in 0..request.seeds.max(1) {
        // A row that misses a seed gets no later one: rows are compared over their first seeds.
        for row in all.iter_mut().filter(|row| row.valid.len() == nth) {
            gather(&shop, row, config.seed + nth as u64, request.open_test, &mut kept, progress)?;
        }
    }
    let (run, not_run): (Vec<_>, Vec<_>) = all.into_iter().partition(|g| !g.valid.is_empty());
    if run.is_empty() {
        return Err(PipelineError::NothingFitted);
    }
    let not_run = not_run.into_iter().map(|g| g.candidate.label).collect();
    let (known, fitted) = (kept.reused, kept.made);
    let table = table(config, &Judge::new(config), &request.model, run)?;
    Ok(FusionTable { not_run, known, fitted, ..table })
}

/// `concat`, every modality alone, then the other layers.
fn candidates(shop: &Shop<'_>, request: &FusionRequest) -> Result<Vec<Candidate>, PipelineError> {
    let whole =
        |layer: &String| Candidate { label: layer.clone(), layer: layer.clone(), only: None };
    let layers = shop.layers(&request.layers)?;
    let mut all: Vec<Candidate> = layers.iter().map(whole).collect();
    let modalities: Vec<Modality> = shop.prepared.features.iter().map(|f| f.modality).collect();
    if modalities.len() < 2 {
        return Err(PipelineError::Fusion {
            reason: format!(
                "fusion needs features of two modalities or more; the dataset has {}",
                modalities.len()
            ),
        });
    }
    let alone = |m: Modality| Candidate {
        label: format!("{m} alone"),
        layer: "concat".into(),
        only: Some(m),
    };
    all.splice(1..1, modalities.into_iter().map(alone));
    Ok(all)
}

/// Adds a seed to a row, unless it is too late for that.
fn gather(
    shop: &Shop<'_>,
    row: &mut Gathered,
    seed: u64,
    open_test: bool,
    kept: &mut KeptFits,
    progress: &mut dyn Progress,
) -> Result<(), PipelineError> {
    let Split { valid, test, train, seen_for_test, .. } = &shop.prepared.split;
    let names = if open_test { &[VALID, TEST][..] } else { &[VALID][..] };
    let measured: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let measure = |model: &dyn Recommender| {
        let mut users = super::ByName::new();
        users.insert(VALID.to_owned(), shop.values(model, valid, train)?);
        if open_test {
            users.insert(TEST.to_owned(), shop.values(model, test, seen_for_test)?);
        }
        Ok(users)
    };
    let found = shop.fit(&row.candidate, seed, kept, &measured, &measure, progress)?;
    let Some(mut fit) = found else { return Ok(()) };
    row.seconds += fit.seconds;
    row.parameters = fit.parameters;
    row.valid.extend(fit.users.remove(VALID));
    if open_test {
        row.test.extend(fit.users.remove(TEST));
    }
    Ok(())
}

/// Turns values by user into rows and a choice.
fn table(
    config: &RunConfig,
    judge: &Judge,
    model: &str,
    mut run: Vec<Gathered>,
) -> Result<FusionTable, PipelineError> {
    let level = |g: &Gathered| mean(&mean_of(&g.valid));
    run.sort_by(|a, b| level(b).total_cmp(&level(a)));
    let opened = run.iter().all(|g| g.test.len() == g.valid.len());
    let judged: Vec<&[Vec<f64>]> =
        run.iter().map(|g| if opened { &g.test[..] } else { &g.valid[..] }).collect();
    let concat = run.iter().position(|g| g.candidate.label == "concat");
    let single = run.iter().position(|g| g.candidate.only.is_some());
    let against_concat = judge.against(&judged, concat, false)?;
    let against_single = judge.against(&judged, single, false)?;
    let mut rows = Vec::with_capacity(run.len());
    for ((g, concat), single) in run.iter().zip(against_concat).zip(against_single) {
        rows.push(FusionRow {
            label: g.candidate.label.clone(),
            parameters: g.parameters,
            seeds: g.valid.len(),
            seconds: g.seconds / g.valid.len() as f64,
            valid: judge.mean(&g.valid)?,
            valid_spread: spread_of(&g.valid),
            test: opened.then(|| judge.mean(&g.test)).transpose()?,
            test_spread: opened.then(|| spread_of(&g.test)),
            against_concat: concat,
            against_single: single,
        });
    }
    let users = |rows: &[Vec<f64>]| rows.first().map_or(0, Vec::len);
    Ok(FusionTable {
        model: model.to_owned(),
        metric: config.evaluate.primary.clone(),
        valid_users: run.first().map_or(0, |g| users(&g.valid)),
        test_users: if opened { run.first().map_or(0, |g| users(&g.test)) } else { 0 },
        choice: choose(judge, &run, concat)?,
        rows,
        not_run: Vec::new(),
        known: 0,
        fitted: 0,
    })
}

/// Of the fusions that validation cannot tell from the best one, that with the fewest trained
/// numbers.
fn choose(
    judge: &Judge,
    run: &[Gathered],
    concat: Option<usize>,
) -> Result<Option<FusionChoice>, PipelineError> {
    let Some(best) = run.first() else { return Ok(None) };
    let mut level = Vec::new();
    for (row, of) in run.iter().enumerate() {
        let behind = judge.minus(&best.valid, &of.valid)?;
        if row == 0 || behind.lower <= 0.0 {
            level.push((row, behind));
        }
    }
    let count = level.len();
    let cheapest = level.into_iter().min_by_key(|(row, _)| (run[*row].parameters, *row));
    let Some((chosen, given_up)) = cheapest else { return Ok(None) };
    let over_concat = match concat.filter(|&row| row != chosen) {
        Some(row) => Some(judge.minus(&run[chosen].valid, &run[row].valid)?),
        None => None,
    };
    Ok(Some(FusionChoice {
        label: run[chosen].candidate.label.clone(),
        best: run[0].candidate.label.clone(),
        given_up,
        over_concat,
        level: count,
    }))
}
