//! Logistic matrix factorisation beside NumPy.

use quintet_core::{FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Registry, SeedStream};
use quintet_core::{Triplet, UserIdx};
use quintet_tensor::{Device, FitContext, Fitting, TrainingData};
use serde_json::Value;

fn matrix(value: &Value, cols: usize) -> Matrix {
    let numbers: Vec<f32> =
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
    Matrix::from_vec(numbers.len() / cols, cols, numbers).unwrap()
}

#[test]
fn two_epochs_are_those_of_numpy() {
    let case = include_str!("../fixtures/logistic_mf/case.json");
    let case: Value = serde_json::from_str(case).unwrap();
    let size = |key: &str| case[key].as_u64().unwrap() as usize;
    let cols = size("dim") + 2;
    let cells = case["cells"].as_array().unwrap().iter().map(|cell| Triplet {
        user: UserIdx(cell[0].as_u64().unwrap() as u32),
        item: ItemIdx(cell[1].as_u64().unwrap() as u32),
        value: cell[2].as_f64().unwrap() as f32,
    });
    let train = Interactions::from_triplets(size("n_users"), size("n_items"), cells).unwrap();
    let features = FeatureSet::new(train.n_items());
    let mut registry = Registry::new("model");
    quintet_cf::register(&mut registry).unwrap();
    let fit = (registry.get("logistic_mf").unwrap().build)(&case["params"]).unwrap();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let Fitting::Epochs(mut trainer) =
        fit.start(TrainingData::new(&train, &features), &context).unwrap()
    else {
        panic!("it is trained by epochs");
    };
    let mut start = ModelState::new("logistic_mf");
    for side in ["users", "items"] {
        let numbers = matrix(&case["start"][side], cols);
        start.put(format!("{side}.squares"), Matrix::zeros(numbers.rows(), cols));
        start.put(side, numbers);
    }
    trainer.load(&start).unwrap();
    (1..=size("epochs")).for_each(|epoch| assert!(trainer.epoch(epoch).is_ok()));
    let state = trainer.save().unwrap();
    for key in ["users", "items", "users.squares", "items.squares"] {
        let expected = matrix(&case["end"][key.replace('.', "_")], cols);
        let found = state.matrix(key).unwrap().as_slice();
        for (at, (e, f)) in expected.as_slice().iter().zip(found).enumerate() {
            assert!((e - f).abs() <= 1e-4 * (1.0 + e.abs()), "{key}: number {at} is {f}, not {e}");
        }
    }
}
