//! What is known around the lists: history, held-out items, features, categories, groups.

use quintet_core::{FeatureSet, Interactions, SparseFeatures};
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::fairness::Groups;
use crate::rank::check;

/// Which items are the long tail; the others are the short head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailRule {
    /// This share of the items, the most popular ones, is the head (rounded up).
    HeadItems(f64),
    /// The most popular items that together have this share of the interactions are the head.
    HeadInteractions(f64),
}

impl Default for TailRule {
    /// A fifth of the items is the head.
    fn default() -> Self {
        TailRule::HeadItems(0.2)
    }
}

/// What [`super::BeyondAccuracy`] measures lists against.
///
/// Only the history is necessary; what else is given adds metrics.
#[derive(Debug, Clone)]
pub struct ListContext<'a> {
    pub(super) history: &'a Interactions,
    pub(super) truth: Option<&'a Interactions>,
    pub(super) candidates: Option<&'a [bool]>,
    pub(super) features: Option<&'a FeatureSet>,
    pub(super) categories: Option<&'a SparseFeatures>,
    pub(super) item_groups: Vec<(String, &'a Groups)>,
    pub(super) tail: TailRule,
}

impl<'a> ListContext<'a> {
    /// `history` is what users did before, `[n_users, n_items]`: it says how popular items are,
    /// what each user knows and likes, and what lists leave out.
    pub fn new(history: &'a Interactions) -> Self {
        Self {
            history,
            truth: None,
            candidates: None,
            features: None,
            categories: None,
            item_groups: Vec::new(),
            tail: TailRule::default(),
        }
    }

    /// The held-out items, `[n_users, n_items]`: adds what asks for relevance.
    pub fn with_truth(mut self, truth: &'a Interactions) -> Self {
        self.truth = Some(truth);
        self
    }

    /// The items that take part in the ranking, `[n_items]`; all without it.
    pub fn with_candidates(mut self, candidates: &'a [bool]) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// Item features: adds intra-list diversity by each modality.
    pub fn with_features(mut self, features: &'a FeatureSet) -> Self {
        self.features = Some(features);
        self
    }

    /// Categories, one row an item; a stored cell means that the item is of that category,
    /// whatever its value. Adds diversity, fairness and calibration by category.
    pub fn with_categories(mut self, categories: &'a SparseFeatures) -> Self {
        self.categories = Some(categories);
        self
    }

    /// Groups of items, one row an item: adds fairness and calibration under this name.
    pub fn with_item_groups(mut self, name: impl Into<String>, groups: &'a Groups) -> Self {
        self.item_groups.push((name.into(), groups));
        self
    }

    /// Which items are the long tail.
    pub fn with_tail(mut self, tail: TailRule) -> Self {
        self.tail = tail;
        self
    }

    /// Checks that all tables are about the same users and items.
    pub(super) fn validate(&self) -> Result<(), EvalError> {
        let (n_users, n_items) = (self.history.n_users(), self.history.n_items());
        if let Some(truth) = self.truth {
            check("users of the held-out data", n_users, truth.n_users())?;
            check("items of the held-out data", n_items, truth.n_items())?;
        }
        if let Some(candidates) = self.candidates {
            check("items of the candidate mask", n_items, candidates.len())?;
        }
        if let Some(features) = self.features {
            check("items of the features", n_items, features.n_items())?;
        }
        if let Some(categories) = self.categories {
            check("items of the categories", n_items, categories.n_rows())?;
        }
        for (name, groups) in &self.item_groups {
            check(format!("items of the groups {name}"), n_items, groups.n_rows())?;
        }
        let names = self.item_groups.iter().map(|(name, _)| name.as_str());
        let builtin = ["popularity"].into_iter().chain(self.categories.map(|_| "category"));
        let all: Vec<&str> = builtin.chain(names).collect();
        if let Some((_, name)) = all.iter().enumerate().find(|(i, n)| all[..*i].contains(n)) {
            let (setting, expected) = ("item groups", "names that are given once");
            return Err(EvalError::Setting { setting, expected, found: format!("{name} twice") });
        }
        if self.n_candidates() == 0 {
            let (setting, expected) = ("candidates", "at least one item");
            return Err(EvalError::Setting { setting, expected, found: "none".into() });
        }
        let (TailRule::HeadItems(share) | TailRule::HeadInteractions(share)) = self.tail;
        if !(0.0..=1.0).contains(&share) {
            let (setting, expected) = ("tail", "a share within 0 and 1");
            return Err(EvalError::Setting { setting, expected, found: share.to_string() });
        }
        Ok(())
    }

    /// Whether the item takes part in the ranking.
    pub(super) fn takes_part(&self, item: usize) -> bool {
        self.candidates.is_none_or(|c| c[item])
    }

    pub(super) fn n_candidates(&self) -> usize {
        let all = self.history.n_items();
        self.candidates.map_or(all, |c| c.iter().filter(|c| **c).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_other_sizes_and_bad_settings_are_named() {
        let history = Interactions::from_pairs(2, 3, [(0, 0)]).unwrap();
        let told = |context: ListContext<'_>| context.validate().unwrap_err().to_string();
        let context = || ListContext::new(&history);
        assert_eq!(context().validate(), Ok(()));
        let wide = Interactions::from_pairs(2, 4, [(0, 0)]).unwrap();
        assert_eq!(
            told(context().with_truth(&wide)),
            "items of the held-out data: expected 3, found 4"
        );
        assert!(told(context().with_candidates(&[true])).contains("candidate mask"));
        assert!(told(context().with_candidates(&[false; 3])).starts_with("candidates: expected"));
        assert!(
            told(context().with_features(&FeatureSet::new(2))).contains("items of the features")
        );
        let categories = SparseFeatures::new(4, vec![], []).unwrap();
        assert!(told(context().with_categories(&categories)).contains("items of the categories"));
        assert!(told(context().with_tail(TailRule::HeadItems(f64::NAN))).contains("found NaN"));
        let groups = Groups::from_labels(vec!["a".into()], &[Some(0); 3]).unwrap();
        let twice = context().with_item_groups("popularity", &groups);
        assert!(told(twice).contains("popularity twice"));
    }
}
