//! Sums of normalised scores.
//!
//! ```text
//! CombSUM   Σ_n w_n norm_n(s_n(i))          CombMNZ   CombSUM · number of lists with i
//! ```
//! Fox & Shaw, "Combination of Multiple Searches", TREC-2 1994. What an absent item adds is in
//! [`Normalise::filled`]. Parameters: `N`, with weights per user `N` for each user with evidence;
//! cost `O(N L)`.

use quintet_core::{ModelState, SeedStream};
use quintet_tensor::{FitError, parse_params};
use serde::{Deserialize, Serialize};

use super::{
    Ballot, DecisionEntry, DecisionFusion, ItemFacts, Lesson, Normalise, PerUserWeights,
    best_weights, checked_weights, config, held_out_gain, title,
};

pub(crate) const ENTRY: DecisionEntry = DecisionEntry {
    name: "weighted",
    summary: "weighted sum of normalised scores; weights given, searched or per user",
    build: |params, n| Ok(Box::new(Weighted::new(parse_params(&title("weighted"), params)?, n)?)),
};

pub(crate) const COMB_MNZ: DecisionEntry = DecisionEntry {
    name: "combmnz",
    summary: "sum of normalised scores times the number of lists (Fox & Shaw 1994)",
    build: |params, n| Ok(Box::new(CombMnz::new(parse_params(&title("combmnz"), params)?, n)?)),
};

/// How weights are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearnWeights {
    /// They are given, or equal.
    #[default]
    No,
    /// By search on what was held out, once for everybody.
    Search,
    /// As `search`, and for each user, shrunk towards those of everybody.
    PerUser,
}

/// Parameters of [`Weighted`] and [`CombMnz`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightedSumParams {
    /// The scale of the scores.
    pub normalise: Normalise,
    /// One a model; equal by default.
    pub weights: Option<Vec<f64>>,
    /// Whether they are learned; `weights` must then be absent.
    pub learn: LearnWeights,
    /// Step of the search.
    pub step: f64,
    /// How many held-out interactions weigh as much as the global weights.
    pub strength: f64,
}

impl Default for WeightedSumParams {
    fn default() -> Self {
        let (normalise, learn) = (Normalise::default(), LearnWeights::default());
        Self { normalise, weights: None, learn, step: 0.1, strength: 20.0 }
    }
}

/// Weighted sum of normalised scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    params: WeightedSumParams,
    /// `None` until they are learned.
    weights: Option<PerUserWeights>,
    n_models: usize,
}

impl Weighted {
    /// For so many models.
    ///
    /// # Errors
    /// A parameter is out of range, there are other weights than models, or weights are given and
    /// to be learned.
    pub fn new(params: WeightedSumParams, n_models: usize) -> Result<Self, FitError> {
        let given = checked_weights("weighted", params.weights.as_deref(), n_models)?;
        if !(params.strength.is_finite() && params.strength > 0.0) {
            let reason = format!("strength is {}, more than 0 is needed", params.strength);
            return Err(config("weighted", reason));
        }
        let learns = params.learn != LearnWeights::No;
        if learns && params.weights.is_some() {
            return Err(config(
                "weighted",
                "weights are given, and learn asks to learn them".into(),
            ));
        }
        // Refuses a bad step before a model has cost time.
        let step = format!("step is {}, one over a whole number is needed", params.step);
        best_weights(1, params.step, |_| Ok(0.0)).map_err(|_| config("weighted", step))?;
        let weights = (!learns).then(|| PerUserWeights::new(given));
        Ok(Self { params, weights, n_models })
    }

    fn weights(&self, user: usize) -> Result<&[f64], FitError> {
        let missing = || config("weighted", "the weights are to be learned first".into());
        self.weights.as_ref().map(|w| w.of(user)).ok_or_else(missing)
    }

    fn scaled(&self, rows: &[Vec<Option<f32>>]) -> Result<Vec<Vec<f64>>, FitError> {
        rows.iter().map(|row| self.params.normalise.filled(row)).collect()
    }
}

/// `Σ_n w_n rows_n`.
fn sum(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; rows.first().map_or(0, Vec::len)];
    for (row, weight) in rows.iter().zip(weights) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += weight * v);
    }
    sum
}

impl DecisionFusion for Weighted {
    fn name(&self) -> &str {
        "weighted"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        ballot.check("weighted", self.n_models)?;
        Ok(sum(&self.scaled(ballot.rows)?, self.weights(ballot.user)?))
    }

    fn addends(&self, ballot: &Ballot<'_>, item: usize) -> Result<Vec<f64>, FitError> {
        ballot.check("weighted", self.n_models)?;
        let weights = self.weights(ballot.user)?;
        let rows = self.scaled(ballot.rows)?;
        Ok(rows.iter().zip(weights).map(|(row, weight)| weight * row[item]).collect())
    }

    fn learns(&self) -> bool {
        self.params.learn != LearnWeights::No
    }

    fn learn(
        &mut self,
        lessons: &[Lesson],
        facts: &ItemFacts,
        _seed: SeedStream,
    ) -> Result<(), FitError> {
        if !self.learns() {
            return Ok(());
        }
        struct Scaled {
            user: usize,
            rows: Vec<Vec<f64>>,
            listed: Vec<bool>,
            held: Vec<usize>,
        }
        let mut scaled = Vec::with_capacity(lessons.len());
        for lesson in lessons.iter().filter(|l| !l.held.is_empty()) {
            let (user, user_count) = (lesson.user, lesson.user_count);
            let ballot = Ballot { rows: &lesson.rows, user, user_count, facts };
            ballot.check("weighted", self.n_models)?;
            let listed = |i: usize| lesson.rows.iter().any(|row| row[i].is_some());
            scaled.push(Scaled {
                user,
                rows: self.scaled(&lesson.rows)?,
                listed: (0..ballot.n_items()).map(listed).collect(),
                held: lesson.held.clone(),
            });
        }
        if scaled.is_empty() {
            let reason = "nothing was held out to learn weights from".into();
            return Err(FitError::Data { model: title("weighted"), reason });
        }
        let gain =
            |one: &Scaled, w: &[f64]| held_out_gain(&sum(&one.rows, w), &one.listed, &one.held);
        let mean = |w: &[f64]| scaled.iter().map(|one| gain(one, w)).sum::<f64>();
        let global =
            best_weights(self.n_models, self.params.step, |w| Ok(mean(w) / scaled.len() as f64))?;
        let mut weights = PerUserWeights::new(global);
        if self.params.learn == LearnWeights::PerUser {
            let own = |one: &Scaled| {
                let best = best_weights(self.n_models, self.params.step, |w| Ok(gain(one, w)))?;
                Ok((one.user, one.held.len(), best))
            };
            let evidence = scaled.iter().map(own).collect::<Result<Vec<_>, FitError>>()?;
            weights = weights.shrink(evidence, self.params.strength);
        }
        self.weights = Some(weights.rounded());
        Ok(())
    }

    fn save(&self, prefix: &str, state: &mut ModelState) {
        if let Some(weights) = self.weights.as_ref().filter(|_| self.learns()) {
            weights.save(prefix, state);
        }
    }

    fn load(&mut self, prefix: &str, state: &ModelState) -> Result<(), FitError> {
        if self.learns() {
            self.weights = Some(PerUserWeights::load(prefix, state, self.n_models)?);
        }
        Ok(())
    }
}

/// Sum of normalised scores times the number of lists that hold the item.
#[derive(Debug, Clone, PartialEq)]
pub struct CombMnz {
    sum: Weighted,
}

impl CombMnz {
    /// For so many models. Scales whose numbers are below 0 are refused: more lists would then
    /// lower the score.
    ///
    /// # Errors
    /// As [`Weighted::new`]; the scale is `z_score`; or weights are to be learned.
    pub fn new(params: WeightedSumParams, n_models: usize) -> Result<Self, FitError> {
        if params.normalise == Normalise::ZScore {
            let reason =
                "normalise = \"z_score\" has numbers below 0; known: min_max, rank, softmax";
            return Err(config("combmnz", reason.into()));
        }
        if params.learn != LearnWeights::No {
            return Err(config("combmnz", "it learns no weights; `weighted` does".into()));
        }
        let weights = params.weights.clone().unwrap_or_else(|| vec![1.0; n_models]);
        let params = WeightedSumParams { weights: Some(weights), ..params };
        Ok(Self { sum: Weighted::new(params, n_models)? })
    }
}

impl DecisionFusion for CombMnz {
    fn name(&self) -> &str {
        "combmnz"
    }

    fn fuse(&self, ballot: &Ballot<'_>) -> Result<Vec<f64>, FitError> {
        let mut scores = self.sum.fuse(ballot)?;
        for (item, score) in scores.iter_mut().enumerate() {
            *score *= ballot.rows.iter().filter(|row| row[item].is_some()).count() as f64;
        }
        Ok(scores)
    }

    fn addends(&self, ballot: &Ballot<'_>, item: usize) -> Result<Vec<f64>, FitError> {
        let mut addends = self.sum.addends(ballot, item)?;
        let lists = ballot.rows.iter().filter(|row| row[item].is_some()).count() as f64;
        addends.iter_mut().for_each(|a| *a *= lists);
        Ok(addends)
    }
}
