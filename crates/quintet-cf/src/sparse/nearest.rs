//! All entities times all entities, cut to the nearest of each while it is computed.
//!
//! Entities go through in blocks of ranks. Within a block the products of each entity with all
//! smaller ranks are summed in parallel, in an accumulator of the thread, and read twice: the
//! nearest of the entity itself are cut from them, and offers to the smaller ranks that beat
//! what those hold already are set aside. Then the offers are handed over, in parallel by who gets
//! them. Products are symmetric, so half of them are computed; nothing larger than the
//! accumulators and `2 k` neighbours an entity is held. What is kept does not depend on the
//! number of threads.
//!
//! Sums are read densely where most of them are expected to be set, and by a list of those that
//! were touched elsewhere. Where entities share little, most of the time would go into handing
//! offers over: there each entity sums up all its products itself, every one twice.

use std::sync::Mutex;

use rayon::prelude::*;

use super::best::{Offer, best_of};
use super::{Best, Terms};

/// Ranks that go through together: few, so that offers are held against what was kept lately.
const BLOCK: usize = 128;

/// Sums are read densely when at least one addition in so many numbers is expected.
const DENSE: usize = 8;

/// Entities sum up all their products themselves up to so many additions an entity and neighbour.
const LIGHT: usize = 4;

/// What [`neighbours`] keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NearestOptions {
    /// Neighbours an entity, at least 1.
    pub k: usize,
    /// Whether an entity takes part among its own neighbours.
    pub itself: bool,
    /// Fewest common terms of neighbours; 0 and 1 mean any.
    pub min_support: u32,
    /// Whether `similarity` reads the number of common terms.
    pub counts: bool,
    /// Whether `similarity` is the same when row and column change places.
    pub symmetric: bool,
}

/// Two entities, by rank, with their product and the number of their common terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Whose neighbour is looked for.
    pub row: usize,
    /// The candidate.
    pub col: usize,
    /// Sum of the products of their weights.
    pub dot: f32,
    /// Common terms, where [`NearestOptions::counts`] asks for them.
    pub common: f32,
}

/// The nearest of every entity, each list by entity: those with the largest positive
/// `similarity`, ties by the smaller entity.
pub(crate) fn neighbours(
    terms: &Terms,
    options: NearestOptions,
    similarity: impl Fn(Pair) -> f32 + Sync,
) -> Vec<Vec<Offer>> {
    let n = terms.n_entities();
    // Unweighted sums are the numbers of common terms already.
    let counts = (options.counts || options.min_support > 1) && !terms.counts_terms();
    let walk = Walk { terms, options, counts, similarity };
    if !counts && terms.whole_work() <= LIGHT * n * options.k {
        return walk.one_by_one();
    }
    let scratch: Vec<Mutex<Scratch>> =
        (0..=rayon::current_num_threads()).map(|_| Mutex::default()).collect();
    let mut best: Vec<Best> = vec![Best::default(); n];
    let mut least = vec![0.0f32; n];
    for begin in (0..n).step_by(BLOCK) {
        let end = n.min(begin + BLOCK);
        let rows: Vec<(Best, Vec<(u32, f32)>)> = (begin..end)
            .into_par_iter()
            .with_max_len(4)
            .map(|row| {
                let thread = rayon::current_thread_index().unwrap_or(scratch.len() - 1);
                match scratch[thread % scratch.len()].lock() {
                    Ok(mut scratch) => walk.row(row, &least, &mut scratch),
                    // A thread panicked while it held the lock: its sums are not to be trusted.
                    Err(_) => walk.row(row, &least, &mut Scratch::default()),
                }
            })
            .collect();
        let mut offers = Vec::with_capacity(rows.len());
        for (row, (own, others)) in (begin..end).zip(rows) {
            best[row] = own;
            offers.push((terms.order()[row], others));
        }
        hand_over(&mut best[..end], &mut least[..end], options.k, &offers);
    }
    let mut out = vec![Vec::new(); n];
    let lists: Vec<Vec<Offer>> = best.into_par_iter().map(|b| b.finish(options.k)).collect();
    for (&entity, list) in terms.order().iter().zip(lists) {
        out[entity as usize] = list;
    }
    out
}

/// Gives every rank the offers to it, in the order of who offers.
fn hand_over(best: &mut [Best], least: &mut [f32], k: usize, offers: &[(u32, Vec<(u32, f32)>)]) {
    let chunk = best.len().div_ceil(4 * rayon::current_num_threads()).max(1);
    best.par_chunks_mut(chunk).zip(least.par_chunks_mut(chunk)).enumerate().for_each(
        |(nth, (best, least))| {
            let (from, to) = (nth * chunk, nth * chunk + best.len());
            for (entity, others) in offers {
                let begin = others.partition_point(|o| (o.0 as usize) < from);
                for &(rank, score) in others[begin..].iter().take_while(|o| (o.0 as usize) < to) {
                    let place = rank as usize - from;
                    if score >= best[place].least() {
                        best[place].push(k, *entity, score);
                    }
                }
            }
            for (least, best) in least.iter_mut().zip(best) {
                *least = best.least();
            }
        },
    );
}

/// Accumulators of one thread; all zero between rows.
#[derive(Default)]
struct Scratch {
    sums: Vec<f32>,
    common: Vec<f32>,
    touched: Vec<u32>,
}

struct Walk<'a, F> {
    terms: &'a Terms,
    options: NearestOptions,
    counts: bool,
    similarity: F,
}

impl<F: Fn(Pair) -> f32 + Sync> Walk<'_, F> {
    /// The nearest of every entity, each from all its products.
    fn one_by_one(&self) -> Vec<Vec<Offer>> {
        let n = self.terms.n_entities();
        let mut out = vec![Vec::new(); n];
        let lists: Vec<Vec<Offer>> = (0..n)
            .into_par_iter()
            .with_min_len(64)
            .map_init(
                || (vec![0.0f32; n], Vec::new()),
                |(sums, touched), row| self.whole_row(row, sums, touched),
            )
            .collect();
        for (&entity, list) in self.terms.order().iter().zip(lists) {
            out[entity as usize] = list;
        }
        out
    }

    fn whole_row(&self, row: usize, sums: &mut [f32], touched: &mut Vec<u32>) -> Vec<Offer> {
        self.terms.all_products(row, |other, product| {
            if sums[other] == 0.0 {
                touched.push(other as u32);
            }
            sums[other] += product;
        });
        let mut offers = Vec::with_capacity(touched.len());
        let support = self.options.min_support;
        for col in touched.drain(..).map(|col| col as usize) {
            // A sum that went back to 0 on its way is here twice, and is 0 the second time.
            let dot = std::mem::take(&mut sums[col]);
            let itself = col == row;
            if dot == 0.0 || (itself && !self.options.itself) {
                continue;
            }
            if !itself && support > 1 && dot < support as f32 {
                continue;
            }
            let score = (self.similarity)(Pair { row, col, dot, common: dot });
            if score > 0.0 {
                offers.push((self.terms.order()[col], score));
            }
        }
        best_of(offers, self.options.k)
    }

    /// The nearest of `row` among smaller ranks, and offers of `row` to those, by rank.
    fn row(&self, row: usize, least: &[f32], scratch: &mut Scratch) -> (Best, Vec<(u32, f32)>) {
        let n = self.terms.n_entities();
        scratch.sums.resize(n, 0.0);
        if self.counts {
            scratch.common.resize(n, 0.0);
            let common = &mut scratch.common;
            self.terms.common(row, |other| common[other] += 1.0);
        }
        let mut reader =
            Reader { walk: self, row, least, best: Best::default(), offers: Vec::new() };
        if self.options.itself {
            reader.itself();
        }
        let Scratch { sums, common, touched } = scratch;
        if self.terms.work(row) >= row / DENSE {
            let sums = &mut sums[..row];
            self.terms.products(row, |other, product| sums[other] += product);
            if self.counts {
                for (col, (sum, common)) in sums.iter().zip(&mut *common).enumerate() {
                    reader.read(col, *sum, std::mem::take(common));
                }
            } else {
                sums.iter().enumerate().for_each(|(col, sum)| reader.read(col, *sum, 0.0));
            }
            sums.fill(0.0);
        } else {
            self.terms.products(row, |other, product| {
                if sums[other] == 0.0 {
                    touched.push(other as u32);
                }
                sums[other] += product;
            });
            // Ascending, so that offers can be looked up. A sum that went back to 0 on its way
            // is here twice, and is 0 the second time.
            touched.sort_unstable();
            for col in touched.drain(..).map(|col| col as usize) {
                let common = if self.counts { std::mem::take(&mut common[col]) } else { 0.0 };
                reader.read(col, std::mem::take(&mut sums[col]), common);
            }
        }
        (reader.best, reader.offers)
    }
}

/// Reads the sums of one row.
struct Reader<'a, F> {
    walk: &'a Walk<'a, F>,
    row: usize,
    least: &'a [f32],
    best: Best,
    offers: Vec<(u32, f32)>,
}

impl<F: Fn(Pair) -> f32 + Sync> Reader<'_, F> {
    #[inline(always)]
    fn read(&mut self, col: usize, dot: f32, common: f32) {
        let common = if self.walk.counts { common } else { dot };
        let support = self.walk.options.min_support;
        if dot == 0.0 || (support > 1 && common < support as f32) {
            return;
        }
        let row = self.row;
        let own = (self.walk.similarity)(Pair { row, col, dot, common });
        if own > 0.0 && own >= self.best.least() {
            self.best.push(self.walk.options.k, self.walk.terms.order()[col], own);
        }
        let other = if self.walk.options.symmetric {
            own
        } else {
            (self.walk.similarity)(Pair { row: col, col: row, dot, common })
        };
        if other > 0.0 && other >= self.least[col] {
            self.offers.push((col as u32, other));
        }
    }

    fn itself(&mut self) {
        let terms = self.walk.terms;
        let (row, dot) = (self.row, terms.square(self.row));
        let common = terms.n_terms(row) as f32;
        let score = (self.walk.similarity)(Pair { row, col: row, dot, common });
        if score > 0.0 {
            self.best.push(self.walk.options.k, terms.order()[row], score);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::Order;
    use proptest::prelude::*;
    use quintet_core::{Interactions, UserIdx};

    fn naive(by_term: &Interactions, k: usize, support: u32) -> Vec<Vec<Offer>> {
        let by_entity = by_term.transpose();
        let n = by_term.n_items();
        let row = |i: usize| {
            let mut list: Vec<Offer> = (0..n)
                .filter(|&j| j != i)
                .filter_map(|j| {
                    let mine = by_entity.items(UserIdx::new(i));
                    let common = mine.iter().filter(|t| by_entity.contains(UserIdx::new(j), **t));
                    let common = common.count();
                    (common >= support.max(1) as usize).then_some((j as u32, common as f32))
                })
                .collect();
            list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            list.truncate(k);
            list.sort_by_key(|offer| offer.0);
            list
        };
        (0..n).map(row).collect()
    }

    proptest! {
        #[test]
        fn equals_all_pairs_counted_one_by_one(
            pairs in proptest::collection::btree_set((0u32..12, 0u32..40), 0..160),
            k in 1usize..6,
            support in 0u32..3,
        ) {
            let m = Interactions::from_pairs(12, 40, pairs.iter().copied()).unwrap();
            let options = NearestOptions {
                k, itself: false, min_support: support, counts: false, symmetric: false,
            };
            for order in [Order::Given, Order::Popularity] {
                let terms = Terms::new(&m, None, None, order);
                let found = neighbours(&terms, options, |p| p.dot);
                prop_assert_eq!(found, naive(&m, k, support));
            }
        }
    }
}
