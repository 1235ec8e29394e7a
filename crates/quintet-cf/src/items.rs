//! Models that are a matrix of items: `score(u, ·) = R_u W`.
//!
//! Row `j` of `W` says what having item `j` adds to the score of every other item. The matrix is
//! sparse (neighbours, SLIM) or dense (EASE); everything that can be asked of such a model is the
//! same: what a user's items add is exactly why an item is recommended, and a newcomer needs
//! nothing but a row.

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError, Scored,
    Triplet, UserIdx, top_k,
};
use quintet_tensor::FitError;
use rayon::prelude::*;

use crate::similarity::{Cut, newcomer};
use crate::sparse::Offer;

/// What the items add to each other, by source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Influence {
    /// Row `j` holds the targets of source `j`.
    Sparse(Interactions),
    /// `[n_items, n_items]`, rows are sources.
    Dense(Matrix),
}

impl Influence {
    /// From the lists of each item, which are targets or sources as the cut says.
    ///
    /// # Errors
    /// A score is not finite.
    pub(crate) fn from_lists(mut lists: Vec<Vec<Offer>>, cut: Cut) -> Result<Self, FitError> {
        let n = lists.len();
        lists.par_iter_mut().enumerate().for_each(|(row, list)| {
            list.retain(|offer| offer.0 as usize != row);
            if !list.is_sorted_by_key(|offer| offer.0) {
                list.sort_unstable_by_key(|offer| offer.0);
            }
        });
        let nnz = lists.iter().map(Vec::len).sum();
        let cells = lists.into_iter().enumerate().flat_map(|(row, list)| {
            list.into_iter().map(move |(col, value)| Triplet {
                user: UserIdx::new(row),
                item: ItemIdx(col),
                value,
            })
        });
        let rows = Interactions::from_sorted(n, n, nnz, cells)?;
        Ok(Self::Sparse(if cut == Cut::Target { rows.transpose() } else { rows }))
    }

    fn n_items(&self) -> usize {
        match self {
            Self::Sparse(m) => m.n_items(),
            Self::Dense(m) => m.cols(),
        }
    }

    /// Adds what an item of this `value` adds to all scores.
    fn add(&self, source: u32, value: f32, out: &mut [f32]) {
        match self {
            Self::Sparse(m) => {
                let source = UserIdx(source);
                for (i, w) in m.items(source).iter().zip(m.values(source)) {
                    out[i.index()] += w * value;
                }
            }
            Self::Dense(m) => {
                for (out, w) in out.iter_mut().zip(m.row(source as usize)) {
                    *out += w * value;
                }
            }
        }
    }

    /// What `source` adds to `target`; `None` when nothing is held for the pair.
    fn get(&self, source: ItemIdx, target: ItemIdx) -> Option<f32> {
        match self {
            Self::Sparse(m) => {
                let row = UserIdx(source.0);
                let place = m.items(row).binary_search(&target).ok()?;
                Some(m.values(row)[place])
            }
            Self::Dense(m) => Some(m.row(source.index())[target.index()]),
        }
    }
}

/// A fitted model of this kind: the weights, and the histories they are applied to.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemWeights {
    name: &'static str,
    history: Interactions,
    influence: Influence,
    /// Whether a newcomer's values count.
    values: bool,
}

impl ItemWeights {
    pub(crate) fn new(
        name: &'static str,
        history: Interactions,
        influence: Influence,
        values: bool,
    ) -> Self {
        Self { name, history, influence, values }
    }

    pub(crate) fn load(name: &'static str, state: &ModelState) -> Result<Self, FitError> {
        let history = state.interactions("history")?;
        let n = history.n_items();
        let influence = if state.tensors.contains_key("weights") {
            Influence::Dense(state.shaped("weights", n, n)?.clone())
        } else {
            let m = state.interactions("influence")?;
            if (m.n_users(), m.n_items()) != (n, n) {
                let found = format!("[{}, {}]", m.n_users(), m.n_items());
                return Err(state.mismatch("influence", &format!("[{n}, {n}]"), &found).into());
            }
            Influence::Sparse(m)
        };
        // Models of before values could be folded in do not say; their histories show it.
        let values = match state.meta.get("values") {
            Some(v) => v == "true",
            None => history.iter().any(|t| t.value != 1.0),
        };
        Ok(Self { name, history, influence, values })
    }

    fn check_item(&self, item: ItemIdx) -> Result<(), ScoreError> {
        let (index, len) = (item.index(), self.n_items());
        if index < len { Ok(()) } else { Err(ScoreError::OutOfRange { what: "item", index, len }) }
    }

    /// What `user` did with `item`: 1 for somebody unknown or an item that is not theirs.
    fn value(&self, user: UserIdx, item: ItemIdx) -> f32 {
        if user.index() >= self.history.n_users() {
            return 1.0;
        }
        let place = self.history.items(user).binary_search(&item);
        place.map_or(1.0, |place| self.history.values(user)[place])
    }

    /// The weights, `[n_items, n_items]` by source and target, for tests.
    #[cfg(test)]
    pub(crate) fn weight(&self, source: usize, target: usize) -> f32 {
        self.influence.get(ItemIdx::new(source), ItemIdx::new(target)).unwrap_or(0.0)
    }
}

impl Recommender for ItemWeights {
    fn name(&self) -> &str {
        self.name
    }

    fn n_users(&self) -> usize {
        self.history.n_users()
    }

    fn n_items(&self) -> usize {
        self.influence.n_items()
    }

    fn capability(&self) -> Capability {
        Capability::personal().with_explanations().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        out.as_mut_slice().par_chunks_mut(n_items).zip(users).for_each(|(row, &user)| {
            for (j, &value) in self.history.items(user).iter().zip(self.history.values(user)) {
                self.influence.add(j.0, value, row);
            }
        });
        Ok(())
    }

    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        assert_eq!(out.len(), self.n_items(), "the scores hold every item");
        let row = newcomer(items, values, self.n_items(), !self.values)?;
        out.fill(0.0);
        for (source, value) in row {
            self.influence.add(source, value, out);
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(self.name);
        state.put_interactions("history", &self.history);
        match &self.influence {
            Influence::Sparse(m) => state.put_interactions("influence", m),
            Influence::Dense(m) => state.put("weights", m.clone()),
        }
        state.meta.insert("values".into(), self.values.to_string());
        state
    }

    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.check_item(item)?;
        let mut row = vec![0.0f32; self.n_items()];
        self.influence.add(item.0, 1.0, &mut row);
        Ok(top_k(&row, k, |i| i == item || row[i.index()] <= 0.0))
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.check_item(item)?;
        let mut found: Vec<(ItemIdx, f32)> = history
            .iter()
            .filter(|j| j.index() < self.n_items() && **j != item)
            .filter_map(|&j| Some((j, self.influence.get(j, item)? * self.value(user, j))))
            .filter(|(_, weight)| *weight != 0.0)
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let reasons = found.into_iter().take(k);
        Ok(reasons.map(|(item, weight)| Reason::Because { item, weight }).collect())
    }
}
