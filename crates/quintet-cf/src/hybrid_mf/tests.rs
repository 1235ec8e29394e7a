//! The forward pass and one step by hand; every loss learns; unused items by their attributes.

use quintet_core::{FeatureSet, ItemIdx, Matrix, SeedStream, SparseFeatures, StateTensor, UserIdx};
use quintet_tensor::Device;
use serde_json::json;

use super::*;

fn trainer(
    params: Value,
    train: &Interactions,
    attributes: [Option<&SparseFeatures>; 2],
) -> Box<dyn Trainer> {
    let fit = (entry().build)(&params).unwrap();
    let features = FeatureSet::new(train.n_items());
    let mut data = TrainingData::new(train, &features);
    data.user_attributes = attributes[0];
    data.item_attributes = attributes[1];
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(3) };
    match fit.start(data, &context).unwrap() {
        Fitting::Epochs(trainer) => trainer,
        Fitting::Fitted(_) => panic!("it is trained by epochs"),
    }
}

#[test]
fn the_forward_pass_by_hand() {
    let names = vec!["tag".to_owned()];
    let tags = SparseFeatures::new(3, names, [(1, 0, 1.0), (2, 0, 3.0)]).unwrap();
    let train = Interactions::from_pairs(2, 3, [(0, 0), (0, 1), (1, 0)]).unwrap();
    let mut trainer = trainer(json!({"dim": 1}), &train, [None, Some(&tags)]);
    let mut state = trainer.save().unwrap();
    let column = |rows: &[[f32; 3]]| {
        StateTensor::Real(Matrix::from_vec(rows.len(), 3, rows.concat()).unwrap())
    };
    // Columns: the embedding, the user's bias, the item's bias. Items: three identities, the tag.
    let users = column(&[[2.0, 7.0, 0.0], [-1.0, 7.0, 0.0]]);
    let items = column(&[[1.0, 0.0, 0.1], [3.0, 0.0, 0.2], [9.0, 0.0, 9.0], [5.0, 0.0, 0.4]]);
    state.tensors.insert("users.numbers".into(), users);
    state.tensors.insert("items.numbers".into(), items);
    trainer.load(&state).unwrap();
    let model = trainer.model().unwrap();
    let mut scores = Matrix::default();
    model.score(&[UserIdx(0), UserIdx(1)], &mut scores).unwrap();
    // Item 1: (3 + 5) / 2 and (0.2 + 0.4) / 2. Item 2 is unused: its identity counts for nothing,
    // 3/4 of the tag remain.
    let expected = [2.1, 8.3, 7.8, -0.9, -3.7, -3.45];
    for (found, expected) in scores.as_slice().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{:?}", scores.as_slice());
    }
    assert!(model.capability().cold_items && !model.capability().cold_users);
}

#[test]
fn a_step_of_bpr_by_hand() {
    // One user, one positive; the only other used item is the negative.
    let train = Interactions::from_pairs(2, 2, [(0, 0), (1, 1)]).unwrap();
    let params = json!({"dim": 1, "loss": "bpr", "lr": 0.1, "batch_size": 1});
    let mut trainer = trainer(params, &train, [None, None]);
    let mut state = trainer.save().unwrap();
    let rows = |rows: &[[f32; 3]]| {
        StateTensor::Real(Matrix::from_vec(rows.len(), 3, rows.concat()).unwrap())
    };
    state.tensors.insert("users.numbers".into(), rows(&[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]));
    state.tensors.insert("items.numbers".into(), rows(&[[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]));
    trainer.load(&state).unwrap();
    let stats = trainer.epoch(1).unwrap();
    // The first gap is 0, its loss ln 2. The first step of Adagrad is 0.1 along the sign: the
    // positive item and its bias rise, the negative ones fall; the user does not move, since
    // both items are the same. The second positive is then the other item at 0.4 - 0.1 against
    // 0.6 + 0.1, a gap of -0.4.
    let expected = (2.0f64.ln() + (0.4f64.exp() + 1.0).ln()) / 2.0;
    assert!((stats.loss - expected).abs() < 1e-5, "{} {expected}", stats.loss);
    assert_eq!((stats.batches, stats.samples), (2, 2));
}

/// Two groups; items 16 to 19 are never used. Half of the cells of the own group are there.
fn groups() -> (Interactions, SparseFeatures) {
    let own = |u: u32, i: u32| u % 2 == i % 2 && (u / 2 + i / 2).is_multiple_of(2);
    let cells = (0..40).flat_map(|u| (0..16).filter(move |i| own(u, *i)).map(move |i| (u, i)));
    let train = Interactions::from_pairs(40, 20, cells).unwrap();
    let names = vec!["even".to_owned(), "odd".to_owned()];
    let tags = SparseFeatures::new(20, names, (0..20).map(|i| (i, i % 2, 1.0))).unwrap();
    (train, tags)
}

#[test]
fn every_loss_and_schedule_ranks_unused_items_by_their_tags() {
    let (train, tags) = groups();
    for loss in ["logistic", "bpr", "warp", "k_os_warp"] {
        for (schedule, lr) in [("adagrad", 0.1), ("adadelta", 1.0)] {
            let params = json!({"dim": 4, "loss": loss, "schedule": schedule, "lr": lr, "k": 2,
                "n": 4, "batch_size": 16, "epsilon": 1e-5});
            let mut trainer = trainer(params, &train, [None, Some(&tags)]);
            (1..=30).for_each(|epoch| assert!(trainer.epoch(epoch).is_ok()));
            let model = trainer.model().unwrap();
            let mut scores = Matrix::default();
            let users: Vec<UserIdx> = (0..40).map(UserIdx).collect();
            model.score(&users, &mut scores).unwrap();
            let right = users.iter().filter(|u| {
                let (own, other) = (16 + u.index() % 2, 17 - u.index() % 2);
                scores.row(u.index())[own] > scores.row(u.index())[other]
            });
            let right = right.count();
            assert!(right >= 38, "{loss}, {schedule}: {right} of 40");
        }
    }
}

#[test]
fn a_user_of_everything_is_skipped() {
    let train = Interactions::from_pairs(1, 2, [(0, 0), (0, 1)]).unwrap();
    for loss in ["logistic", "bpr", "warp", "k_os_warp"] {
        let mut trainer = trainer(json!({"dim": 2, "loss": loss}), &train, [None, None]);
        assert_eq!(trainer.epoch(1).unwrap().loss, 0.0, "{loss}");
        assert_eq!(trainer.model().unwrap().recommend(UserIdx(0), 5, &[]).unwrap().len(), 2);
        assert!(trainer.model().unwrap().similar_items(ItemIdx(0), 5).is_ok());
    }
}
