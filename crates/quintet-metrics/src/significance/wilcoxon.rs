//! The Wilcoxon signed-rank test of paired differences.
//!
//! Differences are ranked by size, ties share the mean of their ranks; `W⁺` and `W⁻` are the sums
//! of the ranks of positive and negative ones, and the statistic is the smaller.
//!
//! - **Exact:** every sign pattern of the ranks is equally likely; how many give each sum is
//!   counted by adding one rank at a time. `p = min(1, 2 min(P(W ≤ W⁺), P(W ≥ W⁺)))`. Ties are no
//!   obstacle: twice the ranks are whole numbers.
//! - **Normal:** `z = (W⁺ - m) / s` with `m = n (n + 1) / 4` and
//!   `s² = (n (n + 1) (2n + 1) - Σ (t³ - t) / 2) / 24` over groups of `t` ties; the continuity
//!   correction moves `W⁺` by one half towards `m`.
//! - **Zeros:** left out (Wilcoxon); ranked and then left out (Pratt), with `m` and `s` without
//!   them (Cureton); or ranked and given to both sides by halves.
//!
//! Papers: Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1(6), 1945;
//! Pratt, "Remarks on Zeros and Ties in the Wilcoxon Signed Rank Procedures", JASA 54(287), 1959;
//! Cureton, "The Normal Approximation to the Signed-Rank Sampling Distribution When Zero
//! Differences Are Present", JASA 62(319), 1967.
//! Agrees with `scipy.stats.wilcoxon` 1.17 for each choice, `auto` included. Differences: the
//! continuity correction is on unless it is turned off, exact means exact with ties too, and pairs
//! that do not differ at all give `p = 1`.
//! Cost: O(n log n), exact O(n³) with n at most 1,000.

use serde::{Deserialize, Serialize};

use super::{check_values, differences, normal};
use crate::EvalError;

/// Most pairs for the exact test without ties and zeros, as in scipy.
const EXACT: usize = 50;

/// Most pairs for the exact test with ties or zeros, as in scipy.
const EXACT_WITH_TIES: usize = 13;

/// Most pairs for the exact test when it is asked for: memory and time grow with the sum of ranks.
const EXACT_LIMIT: usize = 1_000;

/// What is done with pairs that do not differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDifferences {
    /// They are left out before ranking (`wilcox` in scipy).
    #[default]
    Drop,
    /// They are ranked, and their ranks are left out (`pratt`).
    Pratt,
    /// They are ranked, and half of their ranks goes to each side (`zsplit`).
    Split,
}

/// How the probability is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WilcoxonMethod {
    /// Exact for up to 50 pairs without ties and zeros and for up to 13 with; else normal.
    #[default]
    Auto,
    /// The permutation distribution.
    Exact,
    /// The normal approximation.
    Normal,
}

/// How to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WilcoxonConfig {
    /// What is done with zeros.
    pub zeros: ZeroDifferences,
    /// Exact or normal.
    pub method: WilcoxonMethod,
    /// Whether the normal approximation is corrected for continuity.
    pub continuity: bool,
}

impl Default for WilcoxonConfig {
    fn default() -> Self {
        Self {
            zeros: ZeroDifferences::default(),
            method: WilcoxonMethod::default(),
            continuity: true,
        }
    }
}

/// The outcome of a signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// The smaller of both sums of ranks.
    pub statistic: f64,
    /// Sum of the ranks where the left side is larger.
    pub w_plus: f64,
    /// Sum of the ranks where the right side is larger.
    pub w_minus: f64,
    /// How many pairs differ.
    pub n: usize,
    /// How many do not.
    pub n_zero: usize,
    /// How `p` was computed: exact or normal, never auto.
    pub method: WilcoxonMethod,
    /// The standardised statistic, corrected if asked for; with the normal approximation only.
    pub z: Option<f64>,
    /// Two-sided probability of a statistic as extreme as this when there is no difference.
    pub p: f64,
}

/// The signed-rank test of `left - right`, pair by pair, two-sided.
///
/// Which pairs tie depends on their differences in floating point, as in every implementation:
/// round beforehand what is equal but for rounding.
///
/// # Errors
/// Vectors of different lengths, no pair, a value that is not finite, or an exact test of more
/// than 1,000 pairs.
pub fn wilcoxon(
    left: &[f64],
    right: &[f64],
    config: &WilcoxonConfig,
) -> Result<Wilcoxon, EvalError> {
    let differences = differences(left, right)?;
    check_values("the Wilcoxon test", 1, &differences)?;
    let ranks = SignedRanks::new(&differences, config.zeros);
    if config.method == WilcoxonMethod::Exact && ranks.n > EXACT_LIMIT {
        let expected = "auto or normal for more than 1000 pairs";
        let found = format!("exact for {}", ranks.n);
        return Err(EvalError::Setting { setting: "method", expected, found });
    }
    let limit = if ranks.ties || ranks.n_zero > 0 { EXACT_WITH_TIES } else { EXACT };
    let exact = match config.method {
        WilcoxonMethod::Auto => differences.len() <= limit,
        method => method == WilcoxonMethod::Exact,
    };
    let (method, z, p) = if ranks.n == 0 {
        // Nothing differs: every sign pattern is as extreme as this one.
        (WilcoxonMethod::Exact, None, 1.0)
    } else if exact {
        (WilcoxonMethod::Exact, None, ranks.exact())
    } else {
        let z = ranks.z(config.continuity);
        (WilcoxonMethod::Normal, Some(z), normal::two_sided(z))
    };
    let (w_plus, w_minus) = (ranks.sum(true), ranks.sum(false));
    let statistic = w_plus.min(w_minus);
    let (n, n_zero) = (ranks.n, ranks.n_zero);
    Ok(Wilcoxon { statistic, w_plus, w_minus, n, n_zero, method, z, p })
}

/// Twice the ranks of the differences, so that shared ranks are whole numbers.
struct SignedRanks {
    /// Of each difference that is not zero: twice its rank, and whether it is positive.
    ranks: Vec<(u64, bool)>,
    /// Twice the sum of the ranks that zeros give to each side.
    zeros_half: f64,
    n: usize,
    n_zero: usize,
    zeros: ZeroDifferences,
    ties: bool,
    /// `Σ (t³ - t)` over groups of ties that count for the spread.
    tie_term: f64,
}

impl SignedRanks {
    fn new(differences: &[f64], zeros: ZeroDifferences) -> Self {
        let n_zero = differences.iter().filter(|d| **d == 0.0).count();
        let dropped = zeros == ZeroDifferences::Drop;
        let mut sorted: Vec<f64> =
            differences.iter().copied().filter(|d| !dropped || *d != 0.0).collect();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut out = Self {
            ranks: Vec::with_capacity(sorted.len()),
            zeros_half: 0.0,
            n: differences.len() - n_zero,
            n_zero,
            zeros,
            ties: false,
            tie_term: 0.0,
        };
        let mut before = 0u64;
        for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
            let size = group.len() as u64;
            // Ranks before + 1 to before + size; twice their mean is the sum of both ends.
            let twice = 2 * before + size + 1;
            before += size;
            let term = (size as f64).powi(3) - size as f64;
            if group[0] == 0.0 {
                if zeros == ZeroDifferences::Split {
                    out.zeros_half = (twice * size) as f64 / 2.0;
                    out.tie_term += term;
                }
                continue;
            }
            out.ties |= size > 1;
            out.tie_term += term;
            out.ranks.extend(group.iter().map(|d| (twice, *d > 0.0)));
        }
        out
    }

    /// Twice the sum of the ranks of one sign, without zeros.
    fn twice(&self, positive: bool) -> u64 {
        self.ranks.iter().filter(|(_, sign)| *sign == positive).map(|(rank, _)| rank).sum()
    }

    /// Sum of the ranks of one sign.
    fn sum(&self, positive: bool) -> f64 {
        (self.twice(positive) as f64 + self.zeros_half) / 2.0
    }

    fn z(&self, continuity: bool) -> f64 {
        let ranked = |n: f64| (n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0));
        let n = match self.zeros {
            ZeroDifferences::Drop => self.n,
            _ => self.n + self.n_zero,
        };
        let (mut mean, mut spread) = ranked(n as f64);
        if self.zeros == ZeroDifferences::Pratt {
            let (zero_mean, zero_spread) = ranked(self.n_zero as f64);
            (mean, spread) = (mean - zero_mean, spread - zero_spread);
        }
        let deviation = ((spread - self.tie_term / 2.0) / 24.0).sqrt();
        let distance = self.sum(true) - mean;
        let correction = match distance == 0.0 || !continuity {
            true => 0.0,
            false => 0.5f64.copysign(distance),
        };
        (distance - correction) / deviation
    }

    /// The two-sided probability over all sign patterns of the ranks.
    fn exact(&self) -> f64 {
        // A common divisor halves the table where nothing ties.
        let step = if self.ranks.iter().all(|(rank, _)| rank % 2 == 0) { 2 } else { 1 };
        let total: u64 = self.ranks.iter().map(|(rank, _)| rank / step).sum();
        let mut share = vec![0.0f64; total as usize + 1];
        share[0] = 1.0;
        let mut reach = 0;
        for rank in self.ranks.iter().map(|(rank, _)| (rank / step) as usize) {
            reach += rank;
            // From the top down, so that each rank is added once. Halving keeps the sum at 1; up
            // to about 50 ranks nothing is rounded.
            for sum in (0..=reach).rev() {
                let with = if sum >= rank { share[sum - rank] } else { 0.0 };
                share[sum] = (share[sum] + with) / 2.0;
            }
        }
        let observed = (self.twice(true) / step) as usize;
        let (below, above) = (&share[..=observed], &share[observed..]);
        (2.0 * below.iter().sum::<f64>().min(above.iter().sum())).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(differences: &[f64], config: WilcoxonConfig) -> Wilcoxon {
        wilcoxon(differences, &vec![0.0; differences.len()], &config).unwrap()
    }

    #[test]
    fn exact_by_hand() {
        // Ranks 1 2 3, the second negative: W⁺ = 4, W⁻ = 2. Of eight patterns the sums are
        // 0 1 2 3 3 4 5 6: three give at least 4, so p = 6/8.
        let got = run(&[0.1, -0.2, 0.3], WilcoxonConfig::default());
        assert_eq!((got.w_plus, got.w_minus, got.statistic, got.p), (4.0, 2.0, 2.0, 0.75));
        assert_eq!((got.method, got.z, got.n), (WilcoxonMethod::Exact, None, 3));
        // All positive: one pattern of 2⁵.
        assert_eq!(run(&[1.0, 2.0, 3.0, 4.0, 5.0], WilcoxonConfig::default()).p, 2.0 / 32.0);
    }

    #[test]
    fn exact_with_ties_by_hand() {
        // Ranks 1.5 1.5 3; all positive 6, one pattern of eight.
        let got = run(&[1.0, 1.0, 2.0], WilcoxonConfig::default());
        assert_eq!((got.w_plus, got.p), (6.0, 0.25));
        // W⁺ = 4.5: patterns with at least that: 1.5 + 3 twice, and 6: three of eight.
        assert_eq!(run(&[1.0, -1.0, 2.0], WilcoxonConfig::default()).p, 0.75);
    }

    #[test]
    fn normal_by_hand() {
        // n = 4, no ties: m = 5, s² = 4 · 5 · 9 / 24 = 7.5. W⁺ = 9, corrected 8.5.
        let config = WilcoxonConfig { method: WilcoxonMethod::Normal, ..WilcoxonConfig::default() };
        let got = run(&[-1.0, 2.0, 3.0, 4.0], config);
        assert_eq!(got.z, Some(3.5 / 7.5f64.sqrt()));
        let plain = run(&[-1.0, 2.0, 3.0, 4.0], WilcoxonConfig { continuity: false, ..config });
        assert_eq!(plain.z, Some(4.0 / 7.5f64.sqrt()));
        // Three ties: ranks 2 2 2 4, s² = 7.5 - 24 / 48.
        let ties = run(&[1.0, 1.0, -1.0, 2.0], WilcoxonConfig { continuity: false, ..config });
        assert_eq!(ties.z, Some(3.0 / 7f64.sqrt()));
    }

    #[test]
    fn zeros_by_hand() {
        // One zero, then sizes 1 and 2. Dropped: ranks 1 2. Kept: ranks 2 3, and 1 for the zero.
        let with = |zeros| run(&[0.0, -1.0, 2.0], WilcoxonConfig { zeros, ..Default::default() });
        let sums = |w: Wilcoxon| (w.w_plus, w.w_minus, w.n, w.n_zero);
        assert_eq!(sums(with(ZeroDifferences::Drop)), (2.0, 1.0, 2, 1));
        assert_eq!(sums(with(ZeroDifferences::Pratt)), (3.0, 2.0, 2, 1));
        assert_eq!(sums(with(ZeroDifferences::Split)), (3.5, 2.5, 2, 1));
        let none = run(&[0.0; 60], WilcoxonConfig::default());
        assert_eq!((none.p, none.statistic, none.n), (1.0, 0.0, 0));
    }

    #[test]
    fn sides_may_change_places() {
        let (a, b) = ([0.3, 0.1, 0.9, 0.2], [0.1, 0.4, 0.1, 0.2]);
        for method in [WilcoxonMethod::Exact, WilcoxonMethod::Normal] {
            let config = WilcoxonConfig { method, ..WilcoxonConfig::default() };
            let (there, back) =
                (wilcoxon(&a, &b, &config).unwrap(), wilcoxon(&b, &a, &config).unwrap());
            assert_eq!((there.p, there.w_plus), (back.p, back.w_minus));
        }
    }

    #[test]
    fn bad_input_is_named() {
        let config = WilcoxonConfig { method: WilcoxonMethod::Exact, ..WilcoxonConfig::default() };
        let told = |l: &[f64], r: &[f64]| wilcoxon(l, r, &config).unwrap_err().to_string();
        assert!(told(&[], &[]).contains("at least 1 values, found 0"));
        assert!(told(&[1.0], &[]).contains("expected 1, found 0"));
        assert!(told(&[f64::NAN], &[0.0]).starts_with("value 0 is NaN"));
        let many = told(&vec![1.0; 1001], &vec![0.0; 1001]);
        assert!(many.ends_with("found exact for 1001"), "{many}");
        let typo = serde_json::from_str::<WilcoxonConfig>(r#"{"zero": "pratt"}"#).unwrap_err();
        assert!(typo.to_string().contains("unknown field `zero`"), "{typo}");
    }
}
