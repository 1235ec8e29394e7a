//! The errors of evaluation and of significance tests.

use quintet_core::{RegistryError, ScoreError};
use thiserror::Error;

/// What can go wrong while ranking, evaluating and comparing.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A metric name that nobody registered.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The model could not score, or gave a score that is not a number.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A setting is outside what is allowed.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// The setting, such as `cutoffs`.
        setting: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// Two tables are not about the same users or items.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What was measured.
        what: String,
        /// The size it must have.
        expected: usize,
        /// The size it has.
        found: usize,
    },
    /// A position outside its table.
    #[error("{what} {index} is out of range: there are {len}")]
    OutOfRange {
        /// What is indexed, such as `item`.
        what: &'static str,
        /// The position that came.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// A ranked list names an item more than once, so that a hit would count twice.
    #[error("the ranked list of user {user} names item {item} more than once")]
    RepeatedItem {
        /// The user.
        user: u32,
        /// The item.
        item: u32,
    },
    /// A held-out item is masked as seen: no model could ever find it.
    #[error(
        "item {item} of user {user} is held out for {phase} and masked as seen at the same time; \
         the two must not overlap"
    )]
    SeenTruth {
        /// `valid` or `test`.
        phase: &'static str,
        /// The user.
        user: u32,
        /// The item.
        item: u32,
    },
    /// Nobody has a held-out item that takes part: a mean over nobody is not a number.
    #[error("none of {n_users} users has a held-out {phase} item that takes part in the ranking")]
    NoUsers {
        /// `valid` or `test`.
        phase: &'static str,
        /// How many users were looked at.
        n_users: usize,
    },
    /// A metric needs the rank of every held-out item, which given lists do not have.
    #[error(
        "metric {metric} needs the rank of every held-out item among all items, and a list ends \
         before; evaluate the model instead of its lists"
    )]
    NeedsScores {
        /// The metric.
        metric: String,
    },
    /// A held-out value that a graded metric cannot take as a grade.
    #[error(
        "item {item} of user {user} is held out with the value {value}; graded metrics take \
         grades from 0 to {ceiling}"
    )]
    Grade {
        /// The user.
        user: u32,
        /// The item.
        item: u32,
        /// The value.
        value: f32,
        /// The largest grade of the scale.
        ceiling: f32,
    },
    /// A metric gave NaN or infinity.
    #[error("metric {metric} gave {value}; only finite numbers are allowed")]
    MetricNotFinite {
        /// The metric with its cutoff, such as `ndcg@10`, and the user if it is per user.
        metric: String,
        /// The number.
        value: f64,
    },
    /// An evaluation does not hold this metric.
    #[error("the evaluation holds no {key:?}; it holds: {known}")]
    UnknownKey {
        /// The key that came.
        key: String,
        /// The keys that are there.
        known: String,
    },
    /// A number to resample or to test is NaN or infinite.
    #[error("value {index} is {value}; only finite numbers can be compared")]
    ValueNotFinite {
        /// Its position.
        index: usize,
        /// The number.
        value: f64,
    },
    /// Too few numbers for the test.
    #[error("{test} needs at least {needed} values, found {found}")]
    TooFew {
        /// The test.
        test: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many came.
        found: usize,
    },
    /// Two evaluations are not over the same users, so they cannot be paired.
    #[error("the evaluations differ at position {position}: users {left} and {right} are no pair")]
    Unpaired {
        /// The first position that differs.
        position: usize,
        /// The user of the first evaluation.
        left: u32,
        /// The user of the second evaluation.
        right: u32,
    },
    /// A number is outside what is allowed.
    #[error("{what} {index}: expected {expected}, found {value}")]
    Value {
        /// What it is, such as `probability`.
        what: &'static str,
        /// Its position.
        index: usize,
        /// What is allowed.
        expected: &'static str,
        /// The number.
        value: f64,
    },
    /// A metric that compares two classes got one.
    #[error("{metric} is not defined without a {missing} sample")]
    OneClass {
        /// The metric.
        metric: &'static str,
        /// `positive` or `negative`.
        missing: &'static str,
    },
    /// A list names an item that cannot be ranked.
    #[error("the list of user {user} names item {item}, which takes no part in the ranking")]
    NoCandidate {
        /// The user.
        user: u32,
        /// The item.
        item: u32,
    },
}
