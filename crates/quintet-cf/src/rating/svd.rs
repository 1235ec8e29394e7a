//! Funk SVD: biased matrix factorisation of ratings.
//!
//! S. Funk, "Netflix Update: Try This at Home", 2006; Y. Koren, R. Bell, C. Volinsky, "Matrix
//! Factorization Techniques for Recommender Systems", IEEE Computer 2009. With
//! `r̂_ui = μ + b_u + b_i + q_i · p_u` and `e = r − r̂`:
//!
//! ```text
//! b_u += γ (e − λ b_u)      p_u += γ (e q_i − λ p_u)
//! b_i += γ (e − λ b_i)      q_i += γ (e p_u − λ q_i)        p_u as it was before
//! ```
//!
//! The defaults and the order of visits are those of Surprise, with which it agrees from equal
//! starts; `biased: false` leaves out `μ` and the biases. Funk's own program trained one factor
//! after the other; nobody does any more. Cost: `O(nnz · dim)` an epoch.

use quintet_core::{Learns, Matrix, ModelState, RatingEntry, RatingError, SeedStream};
use serde::{Deserialize, Serialize};

use super::check::{at_least_one, not_negative, positive};
use super::factor_form::{FactorForm, normal_table};
use super::fitted::{Known, Learner, OutputConfig, Ratings, fit_rating, load, parse};
use super::sgd::{Rows, Tour, Visits, dot, step};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SvdConfig {
    /// Length of the factors.
    pub dim: usize,
    /// Passes over the ratings.
    pub epochs: usize,
    /// Whether users and items have biases, on top of the mean.
    pub biased: bool,
    /// `γ`.
    pub lr: f32,
    /// `λ`.
    pub l2: f32,
    /// Mean of the factors at the start.
    pub init_mean: f32,
    /// Standard deviation of the factors at the start.
    pub init_std: f32,
    /// Order of the ratings.
    pub visits: Visits,
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for SvdConfig {
    fn default() -> Self {
        Self {
            dim: 100,
            epochs: 20,
            biased: true,
            lr: 0.005,
            l2: 0.02,
            init_mean: 0.0,
            init_std: 0.1,
            visits: Visits::Sequential,
            output: OutputConfig::default(),
        }
    }
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: SvdConfig::NAME,
        summary: "matrix factorisation with biases, by stochastic gradient descent",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<SvdConfig>(params)?)),
        load: load::<SvdConfig>,
        tiny: &[
            r#"{"dim": 6, "epochs": 60, "lr": 0.03}"#,
            r#"{"dim": 6, "epochs": 60, "lr": 0.03, "visits": "shuffled"}"#,
            r#"{"dim": 20, "epochs": 60, "lr": 0.03, "biased": false, "visits": "users"}"#,
        ],
    }
}

fit_rating!(SvdConfig);

impl Learner for SvdConfig {
    const NAME: &'static str = "svd";
    type Model = FactorForm;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        at_least_one("dim", self.dim)?;
        at_least_one("epochs", self.epochs)?;
        positive("lr", self.lr)?;
        not_negative("l2", self.l2)?;
        not_negative("init_mean", self.init_mean.abs())?;
        not_negative("init_std", self.init_std)
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<FactorForm, RatingError> {
        let init = (self.init_mean, self.init_std);
        let table =
            |rows, counter| normal_table(rows, self.dim, init, seed.rng("rating-factors", counter));
        let (n_users, n_items) = (ratings.by_user.n_users(), ratings.by_user.n_items());
        self.learn_from(ratings, seed, &table(n_users, 0), &table(n_items, 1))
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<FactorForm, RatingError> {
        FactorForm::load(state, known, self.biased, false)
    }
}

impl SvdConfig {
    /// Learns from a given start: `[n_users, dim]` and `[n_items, dim]`.
    pub(crate) fn learn_from(
        &self,
        ratings: &Ratings<'_>,
        seed: SeedStream,
        users: &Matrix,
        items: &Matrix,
    ) -> Result<FactorForm, RatingError> {
        let (indices, values) = (ratings.by_user.indices(), values(ratings));
        let (mut users, mut items) = (Rows::of(users), Rows::of(items));
        let mut user_bias = vec![0.0f64; ratings.by_user.n_users()];
        let mut item_bias = vec![0.0f64; ratings.by_user.n_items()];
        let (rate, l2) = (f64::from(self.lr), f64::from(self.l2));
        let decay = (rate * l2) as f32;
        let mean = if self.biased { f64::from(ratings.known.mean) } else { 0.0 };
        let mut tour = Tour::new(ratings.by_user, self.visits, seed);
        for epoch in 1..=self.epochs {
            let mut loss = 0.0;
            tour.epoch(epoch, |user, run| {
                let p = users.row_mut(user.index());
                let mut own = user_bias[user.index()];
                for &at in run {
                    let item = indices[at as usize].index();
                    let q = items.row_mut(item);
                    let other = &mut item_bias[item];
                    let error = f64::from(values[at as usize]) - (mean + own + *other + dot(p, q));
                    loss += error * error;
                    if self.biased {
                        own += rate * (error - l2 * own);
                        *other += rate * (error - l2 * *other);
                    }
                    step(p, q, [decay, decay], (rate * error) as f32);
                }
                user_bias[user.index()] = own;
            });
            check_loss(Self::NAME, epoch, loss / values.len() as f64)?;
        }
        let narrow = |b: Vec<f64>| b.iter().map(|&b| b as f32).collect();
        FactorForm {
            users: users.into_matrix(),
            items: items.into_matrix(),
            biases: self.biased.then(|| (narrow(user_bias), narrow(item_bias))),
            logistic: None,
        }
        .checked()
    }
}

/// The values of the ratings, one after the other.
pub(crate) fn values(ratings: &Ratings<'_>) -> Vec<f32> {
    ratings.by_user.iter().map(|t| t.value).collect()
}

/// Refuses an error that is not a number any more.
pub(crate) fn check_loss(model: &str, epoch: usize, loss: f64) -> Result<(), RatingError> {
    if loss.is_finite() {
        return Ok(());
    }
    Err(RatingError::Diverged { model: model.into(), epoch, loss })
}

#[cfg(test)]
mod tests {
    use quintet_core::{FitRating, Interactions, ItemIdx, Triplet, UserIdx};

    use super::super::fitted::fit;
    use super::*;

    fn one_rating() -> Interactions {
        let (user, item) = (UserIdx(0), ItemIdx(0));
        Interactions::from_triplets(1, 1, [Triplet { user, item, value: 3.0 }]).unwrap()
    }

    #[test]
    fn one_step_by_hand() {
        // μ = 3, p = 1, q = 2: e = 3 − 5 = −2; γ = 0.1, λ = 0.5.
        let config = SvdConfig { dim: 1, epochs: 1, lr: 0.1, l2: 0.5, ..SvdConfig::default() };
        let table = |v| Matrix::from_vec(1, 1, vec![v]).unwrap();
        let seed = SeedStream::new(1);
        let model = |ratings: &Ratings<'_>| {
            let model = config.learn_from(ratings, seed, &table(1.0), &table(2.0))?;
            let (users, items) = model.biases.clone().unwrap();
            assert_eq!((users[0], items[0]), (-0.2, -0.2));
            // p + 0.1 (−2 · 2 − 0.5 · 1), q + 0.1 (−2 · 1 − 0.5 · 2).
            assert!((model.users.row(0)[0] - 0.55).abs() < 1e-6);
            assert!((model.items.row(0)[0] - 1.7).abs() < 1e-6);
            Ok(model)
        };
        fit(&config, &one_rating(), model).map(drop).unwrap();
    }

    #[test]
    fn a_step_that_is_too_large_is_told() {
        let config = SvdConfig { lr: 1e6, ..SvdConfig::default() };
        let found = config.fit(&one_rating(), SeedStream::new(1)).map(drop);
        assert!(matches!(found, Err(RatingError::Diverged { .. })), "{found:?}");
    }
}
