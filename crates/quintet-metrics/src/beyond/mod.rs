//! What lists are worth beyond hits: how much of the catalogue they show, how popular, alike, new
//! and surprising their items are, and how they treat groups of items.
//!
//! [`BeyondAccuracy`] measures all of it at once from a [`ListContext`]. What needs the lists alone
//! is also in the metric registry: `coverage`, `user_coverage`, `gini_complement`, `entropy` and
//! `personalisation`.

mod concentration;
mod context;
mod diversity;
mod lists;
mod measure;
mod novelty;
mod personalisation;
mod popularity;
mod serendipity;
mod user_coverage;

pub(crate) use concentration::{ENTROPY, GINI_COMPLEMENT};
pub use concentration::{gini, shannon_entropy};
pub use context::{ListContext, TailRule};
pub use lists::UserLists;
pub use measure::{BeyondAccuracy, BeyondReport};
pub(crate) use personalisation::PERSONALISATION;
pub(crate) use user_coverage::USER_COVERAGE;

use quintet_core::{ItemIdx, UserIdx};

/// What a per-user metric is computed from: the user and the first `k` items of the list.
type Value<'a> = Box<dyn Fn(UserIdx, &[ItemIdx]) -> Option<f64> + Send + Sync + 'a>;

/// A per-user metric that is ready to run: its name without the cutoff, and its function, which
/// gives `None` where it is not defined.
pub(crate) struct Column<'a> {
    name: String,
    value: Value<'a>,
}

impl<'a> Column<'a> {
    pub(crate) fn new(
        name: impl Into<String>,
        value: impl Fn(UserIdx, &[ItemIdx]) -> Option<f64> + Send + Sync + 'a,
    ) -> Self {
        Self { name: name.into(), value: Box::new(value) }
    }
}

/// The mean of `value` over the items of a list; `None` for an empty list.
fn mean_over(list: &[ItemIdx], value: impl Fn(ItemIdx) -> f64) -> Option<f64> {
    (!list.is_empty()).then(|| list.iter().map(|i| value(*i)).sum::<f64>() / list.len() as f64)
}
