//! A model in dot-product form, and how it ranks for somebody it was not fitted on.

use quintet_core::{
    Capability, Factors, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError, Scored,
    UserIdx, check_fold_in,
};
use quintet_tensor::FactorModel;

/// How a model ranks for a newcomer. The same history must give the same scores.
pub(crate) trait Newcomer: Send + Sync {
    /// Writes the score of every item for somebody with these items, which are in range, and
    /// values, one each. `model` holds the factors that it goes with.
    fn rank(&self, model: Factors<'_>, items: &[ItemIdx], values: &[f32], out: &mut [f32]);

    /// Adds what loading needs.
    fn save(&self, state: &mut ModelState);

    /// Whether it can; the parameters of a model may leave newcomers nothing.
    fn folds_in(&self) -> bool {
        true
    }

    /// Whether people without any history are told apart.
    fn cold_users(&self) -> bool {
        false
    }
}

/// [`FactorModel`] with a [`Newcomer`].
pub(crate) struct Folding<N> {
    model: FactorModel,
    newcomer: N,
}

impl<N: Newcomer> Folding<N> {
    pub(crate) fn new(model: FactorModel, newcomer: N) -> Self {
        Self { model, newcomer }
    }
}

impl<N: Newcomer> Recommender for Folding<N> {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn n_users(&self) -> usize {
        self.model.n_users()
    }

    fn n_items(&self) -> usize {
        self.model.n_items()
    }

    fn capability(&self) -> Capability {
        let mut capability = self.model.capability();
        capability.folds_in = self.newcomer.folds_in();
        capability.cold_users = self.newcomer.cold_users();
        capability
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.model.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.model.state();
        self.newcomer.save(&mut state);
        state
    }

    fn factors(&self) -> Option<Factors<'_>> {
        self.model.factors()
    }

    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        let (true, Some(factors)) = (self.newcomer.folds_in(), self.model.factors()) else {
            return Err(ScoreError::NoFoldIn { model: self.name().into() });
        };
        check_fold_in(items, values, out, self.n_items())?;
        self.newcomer.rank(factors, items, values, out);
        Ok(())
    }

    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.model.similar_items(item, k)
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.model.explain(user, item, history, k)
    }
}
