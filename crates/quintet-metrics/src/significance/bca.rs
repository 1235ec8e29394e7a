//! Bootstrap intervals that correct for bias and skew (BCa).
//!
//! With `Φ` the normal distribution, `z₀ = Φ⁻¹(share of resampled means below the mean, ties
//! half)` and the acceleration `a = Σ d³ / (6 (Σ d²)^(3/2))`, `d` the values minus their mean
//! (the jackknife of a mean), the ends are the quantiles of the resampled means at
//! `Φ(z₀ + (z₀ + z) / (1 - a (z₀ + z)))`, `z` the normal quantile of each tail.
//!
//! Paper: Efron, "Better Bootstrap Confidence Intervals", JASA 82(397), 1987. The resamples are
//! those of [`super::bootstrap_mean`] with the same seed.
//! Cost: as the percentile interval.

use quintet_core::SeedStream;

use super::normal::{cdf, quantile as normal_quantile};
use super::{BootstrapConfig, Interval, differences, mean, quantile, resampled_means};
use crate::EvalError;

/// The mean of `values` with its BCa bootstrap interval.
///
/// For skewed values, such as a metric that is 0 for most users, it covers the mean more often
/// than the percentile interval of [`super::bootstrap_mean`].
///
/// # Errors
/// As [`super::bootstrap_mean`].
pub fn bootstrap_mean_bca(
    values: &[f64],
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Interval, EvalError> {
    let means = resampled_means(values, config, seeds)?;
    Ok(corrected(values, &means, config.confidence))
}

/// The mean of `left - right`, pair by pair, with its BCa bootstrap interval.
///
/// # Errors
/// As [`super::paired_bootstrap`].
pub fn paired_bootstrap_bca(
    left: &[f64],
    right: &[f64],
    config: &BootstrapConfig,
    seeds: &SeedStream,
) -> Result<Interval, EvalError> {
    bootstrap_mean_bca(&differences(left, right)?, config, seeds)
}

/// The interval from resampled means, ascending.
fn corrected(values: &[f64], means: &[f64], confidence: f64) -> Interval {
    let mean = mean(values);
    let below = means.partition_point(|m| *m < mean);
    let up_to = means.partition_point(|m| *m <= mean);
    let bias = normal_quantile((below + up_to) as f64 / (2 * means.len()) as f64);
    let power = |n| values.iter().map(|v| (v - mean).powi(n)).sum::<f64>();
    // Equal values have no spread and no skew; their squares may come out as rounding noise.
    let flat = values.iter().all(|v| *v == values[0]);
    let acceleration = if flat { 0.0 } else { power(3) / (6.0 * power(2).powf(1.5)) };
    let tail = (1.0 - confidence) / 2.0;
    let end = |tail: f64| {
        let z = bias + normal_quantile(tail);
        let place = cdf(bias + z / (1.0 - acceleration * z));
        // All resampled means on one side: the limit is their end on that side.
        let place = if bias.is_infinite() { cdf(bias) } else { place };
        quantile(means, place.clamp(0.0, 1.0))
    };
    Interval { mean, lower: end(tail), upper: end(1.0 - tail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: fn() -> SeedStream = || SeedStream::new(11);

    #[test]
    fn without_bias_and_skew_it_is_the_percentile_interval() {
        // Symmetric values and symmetric resampled means.
        let means: Vec<f64> = (-50..=50).map(f64::from).collect();
        let got = corrected(&[-1.0, 0.0, 1.0], &means, 0.9);
        assert!((got.lower + 45.0).abs() < 1e-9 && (got.upper - 45.0).abs() < 1e-9, "{got:?}");
    }

    #[test]
    fn skew_by_hand() {
        // Values 0, 0, 3: d = -1, -1, 2, Σd³ = 6, Σd² = 6, a = 1 / 6^1.5. Three of four means lie
        // at or below 1, one of them on it: z₀ = Φ⁻¹((2 + 3) / 8).
        let means = [0.0, 0.5, 1.0, 2.0];
        let got = corrected(&[0.0, 0.0, 3.0], &means, 0.5);
        let (z0, a) = (normal_quantile(0.625), 1.0 / 6f64.powf(1.5));
        let place = |z: f64| cdf(z0 + (z0 + z) / (1.0 - a * (z0 + z)));
        let z = normal_quantile(0.75);
        assert_eq!(
            (got.lower, got.upper),
            (quantile(&means, place(-z)), quantile(&means, place(z)))
        );
        assert!(got.lower > quantile(&means, 0.25) && got.upper > quantile(&means, 0.75));
    }

    /// `scipy.stats.bootstrap` 1.17.1 with `method="BCa"` on the same resampled means.
    #[test]
    fn agrees_with_scipy() {
        let values = [0.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.25];
        let mut means: Vec<f64> = (0..60).map(|i| f64::from(i * 37 % 101) / 101.0 * 0.6).collect();
        means.sort_unstable_by(f64::total_cmp);
        for (confidence, lower, upper) in [
            (0.5, 0.059_097_163_080_898_24, 0.294_425_671_458_155_35),
            (0.9, 0.013_098_195_592_954_866, 0.512_518_711_712_993_6),
            (0.95, 0.008_087_102_329_872_042, 0.554_163_568_208_905_2),
        ] {
            let got = corrected(&values, &means, confidence);
            assert!((got.lower - lower).abs() < 1e-12, "{confidence}: {got:?}");
            assert!((got.upper - upper).abs() < 1e-12, "{confidence}: {got:?}");
        }
    }

    #[test]
    fn a_rare_hit_moves_both_ends_up() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 20 == 0))).collect();
        let config = BootstrapConfig::default();
        let plain = super::super::bootstrap_mean(&values, &config, &SEEDS()).unwrap();
        let got = bootstrap_mean_bca(&values, &config, &SEEDS()).unwrap();
        assert_eq!(got.mean, plain.mean);
        assert!(got.lower >= plain.lower && got.upper > plain.upper, "{got:?}, {plain:?}");
        let zeros = vec![0.0; 100];
        assert_eq!(paired_bootstrap_bca(&values, &zeros, &config, &SEEDS()).unwrap(), got);
    }

    #[test]
    fn equal_values_have_no_spread_and_bad_input_is_refused() {
        let config = BootstrapConfig::default();
        let got = bootstrap_mean_bca(&[0.1; 9], &config, &SEEDS()).unwrap();
        assert!((got.lower - 0.1).abs() < 1e-15 && (got.upper - 0.1).abs() < 1e-15, "{got:?}");
        assert!(bootstrap_mean_bca(&[], &config, &SEEDS()).is_err());
        assert!(bootstrap_mean_bca(&[f64::NAN], &config, &SEEDS()).is_err());
    }
}
