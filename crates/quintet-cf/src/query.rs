//! A model in dot-product form that makes the query of a newcomer from what they did.

use quintet_core::{
    Capability, Factors, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError, Scored,
    UserIdx,
};
use quintet_tensor::{FactorModel, dot};

/// Makes the query of somebody from their items: its dot product with the item factors, plus
/// their bias, is the score.
pub(crate) trait Query: Send + Sync {
    /// Writes the query into zeros; `items` are in range, ascending, each once.
    fn query(&self, items: &[ItemIdx], out: &mut [f32]);

    /// Adds what loading needs.
    fn save(&self, state: &mut ModelState);
}

/// [`FactorModel`] with a [`Query`].
pub(crate) struct Folding<Q> {
    model: FactorModel,
    /// None where the parameters leave newcomers no query.
    query: Option<Q>,
}

impl<Q: Query> Folding<Q> {
    pub(crate) fn new(model: FactorModel, query: Option<Q>) -> Self {
        Self { model, query }
    }
}

impl<Q: Query> Recommender for Folding<Q> {
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
        match self.query {
            Some(_) => self.model.capability().with_fold_in(),
            None => self.model.capability(),
        }
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.model.score(users, out)
    }

    fn state(&self) -> ModelState {
        let mut state = self.model.state();
        if let Some(query) = &self.query {
            query.save(&mut state);
        }
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
        let Some(query) = &self.query else {
            return Err(ScoreError::NoFoldIn { model: self.name().into() });
        };
        let len = self.n_items();
        assert_eq!(items.len(), values.len(), "a value for every item");
        assert_eq!(out.len(), len, "a score for every item");
        if let Some(item) = items.iter().find(|i| i.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "item", index: item.index(), len });
        }
        let Some(factors) = self.model.factors() else { return Ok(()) };
        let mut row = vec![0.0; factors.items.cols()];
        // Somebody may have done a thing twice.
        let mut distinct = items.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        query.query(&distinct, &mut row);
        for (item, (score, bias)) in out.iter_mut().zip(factors.bias).enumerate() {
            *score = dot(&row, factors.items.row(item)) + bias;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Count;

    impl Query for Count {
        fn query(&self, items: &[ItemIdx], out: &mut [f32]) {
            out[0] = items.len() as f32;
        }

        fn save(&self, _: &mut ModelState) {}
    }

    #[test]
    fn a_thing_done_twice_counts_once() {
        let items = Matrix::from_vec(3, 1, vec![1.0, 2.0, 3.0]).unwrap();
        let users = Matrix::zeros(1, 1);
        let bias = vec![0.5, 0.0, 0.0];
        let model = FactorModel::new("m", users, items, bias, Capability::personal()).unwrap();
        let folding = Folding::new(model, Some(Count));
        assert!(folding.capability().folds_in);
        let mut out = [f32::NAN; 3];
        let history = [ItemIdx(2), ItemIdx(0), ItemIdx(2)];
        folding.fold_in(&history, &[1.0; 3], &mut out).unwrap();
        assert_eq!(out, [2.5, 4.0, 6.0]);
    }
}
