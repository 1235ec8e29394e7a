//! Reads cases that were written by PyTorch or NumPy and compares numbers with them.

use quintet_core::{
    FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, ModelState, SeedStream,
};
use quintet_tensor::{Device, FitContext, Layer};
use serde_json::Value;

/// Allowed difference, relative to numbers above one.
const TOLERANCE: f64 = 1e-5;

pub(crate) fn context() -> FitContext {
    FitContext { device: Device::flex(), seed: SeedStream::new(1) }
}

/// A file of `tests/fixtures`.
pub(crate) fn case(file: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}{file}")).unwrap()).unwrap()
}

pub(crate) fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::from_vec(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

pub(crate) fn list(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Pairs of users and items under `train`, of `n_users` and `n_items`.
pub(crate) fn pairs(case: &Value) -> Interactions {
    let size = |key: &str| case[key].as_u64().unwrap() as usize;
    let pairs: Vec<(u32, u32)> = serde_json::from_value(case["train"].clone()).unwrap();
    Interactions::from_pairs(size("n_users"), size("n_items"), pairs).unwrap()
}

pub(crate) fn features(value: &Value, n_items: usize) -> FeatureSet {
    let mut set = FeatureSet::new(n_items);
    for (name, of) in value.as_object().unwrap() {
        let modality: Modality = name.parse().unwrap();
        let present: Vec<bool> = serde_json::from_value(of["present"].clone()).unwrap();
        set.push(ModalityFeatures::new(modality, matrix(&of["rows"]), present).unwrap()).unwrap();
    }
    set
}

pub(crate) fn same_number(what: &str, found: f64, expected: f64) {
    let allowed = TOLERANCE * (1.0 + expected.abs());
    assert!((found - expected).abs() < allowed, "{what}: {found} {expected}");
}

pub(crate) fn same(what: &str, found: &Matrix, expected: &Value) {
    let expected = matrix(expected);
    assert_eq!((found.rows(), found.cols()), (expected.rows(), expected.cols()), "{what}");
    for (place, (f, e)) in found.as_slice().iter().zip(expected.as_slice()).enumerate() {
        same_number(&format!("{what}, number {place}"), f64::from(*f), f64::from(*e));
    }
}

/// The weights of a case as a state, to be loaded.
pub(crate) fn weights(case: &Value) -> ModelState {
    let mut state = ModelState::new("fixture");
    for (name, value) in case["weights"].as_object().unwrap() {
        state.put(name.clone(), matrix(value));
    }
    state
}

/// Compares the gradients of the first step. The first moments of Adam after it are a tenth of
/// them: `tables` by prefix, then the weights of `layer` in their order under `adam.`.
pub(crate) fn same_gradients(
    case: &Value,
    saved: &ModelState,
    tables: &[&str],
    layer: &(impl Layer + ?Sized),
) {
    let tenfold = |key: &str, [rows, cols]: [usize; 2]| {
        let mut found = Matrix::zeros(rows, cols);
        if let Ok(m) = saved.matrix(key) {
            let cells = found.as_mut_slice().iter_mut().zip(m.as_slice());
            cells.for_each(|(f, m)| *f = m / (1.0 - 0.9));
        }
        found
    };
    let grads = case["grads"].as_object().unwrap();
    let mut compared = 0;
    let named = tables.iter().map(|name| (format!("{name}.m"), (*name).to_owned(), None));
    let of_layer = layer.weights().into_iter().enumerate();
    let of_layer = of_layer.map(|(at, (name, w))| (format!("adam.{at}.m"), name, Some(w.dims())));
    for (key, name, dims) in named.chain(of_layer) {
        let expected = grads.get(&name).unwrap_or_else(|| panic!("no gradient of {name}"));
        let shape = matrix(expected);
        let shape = [shape.rows(), shape.cols()];
        assert_eq!(dims.unwrap_or(shape), shape, "{name}");
        same(&format!("gradient of {name}"), &tenfold(&key, shape), expected);
        compared += 1;
    }
    assert_eq!(compared, grads.len(), "gradients that were compared");
}
