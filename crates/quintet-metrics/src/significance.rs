//! How sure a difference is: percentile bootstrap over users and the paired t-test.
//!
//! Users are the unit of resampling: two models are compared on the same users, pair by pair.
//!
//! Papers: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13 (percentile
//! interval); Sakai, "Evaluating Evaluation Metrics based on the Bootstrap", SIGIR 2006 (pairs);
//! Student, "The Probable Error of a Mean", Biometrika 1908 (t).
//! Cost: bootstrap O(resamples · users), resamples in parallel; t-test O(users).

mod bca;
mod effect;
mod normal;
mod wilcoxon;

use quintet_core::{Phase, SeedStream};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::beta::student_two_sided;
use crate::rank::check;
use crate::{EvalError, Evaluation};

pub use bca::{bootstrap_mean_bca, paired_bootstrap_bca};
pub use effect::{cohens_d_paired, holm};
pub use wilcoxon::{Wilcoxon, WilcoxonConfig, WilcoxonMethod, ZeroDifferences, wilcoxon};

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// How often; at least 1.
    pub resamples: usize,
    /// Probability that the interval shall cover, between 0 and 1.
    pub confidence: f64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 2_000, confidence: 0.95 }
    }
}

impl BootstrapConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// No resample, or a confidence that is not strictly between 0 and 1.
    pub fn validate(&self) -> Result<(), EvalError> {
        let refuse =
            |setting, expected, found| Err(EvalError::Setting { setting, expected, found });
        if self.resamples == 0 {
            return refuse("resamples", "at least 1", "0".into());
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let found = self.confidence.to_string();
            return refuse("confidence", "a number strictly between 0 and 1", found);
        }
        Ok(())
    }
}

/// A mean and where it could as well lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean of the values themselves.
    pub mean: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

impl Interval {
    /// Whether zero lies outside: for a difference, whether there is one.
    pub fn excludes_zero(&self) -> bool {
        self.lower > 0.0 || self.upper < 0.0
    }
}

/// The mean of `values` with its percentile bootstrap interval.
///
/// The same values, settings and seed give the same interval on any number of threads. Compare
/// two models by [`paired_bootstrap`], not by whether their intervals overlap.
///
/// # Errors
/// No values, one that is not finite, or settings that [`BootstrapConfig::validate`] refuses.
pub fn bootstrap_mean(
    values: &[f64],
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Interval, EvalError> {
    let means = resampled_means(values, config, seeds)?;
    let tail = (1.0 - config.confidence) / 2.0;
    Ok(Interval {
        mean: mean(values),
        lower: quantile(&means, tail),
        upper: quantile(&means, 1.0 - tail),
    })
}

/// The means of the resamples, ascending.
fn resampled_means(
    values: &[f64],
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Vec<f64>, EvalError> {
    config.validate()?;
    check_values("the bootstrap", 1, values)?;
    // Every resample has a generator of its own: the order of work does not matter.
    let mut means: Vec<f64> = (0..config.resamples)
        .into_par_iter()
        .map(|resample| {
            let mut rng = seeds.rng("bootstrap", resample as u64);
            let draw = |_| values[rng.random_range(0..values.len())];
            (0..values.len()).map(draw).sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Ok(means)
}

/// The mean of `left - right`, pair by pair, with its percentile bootstrap interval.
///
/// # Errors
/// As [`bootstrap_mean`], or vectors of different lengths.
pub fn paired_bootstrap(
    left: &[f64],
    right: &[f64],
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Interval, EvalError> {
    bootstrap_mean(&differences(left, right)?, config, seeds)
}

/// [`paired_bootstrap`] of one metric of two evaluations.
///
/// # Errors
/// As [`paired_bootstrap`], a key that has no per-user values, or evaluations of other users.
pub fn compare<P: Phase>(
    left: &Evaluation<P>,
    right: &Evaluation<P>,
    key: &str,
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Interval, EvalError> {
    check("users of the second evaluation", left.n_users(), right.n_users())?;
    let pairs = left.users().iter().zip(right.users());
    if let Some((position, (l, r))) = pairs.enumerate().find(|(_, (l, r))| l != r) {
        return Err(EvalError::Unpaired { position, left: l.0, right: r.0 });
    }
    paired_bootstrap(left.require_per_user(key)?, right.require_per_user(key)?, config, seeds)
}

/// The outcome of a paired t-test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TTest {
    /// Mean of the differences.
    pub mean: f64,
    /// Test statistic: the mean in standard errors.
    pub t: f64,
    /// Degrees of freedom: pairs minus one.
    pub dof: usize,
    /// Two-sided probability of a statistic as large as this when there is no difference.
    pub p: f64,
}

/// Student's t-test of `left - right`, pair by pair, two-sided.
///
/// Without any spread the statistic takes its limit: all differences zero give `t = 0`, `p = 1`;
/// all equal to another number give an infinite `t` and `p = 0`.
///
/// # Errors
/// Vectors of different lengths, fewer than two pairs, or a value that is not finite.
pub fn paired_t_test(left: &[f64], right: &[f64]) -> Result<TTest, EvalError> {
    let differences = differences(left, right)?;
    check_values("the paired t-test", 2, &differences)?;
    let (n, dof) = (differences.len() as f64, differences.len() - 1);
    let mean = mean(&differences);
    let same = differences.iter().all(|d| *d == differences[0]);
    let t = match (same, mean == 0.0) {
        (true, true) => 0.0,
        // The variance of equal numbers may come out as rounding noise instead of zero.
        (true, false) => f64::INFINITY.copysign(mean),
        (false, _) => {
            let squares: f64 = differences.iter().map(|d| (d - mean) * (d - mean)).sum();
            mean / (squares / dof as f64 / n).sqrt()
        }
    };
    Ok(TTest { mean, t, dof, p: student_two_sided(t, dof as f64) })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn differences(left: &[f64], right: &[f64]) -> Result<Vec<f64>, EvalError> {
    check("values of the second side of a pair", left.len(), right.len())?;
    Ok(left.iter().zip(right).map(|(l, r)| l - r).collect())
}

fn check_values(test: &'static str, needed: usize, values: &[f64]) -> Result<(), EvalError> {
    if values.len() < needed {
        return Err(EvalError::TooFew { test, needed, found: values.len() });
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(EvalError::ValueNotFinite { index, value: values[index] }),
    }
}

/// The `q` quantile of sorted numbers, linear between neighbours (Hyndman and Fan 1996, type 7).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + share * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: fn() -> SeedStream = || SeedStream::new(11);

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let sorted = [0.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(&sorted, 0.0), 0.0);
        assert_eq!(quantile(&sorted, 0.5), 1.5);
        assert_eq!(quantile(&sorted, 1.0), 4.0);
        assert_eq!(quantile(&[3.0], 0.975), 3.0);
    }

    #[test]
    fn equal_values_have_no_spread() {
        let got = bootstrap_mean(&[0.25; 9], &BootstrapConfig::default(), &SEEDS()).unwrap();
        assert_eq!(got, Interval { mean: 0.25, lower: 0.25, upper: 0.25 });
        assert!(got.excludes_zero());
    }

    #[test]
    fn the_interval_is_as_wide_as_the_normal_one() {
        // 0 and 1 alternating, n = 400: mean 0.5, standard error 0.5 / 20 = 0.025.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let got = bootstrap_mean(&values, &BootstrapConfig::default(), &SEEDS()).unwrap();
        let half = 1.96 * 0.025;
        assert_eq!(got.mean, 0.5);
        assert!((got.lower - (0.5 - half)).abs() < 0.1 * half, "{got:?}");
        assert!((got.upper - (0.5 + half)).abs() < 0.1 * half, "{got:?}");
    }

    #[test]
    fn pairing_finds_a_small_but_steady_difference() {
        // Users differ by up to 1, models by 0.02 ± 0.01: only pairs show it.
        let left: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        let right: Vec<f64> =
            left.iter().enumerate().map(|(i, v)| v - 0.01 - 0.02 * (i % 2) as f64).collect();
        let config = BootstrapConfig::default();
        let got = paired_bootstrap(&left, &right, &config, &SEEDS()).unwrap();
        assert!(got.excludes_zero() && (got.mean - 0.02).abs() < 1e-12, "{got:?}");
        let back = paired_bootstrap(&right, &left, &config, &SEEDS()).unwrap();
        assert!(back.excludes_zero() && back.upper < 0.0, "{back:?}");
        let none = paired_bootstrap(&left, &left, &config, &SEEDS()).unwrap();
        assert!(!none.excludes_zero());
    }

    #[test]
    fn the_interval_does_not_depend_on_threads_but_on_the_seed() {
        let values: Vec<f64> = (0..57).map(|i| (f64::from(i) * 0.7).sin()).collect();
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let config = BootstrapConfig::default();
            pool.install(|| bootstrap_mean(&values, &config, &SeedStream::new(seed)).unwrap())
        };
        assert_eq!(run(1, 3), run(4, 3));
        assert_ne!(run(1, 3), run(1, 4));
    }

    #[test]
    fn t_by_hand() {
        // Differences 1, 2, 3, 4, 5: mean 3, variance 2.5, t = 3 / sqrt(2.5 / 5) = sqrt(18).
        let got = paired_t_test(&[2.0, 4.0, 6.0, 8.0, 10.0], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((got.mean, got.dof), (3.0, 4));
        assert!((got.t - 18f64.sqrt()).abs() < 1e-14);
        // Closed form for 4 degrees: p = 1 - s (3 - s²) / 2 with s = t / sqrt(4 + t²).
        let s = got.t / (4.0 + 18f64).sqrt();
        assert!((got.p - (1.0 - s * (3.0 - s * s) / 2.0)).abs() < 1e-14, "{got:?}");
    }

    #[test]
    fn differences_without_spread_take_the_limit() {
        let same = paired_t_test(&[0.1, 0.7], &[0.1, 0.7]).unwrap();
        assert_eq!((same.t, same.p), (0.0, 1.0));
        let less = paired_t_test(&[0.0, 0.0, 0.0], &[0.1, 0.1, 0.1]).unwrap();
        assert_eq!((less.t, less.p), (f64::NEG_INFINITY, 0.0));
    }

    #[test]
    fn bad_input_is_named() {
        let (config, seeds) = (BootstrapConfig::default(), SEEDS());
        let message = |e: Result<Interval, EvalError>| e.unwrap_err().to_string();
        let nan = message(bootstrap_mean(&[0.0, f64::NAN], &config, &seeds));
        assert!(nan.starts_with("value 1 is NaN"), "{nan}");
        let empty = message(bootstrap_mean(&[], &config, &seeds));
        assert!(empty.contains("at least 1 values, found 0"), "{empty}");
        let uneven = message(paired_bootstrap(&[0.0], &[], &config, &seeds));
        assert!(uneven.contains("expected 1, found 0"), "{uneven}");
        let percent = BootstrapConfig { confidence: 95.0, ..config };
        let percent = message(bootstrap_mean(&[0.0], &percent, &seeds));
        assert!(percent.contains("between 0 and 1, found 95"), "{percent}");
        assert!(paired_t_test(&[1.0], &[0.0]).is_err());
    }
}
