//! Tests of DMRS, beside PyTorch and on small worlds.

use quintet_core::{Matrix, UserIdx};
use quintet_tensor::load_weights;
use quintet_testkit::World;

use super::*;
use crate::parity::{case, context, features, list, pairs, same, same_gradients, same_number};

#[test]
fn loss_gradients_and_scores_are_those_of_pytorch() {
    for file in ["tower_torch/dmrs_bce.json", "tower_torch/dmrs_bpr.json"] {
        let case = case(file);
        let train = pairs(&case);
        let set = features(&case["features"], train.n_items());
        let config: DmrsConfig = serde_json::from_value(case["params"].clone()).unwrap();
        let data = TrainingData::new(&train, &set);
        let mut trainer = config.trainer(data, &context()).unwrap();
        let weights = crate::parity::weights(&case);
        let adam = AdamConfig::new(0.1);
        let table = |name| EmbeddingTable::from_matrix(weights.matrix(name).unwrap().clone(), adam);
        (trainer.users, trainer.items) = (table("users"), table("items"));
        let device = trainer.device.clone();
        load_weights(&mut trainer.net, "", &weights, &device).unwrap();

        let mut scores = Matrix::default();
        let users: Vec<UserIdx> = (0..train.n_users()).map(UserIdx::new).collect();
        trainer.model().unwrap().score(&users, &mut scores).unwrap();
        same("scores", &scores, &case["scores"]);
        let batch = TripletBatch {
            users: list(&case["users"]),
            positives: list(&case["positives"]),
            negatives: list(&case["negatives"]),
            ..TripletBatch::default()
        };
        let mut rng = context().seed.rng("parity", 0);
        let loss = trainer.step(&RankedBatch::new(&batch), &mut rng).unwrap();
        same_number("loss", loss, case["loss"].as_f64().unwrap());
        same_gradients(&case, &trainer.save().unwrap(), &["users", "items"], &trainer.net);
    }
}

#[test]
fn a_dropped_id_is_the_shared_vector() {
    let world = World::new();
    let config = DmrsConfig { dim: 4, layers: vec![4], ..DmrsConfig::default() };
    let trainer = config.trainer(world.data(), &context()).unwrap();
    let device = &trainer.device;
    let ids = Tensor::<2>::ones([2, 4], device);
    let keep = Tensor::<2>::from_data([[1.0], [0.0]], device);
    let out = quintet_tensor::tensor_to_matrix(trainer.net.ids(ids, keep).inner()).unwrap();
    assert_eq!(out.row(0), [1.0; 4]);
    assert_eq!(out.row(1), trainer.net.unknown.to_matrix().unwrap().row(0));
}

#[test]
fn parameters_out_of_range_are_named() {
    let world = World::new();
    let said =
        |config: DmrsConfig| config.start(world.data(), &context()).err().unwrap().to_string();
    let base = DmrsConfig::default;
    assert!(said(DmrsConfig { layers: vec![], ..base() }).contains("layers"));
    assert!(said(DmrsConfig { id_dropout: 1.0, ..base() }).contains("id_dropout"));
    assert!(said(DmrsConfig { negatives: 0, ..base() }).contains("negatives"));
    assert!(said(DmrsConfig { fusion: "glue".into(), ..base() }).contains("glue"));
}
