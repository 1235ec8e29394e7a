//! Networks beside their references in PyTorch: hidden states, losses and all gradients.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use quintet_core::{Matrix, ModelState, SeedStream};
use quintet_tensor::{load_weights, tensor_to_vec};
use serde::Deserialize;

use super::model::{LoadReader, NETWORK};
use super::next_item::{NextItemLoss, Output};
use super::rivals::Rivals;
use super::trainer::{Batch, gradients};
use super::{Dropout, Network};

const TOLERANCE: f32 = 1e-5;

type Rows = Vec<Vec<f32>>;

#[derive(Deserialize)]
struct Expected {
    weights: BTreeMap<String, Rows>,
    items: Rows,
    histories: Vec<Vec<u32>>,
    hidden: Rows,
    losses: BTreeMap<String, ExpectedLoss>,
}

#[derive(Deserialize)]
struct ExpectedLoss {
    rivals: Vec<u32>,
    log_q: Vec<f32>,
    penalty: f32,
    loss: f64,
    items: Rows,
    weights: BTreeMap<String, Rows>,
}

fn matrix(rows: &Rows) -> Matrix {
    Matrix::from_vec(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

fn assert_close(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{what}");
    for (at, (e, f)) in expected.iter().zip(found).enumerate() {
        assert!((e - f).abs() <= TOLERANCE * (1.0 + e.abs()), "{what}, number {at}: {f}, not {e}");
    }
}

/// Compares everything in `tests/fixtures/<case>/expected.json`.
pub(crate) fn check<N: Network>(case: &str, make: impl Fn(&Device) -> N, load_reader: LoadReader) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case);
    let file = std::fs::File::open(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_reader(file).unwrap();
    let device = Device::flex().autodiff();
    let mut network = make(&device);
    let mut state = ModelState::new(case);
    for (name, rows) in &expected.weights {
        state.put(format!("{NETWORK}{name}"), matrix(rows));
    }
    assert_eq!(network.weights().len(), expected.weights.len());
    load_weights(&mut network, NETWORK, &state, &device).unwrap();
    let items = matrix(&expected.items);
    let histories: Vec<&[u32]> = expected.histories.iter().map(Vec::as_slice).collect();

    for (name, of_loss) in &expected.losses {
        let loss: NextItemLoss = serde_json::from_value(name.clone().into()).unwrap();
        let rivals = match loss {
            NextItemLoss::Bce => Rivals::Own(of_loss.rivals.clone()),
            _ => Rivals::Shared { items: of_loss.rivals.clone(), log_q: of_loss.log_q.clone() },
        };
        let batch = Batch { histories: &histories, rivals: &rivals };
        let output = Output { loss, penalty: of_loss.penalty };
        let mut none = Dropout::new(0.0, SeedStream::new(0).rng("none", 0));
        let mut step = gradients(&network, &items, &batch, output, &mut none, &device).unwrap();
        assert_close("hidden states", &expected.hidden.concat(), &step.hidden);
        assert_close(name, &[of_loss.loss as f32], &[step.loss as f32]);
        let mut dense = Matrix::zeros(items.rows(), items.cols());
        for (place, row) in step.items.rows.iter().enumerate() {
            dense.row_mut(*row as usize).copy_from_slice(step.items.grad.row(place));
        }
        assert_close(&format!("{name}: items"), &of_loss.items.concat(), dense.as_slice());
        for (weight, tensor) in network.weights() {
            let grad = tensor.tensor().grad_remove(&mut step.network).unwrap();
            let what = format!("{name}: {weight}");
            assert_close(&what, &of_loss.weights[&weight].concat(), &tensor_to_vec(grad).unwrap());
        }
    }

    network.describe(&mut state);
    let reader = load_reader(&state).unwrap();
    let mut end = 0;
    for history in &histories {
        end += history.len() - 1;
        let read = history[..history.len() - 1].iter();
        let inputs: Vec<f32> = read.flat_map(|item| items.row(*item as usize).to_vec()).collect();
        let mut out = vec![f32::NAN; items.cols()];
        reader.read(&inputs, &mut out);
        assert_close("read on the host", &expected.hidden[end - 1], &out);
        assert!(out.iter().map(|x| x * x).sum::<f32>().sqrt() <= reader.longest());
    }
}
