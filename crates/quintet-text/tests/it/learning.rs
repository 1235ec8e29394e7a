//! Encoders of texts whose weights learn.

use std::path::{Path, PathBuf};

use quintet_core::{Registry, SeedStream};
use quintet_tensor::nn::Tuning;
use quintet_tensor::{Adam, AdamConfig, EncoderEntry, LearnerStart, RawMedia};
use quintet_testkit::check_learner;
use serde_json::{Value, json};

fn entry(name: &str) -> EncoderEntry {
    let mut registry = Registry::new("encoder");
    quintet_text::register(&mut registry).unwrap();
    registry.get(name).unwrap().clone()
}

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

#[test]
fn small_networks_learn_from_nothing() {
    let cases = [
        ("textcnn", json!({ "embedding_dim": 8, "num_filters": 4, "projection_dim": 6 })),
        ("gru", json!({ "embedding_dim": 8, "hidden_size": 6, "max_words": 40 })),
        ("bilstm", json!({ "embedding_dim": 8, "hidden_size": 4 })),
    ];
    for device in quintet_testkit::devices() {
        for (name, sizes) in &cases {
            let params = json!({ "normalise": false });
            check_learner(&entry(name), (&params, sizes), Tuning::All, &device);
        }
    }
}

#[test]
fn weights_of_others_learn_further() {
    let lora = Tuning::Lora { rank: 2, alpha: 4.0 };
    for device in quintet_testkit::devices() {
        for (name, tuning) in [("bert", Tuning::All), ("distilbert", lora), ("gpt2", lora)] {
            let params = json!({ "weights": fixtures("transformers_tiny").join(name) });
            check_learner(&entry("bert"), (&params, &Value::Null), tuning, &device);
        }
    }
}

#[test]
fn a_dense_layer_after_pooling_is_kept() {
    let params = json!({ "weights": fixtures("sentence_tiny") });
    let device = quintet_tensor::Device::flex();
    check_learner(&entry("bert"), (&params, &Value::Null), Tuning::LastBlocks(1), &device);
}

/// So many tokens that they go through the network in several groups, which make one graph.
#[test]
fn a_large_batch_has_one_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let device = quintet_tensor::Device::flex().autodiff();
    let word = |n: usize| ["boat", "sea", "island", "harbour", "wind"][n % 5];
    let text = |n: usize| (0..500).map(|at| word(n + at * (n % 3 + 1))).collect::<Vec<_>>();
    let texts: Vec<RawMedia> = (0..40).map(|n| RawMedia::Text(text(n).join(" "))).collect();
    let corpus: Vec<&RawMedia> = texts.iter().collect();
    let sizes = json!({ "embedding_dim": 4, "num_filters": 16, "kernel_sizes": [2] });
    let textcnn = entry("textcnn");
    let mut learner = (textcnn.learn.unwrap())(&LearnerStart {
        params: &Value::Null,
        sizes: &sizes,
        tuning: Tuning::All,
        corpus: &corpus,
        folder: dir.path(),
        seed: SeedStream::new(1),
        device: &device,
    })
    .unwrap();
    assert!(learner.read(&corpus).iter().all(Result::is_ok));
    let places: Vec<u32> = (0..40).collect();
    let mut adam = Adam::new(AdamConfig::new(0.05));
    let mut losses = Vec::new();
    for _ in 0..5 {
        let vectors = learner.forward(&places).unwrap();
        let off = vectors - 1.0;
        let loss = (off.clone() * off).mean();
        losses.push(loss.clone().inner().into_scalar::<f32>());
        adam.step(learner.tuned_mut(), &mut loss.backward());
    }
    assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
}
