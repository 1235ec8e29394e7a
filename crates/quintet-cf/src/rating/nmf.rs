//! NMF: non-negative matrix factorisation of the observed ratings.
//!
//! X. Luo, M. Zhou, Y. Xia, Q. Zhu, "An Efficient Non-Negative Matrix-Factorization-Based Approach
//! to Collaborative Filtering for Recommender Systems", IEEE TII 2014. `r̂_ui = p_u · q_i`, all
//! factors at least 0, by steps that multiply:
//!
//! ```text
//! p_uf ← p_uf · Σ_{i∈R(u)} q_if r_ui / ( Σ_{i∈R(u)} q_if r̂_ui + λ_u n_u p_uf )
//! q_if ← q_if · Σ_{u∈R(i)} p_uf r_ui / ( Σ_{u∈R(i)} p_uf r̂_ui + λ_i n_i q_if )
//! ```
//!
//! Both sides move at once from the old factors, as in Surprise, with which it agrees from equal
//! starts. `biased` adds `μ + b_u + b_i`, learned by gradient steps in the order of the ratings
//! (Surprise's option; it overfits easily). Difference: a denominator of 0 leaves a factor as it
//! is. Ratings below 0 are refused. Factors are 64-bit while they are learned. Cost:
//! `O(nnz · dim)` an epoch, users and items in parallel.

use quintet_core::{
    Interactions, Learns, Matrix, ModelState, RatingEntry, RatingError, SeedStream, UserIdx,
};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::check::{at_least_one, not_negative, positive};
use super::factor_form::FactorForm;
use super::fitted::{Known, Learner, OutputConfig, Ratings, fit_rating, load, parse};
use super::svd::{check_loss, values};

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NmfConfig {
    /// Length of the factors.
    pub dim: usize,
    /// Passes over the ratings.
    pub epochs: usize,
    /// Whether users and items have biases, on top of the mean.
    pub biased: bool,
    /// `λ_u`.
    pub l2_user: f32,
    /// `λ_i`.
    pub l2_item: f32,
    /// `λ` of the biases.
    pub l2_bias: f32,
    /// Step of the biases.
    pub lr: f32,
    /// Lowest and highest factor at the start.
    pub init: [f32; 2],
    /// How predictions are given out.
    pub output: OutputConfig,
}

impl Default for NmfConfig {
    fn default() -> Self {
        Self {
            dim: 15,
            epochs: 50,
            biased: false,
            l2_user: 0.06,
            l2_item: 0.06,
            l2_bias: 0.02,
            lr: 0.005,
            init: [0.0, 1.0],
            output: OutputConfig::default(),
        }
    }
}

pub(crate) fn entry() -> RatingEntry {
    RatingEntry {
        name: NmfConfig::NAME,
        summary: "non-negative matrix factorisation of the observed ratings",
        learns: Learns::Taste,
        build: |params| Ok(Box::new(parse::<NmfConfig>(params)?)),
        load: load::<NmfConfig>,
        tiny: &[
            r#"{"dim": 6, "epochs": 200, "l2_user": 0.02, "l2_item": 0.02}"#,
            r#"{"dim": 6, "epochs": 200, "biased": true}"#,
        ],
    }
}

fit_rating!(NmfConfig);

impl Learner for NmfConfig {
    const NAME: &'static str = "nmf";
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
        not_negative("l2_bias", self.l2_bias)?;
        let [low, high] = self.init;
        if !(0.0 <= low && low < high && high.is_finite()) {
            return Err(format!("init: expected 0 <= low < high, found [{low}, {high}]"));
        }
        Ok(())
    }

    fn learn(&self, ratings: &Ratings<'_>, seed: SeedStream) -> Result<FactorForm, RatingError> {
        let table = |rows: usize, counter| {
            let mut rng = seed.rng("rating-factors", counter);
            let [low, high] = self.init;
            let mut table = Matrix::zeros(rows, self.dim);
            table.as_mut_slice().fill_with(|| rng.random_range(low..high));
            table
        };
        let (n_users, n_items) = (ratings.by_user.n_users(), ratings.by_user.n_items());
        self.learn_from(ratings, &table(n_users, 0), &table(n_items, 1))
    }

    fn load(&self, state: &ModelState, known: &Known) -> Result<FactorForm, RatingError> {
        FactorForm::load(state, known, self.biased, false)
    }
}

impl NmfConfig {
    /// Learns from a given start: `[n_users, dim]` and `[n_items, dim]`.
    pub(crate) fn learn_from(
        &self,
        ratings: &Ratings<'_>,
        users: &Matrix,
        items: &Matrix,
    ) -> Result<FactorForm, RatingError> {
        refuse_negative(ratings)?;
        let wide = |m: &Matrix| m.as_slice().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (mut users, mut items) = (wide(users), wide(items));
        let mut biases = Biases::new(self, ratings);
        let values = values(ratings);
        let places = places_by_item(ratings.by_user);
        let mut guesses = vec![0.0f64; values.len()];
        for epoch in 1..=self.epochs {
            products(ratings.by_user, self.dim, &users, &items, &mut guesses);
            let loss = biases.add(ratings.by_user, &values, &mut guesses);
            check_loss(Self::NAME, epoch, loss / values.len() as f64)?;
            let (old_users, old_items) = (users.clone(), items.clone());
            let data = (values.as_slice(), guesses.as_slice());
            let own = Side { rows: ratings.by_user, places: None, l2: self.l2_user };
            own.multiply(self.dim, &mut users, &old_items, data);
            let own = Side { rows: ratings.by_item, places: Some(&places), l2: self.l2_item };
            own.multiply(self.dim, &mut items, &old_users, data);
        }
        let narrow = |rows: usize, v: Vec<f64>| {
            Matrix::from_vec(rows, self.dim, v.iter().map(|&v| v as f32).collect())
        };
        FactorForm {
            users: narrow(ratings.by_user.n_users(), users)?,
            items: narrow(ratings.by_user.n_items(), items)?,
            biases: self.biased.then(|| biases.rounded()),
            logistic: None,
        }
        .checked()
    }
}

fn refuse_negative(ratings: &Ratings<'_>) -> Result<(), RatingError> {
    match ratings.by_user.iter().find(|t| t.value < 0.0) {
        None => Ok(()),
        Some(t) => Err(RatingError::Data {
            model: NmfConfig::NAME.into(),
            reason: format!(
                "user {}, item {}: expected ratings of at least 0, found {}",
                t.user, t.item, t.value
            ),
        }),
    }
}

/// For the ratings by item, where they stand by user.
fn places_by_item(by_user: &Interactions) -> Vec<u32> {
    let mut places: Vec<u32> = (0..by_user.nnz() as u32).collect();
    // Stable: users stay in order within an item.
    places.sort_by_key(|&at| by_user.indices()[at as usize]);
    places
}

/// `p_u · q_i` of every rating.
fn products(by_user: &Interactions, dim: usize, users: &[f64], items: &[f64], out: &mut [f64]) {
    let mut rows: Vec<(&[f64], &[quintet_core::ItemIdx], &mut [f64])> = Vec::new();
    let mut rest = out;
    for (user, p) in users.chunks_exact(dim).enumerate() {
        let own = by_user.items(UserIdx::new(user));
        let (head, tail) = rest.split_at_mut(own.len());
        rows.push((p, own, head));
        rest = tail;
    }
    rows.into_par_iter().for_each(|(p, own, out)| {
        for (out, item) in out.iter_mut().zip(own) {
            let q = &items[item.index() * dim..][..dim];
            *out = p.iter().zip(q).map(|(p, q)| p * q).sum();
        }
    });
}

/// One side of the factors: users, or items.
struct Side<'a> {
    /// Its ratings, a row each.
    rows: &'a Interactions,
    /// Where the ratings of the rows stand by user; `None`: they are by user.
    places: Option<&'a [u32]>,
    l2: f32,
}

impl Side<'_> {
    /// One step that multiplies. `others` are the old factors of the other side.
    fn multiply(
        &self,
        dim: usize,
        factors: &mut [f64],
        others: &[f64],
        (values, guesses): (&[f32], &[f64]),
    ) {
        let l2 = f64::from(self.l2);
        factors.par_chunks_exact_mut(dim).enumerate().for_each_init(
            || (vec![0.0f64; dim], vec![0.0f64; dim]),
            |(above, below), (row, factors)| {
                above.fill(0.0);
                below.fill(0.0);
                let from = self.rows.indptr()[row];
                let columns = self.rows.items(UserIdx::new(row));
                for (nth, column) in columns.iter().enumerate() {
                    let at = self.places.map_or(from + nth, |p| p[from + nth] as usize);
                    let (value, guess) = (f64::from(values[at]), guesses[at]);
                    let other = &others[column.index() * dim..][..dim];
                    for ((a, b), o) in above.iter_mut().zip(below.iter_mut()).zip(other) {
                        *a += o * value;
                        *b += o * guess;
                    }
                }
                let weight = columns.len() as f64 * l2;
                for ((f, a), b) in factors.iter_mut().zip(above.iter()).zip(below.iter()) {
                    let below = b + weight * *f;
                    if below > 0.0 {
                        *f *= a / below;
                    }
                }
            },
        );
    }
}

/// The biases of the biased form; without it they stay 0.
struct Biases {
    biased: bool,
    mean: f64,
    rate: f64,
    l2: f64,
    users: Vec<f64>,
    items: Vec<f64>,
}

impl Biases {
    fn new(config: &NmfConfig, ratings: &Ratings<'_>) -> Self {
        Self {
            biased: config.biased,
            mean: if config.biased { f64::from(ratings.known.mean) } else { 0.0 },
            rate: f64::from(config.lr),
            l2: f64::from(config.l2_bias),
            users: vec![0.0; ratings.by_user.n_users()],
            items: vec![0.0; ratings.by_user.n_items()],
        }
    }

    /// Adds mean and biases to the products, moving the biases as it goes; gives the sum of
    /// squared errors.
    fn add(&mut self, by_user: &Interactions, values: &[f32], guesses: &mut [f64]) -> f64 {
        let mut loss = 0.0;
        for ((t, guess), &value) in by_user.iter().zip(guesses).zip(values) {
            let (own, other) = (&mut self.users[t.user.index()], &mut self.items[t.item.index()]);
            *guess += self.mean + *own + *other;
            let error = f64::from(value) - *guess;
            loss += error * error;
            if self.biased {
                *own += self.rate * (error - self.l2 * *own);
                *other += self.rate * (error - self.l2 * *other);
            }
        }
        loss
    }

    fn rounded(&self) -> (Vec<f32>, Vec<f32>) {
        let narrow = |b: &[f64]| b.iter().map(|&b| b as f32).collect();
        (narrow(&self.users), narrow(&self.items))
    }
}

#[cfg(test)]
mod tests {
    use quintet_core::{FitRating, ItemIdx, Triplet};

    use super::super::fitted::fit;
    use super::*;

    fn ratings(values: [f32; 2]) -> Interactions {
        let cell =
            |i: u32| Triplet { user: UserIdx(0), item: ItemIdx(i), value: values[i as usize] };
        Interactions::from_triplets(1, 2, [cell(0), cell(1)]).unwrap()
    }

    #[test]
    fn one_step_by_hand() {
        let config =
            NmfConfig { dim: 1, epochs: 1, l2_user: 0.5, l2_item: 0.0, ..NmfConfig::default() };
        let (p, q) = (
            Matrix::from_vec(1, 1, vec![2.0]).unwrap(),
            Matrix::from_vec(2, 1, vec![1.0, 0.5]).unwrap(),
        );
        let check = |all: &Ratings<'_>| {
            let model = config.learn_from(all, &p, &q)?;
            // r̂ = (2, 1); p · (1 · 4 + 0.5 · 2) / (1 · 2 + 0.5 · 1 + 0.5 · 2 · 2) = 2 · 5 / 4.5.
            assert!((model.users.as_slice()[0] - 10.0 / 4.5).abs() < 1e-6);
            // q_0 · (2 · 4) / (2 · 2), q_1 · (2 · 2) / (2 · 1).
            assert_eq!(model.items.as_slice(), [2.0, 1.0]);
            Ok(model)
        };
        fit(&config, &ratings([4.0, 2.0]), check).map(drop).unwrap();
    }

    #[test]
    fn ratings_below_zero_are_refused() {
        let found = NmfConfig::default().fit(&ratings([4.0, -1.0]), SeedStream::new(1)).map(drop);
        assert!(found.unwrap_err().to_string().contains("user 0, item 1"));
    }
}
