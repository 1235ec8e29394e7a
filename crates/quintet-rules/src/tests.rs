//! Rules by hand, and what holds for all of them.

use proptest::prelude::*;
use quintet_core::{FeatureSet, Matrix, ModalityFeatures, SparseFeatures};

use super::*;

/// Items 0 and 1 are alike, 2 is apart, 3 has no vector; categories a a b a.
fn context() -> RuleContext {
    let mut features = FeatureSet::new(4);
    let rows = Matrix::from_vec(4, 2, vec![2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 9.0, 9.0]).unwrap();
    let present = vec![true, true, true, false];
    features.push(ModalityFeatures::new(Modality::Text, rows, present).unwrap()).unwrap();
    let names = vec!["a".to_owned(), "b".to_owned()];
    let cells = [(0, 0, 1.0), (1, 0, 1.0), (2, 1, 1.0), (3, 0, 1.0)];
    let categories = SparseFeatures::new(4, names, cells).unwrap();
    RuleContext::new(4).with_features(&features).with_categories(&categories)
}

fn candidates() -> Vec<Scored> {
    let scores = [1.0, 0.9, 0.4, 0.2];
    (0..4).map(|i| Scored { item: ItemIdx(i), score: scores[i as usize] }).collect()
}

fn shown(rule: &str, history: &[u32], k: usize) -> Vec<u32> {
    let context = context();
    let rules = Rules::new(vec![serde_json::from_str(rule).unwrap()], &context).unwrap();
    let history: Vec<ItemIdx> = history.iter().map(|&i| ItemIdx(i)).collect();
    rules.apply(&history, candidates(), k).iter().map(|s| s.item.0).collect()
}

#[test]
fn relevance_alone_changes_nothing() {
    assert_eq!(shown(r#"{"kind": "mmr", "lambda": 1.0, "modality": "text"}"#, &[], 3), [0, 1, 2]);
    assert_eq!(shown(r#"{"kind": "xquad", "lambda": 0.0}"#, &[2], 3), [0, 1, 2]);
    assert_eq!(shown(r#"{"kind": "calibrated", "lambda": 0.0}"#, &[2], 3), [0, 1, 2]);
    assert_eq!(shown(r#"{"kind": "cap", "max": 9}"#, &[], 3), [0, 1, 2]);
}

#[test]
fn similar_items_make_room() {
    // Scaled relevance 1, 0.875, 0.25, 0. After 0: item 1 has 0.4375 - 0.5, item 2 0.125, item 3 0.
    assert_eq!(shown(r#"{"kind": "mmr", "lambda": 0.5, "modality": "text"}"#, &[], 3), [0, 2, 3]);
    assert_eq!(shown(r#"{"kind": "dpp", "theta": 1.0, "modality": "text"}"#, &[], 3), [0, 2, 3]);
    // With nothing left to add, relevance decides.
    assert_eq!(shown(r#"{"kind": "dpp", "theta": 1.0, "modality": "text"}"#, &[], 4)[3], 1);
}

#[test]
fn categories_of_the_user_are_covered() {
    // Everything the user had is of b: item 2 covers it.
    assert_eq!(shown(r#"{"kind": "xquad", "lambda": 0.9}"#, &[2], 2), [2, 0]);
    assert_eq!(shown(r#"{"kind": "calibrated", "lambda": 0.9}"#, &[2], 1), [2]);
    // Half and half.
    assert_eq!(shown(r#"{"kind": "calibrated", "lambda": 0.9}"#, &[0, 2], 2), [0, 2]);
    // Nobody's history: the shares of the candidates, three quarters a.
    assert_eq!(shown(r#"{"kind": "calibrated", "lambda": 0.9}"#, &[], 1), [0]);
}

#[test]
fn a_cap_fills_up_when_there_is_nothing_else() {
    assert_eq!(shown(r#"{"kind": "cap", "max": 1}"#, &[], 2), [0, 2]);
    assert_eq!(shown(r#"{"kind": "cap", "max": 1}"#, &[], 3), [0, 2, 1]);
}

#[test]
fn rules_run_one_after_the_other_and_the_last_cuts() {
    let context = context();
    let specs = vec![RuleSpec::Cap { max: 1 }, RuleSpec::mmr(1.0, Modality::Text)];
    let list = Rules::new(specs, &context).unwrap().apply(&[], candidates(), 2);
    assert_eq!(list.iter().map(|s| s.item.0).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn what_is_wrong_is_named() {
    let context = context();
    let refusal = |rule: &str, context: &RuleContext| {
        let spec: RuleSpec = serde_json::from_str(rule).unwrap();
        Rules::new(vec![spec], context).unwrap_err().to_string()
    };
    let mmr = |lambda: &str, modality: &str| {
        format!(r#"{{"kind": "mmr", "lambda": {lambda}, "modality": "{modality}"}}"#)
    };
    assert!(refusal(&mmr("1.5", "text"), &context).contains("mmr.lambda must be in [0, 1]"));
    assert!(
        refusal(&mmr("0.5", "audio"), &context).contains("audio features; the dataset has: text")
    );
    assert!(refusal(r#"{"kind": "cap", "max": 0}"#, &context).contains("cap.max"));
    assert!(refusal(r#"{"kind": "cap", "max": 1}"#, &RuleContext::new(4)).contains("has none"));
    assert!(serde_json::from_str::<RuleSpec>(r#"{"kind": "cap", "max": 1, "min": 2}"#).is_err());
}

proptest! {
    /// Whatever the rule: items of the candidates, each once, as many as there can be.
    #[test]
    fn a_list_is_a_choice_of_the_candidates(
        scores in proptest::collection::vec(-3.0f32..3.0, 0..12),
        k in 0usize..8,
        weight in 0.0f32..1.0,
    ) {
        let n = scores.len();
        let mut features = FeatureSet::new(n);
        let rows = (0..2 * n).map(|k| ((k * 37) % 11) as f32 - 5.0).collect();
        let rows = Matrix::from_vec(n, 2, rows).unwrap();
        let present = (0..n).map(|i| i % 4 != 3).collect();
        features.push(ModalityFeatures::new(Modality::Text, rows, present).unwrap()).unwrap();
        let names = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let cells = (0..n as u32).filter(|i| i % 5 != 4).map(|i| (i, i % 3, 1.0));
        let categories = SparseFeatures::new(n, names, cells).unwrap();
        let context = RuleContext::new(n).with_features(&features).with_categories(&categories);
        let list: Vec<Scored> = scores.iter().enumerate()
            .map(|(i, &score)| Scored { item: ItemIdx::new(i), score }).collect();
        let history: Vec<ItemIdx> = (0..n.min(2)).map(ItemIdx::new).collect();
        for spec in [
            RuleSpec::mmr(weight, Modality::Text),
            RuleSpec::Dpp { theta: 4.0 * weight, modality: Modality::Text },
            RuleSpec::Xquad { lambda: weight },
            RuleSpec::Calibrated { lambda: weight },
            RuleSpec::Cap { max: 1 + k % 3 },
        ] {
            if n == 0 && !matches!(spec, RuleSpec::Mmr { .. } | RuleSpec::Dpp { .. }) {
                continue;
            }
            let rules = Rules::new(vec![spec], &context).unwrap();
            let shown = rules.apply(&history, list.clone(), k);
            prop_assert_eq!(shown.len(), k.min(n));
            let mut items: Vec<u32> = shown.iter().map(|s| s.item.0).collect();
            items.sort_unstable();
            items.dedup();
            prop_assert_eq!(items.len(), shown.len());
            for s in &shown {
                prop_assert_eq!(s.score, scores[s.item.index()]);
            }
        }
    }
}
