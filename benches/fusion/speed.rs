//! Time of a forward and a backward pass of each fusion layer.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow};
use quintet::core::{Matrix, Modality, SeedStream};
use quintet::fusion;
use quintet::tensor::{Device, FusionShape, Views, matrix_to_tensor, tensor_to_vec};
use rand::RngExt;
use serde_json::{Value, json};

const BATCH: usize = 2048;
const D_OUT: usize = 64;
const SHAPE: [(Modality, usize); 4] = [
    (Modality::Text, 384),
    (Modality::Image, 2048),
    (Modality::Audio, 128),
    (Modality::Video, 512),
];

/// Writes milliseconds of every repetition by layer, of the layers whose names contain `only`.
pub(crate) fn measure(path: &Path, only: Option<&str>) -> Result<()> {
    let repeats = 15;
    let device = Device::flex().autodiff();
    let mut rng = SeedStream::new(1).rng("speed", 0);
    let mut blocks = Vec::new();
    for (_, width) in SHAPE {
        let data = (0..BATCH * width).map(|_| rng.random_range(-1.0f32..1.0)).collect();
        blocks.push(matrix_to_tensor(&Matrix::from_vec(BATCH, width, data)?, &device));
    }
    let mask = (0..BATCH * 4).map(|_| f32::from(u8::from(rng.random::<f32>() < 0.9))).collect();
    let mask = matrix_to_tensor(&Matrix::from_vec(BATCH, 4, mask)?, &device);
    let views = Views::new(SHAPE.map(|(m, _)| m).to_vec(), blocks, mask);
    let shape = FusionShape { modalities: SHAPE.to_vec(), d_out: D_OUT };
    let mut all = serde_json::Map::new();
    let chosen = |name: &str| only.is_none_or(|text| name.contains(text));
    for entry in fusion::registry()?.iter().filter(|e| chosen(e.name)) {
        let layer = match (entry.build)(&Value::Null, &shape, SeedStream::new(2), &device) {
            Ok(layer) => layer,
            Err(why) => {
                eprintln!("{}: {why}", entry.name);
                continue;
            }
        };
        let mut times = Vec::with_capacity(repeats);
        for repeat in 0..repeats + 2 {
            let begun = Instant::now();
            let loss = layer.forward(&views).powi_scalar(2).mean();
            let mut grads = loss.clone().backward();
            // Everything has to be there before the clock is read.
            for (_, weight) in layer.weights() {
                if let Some(grad) = weight.tensor().grad_remove(&mut grads) {
                    tensor_to_vec(grad.sum()).map_err(|e| anyhow!("{e}"))?;
                }
            }
            if repeat >= 2 {
                times.push(1e3 * begun.elapsed().as_secs_f64());
            }
        }
        times.sort_by(f64::total_cmp);
        eprintln!("{:<16} {:7.1} ms", entry.name, times[repeats / 2]);
        all.insert(entry.name.into(), json!({ "ms": times, "parameters": layer.n_parameters() }));
    }
    std::fs::write(path, serde_json::to_vec_pretty(&all)?)?;
    Ok(())
}
