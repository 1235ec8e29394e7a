//! Triplets for pairwise training: a user, an item of the user, items that are not.
//!
//! Every pair of a user and an item is used once an epoch, in a random order that is made in
//! parallel, and [`NegativeStrategy`] says where the negatives come from. A negative is drawn
//! until the user does not have it, which a bitmap tells with one read from memory. After a few
//! draws in vain an exact draw from what the user lacks takes over, so that users of nearly
//! everything cost little more than others; neither changes the distribution.

mod batch;
mod dynamic;
mod epoch;
mod in_batch;
mod known;
mod order;
mod popularity;
mod random;
mod strategy;
mod warp;

#[cfg(test)]
mod tests;

use quintet_core::{Interactions, SeedStream};

use crate::DataError;
use known::Known;
use order::Pair;
use popularity::Popularity;
use random::SplitMix64;

pub use batch::TripletBatch;
pub use epoch::TripletEpoch;
pub use in_batch::InBatchNegatives;
pub use strategy::NegativeStrategy;
pub use warp::WarpNegatives;

/// Draws before the exact one, after a first. Users of half of all items need it once in 512.
const MAX_DRAWS: usize = 8;

/// Draws the triplets of an epoch. It owns what it needs: about 8 bytes a training pair, and 8
/// more while an epoch runs.
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
    known: Known,
    strategy: NegativeStrategy,
    n_negatives: usize,
    /// Items that a batch holds for each pair: negatives, candidates or nothing.
    columns: usize,
    /// Where draws are not uniform.
    popularity: Option<Popularity>,
    /// `[n_ranks]` how many rows of an epoch have the item as positive.
    row_counts: Vec<u32>,
    /// `Φ` of WARP, `[n_ranks]`; empty for the other strategies.
    harmonic: Vec<f32>,
    n_pairs: usize,
}

impl TripletSampler {
    /// Prepares one uniform negative for each pair.
    ///
    /// # Panics
    /// When there are 2³² pairs or more.
    pub fn new(train: &Interactions) -> Self {
        Self::build(train, NegativeStrategy::default(), 1, 1)
    }

    /// Prepares `n_negatives` negatives for each pair, drawn with replacement. For
    /// [`NegativeStrategy::InBatch`] and [`NegativeStrategy::Warp`] it must be 1.
    ///
    /// # Errors
    /// A number out of its range.
    ///
    /// # Panics
    /// When there are 2³² pairs or more.
    pub fn with_strategy(
        train: &Interactions,
        strategy: NegativeStrategy,
        n_negatives: usize,
    ) -> Result<Self, DataError> {
        let columns = strategy.columns(n_negatives)?;
        Ok(Self::build(train, strategy, n_negatives, columns))
    }

    fn build(
        train: &Interactions,
        strategy: NegativeStrategy,
        n_negatives: usize,
        columns: usize,
    ) -> Self {
        let known = Known::new(train);
        let mut row_counts = known.counts().to_vec();
        let mut n_pairs = known.n_pairs();
        for user in (0..known.n_users() as u32).filter(|&user| known.n_free(user) == 0) {
            // A user of every training item has no negative: the pairs are left out and counted.
            n_pairs -= known.own(user).len();
            for &rank in known.own(user) {
                row_counts[rank as usize] -= 1;
            }
        }
        let popularity = match strategy {
            NegativeStrategy::Popularity { alpha } | NegativeStrategy::Dynamic { alpha, .. }
                if alpha > 0.0 =>
            {
                Some(Popularity::new(known.counts(), alpha))
            }
            _ => None,
        };
        let harmonic = match strategy {
            NegativeStrategy::Warp { .. } => warp::harmonic_numbers(known.n_ranks() as usize),
            _ => Vec::new(),
        };
        Self { known, strategy, n_negatives, columns, popularity, row_counts, harmonic, n_pairs }
    }

    /// How negatives are found.
    pub fn strategy(&self) -> &NegativeStrategy {
        &self.strategy
    }

    /// How many negatives each pair gets.
    pub fn n_negatives(&self) -> usize {
        self.n_negatives
    }

    /// How many candidates there are for each negative: 1 but for [`NegativeStrategy::Dynamic`].
    pub fn candidates(&self) -> usize {
        match self.strategy {
            NegativeStrategy::Dynamic { candidates, .. } => candidates,
            _ => 1,
        }
    }

    /// How many rows an epoch has.
    pub fn n_pairs(&self) -> usize {
        self.n_pairs
    }

    /// How many training pairs no epoch has, because their user has used every training item.
    pub fn n_skipped(&self) -> usize {
        self.known.n_pairs() - self.n_pairs
    }

    /// How many batches an epoch has.
    ///
    /// # Panics
    /// When `batch_size` is 0.
    pub fn n_batches(&self, batch_size: usize) -> usize {
        assert!(batch_size > 0, "a batch holds at least one triplet");
        self.n_pairs.div_ceil(batch_size)
    }

    /// The batches of one epoch: every pair once, in random order, each with its negatives or
    /// candidates. The last batch may be short.
    ///
    /// The triplets depend on `seed` and `epoch` only; neither `batch_size` nor the number of
    /// threads changes them.
    ///
    /// # Panics
    /// When `batch_size` is 0.
    pub fn epoch(&self, seed: SeedStream, epoch: u64, batch_size: usize) -> TripletEpoch<'_> {
        assert!(batch_size > 0, "a batch holds at least one triplet");
        TripletEpoch::new(self, seed, epoch, batch_size)
    }

    fn known(&self) -> &Known {
        &self.known
    }

    fn columns(&self) -> usize {
        self.columns
    }

    /// Replaces `rows` by these pairs and what is drawn for them.
    fn fill(&self, pairs: &[Pair], draws: &mut SplitMix64, rows: &mut TripletBatch) {
        rows.clear();
        let items = self.known.items();
        rows.users.extend(pairs.iter().map(|pair| pair.0));
        rows.positives.extend(pairs.iter().map(|pair| items[pair.1 as usize]));
        rows.negatives.resize(pairs.len() * self.columns, 0);
        if let NegativeStrategy::Warp { .. } = self.strategy {
            rows.draw_seeds.extend(pairs.iter().map(|_| draws.next_u64()));
        }
        match &self.popularity {
            None => self.draw_all(
                rows,
                draws,
                |draws| draws.below(self.known.n_ranks()),
                |user, draws| self.draw_uniform(user, draws),
            ),
            Some(popularity) => self.draw_all(
                rows,
                draws,
                |draws| popularity.draw(draws),
                |user, draws| self.draw_popular(popularity, user, draws),
            ),
        }
    }

    /// Draws all negatives of a block: once for every place, and again where the user has the
    /// item. The passes have no branch that depends on a draw, so that the processor waits for
    /// many bitmaps at a time: nearly twice as fast as one negative after the other.
    fn draw_all(
        &self,
        rows: &mut TripletBatch,
        draws: &mut SplitMix64,
        propose: impl Fn(&mut SplitMix64) -> u32,
        draw: impl Fn(u32, &mut SplitMix64) -> u32,
    ) {
        if self.columns == 0 {
            return;
        }
        for place in &mut rows.negatives {
            *place = propose(draws);
        }
        let mut doubtful = vec![0u32; rows.negatives.len() + 1];
        let mut n_doubtful = 0;
        let mut at = 0;
        for (ranks, &user) in rows.negatives.chunks_exact(self.columns).zip(&rows.users) {
            for &rank in ranks {
                doubtful[n_doubtful] = at;
                n_doubtful += usize::from(self.known.may_have(user, rank));
                at += 1;
            }
        }
        for &at in &doubtful[..n_doubtful] {
            let user = rows.users[at as usize / self.columns];
            let place = &mut rows.negatives[at as usize];
            if self.known.has(user, *place) {
                *place = draw(user, draws);
            }
        }
        let items = self.known.items();
        for place in &mut rows.negatives {
            *place = items[*place as usize];
        }
    }

    /// The rank of a uniform training item that the user lacks. There must be one.
    #[inline]
    fn draw_uniform(&self, user: u32, draws: &mut SplitMix64) -> u32 {
        for _ in 0..MAX_DRAWS {
            let rank = draws.below(self.known.n_ranks());
            if !self.known.has(user, rank) {
                return rank;
            }
        }
        self.known.nth_free(user, draws.below(self.known.n_free(user)))
    }

    /// The rank of a training item that the user lacks, by popularity. There must be one.
    #[inline]
    fn draw_popular(&self, popularity: &Popularity, user: u32, draws: &mut SplitMix64) -> u32 {
        for _ in 0..MAX_DRAWS {
            let rank = popularity.draw(draws);
            if !self.known.has(user, rank) {
                return rank;
            }
        }
        popularity.draw_free(&self.known, user, draws)
    }
}
