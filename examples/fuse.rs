//! A fusion layer at work: several modalities to one vector an item, with absence as data.
//!
//! Four items: one has text and an image, one text alone, one an image alone, one nothing. The
//! shares say which modality the vector comes from. What lies in the rows of an absent modality
//! is never read. `cargo run --example fuse`
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use burn::tensor::{Tensor, TensorData};
use quintet::Registries;
use quintet::core::{FeatureSet, Matrix, Modality, ModalityFeatures, SeedStream};
use quintet::tensor::{DeviceChoice, FusionShape, Views, open_device, tensor_to_vec};
use serde_json::{Value, json};

const ITEMS: [&str; 4] = ["text and image", "text alone", "image alone", "nothing"];

fn main() -> anyhow::Result<()> {
    let device = open_device(DeviceChoice::Auto)?.device;
    let known = Registries::new()?;
    println!("fusion layers: {}", known.fusions.names().collect::<Vec<_>>().join(", "));

    let features = features()?;
    let shape = FusionShape {
        modalities: features.iter().map(|f| (f.modality, f.dim())).collect(),
        d_out: 3,
    };
    // A batch in any order of items; here all of them in theirs.
    let views = Views::gather(&features, &[0, 1, 2, 3], &device);
    let spoiled = spoil(&views)?;

    for (name, params) in [
        ("weighted", json!({ "weights": { "text": 1.0, "image": 3.0 } })),
        ("gated", Value::Null),
        ("concat", Value::Null),
    ] {
        let layer = (known.fusions.get(name)?.build)(&params, &shape, SeedStream::new(5), &device)?;
        let fused = tensor_to_vec(layer.forward(&views)).map_err(anyhow::Error::msg)?;
        let shares = tensor_to_vec(layer.shares(&views)).map_err(anyhow::Error::msg)?;
        println!(
            "\n{name} {params}, shares are {}\n{:<16}{:>7}{:>7}   fused vector",
            layer.share_kind(),
            "",
            "text",
            "image"
        );
        for (i, item) in ITEMS.iter().enumerate() {
            let share = format!("{:>7.2}{:>7.2}", shares[i * 2], shares[i * 2 + 1]);
            let vector: Vec<String> =
                fused[i * 3..i * 3 + 3].iter().map(|v| format!("{v:>6.2}")).collect();
            println!("{item:<16}{share}   [{}]", vector.join(" "));
        }

        // Every mask gives finite numbers, also the empty one.
        anyhow::ensure!(fused.iter().all(|v| v.is_finite()), "{name}: a number is not finite");
        // NaN in the rows of absent modalities changes no bit.
        let again = tensor_to_vec(layer.forward(&spoiled)).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(fused == again, "{name} reads rows of absent modalities");
        // Shares sum to 1 over what is there, and to 0 where nothing is.
        for (i, row) in shares.chunks_exact(2).enumerate() {
            let expected = if i == 3 { 0.0 } else { 1.0 };
            anyhow::ensure!((row[0] + row[1] - expected).abs() < 1e-5, "{name}: {row:?}");
        }
    }
    println!("\nWith NaN in place of every absent row, all vectors stayed the same, bit by bit.");
    Ok(())
}

/// Text vectors of width 4 and image vectors of width 3, each with its presence mask.
fn features() -> anyhow::Result<FeatureSet> {
    let rows = |cols: usize, step: f32| {
        let wave = (0..ITEMS.len() * cols).map(|i| (i as f32 * step).sin()).collect();
        Matrix::from_vec(ITEMS.len(), cols, wave)
    };
    let mut set = FeatureSet::new(ITEMS.len());
    let has_text = vec![true, true, false, false];
    let has_image = vec![true, false, true, false];
    set.push(ModalityFeatures::new(Modality::Text, rows(4, 1.3)?, has_text)?)?;
    set.push(ModalityFeatures::new(Modality::Image, rows(3, 2.1)?, has_image)?)?;
    Ok(set)
}

/// The same views with NaN in every row that the mask calls absent.
fn spoil(views: &Views) -> anyhow::Result<Views> {
    let n = views.modalities.len();
    let mask = tensor_to_vec(views.mask.clone()).map_err(anyhow::Error::msg)?;
    let mut features = Vec::new();
    for (m, block) in views.features.iter().enumerate() {
        let [batch, dim] = block.dims();
        let mut data = tensor_to_vec(block.clone()).map_err(anyhow::Error::msg)?;
        for (row, values) in data.chunks_exact_mut(dim).enumerate() {
            if mask[row * n + m] == 0.0 {
                values.fill(f32::NAN);
            }
        }
        features.push(Tensor::from_data(TensorData::new(data, [batch, dim]), &block.device()));
    }
    Ok(Views::new(views.modalities.clone(), features, views.mask.clone()))
}
