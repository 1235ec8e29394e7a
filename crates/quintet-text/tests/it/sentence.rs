//! Modules of sentence-transformers after the pooling.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use quintet_tensor::Encoder;
use quintet_text::{PretrainedText, PretrainedTextConfig};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Expected {
    text: String,
    vector: Vec<f32>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentence_tiny")
}

fn config(folder: &Path) -> PretrainedTextConfig {
    serde_json::from_value(json!({ "weights": folder })).unwrap()
}

fn vector(encoder: &PretrainedText, text: &str) -> Vec<f32> {
    let prepared = [encoder.prepare(text).unwrap()];
    let vector = encoder.forward(&prepared, &Device::flex()).unwrap();
    vector.into_data().try_to_vec::<f32>().unwrap()
}

#[test]
fn linear_layers_after_the_pooling_give_the_vectors_of_the_reference() {
    let expected = std::fs::File::open(folder().join("expected.json")).unwrap();
    let expected: Vec<Expected> = serde_json::from_reader(expected).unwrap();
    let encoder = PretrainedText::open(&config(&folder()), &Device::flex()).unwrap();
    assert_eq!(encoder.info().dim, 6);
    let free = PretrainedTextConfig { normalise: Some(false), ..config(&folder()) };
    let free = PretrainedText::open(&free, &Device::flex()).unwrap();
    for e in &expected {
        let found = vector(&encoder, &e.text);
        for (f, e) in found.iter().zip(&e.vector) {
            assert!((f - e).abs() <= 1e-4 + 1e-3 * e.abs(), "{f} for {e}");
        }
        // Without the last module only the length differs.
        let long = vector(&free, &e.text);
        let length = long.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() > 1e-3);
        assert!(long.iter().zip(&found).all(|(l, f)| (l / length - f).abs() < 1e-5));
    }
}

#[test]
fn modules_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors", "modules.json"] {
        std::fs::copy(folder().join(file), dir.path().join(file)).unwrap();
    }
    for module in ["1_Pooling", "2_Dense", "3_Dense"] {
        std::fs::create_dir(dir.path().join(module)).unwrap();
        for file in std::fs::read_dir(folder().join(module)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(module).join(file.file_name())).unwrap();
        }
    }
    let open = |file: &str, from: &str, to: &str| {
        let path = dir.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let done = PretrainedText::open(&config(dir.path()), &Device::flex()).map(|_| ());
        std::fs::write(&path, text).unwrap();
        done.unwrap_err().to_string()
    };
    let activation = open("2_Dense/config.json", "activation.Tanh", "activation.Mish");
    assert!(activation.contains("2_Dense") && activation.contains("Mish"), "{activation}");
    let shape = open("3_Dense/config.json", "\"out_features\": 6", "\"out_features\": 7");
    assert!(shape.contains("linear.weight (expected [7, 10], found [6, 10])"), "{shape}");
    let order = open("modules.json", "2_Dense", "3_Dense");
    assert!(order.contains("in_features: expected 24, found 10"), "{order}");
    let outside = open("modules.json", "2_Dense", "../2_Dense");
    assert!(outside.contains("within the folder"), "{outside}");
    let kind = open("modules.json", "dense.Dense", "cnn.CNN");
    assert!(kind.contains("Dense and Normalize") && kind.contains("cnn.CNN"), "{kind}");
}
