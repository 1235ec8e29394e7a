//! One strategy on one world: a fusion layer and a linear head, trained on the squared error,
//! stopped by the validation items.

use anyhow::{Result, anyhow};
use quintet::core::{FeatureSet, Matrix, ModelState, SeedStream};
use quintet::fusion;
use quintet::tensor::{
    Adam, AdamConfig, Device, Fusion, FusionShape, Layer, Linear, Views, Weight, load_weights,
    matrix_to_tensor, save_weights, tensor_to_vec,
};
use rand::seq::SliceRandom;
use serde_json::Value;

use crate::worlds::TARGETS;

/// Width of the fused vector.
const WIDTH: usize = 32;
const BATCH: usize = 256;
const EPOCHS: usize = 40;
const PATIENCE: usize = 5;
const LR: f32 = 3e-3;
const DECAY: f32 = 1e-2;

/// Items to learn from, to stop by, and to report on; the last are new to the model.
pub(crate) struct Parts {
    pub(crate) train: Vec<u32>,
    pub(crate) valid: Vec<u32>,
    pub(crate) test: Vec<u32>,
}

impl Parts {
    /// 3,000, 500 and 1,500 items.
    pub(crate) fn new() -> Self {
        Self {
            train: (0..3000).collect(),
            valid: (3000..3500).collect(),
            test: (3500..5000).collect(),
        }
    }

    /// Items in all.
    pub(crate) const ITEMS: usize = 5000;
}

struct Net {
    fusion: Box<dyn Fusion>,
    head: Linear,
}

impl Layer for Net {
    fn weights(&self) -> Vec<(String, &Weight)> {
        let mut all = self.fusion.weights();
        all.extend(self.head.weights().into_iter().map(|(n, w)| (format!("head.{n}"), w)));
        all
    }

    fn weights_mut(&mut self) -> Vec<&mut Weight> {
        let mut all = self.fusion.weights_mut();
        all.extend(self.head.weights_mut());
        all
    }
}

/// What a strategy reached.
pub(crate) struct Learned {
    /// `[n_items, TARGETS]` of all items.
    pub(crate) predicted: Matrix,
    /// R² on the validation items.
    pub(crate) valid: f64,
    /// Trained numbers in the fusion layer.
    pub(crate) parameters: usize,
}

/// Trains the layer `name` on the features.
pub(crate) fn learn(
    name: &str,
    params: &Value,
    features: &FeatureSet,
    targets: &Matrix,
    parts: &Parts,
    seed: SeedStream,
) -> Result<Learned> {
    let device = Device::flex().autodiff();
    let shape = FusionShape {
        modalities: features.iter().map(|f| (f.modality, f.dim())).collect(),
        d_out: WIDTH,
    };
    let fusion = (fusion::registry()?.get(name)?.build)(params, &shape, seed, &device)?;
    let parameters = fusion.n_parameters();
    let head = Linear::new(WIDTH, TARGETS, &mut seed.rng("head", 0), &device);
    let mut net = Net { fusion, head };
    let mut adam = Adam::new(AdamConfig { weight_decay: DECAY, ..AdamConfig::new(LR) });
    let (mut best, mut kept, mut waited) = (f64::NEG_INFINITY, ModelState::new("net"), 0);
    for epoch in 0..EPOCHS {
        let mut order = parts.train.clone();
        order.shuffle(&mut seed.rng("order", epoch as u64));
        let mut rng = seed.rng("dropout", epoch as u64);
        for items in order.chunks(BATCH) {
            let views = Views::gather(features, items, &device);
            let wanted = matrix_to_tensor(&rows(targets, items)?, &device);
            let fused = net.fusion.forward_train(&views, &mut rng);
            let error =
                |vectors| (net.head.forward(vectors) - wanted.clone()).powi_scalar(2).mean_dim(1);
            let mut loss = error(fused.vectors).mean();
            if let Some(penalty) = fused.penalty {
                loss = loss + penalty;
            }
            // Every modality's own sub-network learns the task as well, a quarter as loudly.
            let heads = fused.heads.len() as f32;
            for (m, vectors) in fused.heads.into_iter().enumerate() {
                loss = loss + (error(vectors) * views.present(m)).mean() * (0.25 / heads);
            }
            adam.step(&mut net, &mut loss.backward());
        }
        let valid =
            r2(&predict(&net, features, &parts.valid, &device)?, &rows(targets, &parts.valid)?);
        if valid > best + 1e-4 {
            (best, waited) = (valid, 0);
            kept = ModelState::new("net");
            save_weights(&net, "", &mut kept)?;
        } else {
            waited += 1;
            if waited == PATIENCE {
                break;
            }
        }
    }
    load_weights(&mut net, "", &kept, &device)?;
    let all: Vec<u32> = (0..features.n_items() as u32).collect();
    Ok(Learned { predicted: predict(&net, features, &all, &device)?, valid: best, parameters })
}

fn predict(net: &Net, features: &FeatureSet, items: &[u32], device: &Device) -> Result<Matrix> {
    let mut all = Vec::with_capacity(items.len() * TARGETS);
    for chunk in items.chunks(1024) {
        let y = net.head.forward(net.fusion.forward(&Views::gather(features, chunk, device)));
        all.extend(tensor_to_vec(y.inner()).map_err(|e| anyhow!("{e}"))?);
    }
    Ok(Matrix::from_vec(items.len(), TARGETS, all)?)
}

/// The rows `items` of a matrix.
pub(crate) fn rows(matrix: &Matrix, items: &[u32]) -> Result<Matrix> {
    let data = items.iter().flat_map(|&i| matrix.row(i as usize).iter().copied()).collect();
    Ok(Matrix::from_vec(items.len(), matrix.cols(), data)?)
}

/// Share of the variance that is explained, all targets together: `1 - Σ(y-ŷ)² / Σ(y-ȳ)²`.
pub(crate) fn r2(predicted: &Matrix, truth: &Matrix) -> f64 {
    let n = truth.rows() as f64;
    let (mut error, mut variance) = (0.0, 0.0);
    for t in 0..truth.cols() {
        let column =
            |m: &Matrix| -> Vec<f64> { (0..m.rows()).map(|r| f64::from(m.row(r)[t])).collect() };
        let (p, y) = (column(predicted), column(truth));
        let mean = y.iter().sum::<f64>() / n;
        error += y.iter().zip(&p).map(|(y, p)| (y - p).powi(2)).sum::<f64>();
        variance += y.iter().map(|y| (y - mean).powi(2)).sum::<f64>();
    }
    1.0 - error / variance
}
