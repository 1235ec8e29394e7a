//! Reads the cases of `tests/fixtures/graph_torch` and compares a step with them.

use quintet_core::{FeatureSet, Matrix, ModelState, SparseFeatures};
use quintet_data::TripletBatch;
use quintet_tensor::{Device, Layer, Trainer, TrainingData, matrix_to_tensor, tensor_to_matrix};
use serde_json::Value;

use super::fit::GraphTrainer;
use super::options::Options;
use super::{GraphNet, GraphRecipe};
pub(crate) use crate::parity::matrix;
use crate::parity::{case, context, features, list, pairs, same, same_number};

/// The loss of a batch, the gradient of every weight, and the vectors before the step, are those
/// of PyTorch.
pub(crate) fn check<R: GraphRecipe>() {
    check_case::<R>(R::NAME);
}

/// The same with the numbers of another file than the one that has the model's name.
pub(crate) fn check_case<R: GraphRecipe>(name: &str) {
    let case = case(&format!("graph_torch/{name}.json"));
    let train = pairs(&case);
    let features = features_of(&case, train.n_items());
    let recipe: R = serde_json::from_value(case["params"].clone()).unwrap();
    let context = context();
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
    let batch = TripletBatch {
        users: list(&case["users"]),
        positives: list(&case["positives"]),
        negatives: list(&case["negatives"]),
        ..TripletBatch::default()
    };
    let loss = trainer.step(0, &batch, &mut context.seed.rng("parity", 0)).unwrap();
    same_number("the loss", loss, case["loss"].as_f64().unwrap());
    check_gradients(&trainer.net, &trainer.save().unwrap(), &case);
}

pub(crate) fn features_of(case: &Value, n_items: usize) -> FeatureSet {
    features(&case["features"], n_items)
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
