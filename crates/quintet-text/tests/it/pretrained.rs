//! Networks with weights of others, beside what the reference makes of the same texts.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use quintet_core::{Registry, SeedStream};
use quintet_tensor::nn::{Loader, Precision};
use quintet_tensor::{EncodeError, Encoder, EncoderEntry, RawMedia, WeightError};
use quintet_text::{
    BertConfig, Gpt2Config, LongText, Pooling, PretrainedText, PretrainedTextConfig,
    TokenizerConfig,
};
use serde::Deserialize;
use serde_json::json;
use tokenizers::Tokenizer;
use unicode_normalization::UnicodeNormalization;

const NAMES: [&str; 5] = ["bert", "distilbert", "electra", "roberta", "gpt2"];

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<u32>,
    /// `[tokens, dim]`.
    hidden: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transformers_tiny").join(name)
}

fn read<T: serde::de::DeserializeOwned>(path: PathBuf) -> T {
    serde_json::from_reader(std::fs::File::open(path).unwrap()).unwrap()
}

fn config(name: &str) -> PretrainedTextConfig {
    serde_json::from_value(json!({ "weights": folder(name) })).unwrap()
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-4 + 1e-3 * e.abs(), "{what}: {f} for {e}");
    }
}

#[test]
fn a_small_bert_starts_from_drawn_arrays() {
    let device = Device::flex();
    let tiny = BertConfig::small(1_000, 2, 128);
    tiny.validate().unwrap();
    let network = tiny.init(&Loader::random(SeedStream::new(1), &device).root());
    let states = network.forward(&[5, 7, 5], &[2, 1], &device);
    assert_eq!((states.dims(), network.dim()), ([3, 128], 128));
    // The sequence and the position have a say.
    let states = states.into_data().try_to_vec::<f32>().unwrap();
    assert!(states[..128].iter().zip(&states[256..]).any(|(a, b)| (a - b).abs() > 1e-3));
    // Fewer than 64 places make no head.
    assert!(BertConfig::small(1_000, 2, 32).validate().is_err());
}

/// Ids and lengths of sequences to the states of their tokens.
type Run = Box<dyn Fn(&[u32], &[usize]) -> Tensor<2>>;

#[test]
fn every_token_has_the_state_that_the_reference_gives_it() {
    for device in quintet_testkit::devices() {
        for name in NAMES {
            let expected: Vec<Expected> = read(folder(name).join("expected.json"));
            let loader = Loader::open(&folder(name).join("model.safetensors"), &device).unwrap();
            let json = folder(name).join("config.json");
            let there = device.clone();
            let run: Run = if name == "gpt2" {
                let network = read::<Gpt2Config>(json).init(&loader.root());
                Box::new(move |ids, lengths| network.forward(ids, lengths, &there))
            } else {
                let network = read::<BertConfig>(json).init(&loader.root());
                Box::new(move |ids, lengths| network.forward(ids, lengths, &there))
            };
            loader.finish(name, &["pooler."]).unwrap();
            // All texts at once, one after the other.
            let ids: Vec<u32> = expected.iter().flat_map(|e| e.ids.clone()).collect();
            let lengths: Vec<usize> = expected.iter().map(|e| e.ids.len()).collect();
            let hidden = run(&ids, &lengths);
            let hidden = hidden.into_data().convert::<f32>().try_to_vec::<f32>().unwrap();
            let want: Vec<f32> = expected.iter().flat_map(|e| e.hidden.clone()).collect();
            close(&hidden, &want, &format!("{name} on {device:?}"));
        }
    }
}

#[test]
fn a_text_becomes_the_mean_of_its_tokens_or_what_is_asked_for() {
    for name in NAMES {
        let expected: Vec<Expected> = read(folder(name).join("expected.json"));
        let mean = PretrainedTextConfig { pooling: Some(Pooling::Mean), ..config(name) };
        let encoder = PretrainedText::open(&mean, &Device::flex()).unwrap();
        let dim = encoder.info().dim;
        let cls = PretrainedTextConfig {
            pooling: Some(Pooling::Cls),
            normalise: Some(true),
            ..config(name)
        };
        let cls = PretrainedText::open(&cls, &Device::flex()).unwrap();
        for e in &expected {
            let vector = |encoder: &PretrainedText| {
                let prepared = [encoder.prepare(&e.text).unwrap()];
                let vector = encoder.forward(&prepared, &Device::flex()).unwrap();
                vector.into_data().try_to_vec::<f32>().unwrap()
            };
            let tokens = e.hidden.len() / dim;
            let mean: Vec<f32> = (0..dim)
                .map(|c| (0..tokens).map(|t| e.hidden[t * dim + c]).sum::<f32>() / tokens as f32)
                .collect();
            close(&vector(&encoder), &mean, &format!("{name}: {}", e.text));
            let length = e.hidden[..dim].iter().map(|x| x * x).sum::<f32>().sqrt();
            let first: Vec<f32> = e.hidden[..dim].iter().map(|x| x / length).collect();
            close(&vector(&cls), &first, &format!("{name}, first token: {}", e.text));
        }
    }
}

fn entry() -> EncoderEntry {
    let mut registry = Registry::new("encoder");
    quintet_text::register(&mut registry).unwrap();
    registry.get("bert").unwrap().clone()
}

#[test]
fn the_contract_of_encoders() {
    for device in quintet_testkit::devices() {
        for name in NAMES {
            let params = json!({ "weights": folder(name) });
            quintet_testkit::check_encoder_with(&entry(), &params, &device);
        }
    }
}

#[test]
fn a_long_text_is_cut_or_read_in_windows() {
    let text = "a small boat sails to the islands and back again ".repeat(30);
    let of = |long, max_tokens: Option<usize>, text: &str| {
        let config = PretrainedTextConfig { long, max_tokens, ..config("bert") };
        let encoder = PretrainedText::open(&config, &Device::flex()).unwrap();
        let prepared = [encoder.prepare(text).unwrap()];
        let vector = encoder.forward(&prepared, &Device::flex()).unwrap();
        vector.into_data().try_to_vec::<f32>().unwrap()
    };
    let cut = of(LongText::Truncate, Some(20), &text);
    // What comes after the 18 tokens that fit has no say.
    close(&cut, &of(LongText::Truncate, Some(20), &format!("{text} secret")), "cut");
    let windows = of(LongText::Windows, Some(20), &text);
    assert!(cut.iter().zip(&windows).any(|(a, b)| (a - b).abs() > 1e-3));
    // A text that fits is one window.
    let short = "a small boat";
    let one = of(LongText::Windows, Some(20), short);
    close(&one, &of(LongText::Truncate, None, short), "short");
}

#[test]
fn weights_that_do_not_fit_are_one_error_that_lists_them() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "model.safetensors"] {
        std::fs::copy(folder("bert").join(file), dir.path().join(file)).unwrap();
    }
    let text = std::fs::read_to_string(folder("bert").join("config.json")).unwrap();
    let open = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(dir.path().join("config.json"), text.replace(from, to)).unwrap();
        let config = serde_json::from_value(json!({ "weights": dir.path() })).unwrap();
        PretrainedText::open(&config, &Device::flex()).map(|_| ()).unwrap_err()
    };
    let more = open("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    let EncodeError::Weights(WeightError::Keys { missing, unexpected, .. }) = &more else {
        panic!("{more:?}");
    };
    assert_eq!((missing.len(), unexpected.len()), (16, 0));
    assert!(more.to_string().contains("encoder.layer.2.attention.self.query.weight"), "{more}");
    let fewer = open("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1").to_string();
    assert!(fewer.contains("unexpected encoder.layer.1.") && fewer.contains("4 more"), "{fewer}");
    let wide = open("\"intermediate_size\": 40", "\"intermediate_size\": 41").to_string();
    let shapes = "intermediate.dense.weight (expected [41, 24], found [40, 24])";
    assert!(wide.contains(shapes), "{wide}");
    // Sizes that no memory holds are refused like any others.
    let huge = open("\"hidden_size\": 24", "\"hidden_size\": 1200000000").to_string();
    assert!(huge.contains("misshapen") && huge.contains("[1200000000, 1200000000]"), "{huge}");
    let deep = open("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000000").to_string();
    assert!(deep.contains("at most 1000, found 2000000000"), "{deep}");
    let heads = open("\"num_attention_heads\": 3", "\"num_attention_heads\": 5").to_string();
    assert!(heads.contains("config.json") && heads.contains("multiple"), "{heads}");
    let act = open("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"swish\"").to_string();
    assert!(act.contains("swish") && act.contains("gelu_new"), "{act}");
}

#[test]
fn files_and_parameters_that_are_not_there_are_named() {
    let build = |params: serde_json::Value| (entry().build)(&params).map(|_| ()).unwrap_err();
    assert!(build(json!({})).to_string().contains("config.json, tokenizer.json"));
    assert!(build(json!({ "weights": "no/such" })).to_string().contains("no/such"));
    let hash = json!({ "weights": folder("bert"), "weights_blake3": "00" });
    assert!(build(hash).to_string().contains("expected blake3 00"));
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder("bert").join(file), dir.path().join(file)).unwrap();
    }
    let spec = (entry().build)(&json!({ "weights": dir.path() })).unwrap();
    let text = RawMedia::Text("boat".to_owned());
    let error = spec.fit(&[&text], SeedStream::new(1), &Device::flex()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}

#[test]
fn a_thousand_strings_have_the_same_words_in_every_normal_form() {
    type Hash = (usize, String);
    let rows: Vec<(String, Hash, Hash)> = read(folder("strings.json"));
    let config = TokenizerConfig { stop_words: false, ..TokenizerConfig::default() };
    let words = quintet_text::Tokenizer::new(&config).unwrap();
    for (text, _, _) in &rows {
        let composed = words.words(&text.nfc().collect::<String>());
        assert_eq!(composed, words.words(&text.nfd().collect::<String>()), "{text:?}");
        // A word is one word of itself in small letters.
        let again: Vec<String> = composed.iter().flat_map(|word| words.words(word)).collect();
        assert_eq!(composed, again, "{text:?}");
    }
}

#[test]
fn a_thousand_strings_of_every_kind_have_the_token_ids_of_the_reference() {
    type Hash = (usize, String);
    let rows: Vec<(String, Hash, Hash)> = read(folder("strings.json"));
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().any(|row| row.0.chars().count() >= 10_000));
    let tokens = |name: &str| Tokenizer::from_file(folder(name).join("tokenizer.json")).unwrap();
    // GPT-2 has the tokenizer of RoBERTa with nothing around it: the hash is of that.
    let (pieces, bytes) = (tokens("bert"), tokens("gpt2"));
    for (text, as_pieces, as_bytes) in &rows {
        for (tokenizer, want) in [(&pieces, as_pieces), (&bytes, as_bytes)] {
            let encoding = tokenizer.encode_fast(text.as_str(), true).unwrap();
            let modulus = (1u128 << 61) - 1;
            let hash = |hash: u128, id: &u32| (hash * 1_000_003 + u128::from(*id) + 1) % modulus;
            let found = encoding.get_ids().iter().fold(0, hash);
            assert_eq!((encoding.len(), found.to_string()), *want, "{text:?}");
        }
    }
}

#[test]
fn fewer_bits_give_nearly_the_same_vectors() {
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let kinds = [(Precision::F16, 0.999_999), (Precision::Bf16, 0.9999), (Precision::Int8, 0.995)];
    for name in NAMES {
        let texts: Vec<Expected> = read(folder(name).join("expected.json"));
        let vectors = |precision| {
            let config = PretrainedTextConfig { precision, ..config(name) };
            let encoder = PretrainedText::open(&config, &Device::flex()).unwrap();
            let prepared: Vec<_> =
                texts.iter().map(|t| encoder.prepare(&t.text).unwrap()).collect();
            let vectors = encoder.forward(&prepared, &Device::flex()).unwrap();
            vectors.into_data().try_to_vec::<f32>().unwrap()
        };
        let whole = vectors(Precision::F32);
        let dim = whole.len() / texts.len();
        for (precision, least) in kinds {
            let fewer = vectors(precision);
            assert_ne!(whole, fewer, "{name}, {precision:?}");
            for (a, b) in whole.chunks(dim).zip(fewer.chunks(dim)) {
                assert!(cosine(a, b) > least, "{name}, {precision:?}: {}", cosine(a, b));
            }
        }
    }
}
