//! What all rating models share: parameters of the answer, means for whoever is unknown,
//! clipping, and the saved form.
//!
//! A model's file holds how it learns and how it estimates one pair of a known user and a known
//! item. Everything around that is here, once: a user or item is known when it has a training
//! rating; what is unknown is answered by means, and flagged; the value is clipped to the scale.

use quintet_core::{
    Capability, Fallback, Interactions, ItemIdx, Matrix, ModelState, Prediction, RatingError,
    RatingPair, RatingPredictor, ScoreError, SeedStream, UserIdx,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Who answers where the model itself has nothing to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// The mean of the side that is known: the item's for an unknown user, the user's for an
    /// unknown item, of all ratings for both.
    #[default]
    Means,
    /// The mean of all ratings, as Surprise does.
    GlobalMean,
}

/// How predictions are given out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Lowest and highest possible rating; absent: those of the training ratings.
    pub scale: Option<[f32; 2]>,
    /// Whether predictions are moved into the scale.
    pub clip: bool,
    /// Who answers for unknown users and items in models that have no other answer.
    pub unknown: Unknown,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { scale: None, clip: true, unknown: Unknown::Means }
    }
}

/// Means and counts of the training ratings. Held as they are saved, in 32 bits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) mean: f32,
    pub(crate) user_means: Vec<f32>,
    pub(crate) item_means: Vec<f32>,
    user_counts: Vec<i64>,
    item_counts: Vec<i64>,
}

impl Known {
    fn new(ratings: &Interactions, by_item: &Interactions) -> Self {
        let (user_means, user_counts) = row_means(ratings);
        let (item_means, item_counts) = row_means(by_item);
        let sum: f64 = ratings.iter().map(|t| f64::from(t.value)).sum();
        let mean = (sum / ratings.nnz() as f64) as f32;
        Self { mean, user_means, item_means, user_counts, item_counts }
    }

    fn user(&self, user: Option<UserIdx>) -> Result<Option<usize>, ScoreError> {
        place("user", user.map(UserIdx::index), &self.user_counts)
    }

    fn item(&self, item: Option<ItemIdx>) -> Result<Option<usize>, ScoreError> {
        place("item", item.map(ItemIdx::index), &self.item_counts)
    }

    /// What [`Unknown`] says about a pair.
    fn answer(&self, user: Option<usize>, item: Option<usize>, unknown: Unknown) -> f64 {
        let mean = f64::from(self.mean);
        if unknown == Unknown::GlobalMean {
            return mean;
        }
        let user = user.map_or(mean, |u| f64::from(self.user_means[u]));
        let item = item.map_or(mean, |i| f64::from(self.item_means[i]));
        user + item - mean
    }

    fn save(&self, state: &mut ModelState) {
        put_row(state, "known.mean", &[self.mean]);
        put_row(state, "known.user_means", &self.user_means);
        put_row(state, "known.item_means", &self.item_means);
        state.put_whole("known.user_counts", self.user_counts.clone());
        state.put_whole("known.item_counts", self.item_counts.clone());
    }

    fn load(state: &ModelState) -> Result<Self, RatingError> {
        let user_counts = state.whole("known.user_counts")?.to_vec();
        let item_counts = state.whole("known.item_counts")?.to_vec();
        Ok(Self {
            mean: get_row(state, "known.mean", 1)?[0],
            user_means: get_row(state, "known.user_means", user_counts.len())?,
            item_means: get_row(state, "known.item_means", item_counts.len())?,
            user_counts,
            item_counts,
        })
    }
}

/// Mean (0 for an empty row) and length of every row.
fn row_means(m: &Interactions) -> (Vec<f32>, Vec<i64>) {
    let rows = (0..m.n_users()).map(|row| {
        let values = m.values(UserIdx::new(row));
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        ((sum / values.len().max(1) as f64) as f32, values.len() as i64)
    });
    rows.unzip()
}

/// The position of something that has a training rating.
fn place(
    what: &'static str,
    position: Option<usize>,
    counts: &[i64],
) -> Result<Option<usize>, ScoreError> {
    match position {
        Some(index) if index >= counts.len() => {
            Err(ScoreError::OutOfRange { what, index, len: counts.len() })
        }
        Some(index) if counts[index] > 0 => Ok(Some(index)),
        _ => Ok(None),
    }
}

/// Writes a vector as a matrix of one row.
pub(crate) fn put_row(state: &mut ModelState, key: &str, values: &[f32]) {
    if let Ok(row) = Matrix::from_vec(1, values.len(), values.to_vec()) {
        state.put(key, row);
    }
}

/// Reads what [`put_row`] wrote.
pub(crate) fn get_row(state: &ModelState, key: &str, len: usize) -> Result<Vec<f32>, RatingError> {
    Ok(state.shaped(key, 1, len)?.as_slice().to_vec())
}

/// Training ratings, as a model sees them.
pub(crate) struct Ratings<'a> {
    /// `[n_users, n_items]`.
    pub(crate) by_user: &'a Interactions,
    /// `[n_items, n_users]`.
    pub(crate) by_item: &'a Interactions,
    pub(crate) known: &'a Known,
    pub(crate) scale: [f32; 2],
}

/// An estimate for a pair that is known on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// The rating.
    pub(crate) value: f64,
    /// Whether fewer neighbours than asked for had a say.
    pub(crate) few: bool,
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Self {
        Self { value, few: false }
    }
}

/// A pair that is known on both sides.
pub(crate) type KnownPair = (u32, u32);

/// What a model's file holds: the fitted part.
pub(crate) trait Estimator: Send + Sync + Sized + 'static {
    /// The estimate for a known pair; `None` where the model has too few neighbours and leaves
    /// the answer to the means.
    fn estimate(&self, known: &Known, pair: KnownPair) -> Option<Estimate>;

    /// Estimates for many pairs; models that can share work between pairs do.
    fn estimate_all(&self, known: &Known, pairs: &[KnownPair]) -> Vec<Option<Estimate>> {
        pairs.par_iter().map(|&pair| self.estimate(known, pair)).collect()
    }

    /// The answer where a side is unknown; `None` leaves it to the means.
    fn partial(&self, _: &Known, _: Option<usize>, _: Option<usize>) -> Option<f64> {
        None
    }

    /// Writes itself.
    fn save(&self, state: &mut ModelState);
}

/// What a model's file holds: the parameters and how to learn.
pub(crate) trait Learner:
    Clone + Default + Send + Sync + Serialize + DeserializeOwned + 'static
{
    const NAME: &'static str;
    /// Whether users get different rankings.
    const PERSONAL: bool = true;
    type Model: Estimator;

    fn output(&self) -> &OutputConfig;

    /// Checks the parameters: the key, what was expected and what came.
    fn check(&self) -> Result<(), String>;

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<Self::Model, RatingError>;

    /// Reads what [`Estimator::save`] wrote.
    fn load(&self, state: &ModelState, known: &Known) -> Result<Self::Model, RatingError>;
}

/// A fitted model with everything around it.
pub(crate) struct Fitted<L: Learner> {
    learner: L,
    known: Known,
    scale: [f32; 2],
    model: L::Model,
}

/// Checks parameters and ratings, and learns.
pub(crate) fn fit<L: Learner>(
    learner: &L,
    ratings: &Interactions,
    learn: impl FnOnce(&Ratings<'_>) -> Result<L::Model, RatingError>,
) -> Result<Fitted<L>, RatingError> {
    check(learner)?;
    if ratings.nnz() == 0 {
        let reason = "expected ratings, found none".into();
        return Err(RatingError::Data { model: L::NAME.into(), reason });
    }
    let scale = scale(learner, ratings)?;
    let by_item = ratings.transpose();
    let known = Known::new(ratings, &by_item);
    let all = Ratings { by_user: ratings, by_item: &by_item, known: &known, scale };
    let model = learn(&all)?;
    Ok(Fitted { learner: learner.clone(), known, scale, model })
}

/// Checks the parameters.
pub(crate) fn check<L: Learner>(learner: &L) -> Result<(), RatingError> {
    let config = |reason| RatingError::Config { model: L::NAME.into(), reason };
    if let Some([low, high]) = learner.output().scale
        && !(low.is_finite() && high.is_finite() && low < high)
    {
        let reason = format!("output.scale: expected a low and a high end, found [{low}, {high}]");
        return Err(config(reason));
    }
    learner.check().map_err(config)
}

/// The scale of the parameters, which every rating must keep, or that of the ratings.
fn scale<L: Learner>(learner: &L, ratings: &Interactions) -> Result<[f32; 2], RatingError> {
    let ends = |[low, high]: [f32; 2], v: f32| [low.min(v), high.max(v)];
    let Some([low, high]) = learner.output().scale else {
        let all = ratings.iter().map(|t| t.value);
        return Ok(all.fold([f32::INFINITY, f32::NEG_INFINITY], ends));
    };
    match ratings.iter().find(|t| t.value < low || t.value > high) {
        None => Ok([low, high]),
        Some(t) => Err(RatingError::Data {
            model: L::NAME.into(),
            reason: format!(
                "user {}, item {}: expected a rating from {low} to {high}, found {}",
                t.user, t.item, t.value
            ),
        }),
    }
}

/// Loads what [`RatingPredictor::state`] of a [`Fitted`] gave.
pub(crate) fn load<L: Learner>(
    state: &ModelState,
) -> Result<Box<dyn RatingPredictor>, RatingError> {
    let text = state.text("config")?;
    let learner: L = serde_json::from_str(text)
        .map_err(|e| state.mismatch("config", "parameters of the model", &e.to_string()))?;
    check(&learner)?;
    let known = Known::load(state)?;
    let scale = get_row(state, "scale", 2)?;
    let model = learner.load(state, &known)?;
    Ok(Box::new(Fitted { learner, known, scale: [scale[0], scale[1]], model }))
}

/// Reads parameters: `null` gives the defaults, an unknown key is an error.
pub(crate) fn parse<L: Learner>(params: &Value) -> Result<L, RatingError> {
    if params.is_null() {
        return Ok(L::default());
    }
    L::deserialize(params)
        .map_err(|e| RatingError::Config { model: L::NAME.into(), reason: e.to_string() })
}

impl<L: Learner> Fitted<L> {
    fn finish(&self, pair: RatingPair, value: f64, fallback: Option<Fallback>) -> Answer {
        let unclipped = value as f32;
        if !unclipped.is_finite() {
            let user = pair.0.map_or(u32::MAX, |u| u.0);
            let item = pair.1.map_or(usize::MAX, ItemIdx::index);
            return Err(ScoreError::NotANumber { model: L::NAME.into(), user, item });
        }
        let [low, high] = self.scale;
        let value = if self.learner.output().clip { unclipped.clamp(low, high) } else { unclipped };
        Ok(Prediction { value, unclipped, fallback })
    }

    fn known_pair(&self, pair: RatingPair, sides: KnownPair, found: Option<Estimate>) -> Answer {
        let (user, item) = (sides.0 as usize, sides.1 as usize);
        let unknown = self.learner.output().unknown;
        let found = found.unwrap_or_else(|| Estimate {
            value: self.known.answer(Some(user), Some(item), unknown),
            few: true,
        });
        self.finish(pair, found.value, found.few.then_some(Fallback::FewNeighbours))
    }

    fn unknown_pair(
        &self,
        pair: RatingPair,
        user: Option<usize>,
        item: Option<usize>,
        why: Fallback,
    ) -> Answer {
        let value = self
            .model
            .partial(&self.known, user, item)
            .unwrap_or_else(|| self.known.answer(user, item, self.learner.output().unknown));
        self.finish(pair, value, Some(why))
    }
}

type Answer = Result<Prediction, ScoreError>;

/// A pair as the model sees it.
enum Sides {
    Known(KnownPair),
    Unknown(Option<usize>, Option<usize>, Fallback),
}

impl Sides {
    fn of(known: &Known, (user, item): RatingPair) -> Result<Self, ScoreError> {
        Ok(match (known.user(user)?, known.item(item)?) {
            (Some(u), Some(i)) => Self::Known((u as u32, i as u32)),
            (None, Some(i)) => Self::Unknown(None, Some(i), Fallback::UnknownUser),
            (Some(u), None) => Self::Unknown(Some(u), None, Fallback::UnknownItem),
            (None, None) => Self::Unknown(None, None, Fallback::UnknownBoth),
        })
    }
}

impl<L: Learner> RatingPredictor for Fitted<L> {
    fn name(&self) -> &str {
        L::NAME
    }

    fn n_users(&self) -> usize {
        self.known.user_counts.len()
    }

    fn n_items(&self) -> usize {
        self.known.item_counts.len()
    }

    fn capability(&self) -> Capability {
        if L::PERSONAL { Capability::personal() } else { Capability::default() }
    }

    fn predict(&self, user: Option<UserIdx>, item: Option<ItemIdx>) -> Answer {
        let pair = (user, item);
        match Sides::of(&self.known, pair)? {
            Sides::Known(sides) => {
                self.known_pair(pair, sides, self.model.estimate(&self.known, sides))
            }
            Sides::Unknown(user, item, why) => self.unknown_pair(pair, user, item, why),
        }
    }

    fn predict_all(&self, pairs: &[RatingPair]) -> Result<Vec<Prediction>, ScoreError> {
        let sides: Vec<Sides> =
            pairs.iter().map(|&pair| Sides::of(&self.known, pair)).collect::<Result<_, _>>()?;
        let asked = |s: &Sides| match s {
            Sides::Known(pair) => Some(*pair),
            Sides::Unknown(..) => None,
        };
        let known: Vec<KnownPair> = sides.iter().filter_map(asked).collect();
        let mut found = self.model.estimate_all(&self.known, &known).into_iter();
        let answer = |(&pair, sides): (&RatingPair, &Sides)| match *sides {
            Sides::Known(sides) => self.known_pair(pair, sides, found.next().flatten()),
            Sides::Unknown(user, item, why) => self.unknown_pair(pair, user, item, why),
        };
        pairs.iter().zip(&sides).map(answer).collect()
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(L::NAME);
        if let Ok(text) = serde_json::to_string(&self.learner) {
            state.meta.insert("config".into(), text);
        }
        self.known.save(&mut state);
        put_row(&mut state, "scale", &self.scale);
        self.model.save(&mut state);
        state
    }
}

/// Makes a [`Learner`] a [`quintet_core::FitRating`].
macro_rules! fit_rating {
    ($config:ty) => {
        impl quintet_core::FitRating for $config {
            fn name(&self) -> &str {
                <Self as $crate::rating::fitted::Learner>::NAME
            }

            fn config(&self) -> serde_json::Value {
                serde_json::to_value(self).unwrap_or_default()
            }

            fn fit(
                &self,
                ratings: &quintet_core::Interactions,
                seed: quintet_core::SeedStream,
            ) -> Result<Box<dyn quintet_core::RatingPredictor>, quintet_core::RatingError> {
                use $crate::rating::fitted::{Learner, fit};
                Ok(Box::new(fit(self, ratings, |all| Learner::learn(self, all, seed))?))
            }
        }
    };
}
pub(crate) use fit_rating;
