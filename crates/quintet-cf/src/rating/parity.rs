//! Parity with Surprise: the same ratings, the same parameters, the same starts.
//!
//! The fixtures are written by `tests/fixtures/surprise/generate.py`. Models that start at random
//! begin from the numbers that Surprise drew; that is why this is a test inside the crate.

use quintet_core::{
    FitRating, Interactions, ItemIdx, Matrix, RatingPair, RatingPredictor, Registry, SeedStream,
    Triplet, UserIdx,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::co_clustering::CoClusteringConfig;
use super::fitted::{Learner, Ratings, fit, parse};
use super::nmf::NmfConfig;
use super::svd::SvdConfig;
use super::svdpp::{Start, SvdPpConfig};

/// Those of the manifest: in general, and for gradient descent on 32-bit rows.
const TOLERANCE: f64 = 1e-6;
const TOLERANCE_32_BIT: f64 = 2e-6;

#[derive(Deserialize)]
struct Data {
    n_users: usize,
    n_items: usize,
    train: Vec<(u32, u32, f32)>,
    asked: Vec<(u32, u32)>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    params: Value,
    start: Map<String, Value>,
    predictions: Vec<f64>,
}

impl Case {
    fn table(&self, key: &str, rows: usize) -> Matrix {
        let numbers: Vec<f32> = serde_json::from_value(self.start[key].clone()).unwrap();
        Matrix::from_vec(rows, numbers.len() / rows, numbers).unwrap()
    }

    fn groups(&self, key: &str) -> Vec<usize> {
        serde_json::from_value(self.start[key].clone()).unwrap()
    }

    fn learner<L: Learner>(&self) -> L {
        parse(&self.params).unwrap()
    }

    fn fit(&self, ratings: &Interactions) -> Box<dyn RatingPredictor> {
        let (seed, tables) = (SeedStream::new(1), !self.start.is_empty());
        let (n_users, n_items) = (ratings.n_users(), ratings.n_items());
        let users = || self.table("users", n_users);
        let items = || self.table("items", n_items);
        match self.model.as_str() {
            "svd" => {
                let learner: SvdConfig = self.learner();
                let learn = |all: &Ratings<'_>| learner.learn_from(all, seed, &users(), &items());
                Box::new(fit(&learner, ratings, learn).unwrap())
            }
            "svdpp" => {
                let learner: SvdPpConfig = self.learner();
                let implicit = self.table("implicit", n_items);
                let start = Start { users: users(), items: items(), implicit };
                let learn = |all: &Ratings<'_>| learner.learn_from(all, seed, &start);
                Box::new(fit(&learner, ratings, learn).unwrap())
            }
            "nmf" => {
                let learner: NmfConfig = self.learner();
                let learn = |all: &Ratings<'_>| learner.learn_from(all, &users(), &items());
                Box::new(fit(&learner, ratings, learn).unwrap())
            }
            "coclustering" => {
                let learner: CoClusteringConfig = self.learner();
                let (users, items) = (self.groups("users"), self.groups("items"));
                let learn = |all: &Ratings<'_>| Ok(learner.learn_from(all, users, items));
                Box::new(fit(&learner, ratings, learn).unwrap())
            }
            name => {
                assert!(!tables, "a start for {name}, which takes none");
                let mut registry = Registry::new("rating model");
                super::register_rating(&mut registry).unwrap();
                let built: Box<dyn FitRating> =
                    (registry.get(name).unwrap().build)(&self.params).unwrap();
                built.fit(ratings, seed).unwrap()
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/fixtures/surprise/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_model_agrees_with_surprise() {
    let data: Data = read("data.json");
    let cases: Vec<Case> = read("expected.json");
    let cell =
        |&(u, i, value): &(u32, u32, f32)| Triplet { user: UserIdx(u), item: ItemIdx(i), value };
    let ratings =
        Interactions::from_triplets(data.n_users, data.n_items, data.train.iter().map(cell))
            .unwrap();
    let pairs: Vec<RatingPair> =
        data.asked.iter().map(|&(u, i)| (Some(UserIdx(u)), Some(ItemIdx(i)))).collect();
    let mut apart = Vec::new();
    let mut models = std::collections::BTreeSet::new();
    for case in &cases {
        models.insert(case.model.as_str());
        let found = case.fit(&ratings).predict_all(&pairs).unwrap();
        let far = |(p, e): (&quintet_core::Prediction, &f64)| (f64::from(p.unclipped) - e).abs();
        let most = found.iter().zip(&case.predictions).map(far).fold(0.0, f64::max);
        let descends = case.model == "svd" || case.model == "svdpp";
        let tolerance = if descends { TOLERANCE_32_BIT } else { TOLERANCE };
        if most > tolerance || found.len() != case.predictions.len() {
            apart.push(format!("{} {}: {most:e}", case.model, case.params));
        }
    }
    assert!(apart.is_empty(), "further apart than they may be:\n{}", apart.join("\n"));
    let expected =
        ["baseline", "coclustering", "knn-item", "knn-user", "nmf", "slopeone", "svd", "svdpp"];
    assert!(models.iter().eq(&expected), "{models:?}");
}
