//! The contract of metrics.

use quintet_core::{Held, Interactions, ItemIdx, Registry, Valid};
use quintet_metrics::{
    EvalConfig, Evaluator, FullRanks, MetricEntry, MetricKind, RankedLists, RankedUser,
};

/// Longest list that is tried with every pattern of hits.
const LONGEST: usize = 6;

/// Runs the contract of a metric: bounds, the best and the worst list, lists shorter and longer
/// than k, and averaging over users; for a metric of all ranks, every choice of a few.
///
/// # Panics
/// When the contract is broken; the message names the metric and the rule.
pub fn check_metric(entry: &MetricEntry) {
    match entry.kind {
        MetricKind::FullRank { value, .. } => full_rank(entry.name, value),
        MetricKind::Whole(f) => whole(entry.name, f),
        _ => {}
    }
    if let Some(f) = of_list(entry) {
        let at_truth = matches!(entry.kind, MetricKind::AtTruth(_));
        let value = |hits: &[bool], n_truth: usize, k: usize| {
            f(&RankedUser::new(hits, n_truth, if at_truth { n_truth } else { k }))
        };
        for k in 1..=LONGEST + 2 {
            every_pattern(entry.name, &value, k, at_truth);
        }
        best_list(entry, &value);
        averaging(entry, f);
    }
}

type OfList = fn(&RankedUser<'_>) -> f64;

/// The function of a metric that is one of a user's list.
fn of_list(entry: &MetricEntry) -> Option<OfList> {
    match entry.kind {
        MetricKind::PerUser(f) | MetricKind::Graded(f) | MetricKind::AtTruth(f) => Some(f),
        MetricKind::Utility { value, .. } => Some(value),
        MetricKind::FullRank { .. } | MetricKind::Whole(_) => None,
    }
}

type PerUser<'a> = &'a dyn Fn(&[bool], usize, usize) -> f64;

/// With `at_truth` the number of relevant items is the cutoff, and `k` only its stand-in.
fn every_pattern(name: &str, value: PerUser<'_>, k: usize, at_truth: bool) {
    for length in 0..=LONGEST {
        for bits in 0..1usize << length {
            let hits: Vec<bool> = (0..length).map(|i| bits >> i & 1 == 1).collect();
            let n_hits = hits.iter().filter(|h| **h).count();
            for n_truth in n_hits.max(1)..=LONGEST + 2 {
                if !at_truth || n_truth == k {
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

fn best_list(entry: &MetricEntry, value: PerUser<'_>) {
    let name = entry.name;
    let below = matches!(entry.kind, MetricKind::Utility { .. });
    for k in 1..=LONGEST {
        let best = value(&vec![true; k], k, k);
        let what = format!("for the {k} relevant items on the first {k} ranks");
        if below {
            assert!(best > 0.0 && best < 1.0, "metric {name}@{k}: {best} {what}");
        } else {
            assert!((best - 1.0).abs() < 1e-12, "metric {name}@{k}: {best} {what}, not 1");
        }
    }
}

/// Every choice of relevant items among a few: bounds, the best and the worst, one place up.
fn full_rank(name: &str, f: fn(&FullRanks<'_>) -> f64) {
    for n in 2..=LONGEST {
        for bits in 1..(1usize << n) - 1 {
            let ranks = |bits: usize| -> Vec<f64> {
                (0..n).filter(|i| bits >> i & 1 == 1).map(|i| i as f64 + 1.0).collect()
            };
            let value = |bits: usize| f(&FullRanks::new(&ranks(bits), n));
            let title = format!("metric {name}, ranks {:?} of {n}", ranks(bits));
            let v = value(bits);
            assert!((0.0..=1.0).contains(&v), "{title}: {v} is not within 0 and 1");
            let t = bits.count_ones() as usize;
            let (first, last) = ((1 << t) - 1, ((1 << t) - 1) << (n - t));
            assert!((value(first) - 1.0).abs() < 1e-12, "{title}: the best ranks give no 1");
            assert!(value(last).abs() < 1e-12, "{title}: the last ranks give no 0");
            for i in 1..n {
                if bits >> i & 1 == 1 && bits >> (i - 1) & 1 == 0 {
                    let better = value(bits - (1 << i) + (1 << (i - 1)));
                    assert!(better >= v, "{title}: an earlier hit lowers {v} to {better}");
                }
            }
        }
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
fn averaging(entry: &MetricEntry, f: OfList) {
    let (name, k) = (entry.name, 3);
    let cut = |n_truth: usize| if entry.has_cutoff() { k } else { n_truth };
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
        f(&RankedUser::new(&[true, false, false], 1, cut(1))),
        f(&RankedUser::new(&[false, true, true][..cut(4).min(3)], 4, cut(4))),
        f(&RankedUser::new(&[false, true, true], 2, cut(2))),
    ];
    let key = if entry.has_cutoff() { format!("{name}@{k}") } else { name.to_owned() };
    assert_eq!(evaluation.n_skipped(), 1, "metric {key}: users without relevant items");
    assert_eq!(evaluation.per_user(&key), Some(&expected[..]), "metric {key}: values by user");
    let mean = expected.iter().sum::<f64>() / 3.0;
    let found = evaluation.get(&key).unwrap_or(f64::NAN);
    assert!((found - mean).abs() < 1e-12, "metric {key}: mean over users {found}, not {mean}");
}
