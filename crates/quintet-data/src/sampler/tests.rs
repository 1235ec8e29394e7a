//! Tests of whole epochs.

use super::*;
use proptest::prelude::*;
use quintet_core::{ItemIdx, UserIdx};

/// Users, positives and negatives of an epoch, row by row.
fn rows(sampler: &TripletSampler, seed: u64, epoch: u64, batch: usize) -> TripletBatch {
    let mut all = TripletBatch::default();
    for batch in sampler.epoch(SeedStream::new(seed), epoch, batch) {
        all.append(&batch, 0..batch.len());
    }
    all
}

fn strategies() -> Vec<(NegativeStrategy, usize)> {
    vec![
        (NegativeStrategy::Uniform {}, 1),
        (NegativeStrategy::Uniform {}, 3),
        (NegativeStrategy::Popularity { alpha: 0.75 }, 2),
        (NegativeStrategy::Dynamic { candidates: 3, alpha: 0.5 }, 2),
        (NegativeStrategy::Dynamic { candidates: 4, alpha: 0.0 }, 1),
        (NegativeStrategy::InBatch {}, 1),
        (NegativeStrategy::Warp { max_trials: 10, margin: 1.0 }, 1),
    ]
}

/// 30,000 pairs: several chunks of blocks. Item 0 is the most popular, the last is nobody's.
fn middling() -> Interactions {
    let pairs = (0..600u32).flat_map(|u| (0..50u32).map(move |k| (u, k * k * (1 + u % 7) / 7)));
    let mut pairs: Vec<(u32, u32)> = pairs.collect();
    pairs.sort_unstable();
    pairs.dedup();
    Interactions::from_pairs(600, 2500, pairs).unwrap()
}

/// How often each of ten items is a negative of user 0, who has items 2 and 5; item 9 is
/// nobody's. Item `i` of the others has `i + 1` users.
fn counts_of_user_0(strategy: NegativeStrategy, epochs: u64) -> [u32; 10] {
    let others = (0..9u32).flat_map(|i| (0..=i).map(move |k| (1 + k, i)));
    let mut pairs: Vec<(u32, u32)> = others.filter(|p| p.1 != 2 && p.1 != 5).collect();
    pairs.extend([(0, 2), (0, 5), (10, 2), (10, 5)]);
    let train = Interactions::from_pairs(11, 10, pairs).unwrap();
    let sampler = TripletSampler::with_strategy(&train, strategy, 2).unwrap();
    let mut counts = [0u32; 10];
    for epoch in 0..epochs {
        let all = rows(&sampler, 3, epoch, 64);
        for row in (0..all.len()).filter(|&row| all.users[row] == 0) {
            for &negative in all.negatives_of(row) {
                counts[negative as usize] += 1;
            }
        }
    }
    assert_eq!((counts[2], counts[5], counts[9]), (0, 0, 0));
    counts
}

#[test]
fn uniform_negatives_are_uniform_over_what_fits() {
    let counts = counts_of_user_0(NegativeStrategy::Uniform {}, 3500);
    // 14,000 draws over 7 items: 2,000 each. Chi-square with 6 degrees of freedom exceeds 22.46
    // with probability 0.001 and stays below 0.38 with probability 0.001.
    let fits = [0, 1, 3, 4, 6, 7, 8];
    let chi: f64 = fits.iter().map(|&i| (f64::from(counts[i]) - 2000.0).powi(2) / 2000.0).sum();
    assert!((0.38..22.46).contains(&chi), "{chi} {counts:?}");
}

#[test]
fn popular_negatives_follow_the_counts_over_what_fits() {
    let counts = counts_of_user_0(NegativeStrategy::Popularity { alpha: 2.0 }, 5000);
    // Counts 1, 2, 4, 5, 7, 8, 9, squared: 240 in all; 20,000 draws. The same critical values.
    let squares = [(0, 1.0), (1, 4.0), (3, 16.0), (4, 25.0), (6, 49.0), (7, 64.0), (8, 81.0)];
    let expected = |square: f64| 20_000.0 * square / 240.0;
    let chi: f64 = squares
        .iter()
        .map(|&(i, s)| (f64::from(counts[i]) - expected(s)).powi(2) / expected(s))
        .sum();
    assert!((0.38..22.46).contains(&chi), "{chi} {counts:?}");
}

#[test]
fn users_of_nearly_everything_get_what_is_left() {
    // User 0 has all but item 700, user 1 everything, user 2 only item 700.
    let pairs = (0..1000u32).flat_map(|i| [(0, i), (1, i)]).filter(|p| *p != (0, 700));
    let train = Interactions::from_pairs(3, 1000, pairs.chain([(2, 700)])).unwrap();
    for (strategy, n) in strategies() {
        let sampler = TripletSampler::with_strategy(&train, strategy, n).unwrap();
        assert_eq!((sampler.n_pairs(), sampler.n_skipped()), (1000, 1000));
        let all = rows(&sampler, 1, 0, 64);
        assert_eq!(all.len(), 1000);
        for row in 0..all.len() {
            let of_user_0 = all.users[row] == 0;
            assert!(all.negatives_of(row).iter().all(|&item| (item == 700) == of_user_0));
        }
    }
}

#[test]
fn a_user_of_everything_is_skipped_and_counted() {
    let train = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 0)]).unwrap();
    let sampler = TripletSampler::new(&train);
    assert_eq!((sampler.n_pairs(), sampler.n_skipped()), (1, 2));
    let all = rows(&sampler, 1, 0, 8);
    assert_eq!((all.users, all.positives, all.negatives), (vec![1], vec![0], vec![1]));
    for (strategy, n) in strategies() {
        for (users, items) in [(0, 0), (3, 0), (0, 3), (3, 3)] {
            let nothing = Interactions::from_pairs(users, items, []).unwrap();
            let sampler = TripletSampler::with_strategy(&nothing, strategy.clone(), n).unwrap();
            assert_eq!(sampler.epoch(SeedStream::new(1), 0, 8).count(), 0);
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_epoch() {
    let train = middling();
    for (strategy, n) in strategies() {
        let sampler = TripletSampler::with_strategy(&train, strategy, n).unwrap();
        let with = |threads: usize, batch: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| rows(&sampler, 7, 2, batch))
        };
        let one = with(1, 1000);
        assert_eq!(one.len(), train.nnz());
        assert!(one == with(2, 77) && one == with(5, 100_000));
        assert!(one != rows(&sampler, 7, 3, 1000) && one != rows(&sampler, 8, 2, 1000));
    }
}

#[test]
fn batches_can_share_memory() {
    let sampler = TripletSampler::new(&middling());
    let seed = SeedStream::new(4);
    let (mut batches, mut all) = (0, TripletBatch::default());
    sampler.epoch(seed, 1, 1000).for_each_batch(|batch| {
        batches += 1;
        all.append(batch, 0..batch.len());
    });
    assert_eq!(batches, sampler.n_batches(1000));
    assert!(all == rows(&sampler, 4, 1, 17));
    let mut epoch = sampler.epoch(seed, 1, sampler.n_pairs());
    assert_eq!(epoch.len(), 1);
    let mut batch = TripletBatch::default();
    assert!(epoch.fill_batch(&mut batch) && batch == all);
    assert_eq!(epoch.len(), 0);
    assert!(!epoch.fill_batch(&mut batch) && batch.is_empty());
}

proptest! {
    #[test]
    fn every_positive_once_and_never_a_positive_as_negative(
        pairs in proptest::collection::btree_set((0u32..7, 0u32..9), 0..50),
        seed in 0u64..100, epoch in 0u64..5, batch in 1usize..20, which in 0usize..7
    ) {
        let train = Interactions::from_pairs(7, 9, pairs.iter().copied()).unwrap();
        let counts = train.item_counts();
        let (strategy, n) = strategies().swap_remove(which);
        let sampler = TripletSampler::with_strategy(&train, strategy, n).unwrap();
        let got = rows(&sampler, seed, epoch, batch);
        prop_assert_eq!(got.len(), sampler.n_pairs());
        prop_assert_eq!(got.len() + sampler.n_skipped(), pairs.len());
        prop_assert_eq!(got.negatives.len(), got.len() * sampler.columns());
        for row in 0..got.len() {
            let user = UserIdx(got.users[row]);
            prop_assert!(train.contains(user, ItemIdx(got.positives[row])));
            for &negative in got.negatives_of(row) {
                prop_assert!(!train.contains(user, ItemIdx(negative)));
                prop_assert!(counts[negative as usize] > 0);
            }
        }
        let mut once: Vec<_> = got.users.iter().zip(&got.positives).collect();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), got.len());
        // The size of the batches changes nothing; the epoch is reproducible.
        prop_assert!(rows(&sampler, seed, epoch, 1000) == got);
        let sizes: Vec<usize> =
            sampler.epoch(SeedStream::new(seed), epoch, batch).map(|b| b.len()).collect();
        prop_assert_eq!(sizes.len(), sampler.n_batches(batch));
        prop_assert!(sizes.iter().rev().skip(1).all(|s| *s == batch));
    }
}
