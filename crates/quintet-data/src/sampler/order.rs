//! The order of an epoch: a uniform permutation of the pairs, made in parallel, block by block.
//!
//! Every pair draws one of `n_blocks` blocks, and every block is then shuffled: the blocks one
//! after the other are a uniform permutation (Rao, "Generation of Random Permutations of Given
//! Number of Elements Using Random Sampling Numbers", Sankhyā 1961; Sandelius, JRSS B 1962; cache
//! behaviour: Sanders, "Random Permutations on Distributed, External and Hierarchical Memory",
//! IPL 1998). Memory is read and written in long runs, where one shuffle of everything jumps
//! once a pair, and so does a permutation that is computed position by position (a Feistel
//! network over the positions took several times as long). The draws come from streams that belong to fixed ranges of pairs and to blocks,
//! so the threads that do the work change nothing.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::known::Known;
use super::random::chacha_stream;

/// More blocks than this would make the runs within a chunk too short.
const MAX_BLOCKS: usize = 4096;
/// Pairs that one task divides among the blocks, for data of up to `MAX_CHUNKS` of these.
const CHUNK: usize = 1 << 16;
/// More chunks than this would spend memory on offsets.
const MAX_CHUNKS: usize = 1024;

/// A user, and the rank of an item of the user.
pub(super) type Pair = (u32, u32);

/// The pairs of one epoch, divided among blocks but not yet shuffled. 8 bytes a pair.
#[derive(Debug)]
pub(super) struct EpochOrder {
    chunks: Vec<Chunk>,
    n_blocks: usize,
    shuffles: ChaCha8Rng,
}

/// A range of the pairs, sorted by block.
#[derive(Debug)]
struct Chunk {
    pairs: Vec<Pair>,
    /// Where each block starts in `pairs`, `[n_blocks + 1]`.
    starts: Vec<u32>,
}

impl EpochOrder {
    /// Divides the pairs of users that lack at least one training item. A block gets about
    /// `block_rows` pairs, or half of that.
    pub(super) fn new(known: &Known, block_rows: usize, family: &ChaCha8Rng) -> Self {
        let n_pairs = known.n_pairs();
        let n_blocks = n_pairs.div_ceil(block_rows).next_power_of_two().min(MAX_BLOCKS);
        let chunk = CHUNK.max(n_pairs.div_ceil(MAX_CHUNKS));
        let chunks = (0..n_pairs.div_ceil(chunk))
            .into_par_iter()
            .map(|c| {
                // Even streams divide, odd ones shuffle.
                let draws = chacha_stream(family, 2 * c as u64);
                let slots = c * chunk..n_pairs.min((c + 1) * chunk);
                Chunk::new(pairs(known, slots), n_blocks, draws)
            })
            .collect();
        Self { chunks, n_blocks, shuffles: family.clone() }
    }

    /// How many blocks the epoch has. Some may be empty.
    pub(super) fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    /// Replaces `out` by the pairs of one block, in their order.
    pub(super) fn fill(&self, block: usize, out: &mut Vec<Pair>) {
        out.clear();
        for chunk in &self.chunks {
            let range = chunk.starts[block] as usize..chunk.starts[block + 1] as usize;
            out.extend_from_slice(&chunk.pairs[range]);
        }
        out.shuffle(&mut chacha_stream(&self.shuffles, 2 * block as u64 + 1));
    }
}

impl Chunk {
    /// Draws a block for every pair and sorts by it.
    fn new(pairs: Vec<Pair>, n_blocks: usize, mut draws: ChaCha8Rng) -> Self {
        if n_blocks == 1 {
            return Self { starts: vec![0, pairs.len() as u32], pairs };
        }
        // Two draws of up to 16 bits from each word: a power of two of blocks wastes nothing.
        let low_bits = n_blocks as u32 - 1;
        let mut blocks = vec![0u16; pairs.len()];
        for two in blocks.chunks_mut(2) {
            let word = draws.next_u32();
            two[0] = (word & low_bits) as u16;
            if let Some(second) = two.get_mut(1) {
                *second = ((word >> 16) & low_bits) as u16;
            }
        }
        let mut starts = vec![0u32; n_blocks + 1];
        for &block in &blocks {
            starts[block as usize + 1] += 1;
        }
        for block in 0..n_blocks {
            starts[block + 1] += starts[block];
        }
        let mut next = starts.clone();
        let mut sorted = vec![(0, 0); pairs.len()];
        for (pair, &block) in pairs.into_iter().zip(&blocks) {
            let at = &mut next[block as usize];
            sorted[*at as usize] = pair;
            *at += 1;
        }
        Self { pairs: sorted, starts }
    }
}

/// The pairs at some positions of the matrix, without those of users who have every item.
fn pairs(known: &Known, slots: std::ops::Range<usize>) -> Vec<Pair> {
    let indptr = known.indptr();
    let mut pairs = Vec::with_capacity(slots.len());
    let mut user = indptr.partition_point(|&start| start <= slots.start) - 1;
    let mut at = slots.start;
    while at < slots.end {
        let end = indptr[user + 1].min(slots.end);
        if known.n_free(user as u32) > 0 {
            pairs.extend(known.all()[at..end].iter().map(|&rank| (user as u32, rank)));
        }
        at = end;
        user += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::{Interactions, SeedStream};

    fn order(train: &Interactions, block_rows: usize, seed: u64) -> Vec<Pair> {
        let family = SeedStream::new(seed).rng("order", 0);
        let order = EpochOrder::new(&Known::new(train), block_rows, &family);
        let (mut all, mut block) = (Vec::new(), Vec::new());
        for b in 0..order.n_blocks() {
            order.fill(b, &mut block);
            all.extend_from_slice(&block);
        }
        all
    }

    #[test]
    fn all_permutations_of_four_pairs_are_equally_frequent() {
        // One item for each of four users; blocks of one pair, so that the division matters.
        let train = Interactions::from_pairs(4, 4, (0..4).map(|i| (i, i))).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..24_000 {
            *counts.entry(order(&train, 1, seed)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 1,000 each. Chi-square with 23 degrees of freedom exceeds 49.73 with probability
        // 0.001 and stays below 7.53 with probability 0.001.
        let chi: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!((7.53..49.73).contains(&chi), "{chi}");
    }

    #[test]
    fn several_chunks_and_blocks_are_a_bijection() {
        // 210,000 pairs: four chunks; 100 rows a block: 2,100 blocks wanted, 4,096 made.
        let pairs = (0..700u32).flat_map(|u| (0..300).map(move |k| (u, (u + 7 * k) % 2100)));
        let train = Interactions::from_pairs(700, 2100, pairs.clone()).unwrap();
        let mut got = order(&train, 100, 5);
        assert_ne!(got, order(&train, 100, 6));
        let rising = got.windows(2).filter(|w| w[0] < w[1]).count();
        // Half of the neighbours rise: 105,000, standard deviation sqrt(n / 12) = 132.
        assert!((104_400..105_600).contains(&rising), "{rising}");
        got.sort_unstable();
        let mut want: Vec<Pair> = pairs.collect();
        want.sort_unstable();
        assert_eq!(got, want);
    }

    proptest! {
        #[test]
        fn every_pair_once(
            pairs in proptest::collection::btree_set((0u32..9, 0u32..6), 0..54),
            rows in 1usize..40, seed in 0u64..50
        ) {
            let train = Interactions::from_pairs(9, 6, pairs.iter().copied()).unwrap();
            let known = Known::new(&train);
            let mut got = order(&train, rows, seed);
            got.sort_unstable();
            let want: Vec<Pair> = pairs
                .iter()
                .filter(|p| known.n_free(p.0) > 0)
                .map(|p| (p.0, known.rank(p.1)))
                .collect();
            prop_assert_eq!(got, want);
        }
    }
}
