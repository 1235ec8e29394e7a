//! Values by user and seed to intervals and paired tests.

use quintet_core::SeedStream;
use quintet_metrics::{BootstrapConfig, bootstrap_mean, holm, paired_bootstrap, paired_t_test};
use serde::Serialize;

use super::{Interval, PipelineError, RunConfig};

/// A difference, user by user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// One row minus the other, mean over users, with its bootstrap interval.
    pub difference: Interval,
    /// Probability in a paired t-test, by Holm's correction over the rows of the table.
    pub p: f64,
}

/// A value over folds or seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanSpread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation; 0 for a single value.
    pub spread: f64,
}

impl MeanSpread {
    pub(super) fn of(values: &[f64]) -> Self {
        Self { mean: mean(values), spread: spread(values) }
    }
}

/// Rows of values, `[seed][user]`, in comparison; users are the same ones for all.
pub(super) struct Judge {
    bootstrap: BootstrapConfig,
    seed: SeedStream,
}

impl Judge {
    pub(super) fn new(config: &RunConfig) -> Self {
        let resamples = config.evaluate.resamples;
        let bootstrap = BootstrapConfig { resamples, ..BootstrapConfig::default() };
        Self { bootstrap, seed: SeedStream::new(config.seed) }
    }

    /// The mean over users of means over seeds.
    pub(super) fn mean(&self, rows: &[Vec<f64>]) -> Result<Interval, PipelineError> {
        Ok(bootstrap_mean(&mean_of(rows), &self.bootstrap, &self.seed)?.into())
    }

    /// Left minus right over the seeds that both have.
    pub(super) fn minus(
        &self,
        left: &[Vec<f64>],
        right: &[Vec<f64>],
    ) -> Result<Interval, PipelineError> {
        let (left, right) = paired(left, right);
        Ok(paired_bootstrap(&left, &right, &self.bootstrap, &self.seed)?.into())
    }

    /// Every row against row `other`, which itself has none, over the seeds that both have;
    /// `turned` gives the other one minus the row.
    pub(super) fn against(
        &self,
        rows: &[&[Vec<f64>]],
        other: Option<usize>,
        turned: bool,
    ) -> Result<Vec<Option<Paired>>, PipelineError> {
        let Some(other) = other else { return Ok(vec![None; rows.len()]) };
        let at: Vec<usize> = (0..rows.len()).filter(|&row| row != other).collect();
        let sides = |row: usize| match turned {
            true => (rows[other], rows[row]),
            false => (rows[row], rows[other]),
        };
        let mut p = Vec::with_capacity(at.len());
        for &row in &at {
            let (left, right) = sides(row);
            let (left, right) = paired(left, right);
            p.push(paired_t_test(&left, &right)?.p);
        }
        let mut all = vec![None; rows.len()];
        for (&row, p) in at.iter().zip(holm(&p)?) {
            let (left, right) = sides(row);
            all[row] = Some(Paired { difference: self.minus(left, right)?, p });
        }
        Ok(all)
    }
}

/// Means by user over the seeds that both rows have, which are the first ones of either.
fn paired(left: &[Vec<f64>], right: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let common = left.len().min(right.len());
    (mean_of(&left[..common]), mean_of(&right[..common]))
}

/// Element-wise mean of vectors of one length.
pub(super) fn mean_of(rows: &[Vec<f64>]) -> Vec<f64> {
    let n = rows.len() as f64;
    let len = rows.first().map_or(0, Vec::len);
    (0..len).map(|at| rows.iter().map(|row| row[at]).sum::<f64>() / n).collect()
}

/// Mean; 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Standard deviation; 0 for a single value.
pub(super) fn spread(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

/// Standard deviation of the means of rows; 0 for a single one.
pub(super) fn spread_of(rows: &[Vec<f64>]) -> f64 {
    let means: Vec<f64> = rows.iter().map(|row| mean(row)).collect();
    spread(&means)
}
