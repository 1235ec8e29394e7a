//! How large a difference is, and how sure one may be of several at once.
//!
//! - Cohen's d of pairs: the mean of the differences in units of their standard deviation (with
//!   `n - 1`), also written `d_z`. Cohen, "Statistical Power Analysis for the Behavioral
//!   Sciences", 2nd ed., 1988.
//! - Holm's correction: p values in ascending order are multiplied by `m, m - 1, …, 1` and made
//!   monotone, at most 1. Whoever rejects what stays below α makes a single wrong rejection with
//!   probability α at most, however the tests depend on each other. Holm, "A Simple Sequentially
//!   Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2), 1979.
//!
//! Cost: O(users); O(tests log tests).

use super::{check_values, differences, mean};
use crate::EvalError;
use crate::user_values;

/// Cohen's d of `left - right`, pair by pair: 0.2 is called small, 0.5 medium, 0.8 large.
///
/// Without any spread the limit is taken, as in [`crate::paired_t_test`]: 0 for no difference,
/// infinite for a constant one.
///
/// # Errors
/// Vectors of different lengths, fewer than two pairs, or a value that is not finite.
pub fn cohens_d_paired(left: &[f64], right: &[f64]) -> Result<f64, EvalError> {
    let differences = differences(left, right)?;
    check_values("Cohen's d", 2, &differences)?;
    let mean = mean(&differences);
    if differences.iter().all(|d| *d == differences[0]) {
        let none = differences[0] == 0.0;
        return Ok(if none { 0.0 } else { f64::INFINITY.copysign(mean) });
    }
    let squares: f64 = differences.iter().map(|d| (d - mean) * (d - mean)).sum();
    Ok(mean / (squares / (differences.len() - 1) as f64).sqrt())
}

/// The p values of several tests, adjusted by Holm's method, in the order in which they came.
///
/// # Errors
/// A value outside `[0, 1]`.
pub fn holm(p: &[f64]) -> Result<Vec<f64>, EvalError> {
    user_values::check_values("p value", "a number within 0 and 1", p, |p| {
        (0.0..=1.0).contains(&p)
    })?;
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0f64;
    for (place, test) in order.into_iter().enumerate() {
        least = least.max((p.len() - place) as f64 * p[test]).min(1.0);
        adjusted[test] = least;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_by_hand() {
        // Differences 1, 2, 3: mean 2, standard deviation 1.
        assert_eq!(cohens_d_paired(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]), Ok(2.0));
        assert_eq!(cohens_d_paired(&[1.0, 1.0], &[1.0, 1.0]), Ok(0.0));
        assert_eq!(cohens_d_paired(&[0.0, 0.0], &[0.1, 0.1]), Ok(f64::NEG_INFINITY));
        assert!(cohens_d_paired(&[1.0], &[0.0]).is_err());
        assert!(cohens_d_paired(&[1.0, f64::NAN], &[0.0, 0.0]).is_err());
    }

    #[test]
    fn holm_by_hand() {
        // Ascending 0.01 · 4, 0.02 · 3, 0.03 · 2 (raised to 0.06), 0.6 · 1.
        let got = holm(&[0.6, 0.01, 0.03, 0.02]).unwrap();
        for (got, want) in got.iter().zip([0.6, 0.04, 0.06, 0.06]) {
            assert!((got - want).abs() < 1e-15, "{got} is not {want}");
        }
        assert_eq!(holm(&[0.5, 0.9]), Ok(vec![1.0, 1.0]));
        assert_eq!(holm(&[]), Ok(vec![]));
        let err = holm(&[0.5, f64::NAN]).unwrap_err().to_string();
        assert_eq!(err, "p value 1: expected a number within 0 and 1, found NaN");
    }
}
