//! Items that nobody has used: the hybrid ranks them by their tags, pure factors cannot.

use quintet_core::{
    FeatureSet, Interactions, Matrix, Recommender, Registry, SeedStream, SparseFeatures, UserIdx,
};
use quintet_tensor::{Device, FitContext, ModelEntry, TrainingData};
use quintet_testkit::fit_all;
use rand::RngExt;
use serde_json::json;

const USERS: usize = 300;
const ITEMS: usize = 200;
/// Items from here on are in nobody's training data.
const COLD: usize = 160;
const TAGS: usize = 24;

/// Every user likes and dislikes tags; an item has three; how often an item is used grows with
/// how well its tags are liked. Gives what was used of all items, and the tags.
fn world() -> (Vec<(u32, u32)>, SparseFeatures) {
    let mut rng = SeedStream::new(11).rng("hybrid-world", 0);
    let tastes: Vec<[f32; TAGS]> =
        (0..USERS).map(|_| std::array::from_fn(|_| rng.random_range(-1.5..1.5))).collect();
    let tags: Vec<[usize; 3]> = (0..ITEMS)
        .map(|_| {
            let first = rng.random_range(0..TAGS);
            [
                first,
                (first + rng.random_range(1..8)) % TAGS,
                (first + rng.random_range(8..24)) % TAGS,
            ]
        })
        .collect();
    let mut used = Vec::new();
    for (user, taste) in tastes.iter().enumerate() {
        for (item, tags) in tags.iter().enumerate() {
            let liking: f32 = tags.iter().map(|tag| taste[*tag]).sum();
            let chance = 1.0 / (1.0 + (2.0 - 2.0 * liking).exp());
            if rng.random::<f32>() < 0.5 * chance {
                used.push((user as u32, item as u32));
            }
        }
    }
    let names = (0..TAGS).map(|tag| format!("tag={tag}")).collect();
    let cells = tags.iter().enumerate().flat_map(|(item, tags)| {
        let distinct: std::collections::BTreeSet<usize> = tags.iter().copied().collect();
        distinct.into_iter().map(move |tag| (item as u32, tag as u32, 1.0))
    });
    (used, SparseFeatures::new(ITEMS, names, cells).unwrap())
}

/// Mean over users of the share of pairs of a used and an unused cold item in order.
fn cold_auc(model: &dyn Recommender, used: &[(u32, u32)]) -> f64 {
    let used: std::collections::BTreeSet<(u32, u32)> = used.iter().copied().collect();
    let users: Vec<UserIdx> = (0..USERS).map(UserIdx::new).collect();
    let mut scores = Matrix::default();
    model.score(&users, &mut scores).unwrap();
    let (mut sum, mut n) = (0.0, 0);
    for user in 0..USERS {
        let (good, bad): (Vec<usize>, Vec<usize>) =
            (COLD..ITEMS).partition(|item| used.contains(&(user as u32, *item as u32)));
        let row = scores.row(user);
        let pairs = good.iter().flat_map(|g| bad.iter().map(move |b| (row[*g], row[*b])));
        let points: Vec<f64> = pairs
            .map(|(g, b)| {
                if g > b {
                    1.0
                } else if g == b {
                    0.5
                } else {
                    0.0
                }
            })
            .collect();
        if !points.is_empty() {
            sum += points.iter().sum::<f64>() / points.len() as f64;
            n += 1;
        }
    }
    sum / f64::from(n)
}

#[test]
fn cold_items_are_ranked_by_the_hybrid_and_not_by_pure_factors() {
    let (used, tags) = world();
    let warm = used.iter().copied().filter(|(_, item)| (*item as usize) < COLD);
    let train = Interactions::from_pairs(USERS, ITEMS, warm).unwrap();
    let features = FeatureSet::new(ITEMS);
    let data = TrainingData::new(&train, &features).with_item_attributes(&tags);
    let mut registry: Registry<ModelEntry> = Registry::new("model");
    quintet_cf::register(&mut registry).unwrap();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(4) };
    let auc = |name: &str, params| {
        let fit = (registry.get(name).unwrap().build)(&params).unwrap();
        cold_auc(&*fit_all(&*fit, data, &context, 20), &used)
    };
    for loss in ["warp", "bpr", "logistic"] {
        let hybrid = auc("hybrid_mf", json!({"dim": 16, "loss": loss}));
        println!("hybrid_mf, {loss}: cold AUC {hybrid:.4}");
        assert!(hybrid > 0.65, "hybrid_mf, {loss}: cold AUC {hybrid}");
    }
    for name in ["warp", "ials", "bpr_sgd", "logistic_mf"] {
        let pure = auc(name, json!({"dim": 16}));
        println!("{name}: cold AUC {pure:.4}");
        assert!((pure - 0.5).abs() < 0.05, "{name}: cold AUC {pure}");
    }
}
