//! WARP: draw until a negative violates the margin, and weight it by the rank that this suggests.
//!
//! Weston, Bengio and Usunier, "WSABIE: Scaling Up to Large Vocabulary Image Annotation", IJCAI
//! 2011, algorithm 1: after `N` draws the rank of the positive is estimated as `⌊(Y - 1) / N⌋`,
//! where `Y` items can be drawn, and the step is weighted by `Φ(k) = Σ 1/i` for `i` from 1 to
//! `k`. Here `Y` is the number of training items.

use quintet_core::CoreError;
use rayon::prelude::*;

use super::random::SplitMix64;
use super::{NegativeStrategy, TripletBatch, TripletSampler};
use crate::DataError;

/// Rows that one thread draws for at a time, at least.
const MIN_ROWS: usize = 32;

/// What WARP found for the rows of a batch. Use one again to save its memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WarpNegatives {
    /// `[batch]` the negative that violates the margin; the last one drawn where none did.
    pub negatives: Vec<u32>,
    /// `[batch]` how many were drawn, from 1.
    pub trials: Vec<u32>,
    /// `[batch]` weight of the step, `Φ(⌊(Y - 1) / trials⌋)`; 0 where none violated the margin.
    pub weights: Vec<f32>,
}

impl WarpNegatives {
    /// How many rows have a weight: a negative that violates the margin, and a rank that is not
    /// estimated as perfect.
    pub fn n_weighted(&self) -> usize {
        self.weights.iter().filter(|w| **w > 0.0).count()
    }
}

/// What one row came to.
struct Outcome {
    negative: u32,
    trials: u32,
    violates: bool,
}

impl TripletSampler {
    /// Finds the negatives of the rows of a batch, in parallel: `score` gets a user and an item,
    /// and a negative violates the margin when its score exceeds the positive's less the margin.
    ///
    /// The draws of a row depend on its seed in the batch alone, so batches of other sizes and
    /// other numbers of threads draw the same.
    ///
    /// # Errors
    /// Another strategy than [`NegativeStrategy::Warp`], a batch that is not of this sampler, or
    /// a score that is not finite.
    pub fn warp(
        &self,
        batch: &TripletBatch,
        score: impl Fn(u32, u32) -> f32 + Sync,
        found: &mut WarpNegatives,
    ) -> Result<(), DataError> {
        let &NegativeStrategy::Warp { max_trials, margin } = self.strategy() else {
            return Err(DataError::Config {
                key: "strategy",
                expected: "\"warp\"".to_owned(),
                found: format!("{:?}", self.strategy().strategy()),
            });
        };
        self.check_rows(batch)?;
        let (expected, seeds) = (batch.len(), batch.draw_seeds.len());
        if seeds != expected {
            let what = "seeds of a batch for WARP".into();
            return Err(CoreError::Shape { what, expected, found: seeds }.into());
        }
        let row = |row: usize| {
            let (user, positive) = (batch.users[row], batch.positives[row]);
            let bar = score(user, positive) - margin;
            let mut draws = SplitMix64::new(batch.draw_seeds[row]);
            let violates = |item| {
                let lead = score(user, item) - bar;
                if lead.is_finite() { Ok(lead > 0.0) } else { Err(row) }
            };
            self.first_violation(user, max_trials, &mut draws, violates)
        };
        let rows: Vec<Result<Outcome, usize>> =
            (0..batch.len()).into_par_iter().with_min_len(MIN_ROWS).map(row).collect();
        found.negatives.clear();
        found.trials.clear();
        found.weights.clear();
        for outcome in rows {
            let not_finite = |index| DataError::NotFinite {
                what: "row",
                index,
                field: "score of the negative less that of the positive",
                value: f32::NAN,
            };
            let Outcome { negative, trials, violates } = outcome.map_err(not_finite)?;
            found.negatives.push(negative);
            found.trials.push(trials);
            found.weights.push(if violates { self.warp_weight(trials) } else { 0.0 });
        }
        Ok(())
    }

    /// `Φ(⌊(Y - 1) / trials⌋)`: the weight of a negative that was found at this trial, counted
    /// from 1. It is 0 for other strategies than [`NegativeStrategy::Warp`] and for 0 trials.
    pub fn warp_weight(&self, trials: u32) -> f32 {
        let rank = self.known().n_ranks().saturating_sub(1).checked_div(trials).unwrap_or(0);
        self.harmonic.get(rank as usize).copied().unwrap_or(0.0)
    }

    /// Draws until `violates` holds. The error is the one of `violates`.
    fn first_violation(
        &self,
        user: u32,
        max_trials: u32,
        draws: &mut SplitMix64,
        violates: impl Fn(u32) -> Result<bool, usize>,
    ) -> Result<Outcome, usize> {
        let mut trials = 0;
        loop {
            let negative = self.known().items()[self.draw_uniform(user, draws) as usize];
            trials += 1;
            let violates = violates(negative)?;
            if violates || trials == max_trials {
                return Ok(Outcome { negative, trials, violates });
            }
        }
    }
}

/// `Φ(0)` to `Φ(n - 1)`: sums of `1 / i`.
pub(super) fn harmonic_numbers(n: usize) -> Vec<f32> {
    let mut sum = 0.0f64;
    (0..n)
        .map(|k| {
            if k > 0 {
                sum += 1.0 / k as f64;
            }
            sum as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Interactions, SeedStream};

    /// Ten items; user 0 has items 0 and 1, users 1 to 8 make the others training items.
    fn sampler(max_trials: u32) -> TripletSampler {
        let pairs = [(0u32, 0u32), (0, 1)].into_iter().chain((1..9).map(|u| (u, u + 1)));
        let train = Interactions::from_pairs(9, 10, pairs).unwrap();
        let strategy = NegativeStrategy::Warp { max_trials, margin: 1.0 };
        TripletSampler::with_strategy(&train, strategy, 1).unwrap()
    }

    #[test]
    fn weights_by_hand() {
        // Y = 10: ⌊9/1⌋ = 9, ⌊9/2⌋ = 4, ⌊9/4⌋ = 2, ⌊9/9⌋ = 1, ⌊9/10⌋ = 0.
        let sampler = sampler(10);
        let close = |trials, want: f32| (sampler.warp_weight(trials) - want).abs() < 1e-6;
        assert!(close(1, 2.828_968_3));
        assert!(close(2, 1.0 + 0.5 + 1.0 / 3.0 + 0.25));
        assert!(close(4, 1.5));
        assert!(close(9, 1.0));
        assert!(close(10, 0.0) && close(u32::MAX, 0.0) && close(0, 0.0));
    }

    #[test]
    fn draws_go_on_until_the_margin_is_violated() {
        let sampler = sampler(1000);
        let mut found = WarpNegatives::default();
        for batch in sampler.epoch(SeedStream::new(3), 0, 4) {
            assert_eq!((batch.n_negatives(), batch.draw_seeds.len()), (0, batch.len()));
            // Positives score 2 and all but items 7 and 8 score 1: not above 2 - 1. Those two
            // score 1.5 and violate the margin.
            let batch_users = &batch.users;
            let score = |user: u32, item: u32| match item {
                _ if batch_users.iter().zip(&batch.positives).any(|p| p == (&user, &item)) => 2.0,
                7 | 8 => 1.5,
                _ => 1.0,
            };
            sampler.warp(&batch, score, &mut found).unwrap();
            for row in 0..batch.len() {
                assert!([7, 8].contains(&found.negatives[row]));
                assert_ne!(found.negatives[row], batch.positives[row]);
                assert_eq!(found.weights[row], sampler.warp_weight(found.trials[row]));
            }
        }
    }

    #[test]
    fn trials_are_geometric() {
        // User 0 lacks items 2 to 9; items 2 and 3 violate the margin: one draw in four.
        let sampler = sampler(1000);
        let batch = TripletBatch {
            users: vec![0; 40_000],
            positives: vec![0; 40_000],
            negatives: Vec::new(),
            draw_seeds: (0..40_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect(),
        };
        let score = |_, item: u32| if item < 4 { 0.0 } else { -5.0 };
        let mut found = WarpNegatives::default();
        sampler.warp(&batch, score, &mut found).unwrap();
        let mut counts = [0f64; 4];
        for &trials in &found.trials {
            counts[(trials as usize - 1).min(3)] += 1.0;
        }
        // 1/4, 3/16, 9/64 and 27/64 of 40,000. 3 degrees of freedom: 16.27 above with
        // probability 0.001, 0.024 below with 0.001.
        let want = [10_000.0, 7_500.0, 5_625.0, 16_875.0];
        let chi: f64 = counts.iter().zip(want).map(|(c, e)| (c - e).powi(2) / e).sum();
        assert!((0.024..16.27).contains(&chi), "{chi} {counts:?}");
    }

    #[test]
    fn a_learned_row_has_no_weight_and_costs_no_more_than_allowed() {
        let sampler = sampler(5);
        let mut found = WarpNegatives::default();
        let batch = sampler.epoch(SeedStream::new(3), 0, 100).next().unwrap();
        // A batch of another time leaves nothing behind.
        sampler.warp(&batch, |_, _| 0.0, &mut found).unwrap();
        assert_eq!(found.trials, vec![1; 10]);
        assert_eq!(found.n_weighted(), 10);
        let positives: Vec<(u32, u32)> =
            batch.users.iter().copied().zip(batch.positives.iter().copied()).collect();
        let score = |u: u32, i: u32| if positives.contains(&(u, i)) { 9.0 } else { 0.0 };
        sampler.warp(&batch, score, &mut found).unwrap();
        assert_eq!((found.trials.clone(), found.n_weighted()), (vec![5; 10], 0));
        assert_eq!(found.weights, vec![0.0; 10]);
    }

    #[test]
    fn wrong_strategies_batches_and_scores_are_told() {
        let train = Interactions::from_pairs(2, 2, [(0, 0), (1, 1)]).unwrap();
        let (uniform, warp) = (TripletSampler::new(&train), sampler(2));
        let mut found = WarpNegatives::default();
        let mut batch = uniform.epoch(SeedStream::new(1), 0, 4).next().unwrap();
        let error = uniform.warp(&batch, |_, _| 0.0, &mut found).unwrap_err().to_string();
        assert_eq!(error, "strategy is \"uniform\"; expected \"warp\"");
        let error = warp.warp(&batch, |_, _| 0.0, &mut found).unwrap_err().to_string();
        assert_eq!(error, "seeds of a batch for WARP: expected 2, found 0");
        batch.draw_seeds = vec![1, 2];
        let error = warp.warp(&batch, |_, _| f32::NAN, &mut found).unwrap_err().to_string();
        assert!(error.starts_with("row 0: score"), "{error}");
        batch.users[1] = 9;
        let error = warp.warp(&batch, |_, _| 0.0, &mut found).unwrap_err().to_string();
        assert_eq!(error, "user index 9 is out of range: there are 9");
    }
}
