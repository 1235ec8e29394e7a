//! Tests of the transformer over histories, beside PyTorch and on small worlds.

use quintet_core::{FeatureSet, ItemIdx, UserIdx};
use quintet_tensor::load_weights;
use quintet_testkit::World;

use super::*;
use crate::parity::{case, context, features, pairs, same, same_gradients, same_number};

/// Histories in the order of the training pairs of a case.
fn sequences(case: &Value, train: &Interactions) -> Sequences {
    let pairs: Vec<(u32, u32)> = serde_json::from_value(case["train"].clone()).unwrap();
    let events = pairs.into_iter().enumerate();
    let events = events.map(|(at, (u, i))| (UserIdx(u), ItemIdx(i), at as i64));
    Sequences::from_events(train.n_users(), train.n_items(), events).unwrap()
}

#[test]
fn loss_gradients_and_vectors_are_those_of_pytorch() {
    for name in ["id", "content", "id_content", "gru_id", "gru_id_content"] {
        let case = case(&format!("tower_torch/history_transformer_{name}.json"));
        let train = pairs(&case);
        let set = features(&case["features"], train.n_items());
        let sequences = sequences(&case, &train);
        let params = case["params"].clone();
        let config: HistoryTransformerConfig = serde_json::from_value(params).unwrap();
        let data = TrainingData::new(&train, &set).with_sequences(&sequences);
        let mut trainer = config.trainer(data, &context()).unwrap();
        let weights = crate::parity::weights(&case);
        let tables: &[&str] = if config.items.has_ids() { &["ids"] } else { &[] };
        if config.items.has_ids() {
            let ids = weights.matrix("ids").unwrap().clone();
            trainer.ids = EmbeddingTable::from_matrix(ids, AdamConfig::new(0.1));
        }
        let device = trainer.device.clone();
        load_weights(&mut trainer.net, "", &weights, &device).unwrap();

        let model = trainer.model().unwrap();
        let factors = model.factors().unwrap();
        same(&format!("{name}: users"), factors.users, &case["user_vectors"]);
        same(&format!("{name}: items"), factors.items, &case["item_vectors"]);
        let windows = trainer.windows.clone();
        let loss = trainer.step(&windows, 0).unwrap();
        same_number(&format!("{name}: loss"), loss, case["loss"].as_f64().unwrap());
        same_gradients(&case, &trainer.save().unwrap(), tables, &trainer.net);
    }
}

fn fitted(world: &World, items: ItemVectors) -> Box<dyn Recommender> {
    let config = HistoryTransformerConfig {
        dim: 8,
        blocks: 1,
        max_len: 6,
        dropout: 0.1,
        loss: HistoryLoss::InBatch,
        lr: 0.01,
        batch_size: 32,
        items,
        ..HistoryTransformerConfig::default()
    };
    let mut trainer = config.trainer(world.data(), &context()).unwrap();
    for epoch in 1..=20 {
        trainer.epoch(epoch).unwrap();
    }
    trainer.model().unwrap()
}

#[test]
fn content_ranks_items_that_nobody_used_and_ids_alone_put_them_last() {
    let world = World::new();
    let users: Vec<UserIdx> = world.users().collect();
    let mut scores = Matrix::default();
    let model = fitted(&world, ItemVectors::Content);
    model.score(&users, &mut scores).unwrap();
    let right = users.iter().filter(|user| {
        let (group, row) = (world.group_of_user(**user).unwrap(), scores.row(user.index()));
        row[world.cold[group].index()] > row[world.cold[1 - group].index()]
    });
    assert!(right.count() > 36, "of 40 users");

    let model = fitted(&world, ItemVectors::Id);
    assert!(!model.capability().cold_items && model.with_features(&world.features).is_err());
    model.score(&users, &mut scores).unwrap();
    for row in 0..scores.rows() {
        let lowest = scores.row(row)[..40].iter().copied().fold(f32::INFINITY, f32::min);
        assert!(world.cold.iter().all(|item| scores.row(row)[item.index()] <= lowest));
    }
    let loaded = HistoryModel::load(&model.state()).unwrap();
    assert_eq!(loaded.state(), model.state());
}

#[test]
fn folding_in_a_known_history_gives_the_scores_of_its_user() {
    let world = World::new();
    let model = fitted(&world, ItemVectors::IdContent);
    let (user, mut scores) = (UserIdx(3), Matrix::default());
    model.score(&[user], &mut scores).unwrap();
    let items = world.sequences.items(user);
    let mut out = vec![0.0; model.n_items()];
    model.fold_in(items, &vec![1.0; items.len()], &mut out).unwrap();
    for (a, b) in out.iter().zip(scores.row(0)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let world = World::new();
    let said = |config: HistoryTransformerConfig, data: TrainingData<'_>| {
        config.start(data, &context()).err().unwrap().to_string()
    };
    let base = HistoryTransformerConfig::default;
    let config = HistoryTransformerConfig { heads: 3, ..base() };
    assert!(said(config, world.data()).contains("divide dim"));
    let config = HistoryTransformerConfig { max_len: 0, ..base() };
    assert!(said(config, world.data()).contains("max_len"));
    let plain = TrainingData::new(&world.train, &world.features);
    assert!(said(base(), plain).contains("a time column"));
    let none = FeatureSet::new(world.train.n_items());
    let bare = TrainingData::new(&world.train, &none).with_sequences(&world.sequences);
    assert!(said(base(), bare).contains("features"));
    let ids = HistoryTransformerConfig { items: ItemVectors::Id, ..base() };
    assert!(ids.start(bare, &context()).is_ok());
}
