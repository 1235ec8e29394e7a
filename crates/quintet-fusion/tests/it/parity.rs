//! Layers against PyTorch, from the files of `tests/fixtures/layers`.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use quintet_core::{Matrix, Modality, SeedStream};
use quintet_tensor::{
    Device, Fusion, FusionShape, ShareKind, Views, matrix_to_tensor, tensor_to_vec,
};
use quintet_testkit::devices;
use serde::Deserialize;
use serde_json::Value;

/// Allowed difference, relative to one plus the largest number of the array: sums of numbers of
/// that size are rounded to `f32`.
const TOLERANCE: f64 = 1e-5;

const LAYERS: [&str; 9] = [
    "attention",
    "bilinear",
    "film",
    "hadamard",
    "lmf",
    "mlp",
    "spectrum",
    "squeeze_excite",
    "tensor",
];

type Rows = Vec<Vec<f64>>;

#[derive(Deserialize)]
struct File {
    layer: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    params: Value,
    shape: Vec<(Modality, usize)>,
    d_out: usize,
    weights: BTreeMap<String, Rows>,
    features: BTreeMap<Modality, Rows>,
    present: Vec<Vec<bool>>,
    output: Rows,
    grads: BTreeMap<String, Rows>,
}

impl Case {
    /// The layer with the weights of the file, which must name every weight that it has.
    fn layer(&self, name: &str, device: &Device) -> Box<dyn Fusion> {
        let registry = quintet_fusion::registry().unwrap();
        let shape = FusionShape { modalities: self.shape.clone(), d_out: self.d_out };
        let build = registry.get(name).unwrap().build;
        let mut layer = build(&self.params, &shape, SeedStream::new(1), device).unwrap();
        let names: Vec<String> = layer.weights().into_iter().map(|(name, _)| name).collect();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        assert!(sorted.into_iter().eq(self.weights.keys()), "{name}: weights are {names:?}");
        for (weight, name) in layer.weights_mut().into_iter().zip(&names) {
            let start = matrix(&self.weights[name]);
            assert_eq!(weight.dims(), [start.rows(), start.cols()], "shape of {name}");
            weight.set(matrix_to_tensor(&start, device));
        }
        layer
    }

    /// The features of the file, with NaN where they are absent.
    fn views(&self, device: &Device) -> Views {
        let (n, batch) = (self.shape.len(), self.present.len());
        let mut mask = Matrix::zeros(batch, n);
        let mut blocks: Vec<Matrix> =
            self.shape.iter().map(|(m, _)| matrix(&self.features[m])).collect();
        for (row, present) in self.present.iter().enumerate() {
            for m in 0..n {
                if present[m] {
                    mask.row_mut(row)[m] = 1.0;
                } else {
                    blocks[m].row_mut(row).fill(f32::NAN);
                }
            }
        }
        let modalities = self.shape.iter().map(|(m, _)| *m).collect();
        let blocks = blocks.iter().map(|b| matrix_to_tensor(b, device)).collect();
        Views::new(modalities, blocks, matrix_to_tensor(&mask, device))
    }
}

fn matrix(rows: &Rows) -> Matrix {
    let data = rows.iter().flatten().map(|v| *v as f32).collect();
    Matrix::from_vec(rows.len(), rows[0].len(), data).unwrap()
}

fn assert_close(what: &str, found: Tensor<2>, expected: &Rows) {
    assert_eq!(found.dims(), [expected.len(), expected[0].len()], "{what}: shape");
    let found = tensor_to_vec(found).unwrap();
    let expected: Vec<f64> = expected.iter().flatten().copied().collect();
    let largest = expected.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let apart = (f64::from(*f) - e).abs();
        assert!(
            apart <= TOLERANCE * (1.0 + largest),
            "{what}: number {i} is {f} and should be {e}; the largest is {largest}"
        );
    }
}

fn read(layer: &str) -> File {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/layers/");
    let text = std::fs::read_to_string(format!("{folder}{layer}.json")).unwrap();
    let file: File = serde_json::from_str(&text).unwrap();
    assert_eq!(file.layer, layer);
    file
}

#[test]
fn layers_and_their_gradients_equal_those_of_pytorch() {
    for device in devices() {
        let dev = device.autodiff();
        for name in LAYERS {
            for (i, case) in read(name).cases.iter().enumerate() {
                let title = format!("{name}, case {i}");
                let layer = case.layer(name, &dev);
                let y = layer.forward(&case.views(&dev));
                assert_close(&format!("{title}: output"), y.clone().inner(), &case.output);
                let grads = y.powi_scalar(2).sum().backward();
                for (weight_name, weight) in layer.weights() {
                    let what = format!("{title}: gradient of {weight_name}");
                    let grad = weight.tensor().grad(&grads).expect(&what);
                    assert_close(&what, grad, &case.grads[&weight_name]);
                }
            }
        }
    }
}

/// `y = Σ α_m h_m`: the output of an item that has all is inside what its parts give alone.
#[test]
fn attention_is_a_mixture_of_what_the_modalities_give_alone() {
    for device in devices() {
        let case = &read("attention").cases[0];
        let layer = case.layer("attention", &device);
        assert_eq!(layer.share_kind(), ShareKind::Attention);
        let views = case.views(&device);
        let shares = layer.shares(&views);
        let alone = (0..case.shape.len()).map(|m| {
            let others = (0..case.shape.len()).filter(|&other| other != m);
            layer.forward(&others.fold(views.clone(), |views, other| views.without(other)))
        });
        // Of a modality that is absent the share is zero, whatever the prior is.
        let mixed = alone.enumerate().map(|(m, y)| y * shares.clone().narrow(1, m, 1));
        let mixed = mixed.reduce(|sum, y| sum + y).unwrap();
        let last = case.present.len() - 1;
        assert_close("mixture", mixed.narrow(0, 0, last), &case.output[..last].to_vec());
    }
}
