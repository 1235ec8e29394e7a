//! Triplets for pairwise training: a user, an item of the user, an item that is not.
//!
//! Negatives are uniform over the items that occur in training and that the user has not used,
//! as in BPR (Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI
//! 2009), but positives are shuffled and each is used once an epoch. Instead of drawing until an
//! item fits, the r-th item that fits is found by binary search: one draw and
//! `O(log items of the user)` for every negative, also for users who have used nearly everything.

use quintet_core::{Interactions, SeedStream, UserIdx};
use rand::RngExt;
use rand::seq::SliceRandom;

/// Some triplets, as three columns of the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TripletBatch {
    /// `[batch]` user positions.
    pub users: Vec<u32>,
    /// `[batch]` positions of items that the user has in training.
    pub positives: Vec<u32>,
    /// `[batch]` positions of training items that the user does not have.
    pub negatives: Vec<u32>,
}

impl TripletBatch {
    /// Number of triplets.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// Draws the triplets of an epoch. It owns what it needs: about 12 bytes a training pair.
///
/// ```
/// use quintet_core::{Interactions, SeedStream};
/// use quintet_data::TripletSampler;
/// let train = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 2)])?;
/// let sampler = TripletSampler::new(&train);
/// let batches: Vec<_> = sampler.epoch(SeedStream::new(1), 0, 2).collect();
/// assert_eq!(batches.iter().map(|b| b.len()).collect::<Vec<_>>(), [2, 1]);
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TripletSampler {
    /// Training items, ascending.
    candidates: Vec<u32>,
    /// Row offsets into `ranks`, `[n_users + 1]`.
    indptr: Vec<usize>,
    /// The items of each user as positions in `candidates`, ascending.
    ranks: Vec<u32>,
    /// The pairs that have a negative: user, and position in `ranks`.
    pairs: Vec<(u32, u32)>,
}

impl TripletSampler {
    /// Prepares sampling from training data.
    ///
    /// # Panics
    /// When there are 2³² pairs or more.
    pub fn new(train: &Interactions) -> Self {
        assert!(u32::try_from(train.nnz()).is_ok(), "{} pairs exceed 32 bits", train.nnz());
        let mut rank_of = vec![0u32; train.n_items()];
        let mut candidates = Vec::new();
        for (item, &count) in train.item_counts().iter().enumerate() {
            if count > 0 {
                rank_of[item] = candidates.len() as u32;
                candidates.push(item as u32);
            }
        }
        let ranks: Vec<u32> = train.indices().iter().map(|i| rank_of[i.index()]).collect();
        let mut pairs = Vec::with_capacity(ranks.len());
        for user in 0..train.n_users() {
            // A user of every training item has no negative: the pairs are left out and counted.
            if train.items(UserIdx::new(user)).len() < candidates.len() {
                let range = train.indptr()[user]..train.indptr()[user + 1];
                pairs.extend(range.map(|slot| (user as u32, slot as u32)));
            }
        }
        Self { candidates, indptr: train.indptr().to_vec(), ranks, pairs }
    }

    /// How many triplets an epoch has.
    pub fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// How many training pairs no epoch has, because their user has used every training item.
    pub fn n_skipped(&self) -> usize {
        self.ranks.len() - self.pairs.len()
    }

    /// How many batches an epoch has.
    ///
    /// # Panics
    /// When `batch_size` is 0.
    pub fn n_batches(&self, batch_size: usize) -> usize {
        assert!(batch_size > 0, "a batch holds at least one triplet");
        self.pairs.len().div_ceil(batch_size)
    }

    /// The batches of one epoch: every pair once, in random order, each with one negative. The
    /// last batch may be short.
    ///
    /// The triplets depend on `seed` and `epoch` only; `batch_size` does not change them.
    ///
    /// # Panics
    /// When `batch_size` is 0.
    pub fn epoch(
        &self,
        seed: SeedStream,
        epoch: u64,
        batch_size: usize,
    ) -> impl Iterator<Item = TripletBatch> + '_ {
        assert!(batch_size > 0, "a batch holds at least one triplet");
        let mut order = self.pairs.clone();
        order.shuffle(&mut seed.rng("triplet order", epoch));
        let mut draws = seed.rng("triplet negatives", epoch);
        let mut done = 0;
        std::iter::from_fn(move || {
            let chunk = &order[done..order.len().min(done + batch_size)];
            if chunk.is_empty() {
                return None;
            }
            done += chunk.len();
            let mut batch = TripletBatch {
                users: Vec::with_capacity(chunk.len()),
                positives: Vec::with_capacity(chunk.len()),
                negatives: Vec::with_capacity(chunk.len()),
            };
            for &(user, slot) in chunk {
                batch.users.push(user);
                batch.positives.push(self.candidates[self.ranks[slot as usize] as usize]);
                batch.negatives.push(self.negative(user, &mut draws));
            }
            Some(batch)
        })
    }

    /// A uniform training item that the user does not have.
    fn negative(&self, user: u32, draws: &mut impl rand::Rng) -> u32 {
        let user = user as usize;
        let own = &self.ranks[self.indptr[user]..self.indptr[user + 1]];
        let nth = draws.random_range(0..(self.candidates.len() - own.len()) as u32);
        // own[k] - k candidates before own[k] are not the user's, and that grows with k: the
        // items of the user that lie before the answer are those where it is at most `nth`.
        let (mut low, mut high) = (0, own.len());
        while low < high {
            let middle = (low + high) / 2;
            if own[middle] - middle as u32 <= nth {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.candidates[nth as usize + low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::ItemIdx;

    fn triplets(s: &TripletSampler, seed: u64, epoch: u64, batch: usize) -> Vec<(u32, u32, u32)> {
        s.epoch(SeedStream::new(seed), epoch, batch)
            .flat_map(|b| {
                let rest = b.positives.into_iter().zip(b.negatives);
                b.users.into_iter().zip(rest).map(|(u, (p, n))| (u, p, n)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn negatives_are_uniform_over_what_fits() {
        // User 0 has items 2 and 5 of 10; item 9 is nobody's. Users 1 to 9 make the others
        // training items. Eight items less the user's two and item 9 remain: 7 negatives.
        let others = (0..9u32).filter(|i| *i != 2 && *i != 5).map(|i| (1, i));
        let pairs: Vec<(u32, u32)> = [(0, 2), (0, 5)].into_iter().chain(others).collect();
        let sampler = TripletSampler::new(&Interactions::from_pairs(2, 10, pairs).unwrap());
        let mut counts = [0u32; 10];
        for epoch in 0..7000 {
            for (user, _, negative) in triplets(&sampler, 3, epoch, 64) {
                counts[negative as usize] += u32::from(user == 0);
            }
        }
        assert_eq!((counts[2], counts[5], counts[9]), (0, 0, 0));
        // 14,000 draws over 7 items: 2,000 each. Chi-square with 6 degrees of freedom exceeds
        // 22.46 with probability 0.001.
        let chi: f64 = [0, 1, 3, 4, 6, 7, 8]
            .iter()
            .map(|&i| (f64::from(counts[i]) - 2000.0).powi(2) / 2000.0)
            .sum();
        assert!(chi < 22.46, "{chi} {counts:?}");
        assert!(chi > 0.1, "too even to be random: {chi}");
    }

    #[test]
    fn a_user_of_everything_is_skipped_and_counted() {
        let train = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 0)]).unwrap();
        let sampler = TripletSampler::new(&train);
        assert_eq!((sampler.n_pairs(), sampler.n_skipped()), (1, 2));
        assert_eq!(triplets(&sampler, 1, 0, 8), [(1, 0, 1)]);
        let nothing = TripletSampler::new(&Interactions::from_pairs(0, 0, []).unwrap());
        assert_eq!(nothing.epoch(SeedStream::new(1), 0, 8).count(), 0);
    }

    proptest! {
        #[test]
        fn every_positive_once_and_never_a_positive_as_negative(
            pairs in proptest::collection::btree_set((0u32..7, 0u32..9), 0..50),
            seed in 0u64..100, epoch in 0u64..5, batch in 1usize..20
        ) {
            let train = Interactions::from_pairs(7, 9, pairs.iter().copied()).unwrap();
            let counts = train.item_counts();
            let sampler = TripletSampler::new(&train);
            let got = triplets(&sampler, seed, epoch, batch);
            prop_assert_eq!(got.len(), sampler.n_pairs());
            prop_assert_eq!(got.len() + sampler.n_skipped(), pairs.len());
            for &(u, p, n) in &got {
                prop_assert!(train.contains(UserIdx(u), ItemIdx(p)));
                prop_assert!(!train.contains(UserIdx(u), ItemIdx(n)));
                prop_assert!(counts[n as usize] > 0);
            }
            let mut once: Vec<_> = got.iter().map(|t| (t.0, t.1)).collect();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), got.len());
            // The size of the batches changes nothing; the epoch is reproducible.
            prop_assert_eq!(&triplets(&sampler, seed, epoch, 1000), &got);
            let sizes: Vec<usize> =
                sampler.epoch(SeedStream::new(seed), epoch, batch).map(|b| b.len()).collect();
            prop_assert_eq!(sizes.len(), sampler.n_batches(batch));
            prop_assert!(sizes.iter().rev().skip(1).all(|s| *s == batch));
        }
    }
}
