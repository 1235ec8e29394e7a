//! One epoch: blocks of triplets made in parallel, and cut into batches in order.

use quintet_core::SeedStream;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::order::{EpochOrder, Pair};
use super::random::SplitMix64;
use super::{TripletBatch, TripletSampler};

/// Items that one block aims at: a few hundred kilobytes, which stay in a core's cache.
const BLOCK_ITEMS: usize = 1 << 15;
/// Rows of a block, at least and at most.
const BLOCK_ROWS: std::ops::RangeInclusive<usize> = 256..=8192;
/// Blocks that are made ahead for each thread, so that the threads end together.
const BLOCKS_PER_THREAD: usize = 4;

/// The batches of one epoch; see [`TripletSampler::epoch`].
///
/// As an iterator it gives a new batch each time; [`TripletEpoch::fill_batch`] and
/// [`TripletEpoch::for_each_batch`] use one batch again and again. Triplets are made by all
/// threads of the current rayon pool, some blocks ahead of the batches.
#[derive(Debug)]
pub struct TripletEpoch<'a> {
    sampler: &'a TripletSampler,
    batch_size: usize,
    order: EpochOrder,
    /// The generators of the negatives, one stream a block.
    negatives: ChaCha8Rng,
    /// The blocks before `next_block` that are made.
    ready: Vec<Block>,
    next_block: usize,
    /// The first row that no batch has: block within `ready`, row within the block.
    at: (usize, usize),
    /// Rows that no batch has.
    left: usize,
}

/// A block of the order, with its negatives.
#[derive(Debug, Default)]
struct Block {
    pairs: Vec<Pair>,
    rows: TripletBatch,
}

impl<'a> TripletEpoch<'a> {
    pub(super) fn new(
        sampler: &'a TripletSampler,
        seed: SeedStream,
        epoch: u64,
        batch_size: usize,
    ) -> Self {
        let block_rows =
            (BLOCK_ITEMS / sampler.columns().max(1)).clamp(*BLOCK_ROWS.start(), *BLOCK_ROWS.end());
        let order = EpochOrder::new(sampler.known(), block_rows, &seed.rng("triplet order", epoch));
        Self {
            sampler,
            batch_size,
            order,
            negatives: seed.rng("triplet negatives", epoch),
            ready: Vec::new(),
            next_block: 0,
            at: (0, 0),
            left: sampler.n_pairs(),
        }
    }

    /// Replaces the rows of `batch` by those of the next batch, in the memory that it has.
    /// Gives `false`, and an empty batch, after the last.
    pub fn fill_batch(&mut self, batch: &mut TripletBatch) -> bool {
        batch.clear();
        let mut wanted = self.batch_size.min(self.left);
        self.left -= wanted;
        while wanted > 0 {
            if self.at.0 == self.ready.len() {
                self.make_blocks();
            }
            let Some(block) = self.ready.get(self.at.0) else {
                break; // never: the blocks have `left` rows
            };
            let end = block.rows.len().min(self.at.1 + wanted);
            batch.append(&block.rows, self.at.1..end);
            wanted -= end - self.at.1;
            self.at.1 = end;
            if end == block.rows.len() {
                self.at = (self.at.0 + 1, 0);
            }
        }
        !batch.is_empty()
    }

    /// Calls `each` with every batch that is left, all in the same memory.
    pub fn for_each_batch(mut self, mut each: impl FnMut(&TripletBatch)) {
        let mut batch = TripletBatch::default();
        while self.fill_batch(&mut batch) {
            each(&batch);
        }
    }

    /// Makes the next blocks in the memory of the last ones.
    fn make_blocks(&mut self) {
        let ahead = BLOCKS_PER_THREAD * rayon::current_num_threads();
        let blocks = self.next_block..self.order.n_blocks().min(self.next_block + ahead);
        self.next_block = blocks.end;
        self.ready.resize_with(blocks.len(), Block::default);
        self.at = (0, 0);
        let (sampler, order, negatives) = (self.sampler, &self.order, &self.negatives);
        self.ready.par_iter_mut().zip(blocks).with_max_len(1).for_each(|(block, number)| {
            order.fill(number, &mut block.pairs);
            let mut draws = SplitMix64::of_stream(negatives, number as u64);
            sampler.fill(&block.pairs, &mut draws, &mut block.rows);
        });
    }
}

impl Iterator for TripletEpoch<'_> {
    type Item = TripletBatch;

    fn next(&mut self) -> Option<TripletBatch> {
        let mut batch = TripletBatch::default();
        self.fill_batch(&mut batch).then_some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let batches = self.left.div_ceil(self.batch_size);
        (batches, Some(batches))
    }
}

impl ExactSizeIterator for TripletEpoch<'_> {}
