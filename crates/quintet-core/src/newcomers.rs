//! Ranking for people that a model was not fitted on, from what is known of them.

use rayon::prelude::*;

use crate::{
    Capability, FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Reason, Recommender,
    ScoreError, Scored, Sequences, UserIdx,
};

/// What every [`Recommender::fold_in`] over a history asks of its arguments: a value for every item,
/// room for the scores of `n_items`, and known items.
///
/// # Errors
/// [`ScoreError::OutOfRange`] for an unknown item.
///
/// # Panics
/// When `items` and `values` differ in length, or `out` does not hold every item.
pub fn check_fold_in(
    items: &[ItemIdx],
    values: &[f32],
    out: &[f32],
    n_items: usize,
) -> Result<(), ScoreError> {
    assert_eq!(items.len(), values.len(), "one value an item");
    assert_eq!(out.len(), n_items, "room for the score of every item");
    match items.iter().find(|item| item.index() >= n_items) {
        Some(item) => {
            Err(ScoreError::OutOfRange { what: "item", index: item.index(), len: n_items })
        }
        None => Ok(()),
    }
}

/// A model that folds in the users who have a history beside the training data
/// ([`Recommender::fold_in`]) and ranks for the others as before.
///
/// Those users have an empty row in the training data: their place in the model was never
/// trained. A model that cannot fold in ([`Capability::folds_in`]) ranks for them as before, too.
pub struct Newcomers<'a> {
    model: &'a dyn Recommender,
    history: &'a Interactions,
    order: Option<&'a Sequences>,
}

impl<'a> Newcomers<'a> {
    /// `history` has what newcomers did, and empty rows for users of the training data; `order`
    /// has the same in the order of time, where times are known.
    pub fn new(
        model: &'a dyn Recommender,
        history: &'a Interactions,
        order: Option<&'a Sequences>,
    ) -> Self {
        Self { model, history, order }
    }

    fn is_new(&self, user: UserIdx) -> bool {
        user.index() < self.history.n_users() && !self.history.items(user).is_empty()
    }

    fn fold_in(&self, user: UserIdx, out: &mut [f32]) -> Result<(), ScoreError> {
        let (items, values) = (self.history.items(user), self.history.values(user));
        let Some(order) = self.order else { return self.model.fold_in(items, values, out) };
        let ordered = order.items(user);
        let value = |item: &ItemIdx| items.binary_search(item).map_or(1.0, |at| values[at]);
        let values: Vec<f32> = ordered.iter().map(value).collect();
        self.model.fold_in(ordered, &values, out)
    }
}

impl Recommender for Newcomers<'_> {
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
        self.model.capability()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        self.model.score(users, out)?;
        let n_items = self.n_items();
        if n_items == 0 || !self.capability().folds_in {
            return Ok(());
        }
        out.as_mut_slice()
            .par_chunks_mut(n_items)
            .zip(users)
            .filter(|(_, user)| self.is_new(**user))
            .try_for_each(|(row, user)| self.fold_in(*user, row))
    }

    fn state(&self) -> ModelState {
        self.model.state()
    }

    fn modality_shares(&self) -> Option<&Matrix> {
        self.model.modality_shares()
    }

    fn with_features(&self, features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        self.model.with_features(features)
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
    use crate::Triplet;

    /// Scores 0 for whom it knows; folds in by place: the last item gets the highest score.
    struct Model {
        folds_in: bool,
    }

    impl Recommender for Model {
        fn name(&self) -> &str {
            "m"
        }
        fn n_users(&self) -> usize {
            3
        }
        fn n_items(&self) -> usize {
            4
        }
        fn capability(&self) -> Capability {
            let personal = Capability::personal();
            if self.folds_in { personal.with_fold_in() } else { personal }
        }
        fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
            out.reset(users.len(), 4);
            Ok(())
        }
        fn state(&self) -> ModelState {
            ModelState::new("m")
        }
        fn fold_in(&self, items: &[ItemIdx], v: &[f32], out: &mut [f32]) -> Result<(), ScoreError> {
            for (place, (item, value)) in items.iter().zip(v).enumerate() {
                out[item.index()] = (place + 1) as f32 * value;
            }
            Ok(())
        }
    }

    #[test]
    fn newcomers_are_folded_in_by_values_and_order() {
        let at = |item, value| Triplet { user: UserIdx(1), item: ItemIdx(item), value };
        let history = Interactions::from_triplets(3, 4, [at(0, 2.0), at(3, 5.0)]).unwrap();
        let events = [(UserIdx(1), ItemIdx(0), 20), (UserIdx(1), ItemIdx(3), 10)];
        let order = Sequences::from_events(3, 4, events).unwrap();
        let scores = |model: &Model, order| {
            let mut out = Matrix::default();
            let users = [UserIdx(0), UserIdx(1), UserIdx(2)];
            Newcomers::new(model, &history, order).score(&users, &mut out).unwrap();
            assert_eq!((out.row(0), out.row(2)), (&[0.0; 4][..], &[0.0; 4][..]));
            out.row(1).to_vec()
        };
        let model = Model { folds_in: true };
        assert_eq!(scores(&model, None), [2.0, 0.0, 0.0, 10.0]);
        assert_eq!(scores(&model, Some(&order)), [4.0, 0.0, 0.0, 5.0]);
        assert_eq!(scores(&Model { folds_in: false }, Some(&order)), [0.0; 4]);
    }
}
