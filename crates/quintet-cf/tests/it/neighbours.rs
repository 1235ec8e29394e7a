//! Agreement with implicit, scikit-learn and NumPy on a small world;
//! `tests/fixtures/neighbours/generate.py` wrote what is expected.

use std::collections::BTreeMap;

use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, Recommender, SeedStream, Triplet, UserIdx,
};
use quintet_tensor::{FitContext, Fitting, ModelEntry, TrainingData};
use quintet_testkit::devices;
use serde::Deserialize;
use serde_json::{Value, json};

const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct World {
    n_users: usize,
    n_items: usize,
    cells: Vec<(u32, u32, f32)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Neighbours { neighbours: Vec<Vec<(u32, f32)>>, scores: Vec<Vec<f32>> },
    Weights(Vec<Vec<f32>>),
}

struct Case {
    train: Interactions,
    expected: BTreeMap<String, Expected>,
}

impl Case {
    fn read() -> Self {
        let manifest = include_str!("../fixtures/neighbours/manifest.toml");
        assert!(manifest.contains("tolerance = 1e-5\n"), "the manifest states another tolerance");
        let world: World =
            serde_json::from_str(include_str!("../fixtures/neighbours/world.json")).unwrap();
        let cells = world.cells.iter().map(|&(u, i, value)| Triplet {
            user: UserIdx(u),
            item: ItemIdx(i),
            value,
        });
        let train = Interactions::from_triplets(world.n_users, world.n_items, cells).unwrap();
        let text = include_str!("../fixtures/neighbours/expected.json");
        Self { train, expected: serde_json::from_str(text).unwrap() }
    }

    fn fit(&self, model: &str, params: &Value) -> Box<dyn Recommender> {
        let mut registry = quintet_core::Registry::<ModelEntry>::new("model");
        quintet_cf::register(&mut registry).unwrap();
        let fit = (registry.get(model).unwrap().build)(params).unwrap();
        let features = FeatureSet::new(self.train.n_items());
        let data = TrainingData::new(&self.train, &features);
        let device = devices().into_iter().next().unwrap();
        match fit.start(data, &FitContext { device, seed: SeedStream::new(1) }).unwrap() {
            Fitting::Fitted(model) => model,
            Fitting::Epochs(_) => panic!("{model} has epochs"),
        }
    }

    /// The weights of a model of items: what a newcomer with one item gets.
    fn weights(&self, model: &dyn Recommender) -> Vec<Vec<f32>> {
        (0..self.train.n_items())
            .map(|item| {
                let mut row = vec![f32::NAN; self.train.n_items()];
                model.fold_in(&[ItemIdx::new(item)], &[1.0], &mut row).unwrap();
                row
            })
            .collect()
    }
}

fn close(what: &str, found: f32, expected: f32) {
    let allowed = TOLERANCE * expected.abs().max(1.0);
    assert!((found - expected).abs() <= allowed, "{what}: {found}, expected {expected}");
}

#[test]
fn item_neighbours_and_scores_are_those_of_implicit() {
    let case = Case::read();
    let mut checked = 0;
    for weighting in ["none", "tfidf", "bm25"] {
        for (values, use_values) in [("ones", false), ("counts", true)] {
            let name = if weighting == "none" { "cosine" } else { weighting };
            let key = format!("{name} {values}");
            let Expected::Neighbours { neighbours, scores } = &case.expected[&key] else {
                panic!("{key}: lists of neighbours expected")
            };
            let mut params = json!({ "k": 8, "weighting": weighting, "use_values": use_values });
            if weighting == "none" {
                params["shrink"] = json!(0.0);
                params["cut"] = json!("source");
                params["counts_itself"] = json!(true);
            }
            let model = case.fit("itemknn", &params);
            for (item, expected) in neighbours.iter().enumerate() {
                let found = model.similar_items(ItemIdx::new(item), 8).unwrap();
                assert_eq!(found.len(), expected.len(), "{key}: neighbours of item {item}");
                let last = expected.last().map_or(0.0, |n| n.1);
                for (found, &(id, score)) in found.iter().zip(expected) {
                    close(&format!("{key}: item {item}"), found.score, score);
                    // Which of several equally near ones are kept is nobody's business.
                    let tie = expected.iter().filter(|n| (n.1 - score).abs() < 1e-5).count() > 1;
                    if !tie && score > last + 1e-5 {
                        assert_eq!(found.item.0, id, "{key}: neighbours of item {item}");
                        checked += 1;
                    }
                }
            }
            let mut all = Matrix::default();
            let users: Vec<UserIdx> = (0..case.train.n_users()).map(UserIdx::new).collect();
            model.score(&users, &mut all).unwrap();
            for &user in &users {
                for (item, &expected) in scores[user.index()].iter().enumerate() {
                    // -1 is where the score hangs on which of several ties are kept.
                    if expected >= 0.0 && !case.train.contains(user, ItemIdx::new(item)) {
                        let found = all.row(user.index())[item];
                        close(&format!("{key}: user {user}, item {item}"), found, expected);
                    }
                }
            }
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn weights_of_ease_rp3beta_and_slim_are_those_of_their_definitions() {
    let case = Case::read();
    let models = [
        ("ease", json!({ "l2": 5.0, "precision": "f32" }), "ease"),
        ("ease", json!({ "l2": 5.0, "precision": "f64" }), "ease"),
        ("ease_sparse", json!({ "l2": 5.0, "neighbours": 29 }), "ease"),
        ("rp3beta", json!({ "alpha": 0.8, "beta": 0.4, "k": 8 }), "rp3beta"),
        ("slim", json!({ "l1": 0.5, "l2": 2.0, "tolerance": 1e-9, "sweeps": 10000 }), "slim"),
        (
            "slim",
            json!({ "l1": 0.5, "l2": 2.0, "negative": true, "tolerance": 1e-9, "sweeps": 10000 }),
            "slim negative",
        ),
    ];
    for (model, params, key) in models {
        for (values, use_values) in [("ones", false), ("counts", true)] {
            let key = format!("{key} {values}");
            let Expected::Weights(expected) = &case.expected[&key] else {
                panic!("{key}: weights expected")
            };
            let mut params = params.clone();
            params["use_values"] = json!(use_values);
            let weights = case.weights(&*case.fit(model, &params));
            for (source, (found, expected)) in weights.iter().zip(expected).enumerate() {
                for (target, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                    close(&format!("{model} {params}: {source} to {target}"), found, expected);
                }
            }
        }
    }
}
