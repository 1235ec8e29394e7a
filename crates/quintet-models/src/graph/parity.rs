//! Reads the cases of `tests/fixtures/graph_torch` and compares a step with them.

use quintet_core::{
    FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, ModelState, SeedStream,
    SparseFeatures,
};
use quintet_data::TripletBatch;
use quintet_tensor::{
    Device, FitContext, Layer, Trainer, TrainingData, matrix_to_tensor, tensor_to_matrix,
};
use serde_json::Value;

use super::fit::GraphTrainer;
use super::options::Options;
use super::{GraphNet, GraphRecipe};

/// Allowed difference, relative to numbers above one.
const TOLERANCE: f64 = 1e-5;

pub(crate) fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::from_vec(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

fn same(what: &str, found: &Matrix, expected: &Value) {
    let expected = matrix(expected);
    assert_eq!((found.rows(), found.cols()), (expected.rows(), expected.cols()), "{what}");
    for (place, (f, e)) in found.as_slice().iter().zip(expected.as_slice()).enumerate() {
        let (f, e) = (f64::from(*f), f64::from(*e));
        assert!((f - e).abs() < TOLERANCE * (1.0 + e.abs()), "{what}, number {place}: {f} {e}");
    }
}

/// The loss of a batch, the gradient of every weight, and the vectors before the step, are those
/// of PyTorch.
pub(crate) fn check<R: GraphRecipe>() {
    check_case::<R>(R::NAME);
}

/// The same with the numbers of another file than the one that has the model's name.
pub(crate) fn check_case<R: GraphRecipe>(name: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/graph_torch/");
    let text = std::fs::read_to_string(format!("{folder}{name}.json")).unwrap();
    let case: Value = serde_json::from_str(&text).unwrap();
    let size = |key: &str| case[key].as_u64().unwrap() as usize;
    let pairs: Vec<(u32, u32)> = serde_json::from_value(case["train"].clone()).unwrap();
    let train = Interactions::from_pairs(size("n_users"), size("n_items"), pairs).unwrap();
    let features = features_of(&case, train.n_items());
    let recipe: R = serde_json::from_value(case["params"].clone()).unwrap();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let attributes = attributes_of(&case, train.n_items());
    let mut data = TrainingData::new(&train, &features);
    if let Some(attributes) = &attributes {
        data = data.with_item_attributes(attributes);
    }
    let mut trainer = GraphTrainer::<R>::new(&recipe, &Options::default(), data, &context).unwrap();
    set_weights(&mut trainer.net, &case);
    let mut memory = ModelState::new("memory");
    for (name, numbers) in case["memory"].as_object().into_iter().flatten() {
        memory.put(name, matrix(numbers));
    }
    trainer.net.remember(&memory).unwrap();
    trainer.net.begin_epoch(1, context.seed).unwrap();

    let (users, items) = trainer.net.vectors();
    same("user vectors", &tensor_to_matrix(users.inner()).unwrap(), &case["user_vectors"]);
    same("item vectors", &tensor_to_matrix(items.inner()).unwrap(), &case["item_vectors"]);
    let list = |key: &str| -> Vec<u32> { serde_json::from_value(case[key].clone()).unwrap() };
    let batch = TripletBatch {
        users: list("users"),
        positives: list("positives"),
        negatives: list("negatives"),
        ..TripletBatch::default()
    };
    let loss = trainer.step(0, &batch, &mut context.seed.rng("parity", 0)).unwrap();
    let expected = case["loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < TOLERANCE * (1.0 + expected.abs()), "{loss} {expected}");
    check_gradients(&trainer.net, &trainer.save().unwrap(), &case);
}

pub(crate) fn features_of(case: &Value, n_items: usize) -> FeatureSet {
    let mut set = FeatureSet::new(n_items);
    for (name, of) in case["features"].as_object().unwrap() {
        let modality: Modality = name.parse().unwrap();
        let present: Vec<bool> = serde_json::from_value(of["present"].clone()).unwrap();
        set.push(ModalityFeatures::new(modality, matrix(&of["rows"]), present).unwrap()).unwrap();
    }
    set
}

/// Of the cases that have some: names, and cells of item, attribute and value.
fn attributes_of(case: &Value, n_items: usize) -> Option<SparseFeatures> {
    let of = case.get("attributes")?;
    let names: Vec<String> = serde_json::from_value(of["names"].clone()).unwrap();
    let cells: Vec<(u32, u32, f32)> = serde_json::from_value(of["cells"].clone()).unwrap();
    Some(SparseFeatures::new(n_items, names, cells).unwrap())
}

fn set_weights(net: &mut impl Layer, case: &Value) {
    let names: Vec<String> = net.weights().into_iter().map(|(name, _)| name).collect();
    let given = case["weights"].as_object().unwrap();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(names.clone()), sorted(given.keys().cloned().collect()), "the weights");
    for (weight, name) in net.weights_mut().into_iter().zip(&names) {
        let value = matrix(&given[name]);
        assert_eq!(weight.dims(), [value.rows(), value.cols()], "{name}");
        weight.set(matrix_to_tensor(&value, &Device::flex().autodiff()));
    }
}

/// The first moments of Adam after one step are a tenth of the gradients.
fn check_gradients(net: &impl Layer, state: &ModelState, case: &Value) {
    for (place, (name, weight)) in net.weights().into_iter().enumerate() {
        let [rows, cols] = weight.dims();
        let mut found = Matrix::zeros(rows, cols);
        if let Ok(m) = state.matrix(&format!("adam.{place}.m")) {
            let tenfold = found.as_mut_slice().iter_mut().zip(m.as_slice());
            tenfold.for_each(|(f, m)| *f = m / (1.0 - 0.9));
        }
        same(&format!("gradient of {name}"), &found, &case["grads"][name.as_str()]);
    }
}
