//! The face of every fitted model.

use thiserror::Error;

use crate::{
    Capability, FeatureSet, ItemIdx, Matrix, Modality, ModelState, Scored, UserIdx, top_k,
};

/// Why a model could not score.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A user or item that the model does not know.
    #[error("{what} {index} is unknown to the model, which was fitted on {len}")]
    OutOfRange {
        /// `user` or `item`.
        what: &'static str,
        /// The index that came.
        index: usize,
        /// How many the model knows.
        len: usize,
    },
    /// A score is NaN: the model is broken, and no list is better than a wrong one.
    #[error("model {model} gave a score that is not a number for user {user}, item {item}")]
    NotANumber {
        /// The model.
        model: String,
        /// The user.
        user: u32,
        /// The item.
        item: usize,
    },
    /// The model reads no features of items.
    #[error("model {model} reads no features of items")]
    NoContent {
        /// The model.
        model: String,
    },
    /// Features of items are not what the model was fitted on.
    #[error("model {model}: {reason}")]
    Features {
        /// The model.
        model: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The model cannot rank for somebody it was not fitted on.
    #[error("model {model} cannot rank for somebody it was not fitted on; fit it again with them")]
    NoFoldIn {
        /// The model.
        model: String,
    },
}

/// Dot-product form of a model: `score(u, i) = users[u] · items[i] + bias[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Factors<'a> {
    /// `[n_users, dim]`.
    pub users: &'a Matrix,
    /// `[n_items, dim]`.
    pub items: &'a Matrix,
    /// `[n_items]`.
    pub bias: &'a [f32],
}

impl Factors<'_> {
    /// The up to `k` items of `history` whose factors have the largest cosine with those of
    /// `item`, strongest first; only positive ones, and never `item` itself.
    ///
    /// # Panics
    /// When `item` is out of range; items of the history that are, are left out.
    pub fn nearest(&self, item: ItemIdx, history: &[ItemIdx], k: usize) -> Vec<Reason> {
        let query = self.items.row(item.index());
        let mut near: Vec<(ItemIdx, f32)> = history
            .iter()
            .filter(|h| h.index() < self.items.rows() && **h != item)
            .map(|&h| (h, cosine(query, self.items.row(h.index()))))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.into_iter().take(k).map(|(item, weight)| Reason::Because { item, weight }).collect()
    }
}

/// One reason for a recommendation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// An item of the user's history adds `weight` to the score, or is the most similar one.
    Because {
        /// The item of the history.
        item: ItemIdx,
        /// Its similarity or contribution.
        weight: f32,
    },
    /// A part of the model adds `weight` to the score, such as `content` or `popularity`.
    Part {
        /// The part's name.
        name: String,
        /// What it adds.
        weight: f32,
    },
    /// A modality adds `weight` to the score.
    Content {
        /// The modality.
        modality: Modality,
        /// What it adds.
        weight: f32,
    },
}

/// A fitted model. Six methods are required, everything else is provided.
///
/// An implementation must be deterministic: the same users give the same scores, alone or in a
/// batch.
pub trait Recommender: Send + Sync {
    /// The registry name of the model.
    fn name(&self) -> &str;

    /// Number of users the model was fitted on.
    fn n_users(&self) -> usize;

    /// Number of items it scores.
    fn n_items(&self) -> usize;

    /// What it can do.
    fn capability(&self) -> Capability;

    /// Writes the scores of every item for each of `users` into `out`, `[users, n_items]`.
    ///
    /// # Errors
    /// [`ScoreError::OutOfRange`] for an unknown user.
    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError>;

    /// The saved form; the registry entry of the same name loads it.
    fn state(&self) -> ModelState;

    /// The dot-product form, for models that have one: scoring and nearest neighbours then need
    /// no tensor framework.
    fn factors(&self) -> Option<Factors<'_>> {
        None
    }

    /// The `k` best items for `user` without those in `exclude` (sorted ascending).
    ///
    /// # Errors
    /// An unknown user, or a score that is not a number.
    fn recommend(
        &self,
        user: UserIdx,
        k: usize,
        exclude: &[ItemIdx],
    ) -> Result<Vec<Scored>, ScoreError> {
        let mut scores = Matrix::default();
        self.score(&[user], &mut scores)?;
        if let Some(item) = scores.row(0).iter().position(|s| s.is_nan()) {
            return Err(ScoreError::NotANumber { model: self.name().into(), user: user.0, item });
        }
        Ok(top_k(scores.row(0), k, |i| exclude.binary_search(&i).is_ok()))
    }

    /// Writes the scores of every item, `[n_items]`, for somebody the model was not fitted on,
    /// from what they did: `items` with their `values`, oldest first where the order is known.
    /// Models say in [`Capability::folds_in`] that they can.
    ///
    /// # Errors
    /// [`ScoreError::NoFoldIn`], or [`ScoreError::OutOfRange`] for an unknown item.
    ///
    /// # Panics
    /// When `items` and `values` differ in length, or `out` does not hold every item.
    fn fold_in(
        &self,
        _items: &[ItemIdx],
        _values: &[f32],
        _out: &mut [f32],
    ) -> Result<(), ScoreError> {
        Err(ScoreError::NoFoldIn { model: self.name().into() })
    }

    /// How the content of each item divides over the modalities of the capability,
    /// `[n_items, n_modalities]`: rows sum to 1, or to 0 for an item without content. None for a
    /// model that cannot say.
    fn modality_shares(&self) -> Option<&Matrix> {
        None
    }

    /// The same model over other features: those of the items it was fitted on, changed or with
    /// gaps, and after them any number of items that it has never seen. Nothing is learned.
    ///
    /// # Errors
    /// [`ScoreError::NoContent`]; [`ScoreError::Features`] for fewer items, a modality that the
    /// model reads and that is not there, or one of another width.
    fn with_features(&self, _features: &FeatureSet) -> Result<Box<dyn Recommender>, ScoreError> {
        Err(ScoreError::NoContent { model: self.name().into() })
    }

    /// The `k` items most similar to `item` by cosine of the item factors, itself left out.
    /// Empty for a model without factors.
    ///
    /// # Errors
    /// [`ScoreError::OutOfRange`] for an unknown item.
    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        if item.index() >= self.n_items() {
            return Err(ScoreError::OutOfRange {
                what: "item",
                index: item.index(),
                len: self.n_items(),
            });
        }
        let Some(f) = self.factors() else { return Ok(Vec::new()) };
        let query = f.items.row(item.index());
        let scores: Vec<f32> = (0..f.items.rows()).map(|i| cosine(query, f.items.row(i))).collect();
        Ok(top_k(&scores, k, |i| i == item))
    }

    /// Why `item` is good for a user with this `history`: what each part of the model adds to the
    /// score, where it has parts, then up to `k` items of the history, strongest first.
    ///
    /// The default names the items of the history whose factors are nearest to the item's.
    ///
    /// # Errors
    /// An unknown user or item.
    fn explain(
        &self,
        _user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let Some(f) = self.factors() else { return Ok(Vec::new()) };
        if item.index() >= f.items.rows() {
            return Err(ScoreError::OutOfRange {
                what: "item",
                index: item.index(),
                len: f.items.rows(),
            });
        }
        Ok(f.nearest(item, history, k))
    }
}

/// Cosine of two vectors; 0 when either has no length.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    let norms =
        (a.iter().map(|x| x * x).sum::<f32>() * b.iter().map(|x| x * x).sum::<f32>()).sqrt();
    if norms > 0.0 { dot / norms } else { 0.0 }
}
