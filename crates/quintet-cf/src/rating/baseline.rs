//! Baseline predictor: the mean and what a user and an item add to it.
//!
//! Y. Koren, "Factor in the Neighbors: Scalable and Accurate Collaborative Filtering", ACM TKDD
//! 2010. `b_ui = μ + b_u + b_i`. Alternating least squares, all items, then all users, a round:
//!
//! ```text
//! b_i = Σ_{u∈R(i)} (r_ui − μ − b_u) / (λ_i + n_i)
//! b_u = Σ_{i∈R(u)} (r_ui − μ − b_i) / (λ_u + n_u)
//! ```
//!
//! or stochastic gradient descent on `Σ (r_ui − b_ui)² + λ (b_u² + b_i²)`, by user, then item.
//! Both visit in the order of Surprise and agree with it. An unknown user or item adds nothing.
//! Cost: `O(nnz)` a round.

use quintet_core::{
    Interactions, Learns, ModelState, RatingEntry, RatingError, SeedStream, UserIdx,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check::{at_least_one, not_negative, positive};
use super::fitted::{
    Estimate, Estimator, Known, KnownPair, Learner, OutputConfig, Ratings, fit_rating, get_row,
    load, parse, put_row,
};

/// How biases are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasMethod {
    /// Alternating least squares.
    #[default]
    Als,
    /// Stochastic gradient descent.
    Sgd,
}

/// Parameters of the biases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BiasConfig {
    /// How they are found.
    pub method: BiasMethod,
    /// Rounds; absent: 10 for `als`, 20 for `sgd`.
    pub epochs: Option<usize>,
    /// `λ_u` of `als`.
    pub l2_user: f32,
    /// `λ_i` of `als`.
    pub l2_item: f32,
    /// `λ` of `sgd`.
    pub l2: f32,
    /// Step of `sgd`.
    pub lr: f32,
}

impl Default for BiasConfig {
    fn default() -> Self {
        Self {
            method: BiasMethod::Als,
            epochs: None,
            l2_user: 15.0,
            l2_item: 10.0,
            l2: 0.02,
            lr: 0.005,
        }
    }
}

impl BiasConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        at_least_one("biases.epochs", self.epochs.unwrap_or(1))?;
        not_negative("biases.l2_user", self.l2_user)?;
        not_negative("biases.l2_item", self.l2_item)?;
        not_negative("biases.l2", self.l2)?;
        positive("biases.lr", self.lr)
    }
}

/// Parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BaselineConfig {
    /// How the biases are found.
    pub biases: BiasConfig,
    /// How predictions are given out.
    pub output: OutputConfig,
}

/// What users and items add to the mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Biases {
    pub(crate) mean: f64,
    pub(crate) users: Vec<f64>,
    pub(crate) items: Vec<f64>,
}

impl Biases {
    /// Learns them from ratings by user and by item.
    pub(crate) fn learn(
        by_user: &Interactions,
        by_item: &Interactions,
        mean: f32,
        config: &BiasConfig,
    ) -> Self {
        let mut biases = Self {
            mean: f64::from(mean),
            users: vec![0.0; by_user.n_users()],
            items: vec![0.0; by_item.n_users()],
        };
        match config.method {
            BiasMethod::Als => {
                let (l2_user, l2_item) = (f64::from(config.l2_user), f64::from(config.l2_item));
                for _ in 0..config.epochs.unwrap_or(10) {
                    solve(&mut biases.items, by_item, biases.mean, &biases.users, l2_item);
                    solve(&mut biases.users, by_user, biases.mean, &biases.items, l2_user);
                }
            }
            BiasMethod::Sgd => {
                for _ in 0..config.epochs.unwrap_or(20) {
                    biases.descend(by_user, config);
                }
            }
        }
        biases
    }

    fn descend(&mut self, ratings: &Interactions, config: &BiasConfig) {
        let (rate, l2) = (f64::from(config.lr), f64::from(config.l2));
        for t in ratings.iter() {
            let (user, item) = (t.user.index(), t.item.index());
            let error = f64::from(t.value) - (self.mean + self.users[user] + self.items[item]);
            self.users[user] += rate * (error - l2 * self.users[user]);
            self.items[item] += rate * (error - l2 * self.items[item]);
        }
    }

    pub(crate) fn of(&self, user: Option<usize>, item: Option<usize>) -> f64 {
        self.mean + user.map_or(0.0, |u| self.users[u]) + item.map_or(0.0, |i| self.items[i])
    }

    /// Refuses biases that have no numbers, as a step that is too large leaves behind.
    pub(crate) fn check(&self, model: &str) -> Result<(), RatingError> {
        if self.users.iter().chain(&self.items).all(|b| b.is_finite()) {
            return Ok(());
        }
        Err(RatingError::Diverged { model: model.into(), epoch: 0, loss: f64::NAN })
    }
}

/// One side of the alternating form: `rows` lists the ratings of each of `out`.
fn solve(out: &mut [f64], rows: &Interactions, mean: f64, others: &[f64], l2: f64) {
    out.par_iter_mut().enumerate().for_each(|(row, bias)| {
        let row = UserIdx::new(row);
        let (columns, values) = (rows.items(row), rows.values(row));
        let rest: f64 = columns
            .iter()
            .zip(values)
            .map(|(column, &value)| f64::from(value) - mean - others[column.index()])
            .sum();
        let weight = l2 + values.len() as f64;
        *bias = if weight > 0.0 { rest / weight } else { 0.0 };
    });
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: BaselineConfig::NAME,
        summary: "the mean and what the user and the item add to it",
        learns: Learns::Level,
        build: |params| Ok(Box::new(parse::<BaselineConfig>(params)?)),
        load: load::<BaselineConfig>,
        tiny: &["{}", r#"{"biases": {"method": "sgd", "lr": 0.05}}"#],
    }
}

fit_rating!(BaselineConfig);

impl Learner for BaselineConfig {
    const NAME: &'static str = "baseline";
    const PERSONAL: bool = false;
    type Model = Baseline;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        self.biases.check()
    }

    fn learn(&self, ratings: &Ratings<'_>, _: SeedStream) -> Result<Baseline, RatingError> {
        let mean = ratings.known.mean;
        let biases = Biases::learn(ratings.by_user, ratings.by_item, mean, &self.biases);
        biases.check(Self::NAME)?;
        Ok(Baseline::rounded(&biases))
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<Baseline, RatingError> {
        let users = get_row(state, "user_bias", known.user_means.len())?;
        let items = get_row(state, "item_bias", known.item_means.len())?;
        Ok(Baseline { users, items })
    }
}

/// The fitted part, as it is saved: in 32 bits.
pub(crate) struct Baseline {
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Baseline {
    fn rounded(biases: &Biases) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
        Self { users: narrow(&biases.users), items: narrow(&biases.items) }
    }

    fn of(&self, known: &Known, user: Option<usize>, item: Option<usize>) -> f64 {
        let add = |side: &[f32], at: Option<usize>| at.map_or(0.0, |at| f64::from(side[at]));
        f64::from(known.mean) + add(&self.users, user) + add(&self.items, item)
    }
}

impl Estimator for Baseline {
    fn estimate(&self, known: &Known, (user, item): KnownPair) -> Option<Estimate> {
        Some(self.of(known, Some(user as usize), Some(item as usize)).into())
    }

    fn partial(&self, known: &Known, user: Option<usize>, item: Option<usize>) -> Option<f64> {
        Some(self.of(known, user, item))
    }

    fn save(&self, state: &mut ModelState) {
        put_row(state, "user_bias", &self.users);
        put_row(state, "item_bias", &self.items);
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{ItemIdx, Triplet};

    use super::*;

    #[test]
    fn one_round_of_each_method_by_hand() {
        // μ = 3; user 0 gives item 0 a 5, user 1 gives it a 1.
        let cells = [(0u32, 5.0f32), (1, 1.0)];
        let cell = |(u, value)| Triplet { user: UserIdx(u), item: ItemIdx(0), value };
        let ratings = Interactions::from_triplets(2, 1, cells.map(cell)).unwrap();
        let by_item = ratings.transpose();
        let als = BiasConfig { epochs: Some(1), l2_user: 1.0, ..BiasConfig::default() };
        let found = Biases::learn(&ratings, &by_item, 3.0, &als);
        // b_i = (2 − 2) / (10 + 2) = 0; b_0 = 2 / (1 + 1), b_1 = −2 / (1 + 1).
        assert_eq!((found.items[0], &found.users[..]), (0.0, &[1.0, -1.0][..]));
        let sgd = BiasConfig {
            method: BiasMethod::Sgd,
            epochs: Some(1),
            lr: 0.5,
            l2: 0.0,
            ..BiasConfig::default()
        };
        let found = Biases::learn(&ratings, &by_item, 3.0, &sgd);
        // First e = 2: b_0 = b_i = 1. Then e = 1 − (3 + 0 + 1) = −3: b_1 = −1.5, b_i = −0.5.
        assert_eq!((found.items[0], &found.users[..]), (-0.5, &[1.0, -1.5][..]));
    }
}
