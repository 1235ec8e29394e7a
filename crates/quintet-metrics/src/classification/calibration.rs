//! Whether probabilities mean what they say: the reliability table, ECE and MCE.
//!
//! Predictions are put into bins; in bin `b` of `n_b` samples, `conf(b)` is the mean prediction
//! and `acc(b)` the share of positives. `ECE = Σ n_b / n · |acc(b) - conf(b)|`, and MCE is the
//! largest `|acc(b) - conf(b)|` of a bin that is not empty.
//!
//! A bin is open below and closed above, `(lower, upper]`; the first one also holds its lower end.
//! Equal width cuts `[0, 1]` evenly, equal mass at the quantiles of the predictions (linear
//! between neighbours); both are the bins of scikit-learn's `calibration_curve`. Equal
//! predictions are always in one bin, so with ties bins of equal mass may differ in size.
//! Differences: edges are computed as `i / bins` and quantile places in whole numbers, where
//! NumPy rounds twice, so a prediction on an edge is always on the lower side of it.
//!
//! Paper: Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
//! Binning", AAAI 2015; for many classes, Guo et al., "On Calibration of Modern Neural Networks",
//! ICML 2017: pass the probability of the predicted class, and whether it was right.
//! Cost: O(n log bins), for equal mass O(n log n).

use serde::{Deserialize, Serialize};

use super::scores::check_probabilities;
use crate::EvalError;

/// How predictions are put into bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// So many bins that are equally wide.
    EqualWidth(usize),
    /// So many bins that hold equally many predictions, as far as ties allow.
    EqualMass(usize),
}

/// One row of the reliability table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lower end, outside the bin (but for the first).
    pub lower: f64,
    /// Upper end, inside the bin.
    pub upper: f64,
    /// How many predictions are in it.
    pub n: usize,
    /// Their mean; `None` in an empty bin.
    pub predicted: Option<f64>,
    /// The share of positives among them; `None` in an empty bin.
    pub observed: Option<f64>,
}

impl ReliabilityBin {
    /// How far prediction and truth are apart; `None` in an empty bin.
    pub fn gap(&self) -> Option<f64> {
        Some((self.observed? - self.predicted?).abs())
    }
}

/// The reliability table of some predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    bins: Vec<ReliabilityBin>,
    n: usize,
}

impl Reliability {
    /// Sorts the probabilities of `true` into bins.
    ///
    /// # Errors
    /// Slices of different lengths, no sample, a probability outside `[0, 1]`, or no bin.
    pub fn new(truth: &[bool], probability: &[f64], binning: Binning) -> Result<Self, EvalError> {
        check_probabilities("a reliability table", truth, probability)?;
        let edges = match binning {
            Binning::EqualWidth(0) | Binning::EqualMass(0) => {
                let (setting, expected) = ("bins", "at least 1");
                return Err(EvalError::Setting { setting, expected, found: "0".into() });
            }
            Binning::EqualWidth(n) => (0..=n).map(|i| i as f64 / n as f64).collect(),
            Binning::EqualMass(n) => quantile_edges(probability, n),
        };
        let n_bins = edges.len() - 1;
        let mut sums = vec![(0usize, 0usize, 0.0f64); n_bins];
        let inner = &edges[1..n_bins];
        for (&t, &p) in truth.iter().zip(probability) {
            let bin = &mut sums[inner.partition_point(|edge| *edge < p)];
            *bin = (bin.0 + 1, bin.1 + usize::from(t), bin.2 + p);
        }
        let bins = sums.into_iter().enumerate().map(|(b, (n, positives, sum))| ReliabilityBin {
            lower: edges[b],
            upper: edges[b + 1],
            n,
            predicted: (n > 0).then(|| sum / n as f64),
            observed: (n > 0).then(|| positives as f64 / n as f64),
        });
        Ok(Self { bins: bins.collect(), n: truth.len() })
    }

    /// Every bin, empty ones included, from low to high predictions.
    pub fn bins(&self) -> &[ReliabilityBin] {
        &self.bins
    }

    /// Expected calibration error, in `[0, 1]`; 0 is best.
    pub fn ece(&self) -> f64 {
        let gaps = self.bins.iter().filter_map(|bin| Some(bin.n as f64 * bin.gap()?));
        gaps.sum::<f64>() / self.n as f64
    }

    /// Maximum calibration error, in `[0, 1]`; 0 is best.
    pub fn mce(&self) -> f64 {
        self.bins.iter().filter_map(ReliabilityBin::gap).fold(0.0, f64::max)
    }
}

/// The `n + 1` quantiles at `i / n`, linear between neighbours.
fn quantile_edges(values: &[f64], n: usize) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    (0..=n)
        .map(|i| {
            // Place i · last / n in whole numbers: a quantile that is a value is exactly it.
            let (below, rest) = (i * last / n, i * last % n);
            let above = (below + 1).min(last);
            sorted[below] + (sorted[above] - sorted[below]) * (rest as f64 / n as f64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_width_by_hand() {
        let truth = [false, true, true, true, false];
        let table = Reliability::new(&truth, &[0.0, 0.5, 0.25, 1.0, 0.75], Binning::EqualWidth(2));
        let table = table.unwrap();
        // (0, 0.5] with 0 itself: 0, 0.5, 0.25, two positives. (0.5, 1]: 1 and 0.75, one.
        let [low, high] = table.bins() else { panic!("{table:?}") };
        assert_eq!((low.n, low.predicted, low.observed), (3, Some(0.25), Some(2.0 / 3.0)));
        assert_eq!((high.n, high.predicted, high.observed), (2, Some(0.875), Some(0.5)));
        let (a, b) = (2.0 / 3.0 - 0.25, 0.375);
        assert!((table.ece() - (3.0 * a + 2.0 * b) / 5.0).abs() < 1e-15);
        assert_eq!(table.mce(), a);
    }

    #[test]
    fn equal_mass_by_hand_and_with_ties() {
        let table = Reliability::new(&[true; 4], &[0.1, 0.2, 0.3, 0.9], Binning::EqualMass(2));
        let table = table.unwrap();
        // The median lies between 0.2 and 0.3.
        assert_eq!(table.bins().iter().map(|b| b.n).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(table.bins()[1].lower, 0.25);
        let flat = Reliability::new(&[true, false], &[0.3; 2], Binning::EqualMass(3)).unwrap();
        assert_eq!(flat.bins().iter().map(|b| b.n).collect::<Vec<_>>(), [2, 0, 0]);
        assert!((flat.ece() - 0.2).abs() < 1e-15);
        assert_eq!(flat.bins()[2].gap(), None);
    }

    #[test]
    fn perfect_predictions_have_no_error() {
        let table = Reliability::new(&[true, false], &[1.0, 0.0], Binning::EqualWidth(10)).unwrap();
        assert_eq!((table.ece(), table.mce()), (0.0, 0.0));
    }

    #[test]
    fn bad_input_is_named() {
        let told = |e: Result<Reliability, EvalError>| e.unwrap_err().to_string();
        let none = told(Reliability::new(&[true], &[0.5], Binning::EqualMass(0)));
        assert_eq!(none, "bins: expected at least 1, found 0");
        let nan = told(Reliability::new(&[true], &[f64::NAN], Binning::EqualWidth(2)));
        assert!(nan.contains("probability 0"), "{nan}");
        assert!(Reliability::new(&[], &[], Binning::EqualWidth(2)).is_err());
    }
}
