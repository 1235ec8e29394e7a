//! Reads the cases of `tests/fixtures/neural_torch` and compares one step with them.

use quintet_core::{Interactions, Matrix, ModelState, SeedStream};
use quintet_data::TripletBatch;
use quintet_tensor::{Device, FitContext};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Allowed difference, relative to one.
const TOLERANCE: f64 = 1e-5;

pub(crate) struct Case {
    pub(crate) train: Interactions,
    case: Value,
}

pub(crate) fn cases(file: &str) -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/neural_torch/");
    let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let size = |key: &str| whole[key].as_u64().unwrap() as usize;
    let pairs: Vec<(u32, u32)> = serde_json::from_value(whole["train"].clone()).unwrap();
    let train = Interactions::from_pairs(size("n_users"), size("n_items"), pairs).unwrap();
    let cases = whole["cases"].as_array().unwrap();
    cases.iter().map(|case| Case { train: train.clone(), case: case.clone() }).collect()
}

pub(crate) fn context() -> FitContext {
    FitContext { device: Device::flex(), seed: SeedStream::new(1) }
}

fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::from_vec(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

impl Case {
    pub(crate) fn get<T: DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.case[key].clone()).unwrap()
    }

    pub(crate) fn params<T: DeserializeOwned>(&self) -> T {
        self.get("params")
    }

    pub(crate) fn matrix(&self, key: &str) -> Matrix {
        matrix(&self.case[key])
    }

    pub(crate) fn weight(&self, name: &str) -> Matrix {
        matrix(&self.case["weights"][name])
    }

    /// All weights by name, as layers read them.
    pub(crate) fn weights(&self) -> ModelState {
        let mut state = ModelState::new("fixture");
        for (name, value) in self.case["weights"].as_object().unwrap() {
            state.put(name.clone(), matrix(value));
        }
        state
    }

    pub(crate) fn batch(&self) -> TripletBatch {
        TripletBatch {
            users: self.get("users"),
            positives: self.get("positives"),
            negatives: self.get("negatives"),
            ..TripletBatch::default()
        }
    }

    /// Compares the loss of the first step, and its gradients, which the saved first moments of
    /// Adam are a tenth of.
    pub(crate) fn check(&self, loss: f64, saved: &ModelState) {
        let expected: f64 = self.get("loss");
        assert!((loss - expected).abs() < TOLERANCE * (1.0 + expected.abs()), "{loss} {expected}");
        for (name, value) in self.case["grads"].as_object().unwrap() {
            let expected = matrix(value);
            let key = format!("{name}m");
            let none = Matrix::zeros(expected.rows(), expected.cols());
            let found =
                if saved.tensors.contains_key(&key) { saved.matrix(&key).unwrap() } else { &none };
            assert_eq!((found.rows(), found.cols()), (expected.rows(), expected.cols()), "{name}");
            for (place, (f, e)) in found.as_slice().iter().zip(expected.as_slice()).enumerate() {
                let (f, e) = (f64::from(*f / (1.0 - 0.9)), f64::from(*e));
                let allowed = TOLERANCE * (1.0 + e.abs());
                assert!((f - e).abs() < allowed, "gradient of {name}, number {place}: {f} {e}");
            }
        }
    }
}
