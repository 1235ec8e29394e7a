//! Every strategy of the sampler draws from the distribution that it promises, and no positive.

use quintet_core::{Interactions, ItemIdx, SeedStream, UserIdx};
use quintet_data::{
    InBatchNegatives, NegativeStrategy, TripletBatch, TripletSampler, WarpNegatives,
};

const USERS: u32 = 40;
const ITEMS: u32 = 26;

/// Training data in which items differ much in popularity; the last item is nobody's, and some
/// users have most of the others.
fn train(seed: u64) -> Interactions {
    let mut state = seed;
    let mut below = |n: u32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % n
    };
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    for user in 0..USERS {
        for item in 0..ITEMS - 1 {
            let likes = below(ITEMS) > item || below(ITEMS) < 2 || user == item;
            if likes && (user > 2 || item % 7 != 3) {
                pairs.push((user, item));
            }
        }
    }
    Interactions::from_pairs(USERS as usize, ITEMS as usize, pairs).unwrap()
}

/// Items that a user does not have and that occur in training, with their counts.
fn free(train: &Interactions, user: u32) -> Vec<(u32, u32)> {
    let counts = train.item_counts();
    (0..ITEMS)
        .filter(|&i| counts[i as usize] > 0 && !train.contains(UserIdx(user), ItemIdx(i)))
        .map(|i| (i, counts[i as usize]))
        .collect()
}

/// How far counts are from what these weights let expect, in standard deviations: chi-square,
/// made nearly normal by its cube root (Wilson and Hilferty, "The Distribution of Chi-Square",
/// PNAS 1931). Items without a weight must not occur.
fn deviation(counts: &[u32; ITEMS as usize], weights: &[(u32, f64)]) -> f64 {
    let total: u32 = weights.iter().map(|w| counts[w.0 as usize]).sum();
    assert_eq!(total, counts.iter().sum::<u32>(), "an item that cannot be drawn was drawn");
    let sum: f64 = weights.iter().map(|w| w.1).sum();
    let chi: f64 = weights
        .iter()
        .map(|&(item, weight)| {
            let expected = f64::from(total) * weight / sum;
            assert!(expected > 5.0, "too few draws for a test");
            (f64::from(counts[item as usize]) - expected).powi(2) / expected
        })
        .sum();
    let spread = 2.0 / (9.0 * (weights.len() as f64 - 1.0));
    ((chi / (weights.len() as f64 - 1.0)).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// Calls `each` with every batch of some epochs.
fn batches(sampler: &TripletSampler, epochs: u64, mut each: impl FnMut(TripletBatch)) {
    for epoch in 0..epochs {
        sampler.epoch(SeedStream::new(17), epoch, 128).for_each(&mut each);
    }
}

/// Of three training sets and users the deviations, which should be those of random numbers:
/// within 3.5, which one in 2,000 exceeds, and not always near nothing.
fn check(name: &str, strategy: &NegativeStrategy, deviations: &[f64]) {
    assert!(deviations.iter().all(|d| d.abs() < 3.5), "{name} {strategy:?}: {deviations:?}");
}

/// Users of few and of many items.
const LOOKED_AT: [u32; 3] = [1, 20, 39];

#[test]
fn drawn_negatives_and_candidates_follow_their_weights() {
    for (strategy, n, alpha) in [
        (NegativeStrategy::Uniform {}, 1, 0.0),
        (NegativeStrategy::Uniform {}, 4, 0.0),
        (NegativeStrategy::Popularity { alpha: 0.75 }, 2, 0.75),
        (NegativeStrategy::Popularity { alpha: 1.0 }, 1, 1.0),
        (NegativeStrategy::Popularity { alpha: 0.0 }, 1, 0.0),
        (NegativeStrategy::Dynamic { candidates: 3, alpha: 0.0 }, 1, 0.0),
        (NegativeStrategy::Dynamic { candidates: 2, alpha: 0.5 }, 2, 0.5),
    ] {
        let mut deviations = Vec::new();
        for seed in 0..3 {
            let train = train(seed);
            let sampler = TripletSampler::with_strategy(&train, strategy.clone(), n).unwrap();
            let mut counts = [[0u32; ITEMS as usize]; USERS as usize];
            batches(&sampler, 400, |batch| {
                for row in 0..batch.len() {
                    let of_user = &mut counts[batch.users[row] as usize];
                    batch.negatives_of(row).iter().for_each(|i| of_user[*i as usize] += 1);
                }
            });
            for user in LOOKED_AT {
                let weights = free(&train, user);
                let weight = |&(item, n): &(u32, u32)| (item, f64::from(n).powf(alpha));
                let weights: Vec<_> = weights.iter().map(weight).collect();
                deviations.push(deviation(&counts[user as usize], &weights));
            }
        }
        check("drawn", &strategy, &deviations);
    }
}

#[test]
fn the_hardest_candidate_is_the_largest_of_so_many_draws() {
    let strategy = NegativeStrategy::Dynamic { candidates: 3, alpha: 0.5 };
    let mut deviations = Vec::new();
    for seed in 0..3 {
        let train = train(seed);
        let sampler = TripletSampler::with_strategy(&train, strategy.clone(), 2).unwrap();
        let mut counts = [[0u32; ITEMS as usize]; USERS as usize];
        // The larger the position, the harder.
        batches(&sampler, 400, |mut batch| {
            let score = |_: u32, items: &[u32], places: &mut [f32]| {
                places.iter_mut().zip(items).for_each(|(place, item)| *place = *item as f32);
            };
            sampler.pick_hardest_by(&mut batch, score).unwrap();
            for row in 0..batch.len() {
                let of_user = &mut counts[batch.users[row] as usize];
                batch.negatives_of(row).iter().for_each(|i| of_user[*i as usize] += 1);
            }
        });
        for user in LOOKED_AT {
            // P(largest <= i) = P(one draw <= i)^3.
            let free = free(&train, user);
            let weight = |n: u32| f64::from(n).sqrt();
            let sum: f64 = free.iter().map(|f| weight(f.1)).sum();
            let mut below = 0.0;
            let mut weights = Vec::new();
            for &(item, n) in &free {
                let above = below + weight(n) / sum;
                weights.push((item, f64::powi(above, 3) - f64::powi(below, 3)));
                below = above;
            }
            // Too rare for a test of their own: the first few are one class.
            let rare = weights.iter().take_while(|w| w.1 < 0.002).count();
            let mut counts = counts[user as usize];
            let first: f64 = weights.drain(..rare).map(|w| w.1).sum();
            weights[0].1 += first;
            for (item, _) in &free[..rare] {
                counts[weights[0].0 as usize] += std::mem::take(&mut counts[*item as usize]);
            }
            deviations.push(deviation(&counts, &weights));
        }
    }
    check("hardest", &strategy, &deviations);
}

#[test]
fn warp_finds_each_violating_item_equally_often() {
    let strategy = NegativeStrategy::Warp { max_trials: 10_000, margin: 1.0 };
    let mut deviations = Vec::new();
    for seed in 0..3 {
        let train = train(seed);
        let sampler = TripletSampler::with_strategy(&train, strategy.clone(), 1).unwrap();
        let mut counts = [[0u32; ITEMS as usize]; USERS as usize];
        let mut found = WarpNegatives::default();
        // Even items come within the margin of the positive, odd ones do not.
        let score = |user: u32, item: u32| {
            let own = train.contains(UserIdx(user), ItemIdx(item));
            if own || item.is_multiple_of(2) { 5.0 } else { 0.0 }
        };
        batches(&sampler, 400, |batch| {
            sampler.warp(&batch, score, &mut found).unwrap();
            for (user, item) in batch.users.iter().zip(&found.negatives) {
                counts[*user as usize][*item as usize] += 1;
            }
        });
        for user in LOOKED_AT {
            let even = free(&train, user).into_iter().filter(|f| f.0.is_multiple_of(2));
            let weights: Vec<_> = even.map(|f| (f.0, 1.0)).collect();
            deviations.push(deviation(&counts[user as usize], &weights));
        }
    }
    check("warp", &strategy, &deviations);
}

#[test]
fn in_batch_columns_are_as_probable_as_log_q_says() {
    let strategy = NegativeStrategy::InBatch {};
    let mut deviations = Vec::new();
    for seed in 0..3 {
        let train = train(seed);
        let sampler = TripletSampler::with_strategy(&train, strategy.clone(), 1).unwrap();
        let mut counts = [0u32; ITEMS as usize];
        let mut found = InBatchNegatives::default();
        // The first row of an epoch is one random pair.
        for epoch in 0..6_000 {
            let batch = sampler.epoch(SeedStream::new(23), epoch, 9).next().unwrap();
            sampler.in_batch(&batch, &mut found).unwrap();
            counts[found.items[0] as usize] += 1;
            for row in 0..batch.len() {
                for column in (0..batch.len()).filter(|c| *c != row) {
                    let item = ItemIdx(found.items[column]);
                    let own = train.contains(UserIdx(batch.users[row]), item);
                    assert_eq!(found.masked(row).contains(&(column as u32)), own);
                }
            }
        }
        let q = |item: u32| f64::from(sampler.log_q(item)).exp();
        let weights: Vec<_> = (0..ITEMS - 1).map(|i| (i, q(i))).collect();
        assert!((weights.iter().map(|w| w.1).sum::<f64>() - 1.0).abs() < 1e-5);
        deviations.push(deviation(&counts, &weights));
    }
    check("in batch", &strategy, &deviations);
}
