//! iALS beside the `implicit` library and the closed form in NumPy.

use quintet_core::{
    FeatureSet, Interactions, ItemIdx, Matrix, ModelState, Registry, SeedStream, Triplet, UserIdx,
};
use quintet_tensor::{Device, FitContext, Fitting, ModelEntry, TrainingData};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn matrix(value: &Value, cols: usize) -> Matrix {
    let numbers = numbers(value);
    Matrix::from_vec(numbers.len() / cols, cols, numbers).unwrap()
}

fn assert_near(name: &str, expected: &Matrix, found: &Matrix) {
    for (at, (e, f)) in expected.as_slice().iter().zip(found.as_slice()).enumerate() {
        assert!((e - f).abs() <= 1e-4 * (1.0 + e.abs()), "{name}: number {at} is {f}, not {e}");
    }
}

#[test]
fn factors_are_those_of_the_references() {
    let case = include_str!("../fixtures/implicit_als/cases.json");
    let case: Value = serde_json::from_str(case).unwrap();
    let size = |key: &str| case[key].as_u64().unwrap() as usize;
    let dim = size("dim");
    let cells = case["cells"].as_array().unwrap().iter().map(|cell| Triplet {
        user: UserIdx(cell[0].as_u64().unwrap() as u32),
        item: ItemIdx(cell[1].as_u64().unwrap() as u32),
        value: cell[2].as_f64().unwrap() as f32,
    });
    let train = Interactions::from_triplets(size("n_users"), size("n_items"), cells).unwrap();
    let features = FeatureSet::new(train.n_items());
    let mut start = ModelState::new("ials");
    start.put("users", matrix(&case["users"], dim));
    start.put("items", matrix(&case["items"], dim));
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let mut registry: Registry<ModelEntry> = Registry::new("model");
    quintet_cf::register(&mut registry).unwrap();
    let cases = case["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for expected in cases {
        let name = expected["name"].as_str().unwrap();
        let fit = (registry.get("ials").unwrap().build)(&expected["params"]).unwrap();
        let Fitting::Epochs(mut trainer) =
            fit.start(TrainingData::new(&train, &features), &context).unwrap()
        else {
            panic!("iALS is trained by iterations");
        };
        trainer.load(&start).unwrap();
        let mut loss = 0.0;
        for epoch in 1..=size("iterations") {
            loss = trainer.epoch(epoch).unwrap().loss;
        }
        let state = trainer.save().unwrap();
        assert_near(name, &matrix(&expected["users"], dim), state.matrix("users").unwrap());
        assert_near(name, &matrix(&expected["items"], dim), state.matrix("items").unwrap());
        if let Some(expected) = expected["loss"].as_f64() {
            let found = loss * train.nnz() as f64;
            assert!((found - expected).abs() < 1e-4 * expected, "{name}: loss {found} {expected}");
        }
    }
}
