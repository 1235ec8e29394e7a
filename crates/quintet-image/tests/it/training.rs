//! Networks that learn: a small one from nothing, a trained one in part.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData, activation};
use quintet_core::SeedStream;
use quintet_image::{CnnConfig, Network, VitConfig};
use quintet_tensor::nn::{Loader, Maps, Params, Tuned, Tuning};
use quintet_tensor::{Adam, AdamConfig, Layer};

/// Images of upright and of lying stripes, in turns, shifted and of many colours.
fn stripes(images: usize, side: usize, seed: usize, device: &Device) -> (Maps, Vec<usize>) {
    let kinds: Vec<usize> = (0..images).map(|image| image % 2).collect();
    let mut numbers = Vec::new();
    for (image, kind) in kinds.iter().enumerate() {
        for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
            let along = if *kind == 0 { x } else { y };
            let light = ((along + image / 2 + seed) / 2 % 2) as f32;
            let colour =
                |channel: usize| 0.3 + ((image * 5 + channel * 3 + seed) % 7) as f32 / 10.0;
            numbers.extend([0, 1, 2].map(|c| (2.0 * light - 1.0) * colour(c)));
        }
    }
    let x = TensorData::new(numbers, [images * side * side, 3]);
    (Maps::new(Tensor::from_data(x, device), [images, side, side]), kinds)
}

/// Cross-entropy of two columns, and the share of images whose larger one is right.
fn judge(scores: Tensor<2>, kinds: &[usize]) -> (Tensor<1>, f32) {
    let n = kinds.len();
    let right: Vec<f32> =
        kinds.iter().flat_map(|k| [f32::from(*k == 0), f32::from(*k == 1)]).collect();
    let right = Tensor::<2>::from_data(TensorData::new(right, [n, 2]), &scores.device());
    let found = scores.clone().inner().into_data().try_to_vec::<f32>().unwrap();
    let hits = found.chunks(2).zip(kinds).filter(|(s, k)| usize::from(s[1] > s[0]) == **k).count();
    let loss = (activation::log_softmax(scores, 1) * right).sum_dim(1).mean().neg();
    (loss, hits as f32 / n as f32)
}

#[test]
fn a_small_cnn_learns_from_nothing() {
    let device = Device::flex().autodiff();
    let config = CnnConfig { channels: vec![8, 16], dim: 2 };
    let loader = Loader::random(SeedStream::new(1), &device);
    let seed = SeedStream::new(2);
    let mut tuned =
        Tuned::new(loader, |p| config.init(p), Tuning::All, seed, ("cnn", &[])).unwrap();
    let mut adam = Adam::new(AdamConfig::new(0.01));
    let (images, kinds) = stripes(64, 12, 0, &device);
    let mut losses = Vec::new();
    for _ in 0..60 {
        let network = config.init(&tuned.loader().root());
        let (loss, _) = judge(network.forward(images.clone()), &kinds);
        losses.push(loss.clone().inner().into_scalar::<f32>());
        adam.step(&mut tuned, &mut loss.backward());
    }
    assert!(losses[59] < losses[0] / 5.0, "{} to {}", losses[0], losses[59]);
    // What was learned holds for other images, and in the file.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    tuned.save(&path).unwrap();
    let plain = Device::flex();
    let loader = Loader::open(&path, &plain).unwrap();
    let network = config.init(&loader.root());
    loader.finish("cnn", &[]).unwrap();
    let (images, kinds) = stripes(40, 12, 3, &plain);
    let (_, right) = judge(network.forward(images), &kinds);
    assert!(right > 0.9, "{right} of the other images");
}

fn vit() -> (PathBuf, VitConfig) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/networks/vit_hf");
    let json = std::fs::File::open(folder.join("config.json")).unwrap();
    let config = VitConfig::of_json(&serde_json::from_reader(json).unwrap()).unwrap();
    (folder.join("model.safetensors"), config)
}

#[test]
fn a_trained_transformer_learns_in_its_last_block_or_beside() {
    let device = Device::flex().autodiff();
    let (path, config) = vit();
    let init = |params: &Params| config.init(params, 4);
    let (images, kinds) = stripes(8, 32, 0, &device);
    let last = Tuning::LastBlocks(1);
    for tuning in [last, Tuning::Lora { rank: 4, alpha: 8.0 }] {
        let loader = Loader::open(&path, &device).unwrap();
        let seed = SeedStream::new(5);
        let mut tuned = Tuned::new(loader, init, tuning, seed, ("vit", &["pooler."])).unwrap();
        let names: Vec<String> = tuned.weights().into_iter().map(|(name, _)| name).collect();
        if tuning == last {
            let open = |name: &String| {
                name.starts_with("encoder.layer.1") || name.starts_with("layernorm")
            };
            assert!(names.iter().all(open) && names.len() == 18, "{names:?}");
        } else {
            assert!(names.iter().all(|n| n.contains(".lora_")) && names.len() == 24, "{names:?}");
        }
        let mut adam = Adam::new(AdamConfig::new(0.01));
        let mut losses = Vec::new();
        for _ in 0..40 {
            let vectors = init(&tuned.loader().root()).forward(images.clone());
            let (loss, _) = judge(vectors.narrow(1, 0, 2), &kinds);
            losses.push(loss.clone().inner().into_scalar::<f32>());
            adam.step(&mut tuned, &mut loss.backward());
        }
        assert!(losses[39] < losses[0] / 5.0, "{tuning:?}: {} to {}", losses[0], losses[39]);
    }
}
