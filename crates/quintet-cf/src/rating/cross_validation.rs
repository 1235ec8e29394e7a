//! K-fold cross-validation of rating models.

use std::time::Instant;

use quintet_core::{
    FitRating, Interactions, Prediction, PredictionCounts, RatingError, RatingPair, SeedStream,
    Triplet,
};
use rand::seq::SliceRandom;
use serde::Serialize;

/// What one fold gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FoldScore {
    /// Root of the mean squared error of the held-out ratings.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Seconds to fit.
    pub fit_seconds: f64,
    /// Seconds to predict the held-out ratings.
    pub predict_seconds: f64,
    /// How often predictions did not come from the whole model.
    pub counts: PredictionCounts,
}

/// What all folds gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidation {
    /// One score a fold.
    pub folds: Vec<FoldScore>,
    /// The predictions, by user, then item, like the ratings.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

impl CrossValidation {
    /// Mean over the folds.
    pub fn rmse(&self) -> f64 {
        self.mean(|f| f.rmse)
    }

    /// Mean over the folds.
    pub fn mae(&self) -> f64 {
        self.mean(|f| f.mae)
    }

    fn mean(&self, of: impl Fn(&FoldScore) -> f64) -> f64 {
        self.folds.iter().map(of).sum::<f64>() / self.folds.len() as f64
    }
}

/// Deals the ratings out to `n_folds` folds at random, equally often: the fold of each rating, by
/// user, then item.
pub fn deal_folds(ratings: &Interactions, n_folds: u32, seed: SeedStream) -> Vec<u32> {
    let n_folds = n_folds.max(1);
    let mut folds: Vec<u32> = (0..ratings.nnz() as u32).map(|at| at % n_folds).collect();
    folds.shuffle(&mut seed.rng("rating-folds", 0));
    folds
}

/// Fits on all folds but one and predicts that one, for every fold. `folds` names the fold of
/// each rating, by user, then item, as [`deal_folds`] does; every fold from 0 to the largest must
/// have a rating.
///
/// # Errors
/// Those of fitting; `folds` of another length, fewer than two folds, or an empty one.
pub fn cross_validate(
    model: &dyn FitRating,
    ratings: &Interactions,
    folds: &[u32],
    seed: SeedStream,
) -> Result<CrossValidation, RatingError> {
    let begin = Instant::now();
    cross_validate_by(model, ratings, folds, seed, &|| begin.elapsed().as_secs_f64())
}

/// [`cross_validate`] with seconds read from another clock, such as one of processor time.
///
/// # Errors
/// As there.
pub fn cross_validate_by(
    model: &dyn FitRating,
    ratings: &Interactions,
    folds: &[u32],
    seed: SeedStream,
    clock: &dyn Fn() -> f64,
) -> Result<CrossValidation, RatingError> {
    let data = |reason| RatingError::Data { model: model.name().into(), reason };
    if folds.len() != ratings.nnz() {
        let reason =
            format!("expected the fold of {} ratings, found {}", ratings.nnz(), folds.len());
        return Err(data(reason));
    }
    let n_folds = folds.iter().max().map_or(0, |&last| last as usize + 1);
    if n_folds < 2 {
        return Err(data(format!("expected at least 2 folds, found {n_folds}")));
    }
    let nothing = Prediction { value: 0.0, unclipped: 0.0, fallback: None };
    let mut all = CrossValidation {
        folds: Vec::with_capacity(n_folds),
        predictions: vec![nothing; ratings.nnz()],
    };
    for fold in 0..n_folds as u32 {
        let held: Vec<usize> = (0..folds.len()).filter(|&at| folds[at] == fold).collect();
        if held.is_empty() {
            return Err(data(format!("fold {fold} is empty")));
        }
        let cells: Vec<Triplet> = ratings.iter().collect();
        let kept = cells.iter().zip(folds).filter(|(_, f)| **f != fold).map(|(t, _)| *t);
        let n_kept = folds.len() - held.len();
        let train = Interactions::from_sorted(ratings.n_users(), ratings.n_items(), n_kept, kept)?;
        let start = clock();
        let fitted = model.fit(&train, seed)?;
        let fit_seconds = clock() - start;
        let pair = |&at: &usize| (Some(cells[at].user), Some(cells[at].item));
        let pairs: Vec<RatingPair> = held.iter().map(pair).collect();
        let start = clock();
        let found = fitted.predict_all(&pairs)?;
        let predict_seconds = clock() - start;
        let error =
            |(p, &at): (&Prediction, &usize)| f64::from(p.value) - f64::from(cells[at].value);
        let errors: Vec<f64> = found.iter().zip(&held).map(error).collect();
        let n = errors.len() as f64;
        all.folds.push(FoldScore {
            rmse: (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt(),
            mae: errors.iter().map(|e| e.abs()).sum::<f64>() / n,
            fit_seconds,
            predict_seconds,
            counts: PredictionCounts::of(&found),
        });
        for (at, prediction) in held.into_iter().zip(found) {
            all.predictions[at] = prediction;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use quintet_core::{ItemIdx, UserIdx};

    use super::super::mean::MeanConfig;
    use super::*;

    #[test]
    fn two_folds_by_hand() {
        let cells = [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 3.0), (1, 1, 5.0)];
        let cell = |(u, i, value)| Triplet { user: UserIdx(u), item: ItemIdx(i), value };
        let ratings = Interactions::from_triplets(2, 2, cells.map(cell)).unwrap();
        let run = |folds: &[u32]| {
            cross_validate(&MeanConfig::default(), &ratings, folds, SeedStream::new(1))
        };
        // Fold 0 holds 1 and 3, predicted as (3 + 5) / 2 = 4; fold 1 holds 3 and 5, predicted as
        // 2, the mean of the others.
        let found = run(&[0, 0, 1, 1]).unwrap();
        assert_eq!(found.folds[0].mae, 2.0);
        assert_eq!(found.folds[0].rmse, 5.0f64.sqrt());
        // Clipped to the scale of the training ratings, 1 to 3.
        assert_eq!(found.folds[1].mae, 2.0);
        let values: Vec<f32> = found.predictions.iter().map(|p| p.value).collect();
        assert_eq!(values, [4.0, 4.0, 2.0, 2.0]);
        assert!(
            run(&[0, 0, 0, 0]).is_err() && run(&[0, 1]).is_err() && run(&[0, 0, 2, 2]).is_err()
        );
    }

    #[test]
    fn folds_are_dealt_equally() {
        let pairs = (0..7u32).flat_map(|u| (0..3u32).map(move |i| (u, i)));
        let ratings = Interactions::from_pairs(7, 3, pairs).unwrap();
        let folds = deal_folds(&ratings, 5, SeedStream::new(3));
        let count = |fold| folds.iter().filter(|f| **f == fold).count();
        assert_eq!((0..5).map(count).collect::<Vec<_>>(), [5, 4, 4, 4, 4]);
        assert_eq!(folds, deal_folds(&ratings, 5, SeedStream::new(3)));
    }
}
