//! The search of weights on held-out interactions.
//!
//! Up to five models: every point of the simplex with steps of `step`,
//! `C(1/step + N - 1, N - 1)` of them (1001 for five models and 0.1). More: coordinate search from
//! equal weights, moving `step` from one model to another while that helps.
//! Cost: one evaluation a point.

use quintet_tensor::FitError;

use super::config;

/// Above it the grid has too many points.
const GRID_MODELS: usize = 5;

/// The weights, summing to 1, with the largest `objective`; equal weights where nothing is better.
///
/// # Errors
/// There is no model, `1 / step` is not a whole number, or the objective is NaN or an error.
pub fn best_weights(
    n_models: usize,
    step: f64,
    objective: impl Fn(&[f64]) -> Result<f64, FitError>,
) -> Result<Vec<f64>, FitError> {
    let bad = |reason: String| config("weights of a", reason);
    if n_models == 0 {
        return Err(bad("there are no models, at least one is needed".into()));
    }
    let steps = (1.0 / step).round();
    if !(step > 0.0 && step <= 1.0 && (steps * step - 1.0).abs() < 1e-9) {
        return Err(bad(format!("step is {step}, one over a whole number is needed")));
    }
    let value_of = |weights: &[f64]| match objective(weights)? {
        value if value.is_nan() => Err(bad(format!("the objective is NaN at {weights:?}"))),
        value => Ok(value),
    };
    let mut weights = vec![1.0 / n_models as f64; n_models];
    let mut best = value_of(&weights)?;
    if n_models <= GRID_MODELS {
        for point in simplex(n_models, steps as usize) {
            let point: Vec<f64> = point.into_iter().map(|k| k as f64 / steps).collect();
            let value = value_of(&point)?;
            if value > best {
                (weights, best) = (point, value);
            }
        }
        return Ok(weights);
    }
    loop {
        let before = best;
        for (from, to) in (0..n_models * n_models).map(|k| (k / n_models, k % n_models)) {
            if from == to || weights[from] <= 0.0 {
                continue;
            }
            let mut point = weights.clone();
            let moved = step.min(point[from]);
            point[from] -= moved;
            point[to] += moved;
            let value = value_of(&point)?;
            if value > best {
                (weights, best) = (point, value);
            }
        }
        if best <= before {
            return Ok(weights);
        }
    }
}

/// All ways to write `sum` as `n` whole numbers of at least 0, in ascending order.
fn simplex(n: usize, sum: usize) -> Vec<Vec<usize>> {
    if n == 1 {
        return vec![vec![sum]];
    }
    let with_first = |first: usize| {
        simplex(n - 1, sum - first).into_iter().map(move |mut rest| {
            rest.insert(0, first);
            rest
        })
    };
    (0..=sum).flat_map(with_first).collect()
}

/// How high the held-out items stand: the mean over them of `1 / log₂(1 + rank)`, in `[0, 1]`; 0
/// without any. Items for which `listed` is false do not take part; equal scores rank by position.
///
/// # Panics
/// When a held-out item is out of range, or the lengths differ.
pub fn held_out_gain(scores: &[f64], listed: &[bool], held: &[usize]) -> f64 {
    assert_eq!(scores.len(), listed.len(), "one flag an item");
    let gain = |&item: &usize| {
        let above = (0..scores.len()).filter(|&other| {
            listed[other]
                && (scores[other] > scores[item] || (scores[other] == scores[item] && other < item))
        });
        1.0 / ((2 + above.count()) as f64).log2()
    };
    if held.is_empty() { 0.0 } else { held.iter().map(gain).sum::<f64>() / held.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_and_the_coordinates_find_a_maximum() {
        assert_eq!(simplex(3, 2).len(), 6);
        assert_eq!(simplex(5, 10).len(), 1001);
        let near = |target: Vec<f64>| {
            move |w: &[f64]| Ok(-w.iter().zip(&target).map(|(a, b)| (a - b).powi(2)).sum::<f64>())
        };
        let found = best_weights(3, 0.1, near(vec![0.7, 0.3, 0.0])).unwrap();
        assert_eq!(found, [0.7, 0.3, 0.0]);
        // Six models: 1/6 + k / 10 is as near as a step of 0.1 comes, up to 0.05 a weight.
        let target = [0.5, 0.3, 0.2, 0.0, 0.0, 0.0];
        let found = best_weights(6, 0.1, near(target.to_vec())).unwrap();
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{found:?}");
        let far = found.iter().zip(target).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far <= 0.0667, "{found:?}");
        // Nothing is better than equal weights.
        assert_eq!(best_weights(2, 0.5, |_| Ok(1.0)).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn bad_steps_and_nan_are_refused() {
        assert!(best_weights(2, 0.3, |_| Ok(0.0)).is_err());
        assert!(best_weights(0, 0.1, |_| Ok(0.0)).is_err());
        assert!(best_weights(2, 0.1, |_| Ok(f64::NAN)).is_err());
    }

    #[test]
    fn gain_by_hand() {
        // Item 2 has rank 2: item 1 is above, item 0 is not listed, item 3 equal but later.
        let gain = held_out_gain(&[9.0, 5.0, 4.0, 4.0], &[false, true, true, true], &[2]);
        assert!((gain - 1.0 / 3f64.log2()).abs() < 1e-12);
        assert_eq!(held_out_gain(&[1.0], &[true], &[]), 0.0);
    }
}
