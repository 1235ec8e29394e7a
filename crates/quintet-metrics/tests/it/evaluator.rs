//! The evaluator on small tables: candidates, errors, the saved form.

use quintet_core::{Held, Named, Recommender, Registry, SeedStream, Test, Valid};
use quintet_metrics::{
    BootstrapConfig, EvalConfig, EvalError, Evaluation, Evaluator, MetricEntry, MetricKind,
    compare, evaluate, evaluate_lists, registry,
};

use crate::common::{Table, items, pairs};

fn config(cutoffs: &[usize], metrics: &[&str]) -> EvalConfig {
    EvalConfig {
        cutoffs: cutoffs.to_vec(),
        metrics: metrics.iter().map(|m| (*m).to_owned()).collect(),
    }
}

/// 3 users, 4 items; every user scores the items 4 3 2 1 in their order.
fn table() -> Table {
    Table::new(3, 4, [4.0, 3.0, 2.0, 1.0].repeat(3))
}

#[test]
fn seen_items_make_room_and_users_without_truth_are_counted() {
    // User 0 saw items 0 and 1, so item 2 ranks first; user 1 wants item 2, third; user 2 nothing.
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 2), (1, 2)]));
    let seen = pairs(3, 4, &[(0, 0), (0, 1)]);
    let got = evaluate(&table(), &held, &seen, &config(&[1, 3], &["mrr", "coverage"])).unwrap();
    assert_eq!(got.per_user("mrr@3"), Some(&[1.0, 1.0 / 3.0][..]));
    assert_eq!(got.per_user("mrr@1"), Some(&[1.0, 0.0][..]));
    assert_eq!((got.n_users(), got.n_skipped()), (2, 1));
    // At 1: items 2 and 0. At 3: 2 3 and 0 1 2.
    assert_eq!((got.get("coverage@1"), got.get("coverage@3")), (Some(0.5), Some(1.0)));
}

#[test]
fn ties_rank_by_item_position() {
    let flat = Table::new(1, 4, vec![0.5; 4]);
    let held = Held::<Valid>::new(pairs(1, 4, &[(0, 1)]));
    let got = evaluate(&flat, &held, &pairs(1, 4, &[]), &config(&[4], &["mrr"])).unwrap();
    assert_eq!(got.get("mrr@4"), Some(0.5));
}

/// The sum over no hits is -0 in the arithmetic of machines, which a table would show.
#[test]
fn nothing_found_is_plain_zero() {
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 3), (1, 3), (2, 3)]));
    let config = config(&[1], &["ndcg", "map", "recall", "mrr", "precision"]);
    let got = evaluate(&table(), &held, &pairs(3, 4, &[]), &config).unwrap();
    for (key, value) in got.means() {
        assert_eq!(value.to_bits(), 0, "{key}: {value}");
        let users = got.per_user(key).unwrap();
        assert!(users.iter().all(|v| v.to_bits() == 0), "{key}: {users:?}");
    }
}

#[test]
fn only_candidates_are_ranked_and_only_their_truth_counts() {
    // Items 1 and 3 take part. User 0 wants 0 (outside) and 3: second of two. User 1 wants 0 only.
    let held = Held::<Test>::new(pairs(3, 4, &[(0, 0), (0, 3), (1, 0)]));
    let (seen, registry) = (pairs(3, 4, &[]), registry().unwrap());
    let config = config(&[1, 2], &["recall", "coverage"]);
    let mask = [false, true, false, true];
    let evaluator = Evaluator::new(&config, &registry).unwrap().with_candidates(&mask);
    let got = evaluator.evaluate(&table(), &held, &seen).unwrap();
    assert_eq!((got.get("recall@1"), got.get("recall@2")), (Some(0.0), Some(1.0)));
    assert_eq!((got.get("coverage@1"), got.get("coverage@2")), (Some(0.5), Some(1.0)));
    assert_eq!((got.n_users(), got.n_skipped()), (1, 2));

    let none = Evaluator::new(&config, &registry).unwrap().with_candidates(&[false; 4]);
    let err = none.evaluate(&table(), &held, &seen).unwrap_err();
    assert_eq!(err, EvalError::NoUsers { phase: "test", n_users: 3 });
    let short = Evaluator::new(&config, &registry).unwrap().with_candidates(&[true; 3]);
    let err = short.evaluate(&table(), &held, &seen).unwrap_err().to_string();
    assert_eq!(err, "items of the candidate mask: expected 4, found 3");
}

#[test]
fn nan_names_model_user_and_item_even_where_it_is_masked() {
    let mut scores = [4.0, 3.0, 2.0, 1.0].repeat(3);
    scores[7] = f32::NAN;
    scores[10] = f32::NAN;
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 2), (1, 2), (2, 3)]));
    let (seen, registry) = (pairs(3, 4, &[(1, 3)]), registry().unwrap());
    for block in [1, 2, 3] {
        let evaluator = Evaluator::new(&EvalConfig::default(), &registry).unwrap();
        let model = Table::new(3, 4, scores.clone());
        let err = evaluator.with_block_users(block).evaluate(&model, &held, &seen).unwrap_err();
        let want = "model table gave a score that is not a number for user 1, item 3";
        assert_eq!(err.to_string(), want);
    }
}

#[test]
fn truth_that_is_masked_is_refused() {
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 1), (2, 2)]));
    let err = evaluate(&table(), &held, &pairs(3, 4, &[(2, 2)]), &EvalConfig::default());
    assert_eq!(err.unwrap_err(), EvalError::SeenTruth { phase: "valid", user: 2, item: 2 });
}

#[test]
fn tables_of_other_sizes_are_refused() {
    let held = Held::<Valid>::new(pairs(3, 5, &[(0, 4)]));
    let err = evaluate(&table(), &held, &pairs(3, 4, &[]), &EvalConfig::default()).unwrap_err();
    assert_eq!(
        err.to_string(),
        "items of the held-out valid data as model table knows them: expected 4, found 5"
    );
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 3)]));
    for seen in [pairs(2, 4, &[]), pairs(3, 3, &[])] {
        let err = evaluate(&table(), &held, &seen, &EvalConfig::default()).unwrap_err();
        assert!(matches!(err, EvalError::Shape { .. }), "{err}");
    }
}

#[test]
fn lists_are_checked() {
    let held = Held::<Valid>::new(pairs(2, 4, &[(1, 3)]));
    let run = |lists: &[Vec<_>]| evaluate_lists(lists, &held, &EvalConfig::default());
    assert!(matches!(run(&[items(&[0])]), Err(EvalError::Shape { expected: 2, found: 1, .. })));
    let err = run(&[items(&[0]), items(&[3, 1, 3])]).unwrap_err();
    assert_eq!(err, EvalError::RepeatedItem { user: 1, item: 3 });
    let err = run(&[items(&[4]), items(&[])]).unwrap_err();
    assert_eq!(err, EvalError::OutOfRange { what: "item", index: 4, len: 4 });
    let got = run(&[items(&[0]), items(&[])]).unwrap();
    assert_eq!((got.get("ndcg@10"), got.get("coverage@10")), (Some(0.0), Some(0.0)));
}

#[test]
fn settings_are_checked() {
    let registry = registry().unwrap();
    let message = |c: EvalConfig| Evaluator::new(&c, &registry).unwrap_err().to_string();
    let typo = message(config(&[5], &["ndgc"]));
    assert!(typo.starts_with("unknown metric \"ndgc\"; known: "), "{typo}");
    assert!(typo.contains(" coverage,") && typo.contains(" hit_rate,"), "{typo}");
    assert_eq!(message(config(&[0], &["ndcg"])), "cutoffs: expected whole numbers from 1, found 0");
    assert_eq!(
        message(config(&[5, 10, 5], &["ndcg"])),
        "cutoffs: expected at least one, each once, found 5 twice"
    );
    assert_eq!(message(config(&[5], &[])), "metrics: expected at least one, each once, found none");
    let unknown = serde_json::from_str::<EvalConfig>(r#"{"cutofs": [5]}"#).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `cutofs`"), "{unknown}");
    let partial: EvalConfig = serde_json::from_str(r#"{"cutoffs": [7]}"#).unwrap();
    assert_eq!(partial, EvalConfig { cutoffs: vec![7], ..EvalConfig::default() });
}

#[test]
fn a_metric_of_ones_own_is_one_entry_and_its_nan_is_named() {
    fn first(user: &quintet_metrics::RankedUser<'_>) -> f64 {
        if user.n_truth() > 1 { f64::NAN } else { f64::from(u8::from(user.hits()[0])) }
    }
    let kind = MetricKind::PerUser(first);
    let entry = MetricEntry { name: "first", summary: "whether the first item is relevant", kind };
    let mut registry: Registry<MetricEntry> = registry().unwrap();
    registry.add(entry).unwrap();
    assert!(registry.add(entry).is_err(), "{} twice", entry.name());

    let run = |truth: &[(u32, u32)]| {
        let evaluator = Evaluator::new(&config(&[2], &["first"]), &registry).unwrap();
        let held = Held::<Valid>::new(pairs(3, 4, truth));
        evaluator.evaluate(&table(), &held, &pairs(3, 4, &[]))
    };
    assert_eq!(run(&[(0, 0), (1, 1)]).unwrap().get("first@2"), Some(0.5));
    let err = run(&[(0, 0), (1, 1), (1, 2)]).unwrap_err().to_string();
    assert_eq!(err, "metric first@2 of user 1 gave NaN; only finite numbers are allowed");
}

#[test]
fn the_saved_form_is_stable_and_keeps_its_phase() {
    let held = Held::<Valid>::new(pairs(3, 4, &[(0, 0), (2, 3)]));
    let got =
        evaluate(&table(), &held, &pairs(3, 4, &[]), &config(&[4], &["mrr", "coverage"])).unwrap();
    let text = serde_json::to_string(&got).unwrap();
    let want = r#"{"phase":"valid","n_users":2,"n_skipped":1,"means":{"coverage@4":1.0,"mrr@4":0.625},"users":[0,2],"per_user":{"mrr@4":[1.0,0.25]}}"#;
    assert_eq!(text, want);
    assert!(serde_json::from_str::<Evaluation<Valid>>(&text).unwrap() == got);
    let err = serde_json::from_str::<Evaluation<Test>>(&text).unwrap_err().to_string();
    assert!(err.contains("on the test data, found one on the valid data"), "{err}");
    let cut = text.replace("[1.0,0.25]", "[1.0]");
    let err = serde_json::from_str::<Evaluation<Valid>>(&cut).unwrap_err().to_string();
    assert!(err.contains("mrr@4: expected 2 (the number of users), found 1"), "{err}");
}

#[test]
fn evaluations_are_compared_user_by_user() {
    let (n_users, n_items) = (40, 6);
    let wanted: Vec<(u32, u32)> = (0..n_users).map(|u| (u, 1 + u % 2)).collect();
    let held = Held::<Test>::new(pairs(n_users as usize, n_items, &wanted));
    let seen = pairs(n_users as usize, n_items, &[]);
    let model = |row: [f32; 6]| Table::new(n_users as usize, n_items, row.repeat(n_users as usize));
    let run = |m: &dyn Recommender| evaluate(m, &held, &seen, &EvalConfig::default()).unwrap();
    let good = run(&model([0.0, 6.0, 5.0, 4.0, 3.0, 2.0]));
    let poor = run(&model([6.0, 2.0, 1.0, 5.0, 4.0, 3.0]));
    let (bootstrap, seeds) = (BootstrapConfig::default(), SeedStream::new(5));
    let got = compare(&good, &poor, "ndcg@10", &bootstrap, &seeds).unwrap();
    assert!(got.excludes_zero() && got.lower > 0.0, "{got:?}");
    let mean = good.get("ndcg@10").unwrap() - poor.get("ndcg@10").unwrap();
    assert!((got.mean - mean).abs() < 1e-12);

    let err = compare(&good, &poor, "coverage@10", &bootstrap, &seeds).unwrap_err().to_string();
    assert!(err.starts_with("the evaluation holds no \"coverage@10\"; it holds: hit_rate@10,"));
    assert!(good.require("ndcg@11").is_err());
    // One user less on one side, then another user in the same place.
    let other = |wanted: &[(u32, u32)]| {
        let held = Held::<Test>::new(pairs(n_users as usize, n_items, wanted));
        evaluate(&model([1.0; 6]), &held, &seen, &EvalConfig::default()).unwrap()
    };
    let short = compare(&other(&wanted[1..]), &good, "mrr@5", &bootstrap, &seeds).unwrap_err();
    assert!(matches!(short, EvalError::Shape { expected: 39, found: 40, .. }), "{short}");
    let moved = compare(&other(&wanted[1..]), &other(&wanted[..39]), "mrr@5", &bootstrap, &seeds);
    assert_eq!(moved.unwrap_err(), EvalError::Unpaired { position: 0, left: 1, right: 0 });
}
