//! Agreement with scikit-learn, RecBole and MMRec on the scores of 1,000 users, and with ranx on
//! the metrics that came later; the scripts beside the fixtures wrote them.

use std::collections::BTreeMap;

use quintet_core::{Held, Interactions, ItemIdx, Test, Triplet, UserIdx};
use quintet_metrics::{EvalConfig, Evaluation, evaluate, evaluate_lists};
use serde::Deserialize;

use crate::common::Table;

const TOLERANCE: f64 = 1e-9;

type Columns = BTreeMap<String, Vec<f64>>;

/// Scores, seen items, relevant items with grades.
type Case = (Vec<f32>, Vec<u32>, Vec<(u32, f32)>);

#[derive(Deserialize)]
struct Cases {
    n_items: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Expected {
    values: Columns,
    gauc: f64,
}

fn graded(n_users: usize, n_items: usize, cells: Vec<(usize, u32, f32)>) -> Held<Test> {
    let cells = cells.into_iter().map(|(user, item, value)| Triplet {
        user: UserIdx::new(user),
        item: ItemIdx(item),
        value,
    });
    Held::new(Interactions::from_triplets(n_users, n_items, cells).unwrap())
}

fn config(cutoffs: &[usize], metrics: &[&str]) -> EvalConfig {
    let metrics = metrics.iter().map(|m| (*m).to_owned()).collect();
    EvalConfig { cutoffs: cutoffs.to_vec(), metrics }
}

fn assert_agrees(got: &Evaluation<Test>, want: &Columns, reference: &str) {
    for (key, want) in want {
        let got = got.per_user(key).unwrap_or_else(|| panic!("no {key}"));
        assert_eq!(got.len(), want.len(), "{key}");
        for (case, (got, want)) in got.iter().zip(want).enumerate() {
            let off = (got - want).abs();
            assert!(off <= TOLERANCE, "{key}, case {case}: {got}, {reference} {want}");
        }
    }
}

#[test]
fn agrees_with_scikit_learn_recbole_and_mmrec_on_scores_with_ties() {
    let manifest = include_str!("../fixtures/scores/manifest.toml");
    assert!(manifest.contains("tolerance = 1e-9\n"), "the manifest states another tolerance");
    let Cases { n_items, cases } =
        serde_json::from_str(include_str!("../fixtures/scores/cases.json")).unwrap();
    let sklearn: Expected =
        serde_json::from_str(include_str!("../fixtures/scores/sklearn.json")).unwrap();
    let recbole: Expected =
        serde_json::from_str(include_str!("../fixtures/scores/recbole.json")).unwrap();
    assert_eq!((cases.len(), sklearn.values.len(), recbole.values.len()), (1000, 5, 12));

    let n_users = cases.len();
    let scores: Vec<f32> = cases.iter().flat_map(|(scores, ..)| scores.clone()).collect();
    let seen = cases
        .iter()
        .enumerate()
        .flat_map(|(user, (_, seen, _))| seen.iter().map(move |item| (user as u32, *item)));
    let seen = Interactions::from_pairs(n_users, n_items, seen).unwrap();
    let truth = cases.iter().enumerate().flat_map(|(user, (.., truth))| {
        truth.iter().map(move |(item, grade)| (user, *item, *grade))
    });
    let held = graded(n_users, n_items, truth.collect());
    let names = "recall precision hit_rate ndcg map map_min mrr ndcg_linear auc gauc";
    let names: Vec<&str> = names.split(' ').collect();
    let model = Table::new(n_users, n_items, scores);
    let got = evaluate(&model, &held, &seen, &config(&[5, 10, n_items], &names)).unwrap();
    assert!(got.n_skipped() > 20, "users without relevant items");
    assert_agrees(&got, &sklearn.values, "scikit-learn");
    assert_agrees(&got, &recbole.values, "RecBole");
    let gauc = got.get("gauc").unwrap();
    assert!((gauc - recbole.gauc).abs() <= TOLERANCE, "{gauc}, RecBole {}", recbole.gauc);
    assert_eq!(got.per_user("gauc"), None);
}

#[test]
fn agrees_with_ranx_on_grades_and_the_metrics_that_came_later() {
    #[derive(Deserialize)]
    struct Lists {
        n_items: usize,
        cases: Vec<(Vec<u32>, Vec<u32>)>,
    }
    let Lists { n_items, cases } =
        serde_json::from_str(include_str!("../fixtures/ranx/cases.json")).unwrap();
    let expected: Columns =
        serde_json::from_str(include_str!("../fixtures/ranx/expected_more.json")).unwrap();
    assert_eq!((cases.len(), expected.len()), (1000, 10));
    let grade = |case: usize, item: u32| (1 + (7 * case + 3 * item as usize) % 4) as f32;
    let truth = cases.iter().enumerate().flat_map(|(case, (_, truth))| {
        truth.iter().map(move |&item| (case, item, grade(case, item)))
    });
    let held = graded(cases.len(), n_items, truth.collect());
    let lists: Vec<Vec<ItemIdx>> =
        cases.iter().map(|(list, _)| list.iter().copied().map(ItemIdx).collect()).collect();
    let names =
        ["f1", "r_precision", "rbp.50", "rbp.80", "rbp.95", "ndcg_linear", "ndcg_exp", "ndcg"];
    let got = evaluate_lists(&lists, &held, &config(&[5, 10, 40], &names)).unwrap();
    assert_agrees(&got, &expected, "ranx");
    // Grades change nothing for metrics that do not read them.
    let binary = graded(
        cases.len(),
        n_items,
        held.truth().iter().map(|t| (t.user.index(), t.item.0, 1.0)).collect(),
    );
    let flat = evaluate_lists(&lists, &binary, &config(&[5, 10, 40], &names)).unwrap();
    for key in ["f1@5", "r_precision", "rbp.80@40", "ndcg@10"] {
        assert_eq!(got.per_user(key), flat.per_user(key), "{key}");
    }
    assert_eq!(flat.per_user("ndcg_linear@10"), flat.per_user("ndcg@10"));
    assert_eq!(flat.per_user("ndcg_exp@5"), flat.per_user("ndcg@5"));
}
