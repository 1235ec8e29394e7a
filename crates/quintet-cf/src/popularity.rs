//! Popularity: everyone gets the items that most people used.
//!
//! The baseline that every report shows. Cost: one pass over the interactions.

use quintet_core::{
    Capability, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError, UserIdx,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "popularity";

/// Parameters: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PopularityConfig {}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "the items that most people used, the same for everyone",
        build: |params| Ok(Box::new(parse_params::<PopularityConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(Popularity::load(state)?)),
        tiny: "{}",
    }
}

impl Fit for PopularityConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::json!({})
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let counts: Vec<f32> = data.train.item_counts().iter().map(|&c| c as f32).collect();
        Ok(Fitting::Fitted(Box::new(Popularity { n_users: data.train.n_users(), counts })))
    }
}

/// The fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    n_users: usize,
    counts: Vec<f32>,
}

impl Popularity {
    fn load(state: &ModelState) -> Result<Self, FitError> {
        let counts = state.matrix("counts")?.as_slice().to_vec();
        let n_users = state.whole("n_users")?.first().copied().unwrap_or(0).max(0) as usize;
        Ok(Self { n_users, counts })
    }
}

impl Recommender for Popularity {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.n_users
    }

    fn n_items(&self) -> usize {
        self.counts.len()
    }

    fn capability(&self) -> Capability {
        Capability::default().with_explanations()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        if let Some(u) = users.iter().find(|u| u.index() >= self.n_users) {
            return Err(ScoreError::OutOfRange {
                what: "user",
                index: u.index(),
                len: self.n_users,
            });
        }
        out.reset(users.len(), self.counts.len());
        for row in 0..users.len() {
            out.row_mut(row).copy_from_slice(&self.counts);
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        if let Ok(counts) = Matrix::from_vec(1, self.counts.len(), self.counts.clone()) {
            state.put("counts", counts);
        }
        state.put_whole("n_users", vec![self.n_users as i64]);
        state
    }

    fn explain(
        &self,
        _: UserIdx,
        item: ItemIdx,
        _: &[ItemIdx],
        _: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let weight = *self.counts.get(item.index()).ok_or(ScoreError::OutOfRange {
            what: "item",
            index: item.index(),
            len: self.counts.len(),
        })?;
        Ok(vec![Reason::Part { name: "popularity".into(), weight }])
    }
}
