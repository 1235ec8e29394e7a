//! The conventions, both solvers, people it has not seen, and explanations that add up.

use quintet_core::{FeatureSet, Interactions, ItemIdx, Reason, SeedStream, Triplet, UserIdx};
use quintet_tensor::Device;
use rand::RngExt;
use serde_json::json;

use super::*;

/// 60 users and 50 items; two cells in five, values 1 to 5, the last item unused.
fn world() -> Interactions {
    let mut rng = SeedStream::new(5).rng("world", 0);
    let mut cells = Vec::new();
    for user in 0..60 {
        for item in 0..49 {
            if rng.random::<f32>() < 0.4 {
                let value = rng.random_range(1..6) as f32;
                cells.push(Triplet { user: UserIdx(user), item: ItemIdx(item), value });
            }
        }
    }
    Interactions::from_triplets(60, 50, cells).unwrap()
}

fn trainer(params: Value, train: &Interactions) -> Result<Box<dyn Trainer>, FitError> {
    let fit = (entry().build)(&params)?;
    let features = FeatureSet::new(train.n_items());
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(2) };
    match fit.start(TrainingData::new(train, &features), &context)? {
        Fitting::Epochs(trainer) => Ok(trainer),
        Fitting::Fitted(_) => panic!("iALS is trained by iterations"),
    }
}

#[test]
fn many_steps_of_conjugate_gradient_are_the_exact_solution() {
    let train = world();
    for dim in [1, 31, 70] {
        let fit = |solver: &str| {
            let params = json!({"dim": dim, "solver": solver, "cg_steps": 3 * dim, "l2": 5.0,
                "confidence": "one_plus_alpha", "alpha": 10, "frequency_power": 0,
                "use_values": true});
            let mut trainer = trainer(params, &train).unwrap();
            let loss = (1..4).map(|epoch| trainer.epoch(epoch).unwrap().loss).last().unwrap();
            (loss, trainer.save().unwrap())
        };
        let ((a, exact), (b, steps)) = (fit("cholesky"), fit("cg"));
        assert!((a - b).abs() < 1e-4 * a, "dim {dim}: loss {a} and {b}");
        for side in ["users", "items"] {
            let pairs = exact.matrix(side).unwrap().as_slice().iter();
            for (x, y) in pairs.zip(steps.matrix(side).unwrap().as_slice()) {
                assert!((x - y).abs() < 2e-3 * (1.0 + x.abs()), "dim {dim}, {side}: {x} and {y}");
            }
        }
    }
}

#[test]
fn every_iteration_lowers_the_objective() {
    let train = world();
    for confidence in ["one_plus_alpha", "alpha", "revisited"] {
        for power in [0.0, 1.0] {
            let params = json!({"dim": 8, "confidence": confidence, "frequency_power": power});
            let mut trainer = trainer(params, &train).unwrap();
            let losses: Vec<f64> = (1..8).map(|epoch| trainer.epoch(epoch).unwrap().loss).collect();
            assert!(losses.windows(2).all(|w| w[1] < w[0]), "{confidence} {power}: {losses:?}");
        }
    }
}

#[test]
fn directions_that_are_not_needed_become_zero() {
    let train = world();
    let mut trainer = trainer(json!({"dim": 8, "l2": 1.0, "alpha0": 0.5}), &train).unwrap();
    (1..60).for_each(|epoch| assert!(trainer.epoch(epoch).is_ok()));
    let state = trainer.save().unwrap();
    for side in ["users", "items"] {
        let numbers = state.matrix(side).unwrap().as_slice();
        assert!(numbers.iter().all(|x| *x == 0.0 || x.abs() >= 1e-12), "{side}");
        assert!(numbers.contains(&0.0), "{side}: nothing was cleared");
    }
}

#[test]
fn parts_of_an_explanation_sum_to_the_score_of_a_newcomer() {
    let train = world();
    for use_values in [false, true] {
        let mut trainer = trainer(json!({"dim": 8, "use_values": use_values}), &train).unwrap();
        (1..6).for_each(|epoch| assert!(trainer.epoch(epoch).is_ok()));
        let model = trainer.model().unwrap();
        let model = (entry().load)(&model.state()).unwrap();
        let (user, item) = (UserIdx(7), ItemIdx(11));
        let history = train.items(user);
        let mut scores = vec![0.0; 50];
        model.fold_in(history, train.values(user), &mut scores).unwrap();
        let parts = model.explain(user, item, history, usize::MAX).unwrap();
        assert_eq!(parts.len(), history.len());
        let sum: f32 = parts
            .iter()
            .map(|part| match part {
                Reason::Because { weight, .. } => *weight,
                other => panic!("{other:?}"),
            })
            .sum();
        let expected = scores[item.index()];
        assert!((sum - expected).abs() < 1e-4, "values {use_values}: {sum} {expected}");
        assert_eq!(scores[49], 0.0, "an unused item");
        model.fold_in(&[], &[], &mut scores).unwrap();
        assert!(scores.iter().all(|s| *s == 0.0), "nobody");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let train = world();
    let refused = |params: Value| trainer(params, &train).map(drop).unwrap_err().to_string();
    for (key, value) in [("dim", 0.0), ("l2", 0.0), ("alpha", -1.0), ("frequency_power", -0.5)] {
        let value = if key == "dim" { json!(0) } else { json!(value) };
        let message = refused(json!({ key: value }));
        assert!(message.contains(key), "{key}: {message}");
    }
    let negative = Triplet { user: UserIdx(0), item: ItemIdx(0), value: -1.0 };
    let train = Interactions::from_triplets(1, 1, [negative]).unwrap();
    assert!(matches!(trainer(json!({"use_values": true}), &train), Err(FitError::Data { .. })));
}
