//! Slope One: how much better than another item an item is rated, on average.
//!
//! D. Lemire, A. Maclachlan, "Slope One Predictors for Online Rating-Based Collaborative
//! Filtering", SDM 2005. With `dev_ij` the mean of `r_vi − r_vj` over the `c_ij` users of both:
//!
//! ```text
//! plain      r̂_ui = μ_u + (1/|J|) Σ_{j∈J} dev_ij                 J = { j ∈ R(u) : c_ij > 0 }
//! weighted   r̂_ui = Σ_{j∈J} c_ij (dev_ij + r_uj) / Σ_{j∈J} c_ij
//! ```
//!
//! The plain form is that of Surprise, `i` itself included on training pairs. Surprise cuts
//! ratings to whole numbers; here halves stay halves. No table of all pairs is kept: see
//! [`super::rows`]. Cost: a batch over all items `Σ_u n_u²`, one prediction alone
//! `Σ_{v∈R(i)} n_v`; memory `O(nnz)`.

use quintet_core::{
    Interactions, Learns, ModelState, RatingEntry, RatingError, SeedStream, UserIdx,
};
use serde::{Deserialize, Serialize};

use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, load, parse,
};
use super::rows::{PairSums, RATINGS, common, get_ratings, grouped};

/// Parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlopeOneConfig {
    /// Whether a deviation counts as often as it has users.
    pub weighted: bool,
    /// How predictions are given out.
    pub output: OutputConfig,
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: SlopeOneConfig::NAME,
        summary: "the user's ratings, moved by how items differ on average",
        learns: Learns::Level,
        build: |params| Ok(Box::new(parse::<SlopeOneConfig>(params)?)),
        load: load::<SlopeOneConfig>,
        tiny: &["{}", r#"{"weighted": true}"#],
    }
}

fit_rating!(SlopeOneConfig);

impl Learner for SlopeOneConfig {
    const NAME: &'static str = "slopeone";
    type Model = SlopeOne;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn learn(&self, ratings: &Ratings<'_>, _: SeedStream) -> Result<SlopeOne, RatingError> {
        Ok(SlopeOne {
            weighted: self.weighted,
            by_user: ratings.by_user.clone(),
            by_item: ratings.by_item.clone(),
        })
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<SlopeOne, RatingError> {
        let by_user = get_ratings(state, known.user_means.len(), known.item_means.len())?;
        let by_item = by_user.transpose();
        Ok(SlopeOne { weighted: self.weighted, by_user, by_item })
    }
}

/// The ratings.
pub(crate) struct SlopeOne {
    weighted: bool,
    by_user: Interactions,
    by_item: Interactions,
}

/// Sum of `r_vi − r_vj` over the users of both.
#[derive(Clone, Copy, Default)]
struct Deviation {
    n: u32,
    sum: f64,
}

impl PairSums for Deviation {
    #[inline]
    fn add(&mut self, own: f64, other: f64) {
        self.n += 1;
        self.sum += own - other;
    }
}

impl SlopeOne {
    fn scratch(&self) -> Vec<Deviation> {
        vec![Deviation::default(); self.by_item.n_users()]
    }

    /// The estimate once the deviations of the item are counted.
    fn of(&self, known: &Known, row: &[Deviation], user: u32) -> Estimate {
        let at = UserIdx(user);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (j, &rating) in self.by_user.items(at).iter().zip(self.by_user.values(at)) {
            let deviation = row[j.index()];
            if deviation.n == 0 {
                continue;
            }
            let n = f64::from(deviation.n);
            if self.weighted {
                sum += deviation.sum + n * f64::from(rating);
                weights += n;
            } else {
                sum += deviation.sum / n;
                weights += 1.0;
            }
        }
        let mean = f64::from(known.user_means[user as usize]);
        if weights <= 0.0 {
            return Estimate { value: mean, few: true };
        }
        let base = if self.weighted { 0.0 } else { mean };
        Estimate { value: base + sum / weights, few: false }
    }
}

impl Estimator for SlopeOne {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        let mut row = self.scratch();
        common(&self.by_item, &self.by_user, item, &mut row);
        Some(self.of(known, &row, user))
    }

    fn estimate_all(&self, known: &Known, pairs: &[KnownPair]) -> Vec<Option<Estimate>> {
        grouped(
            pairs,
            |pair| pair.1,
            || self.scratch(),
            |row, item| common(&self.by_item, &self.by_user, item, row),
            |row, pair| Some(self.of(known, row, pair.0)),
        )
    }

    fn save(&self, state: &mut ModelState) {
        state.put_interactions(RATINGS, &self.by_user);
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{FitRating, ItemIdx, Triplet};

    use super::*;

    #[test]
    fn the_example_by_hand() {
        // Users A (5, 3, 2), B (3, 4, –), C (–, 2, 5); C's rating of item 0 is asked for.
        let cells = [
            (0, 0, 5.0),
            (0, 1, 3.0),
            (0, 2, 2.0),
            (1, 0, 3.0),
            (1, 1, 4.0),
            (2, 1, 2.0),
            (2, 2, 5.0),
        ];
        let cell = |(u, i, value)| Triplet { user: UserIdx(u), item: ItemIdx(i), value };
        let ratings = Interactions::from_triplets(3, 3, cells.map(cell)).unwrap();
        let predict = |weighted| {
            let config = SlopeOneConfig { weighted, ..SlopeOneConfig::default() };
            let model = config.fit(&ratings, SeedStream::new(1)).unwrap();
            model.predict(Some(UserIdx(2)), Some(ItemIdx(0))).unwrap().unclipped
        };
        // dev_01 = (2 − 1) / 2 = 0.5 with weight 2, dev_02 = 3 with weight 1; μ_C = 3.5.
        assert_eq!(predict(false), 3.5 + (0.5 + 3.0) / 2.0);
        assert!((predict(true) - (2.0 * 2.5 + 8.0) / 3.0).abs() < 1e-6);
    }
}
