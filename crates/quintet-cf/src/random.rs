//! Random: what chance gives.
//!
//! Scores are drawn anew for every user, evenly between 0 and 1, from the seed of the run and the
//! user's number: the same user has the same list, alone or in a batch. The lowest line of a
//! report, and a check of an evaluator. Cost: nothing to fit, `O(n_items)` a user.

use quintet_core::{
    Capability, ItemIdx, Matrix, ModelState, Recommender, ScoreError, SeedStream, UserIdx,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "random";

/// Parameters: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomConfig {}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "items by chance, other ones for everyone",
        build: |params| Ok(Box::new(parse_params::<RandomConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Random::load(state)?)),
        tiny: "{}",
    }
}

impl Fit for RandomConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::json!({})
    }

    fn start(&self, data: TrainingData<'_>, context: &FitContext) -> Result<Fitting, FitError> {
        let (n_users, n_items) = (data.train.n_users(), data.train.n_items());
        Ok(Fitting::Fitted(Box::new(Random { n_users, n_items, seed: context.seed })))
    }
}

/// The model: a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Random {
    n_users: usize,
    n_items: usize,
    seed: SeedStream,
}

impl Random {
    fn load(state: &ModelState) -> Result<Self, FitError> {
        let &[n_users, n_items, seed] = state.whole("shape")? else {
            return Err(state.mismatch("shape", "users, items and a seed", "others").into());
        };
        if n_users < 0 || n_items < 0 {
            return Err(state.mismatch("shape", "sizes of at least 0", "negative ones").into());
        }
        let seed = SeedStream::new(seed.cast_unsigned());
        Ok(Self { n_users: n_users as usize, n_items: n_items as usize, seed })
    }

    fn fill(&self, user: u64, row: &mut [f32]) {
        let mut rng = self.seed.rng("random-scores", user);
        row.iter_mut().for_each(|score| *score = rng.random_range(0.0..1.0));
    }
}

impl Recommender for Random {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.n_users
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    /// Not personal: that lists differ says nothing about people.
    fn capability(&self) -> Capability {
        Capability::default().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users;
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items);
        let rows = out.as_mut_slice().par_chunks_mut(self.n_items.max(1));
        rows.zip(users).for_each(|(row, user)| self.fill(u64::from(user.0), row));
        Ok(())
    }

    /// The list of the user whose number comes after all others.
    fn fold_in(&self, items: &[ItemIdx], _: &[f32], out: &mut [f32]) -> Result<(), ScoreError> {
        assert_eq!(out.len(), self.n_items, "the scores hold every item");
        let len = self.n_items;
        if let Some(i) = items.iter().find(|i| i.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "item", index: i.index(), len });
        }
        self.fill(self.n_users as u64, out);
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        let seed = self.seed.seed().cast_signed();
        state.put_whole("shape", vec![self.n_users as i64, self.n_items as i64, seed]);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_lists_of_their_own_and_keep_them() {
        let model = Random { n_users: 2, n_items: 50, seed: SeedStream::new(u64::MAX) };
        let (mut all, mut one) = (Matrix::default(), Matrix::default());
        model.score(&[UserIdx(0), UserIdx(1)], &mut all).unwrap();
        model.score(&[UserIdx(1)], &mut one).unwrap();
        assert_eq!(all.row(1), one.row(0));
        assert_ne!(all.row(0), all.row(1));
        let mean = all.as_slice().iter().sum::<f32>() / 100.0;
        assert!((mean - 0.5).abs() < 0.15, "{mean}");
        assert_eq!(Random::load(&model.state()).unwrap(), model);
    }
}
