//! Models of the next item in a world where what comes next is known: everybody walks round a
//! ring of items.

use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Recommender, Registry, SeedStream, Sequences, UserIdx,
};
use quintet_tensor::{Device, FitContext, Fitting, TrainingData};
use serde_json::json;

const RING: u32 = 12;
const USERS: u32 = 36;

/// User `u` takes 7 items in a row, from `u` on; one item more is never used, and one user more
/// does nothing.
fn walks() -> (Interactions, Sequences) {
    let events: Vec<(UserIdx, ItemIdx, i64)> = (0..USERS)
        .flat_map(|u| (0..7).map(move |t| (UserIdx(u), ItemIdx((u + t) % RING), i64::from(t))))
        .collect();
    let pairs = events.iter().map(|(user, item, _)| (user.0, item.0));
    let (n_users, n_items) = (USERS as usize + 1, RING as usize + 1);
    let train = Interactions::from_pairs(n_users, n_items, pairs).unwrap();
    (train, Sequences::from_events(n_users, n_items, events).unwrap())
}

fn fit(model: &str, loss: &str) -> Box<dyn Recommender> {
    let (train, sequences) = walks();
    let features = FeatureSet::new(train.n_items());
    let mut registry = Registry::new("model");
    quintet_cf::register(&mut registry).unwrap();
    let params = json!({
        "dim": 16, "max_len": 4, "dropout": 0.0, "lr": 0.02, "batch_size": 16, "loss": loss,
        "negatives": 6, "popularity_exponent": 0.0,
    });
    let fit = (registry.get(model).unwrap().build)(&params).unwrap();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(5) };
    let data = TrainingData::new(&train, &features).with_sequences(&sequences);
    let Fitting::Epochs(mut trainer) = fit.start(data, &context).unwrap() else {
        panic!("{model} has epochs");
    };
    for epoch in 1..=30 {
        trainer.epoch(epoch).unwrap();
    }
    trainer.model().unwrap()
}

fn best(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
}

#[test]
fn every_loss_learns_what_comes_next() {
    let (_, sequences) = walks();
    for model in ["sasrec", "gru4rec"] {
        // With "bce" negatives are items that the user does not have, so that it learns what
        // somebody takes at all, here and in the contract suite.
        for loss in ["softmax", "sampled_softmax", "bpr_max", "top1_max"] {
            let fitted = fit(model, loss);
            let users: Vec<UserIdx> = (0..=USERS).map(UserIdx).collect();
            let mut scores = quintet_core::Matrix::default();
            fitted.score(&users, &mut scores).unwrap();
            let right = users[..USERS as usize]
                .iter()
                .filter(|user| best(scores.row(user.index())) == ((user.0 + 7) % RING) as usize);
            let right = right.count();
            assert!(right >= 30, "{model} with {loss}: {right} of {USERS}");
            for user in &users {
                let row = scores.row(user.index());
                let unused = row[RING as usize];
                assert!(row[..RING as usize].iter().all(|s| *s >= unused), "{model} {loss}");
            }
            // A newcomer who did what somebody did is that somebody.
            let mut out = vec![0.0; RING as usize + 1];
            for user in [UserIdx(0), UserIdx(17), UserIdx(USERS)] {
                let items = sequences.items(user);
                fitted.fold_in(items, &vec![1.0; items.len()], &mut out).unwrap();
                let row = scores.row(user.index());
                assert!(out.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-4), "{model} {loss}");
            }
        }
    }
}

#[test]
fn what_came_last_matters() {
    for model in ["sasrec", "gru4rec"] {
        let fitted = fit(model, "softmax");
        let after = |items: [u32; 3]| {
            let mut out = vec![0.0; RING as usize + 1];
            fitted.fold_in(&items.map(ItemIdx), &[1.0; 3], &mut out).unwrap();
            best(&out)
        };
        assert_eq!((after([4, 5, 6]), after([10, 11, 0])), (7, 1), "{model}");
    }
}
