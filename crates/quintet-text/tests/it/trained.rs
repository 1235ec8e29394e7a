//! Small networks over words with trained weights, beside what PyTorch makes of the same texts.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use quintet_core::{Registry, SeedStream};
use quintet_tensor::{EncodeError, EncoderEntry, RawMedia, WeightError};
use serde::Deserialize;
use serde_json::{Value, json};

/// Folder and encoder.
const CASES: [(&str, &str); 7] = [
    ("textcnn", "textcnn"),
    ("textcnn-projection", "textcnn"),
    ("bilstm", "bilstm"),
    ("bilstm-projection", "bilstm"),
    ("gru", "gru"),
    ("gru-both", "gru"),
    ("bag", "bag"),
];

#[derive(Deserialize)]
struct Expected {
    text: String,
    vector: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch_tiny").join(name)
}

fn entry(name: &str) -> EncoderEntry {
    let mut registry = Registry::new("encoder");
    quintet_text::register(&mut registry).unwrap();
    registry.get(name).unwrap().clone()
}

fn expected(name: &str) -> Vec<Expected> {
    let file = std::fs::File::open(folder(name).join("expected.json")).unwrap();
    serde_json::from_reader(file).unwrap()
}

/// The vectors of texts, all in one batch.
fn encode(name: &str, params: &Value, texts: &[&str], device: &Device) -> Vec<Vec<f32>> {
    let spec = (entry(name).build)(params).unwrap();
    let encoder = spec.fit(&[], SeedStream::new(1), device).unwrap();
    let media: Vec<RawMedia> = texts.iter().map(|t| RawMedia::Text((*t).into())).collect();
    let media: Vec<&RawMedia> = media.iter().collect();
    encoder.encode(&media, device).into_iter().map(Result::unwrap).collect()
}

fn refusal(name: &str, params: &Value) -> EncodeError {
    let fit = |spec: Box<dyn quintet_tensor::EncoderSpec>| {
        spec.fit(&[], SeedStream::new(1), &Device::flex()).map(|_| ())
    };
    (entry(name).build)(params).and_then(fit).unwrap_err()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-4 + 1e-3 * e.abs(), "{what}: {f} for {e}");
    }
}

#[test]
fn every_text_has_the_vector_that_the_reference_gives_it() {
    // The portable form runs on other devices than flex.
    let mut devices = quintet_testkit::devices();
    devices.push(Device::flex().autodiff());
    for device in devices {
        for (case, name) in CASES {
            let expected = expected(case);
            let texts: Vec<&str> = expected.iter().map(|e| e.text.as_str()).collect();
            let found = encode(name, &json!({ "weights": folder(case) }), &texts, &device);
            for (found, e) in found.iter().zip(&expected) {
                close(found, &e.vector, &format!("{case} on {device:?}: {}", e.text));
            }
        }
    }
}

#[test]
fn word_vectors_as_text_are_those_of_the_folder() {
    let expected = expected("bag");
    let texts: Vec<&str> = expected.iter().map(|e| e.text.as_str()).collect();
    let params = json!({ "weights": folder("bag").join("vectors.txt") });
    for (found, e) in encode("bag", &params, &texts, &Device::flex()).iter().zip(&expected) {
        close(found, &e.vector, &e.text);
    }
    let params = json!({ "weights": folder("bag"), "pooling": "max", "normalise": true });
    let max = encode("bag", &params, &["boat", "the boat", "boat boat"], &Device::flex());
    close(&max[0], &max[2], "the same word twice");
    assert!(max[0].iter().zip(&max[1]).any(|(a, b)| (a - b).abs() > 1e-3));
    assert!((max[1].iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn the_contract_of_encoders() {
    for device in quintet_testkit::devices() {
        for (case, name) in CASES {
            let params = json!({ "weights": folder(case) });
            quintet_testkit::check_encoder_with(&entry(name), &params, &device);
        }
    }
}

#[test]
fn long_texts_are_cut_and_unknown_ones_refused() {
    let long = "the small boat sails to the islands ".repeat(100);
    let params = json!({ "weights": folder("gru"), "max_tokens": 5 });
    let cut = encode("gru", &params, &[&long, "the small boat sails to"], &Device::flex());
    close(&cut[0], &cut[1], "cut");
    let spec = (entry("gru").build)(&params).unwrap();
    let encoder = spec.fit(&[], SeedStream::new(1), &Device::flex()).unwrap();
    let unknown = RawMedia::Text("submarine periscope".to_owned());
    let error = encoder.encode(&[&unknown], &Device::flex()).swap_remove(0).unwrap_err();
    assert!(error.to_string().contains("2 words that are not in the vocabulary"), "{error}");
}

#[test]
fn folders_that_do_not_fit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let params = json!({ "weights": dir.path() });
    let files = ["config.json", "model.safetensors", "vocab.txt"];
    for file in files {
        std::fs::copy(folder("bilstm").join(file), dir.path().join(file)).unwrap();
    }
    let with = |file: &str, from: &str, to: &str| {
        let path = dir.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = refusal("bilstm", &params);
        std::fs::write(&path, text).unwrap();
        error
    };
    let layers = with("config.json", "\"num_layers\": 2", "\"num_layers\": 3");
    let EncodeError::Weights(WeightError::Keys { missing, .. }) = &layers else {
        panic!("{layers:?}");
    };
    assert_eq!(missing.len(), 8);
    assert!(missing.contains(&"lstm.weight_ih_l2_reverse".to_owned()), "{missing:?}");
    let message = |from: &str, to: &str| with("config.json", from, to).to_string();
    let wide = message("\"hidden_size\": 9", "\"hidden_size\": 8");
    assert!(wide.contains("lstm.weight_ih_l0 (expected [32, 10], found [36, 10])"), "{wide}");
    // Sizes that no memory holds.
    let huge = message("\"hidden_size\": 9", "\"hidden_size\": 16000000");
    assert!(huge.contains("misshapen"), "{huge}");
    let beyond = message("\"hidden_size\": 9", "\"hidden_size\": 16000000000");
    assert!(beyond.contains("hidden_size is 1 to 16777216"), "{beyond}");
    assert!(message("\"bilstm\"", "\"gru\"").contains("model_type: expected \"bilstm\""));
    assert!(message("num_layers", "n_layers").contains("unknown field `n_layers`"));
    assert!(message("\"last\"", "\"first\"").contains("unknown variant `first`"));
    let more = with("vocab.txt", "<pad>", "<pad>\nmore").to_string();
    assert!(more.contains("ids for a network of"), "{more}");
    std::fs::remove_file(dir.path().join("vocab.txt")).unwrap();
    assert!(refusal("bilstm", &params).to_string().contains("tokenizer.json or vocab.txt"));
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(refusal("bilstm", &params).to_string().contains("model.safetensors"));
}

#[test]
fn filters_of_any_size_are_refused_before_memory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "vocab.txt"] {
        std::fs::copy(folder("textcnn").join(file), dir.path().join(file)).unwrap();
    }
    let config = std::fs::read_to_string(folder("textcnn").join("config.json")).unwrap();
    let of = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        std::fs::write(dir.path().join("config.json"), config.replace(from, to)).unwrap();
        refusal("textcnn", &json!({ "weights": dir.path() })).to_string()
    };
    let huge = of("\"num_filters\": 7", "\"num_filters\": 16000000");
    assert!(
        huge.contains("convs.0.weight (expected [16000000, 12, 2], found [7, 12, 2])"),
        "{huge}"
    );
    let table = of("\"embedding_dim\": 12", "\"embedding_dim\": 16000000");
    assert!(table.contains("embedding.weight"), "{table}");
    assert!(of("\"num_filters\": 7", "\"num_filters\": 0").contains("num_filters is 1 to"));
    std::fs::write(dir.path().join("config.json"), "{\"vocab_size\": 5").unwrap();
    let broken = refusal("textcnn", &json!({ "weights": dir.path() })).to_string();
    assert!(broken.contains("config.json"), "{broken}");
}

#[test]
fn damaged_word_vectors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("glove.txt");
    let text = std::fs::read_to_string(folder("bag").join("vectors.txt")).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let params = json!({ "weights": path });
    let cut = refusal("bag", &params).to_string();
    assert!(cut.contains("glove.txt: corrupt") && cut.contains(" in line "), "{cut}");
    let other = json!({ "weights": folder("gru") });
    let own = encode("bag", &other, &["boat", "the sea"], &Device::flex());
    // The table of another network serves as well; one without a table does not.
    assert_eq!((own.len(), own[0].len()), (2, 10));
    assert!(refusal("bag", &json!({ "weights": dir.path() })).to_string().contains("safetensors"));
    let hash = json!({ "weights": folder("bag"), "weights_blake3": "00" });
    assert!(refusal("bag", &hash).to_string().contains("expected blake3 00"));
}
