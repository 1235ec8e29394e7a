//! Agreement with ranx on 1,000 random rankings; `tests/fixtures/ranx/generate.py` wrote them.

use std::collections::BTreeMap;

use quintet_core::{Held, Interactions, ItemIdx, Test};
use quintet_metrics::{EvalConfig, evaluate_lists};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Cases {
    n_items: usize,
    /// Ranked list and relevant items.
    cases: Vec<(Vec<u32>, Vec<u32>)>,
}

#[test]
fn agrees_with_ranx_on_every_ranking() {
    let manifest = include_str!("../fixtures/ranx/manifest.toml");
    assert!(manifest.contains("tolerance = 1e-9\n"), "the manifest states another tolerance");
    let Cases { n_items, cases } =
        serde_json::from_str(include_str!("../fixtures/ranx/cases.json")).unwrap();
    let expected: BTreeMap<String, Vec<f64>> =
        serde_json::from_str(include_str!("../fixtures/ranx/expected.json")).unwrap();
    assert_eq!((cases.len(), expected.len()), (1000, 18));

    let truth = cases
        .iter()
        .enumerate()
        .flat_map(|(user, (_, truth))| truth.iter().map(move |&item| (user as u32, item)));
    let held = Held::<Test>::new(Interactions::from_pairs(cases.len(), n_items, truth).unwrap());
    let lists: Vec<Vec<ItemIdx>> =
        cases.iter().map(|(ranked, _)| ranked.iter().copied().map(ItemIdx).collect()).collect();
    let metrics = ["recall", "precision", "hit_rate", "ndcg", "map", "mrr"];
    let config =
        EvalConfig { cutoffs: vec![5, 10, 20], metrics: metrics.map(String::from).to_vec() };
    let got = evaluate_lists(&lists, &held, &config).unwrap();

    assert!(got.means().keys().eq(expected.keys()), "not the same metrics");
    for (key, want) in &expected {
        let got = got.per_user(key).unwrap();
        assert_eq!((got.len(), want.len()), (1000, 1000));
        for (case, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want).abs() <= TOLERANCE, "{key}, case {case}: {got}, ranx {want}");
        }
    }
}
