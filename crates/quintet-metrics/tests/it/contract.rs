//! What every registered metric must hold, whichever metrics there are.

use proptest::prelude::*;
use quintet_core::{ItemIdx, Named};
use quintet_metrics::{
    FullRanks, MetricEntry, MetricKind, RankedLists, RankedUser, Weight, registry,
};

fn entries() -> Vec<MetricEntry> {
    registry().unwrap().iter().copied().collect()
}

/// How a metric is computed from one list cut at `k`; of those that take the number of relevant
/// items instead, only where it is `k`.
fn of_list(entry: &MetricEntry, user: &RankedUser<'_>) -> Option<f64> {
    match entry.kind {
        MetricKind::PerUser(f) | MetricKind::Graded(f) => Some(f(user)),
        MetricKind::Utility { value, .. } => Some(value(user)),
        MetricKind::AtTruth(f) => (user.k() == user.n_truth()).then(|| f(user)),
        MetricKind::FullRank { .. } | MetricKind::Whole(_) => None,
    }
}

#[test]
fn names_are_usable_in_keys_and_summaries_are_sentences() {
    for entry in entries() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c);
        assert!(entry.name().chars().all(fits), "{entry:?}");
        assert!(entry.summary.len() > 20, "{entry:?}");
    }
}

#[test]
fn the_worst_ranking_is_zero_and_the_perfect_one_is_the_best() {
    for entry in entries() {
        for k in 1..=30 {
            let title = format!("{}@{k}: {}", entry.name, entry.summary);
            if let MetricKind::Whole(compute) = entry.kind {
                let all = vec![(0..k).map(ItemIdx::new).collect::<Vec<_>>()];
                assert_eq!(compute(&RankedLists::new(&all, k, k, k)), 1.0, "{title}");
                assert_eq!(compute(&RankedLists::new(&[vec![]], k, k, k)), 0.0, "{title}");
                continue;
            }
            if let MetricKind::FullRank { value, .. } = entry.kind {
                let ranks: Vec<f64> = (1..=2 * k).map(|rank| rank as f64).collect();
                assert_eq!(value(&FullRanks::new(&ranks[..k], 2 * k)), 1.0, "{title}");
                assert_eq!(value(&FullRanks::new(&ranks[k..], 2 * k)), 0.0, "{title}");
                let tied = vec![(2 * k + 1) as f64 / 2.0; k];
                assert_eq!(value(&FullRanks::new(&tied, 2 * k)), 0.5, "{title}");
                continue;
            }
            let value = |hits: &[bool]| of_list(&entry, &RankedUser::new(hits, k, k)).unwrap();
            let perfect = value(&[true; 40][..k]);
            match entry.kind {
                MetricKind::Utility { .. } => assert!(perfect > 0.0 && perfect < 1.0, "{title}"),
                _ => assert_eq!(perfect, 1.0, "{title}"),
            }
            assert_eq!(value(&[false; 40]), 0.0, "{title}");
            assert_eq!(value(&[]), 0.0, "{title}");
        }
    }
}

#[test]
fn only_weighted_metrics_have_no_values_by_user_and_auc_has_none_of_lists() {
    let weighted =
        |e: &&MetricEntry| matches!(e.kind, MetricKind::FullRank { weight: Weight::Relevant, .. });
    let entries = entries();
    assert_eq!(entries.iter().filter(weighted).map(|e| e.name).collect::<Vec<_>>(), ["gauc"]);
    let uncut: Vec<&str> = entries.iter().filter(|e| !e.has_cutoff()).map(|e| e.name).collect();
    assert_eq!(uncut, ["auc", "gauc", "r_precision"]);
}

proptest! {
    #[test]
    fn values_are_between_zero_and_one(
        hits in proptest::collection::vec(any::<bool>(), 0..40), extra in 0usize..20, k in 1usize..50
    ) {
        let n_truth = (hits.iter().filter(|h| **h).count() + extra).max(1);
        for entry in entries() {
            if let Some(value) = of_list(&entry, &RankedUser::new(&hits, n_truth, k)) {
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
            let short = of_list(&entry, &RankedUser::new(&hits, n_truth, k));
            prop_assert_eq!(short, of_list(&entry, &RankedUser::new(&padded, n_truth, k)));
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
            let before = of_list(&entry, &RankedUser::new(&hits, n_truth, k));
            let after = of_list(&entry, &RankedUser::new(&better, n_truth, k));
            prop_assert!(after >= before, "{}: {:?} < {:?}", entry.name, after, before);
        }
    }

    /// With grades: within bounds, a better item earlier is never worse, and grades of 1 alone
    /// are no grades.
    #[test]
    fn grades_keep_the_contract(
        list in proptest::collection::vec(proptest::option::of(0u8..6), 2..20),
        missed in proptest::collection::vec(0u8..6, 0..8), at in 1usize..20, k in 1usize..25
    ) {
        let at = 1 + at % (list.len() - 1);
        let value = |entry: &MetricEntry, list: &[Option<u8>], flat: bool| {
            let grade = |g: u8| if flat { 1.0 } else { f32::from(g) };
            let hits: Vec<bool> = list.iter().map(Option::is_some).collect();
            let found: Vec<f32> = list.iter().flatten().map(|g| grade(*g)).collect();
            let mut ideal = found.clone();
            ideal.extend(missed.iter().map(|g| grade(*g)));
            ideal.sort_by(|a, b| b.total_cmp(a));
            if ideal.is_empty() {
                return (None, None);
            }
            let user = RankedUser::new(&hits, ideal.len(), k);
            let max = if flat { 1.0 } else { 5.0 };
            (of_list(entry, &user.with_grades(&found, &ideal, max)), of_list(entry, &user))
        };
        let mut better = list.clone();
        better.swap(at - 1, at);
        for entry in entries() {
            let (flat, without) = value(&entry, &list, true);
            prop_assert_eq!(flat, without, "{}", entry.name);
            let (before, _) = value(&entry, &list, false);
            prop_assert!(before.is_none_or(|v| (0.0..=1.0).contains(&v)), "{}", entry.name);
            // Nothing found is worth less than an item of grade 0.
            let worth = |g: Option<u8>| g.map_or(-1, i16::from);
            let (after, _) = value(&entry, &better, false);
            let graded = matches!(
                entry.kind, MetricKind::Graded(_) | MetricKind::Utility { graded: true, .. }
            );
            if graded && worth(list[at]) > worth(list[at - 1]) {
                // Equal sums in another order differ by rounding.
                prop_assert!(after >= before.map(|v| v - 1e-12), "{}", entry.name);
            }
        }
    }
}
