//! What every registered metric must hold, whichever metrics there are.

use proptest::prelude::*;
use quintet_core::{ItemIdx, Named};
use quintet_metrics::{MetricEntry, MetricKind, RankedLists, RankedUser, registry};

fn entries() -> Vec<MetricEntry> {
    registry().unwrap().iter().copied().collect()
}

#[test]
fn names_are_usable_in_keys_and_summaries_are_sentences() {
    for entry in entries() {
        assert!(entry.name().chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{entry:?}");
        assert!(entry.summary.len() > 20, "{entry:?}");
    }
}

#[test]
fn the_worst_ranking_is_zero_and_the_perfect_one_is_one() {
    for entry in entries() {
        for k in 1..=30 {
            match entry.kind {
                MetricKind::PerUser(compute) => {
                    let perfect = compute(&RankedUser::new(&[true; 40][..k], k, k));
                    assert_eq!(perfect, 1.0, "{}@{k}: {}", entry.name, entry.summary);
                    assert_eq!(compute(&RankedUser::new(&[false; 40], k, k)), 0.0);
                    assert_eq!(compute(&RankedUser::new(&[], k, k)), 0.0, "{}@{k}", entry.name);
                }
                MetricKind::Whole(compute) => {
                    let all = vec![(0..k).map(ItemIdx::new).collect::<Vec<_>>()];
                    assert_eq!(compute(&RankedLists::new(&all, k, k, k)), 1.0);
                    assert_eq!(compute(&RankedLists::new(&[vec![]], k, k, k)), 0.0);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn values_are_between_zero_and_one(
        hits in proptest::collection::vec(any::<bool>(), 0..40), extra in 0usize..20, k in 1usize..50
    ) {
        let n_truth = (hits.iter().filter(|h| **h).count() + extra).max(1);
        for entry in entries() {
            if let MetricKind::PerUser(compute) = entry.kind {
                let value = compute(&RankedUser::new(&hits, n_truth, k));
                prop_assert!((0.0..=1.0).contains(&value), "{}: {}", entry.name, value);
            }
        }
    }

    /// Places beyond the end of the list are misses: padding with misses changes nothing.
    #[test]
    fn a_short_list_is_one_padded_with_misses(
        hits in proptest::collection::vec(any::<bool>(), 0..10), extra in 1usize..20, k in 1usize..50
    ) {
        let n_truth = hits.iter().filter(|h| **h).count() + extra;
        let mut padded = hits.clone();
        padded.resize(60, false);
        for entry in entries() {
            if let MetricKind::PerUser(compute) = entry.kind {
                let short = compute(&RankedUser::new(&hits, n_truth, k));
                prop_assert_eq!(short, compute(&RankedUser::new(&padded, n_truth, k)));
            }
        }
    }

    /// Moving a hit up by one place never makes a ranking worse.
    #[test]
    fn an_earlier_hit_is_never_worse(
        hits in proptest::collection::vec(any::<bool>(), 2..30), at in 1usize..30, k in 1usize..35
    ) {
        let at = 1 + at % (hits.len() - 1);
        prop_assume!(hits[at] && !hits[at - 1]);
        let mut better = hits.clone();
        better.swap(at - 1, at);
        let n_truth = hits.iter().filter(|h| **h).count();
        for entry in entries() {
            if let MetricKind::PerUser(compute) = entry.kind {
                let before = compute(&RankedUser::new(&hits, n_truth, k));
                let after = compute(&RankedUser::new(&better, n_truth, k));
                prop_assert!(after >= before, "{}: {} < {}", entry.name, after, before);
            }
        }
    }
}
