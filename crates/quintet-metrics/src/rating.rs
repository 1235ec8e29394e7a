//! How far predicted ratings lie from the real ones: MSE, RMSE, MAE, R² and coverage.
//!
//! Over `n` pairs of a rating `y` and a prediction `p`, with `ȳ` the mean rating:
//! `MSE = Σ (y - p)² / n`, `RMSE = √MSE`, `MAE = Σ |y - p| / n`,
//! `R² = 1 - Σ (y - p)² / Σ (y - ȳ)²`. Coverage is the share of ratings that got a prediction.
//!
//! Micro numbers are over all ratings at once, macro numbers are means over users. R² of ratings
//! that are all equal is 1 when every prediction is exact and 0 otherwise, as in scikit-learn;
//! of fewer than two ratings there is none.
//!
//! Paper: Herlocker, Konstan, Terveen, Riedl, "Evaluating Collaborative Filtering Recommender
//! Systems", ACM TOIS 22(1), 2004 (MAE, RMSE, coverage).
//! Cost: O(ratings).

use std::collections::BTreeMap;

use quintet_core::{Interactions, UserIdx};
use serde::Serialize;

use crate::rank::check;
use crate::user_values::check_finite;
use crate::{EvalError, UserValues};

/// The errors of some predictions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RatingScores {
    /// How many predictions were compared; at least 1.
    pub n: usize,
    /// Mean squared error.
    pub mse: f64,
    /// Its root, in the units of the ratings.
    pub rmse: f64,
    /// Mean absolute error, in the units of the ratings.
    pub mae: f64,
    /// Share of the variance that is explained, at most 1; `None` for fewer than two ratings.
    pub r2: Option<f64>,
}

impl RatingScores {
    /// Compares `predicted` with `truth`, pair by pair.
    ///
    /// # Errors
    /// Slices of different lengths, no pair, a number that is not finite, or errors so large that
    /// their squares are not finite.
    pub fn new(truth: &[f64], predicted: &[f64]) -> Result<Self, EvalError> {
        check("predictions", truth.len(), predicted.len())?;
        if truth.is_empty() {
            return Err(EvalError::TooFew { test: "a rating metric", needed: 1, found: 0 });
        }
        check_finite("rating", truth)?;
        check_finite("prediction", predicted)?;
        let n = truth.len() as f64;
        let errors = || truth.iter().zip(predicted).map(|(y, p)| y - p);
        let squares: f64 = errors().map(|e| e * e).sum();
        let mse = squares / n;
        let mae = errors().map(f64::abs).sum::<f64>() / n;
        let r2 = (truth.len() > 1).then(|| r_squared(truth, squares));
        for (metric, value) in [("mse", mse), ("mae", mae), ("r2", r2.unwrap_or(0.0))] {
            if !value.is_finite() {
                return Err(EvalError::MetricNotFinite { metric: metric.into(), value });
            }
        }
        Ok(Self { n: truth.len(), mse, rmse: mse.sqrt(), mae, r2 })
    }
}

/// `R²` with `squares` the summed squared errors.
fn r_squared(truth: &[f64], squares: f64) -> f64 {
    // Equal numbers may differ from their computed mean by rounding, so they are told apart here.
    if truth.iter().all(|y| *y == truth[0]) {
        return if squares == 0.0 { 1.0 } else { 0.0 };
    }
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    1.0 - squares / truth.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>()
}

/// Root mean squared error.
///
/// # Errors
/// As [`RatingScores::new`].
pub fn rmse(truth: &[f64], predicted: &[f64]) -> Result<f64, EvalError> {
    Ok(RatingScores::new(truth, predicted)?.rmse)
}

/// Mean absolute error.
///
/// # Errors
/// As [`RatingScores::new`].
pub fn mae(truth: &[f64], predicted: &[f64]) -> Result<f64, EvalError> {
    Ok(RatingScores::new(truth, predicted)?.mae)
}

/// The errors of a model that predicts ratings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatingEvaluation {
    /// Over all ratings that got a prediction.
    pub micro: RatingScores,
    /// Share of the ratings that got a prediction, above 0 and at most 1.
    pub coverage: f64,
    /// How many users have ratings, none of which got a prediction.
    pub n_skipped: usize,
    per_user: BTreeMap<String, UserValues>,
}

impl RatingEvaluation {
    /// The values of the users that have one: `"rmse"`, `"mae"` and `"mse"` for everybody with a
    /// prediction, `"r2"` for everybody with two.
    pub fn per_user(&self, key: &str) -> Option<&UserValues> {
        self.per_user.get(key)
    }

    /// Means over users, by the same keys; `"r2"` is missing when nobody has one.
    pub fn macro_means(&self) -> BTreeMap<String, f64> {
        let means = self.per_user.iter().map(|(key, values)| Some((key.clone(), values.mean()?)));
        means.flatten().collect()
    }
}

/// Compares predictions with held-out ratings, `[n_users, n_items]`.
///
/// `predicted` has one entry a stored rating, in the order of [`Interactions::iter`]; `None` where
/// the model gave no prediction.
///
/// # Errors
/// Not one entry a rating, no prediction at all, or a prediction that is not finite.
pub fn evaluate_ratings(
    truth: &Interactions,
    predicted: &[Option<f64>],
) -> Result<RatingEvaluation, EvalError> {
    check("predictions, one a held-out rating", truth.nnz(), predicted.len())?;
    let (mut all_truth, mut all_predicted) = (Vec::new(), Vec::new());
    let mut users: Vec<(UserIdx, RatingScores)> = Vec::new();
    let mut n_skipped = 0;
    for user in (0..truth.n_users()).map(UserIdx::new) {
        let start = all_truth.len();
        let range = truth.indptr()[user.index()]..truth.indptr()[user.index() + 1];
        let n_ratings = range.len();
        for (value, predicted) in truth.values(user).iter().zip(&predicted[range]) {
            if let Some(predicted) = predicted {
                all_truth.push(f64::from(*value));
                all_predicted.push(*predicted);
            }
        }
        if all_truth.len() > start {
            let scores = RatingScores::new(&all_truth[start..], &all_predicted[start..]);
            users.push((user, scores.map_err(|e| of_user(e, start))?));
        } else if n_ratings > 0 {
            n_skipped += 1;
        }
    }
    let micro = RatingScores::new(&all_truth, &all_predicted)?;
    let coverage = all_truth.len() as f64 / truth.nnz() as f64;
    let ids: Vec<UserIdx> = users.iter().map(|(user, _)| *user).collect();
    let column = |f: fn(&RatingScores) -> Option<f64>| {
        UserValues::defined(&ids, users.iter().map(|(_, scores)| f(scores)))
    };
    let per_user = BTreeMap::from([
        ("rmse".to_owned(), column(|s| Some(s.rmse))),
        ("mae".to_owned(), column(|s| Some(s.mae))),
        ("mse".to_owned(), column(|s| Some(s.mse))),
        ("r2".to_owned(), column(|s| s.r2)),
    ]);
    Ok(RatingEvaluation { micro, coverage, n_skipped, per_user })
}

/// Makes the position within a user's ratings one within all predictions that were given.
fn of_user(error: EvalError, start: usize) -> EvalError {
    match error {
        EvalError::Value { what, index, expected, value } => {
            EvalError::Value { what, index: start + index, expected, value }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, Triplet};

    #[test]
    fn by_hand() {
        // Errors 1, 0, -2; the ratings have mean 3 and squares around it 1 + 0 + 1.
        let got = RatingScores::new(&[4.0, 3.0, 2.0], &[3.0, 3.0, 4.0]).unwrap();
        assert_eq!((got.n, got.mse, got.mae), (3, 5.0 / 3.0, 1.0));
        assert_eq!((got.rmse, got.r2), ((5f64 / 3.0).sqrt(), Some(1.0 - 5.0 / 2.0)));
        assert_eq!(rmse(&[1.0], &[3.0]), Ok(2.0));
        assert_eq!(mae(&[1.0], &[3.0]), Ok(2.0));
    }

    #[test]
    fn r2_of_equal_ratings_and_of_one() {
        let r2 = |truth: &[f64], predicted: &[f64]| RatingScores::new(truth, predicted).unwrap().r2;
        assert_eq!(r2(&[0.1; 3], &[0.1; 3]), Some(1.0));
        assert_eq!(r2(&[0.1; 3], &[0.1, 0.1, 0.2]), Some(0.0));
        assert_eq!(r2(&[3.0], &[3.0]), None);
    }

    #[test]
    fn users_weigh_the_same_in_macro_means_and_gaps_are_counted() {
        // User 0: errors 1 and none; user 1: error 3, no prediction for the other; user 2 nothing
        // predicted; user 3 without ratings.
        let cells = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 4.0), (1, 1, 5.0), (2, 0, 3.0)];
        let cells =
            cells.map(|(u, i, value)| Triplet { user: UserIdx(u), item: ItemIdx(i), value });
        let truth = Interactions::from_triplets(4, 2, cells).unwrap();
        let predicted = [Some(2.0), Some(2.0), Some(1.0), None, None];
        let got = evaluate_ratings(&truth, &predicted).unwrap();
        assert_eq!((got.micro.n, got.micro.mae, got.coverage), (3, 4.0 / 3.0, 0.6));
        assert_eq!(got.n_skipped, 1);
        let mae = got.per_user("mae").unwrap();
        assert_eq!((mae.users(), mae.values()), (&[UserIdx(0), UserIdx(1)][..], &[0.5, 3.0][..]));
        assert_eq!(got.macro_means()["mae"], 1.75);
        // User 0: 1 - 1 / (0.25 + 0.25).
        assert_eq!(got.per_user("r2").unwrap().values(), [-1.0]);
    }

    #[test]
    fn bad_input_is_named() {
        let told = |t: &[f64], p: &[f64]| RatingScores::new(t, p).unwrap_err().to_string();
        assert_eq!(told(&[1.0], &[]), "predictions: expected 1, found 0");
        assert_eq!(told(&[], &[]), "a rating metric needs at least 1 values, found 0");
        let nan = told(&[1.0, 2.0], &[1.0, f64::NAN]);
        assert_eq!(nan, "prediction 1: expected a finite number, found NaN");
        let infinite = told(&[f64::INFINITY], &[1.0]);
        assert_eq!(infinite, "rating 0: expected a finite number, found inf");
        assert!(told(&[1e200], &[-1e200]).starts_with("metric mse gave inf"));
        let truth = Interactions::from_pairs(2, 1, [(0, 0), (1, 0)]).unwrap();
        let nan = evaluate_ratings(&truth, &[Some(1.0), Some(f64::NAN)]).unwrap_err();
        assert_eq!(nan.to_string(), "prediction 1: expected a finite number, found NaN");
        assert!(evaluate_ratings(&truth, &[None, None]).is_err());
        assert!(evaluate_ratings(&truth, &[None]).is_err());
    }
}
