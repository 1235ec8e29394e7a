//! Decision fusion: one list of the lists of several models, on plain numbers.

mod linear;
mod normalise;
mod per_user;
mod rank;
mod stack;
mod weighted;
mod weights;

use quintet_core::{ModelState, Named, Registry, RegistryError, SeedStream};
use quintet_tensor::FitError;
use serde_json::Value;

pub use linear::{LinearFit, fit_logistic, fit_ridge};
pub use normalise::{Normalise, Platt};
pub use per_user::PerUserWeights;
pub use rank::{
    Borda, Condorcet, CondorcetParams, Majority, MajorityParams, RankParams, Rrf, RrfParams,
};
pub use stack::{Learner, Stack, StackParams};
pub use weighted::{CombMnz, LearnWeights, Weighted, WeightedSumParams};
pub use weights::{best_weights, held_out_gain};

/// The scores that one model gives to every item; `None` where an item is not in its list.
pub type ScoreRow = Vec<Option<f32>>;

/// What is known of the items beside their scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ItemFacts {
    /// Training users of each item, `[n_items]`.
    pub counts: Vec<u32>,
    /// Whether the item has each modality, `[n_items][n_modalities]`.
    pub modalities: Vec<Vec<bool>>,
}

/// What several models say for one user.
#[derive(Debug, Clone, Copy)]
pub struct Ballot<'a> {
    /// One row a model, in the order of the models, all of one length.
    pub rows: &'a [ScoreRow],
    /// The user's position.
    pub user: usize,
    /// How many training interactions the user has.
    pub user_count: usize,
    /// The items.
    pub facts: &'a ItemFacts,
}

impl Ballot<'_> {
    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// Refuses another number of rows than `n_models`, rows of unequal lengths and scores that are
    /// not finite.
    pub(crate) fn check(&self, name: &str, n_models: usize) -> Result<(), FitError> {
        let data = |reason| Err(FitError::Data { model: title(name), reason });
        if self.rows.len() != n_models {
            return data(format!("{n_models} models were expected, found {}", self.rows.len()));
        }
        for (model, row) in self.rows.iter().enumerate() {
            if row.len() != self.n_items() {
                let (expected, found) = (self.n_items(), row.len());
                return data(format!("row {model} has {found} items, the first has {expected}"));
            }
            if let Some(item) = row.iter().position(|s| s.is_some_and(|s| !s.is_finite())) {
                let score = row[item].unwrap_or_default();
                return data(format!("model {model} gives item {item} the score {score}"));
            }
        }
        Ok(())
    }
}

/// What a combination learns from: out-of-fold rows of one user, and what was held out.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// The user's position.
    pub user: usize,
    /// How many training interactions the user has.
    pub user_count: usize,
    /// One row a model, of models that did not see what was held out; seen items are absent.
    pub rows: Vec<ScoreRow>,
    /// The held-out items, ascending.
    pub held: Vec<usize>,
}

/// From the rows of several models to one. Two methods are required; those of combinations that
/// learn are provided for all others.
pub trait DecisionFusion: Send + Sync {
    /// Registry name.
    fn name(&self) -> &str;

    /// One score an item, finite, higher is better; equal scores rank by the lower position. No
    /// item in no list scores above a listed one.
    ///
    /// # Errors
    /// The ballot has another number of models, rows of unequal lengths or a score that is not
    /// finite; or the combination must learn first.
    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError>;

    /// What each model adds to the score of `item`; by default its reciprocal rank.
    ///
    /// # Errors
    /// As [`DecisionFusion::fuse`].
    ///
    /// # Panics
    /// When `item` is out of range.
    fn addends(&self, ballot: &Ballot<'_>, item: usize) -> Result<Vec<f64>, FitError> {
        ballot.check(self.name(), ballot.rows.len())?;
        let of = |row: &ScoreRow| {
            rank::ranks(row, None)[item].map_or(0.0, |rank| 1.0 / (rank::KAPPA + rank as f64))
        };
        Ok(ballot.rows.iter().map(of).collect())
    }

    /// Whether [`DecisionFusion::learn`] must come before the first ballot.
    fn learns(&self) -> bool {
        false
    }

    /// Learns the combination from what was held out.
    ///
    /// # Errors
    /// There is nothing to learn from, or the numbers do not determine the combination.
    fn learn(
        &mut self,
        _lessons: &[Lesson],
        _facts: &ItemFacts,
        _seed: SeedStream,
    ) -> Result<(), FitError> {
        Ok(())
    }

    /// Adds what was learned to `state`, each array under `prefix`.
    fn save(&self, _prefix: &str, _state: &mut ModelState) {}

    /// Reads back what [`DecisionFusion::save`] wrote.
    ///
    /// # Errors
    /// An array is missing or has another shape.
    fn load(&mut self, _prefix: &str, _state: &ModelState) -> Result<(), FitError> {
        Ok(())
    }
}

/// Builds a combination of so many models from its parameters; `null` means the defaults.
pub type BuildDecision = fn(&Value, usize) -> Result<Box<dyn DecisionFusion>, FitError>;

/// One registered combination.
#[derive(Debug, Clone, Copy)]
pub struct DecisionEntry {
    /// Registry name.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Builds it.
    pub build: BuildDecision,
}

impl Named for DecisionEntry {
    fn name(&self) -> &str {
        self.name
    }
}

/// A registry with all combinations.
///
/// # Errors
/// Two have the same name.
pub fn decisions() -> Result<Registry<DecisionEntry>, RegistryError> {
    let mut r = Registry::new("decision fusion");
    r.add(rank::BORDA)?;
    r.add(weighted::COMB_MNZ)?;
    r.add(rank::CONDORCET)?;
    r.add(rank::MAJORITY)?;
    r.add(rank::RRF)?;
    r.add(stack::ENTRY)?;
    r.add(weighted::ENTRY)?;
    Ok(r)
}

/// The name that errors use, such as `rrf decision fusion`.
pub(crate) fn title(name: &str) -> String {
    format!("{name} decision fusion")
}

pub(crate) fn config(name: &str, reason: String) -> FitError {
    FitError::Config { model: title(name), reason }
}

/// Weights as given, or equal ones that sum to 1.
pub(crate) fn checked_weights(
    name: &str,
    given: Option<&[f64]>,
    n_models: usize,
) -> Result<Vec<f64>, FitError> {
    if n_models == 0 {
        return Err(config(name, "there are no models, at least one is needed".into()));
    }
    let Some(given) = given else { return Ok(vec![1.0 / n_models as f64; n_models]) };
    let usable = given.iter().all(|w| w.is_finite() && *w >= 0.0) && given.iter().any(|w| *w > 0.0);
    if given.len() != n_models || !usable {
        let reason =
            format!("weights must be {n_models} numbers of at least 0, not all 0, found {given:?}");
        return Err(config(name, reason));
    }
    Ok(given.to_vec())
}
