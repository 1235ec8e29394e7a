//! Values and gradients beside PyTorch; `tests/fixtures/objectives/generate.py` wrote them.

use std::collections::BTreeMap;

use burn::prelude::*;
use burn::tensor::{TensorData, activation};
use quintet_core::Matrix;
use quintet_tensor::{
    InfoNce, UncertaintyWeights, alignment, bce_with_logits, bpr_loss, category_entropy,
    combine_gradients, cosine_bootstrap, cross_entropy, determinantal_loss, direct_au, hinge_loss,
    info_nce, log_popularity, mse, pareto_weights, sampled_softmax, soft_intra_list_distance,
    tensor_to_vec, uniformity, warp_loss, weighted_sum,
};
use serde::Deserialize;
use serde_json::Value;

const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
    pareto: Vec<Pareto>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    inputs: BTreeMap<String, Array>,
    other: BTreeMap<String, Value>,
    value: f64,
    gradients: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

#[derive(Deserialize)]
struct Pareto {
    gradients: Vec<Vec<f32>>,
    square: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/objectives/cases.json")).unwrap()
}

/// The inputs of one case as tensors.
struct Inputs<'a> {
    case: &'a Case,
    device: Device,
    leaves: BTreeMap<&'a str, Tensor<2>>,
}

impl Inputs<'_> {
    fn x(&self, name: &str) -> Tensor<2> {
        self.leaves[name].clone()
    }

    fn other<const D: usize>(&self, name: &str) -> Tensor<D> {
        let array: Array = serde_json::from_value(self.case.other[name].clone()).unwrap();
        Tensor::from_data(TensorData::new(array.data, array.shape), &self.device)
    }

    fn targets(&self) -> Tensor<1, Int> {
        self.other::<1>("targets").int()
    }

    fn hidden(&self) -> Tensor<2, Bool> {
        self.other::<2>("hidden").greater_elem(0.5)
    }

    fn number(&self, name: &str) -> f32 {
        self.case.other[name].as_f64().unwrap() as f32
    }

    /// `softmax(s / 0.5)`.
    fn p(&self) -> Tensor<2> {
        activation::softmax(self.x("s") / 0.5, 1)
    }

    fn loss(&mut self) -> Tensor<1> {
        let nce = |symmetric| InfoNce { temperature: 0.2, symmetric };
        match self.case.name.as_str() {
            "bce" => bce_with_logits(self.x("x"), self.other("labels"), None),
            "bce_weighted" => {
                bce_with_logits(self.x("x"), self.other("labels"), Some(self.other("weights")))
            }
            "cross_entropy_0.0" | "cross_entropy_0.1" => {
                cross_entropy(self.x("x"), self.targets(), self.number("smoothing"))
            }
            "mse" => mse(self.x("x"), self.other("y")),
            "bpr" => bpr_loss(self.x("positive"), self.x("negative")),
            "hinge" => hinge_loss(self.x("positive"), self.x("negatives"), 0.7),
            "warp" => warp_loss(self.x("positive"), self.x("negatives"), 0.7, 100),
            "sampled_softmax" => {
                sampled_softmax(self.x("x"), self.other("log_q"), self.targets(), self.hidden())
            }
            "info_nce" => info_nce(self.x("a"), self.x("b"), nce(false), None),
            "info_nce_symmetric" => info_nce(self.x("a"), self.x("b"), nce(true), None),
            "info_nce_hidden" => info_nce(self.x("a"), self.x("b"), nce(true), Some(self.hidden())),
            "bootstrap" => cosine_bootstrap(self.x("p"), self.other("target")),
            "alignment" => alignment(self.x("a"), self.x("b")),
            "uniformity" => uniformity(self.x("x"), 2.0),
            "direct_au" => direct_au(self.x("a"), self.x("b"), 0.8),
            "soft_ild" => soft_intra_list_distance(self.p(), self.other("f")),
            "entropy" => category_entropy(self.p(), self.other("categories")),
            "popularity" => log_popularity(self.p(), self.other("logs")),
            "determinantal" => {
                determinantal_loss(self.x("s"), self.other("f"), self.other("chosen"), 0.3)
            }
            "uncertainty" => {
                let mut weights = UncertaintyWeights::new(3, &self.device);
                // The leaf of the test stands in for that of the layer.
                let losses: Vec<Tensor<1>> =
                    (0..3).map(|k| self.x("losses").narrow(1, k, 1).reshape([1])).collect();
                let zero = weights.total(&losses);
                let mean = weighted_sum(&losses, &[0.5; 3]);
                let (zero, mean) = (tensor_to_vec(zero.inner()), tensor_to_vec(mean.inner()));
                assert!((zero.unwrap()[0] - mean.unwrap()[0]).abs() < 1e-5);
                weights.log_variance.set(self.x("a"));
                // Setting makes a new leaf: its gradient is the one to look at.
                self.leaves.insert("a", weights.log_variance.tensor());
                weights.total(&losses)
            }
            other => panic!("no objective for the case {other}"),
        }
    }
}

fn close(what: &str, expected: f64, found: f32) {
    let apart = (expected - f64::from(found)).abs();
    assert!(apart <= TOLERANCE * expected.abs().max(1.0), "{what} is {found}, not {expected}");
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let fixture = fixture();
    assert_eq!(fixture.cases.len(), 21, "every objective has a case");
    for case in &fixture.cases {
        let device = Device::flex().autodiff();
        let leaves = case.inputs.iter().map(|(name, array)| {
            // A vector is a row here.
            let cols = array.shape.last().copied().unwrap();
            let rows = array.data.len() / cols;
            let start = Matrix::from_vec(rows, cols, array.data.clone()).unwrap();
            let tensor = quintet_tensor::Weight::new(&start, &device).tensor();
            (name.as_str(), tensor)
        });
        let mut inputs = Inputs { case, device: device.clone(), leaves: leaves.collect() };
        let loss = inputs.loss();
        assert_eq!(loss.dims(), [1], "{}: shape", case.name);
        close(&case.name, case.value, tensor_to_vec(loss.clone().inner()).unwrap()[0]);
        let grads = loss.backward();
        for (name, expected) in &case.gradients {
            let grad = inputs.x(name).grad(&grads);
            let found = grad.map_or_else(Vec::new, |g| tensor_to_vec(g).unwrap());
            assert_eq!(found.len(), expected.len(), "{}: gradient of {name}", case.name);
            for (at, (e, f)) in expected.iter().zip(found).enumerate() {
                close(&format!("{}: gradient of {name}, number {at}", case.name), *e, f);
            }
        }
    }
}

#[test]
fn the_pareto_step_is_as_short_as_that_of_scipy() {
    for case in fixture().pareto {
        let weights = pareto_weights(&case.gradients);
        assert!(weights.iter().all(|w| *w >= 0.0), "{weights:?}");
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{weights:?}");
        let step = combine_gradients(&case.gradients, &weights);
        let square: f32 = step.iter().map(|x| x * x).sum();
        close("squared length", case.square, square);
    }
}
