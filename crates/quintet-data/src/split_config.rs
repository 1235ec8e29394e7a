//! How events are divided: one value a strategy.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// How events are divided. In TOML: `strategy = "random"`, and the other keys beside it.
///
/// Shares are of all events, or of each user's, as the strategy says; a rest stays in train.
/// Every `seed` stands instead of the seed of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SplitConfig {
    /// Every event by chance, whoever it is of.
    Random {
        /// Share of the events held out for choices.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of the events held out for the report.
        #[serde(default = "tenth")]
        test: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// Of every user a share by chance. Each share is rounded down to whole events, so that users
    /// with few events may have none held out.
    PerUser {
        /// Share of each user's events held out for choices.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of each user's events held out for the report.
        #[serde(default = "tenth")]
        test: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// The rule of MMRec (Zhou, "MMRec: Simplifying Multimodal Recommendation", 2023): each
    /// user's events are shuffled; of fewer than ten the last two are validation and test,
    /// otherwise a fifth is held out (rounded down), half of it (rounded down) for validation.
    /// Users with fewer than three events stay in train.
    Mmrec {
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// Of every user the last event is test, the one before it validation. Events at one time
    /// count by item position. Users with fewer than three events stay in train.
    LeaveOneOut {},
    /// Of every user the last share of the events, by time, then item position. Each share is
    /// rounded down to whole events.
    PerUserTemporal {
        /// Share of each user's events before the test events.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of each user's events at the end.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// Everybody's events before one moment are train, after a later moment test. Events at one
    /// time stay together, so shares are met as nearly as the times allow.
    Temporal {
        /// Share of the events between the two moments.
        #[serde(default = "tenth")]
        valid: f64,
        /// Share of the events after the second moment.
        #[serde(default = "tenth")]
        test: f64,
    },
    /// Cross-validation: the events are dealt by chance into `folds` of equal size (one more or
    /// less), of which number `fold` is test and a share of the others validation.
    KFold {
        /// How many folds.
        #[serde(default = "five")]
        folds: usize,
        /// Which one is test, counted from 0.
        fold: usize,
        /// Share of the events of the other folds held out for choices.
        #[serde(default = "tenth")]
        valid: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// As the source says: every event has a part of its own (see the column `part` of
    /// interactions).
    Predefined {},
    /// A share of the items is brand-new: all events of one half of them are test, of the other
    /// half validation. The events of the remaining items are divided as in
    /// [`SplitConfig::Random`].
    ColdItems {
        /// Share of the items that have events.
        share: f64,
        /// Share of the remaining items' events held out for choices.
        #[serde(default)]
        valid: f64,
        /// Share of the remaining items' events held out for the report.
        #[serde(default)]
        test: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
    /// A share of the users is brand-new: no event of theirs is in train. Of each, a share by
    /// chance is known history (at least one event stays held out), the rest is test for one
    /// half of them and validation for the other.
    ColdUsers {
        /// Share of the users that have events.
        share: f64,
        /// Share of a new user's events that is known when recommending.
        #[serde(default = "half")]
        history: f64,
        /// Instead of the seed of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
}

fn tenth() -> f64 {
    0.1
}

fn half() -> f64 {
    0.5
}

fn five() -> usize {
    5
}

impl Default for SplitConfig {
    /// By chance, a tenth each: it needs no timestamps.
    fn default() -> Self {
        SplitConfig::Random { valid: tenth(), test: tenth(), seed: None }
    }
}

impl SplitConfig {
    /// The name in configuration files.
    pub fn strategy(&self) -> &'static str {
        match self {
            SplitConfig::Random { .. } => "random",
            SplitConfig::PerUser { .. } => "per_user",
            SplitConfig::Mmrec { .. } => "mmrec",
            SplitConfig::LeaveOneOut {} => "leave_one_out",
            SplitConfig::PerUserTemporal { .. } => "per_user_temporal",
            SplitConfig::Temporal { .. } => "temporal",
            SplitConfig::KFold { .. } => "k_fold",
            SplitConfig::Predefined {} => "predefined",
            SplitConfig::ColdItems { .. } => "cold_items",
            SplitConfig::ColdUsers { .. } => "cold_users",
        }
    }

    /// Checks shares and folds.
    ///
    /// # Errors
    /// A share that is negative or not a number, shares that leave nothing for train, fewer than
    /// two folds, or a fold that there is not.
    pub fn validate(&self) -> Result<(), DataError> {
        match *self {
            SplitConfig::LeaveOneOut {}
            | SplitConfig::Predefined {}
            | SplitConfig::Mmrec { .. } => Ok(()),
            SplitConfig::Random { valid, test, .. }
            | SplitConfig::PerUser { valid, test, .. }
            | SplitConfig::PerUserTemporal { valid, test }
            | SplitConfig::Temporal { valid, test } => shares(valid, test),
            SplitConfig::ColdItems { share: part, valid, test, .. } => {
                share("share", part)?;
                shares(valid, test)
            }
            SplitConfig::ColdUsers { share: part, history, .. } => {
                share("share", part)?;
                share("history", history)
            }
            SplitConfig::KFold { folds, fold, valid, .. } => {
                share("valid", valid)?;
                let config = |key, expected: &str, found: usize| {
                    let (expected, found) = (expected.to_owned(), found.to_string());
                    Err(DataError::Config { key, expected, found })
                };
                match folds {
                    0 | 1 => config("folds", "2 or more", folds),
                    _ if fold >= folds => config("fold", "a number below `folds`", fold),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn shares(valid: f64, test: f64) -> Result<(), DataError> {
    share("valid", valid)?;
    share("test", test)?;
    share("valid + test", valid + test)
}

fn share(key: &'static str, share: f64) -> Result<(), DataError> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    let expected = "a share from 0 to below 1".into();
    Err(DataError::Config { key, expected, found: share.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_read_strictly() {
        let read = toml::from_str::<SplitConfig>;
        assert_eq!(read("strategy = 'leave_one_out'").unwrap(), SplitConfig::LeaveOneOut {});
        let temporal = read("strategy = 'temporal'\ntest = 0.2").unwrap();
        assert_eq!(temporal, SplitConfig::Temporal { valid: 0.1, test: 0.2 });
        let seeded = SplitConfig::Random { valid: 0.0, test: 0.5, seed: Some(3) };
        assert_eq!(read("strategy = 'random'\nvalid = 0.0\ntest = 0.5\nseed = 3").unwrap(), seeded);
        let fold = SplitConfig::KFold { folds: 5, fold: 2, valid: 0.1, seed: None };
        assert_eq!(read("strategy = 'k_fold'\nfold = 2").unwrap(), fold);
        assert!(read("strategy = 'leave_one_out'\ntest = 0.1").is_err());
        assert!(read("strategy = 'temporal'\ntets = 0.1").is_err());
        assert!(read("strategy = 'by_moon'").unwrap_err().to_string().contains("by_moon"));
    }

    #[test]
    fn shares_and_folds_out_of_range_are_named() {
        for (valid, test) in [(-0.1, 0.1), (0.5, 0.5), (f64::NAN, 0.1)] {
            let config = SplitConfig::Random { valid, test, seed: None };
            assert!(matches!(config.validate(), Err(DataError::Config { .. })));
        }
        let fold = |folds, fold| SplitConfig::KFold { folds, fold, valid: 0.1, seed: None };
        assert!(fold(2, 1).validate().is_ok());
        for config in [fold(1, 0), fold(3, 3)] {
            assert!(config.validate().unwrap_err().to_string().contains("fold"));
        }
        let cold = SplitConfig::ColdUsers { share: 0.2, history: 1.0, seed: None };
        assert!(cold.validate().unwrap_err().to_string().contains("history"));
    }
}
