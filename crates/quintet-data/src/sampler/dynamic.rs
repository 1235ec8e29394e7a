//! Dynamic hard negatives: of some candidates, the one that the model scores highest.
//!
//! Zhang, Chen, Wang and Yu, "Optimizing Top-N Collaborative Filtering via Dynamic Negative Item
//! Sampling", SIGIR 2013.

use quintet_core::CoreError;
use rayon::prelude::*;

use super::{TripletBatch, TripletSampler};
use crate::DataError;

/// Rows that one thread scores at a time, at least.
const MIN_ROWS: usize = 32;

impl TripletSampler {
    /// Keeps the hardest negatives of a batch: of every [`TripletSampler::candidates`] in a row
    /// the one with the highest of `scores`, the first of equal ones. `scores` are `[batch,
    /// n_negatives × candidates]`, as `batch.negatives`. Where candidates are 1, nothing changes.
    ///
    /// # Errors
    /// A wrong number of scores or candidates, or a score that is not finite. The batch stays.
    pub fn pick_hardest(&self, batch: &mut TripletBatch, scores: &[f32]) -> Result<(), DataError> {
        self.check_candidates(batch)?;
        if scores.len() != batch.negatives.len() {
            let (expected, found) = (batch.negatives.len(), scores.len());
            return Err(
                CoreError::Shape { what: "scores of candidates".into(), expected, found }.into()
            );
        }
        if let Some(index) = scores.iter().position(|s| !s.is_finite()) {
            let value = scores[index];
            return Err(DataError::NotFinite { what: "candidate", index, field: "score", value });
        }
        let candidates = self.candidates();
        let groups = batch.negatives.len() / candidates;
        for group in 0..groups {
            let start = group * candidates;
            let mut hardest = start;
            for at in start + 1..start + candidates {
                if scores[at] > scores[hardest] {
                    hardest = at;
                }
            }
            batch.negatives[group] = batch.negatives[hardest];
        }
        batch.negatives.truncate(groups);
        Ok(())
    }

    /// Scores the candidates of a batch, in parallel, and keeps the hardest.
    ///
    /// `score` gets a user, the candidates of one of the user's rows and as many places for
    /// their scores.
    ///
    /// # Errors
    /// As [`TripletSampler::pick_hardest`].
    pub fn pick_hardest_by(
        &self,
        batch: &mut TripletBatch,
        score: impl Fn(u32, &[u32], &mut [f32]) + Sync,
    ) -> Result<(), DataError> {
        self.check_candidates(batch)?;
        let n = batch.n_negatives();
        // A place that `score` leaves out is an error later, not a score of 0.
        let mut scores = vec![f32::NAN; batch.negatives.len()];
        if n > 0 {
            let rows = batch.users.par_iter().zip(batch.negatives.par_chunks_exact(n));
            rows.zip(scores.par_chunks_exact_mut(n))
                .with_min_len(MIN_ROWS)
                .for_each(|((&user, items), places)| score(user, items, places));
        }
        self.pick_hardest(batch, &scores)
    }

    /// Whether `batch` has the columns of this sampler; one that was picked from has not.
    fn check_candidates(&self, batch: &TripletBatch) -> Result<(), DataError> {
        let (expected, found) = (batch.len() * self.columns(), batch.negatives.len());
        if expected == found {
            return Ok(());
        }
        Err(CoreError::Shape { what: "candidates of a batch".into(), expected, found }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NegativeStrategy;
    use quintet_core::{Interactions, ItemIdx, SeedStream, UserIdx};

    fn sampler(candidates: usize, n_negatives: usize) -> TripletSampler {
        let pairs = (0..20u32).flat_map(|u| [(u, u), (u, (u + 3) % 20)]);
        let train = Interactions::from_pairs(20, 20, pairs).unwrap();
        let strategy = NegativeStrategy::Dynamic { candidates, alpha: 0.0 };
        TripletSampler::with_strategy(&train, strategy, n_negatives).unwrap()
    }

    #[test]
    fn the_highest_score_of_each_group_is_kept() {
        let mut batch = TripletBatch {
            users: vec![0, 1],
            positives: vec![0, 1],
            negatives: vec![5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            draw_seeds: Vec::new(),
        };
        let scores = [0.1, 0.3, 0.2, -1.0, -3.0, -2.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0];
        sampler(3, 2).pick_hardest(&mut batch, &scores).unwrap();
        assert_eq!(batch.negatives, [6, 8, 11, 16]);
        // A second time there are too few candidates.
        let error = sampler(3, 2).pick_hardest(&mut batch, &scores).unwrap_err().to_string();
        assert_eq!(error, "candidates of a batch: expected 12, found 4");
    }

    #[test]
    fn scores_must_be_finite_and_complete() {
        let mut batch = TripletBatch {
            users: vec![0],
            positives: vec![0],
            negatives: vec![5, 6],
            draw_seeds: Vec::new(),
        };
        let sampler = sampler(2, 1);
        let error = sampler.pick_hardest(&mut batch, &[0.0, f32::NAN]).unwrap_err().to_string();
        assert_eq!(error, "candidate 1: score is NaN; only finite numbers are allowed");
        let error = sampler.pick_hardest(&mut batch, &[0.0]).unwrap_err().to_string();
        assert_eq!(error, "scores of candidates: expected 2, found 1");
        let error = sampler.pick_hardest_by(&mut batch, |_, _, s| s[0] = 1.0).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{error}");
        assert_eq!(batch.negatives, [5, 6]);
    }

    #[test]
    fn epochs_hold_candidates_and_a_scorer_picks() {
        let sampler = sampler(4, 2);
        let mut seen = 0;
        for mut batch in sampler.epoch(SeedStream::new(1), 0, 16) {
            assert_eq!(batch.n_negatives(), 8);
            let before = batch.clone();
            // The score is the position, turned round for odd users.
            let score = |user: u32, item: u32| {
                if user & 1 == 0 { item as f32 } else { -(item as f32) }
            };
            let fill = |user: u32, items: &[u32], places: &mut [f32]| {
                for (place, &item) in places.iter_mut().zip(items) {
                    *place = score(user, item);
                }
            };
            sampler.pick_hardest_by(&mut batch, fill).unwrap();
            for row in 0..batch.len() {
                let all = before.negatives_of(row);
                let want = |half: &[u32]| {
                    let (low, high) = (half.iter().min(), half.iter().max());
                    if before.users[row] & 1 == 0 { high.copied() } else { low.copied() }
                };
                let want = [want(&all[..4]).unwrap(), want(&all[4..]).unwrap()];
                assert_eq!(batch.negatives_of(row), want);
                seen += 1;
            }
        }
        assert_eq!(seen, sampler.n_pairs());
    }

    #[test]
    fn other_strategies_have_one_candidate_and_keep_it() {
        let train = Interactions::from_pairs(2, 3, [(0, 0), (1, 1), (1, 2)]).unwrap();
        let sampler = TripletSampler::new(&train);
        let mut batch = sampler.epoch(SeedStream::new(1), 0, 8).next().unwrap();
        let before = batch.clone();
        sampler.pick_hardest(&mut batch, &[0.0; 3]).unwrap();
        assert_eq!(batch, before);
        assert!(
            (0..3)
                .all(|r| { !train.contains(UserIdx(batch.users[r]), ItemIdx(batch.negatives[r])) })
        );
    }
}
