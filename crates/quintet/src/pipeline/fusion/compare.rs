//! The same model with one fusion layer after the other, judged in validation.

use std::time::Instant;

use quintet_core::{Held, Modality, Phase, Recommender, SeedStream};
use quintet_data::Split;
use quintet_metrics::{
    BootstrapConfig, EvalConfig, Evaluator, bootstrap_mean, holm, paired_bootstrap, paired_t_test,
};
use quintet_tensor::Device;
use quintet_train::Progress;
use serde::Serialize;

use super::{Candidate, FusionRequest, Shop, mean_of, spread_of};
use crate::Registries;
use crate::pipeline::{Interval, PipelineError, Prepared, RunConfig};

/// A difference, user by user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// This row minus the other one, mean over users, with its bootstrap interval.
    pub difference: Interval,
    /// Probability in a paired t-test, by Holm's correction over the rows of the table.
    pub p: f64,
}

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
    /// The recommendation.
    pub choice: Option<FusionChoice>,
}

/// What one candidate has gathered: a row of users a seed.
struct Gathered {
    candidate: Candidate,
    parameters: usize,
    seconds: f64,
    valid: Vec<Vec<f64>>,
    test: Vec<Vec<f64>>,
}

/// Fits the model with every layer and every seed, as far as the budget reaches: all layers with
/// the first seed, then with the second, and so on. Choices look at validation alone.
///
/// # Errors
/// A layer or metric is unknown, a fit fails, no fit could begin.
pub fn compare_fusions(
    config: &RunConfig,
    prepared: &Prepared,
    registries: &Registries,
    device: &Device,
    request: &FusionRequest,
    progress: &mut dyn Progress,
) -> Result<FusionTable, PipelineError> {
    let shop = Shop::open(config, prepared, registries, device, &request.model)?;
    let begun = Instant::now();
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
    'seeds: for seed in 0..request.seeds.max(1) as u64 {
        for row in &mut all {
            if request.budget.is_some_and(|budget| begun.elapsed() >= budget) {
                break 'seeds;
            }
            gather(&shop, row, config.seed + seed, request.open_test, progress)?;
        }
    }
    let (run, not_run): (Vec<_>, Vec<_>) = all.into_iter().partition(|g| !g.valid.is_empty());
    if run.is_empty() {
        return Err(PipelineError::Fusion {
            reason: "the budget ended before the first fit; give more seconds".into(),
        });
    }
    let not_run = not_run.into_iter().map(|g| g.candidate.label).collect();
    Judge { config, seed: SeedStream::new(config.seed) }.table(&request.model, run, not_run)
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

fn gather(
    shop: &Shop<'_>,
    row: &mut Gathered,
    seed: u64,
    open_test: bool,
    progress: &mut dyn Progress,
) -> Result<(), PipelineError> {
    let begun = Instant::now();
    let fitted = shop.fit(&row.candidate, seed, progress)?;
    row.seconds += begun.elapsed().as_secs_f64();
    row.parameters = fitted.report.n_parameters;
    let Split { valid, test, train, seen_for_test, .. } = &shop.prepared.split;
    row.valid.push(values(shop, &*fitted.model, valid, train)?);
    if open_test {
        row.test.push(values(shop, &*fitted.model, test, seen_for_test)?);
    }
    Ok(())
}

/// The primary metric of every user; all items compete, what was seen is masked.
pub(super) fn values<P: Phase>(
    shop: &Shop<'_>,
    model: &dyn Recommender,
    held: &Held<P>,
    seen: &quintet_core::Interactions,
) -> Result<Vec<f64>, PipelineError> {
    let primary = &shop.config.evaluate.primary;
    let (name, k) = primary.split_once('@').unwrap_or((primary, "10"));
    let cutoffs = vec![k.parse().unwrap_or(10)];
    let config = EvalConfig { cutoffs, metrics: vec![name.to_owned()] };
    let evaluator = Evaluator::new(&config, &shop.registries.metrics)?;
    let model = shop.prepared.with_newcomers(model);
    let evaluation = evaluator.evaluate(&model, held, seen)?;
    Ok(evaluation.require_per_user(primary)?.to_vec())
}

/// Means by user over the seeds that both rows have, which are the first ones of either.
fn paired(left: &[Vec<f64>], right: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let common = left.len().min(right.len());
    (mean_of(&left[..common]), mean_of(&right[..common]))
}

/// Turns values by user into rows and a choice.
struct Judge<'a> {
    config: &'a RunConfig,
    seed: SeedStream,
}

impl Judge<'_> {
    fn bootstrap(&self) -> BootstrapConfig {
        let resamples = self.config.evaluate.resamples;
        BootstrapConfig { resamples, ..BootstrapConfig::default() }
    }

    fn mean(&self, users: &[f64]) -> Result<Interval, PipelineError> {
        Ok(bootstrap_mean(users, &self.bootstrap(), &self.seed)?.into())
    }

    fn minus(&self, left: &[f64], right: &[f64]) -> Result<Interval, PipelineError> {
        Ok(paired_bootstrap(left, right, &self.bootstrap(), &self.seed)?.into())
    }

    fn table(
        &self,
        model: &str,
        mut run: Vec<Gathered>,
        not_run: Vec<String>,
    ) -> Result<FusionTable, PipelineError> {
        let level = |g: &Gathered| -> f64 {
            let users = mean_of(&g.valid);
            users.iter().sum::<f64>() / users.len().max(1) as f64
        };
        run.sort_by(|a, b| level(b).total_cmp(&level(a)));
        let opened = run.iter().all(|g| g.test.len() == g.valid.len());
        let judged: Vec<&[Vec<f64>]> =
            run.iter().map(|g| if opened { &g.test[..] } else { &g.valid[..] }).collect();
        let concat = run.iter().position(|g| g.candidate.label == "concat");
        let single = run.iter().position(|g| g.candidate.only.is_some());
        let against_concat = self.against(&judged, concat)?;
        let against_single = self.against(&judged, single)?;
        let mut rows = Vec::with_capacity(run.len());
        for ((g, concat), single) in run.iter().zip(against_concat).zip(against_single) {
            let tested = opened.then(|| mean_of(&g.test));
            rows.push(FusionRow {
                label: g.candidate.label.clone(),
                parameters: g.parameters,
                seeds: g.valid.len(),
                seconds: g.seconds / g.valid.len() as f64,
                valid: self.mean(&mean_of(&g.valid))?,
                valid_spread: spread_of(&g.valid),
                test: tested.map(|users| self.mean(&users)).transpose()?,
                test_spread: opened.then(|| spread_of(&g.test)),
                against_concat: concat,
                against_single: single,
            });
        }
        let users = |rows: &[Vec<f64>]| rows.first().map_or(0, Vec::len);
        Ok(FusionTable {
            model: model.to_owned(),
            metric: self.config.evaluate.primary.clone(),
            valid_users: run.first().map_or(0, |g| users(&g.valid)),
            test_users: if opened { run.first().map_or(0, |g| users(&g.test)) } else { 0 },
            choice: self.choose(&run, concat)?,
            rows,
            not_run,
        })
    }

    /// Every row against row `other`, which itself has none; over the seeds that both have.
    fn against(
        &self,
        judged: &[&[Vec<f64>]],
        other: Option<usize>,
    ) -> Result<Vec<Option<Paired>>, PipelineError> {
        let Some(other) = other else { return Ok(vec![None; judged.len()]) };
        let rows: Vec<usize> = (0..judged.len()).filter(|&row| row != other).collect();
        let mut p = Vec::with_capacity(rows.len());
        for &row in &rows {
            let (left, right) = paired(judged[row], judged[other]);
            p.push(paired_t_test(&left, &right)?.p);
        }
        let mut all = vec![None; judged.len()];
        for (&row, p) in rows.iter().zip(holm(&p)?) {
            let (left, right) = paired(judged[row], judged[other]);
            let difference = self.minus(&left, &right)?;
            all[row] = Some(Paired { difference, p });
        }
        Ok(all)
    }

    /// Of the fusions that validation cannot tell from the best one, that with the fewest trained
    /// numbers.
    fn choose(
        &self,
        run: &[Gathered],
        concat: Option<usize>,
    ) -> Result<Option<FusionChoice>, PipelineError> {
        let Some(best) = run.first() else { return Ok(None) };
        let mut level = Vec::new();
        for (row, of) in run.iter().enumerate() {
            let (left, right) = paired(&best.valid, &of.valid);
            let behind = self.minus(&left, &right)?;
            if row == 0 || behind.lower <= 0.0 {
                level.push((row, behind));
            }
        }
        let count = level.len();
        let cheapest = level.into_iter().min_by_key(|(row, _)| (run[*row].parameters, *row));
        let Some((chosen, given_up)) = cheapest else { return Ok(None) };
        let over_concat = match concat.filter(|&row| row != chosen) {
            Some(row) => {
                let (left, right) = paired(&run[chosen].valid, &run[row].valid);
                Some(self.minus(&left, &right)?)
            }
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
}
