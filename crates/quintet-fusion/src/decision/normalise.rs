//! Scores of one model for one user on a scale that models share.
//!
//! ```text
//! min-max   (s - min) / (max - min)          z-score   (s - mean) / std
//! rank      1 - (rank - 1) / L               softmax   e^s / Σ e^s
//! Platt     σ(a s + b), a and b by logistic regression on labels
//! ```
//! Over the items of the list alone; `L` is its length, `std` that of the population, equal scores
//! share their mean rank. Where all scores are equal, min-max gives 1 and the z-score 0.
//! Platt, "Probabilistic Outputs for Support Vector Machines", 1999; without his change of the
//! labels. Cost `O(L)`, rank `O(L ln L)`.

use quintet_core::Matrix;
use quintet_tensor::FitError;
use serde::{Deserialize, Serialize};

use super::{fit_logistic, title};

/// A scale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// From 0 to 1.
    #[default]
    MinMax,
    /// Mean 0, standard deviation 1.
    ZScore,
    /// From 1 for the best down to `1 / L`.
    Rank,
    /// Sums to 1.
    Softmax,
}

impl Normalise {
    /// The row on this scale; absent items stay absent.
    ///
    /// # Errors
    /// A score is NaN or infinite.
    pub fn apply(self, row: &[Option<f32>]) -> Result<Vec<Option<f64>>, FitError> {
        if let Some(item) = row.iter().position(|s| s.is_some_and(|s| !s.is_finite())) {
            let score = row[item].unwrap_or_default();
            return Err(FitError::Data {
                model: title("normalised"),
                reason: format!("item {item} has the score {score}, which is not finite"),
            });
        }
        let present: Vec<f64> = row.iter().flatten().map(|&s| f64::from(s)).collect();
        if present.is_empty() {
            return Ok(vec![None; row.len()]);
        }
        if self == Normalise::Rank {
            return Ok(mean_ranks(row, present.len()));
        }
        let map = self.map(&present);
        Ok(row.iter().map(|s| s.map(|s| map(f64::from(s)))).collect())
    }

    /// The row on this scale with a number for absent items that is no more than any other: 0, or
    /// for z-scores, where 0 is the average, the lowest score of the list.
    ///
    /// # Errors
    /// As [`Normalise::apply`].
    pub fn filled(self, row: &[Option<f32>]) -> Result<Vec<f64>, FitError> {
        let scaled = self.apply(row)?;
        let floor = scaled.iter().flatten().fold(0.0, |low: f64, s| low.min(*s));
        Ok(scaled.into_iter().map(|s| s.unwrap_or(floor)).collect())
    }

    fn map(self, present: &[f64]) -> Box<dyn Fn(f64) -> f64> {
        let least = present.iter().copied().fold(f64::INFINITY, f64::min);
        let most = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self {
            Normalise::MinMax if most > least => Box::new(move |s| (s - least) / (most - least)),
            Normalise::MinMax | Normalise::Rank => Box::new(|_| 1.0),
            Normalise::ZScore if most > least => {
                let n = present.len() as f64;
                let mean = present.iter().sum::<f64>() / n;
                let variance = present.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
                Box::new(move |s| (s - mean) / variance.sqrt())
            }
            Normalise::ZScore => Box::new(|_| 0.0),
            Normalise::Softmax => {
                let sum: f64 = present.iter().map(|s| (s - most).exp()).sum();
                Box::new(move |s| (s - most).exp() / sum)
            }
        }
    }
}

/// `1 - (rank - 1) / L`, equal scores at their mean rank.
fn mean_ranks(row: &[Option<f32>], len: usize) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f32)> =
        row.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s + 0.0))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut scaled = vec![None; row.len()];
    let mut from = 0;
    while from < order.len() {
        let equal = order[from..].iter().take_while(|(_, s)| *s == order[from].1).count();
        // Ranks from + 1 to from + equal.
        let above = from as f64 + (equal - 1) as f64 / 2.0;
        for (item, _) in &order[from..from + equal] {
            scaled[*item] = Some(1.0 - above / len as f64);
        }
        from += equal;
    }
    scaled
}

/// From a score to the probability that the item is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platt {
    /// Slope.
    pub a: f64,
    /// Offset.
    pub b: f64,
}

impl Platt {
    /// Fits both by logistic regression with `l2` on the slope.
    ///
    /// # Errors
    /// There are not both labels, a score is not finite, or the lengths differ.
    pub fn fit(scores: &[f32], wanted: &[bool], l2: f64) -> Result<Self, FitError> {
        let x = Matrix::from_vec(scores.len(), 1, scores.to_vec())?;
        let fit = fit_logistic(&x, wanted, l2)?;
        Ok(Self { a: fit.coefficients[0], b: fit.intercept })
    }

    /// `σ(a s + b)`.
    pub fn probability(self, score: f32) -> f64 {
        1.0 / (1.0 + (-(self.a * f64::from(score) + self.b)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_hand() {
        let row = [Some(3.0), None, Some(1.0), Some(1.0), Some(5.0)];
        let of = |n: Normalise| n.apply(&row).unwrap();
        let (a, none) = (Some(0.5), None);
        assert_eq!(of(Normalise::MinMax), [a, none, Some(0.0), Some(0.0), Some(1.0)]);
        // Ranks 2, 3.5, 3.5, 1 of 4.
        let ranks = [Some(0.75), none, Some(0.375), Some(0.375), Some(1.0)];
        assert_eq!(of(Normalise::Rank), ranks);
        // Mean 2.5, variance (0.25 + 2.25 + 2.25 + 6.25) / 4 = 2.75.
        let z = of(Normalise::ZScore)[4].unwrap();
        assert!((z - 2.5 / 2.75f64.sqrt()).abs() < 1e-12);
        let sum: f64 = of(Normalise::Softmax).into_iter().flatten().sum();
        assert!((sum - 1.0).abs() < 1e-12);
        // Absent is never better than what is in the list.
        let filled = Normalise::ZScore.filled(&row).unwrap();
        assert_eq!(filled[1], filled[2]);
    }

    #[test]
    fn constants_empty_lists_and_nan_are_defined() {
        let same = [Some(2.0), Some(2.0)];
        for (scale, value) in [
            (Normalise::MinMax, 1.0),
            (Normalise::ZScore, 0.0),
            (Normalise::Rank, 0.75),
            (Normalise::Softmax, 0.5),
        ] {
            assert_eq!(scale.apply(&same).unwrap(), [Some(value); 2]);
            assert_eq!(scale.apply(&[None, None]).unwrap(), [None; 2]);
            let error = scale.apply(&[None, Some(f32::NAN)]).unwrap_err().to_string();
            assert!(error.contains("item 1") && error.contains("NaN"), "{error}");
        }
    }
}
