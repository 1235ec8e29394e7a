//! PMF: probabilistic matrix factorisation.
//!
//! R. Salakhutdinov, A. Mnih, "Probabilistic Matrix Factorization", NIPS 2007. Maximum a
//! posteriori with Gaussian priors is `Σ (r − p_u · q_i)² + λ_u Σ ‖p_u‖² + λ_v Σ ‖q_i‖²`, without
//! mean and biases. With `link: "logistic"` (the paper's equation 5) ratings are mapped to
//! `t ∈ [0, 1]` over the scale, and `σ(p · q)` is fitted to them.
//!
//! Differences from the paper: plain stochastic gradient descent without momentum, and `λ` is
//! charged per rating, as in Surprise's `SVD(biased=False)`, of which the identity link with
//! `l2_user = l2_item` is the same model. The unknown are answered by means. Cost:
//! `O(nnz · dim)` an epoch.

use quintet_core::{Learns, ModelState, RatingEntry, RatingError, SeedStream};
use serde::{Deserialize, Serialize};

use super::check::{at_least_one, not_negative, positive};
use super::factor_form::{FactorForm, Link, normal_table};
use super::fitted::{Known, Learner, OutputConfig, Ratings, fit_rating, load, parse};
use super::sgd::{Rows, Tour, Visits, dot, step};
use super::svd::{check_loss, values};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PmfConfig {
    /// Length of the factors.
    pub dim: usize,
    /// Passes over the ratings.
    pub epochs: usize,
    /// Step.
    pub lr: f32,
    /// `λ_u`.
    pub l2_user: f32,
    /// `λ_v`.
    pub l2_item: f32,
    /// Standard deviation of the factors at the start.
    pub init_std: f32,
    /// How the product of the factors becomes a rating.
    pub link: Link,
    /// Order of the ratings.
    pub visits: Visits,
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for PmfConfig {
    fn default() -> Self {
        Self {
            dim: 100,
            epochs: 20,
            lr: 0.005,
            l2_user: 0.02,
            l2_item: 0.02,
            init_std: 0.1,
            link: Link::Identity,
            visits: Visits::Sequential,
            output: OutputConfig::default(),
        }
    }
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: PmfConfig::NAME,
        summary: "matrix factorisation without biases, linear or logistic",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<PmfConfig>(params)?)),
        load: load::<PmfConfig>,
        tiny: &[
            r#"{"dim": 20, "epochs": 60, "lr": 0.03}"#,
            r#"{"dim": 8, "epochs": 80, "lr": 1.0, "l2_user": 0.001, "l2_item": 0.001, "link": "logistic"}"#,
        ],
    }
}

fit_rating!(PmfConfig);

impl Learner for PmfConfig {
    const NAME: &'static str = "pmf";
    type Model = FactorForm;

    fn output(&self) -> &OutputConfig {
        &self.output
    }

    fn check(&self) -> Result<(), String> {
        at_least_one("dim", self.dim)?;
        at_least_one("epochs", self.epochs)?;
        positive("lr", self.lr)?;
        not_negative("l2_user", self.l2_user)?;
        not_negative("l2_item", self.l2_item)?;
        not_negative("init_std", self.init_std)
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<FactorForm, RatingError> {
        let table = |rows, counter| {
            let rng = seed.rng("rating-factors", counter);
            Rows::of(&normal_table(rows, self.dim, (0.0, self.init_std), rng))
        };
        let mut users = table(ratings.by_user.n_users(), 0);
        let mut items = table(ratings.by_user.n_items(), 1);
        let (indices, values) = (ratings.by_user.indices(), values(ratings));
        let rate = f64::from(self.lr);
        let decay = [self.l2_user, self.l2_item].map(|l2| (rate * f64::from(l2)) as f32);
        let slope = Slope::new(self.link, ratings.scale);
        let mut tour = Tour::new(ratings.by_user, self.visits, seed);
        for epoch in 1..=self.epochs {
            let mut loss = 0.0;
            tour.epoch(epoch, |user, run| {
                let p = users.row_mut(user.index());
                for &at in run {
                    let q = items.row_mut(indices[at as usize].index());
                    let (error, gain) = slope.of(values[at as usize], dot(p, q));
                    loss += error * error;
                    step(p, q, decay, (rate * gain) as f32);
                }
            });
            check_loss(Self::NAME, epoch, loss / values.len() as f64)?;
        }
        FactorForm {
            users: users.into_matrix(),
            items: items.into_matrix(),
            biases: None,
            logistic: (self.link == Link::Logistic).then_some(ratings.scale),
        }
        .checked()
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<FactorForm, RatingError> {
        FactorForm::load(state, known, false, self.link == Link::Logistic)
    }
}

/// The error of a product and its slope.
struct Slope {
    link: Link,
    low: f64,
    /// One over the width of the scale; 0 for a scale without width.
    unit: f64,
}

impl Slope {
    fn new(link: Link, [low, high]: [f32; 2]) -> Self {
        let width = f64::from(high) - f64::from(low);
        let unit = if width > 0.0 { 1.0 / width } else { 0.0 };
        Self { link, low: f64::from(low), unit }
    }

    /// The error, and the error times the slope of the link.
    fn of(&self, rating: f32, product: f64) -> (f64, f64) {
        let rating = f64::from(rating);
        match self.link {
            Link::Identity => (rating - product, rating - product),
            Link::Logistic => {
                let g = 1.0 / (1.0 + (-product).exp());
                let error = (rating - self.low) * self.unit - g;
                (error, error * g * (1.0 - g))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_by_hand() {
        // 3 on a scale from 1 to 5 is t = 0.5; σ(0) = 0.5 with slope 0.25.
        let slope = Slope::new(Link::Logistic, [1.0, 5.0]);
        assert_eq!(slope.of(3.0, 0.0), (0.0, 0.0));
        assert_eq!(slope.of(5.0, 0.0), (0.5, 0.125));
        assert_eq!(Slope::new(Link::Identity, [1.0, 5.0]).of(5.0, 2.0), (3.0, 3.0));
    }
}
