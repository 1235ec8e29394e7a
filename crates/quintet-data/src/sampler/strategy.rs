//! How negatives are found: a value that run files hold.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// The most negatives or candidates of one pair.
pub(super) const MAX_COLUMNS: usize = 4096;

/// How the negatives of a pair are found. In TOML: `strategy = "uniform"`, and the other keys
/// beside it. A negative is always an item that occurs in training and that the user does not
/// have there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum NegativeStrategy {
    /// Every item with the same probability (Rendle et al., "BPR: Bayesian Personalized Ranking
    /// from Implicit Feedback", UAI 2009).
    Uniform {},
    /// In proportion to the number of training pairs of an item to the power `alpha` (Mikolov et
    /// al., "Distributed Representations of Words and Phrases", NeurIPS 2013, section 2.2).
    Popularity {
        /// 0 is uniform, 1 proportional to the count. The default, 0.75, is the paper's.
        #[serde(default = "three_quarters")]
        alpha: f64,
    },
    /// The other positives of the batch, with the correction for their frequency (Yi et al.,
    /// "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys
    /// 2019). Batches hold no negatives; [`crate::TripletSampler::in_batch`] finds them.
    InBatch {},
    /// The one with the highest score of some candidates (Zhang et al., "Optimizing Top-N
    /// Collaborative Filtering via Dynamic Negative Item Sampling", SIGIR 2013). Batches hold
    /// the candidates; [`crate::TripletSampler::pick_hardest`] keeps the hardest.
    Dynamic {
        /// Candidates for each negative, 1 to 4096.
        candidates: usize,
        /// Candidates are drawn as in [`NegativeStrategy::Popularity`]; 0, uniform, by default.
        #[serde(default)]
        alpha: f64,
    },
    /// The first of uniform draws whose score comes within the margin of the positive's, weighted
    /// by the rank that the number of draws suggests (Weston, Bengio and Usunier, "WSABIE:
    /// Scaling Up to Large Vocabulary Image Annotation", IJCAI 2011). Batches hold no negatives;
    /// [`crate::TripletSampler::warp`] finds them.
    Warp {
        /// Draws until the pair counts as learned, at least 1.
        max_trials: u32,
        /// What the positive's score must lead by. The default, 1, is the paper's.
        #[serde(default = "one")]
        margin: f32,
    },
}

fn three_quarters() -> f64 {
    0.75
}

fn one() -> f32 {
    1.0
}

impl Default for NegativeStrategy {
    fn default() -> Self {
        Self::Uniform {}
    }
}

impl NegativeStrategy {
    /// The name in configuration files.
    pub fn strategy(&self) -> &'static str {
        match self {
            Self::Uniform {} => "uniform",
            Self::Popularity { .. } => "popularity",
            Self::InBatch {} => "in_batch",
            Self::Dynamic { .. } => "dynamic",
            Self::Warp { .. } => "warp",
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// A number out of its range, by key.
    pub fn validate(&self) -> Result<(), DataError> {
        let exponent = |alpha: f64| {
            let good = alpha.is_finite() && alpha >= 0.0;
            check(good, "alpha", "a finite number of at least 0", alpha)
        };
        match *self {
            Self::Uniform {} | Self::InBatch {} => Ok(()),
            Self::Popularity { alpha } => exponent(alpha),
            Self::Dynamic { candidates, alpha } => {
                exponent(alpha)?;
                let good = (1..=MAX_COLUMNS).contains(&candidates);
                check(good, "candidates", "1 to 4096", candidates)
            }
            Self::Warp { max_trials, margin } => {
                check(max_trials > 0, "max_trials", "at least 1", max_trials)?;
                let good = margin.is_finite() && margin >= 0.0;
                check(good, "margin", "a finite number of at least 0", margin)
            }
        }
    }

    /// Checks the numbers together with the number of negatives of a pair, and gives the number
    /// of items that a batch holds for each pair.
    pub(super) fn columns(&self, n_negatives: usize) -> Result<usize, DataError> {
        self.validate()?;
        let (each, most, allowed) = match *self {
            Self::Uniform {} | Self::Popularity { .. } => (1, MAX_COLUMNS, "1 to 4096".to_owned()),
            Self::Dynamic { candidates, .. } => {
                let most = MAX_COLUMNS / candidates;
                (candidates, most, format!("1 to {most} (4096 candidates a pair)"))
            }
            Self::InBatch {} | Self::Warp { .. } => {
                (0, 1, format!("1 for the strategy {:?}", self.strategy()))
            }
        };
        check((1..=most).contains(&n_negatives), "n_negatives", &allowed, n_negatives)?;
        Ok(each * n_negatives)
    }
}

fn check(
    good: bool,
    key: &'static str,
    expected: &str,
    found: impl ToString,
) -> Result<(), DataError> {
    if good {
        return Ok(());
    }
    Err(DataError::Config { key, expected: expected.to_owned(), found: found.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_strategies_and_nothing_else() {
        let read = |text: &str| toml::from_str::<NegativeStrategy>(text);
        assert_eq!(read("strategy = 'uniform'").unwrap(), NegativeStrategy::default());
        let popularity = NegativeStrategy::Popularity { alpha: 0.75 };
        assert_eq!(read("strategy = 'popularity'").unwrap(), popularity);
        assert_eq!(read("strategy = 'in_batch'").unwrap(), NegativeStrategy::InBatch {});
        let dynamic = NegativeStrategy::Dynamic { candidates: 5, alpha: 0.0 };
        assert_eq!(read("strategy = 'dynamic'\ncandidates = 5").unwrap(), dynamic);
        let warp = NegativeStrategy::Warp { max_trials: 10, margin: 1.0 };
        assert_eq!(read("strategy = 'warp'\nmax_trials = 10").unwrap(), warp);
        for wrong in [
            "strategy = 'uniform'\nalpha = 1.0",
            "strategy = 'Uniform'",
            "strategy = 'dynamic'",
            "strategy = 'warp'\nmax_trials = -1",
            "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for strategy in [popularity, NegativeStrategy::InBatch {}, dynamic, warp] {
            let text = toml::to_string(&strategy).unwrap();
            assert!(text.contains(strategy.strategy()), "{text}");
            assert_eq!(read(&text).unwrap(), strategy);
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let error = |strategy: NegativeStrategy| strategy.validate().unwrap_err().to_string();
        let alpha = error(NegativeStrategy::Popularity { alpha: -1.0 });
        assert_eq!(alpha, "alpha is -1; expected a finite number of at least 0");
        assert!(error(NegativeStrategy::Popularity { alpha: f64::NAN }).contains("NaN"));
        let dynamic = |candidates, alpha| NegativeStrategy::Dynamic { candidates, alpha };
        assert_eq!(error(dynamic(0, 0.0)), "candidates is 0; expected 1 to 4096");
        assert!(error(dynamic(4097, 0.0)).contains("4097"));
        assert!(error(dynamic(1, f64::INFINITY)).starts_with("alpha"));
        let warp = |max_trials, margin| NegativeStrategy::Warp { max_trials, margin };
        assert!(error(warp(0, 1.0)).starts_with("max_trials is 0"));
        assert!(error(warp(1, f32::NAN)).starts_with("margin is NaN"));
    }

    #[test]
    fn the_number_of_negatives_is_checked_with_the_strategy() {
        let dynamic = NegativeStrategy::Dynamic { candidates: 1000, alpha: 0.0 };
        assert_eq!(dynamic.columns(4).unwrap(), 4000);
        let error = dynamic.columns(5).unwrap_err().to_string();
        assert_eq!(error, "n_negatives is 5; expected 1 to 4 (4096 candidates a pair)");
        assert_eq!(NegativeStrategy::Uniform {}.columns(3).unwrap(), 3);
        assert!(NegativeStrategy::Uniform {}.columns(0).is_err());
        assert_eq!(NegativeStrategy::InBatch {}.columns(1).unwrap(), 0);
        let error = NegativeStrategy::InBatch {}.columns(2).unwrap_err().to_string();
        assert_eq!(error, "n_negatives is 2; expected 1 for the strategy \"in_batch\"");
    }
}
