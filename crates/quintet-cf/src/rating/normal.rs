//! Normal: a random rating with the mean and the spread of the training ratings.
//!
//! `r̂ ~ N(μ, σ²)`, both by maximum likelihood: what knowing nothing about the pair costs. As the
//! `NormalPredictor` of Surprise, but a pair has the same draw whenever it is asked for: it
//! depends on the seed, the user and the item only. Cost: one pass over the ratings.

use quintet_core::{Learns, ModelState, RatingEntry, RatingError, SeedStream};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, get_row,
    load, parse, put_row,
};

/// Parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NormalConfig {
    /// How predictions are given out.
    pub output: OutputConfig,
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: NormalConfig::NAME,
        summary: "a random rating with the mean and spread of the training ratings",
        learns: Learns::Nothing,
        build: |params| Ok(Box::new(parse::<NormalConfig>(params)?)),
        load: load::<NormalConfig>,
        tiny: &["{}"],
    }
}

fit_rating!(NormalConfig);

impl Learner for NormalConfig {
    const NAME: &'static str = "normal";
    const PERSONAL: bool = false;
    type Model = Normal;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<Normal, RatingError> {
        Ok(Normal { sigma: spread(ratings) as f32, seed })
    }

    fn load(&self, state: &ModelState, _: &Known) -> Result<Normal, RatingError> {
        let sigma = get_row(state, "sigma", 1)?[0];
        let &[seed] = state.whole("seed")? else {
            return Err(state.mismatch("seed", "one number", "another length").into());
        };
        Ok(Normal { sigma, seed: SeedStream::new(seed.cast_unsigned()) })
    }
}

/// Standard deviation of the ratings, divided by their number.
pub(crate) fn spread(ratings: &Ratings<'_>) -> f64 {
    let mean = f64::from(ratings.known.mean);
    let squares: f64 = ratings.by_user.iter().map(|t| (f64::from(t.value) - mean).powi(2)).sum();
    (squares / ratings.by_user.nnz() as f64).sqrt()
}

/// The fitted part.
pub(crate) struct Normal {
    sigma: f32,
    seed: SeedStream,
}

impl Normal {
    fn draw(&self, known: &Known, user: u32, item: u32) -> f64 {
        let pair = (u64::from(user) << 32) | u64::from(item);
        let draw: f64 = StandardNormal.sample(&mut self.seed.rng("normal-rating", pair));
        f64::from(known.mean) + f64::from(self.sigma) * draw
    }
}

impl Estimator for Normal {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        Some(self.draw(known, user, item).into())
    }

    fn partial(&self, known: &Known, user: Option<usize>, item: Option<usize>) -> Option<f64> {
        let position = |p: Option<usize>| p.map_or(u32::MAX, |p| p as u32);
        Some(self.draw(known, position(user), position(item)))
    }

    fn save(&self, state: &mut ModelState) {
        put_row(state, "sigma", &[self.sigma]);
        state.put_whole("seed", vec![self.seed.seed().cast_signed()]);
    }
}
