//! Folds of interactions for cross-validation of rankings.
//!
//! - K folds: each user's interactions are shuffled and dealt one after the other to the folds, so
//!   that every fold has as many of everybody, give or take one. Fold `f` is held out once.
//! - Leave one out: each user's interactions are shuffled; in round `r` the `r`-th one of everybody
//!   who has so many is held out. As many rounds as the longest history has items are the whole
//!   of it; fewer are a sample.
//!
//! Paper: Stone, "Cross-Validatory Choice and Assessment of Statistical Predictions", Journal of
//! the Royal Statistical Society B 36, 1974.

use quintet_core::{Interactions, SeedStream, UserIdx};
use quintet_data::Part;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// How interactions are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Folding {
    /// So many folds, each held out once.
    KFold(usize),
    /// So many rounds with one interaction of each user held out.
    LeaveOneOut(usize),
}

impl Folding {
    /// How many folds or rounds.
    pub fn count(self) -> usize {
        match self {
            Folding::KFold(n) | Folding::LeaveOneOut(n) => n,
        }
    }

    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Folding::KFold(_) => "k folds",
            Folding::LeaveOneOut(_) => "leave one out",
        }
    }
}

/// Interactions with the fold of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    folding: Folding,
    /// Of each pair, by user, then item: its place in the dealing, and how many its user has.
    places: Vec<(u32, u32)>,
    /// Of each pair: whether it is validation in those folds that do not hold it out.
    valid: Vec<bool>,
}

/// Users with fewer have nothing left to learn from when one item is held out for choices and
/// one for the report.
const FEWEST: usize = 3;

impl Folds {
    /// Deals out the interactions. `valid` is the share of what is not held out that choices
    /// look at; in leave-one-out it is the item of each user that is held out next.
    ///
    /// # Errors
    /// Fewer than two folds, no round, or a share that is none.
    pub fn deal(
        interactions: &Interactions,
        folding: Folding,
        valid: f64,
        seed: SeedStream,
    ) -> Result<Self, TrainError> {
        let least = if matches!(folding, Folding::KFold(_)) { 2 } else { 1 };
        if folding.count() < least {
            return Err(TrainError::Search {
                key: folding.as_str().to_owned(),
                expected: format!("{least} or more"),
                found: folding.count().to_string(),
            });
        }
        if !(0.0..1.0).contains(&valid) {
            return Err(TrainError::Search {
                key: "valid".to_owned(),
                expected: "a share from 0 to below 1".to_owned(),
                found: valid.to_string(),
            });
        }
        let mut rng = seed.rng("folds", 0);
        let mut places = Vec::with_capacity(interactions.nnz());
        let mut dealt = 0;
        for user in 0..interactions.n_users() {
            let n = interactions.items(UserIdx::new(user)).len();
            let mut order: Vec<u32> = (0..n as u32).collect();
            order.shuffle(&mut rng);
            // Counting goes on from one user to the next, so that folds are of one size.
            let first = if matches!(folding, Folding::KFold(_)) { dealt } else { 0 };
            places.extend(order.iter().map(|at| (first + at, n as u32)));
            dealt = dealt.wrapping_add(n as u32) % folding.count() as u32;
        }
        let valid = places.iter().map(|_| rng.random_range(0.0..1.0) < valid).collect();
        Ok(Self { folding, places, valid })
    }

    /// How many folds or rounds.
    pub fn count(&self) -> usize {
        self.folding.count()
    }

    /// The part of each pair, by user, then item, when fold number `fold` is the test part.
    pub fn parts(&self, fold: usize) -> Vec<Part> {
        let part = |(&place, &valid): (&(u32, u32), &bool)| match self.folding {
            _ if self.is_held(place, fold) => Part::Test,
            Folding::KFold(_) if valid => Part::Valid,
            Folding::LeaveOneOut(_) if self.is_next(place, fold) => Part::Valid,
            _ => Part::Train,
        };
        self.places.iter().zip(&self.valid).map(part).collect()
    }

    /// The part of each pair when fold number `fold` is what choices look at, and nothing is
    /// tested.
    pub fn parts_for_choices(&self, fold: usize) -> Vec<Part> {
        let part = |&place: &(u32, u32)| {
            if self.is_held(place, fold) { Part::Valid } else { Part::Train }
        };
        self.places.iter().map(part).collect()
    }

    fn is_held(&self, (at, n): (u32, u32), fold: usize) -> bool {
        match self.folding {
            Folding::KFold(folds) => at as usize % folds == fold,
            Folding::LeaveOneOut(_) => n as usize >= FEWEST && at as usize == fold,
        }
    }

    /// Whether a pair is held out in the round after this one, in a user who takes part in it.
    fn is_next(&self, (at, n): (u32, u32), round: usize) -> bool {
        let n = n as usize;
        n >= FEWEST && round < n && at as usize == (round + 1) % n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Interactions {
        // Users with 6, 2, 0, 5 and 4 items.
        let pairs = [6, 2, 0, 5, 4].into_iter().enumerate();
        let pairs = pairs.flat_map(|(user, n)| (0..n).map(move |item| (user as u32, item)));
        Interactions::from_pairs(5, 6, pairs).unwrap()
    }

    #[test]
    fn every_pair_is_held_out_in_exactly_one_fold_and_folds_are_level() {
        let world = world();
        let folds = Folds::deal(&world, Folding::KFold(3), 0.3, SeedStream::new(5)).unwrap();
        let mut held = vec![0; world.nnz()];
        for fold in 0..3 {
            let parts = folds.parts(fold);
            let test = parts.iter().filter(|p| **p == Part::Test).count();
            assert!((5..=6).contains(&test), "{test} of 17 in a third");
            assert!(parts.contains(&Part::Valid) && parts.contains(&Part::Train));
            parts.iter().zip(&mut held).for_each(|(p, n)| *n += usize::from(*p == Part::Test));
            // Of six items of the first user each fold has two.
            assert_eq!(parts[..6].iter().filter(|p| **p == Part::Test).count(), 2);
            let choices = folds.parts_for_choices(fold);
            let same = choices.iter().zip(&parts);
            assert!(same.into_iter().all(|(c, p)| (*c == Part::Valid) == (*p == Part::Test)));
            assert!(!choices.contains(&Part::Test));
        }
        assert_eq!(held, [1; 17]);
        let again = Folds::deal(&world, Folding::KFold(3), 0.3, SeedStream::new(5)).unwrap();
        assert_eq!(folds, again);
        let other = Folds::deal(&world, Folding::KFold(3), 0.3, SeedStream::new(6)).unwrap();
        assert_ne!(folds, other);
    }

    #[test]
    fn one_of_each_user_is_left_out_and_every_item_in_the_end() {
        let world = world();
        let folds = Folds::deal(&world, Folding::LeaveOneOut(6), 0.0, SeedStream::new(5)).unwrap();
        let mut held = vec![0; world.nnz()];
        for round in 0..6 {
            let parts = folds.parts(round);
            let mut at = 0;
            for n in [6, 2, 0, 5, 4] {
                let count = |part| parts[at..at + n].iter().filter(|p| **p == part).count();
                let takes_part = usize::from(n >= FEWEST && round < n);
                assert_eq!((count(Part::Test), count(Part::Valid)), (takes_part, takes_part));
                at += n;
            }
            parts.iter().zip(&mut held).for_each(|(p, n)| *n += usize::from(*p == Part::Test));
        }
        let expected: Vec<usize> =
            [(6, 1), (2, 0), (5, 1), (4, 1)].iter().flat_map(|&(n, x)| vec![x; n]).collect();
        assert_eq!(held, expected);
    }

    #[test]
    fn folds_that_are_none_are_named() {
        let deal = |folding, valid| {
            Folds::deal(&world(), folding, valid, SeedStream::new(1)).unwrap_err().to_string()
        };
        assert!(deal(Folding::KFold(1), 0.1).contains("k folds: expected 2 or more, found 1"));
        assert!(deal(Folding::LeaveOneOut(0), 0.1).contains("leave one out"));
        assert!(deal(Folding::KFold(2), 1.0).contains("valid"));
    }
}
