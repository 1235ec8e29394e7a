//! Tests of the additive fusion network, beside PyTorch and on small worlds.

use quintet_core::{FeatureSet, Matrix, ModalityFeatures, UserIdx, top_k};
use quintet_data::TripletBatch;
use quintet_tensor::load_weights;
use quintet_testkit::World;

use super::*;
use crate::parity::{case, context, features, list, pairs, same, same_gradients, same_number};

fn step_batch(case: &Value, trainer: &FusionNetTrainer) -> StepBatch {
    let (users, positives) = (list(&case["users"]), list(&case["positives"]));
    let ranking = match trainer.config.loss {
        RankingLoss::Bpr | RankingLoss::Bce => Ranking::Pairs(TripletBatch {
            users,
            positives,
            negatives: list(&case["negatives"]),
            ..TripletBatch::default()
        }),
        RankingLoss::SampledSoftmax => {
            let pairs: Vec<(u32, u32)> = users.into_iter().zip(positives).collect();
            let (compete, counts) = (trainer.config.candidates, &trainer.counts);
            Ranking::softmax(&pairs, compete, counts, &trainer.train)
        }
    };
    let lists = trainer
        .config
        .diversity
        .map(|diversity| Lists::new(&ranking.pairs(), list(&case["shared"]), diversity.users));
    StepBatch::new(ranking, lists)
}

#[test]
fn loss_gradients_and_vectors_are_those_of_pytorch() {
    for name in ["bpr_fixed", "softmax_uncertainty", "bpr_pareto", "embeddings"] {
        let case = case(&format!("tower_torch/fusion_net_{name}.json"));
        let train = pairs(&case);
        let set = features(&case["features"], train.n_items());
        let config: FusionNetConfig = serde_json::from_value(case["params"].clone()).unwrap();
        let data = TrainingData::new(&train, &set);
        let mut trainer = config.trainer(data, &context()).unwrap();
        let weights = crate::parity::weights(&case);
        let adam = AdamConfig::new(0.1);
        let table = |name| EmbeddingTable::from_matrix(weights.matrix(name).unwrap().clone(), adam);
        (trainer.users, trainer.ids) = (table("users"), table("ids"));
        let device = trainer.device.clone();
        load_weights(&mut trainer.net, "", &weights, &device).unwrap();

        let model = trainer.model().unwrap();
        let factors = model.factors().unwrap();
        same(&format!("{name}: users"), factors.users, &case["user_vectors"]);
        same(&format!("{name}: items"), factors.items, &case["item_vectors"]);
        let batch = step_batch(&case, &trainer);
        let loss = trainer.step(&batch, &mut context().seed.rng("parity", 0)).unwrap();
        same_number(&format!("{name}: loss"), loss, case["loss"].as_f64().unwrap());
        same_gradients(&case, &trainer.save().unwrap(), &["users", "ids"], &trainer.net);
    }
}

/// Four topics of ten items; a user likes one topic, and half as much the next one.
const TOPICS: usize = 4;
const ITEMS: usize = 40;
const USERS: usize = 60;

fn topics() -> (Interactions, FeatureSet) {
    let mut rng = SeedStream::new(5).rng("topics", 0);
    let mut pairs = Vec::new();
    for user in 0..USERS {
        for item in 0..ITEMS {
            let apart = (item % TOPICS + TOPICS - user % TOPICS) % TOPICS;
            if rng.random::<f64>() < [0.6, 0.3, 0.05, 0.05][apart] {
                pairs.push((user as u32, item as u32));
            }
        }
    }
    let mut rows = Matrix::zeros(ITEMS, TOPICS);
    for item in 0..ITEMS {
        rows.row_mut(item).iter_mut().for_each(|x| *x = rng.random_range(-0.1..0.1));
        rows.row_mut(item)[item % TOPICS] += 1.0;
    }
    let mut set = FeatureSet::new(ITEMS);
    set.push(ModalityFeatures::new(Modality::Text, rows, vec![true; ITEMS]).unwrap()).unwrap();
    (Interactions::from_pairs(USERS, ITEMS, pairs).unwrap(), set)
}

/// The share of pairs of a list of 10 that are of different topics, over all users.
fn variety(diversity: Option<Diversity>) -> f64 {
    let (train, set) = topics();
    let config = FusionNetConfig {
        dim: 8,
        layers: 1,
        dropout: 0.0,
        lr: 0.02,
        batch_size: 128,
        diversity,
        ..FusionNetConfig::default()
    };
    let data = TrainingData::new(&train, &set);
    let mut trainer = config.trainer(data, &context()).unwrap();
    for epoch in 1..=20 {
        trainer.epoch(epoch).unwrap();
    }
    let mut scores = Matrix::default();
    let users: Vec<UserIdx> = (0..USERS).map(UserIdx::new).collect();
    trainer.model().unwrap().score(&users, &mut scores).unwrap();
    let of_user = |user: usize| {
        let list = top_k(scores.row(user), 10, |_| false);
        let topics: Vec<usize> = list.iter().map(|s| s.item.index() % TOPICS).collect();
        let apart = topics.iter().flat_map(|a| topics.iter().filter(move |b| *b != a));
        apart.count() as f64 / 90.0
    };
    (0..USERS).map(of_user).sum::<f64>() / USERS as f64
}

#[test]
fn lists_vary_more_with_the_weight() {
    let base = Diversity { candidates: 39, ..Diversity::default() };
    let fixed = |weight| variety(Some(Diversity { weight, ..base }));
    let (none, some, much) = (variety(None), fixed(1.0), fixed(5.0));
    assert!(some > none + 0.02 && much > some + 0.05, "{none} {some} {much}");
    let learned = variety(Some(Diversity { weighting: Weighting::Uncertainty, ..base }));
    assert!(learned > none + 0.02, "{learned}, without {none}");
}

#[test]
fn without_features_it_is_a_network_over_embeddings() {
    let world = World::new();
    let none = FeatureSet::new(world.train.n_items());
    let config = FusionNetConfig { dim: 8, lr: 0.03, ..FusionNetConfig::default() };
    let data = TrainingData::new(&world.train, &none);
    let mut trainer = config.trainer(data, &context()).unwrap();
    for epoch in 1..=20 {
        trainer.epoch(epoch).unwrap();
    }
    let model = trainer.model().unwrap();
    let capability = model.capability();
    assert!(!capability.cold_items && capability.modalities.is_empty());
    assert!(model.with_features(&world.features).is_err());
    let mut scores = Matrix::default();
    model.score(&[UserIdx(0)], &mut scores).unwrap();
    let lowest = scores.row(0)[..40].iter().copied().fold(f32::INFINITY, f32::min);
    assert!(world.cold.iter().all(|item| scores.row(0)[item.index()] <= lowest));
    let loaded = FusionNetModel::load(&model.state()).unwrap();
    assert_eq!(loaded.state(), model.state());
}

#[test]
fn parameters_out_of_range_are_named() {
    let world = World::new();
    let none = FeatureSet::new(world.train.n_items());
    let start = |config: &FusionNetConfig, features| {
        let data = TrainingData::new(&world.train, features);
        config.start(data, &context()).err().unwrap().to_string()
    };
    let base = FusionNetConfig::default;
    let said = |config: FusionNetConfig| start(&config, &world.features);
    assert!(said(FusionNetConfig { dropout: 1.0, ..base() }).contains("dropout"));
    let cold = Diversity { temperature: 0.0, ..Diversity::default() };
    let config = FusionNetConfig { diversity: Some(cold), ..base() };
    assert!(said(config).contains("diversity.temperature"));
    let config = FusionNetConfig { diversity: Some(Diversity::default()), ..base() };
    assert!(start(&config, &none).contains("diversity is measured on features"));
    let config = FusionNetConfig { item_id: false, ..base() };
    assert!(start(&config, &none).contains("item_id"));
}
