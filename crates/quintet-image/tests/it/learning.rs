//! Networks over pixels whose weights learn.

use std::path::{Path, PathBuf};

use quintet_core::{Registry, SeedStream};
use quintet_tensor::nn::Tuning;
use quintet_tensor::{Adam, AdamConfig, EncoderEntry, LearnerStart, RawMedia};
use quintet_testkit::check_learner;
use serde_json::{Value, json};

fn entry(name: &str) -> EncoderEntry {
    let mut registry = Registry::new("encoder");
    quintet_image::register(&mut registry).unwrap();
    registry.get(name).unwrap().clone()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks").join(name)
}

#[test]
fn a_small_cnn_learns_from_nothing() {
    let sizes = json!({ "channels": [4, 8], "dim": 5 });
    let params = json!({ "resize": 16, "crop": 16 });
    for device in quintet_testkit::devices() {
        check_learner(&entry("cnn"), (&params, &sizes), Tuning::All, &device);
    }
}

#[test]
fn weights_of_others_learn_further() {
    let lora = Tuning::Lora { rank: 2, alpha: 4.0 };
    let cases = [("resnet", "resnet_hf", Tuning::All), ("vit", "vit_hf", lora)];
    for device in quintet_testkit::devices() {
        for (name, fixture, tuning) in cases {
            let params = json!({ "weights": folder(fixture) });
            check_learner(&entry(name), (&params, &Value::Null), tuning, &device);
        }
    }
}

#[test]
fn a_large_network_does_not_begin_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let device = quintet_tensor::Device::flex().autodiff();
    let resnet = entry("resnet");
    let start = LearnerStart {
        params: &Value::Null,
        sizes: &Value::Null,
        tuning: Tuning::All,
        corpus: &[],
        folder: dir.path(),
        seed: SeedStream::new(1),
        device: &device,
    };
    let refused = (resnet.learn.unwrap())(&start).map(drop).unwrap_err().to_string();
    assert!(refused.contains("weights") && refused.contains("cnn"), "{refused}");
}

/// More pictures than one thread takes at a time when it encodes: their graph is one all the same.
#[test]
fn a_large_batch_has_one_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let device = quintet_tensor::Device::flex().autodiff();
    let media: Vec<RawMedia> = (0..24u8)
        .map(|n| {
            let path = dir.path().join(format!("{n}.png"));
            let ink = |x: u32, y: u32| image::Rgb([n * 9, (x * 16) as u8, (y * 16) as u8]);
            image::RgbImage::from_fn(12, 12, ink).save(&path).unwrap();
            RawMedia::File(path)
        })
        .collect();
    let corpus: Vec<&RawMedia> = media.iter().collect();
    let (params, sizes) =
        (json!({ "resize": 12, "crop": 12 }), json!({ "channels": [4], "dim": 3 }));
    let cnn = entry("cnn");
    let mut learner = (cnn.learn.unwrap())(&LearnerStart {
        params: &params,
        sizes: &sizes,
        tuning: Tuning::All,
        corpus: &[],
        folder: dir.path(),
        seed: SeedStream::new(1),
        device: &device,
    })
    .unwrap();
    assert!(learner.read(&corpus).iter().all(Result::is_ok));
    let places: Vec<u32> = (0..24).collect();
    let mut adam = Adam::new(AdamConfig::new(0.01));
    let mut losses = Vec::new();
    // Nodes that threads lose are lost seldom.
    for _ in 0..400 {
        let off = learner.forward(&places).unwrap() - 1.0;
        let loss = (off.clone() * off).mean();
        losses.push(loss.clone().inner().into_scalar::<f32>());
        adam.step(learner.tuned_mut(), &mut loss.backward());
    }
    assert!(losses[399] < 0.1 * losses[0], "{} to {}", losses[0], losses[399]);
}
