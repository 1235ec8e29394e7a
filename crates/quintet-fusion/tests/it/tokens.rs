//! Layers of tokens, experts and heads: other parameters, the documented numbers of parameters,
//! and outputs and gradients against PyTorch's.

use burn::tensor::Tensor;
use quintet_core::{Matrix, Modality, ModelState, SeedStream};
use quintet_tensor::{
    Device, FusionShape, Views, load_weights, matrix_to_tensor, tensor_to_matrix,
};
use serde_json::{Value, json};

/// Allowed difference from PyTorch, relative to one.
const TOLERANCE: f32 = 1e-5;

/// Parameters besides the defaults for the contract suite.
pub(crate) fn parameters() -> Vec<(&'static str, Value)> {
    vec![
        (
            "bottleneck",
            json!({ "tokens": 1, "layers": 3, "heads": 3, "hidden": 3, "dropout": 0.0 }),
        ),
        ("co_training", json!({ "layers": 1, "hidden": 3, "dropout": 0.2 })),
        ("cross_attention", json!({ "layers": 2, "heads": 3, "dropout": 0.0 })),
        ("heads", json!({ "hidden": 6, "dropout": 0.2 })),
        ("moe", json!({ "experts": 3, "top_k": 2, "hidden": 5, "balance_loss": "switch" })),
        ("moe", json!({ "experts": 2, "balance_loss": "switch", "balance": 1.0 })),
        ("moe", json!({ "experts": 2, "balance": 0.0 })),
        ("self_attention", json!({ "layers": 2, "heads": 2, "hidden": 5, "dropout": 0.0 })),
        ("self_attention", json!({ "heads": 3 })),
    ]
}

/// `Σ (2 d_m + d_m d + d)`: norm and projection of every modality.
fn projections(shape: &FusionShape, d: usize) -> usize {
    shape.modalities.iter().map(|(_, w)| 2 * w + w * d + d).sum()
}

/// `4 d D + 3 D + d`.
fn attention(d: usize, heads: usize) -> usize {
    let wide = heads * d.div_ceil(heads);
    4 * d * wide + 3 * wide + d
}

/// `4 d + attention + 2 d f + f + d`.
fn block(d: usize, heads: usize, f: usize) -> usize {
    4 * d + attention(d, heads) + 2 * d * f + f + d
}

#[test]
fn layers_have_as_many_parameters_as_documented() {
    let registry = quintet_fusion::registry().unwrap();
    let d = 5;
    let shape = FusionShape {
        modalities: vec![(Modality::Text, 7), (Modality::Image, 4), (Modality::Audio, 3)],
        d_out: d,
    };
    let m = shape.modalities.len();
    let way_in = projections(&shape, d);
    let cases = [
        // The defaults: 4 heads, a hidden layer of 2 d, 1 layer, 4 shared tokens, 4 experts.
        ("self_attention", json!({}), way_in + m * d + block(d, 4, 2 * d) + d),
        (
            "self_attention",
            json!({ "layers": 3, "heads": 2, "hidden": 6 }),
            way_in + m * d + 3 * block(d, 2, 6) + d,
        ),
        ("cross_attention", json!({}), way_in + m * (2 * d + attention(d, 4)) + d),
        (
            "cross_attention",
            json!({ "layers": 2, "heads": 5 }),
            way_in + 2 * m * (2 * d + attention(d, 5)) + d,
        ),
        ("bottleneck", json!({}), way_in + 4 * d + 2 * m * block(d, 4, 2 * d) + d),
        (
            "moe",
            json!({ "experts": 3, "hidden": 6 }),
            way_in + 3 * ((m * d + m) * 6 + 6 + 6 * d + d) + (m * d + m) * 3 + 3 + d,
        ),
        ("heads", json!({ "hidden": 6 }), projections(&shape, 6) + m * (6 * d + d) + m + d),
        (
            "co_training",
            json!({ "layers": 2, "hidden": 6 }),
            way_in + 2 * (2 * d + 2 * d * 6 + 6 + d) + d,
        ),
    ];
    for (name, params, expected) in cases {
        let build = registry.get(name).unwrap().build;
        let layer = build(&params, &shape, SeedStream::new(1), &Device::flex()).unwrap();
        assert_eq!(layer.n_parameters(), expected, "{name} with {params}");
    }
}

fn matrix(value: &Value) -> Matrix {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).unwrap();
    Matrix::from_vec(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

fn assert_close(what: &str, found: &Matrix, expected: &Matrix) {
    assert_eq!((found.rows(), found.cols()), (expected.rows(), expected.cols()), "{what}: shape");
    for (f, e) in found.as_slice().iter().zip(expected.as_slice()) {
        let allowed = TOLERANCE * (1.0 + e.abs());
        assert!((f - e).abs() <= allowed, "{what}: found {found:?}, expected {expected:?}");
    }
}

/// The views of a fixture; absent slots hold numbers that must not be read.
fn views(fixture: &Value, shape: &FusionShape, device: &Device) -> Views {
    let features = shape.modalities.iter().map(|(modality, _)| {
        matrix_to_tensor(&matrix(&fixture["features"][modality.as_str()]), device)
    });
    let modalities = shape.modalities.iter().map(|(modality, _)| *modality).collect();
    let mask = matrix_to_tensor(&matrix(&fixture["mask"]), device);
    Views::new(modalities, features.collect(), mask)
}

/// One case: outputs, the penalty where there is one, and the gradient of every weight.
fn check_case(name: &str, case: &Value, shape: &FusionShape, fixture: &Value) {
    let dev = Device::flex().autodiff();
    let registry = quintet_fusion::registry().unwrap();
    let build = registry.get(name).unwrap().build;
    let mut layer = build(&case["params"], shape, SeedStream::new(1), &dev).unwrap();
    let mut state = ModelState::new("fixture");
    let saved = case["weights"].as_object().unwrap();
    saved.iter().for_each(|(name, value)| state.put(name.clone(), matrix(value)));
    assert_eq!(saved.len(), layer.weights().len(), "{name}: number of weights");
    load_weights(&mut *layer, "", &state, &dev).unwrap();

    let views = views(fixture, shape, &dev);
    let y = layer.forward(&views);
    let found = tensor_to_matrix(y.clone().inner()).unwrap();
    assert_close(&format!("{name}: output"), &found, &matrix(&case["output"]));

    let mut rng = SeedStream::new(1).rng("step", 0);
    let mut loss: Tensor<1> = y.powi_scalar(2).sum();
    if let Some(expected) = case["penalty"].as_f64() {
        let penalty = layer.forward_train(&views, &mut rng).penalty.unwrap();
        let found = tensor_to_matrix(penalty.clone().inner().reshape([1, 1])).unwrap();
        let expected = Matrix::from_vec(1, 1, vec![expected as f32]).unwrap();
        assert_close(&format!("{name}: penalty"), &found, &expected);
        loss = loss + penalty;
    }
    let grads = loss.backward();
    for (weight, tensor) in layer.weights() {
        let Some(grad) = tensor.tensor().grad(&grads) else {
            panic!("{name}: no gradient of {weight}");
        };
        let what = format!("{name} with {}: gradient of {weight}", case["params"]);
        assert_close(&what, &tensor_to_matrix(grad).unwrap(), &matrix(&case["grads"][&weight]));
    }
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    for name in ["self_attention", "cross_attention", "bottleneck", "moe"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tokens/");
        let text = std::fs::read_to_string(format!("{folder}{name}.json")).unwrap();
        let fixture: Value = serde_json::from_str(&text).unwrap();
        let modalities: Vec<(Modality, usize)> =
            serde_json::from_value(fixture["modalities"].clone()).unwrap();
        let d_out = fixture["d_out"].as_u64().unwrap() as usize;
        let shape = FusionShape { modalities, d_out };
        let cases = fixture["cases"].as_array().unwrap();
        assert!(!cases.is_empty(), "{name}: no cases");
        cases.iter().for_each(|case| check_case(name, case, &shape, &fixture));
    }
}
