//! Triplets a second: whole epochs, order and negatives included, in batches of 4,096 that share
//! memory.
//!
//! The data is made by [`interactions`], which `benches/peers/recbole_sampler.py` at the root of
//! the repository repeats number by number.

use criterion::{Criterion, Throughput};
use quintet_core::{Interactions, SeedStream};
use quintet_data::{NegativeStrategy, TripletSampler};

/// Rows of a batch.
const BATCH: usize = 4096;

/// Users, items, and the fewest and most draws of a user.
const SHAPES: [(&str, u32, u32, u32, u32); 2] =
    [("ml_100k_like", 943, 1_682, 20, 212), ("100k_users_50k_items", 100_000, 50_000, 10, 93)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for (name, n_users, n_items, fewest, most) in SHAPES {
        let train = interactions(n_users, n_items, fewest, most)?;
        let mut group = criterion.benchmark_group(format!("sampler_{name}_{}_pairs", train.nnz()));
        for (strategy, n_negatives) in [
            (NegativeStrategy::Uniform {}, 1),
            (NegativeStrategy::Uniform {}, 4),
            (NegativeStrategy::Popularity { alpha: 0.75 }, 1),
            (NegativeStrategy::Dynamic { candidates: 8, alpha: 0.0 }, 1),
            (NegativeStrategy::Warp { max_trials: 10, margin: 1.0 }, 1),
        ] {
            let id = format!("{}_{n_negatives}", strategy.strategy());
            let sampler = TripletSampler::with_strategy(&train, strategy, n_negatives)?;
            group.throughput(Throughput::Elements((sampler.n_pairs() * n_negatives) as u64));
            let mut epoch = 0;
            group.bench_function(id, |b| {
                b.iter(|| {
                    epoch += 1;
                    let mut sum = 0u64;
                    sampler.epoch(SeedStream::new(1), epoch, BATCH).for_each_batch(|batch| {
                        sum += u64::from(batch.users[0]) + batch.negatives.len() as u64;
                    });
                    sum
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// User `u` draws `fewest + 7919 u mod (most - fewest)` items, draw `k` from the numbers
/// `x = mix(2²⁰ u + k)` and `r = (x >> 11) / 2⁵³` as item `⌊r² n_items⌋`, so that item `i` is
/// about as popular as `1 / √i`; repeated items count once. `mix` is that of SplitMix64.
fn interactions(
    n_users: u32,
    n_items: u32,
    fewest: u32,
    most: u32,
) -> Result<Interactions, quintet_core::CoreError> {
    let mut pairs = Vec::new();
    for user in 0..n_users {
        let n_draws = fewest + (user * 7919) % (most - fewest);
        let mut items: Vec<u32> = (0..n_draws)
            .map(|k| {
                let r = (mix((u64::from(user) << 20) + u64::from(k)) >> 11) as f64
                    / (1u64 << 53) as f64;
                (r * r * f64::from(n_items)) as u32
            })
            .collect();
        items.sort_unstable();
        items.dedup();
        pairs.extend(items.into_iter().map(|item| (user, item)));
    }
    Interactions::from_pairs(n_users as usize, n_items as usize, pairs)
}

/// The mix of SplitMix64, of `x` plus its step.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
