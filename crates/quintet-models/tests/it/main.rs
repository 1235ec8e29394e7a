//! Every registered model on every device, through the contract suite.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use quintet_core::Registry;
use quintet_testkit::{check_recommender, devices};

#[test]
fn every_model_keeps_the_contract_on_every_device() {
    let mut registry = Registry::new("model");
    quintet_models::register(&mut registry).unwrap();
    for device in devices() {
        for entry in registry.iter() {
            check_recommender(entry, &device);
        }
    }
}

/// Every way of training that the models over graphs share, through one of them.
#[test]
fn other_ways_of_training_keep_the_contract() {
    let mut registry = Registry::new("model");
    quintet_models::register(&mut registry).unwrap();
    let base = r#"{"dim": 8, "k": 5, "edge_dropout": 0.2, "lr": 0.03, "batch_size": 256, "#;
    for (name, optimiser) in [
        ("adamw", r#"{"kind": "adam_w", "weight_decay": 0.01, "clip_norm": 0.5}"#),
        ("adagrad", r#"{"kind": "adagrad", "schedule": {"linear": {"epochs": 40, "floor": 0.5}}}"#),
        ("mean", r#"{"ema": 0.8, "accumulate": 2}"#),
        ("mirror", r#"{"mirror": {"every": 2, "back": 0.1}}"#),
    ] {
        let entry = registry.get("freedom").unwrap();
        let tiny = format!("{base}\"optimiser\": {optimiser}}}");
        let tiny: &'static str = Box::leak(tiny.into_boxed_str());
        eprintln!("{name}");
        check_recommender(&quintet_tensor::ModelEntry { tiny, ..entry.clone() }, &devices()[0]);
    }
}
