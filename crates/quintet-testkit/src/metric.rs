//! The contract of metrics.

use quintet_core::{Held, Interactions, ItemIdx, Registry, Valid};
use quintet_metrics::{EvalConfig, Evaluator, MetricEntry, MetricKind, RankedLists, RankedUser};

/// Longest list that is tried with every pattern of hits.
const LONGEST: usize = 6;

/// Runs the contract of a metric: bounds, the best and the worst list, lists shorter and longer
/// than k, and averaging over users.
///
/// # Panics
/// When the contract is broken; the message names the metric and the rule.
pub fn check_metric(entry: &MetricEntry) {
    match entry.kind {
        MetricKind::PerUser(f) => {
            let value =
                |hits: &[bool], n_truth: usize, k: usize| f(&RankedUser::new(hits, n_truth, k));
            every_pattern(entry.name, &value);
            best_list(entry.name, &value);
        }
        MetricKind::Whole(f) => whole(entry.name, f),
    }
    averaging(entry);
}

type PerUser<'a> = &'a dyn Fn(&[bool], usize, usize) -> f64;

fn every_pattern(name: &str, value: PerUser<'_>) {
    for length in 0..=LONGEST {
        for bits in 0..1usize << length {
            let hits: Vec<bool> = (0..length).map(|i| bits >> i & 1 == 1).collect();
            let n_hits = hits.iter().filter(|h| **h).count();
            for n_truth in n_hits.max(1)..=LONGEST + 2 {
                for k in 1..=LONGEST + 2 {
                    one_pattern(name, value, &hits, n_truth, k);
                }
            }
        }
    }
}

fn one_pattern(name: &str, value: PerUser<'_>, hits: &[bool], n_truth: usize, k: usize) {
    let title = format!("metric {name}@{k}, hits {hits:?} of {n_truth} relevant items");
    let v = value(hits, n_truth, k);
    // NaN is in no range.
    assert!((0.0..=1.0).contains(&v), "{title}: {v} is not within 0 and 1");
    let counted = &hits[..hits.len().min(k)];
    if !counted.contains(&true) {
        assert_eq!(v, 0.0, "{title}: a list without a hit");
    }
    let cut = value(counted, n_truth, k);
    assert_eq!(v, cut, "{title}: ranks beyond {k} count");
    let mut padded = counted.to_vec();
    padded.resize(k, false);
    assert_eq!(v, value(&padded, n_truth, k), "{title}: misses at the end of a short list count");
    for i in 1..counted.len() {
        // A hit and the miss before it change places.
        if counted[i] && !counted[i - 1] {
            let mut better = counted.to_vec();
            better.swap(i - 1, i);
            let b = value(&better, n_truth, k);
            assert!(b >= v, "{title}: an earlier hit at rank {i} lowers {v} to {b}");
        }
    }
}

fn best_list(name: &str, value: PerUser<'_>) {
    for k in 1..=LONGEST {
        let best = value(&vec![true; k], k, k);
        assert!(
            (best - 1.0).abs() < 1e-12,
            "metric {name}@{k}: {best} for the {k} relevant items on the first {k} ranks, not 1"
        );
    }
}

fn whole(name: &str, f: fn(&RankedLists<'_>) -> f64) {
    const ITEMS: usize = 6;
    let list = |items: &[u32]| items.iter().copied().map(ItemIdx).collect::<Vec<_>>();
    let lists = vec![list(&[0, 1, 2, 3]), list(&[5, 0]), vec![], list(&[2, 4, 1, 0, 3, 5])];
    for k in 1..=ITEMS + 2 {
        let title = format!("metric {name}@{k}");
        let value = |lists: &[Vec<ItemIdx>]| f(&RankedLists::new(lists, ITEMS, ITEMS, k));
        let v = value(&lists);
        assert!((0.0..=1.0).contains(&v), "{title}: {v} is not within 0 and 1");
        for few in [&lists[..0], &lists[..1], &lists[2..3]] {
            let v = value(few);
            assert!((0.0..=1.0).contains(&v), "{title}, lists {few:?}: {v} is not within 0 and 1");
        }
        let cut: Vec<Vec<ItemIdx>> = lists.iter().map(|l| l[..l.len().min(k)].to_vec()).collect();
        assert_eq!(v, value(&cut), "{title}: ranks beyond {k} count");
        let reversed: Vec<Vec<ItemIdx>> = lists.iter().rev().cloned().collect();
        let r = value(&reversed);
        assert!((v - r).abs() < 1e-12, "{title}: {v} or {r} by the order of the users");
    }
}

/// The evaluator averages over users, not over hits, and leaves users without truth out.
fn averaging(entry: &MetricEntry) {
    let MetricKind::PerUser(f) = entry.kind else { return };
    let (name, k) = (entry.name, 3);
    // Users with one, no, four and two relevant items.
    let truth = [(0, 0), (2, 0), (2, 1), (2, 2), (2, 3), (3, 4), (3, 5)];
    let held: Held<Valid> = Held::new(Interactions::from_pairs(4, 6, truth).unwrap());
    let lists = [[0u32, 1, 2], [0, 1, 2], [4, 0, 1], [0, 5, 4]];
    let lists = lists.map(|l| l.map(ItemIdx).to_vec());
    let mut registry = Registry::new("metric");
    registry.add(*entry).unwrap();
    let config = EvalConfig { cutoffs: vec![k], metrics: vec![name.into()] };
    let evaluation = Evaluator::new(&config, &registry)
        .and_then(|e| e.evaluate_lists(&lists, &held))
        .unwrap_or_else(|e| panic!("metric {name}: cannot be evaluated: {e}"));
    let expected = [
        f(&RankedUser::new(&[true, false, false], 1, k)),
        f(&RankedUser::new(&[false, true, true], 4, k)),
        f(&RankedUser::new(&[false, true, true], 2, k)),
    ];
    let key = format!("{name}@{k}");
    assert_eq!(evaluation.n_skipped(), 1, "metric {key}: users without relevant items");
    assert_eq!(evaluation.per_user(&key), Some(&expected[..]), "metric {key}: values by user");
    let mean = expected.iter().sum::<f64>() / 3.0;
    let found = evaluation.get(&key).unwrap_or(f64::NAN);
    assert!((found - mean).abs() < 1e-12, "metric {key}: mean over users {found}, not {mean}");
}
