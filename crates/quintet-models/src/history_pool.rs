//! Users as the pooled vectors of what they did.
//!
//! `u = p_u + g ⊙ Σ_{j ∈ H_u} v_j / √|H_u|`: item vectors of content and ids are read at the input
//! as they are at the output, as in factored item similarity models (Kabbur, Ning & Karypis, "FISM",
//! KDD 2013) and the user tower of Covington, Adams & Sargin, "Deep Neural Networks for YouTube
//! Recommendations", RecSys 2016. `p_u` is a vector of the user's own, or nothing.

use quintet_core::{Interactions, ItemIdx, Matrix, ModelState, Reason, UserIdx};
use quintet_tensor::{FitError, add_scaled, dot};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::softmax_batch::pool_weight;

/// What the vector of a user is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserVectors {
    /// A vector of the user's own.
    #[default]
    Id,
    /// The pooled vectors of the user's items, without numbers of their own: people that the
    /// model was not fitted on are ranked for in the same way.
    History,
    /// The sum of both.
    IdHistory,
}

impl UserVectors {
    pub(crate) fn has_ids(self) -> bool {
        self != UserVectors::History
    }

    pub(crate) fn reads_history(self) -> bool {
        self != UserVectors::Id
    }
}

/// The user vectors of a fitted model, or the way to them.
pub(crate) enum Users {
    /// `[n_users, width]`.
    Vectors(Matrix),
    /// Made of the vectors of items.
    Pooled(HistoryPool),
}

impl Users {
    /// `[n_users, width]`, given `items`, `[n_items, width]`.
    pub(crate) fn rows(&self, items: &Matrix) -> Matrix {
        match self {
            Users::Vectors(rows) => rows.clone(),
            Users::Pooled(pool) => pool.rows(items),
        }
    }

    pub(crate) fn into_pool(self) -> Option<HistoryPool> {
        match self {
            Users::Vectors(_) => None,
            Users::Pooled(pool) => Some(pool),
        }
    }
}

/// Histories, and what their pooled vectors are multiplied by.
#[derive(Clone)]
pub(crate) struct HistoryPool {
    /// `[n_users, width]`; none where users have no vectors of their own.
    own: Option<Matrix>,
    /// `[width]`.
    gains: Vec<f32>,
    history: Interactions,
}

impl HistoryPool {
    /// `gains` have the width of the rows of `own` and of the items.
    pub(crate) fn new(own: Option<Matrix>, gains: Vec<f32>, history: Interactions) -> Self {
        Self { own, gains, history }
    }

    /// Adds what a history gives to `out`, `[width]`; rows of `items` count `factor` times.
    pub(crate) fn add(
        &self,
        history: &[ItemIdx],
        (items, factor): (&Matrix, impl Fn(ItemIdx) -> f32),
        out: &mut [f32],
    ) {
        let mut sum = vec![0.0; self.gains.len()];
        let rows = history.iter().map(|item| (factor(*item), items.row(item.index())));
        rows.for_each(|(factor, row)| add_scaled(&mut sum, factor, row));
        let weight = pool_weight(history.len());
        let cells = out.iter_mut().zip(&sum).zip(&self.gains);
        cells.for_each(|((out, sum), gain)| *out += weight * gain * sum);
    }

    fn rows(&self, items: &Matrix) -> Matrix {
        let width = self.gains.len();
        let n = self.history.n_users();
        let mut rows = self.own.clone().unwrap_or_else(|| Matrix::zeros(n, width));
        rows.as_mut_slice().par_chunks_mut(width.max(1)).enumerate().for_each(|(user, row)| {
            let history = self.history.items(UserIdx::new(user));
            self.add(history, (items, |_| 1.0), row);
        });
        rows
    }

    /// What each item of a history adds to the score of `item`, the `k` strongest.
    pub(crate) fn reasons(
        &self,
        item: ItemIdx,
        history: &[ItemIdx],
        items: &Matrix,
        k: usize,
    ) -> Vec<Reason> {
        let weight = pool_weight(history.len());
        let target: Vec<f32> =
            items.row(item.index()).iter().zip(&self.gains).map(|(v, g)| weight * v * g).collect();
        let known = history.iter().filter(|h| h.index() < items.rows() && **h != item);
        let mut adds: Vec<(ItemIdx, f32)> = known
            .map(|h| (*h, dot(&target, items.row(h.index()))))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        adds.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        adds.into_iter().take(k).map(|(item, weight)| Reason::Because { item, weight }).collect()
    }

    pub(crate) fn save(&self, state: &mut ModelState) {
        state.put_interactions("history", &self.history);
        if let Ok(gains) = Matrix::from_vec(1, self.gains.len(), self.gains.clone()) {
            state.put("history_gains", gains);
        }
        if let Some(own) = &self.own {
            state.put("own", own.clone());
        }
    }

    /// Reads back what [`HistoryPool::save`] wrote, if that was written, for so many users, items
    /// and columns.
    pub(crate) fn load(
        state: &ModelState,
        [n_users, n_items, width]: [usize; 3],
    ) -> Result<Option<Self>, FitError> {
        if !state.tensors.contains_key("history_gains") {
            return Ok(None);
        }
        let gains = state.shaped("history_gains", 1, width)?.as_slice().to_vec();
        let history = state.interactions("history")?;
        if history.n_users() != n_users || history.n_items() > n_items {
            let found = format!("{} and {}", history.n_users(), history.n_items());
            let expected = format!("{n_users} users and at most {n_items} items");
            return Err(state.mismatch("history", &expected, &found).into());
        }
        let own = match state.tensors.contains_key("own") {
            true => Some(state.shaped("own", n_users, width)?.clone()),
            false => None,
        };
        Ok(Some(Self { own, gains, history }))
    }
}
