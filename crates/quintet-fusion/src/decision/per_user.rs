//! Weights of a user's own, drawn towards those of everybody.
//!
//! `w_u = (n_u ŵ_u + s w) / (n_u + s)` with `ŵ_u` the best weights for what was held out of user
//! `u`, `n_u` how many interactions that were, `w` the global weights and `s` the strength of the
//! shrinkage, counted in interactions (James & Stein, "Estimation with Quadratic Loss", 1961, is
//! the idea). Users of whom nothing was held out have the global weights. Parameters: `N` a user
//! with evidence; cost `O(N)` a user once the best weights are known.

use quintet_core::{Matrix, ModelState};
use quintet_tensor::FitError;

/// Global weights and those of single users.
#[derive(Debug, Clone, PartialEq)]
pub struct PerUserWeights {
    global: Vec<f64>,
    /// Ascending.
    users: Vec<usize>,
    /// `[users, n_models]`.
    own: Vec<Vec<f64>>,
}

impl PerUserWeights {
    /// Everybody has the global weights.
    pub fn new(global: Vec<f64>) -> Self {
        Self { global, users: Vec::new(), own: Vec::new() }
    }

    /// Adds users with `(user, held-out interactions, best weights)`, each once.
    ///
    /// # Panics
    /// When a user has another number of weights, or the strength is not above 0.
    pub fn shrink(mut self, mut evidence: Vec<(usize, usize, Vec<f64>)>, strength: f64) -> Self {
        assert!(strength > 0.0, "strength {strength} of the shrinkage is not above 0");
        evidence.sort_by_key(|(user, _, _)| *user);
        for (user, n, best) in evidence {
            assert_eq!(best.len(), self.global.len(), "one weight a model");
            let n = n as f64;
            let mix = |(b, g): (&f64, &f64)| (n * b + strength * g) / (n + strength);
            self.own.push(best.iter().zip(&self.global).map(mix).collect());
            self.users.push(user);
        }
        self
    }

    /// The weights of `user`.
    pub fn of(&self, user: usize) -> &[f64] {
        match self.users.binary_search(&user) {
            Ok(at) => &self.own[at],
            Err(_) => &self.global,
        }
    }

    /// The weights of users without evidence.
    pub fn global(&self) -> &[f64] {
        &self.global
    }

    pub(crate) fn save(&self, prefix: &str, state: &mut ModelState) {
        let rows: Vec<f32> =
            self.global.iter().chain(self.own.iter().flatten()).map(|w| *w as f32).collect();
        if let Ok(weights) = Matrix::from_vec(1 + self.own.len(), self.global.len(), rows) {
            state.put(format!("{prefix}weights"), weights);
        }
        let users = self.users.iter().map(|u| *u as i64).collect();
        state.put_whole(format!("{prefix}users"), users);
    }

    pub(crate) fn load(
        prefix: &str,
        state: &ModelState,
        n_models: usize,
    ) -> Result<Self, FitError> {
        let key = format!("{prefix}users");
        let users = state.whole(&key)?;
        if !users.is_sorted() || users.first().is_some_and(|u| *u < 0) {
            return Err(state.mismatch(&key, "ascending positions", "others").into());
        }
        let rows = state.shaped(&format!("{prefix}weights"), users.len() + 1, n_models)?;
        let row = |at: usize| rows.row(at).iter().map(|w| f64::from(*w)).collect::<Vec<f64>>();
        Ok(Self {
            global: row(0),
            own: (1..=users.len()).map(row).collect(),
            users: users.iter().map(|u| *u as usize).collect(),
        })
    }

    /// The weights as they are saved, in 32 bits, so that a loaded combination gives the same.
    pub(crate) fn rounded(mut self) -> Self {
        let all = self.global.iter_mut().chain(self.own.iter_mut().flatten());
        all.for_each(|w| *w = f64::from(*w as f32));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_outweighs_the_global_weights_as_it_grows() {
        let weights = PerUserWeights::new(vec![0.5, 0.5])
            .shrink(vec![(7, 30, vec![1.0, 0.0]), (2, 10, vec![0.0, 1.0])], 10.0);
        // (30 · 1 + 10 · 0.5) / 40 and (10 · 0 + 10 · 0.5) / 20.
        assert_eq!(weights.of(7), [0.875, 0.125]);
        assert_eq!(weights.of(2), [0.25, 0.75]);
        assert_eq!(weights.of(3), weights.global());
        let mut state = ModelState::new("x");
        weights.save("p.", &mut state);
        assert_eq!(PerUserWeights::load("p.", &state, 2).unwrap(), weights);
        assert!(PerUserWeights::load("p.", &state, 3).is_err());
    }
}
