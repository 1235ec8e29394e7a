//! Lists from predicted ratings.

use quintet_core::{
    Capability, ItemIdx, Matrix, ModelState, RatingPair, RatingPredictor, Recommender, ScoreError,
    UserIdx,
};

/// Ranks items by their predicted rating, before it is clipped.
///
/// Good predictions of ratings are not yet good lists: items with few ratings and a high mean
/// stand first. Models that learn from who used what rank better.
pub struct RankByRating(Box<dyn RatingPredictor>);

impl RankByRating {
    /// Takes a fitted rating model.
    pub fn new(predictor: Box<dyn RatingPredictor>) -> Self {
        Self(predictor)
    }

    /// The rating model.
    pub fn predictor(&self) -> &dyn RatingPredictor {
        &*self.0
    }
}

impl Recommender for RankByRating {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn n_users(&self) -> usize {
        self.0.n_users()
    }

    fn n_items(&self) -> usize {
        self.0.n_items()
    }

    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        let of =
            |&user: &UserIdx| (0..n_items).map(move |item| (Some(user), Some(ItemIdx::new(item))));
        let pairs: Vec<RatingPair> = users.iter().flat_map(of).collect();
        let found = self.0.predict_all(&pairs)?;
        // An unknown user of a model without items has no pair that could tell.
        if let Some(user) = users.iter().find(|u| u.index() >= self.n_users()) {
            let (index, len) = (user.index(), self.n_users());
            return Err(ScoreError::OutOfRange { what: "user", index, len });
        }
        out.reset(users.len(), n_items);
        for (score, prediction) in out.as_mut_slice().iter_mut().zip(found) {
            *score = prediction.unclipped;
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        self.0.state()
    }
}
