//! The confusion matrix, and accuracy, precision, recall and F1 from it.
//!
//! Of a class with `tp` true positives, `fp` false positives and `fn` false negatives:
//! `precision = tp / (tp + fp)`, `recall = tp / (tp + fn)`, `F1 = 2 tp / (2 tp + fp + fn)`; 0
//! where the denominator is 0, as in scikit-learn with `zero_division = 0`.
//!
//! Source: van Rijsbergen, "Information Retrieval", 2nd ed., 1979, ch. 7; averages as Sokolova
//! and Lapalme, "A systematic analysis of performance measures for classification tasks",
//! Information Processing and Management 45(4), 2009.
//! Cost: O(samples + classes²).

use serde::Serialize;

use crate::EvalError;
use crate::rank::check;
use crate::user_values::check_finite;

/// How the scores of classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Average {
    /// Counts are summed over classes first. With one class a sample all three scores are the
    /// accuracy.
    Micro,
    /// The plain mean over the classes that occur in the truth or in the predictions.
    Macro,
    /// The mean over classes, weighted by how often each is true.
    Weighted,
}

/// Precision, recall and F1 of one class, or an average of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassScores {
    /// Share of the predictions of this class that are right.
    pub precision: f64,
    /// Share of the samples of this class that are found.
    pub recall: f64,
    /// Harmonic mean of both. An average is the mean of the F1 of the classes.
    pub f1: f64,
    /// How many samples are of this class; all of them for an average.
    pub support: u64,
}

/// How often each class was taken for each: `[n_classes, n_classes]`, true class by row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    n_classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts the pairs of a true and a predicted class, both below `n_classes`.
    ///
    /// # Errors
    /// Slices of different lengths, no sample, or a class that is out of range.
    pub fn new(truth: &[usize], predicted: &[usize], n_classes: usize) -> Result<Self, EvalError> {
        check("predicted classes", truth.len(), predicted.len())?;
        if truth.is_empty() {
            return Err(EvalError::TooFew { test: "a confusion matrix", needed: 1, found: 0 });
        }
        if let Some(&index) = truth.iter().chain(predicted).find(|class| **class >= n_classes) {
            return Err(EvalError::OutOfRange { what: "class", index, len: n_classes });
        }
        let mut counts = vec![0; n_classes * n_classes];
        for (t, p) in truth.iter().zip(predicted) {
            counts[t * n_classes + p] += 1;
        }
        Ok(Self { n_classes, counts })
    }

    /// Two classes: a score of at least `threshold` predicts class 1.
    ///
    /// # Errors
    /// Slices of different lengths, no sample, a score or a threshold that is not finite.
    pub fn of_scores(truth: &[bool], scores: &[f64], threshold: f64) -> Result<Self, EvalError> {
        check_finite("score", scores)?;
        check_finite("threshold", &[threshold])?;
        let truth: Vec<usize> = truth.iter().copied().map(usize::from).collect();
        let predicted: Vec<usize> = scores.iter().map(|s| usize::from(*s >= threshold)).collect();
        Self::new(&truth, &predicted, 2)
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of samples; at least 1.
    pub fn n_samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many samples of class `truth` were taken for class `predicted`.
    ///
    /// # Panics
    /// When a class is out of range.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        assert!(truth < self.n_classes && predicted < self.n_classes, "{truth}, {predicted}");
        self.counts[truth * self.n_classes + predicted]
    }

    /// Share of the samples whose class was predicted.
    pub fn accuracy(&self) -> f64 {
        ratio(self.n_right(), self.n_samples())
    }

    /// The scores of one class; for a binary task those of class 1 are usual.
    ///
    /// # Panics
    /// When the class is out of range.
    pub fn class(&self, class: usize) -> ClassScores {
        let right = self.count(class, class);
        let (support, predicted) = (self.support(class), self.predicted(class));
        ClassScores {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
            support,
        }
    }

    /// One score for all classes.
    pub fn average(&self, average: Average) -> ClassScores {
        let support = self.n_samples();
        if average == Average::Micro {
            // Every sample has one true and one predicted class, so both sums of errors are equal.
            let all = self.accuracy();
            return ClassScores { precision: all, recall: all, f1: all, support };
        }
        let mut sum = ClassScores { precision: 0.0, recall: 0.0, f1: 0.0, support };
        let mut weights = 0.0;
        for class in 0..self.n_classes {
            let scores = self.class(class);
            let weight = match average {
                Average::Weighted => scores.support as f64,
                _ if scores.support + self.predicted(class) > 0 => 1.0,
                _ => 0.0,
            };
            weights += weight;
            sum.precision += weight * scores.precision;
            sum.recall += weight * scores.recall;
            sum.f1 += weight * scores.f1;
        }
        sum.precision /= weights;
        sum.recall /= weights;
        sum.f1 /= weights;
        sum
    }

    fn n_right(&self) -> u64 {
        (0..self.n_classes).map(|class| self.count(class, class)).sum()
    }

    fn support(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|predicted| self.count(class, predicted)).sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|truth| self.count(truth, class)).sum()
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```text
    ///         predicted 0  1  2  3
    /// true 0            2  1  0  0
    ///      1            0  1  0  0
    ///      2            1  1  0  0     class 3 never occurs
    /// ```
    fn table() -> Confusion {
        Confusion::new(&[0, 0, 0, 1, 2, 2], &[0, 0, 1, 1, 0, 1], 4).unwrap()
    }

    #[test]
    fn classes_by_hand() {
        let got = table();
        assert_eq!((got.n_samples(), got.accuracy()), (6, 0.5));
        let zero = got.class(0);
        assert_eq!((zero.precision, zero.recall, zero.support), (2.0 / 3.0, 2.0 / 3.0, 3));
        let one = got.class(1);
        assert_eq!((one.precision, one.recall, one.f1), (1.0 / 3.0, 1.0, 0.5));
        let never = got.class(2);
        assert_eq!((never.precision, never.recall, never.f1), (0.0, 0.0, 0.0));
    }

    #[test]
    fn averages_by_hand() {
        let got = table();
        let mean = got.average(Average::Macro);
        // Three classes occur, the fourth does not count.
        assert!((mean.f1 - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-15);
        assert!((mean.recall - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-15);
        let weighted = got.average(Average::Weighted);
        assert!((weighted.precision - (3.0 * 2.0 / 3.0 + 1.0 / 3.0) / 6.0).abs() < 1e-15);
        assert_eq!(got.average(Average::Micro).f1, 0.5);
    }

    #[test]
    fn a_threshold_makes_two_classes() {
        let got = Confusion::of_scores(&[true, false, true], &[0.5, 0.5, 0.4], 0.5).unwrap();
        assert_eq!((got.count(1, 1), got.count(0, 1), got.count(1, 0)), (1, 1, 1));
    }

    #[test]
    fn bad_input_is_named() {
        let told = |e: Result<Confusion, EvalError>| e.unwrap_err().to_string();
        assert_eq!(told(Confusion::new(&[0], &[2], 2)), "class 2 is out of range: there are 2");
        assert!(told(Confusion::new(&[], &[], 2)).contains("at least 1 values, found 0"));
        assert!(told(Confusion::new(&[0], &[], 2)).contains("expected 1, found 0"));
        let nan = told(Confusion::of_scores(&[true], &[f64::NAN], 0.5));
        assert_eq!(nan, "score 0: expected a finite number, found NaN");
    }
}
