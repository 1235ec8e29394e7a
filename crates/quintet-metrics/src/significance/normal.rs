//! The standard normal distribution: tails and quantiles.
//!
//! Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964: the series 7.1.6 for
//! small arguments, whose terms are all positive, and the continued fraction 7.1.14 for large ones.
//! Quantiles are found by halving an interval: they are needed a few times a test.
//! Cost: at most some hundred terms.

use std::f64::consts::{PI, SQRT_2};

/// The complementary error function.
fn erfc(x: f64) -> f64 {
    // Where the series and the fraction both have converged to the last digits.
    const LARGE: f64 = 2.0;
    if x < 0.0 {
        2.0 - erfc(-x)
    } else if x < LARGE {
        1.0 - erf_series(x)
    } else {
        erfc_fraction(x)
    }
}

/// `erf(x) = 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (1 · 3 · … · (2n + 1))`.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term > f64::EPSILON / 4.0 * sum {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

/// `√π e^(x²) erfc(x) = 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + 2/(x + …)))))`, from the far end.
fn erfc_fraction(x: f64) -> f64 {
    // At x = 2 the last digits stand after about 70 steps.
    let fraction = (1..=150).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

/// The probability of a value of at most `z`.
pub(super) fn cdf(z: f64) -> f64 {
    erfc(-z / SQRT_2) / 2.0
}

/// The probability of a value at least as far from zero as `z`.
pub(super) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() / SQRT_2)
}

/// The value that is exceeded with probability `1 - p`; infinite for 0 and 1.
pub(super) fn quantile(p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return if p <= 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    if p == 0.5 {
        return 0.0;
    }
    // By symmetry the search is in the lower tail, where small probabilities keep their digits.
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    let (mut low, mut high) = (-40.0, 0.0);
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if cdf(middle) < p { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `2 * scipy.stats.norm.sf(z)` and `scipy.stats.norm.ppf(p)` of scipy 1.17.1.
    #[test]
    fn tails_and_quantiles_agree_with_scipy() {
        for (z, want) in TAILS {
            assert!((two_sided(z) - want).abs() <= 1e-13 * want, "{z}: {}", two_sided(z));
            assert!((2.0 * cdf(-z) - want).abs() <= 1e-13 * want);
            assert!((2.0 * cdf(z) - (2.0 - want)).abs() <= 1e-15);
        }
        for (p, want) in QUANTILES {
            assert!((quantile(p) - want).abs() <= 1e-12, "{p}: {}", quantile(p));
        }
    }

    #[test]
    fn the_quantile_undoes_the_distribution() {
        for z in [-8.0, -3.0, -0.1, 0.0, 0.1, 2.0, 4.0] {
            assert!((quantile(cdf(z)) - z).abs() < 1e-10, "{z}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!((quantile(0.5), two_sided(0.0)), (0.0, 1.0));
        assert_eq!(two_sided(f64::INFINITY), 0.0);
    }

    const TAILS: [(f64, f64); 7] = [
        (0.1, 0.920344325445942),
        (0.7, 0.48392730444614607),
        (1.5, 0.13361440253771614),
        (2.8, 0.005110260660855864),
        (2.9, 0.003731626600768075),
        (6.0, 1.973175290075389e-09),
        (20.0, 5.507248237212311e-89),
    ];
    const QUANTILES: [(f64, f64); 6] = [
        (1e-12, -7.034483825301131),
        (0.001, -3.090232306167813),
        (0.025, -1.9599639845400545),
        (0.3, -0.5244005127080409),
        (0.75, 0.6744897501960817),
        (0.995, 2.5758293035489004),
    ];
}
