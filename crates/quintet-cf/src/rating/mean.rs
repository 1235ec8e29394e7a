//! Means: of all ratings, of the user's, or of the item's.
//!
//! The lines that every other rating model has to beat. Cost: one pass over the ratings.

use quintet_core::{Learns, ModelState, RatingEntry, RatingError, SeedStream};
use serde::{Deserialize, Serialize};

use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, load, parse,
};

/// Whose mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeanOf {
    /// Of all ratings.
    #[default]
    Global,
    /// Of the user's ratings.
    User,
    /// Of the item's ratings.
    Item,
}

/// Parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeanConfig {
    /// Whose mean is predicted.
    pub of: MeanOf,
    /// How predictions are given out.
    pub output: OutputConfig,
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: MeanConfig::NAME,
        summary: "the mean of all ratings, of the user's or of the item's",
        learns: Learns::Nothing,
        build: |params| Ok(Box::new(parse::<MeanConfig>(params)?)),
        load: load::<MeanConfig>,
        tiny: &["{}", r#"{"of": "user"}"#, r#"{"of": "item"}"#],
    }
}

fit_rating!(MeanConfig);

impl Learner for MeanConfig {
    const NAME: &'static str = "mean";
    const PERSONAL: bool = false;
    type Model = Mean;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn learn(&self, _: &Ratings<'_>, _: SeedStream) -> Result<Mean, RatingError> {
        Ok(Mean(self.of))
    }

    fn load(&self, _: &ModelState, _: &Known) -> Result<Mean, RatingError> {
        Ok(Mean(self.of))
    }
}

/// The fitted part: the means themselves lie in [`Known`].
pub(crate) struct Mean(MeanOf);

impl Estimator for Mean {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        let value = match self.0 {
            MeanOf::Global => known.mean,
            MeanOf::User => known.user_means[user as usize],
            MeanOf::Item => known.item_means[item as usize],
        };
        Some(f64::from(value).into())
    }

    fn partial(&self, known: &Known, user: Option<usize>, item: Option<usize>) -> Option<f64> {
        let value = match self.0 {
            MeanOf::Global => None,
            MeanOf::User => user.map(|u| known.user_means[u]),
            MeanOf::Item => item.map(|i| known.item_means[i]),
        };
        Some(f64::from(value.unwrap_or(known.mean)))
    }

    fn save(&self, _: &mut ModelState) {}
}

#[cfg(test)]
mod tests {
    use quintet_core::{Fallback, FitRating, Interactions, ItemIdx, SeedStream, Triplet, UserIdx};

    use super::*;

    #[test]
    fn means_by_hand_and_who_answers_for_unknown_ones() {
        // User 0 rates items 0 and 1 with 2 and 5, user 1 rates item 0 with 5: mean 4.
        let cells = [(0, 0, 2.0), (0, 1, 5.0), (1, 0, 5.0)];
        let cell = |(u, i, value)| Triplet { user: UserIdx(u), item: ItemIdx(i), value };
        let ratings = Interactions::from_triplets(3, 3, cells.map(cell)).unwrap();
        let of = |of, user, item| {
            let model = MeanConfig { of, ..MeanConfig::default() };
            let model = model.fit(&ratings, SeedStream::new(1)).unwrap();
            let p = model.predict(Some(UserIdx(user)), Some(ItemIdx(item))).unwrap();
            (p.value, p.fallback)
        };
        assert_eq!(of(MeanOf::Global, 0, 0), (4.0, None));
        assert_eq!(of(MeanOf::User, 0, 0), (3.5, None));
        assert_eq!(of(MeanOf::Item, 1, 0), (3.5, None));
        // Neither user 2 nor item 2 has a rating.
        assert_eq!(of(MeanOf::Item, 2, 1), (5.0, Some(Fallback::UnknownUser)));
        assert_eq!(of(MeanOf::Item, 0, 2), (4.0, Some(Fallback::UnknownItem)));
        assert_eq!(of(MeanOf::User, 2, 2), (4.0, Some(Fallback::UnknownBoth)));
    }
}
