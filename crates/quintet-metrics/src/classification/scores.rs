//! Metrics of scores for two classes: log-loss, Brier, ROC-AUC and PR-AUC, ties included.
//!
//! - Log-loss: `-Σ ln q / n` with `q` the probability that was given to the true class, kept
//!   within `[ε, 1 - ε]`, `ε = 2⁻⁵²`, as in scikit-learn, so that one certain mistake is not
//!   infinite. Good, "Rational Decisions", JRSS B 14(1), 1952.
//! - Brier: `Σ (p - y)² / n`. Brier, "Verification of Forecasts Expressed in Terms of
//!   Probability", Monthly Weather Review 78(1), 1950.
//! - ROC-AUC: the probability that a positive scores above a negative, ties half. Hanley and
//!   McNeil, "The Meaning and Use of the Area under a ROC Curve", Radiology 143(1), 1982.
//! - PR-AUC as average precision: `Σ (R_n - R_{n-1}) P_n` over distinct scores, best first; and
//!   by the trapezoid rule from (recall 0, precision 1), which is too high: Davis and Goadrich,
//!   "The Relationship Between Precision-Recall and ROC Curves", ICML 2006.
//!
//! Cost: O(n), for the curves O(n log n).

use crate::EvalError;
use crate::rank::check;
use crate::user_values::{check_finite, check_values};

/// Mean log-loss of the probability of `true`, in nats; 0 is best.
///
/// # Errors
/// Slices of different lengths, no sample, or a probability outside `[0, 1]`.
pub fn log_loss(truth: &[bool], probability: &[f64]) -> Result<f64, EvalError> {
    check_probabilities("log-loss", truth, probability)?;
    let given = truth.iter().zip(probability).map(|(&t, p)| if t { *p } else { 1.0 - p });
    Ok(given.map(loss).sum::<f64>() / truth.len() as f64)
}

/// Mean log-loss over many classes: `probability` is `[n_samples, n_classes]`, row by row.
///
/// # Errors
/// Tables of different sizes, no sample or class, a class that is out of range, a probability
/// outside `[0, 1]`, or a row that does not sum to 1 within 1e-6.
pub fn log_loss_classes(
    truth: &[usize],
    probability: &[f64],
    n_classes: usize,
) -> Result<f64, EvalError> {
    check("probabilities, one a sample and class", truth.len() * n_classes, probability.len())?;
    if truth.is_empty() {
        return Err(EvalError::TooFew { test: "log-loss", needed: 1, found: 0 });
    }
    if let Some(&index) = truth.iter().find(|class| **class >= n_classes) {
        return Err(EvalError::OutOfRange { what: "class", index, len: n_classes });
    }
    check_values("probability", RANGE, probability, is_probability)?;
    let mut sum = 0.0;
    for (index, (row, &class)) in probability.chunks_exact(n_classes).zip(truth).enumerate() {
        let value: f64 = row.iter().sum();
        if (value - 1.0).abs() > 1e-6 {
            let (what, expected) = ("sum of the probabilities of sample", "1");
            return Err(EvalError::Value { what, index, expected, value });
        }
        sum += loss(row[class]);
    }
    Ok(sum / truth.len() as f64)
}

/// The Brier score of the probability of `true`; 0 is best, 1 worst.
///
/// # Errors
/// Slices of different lengths, no sample, or a probability outside `[0, 1]`.
pub fn brier(truth: &[bool], probability: &[f64]) -> Result<f64, EvalError> {
    check_probabilities("the Brier score", truth, probability)?;
    let squares = truth.iter().zip(probability).map(|(&t, p)| (p - f64::from(u8::from(t))).powi(2));
    Ok(squares.sum::<f64>() / truth.len() as f64)
}

/// Area under the receiver operating characteristic, ties counted half.
///
/// # Errors
/// Slices of different lengths, a score that is not finite, or only one class.
pub fn roc_auc(truth: &[bool], scores: &[f64]) -> Result<f64, EvalError> {
    let steps = Steps::new("roc_auc", truth, scores)?;
    if steps.negatives() == 0 {
        return Err(EvalError::OneClass { metric: "roc_auc", missing: "negative" });
    }
    // Twice the area in units of one pair, so that ties stay whole numbers.
    let (mut twice, mut above) = (0u128, 0u128);
    for step in &steps.groups {
        let (positives, negatives) = (u128::from(step.positives), u128::from(step.negatives));
        twice += negatives * (2 * above + positives);
        above += positives;
    }
    let pairs = u128::from(steps.positives()) * u128::from(steps.negatives());
    Ok(twice as f64 / (2 * pairs) as f64)
}

/// Average precision: the area under the precision–recall steps, without interpolation.
///
/// # Errors
/// Slices of different lengths, a score that is not finite, or no positive.
pub fn average_precision(truth: &[bool], scores: &[f64]) -> Result<f64, EvalError> {
    let steps = Steps::new("average_precision", truth, scores)?;
    Ok(steps.curve().map(|point| point.recall_step * point.precision).sum())
}

/// Area under the precision–recall points joined by lines; above [`average_precision`] as a
/// rule, and too high to compare models with.
///
/// # Errors
/// Slices of different lengths, a score that is not finite, or no positive.
pub fn pr_auc_trapezoid(truth: &[bool], scores: &[f64]) -> Result<f64, EvalError> {
    let steps = Steps::new("pr_auc_trapezoid", truth, scores)?;
    let mut before = 1.0;
    let areas = steps.curve().map(|point| {
        let area = point.recall_step * (before + point.precision) / 2.0;
        before = point.precision;
        area
    });
    Ok(areas.sum())
}

pub(super) const RANGE: &str = "a number within 0 and 1";

pub(super) fn is_probability(value: f64) -> bool {
    // NaN is in no range.
    (0.0..=1.0).contains(&value)
}

pub(super) fn check_probabilities(
    test: &'static str,
    truth: &[bool],
    probability: &[f64],
) -> Result<(), EvalError> {
    check("probabilities", truth.len(), probability.len())?;
    if truth.is_empty() {
        return Err(EvalError::TooFew { test, needed: 1, found: 0 });
    }
    check_values("probability", RANGE, probability, is_probability)
}

fn loss(given: f64) -> f64 {
    -given.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

/// The samples of one score.
struct Step {
    positives: u64,
    negatives: u64,
}

/// One point of the precision–recall curve.
struct Point {
    recall_step: f64,
    precision: f64,
}

/// Samples grouped by score, best first, with at least one positive.
struct Steps {
    groups: Vec<Step>,
}

impl Steps {
    fn new(metric: &'static str, truth: &[bool], scores: &[f64]) -> Result<Self, EvalError> {
        check("scores", truth.len(), scores.len())?;
        check_finite("score", scores)?;
        if !truth.contains(&true) {
            return Err(EvalError::OneClass { metric, missing: "positive" });
        }
        let mut sorted: Vec<(f64, bool)> =
            scores.iter().copied().zip(truth.iter().copied()).collect();
        // 0.0 and -0.0 are one score, so the order is not `total_cmp`; there is no NaN here.
        sorted.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal));
        let groups = sorted.chunk_by(|a, b| a.0 == b.0).map(|group| {
            let positives = group.iter().filter(|(_, t)| *t).count() as u64;
            Step { positives, negatives: group.len() as u64 - positives }
        });
        Ok(Self { groups: groups.collect() })
    }

    fn positives(&self) -> u64 {
        self.groups.iter().map(|step| step.positives).sum()
    }

    fn negatives(&self) -> u64 {
        self.groups.iter().map(|step| step.negatives).sum()
    }

    fn curve(&self) -> impl Iterator<Item = Point> {
        let (mut right, mut shown) = (0, 0);
        let all = self.positives();
        self.groups.iter().map(move |step| {
            right += step.positives;
            shown += step.positives + step.negatives;
            Point {
                recall_step: step.positives as f64 / all as f64,
                precision: right as f64 / shown as f64,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [bool; 5] = [true, false, true, false, true];
    const SCORES: [f64; 5] = [0.9, 0.8, 0.5, 0.5, 0.1];

    #[test]
    fn areas_by_hand() {
        // Of six pairs: 0.9 beats both negatives; 0.5 loses to 0.8 and ties 0.5; 0.1 loses both.
        assert_eq!(roc_auc(&TRUTH, &SCORES), Ok(2.5 / 6.0));
        // Distinct scores: P 1 R 1/3; P 1/2; P 2/4 R 2/3; P 3/5 R 1.
        let ap = average_precision(&TRUTH, &SCORES).unwrap();
        assert!((ap - (1.0 + 0.5 + 0.6) / 3.0).abs() < 1e-15);
        let trapezoid = pr_auc_trapezoid(&TRUTH, &SCORES).unwrap();
        assert!((trapezoid - (1.0 + 0.5 + 0.55) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn signed_zeros_tie() {
        assert_eq!(roc_auc(&[true, false], &[-0.0, 0.0]), Ok(0.5));
    }

    #[test]
    fn losses_by_hand() {
        let got = log_loss(&[true, false], &[0.5, 0.75]).unwrap();
        assert!((got - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-15);
        assert_eq!(brier(&[true, false], &[0.5, 0.75]), Ok((0.25 + 0.5625) / 2.0));
        let certain = log_loss(&[true], &[0.0]).unwrap();
        assert!((certain - 52.0 * 2f64.ln()).abs() < 1e-12);
        let classes = log_loss_classes(&[2, 0], &[0.5, 0.25, 0.25, 0.5, 0.0, 0.5], 3).unwrap();
        assert!((classes - (4f64.ln() + 2f64.ln()) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn one_class_and_bad_numbers_are_named() {
        let told = |e: Result<f64, EvalError>| e.unwrap_err().to_string();
        assert_eq!(
            told(roc_auc(&[true], &[1.0])),
            "roc_auc is not defined without a negative sample"
        );
        assert!(told(roc_auc(&[], &[])).contains("without a positive"));
        assert!(told(average_precision(&[false], &[1.0])).contains("without a positive"));
        assert_eq!(average_precision(&[true, true], &[0.1, 0.2]), Ok(1.0));
        let nan = told(roc_auc(&[true, false], &[1.0, f64::NAN]));
        assert_eq!(nan, "score 1: expected a finite number, found NaN");
        let above = told(log_loss(&[true], &[1.5]));
        assert_eq!(above, "probability 0: expected a number within 0 and 1, found 1.5");
        assert!(told(brier(&[true], &[f64::NAN])).contains("found NaN"));
        assert!(told(log_loss(&[], &[])).contains("at least 1 values, found 0"));
        let sum = told(log_loss_classes(&[0], &[0.5, 0.4], 2));
        assert_eq!(sum, "sum of the probabilities of sample 0: expected 1, found 0.9");
        assert!(told(log_loss_classes(&[2], &[0.5, 0.5], 2)).contains("class 2 is out of range"));
        assert!(told(log_loss_classes(&[], &[], 0)).contains("found 0"));
    }
}
