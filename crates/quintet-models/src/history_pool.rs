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

/// What the vector of a user is made of (histories after Kabbur, Ning & Karypis, "FISM", KDD 2013, and
/// Covington, Adams & Sargin, RecSys 2016).
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

/// How much each of `n` items of a history counts: `n^(-1/2)`, between a mean, which forgets how
/// much is known of a user, and a sum, by which the busiest users would drown the others (the
/// `alpha` of Kabbur, Ning & Karypis, "FISM", KDD 2013).
pub(crate) fn pool_weight(n: usize) -> f32 {
    (n.max(1) as f32).sqrt().recip()
}

/// The user vectors of a fitted model, or the way to them.
pub(crate) enum Users {
    /// `[n_users, width]`.
    Vectors(Matrix),
    /// Made of the vectors of items.
    Pooled(HistoryPool),
}

impl Users {
    /// `[n_users, width]`, given `items`, `[n_items, width]`, and the way to them where there is
    /// one.
    pub(crate) fn rows(self, items: &Matrix) -> (Matrix, Option<HistoryPool>) {
        match self {
            Users::Vectors(rows) => (rows, None),
            Users::Pooled(pool) => (pool.rows(items), Some(pool)),
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
        if !state.tensors.keys().any(|key| key.starts_with("history")) {
            return Ok(None);
        }
        let gains = state.shaped("history_gains", 1, width)?;
        gains.check_finite("gains of histories")?;
        let history = state.interactions("history")?;
        if history.n_users() != n_users || history.n_items() > n_items {
            let found = format!("{} and {}", history.n_users(), history.n_items());
            let expected = format!("{n_users} users and at most {n_items} items");
            return Err(state.mismatch("history", &expected, &found).into());
        }
        let own = match state.tensors.contains_key("own") {
            true => Some(state.shaped("own", n_users, width)?),
            false => None,
        };
        own.map_or(Ok(()), |own| own.check_finite("users' own vectors"))?;
        let gains = gains.as_slice().to_vec();
        Ok(Some(Self { own: own.cloned(), gains, history }))
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::Triplet;

    use super::*;

    fn pool() -> HistoryPool {
        let one = |(user, item)| Triplet { user: UserIdx(user), item: ItemIdx(item), value: 1.0 };
        let cells = [(0, 0), (0, 1), (0, 2), (0, 3), (2, 1)].map(one);
        let history = Interactions::from_triplets(3, 4, cells).unwrap();
        HistoryPool::new(None, vec![2.0, 1.0], history)
    }

    #[test]
    fn users_are_sums_over_the_root_of_their_lengths() {
        let items = Matrix::from_vec(4, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap();
        let own = Matrix::from_vec(3, 2, vec![0.5, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        let with_own = HistoryPool { own: Some(own), ..pool() };
        assert_eq!(pool().rows(&items).as_slice(), [16.0, 10.0, 0.0, 0.0, 6.0, 4.0]);
        assert_eq!(with_own.rows(&items).as_slice(), [16.5, 10.0, 1.0, 1.0, 6.0, 4.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let mut state = ModelState::new("two_tower");
        assert!(HistoryPool::load(&state, [3, 4, 2]).unwrap().is_none());
        pool().save(&mut state);
        assert!(HistoryPool::load(&state, [3, 4, 2]).unwrap().is_some());
        assert!(HistoryPool::load(&state, [3, 9, 2]).unwrap().is_some(), "items were added since");
        let refused = |state: &ModelState, shape| {
            HistoryPool::load(state, shape).err().expect("it does not fit").to_string()
        };
        assert!(refused(&state, [2, 4, 2]).contains("2 users and at most 4 items"));
        assert!(refused(&state, [3, 3, 2]).contains("3 users and at most 3 items"));
        assert!(refused(&state, [3, 4, 3]).contains("history_gains"));
        let nan = Matrix::from_vec(1, 2, vec![1.0, f32::NAN]).unwrap();
        state.put("history_gains", nan);
        assert!(refused(&state, [3, 4, 2]).contains("gains of histories"));
        state.tensors.remove("history_gains");
        assert!(refused(&state, [3, 4, 2]).contains("history_gains"));
    }
}
