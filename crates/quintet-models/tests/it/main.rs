//! Every registered model on every device, through the contract suite.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use quintet_core::{Matrix, Recommender, Registry, SeedStream, UserIdx};
use quintet_tensor::{Device, FitContext, ModelEntry};
use quintet_testkit::{World, check_recommender, devices, fit_all};

fn registry() -> Registry<ModelEntry> {
    let mut registry = Registry::new("model");
    quintet_models::register(&mut registry).unwrap();
    registry
}

#[test]
fn every_model_keeps_the_contract_on_every_device() {
    let registry = registry();
    for device in devices() {
        for entry in registry.iter() {
            check_recommender(entry, &device);
        }
    }
}

/// Every way of training that the models over graphs share, through one of them.
#[test]
fn other_ways_of_training_keep_the_contract() {
    let registry = registry();
    let base = r#"{"dim": 8, "k": 5, "edge_dropout": 0.2, "lr": 0.03, "batch_size": 256, "#;
    for way in [
        r#""optimiser": {"kind": "adam_w", "weight_decay": 0.01, "clip_norm": 0.5}"#,
        r#""optimiser": {"kind": "adagrad", "schedule": {"linear": {"epochs": 40, "floor": 0.5}}}"#,
        r#""optimiser": {"ema": 0.8, "accumulate": 2}"#,
        r#""optimiser": {"mirror": {"every": 2, "back": 0.1}}"#,
        r#""adversarial": {"epsilon": 0.05, "weight": 0.5}"#,
        r#""truncate": {"share": 0.1, "warmup": 5}"#,
    ] {
        let entry = registry.get("freedom").unwrap();
        let tiny = format!("{base}{way}}}");
        let tiny: &'static str = Box::leak(tiny.into_boxed_str());
        check_recommender(&ModelEntry { tiny, ..entry.clone() }, &Device::flex());
    }
}

/// Heads for kinds of events, weighed and served in every way, and losses for noisy events.
#[test]
fn tasks_and_robust_losses_keep_the_contract() {
    let registry = registry();
    let net = r#""dim": 8, "layers": 1, "dropout": 0.1, "lr": 0.03, "batch_size": 256"#;
    let heads = r#""heads": ["click", "purchase"]"#;
    let vary = r#""diversity": {"candidates": 10, "users": 16}"#;
    let other = |rest: &str| format!(r#"{{"dim": 8, "lr": 0.03, "batch_size": 256, {rest}}}"#);
    for (name, tiny) in [
        ("fusion_net", format!(r#"{{{net}, {vary}, "tasks": {{"value_of": "rating"}}}}"#)),
        (
            "fusion_net",
            format!(
                r#"{{{net}, "loss": "bce", "negatives": 2, "tasks": {{{heads}, "chain": true,
                   "value_of": "rating", "weighting": "uncertainty",
                   "serve": {{"click": 1.0, "purchase": 1.0, "value": 0.1}}}}}}"#
            ),
        ),
        (
            "fusion_net",
            format!(r#"{{{net}, {vary}, "tasks": {{{heads}, "weighting": "gradnorm"}}}}"#),
        ),
        (
            "fusion_net",
            format!(
                r#"{{{net}, {vary}, "tasks": {{{heads}, "weighting": "pc_grad",
                   "serve": {{"purchase": 1.0}}}}}}"#
            ),
        ),
        (
            "fusion_net",
            format!(r#"{{{net}, "loss": "bce", "tasks": {{{heads}, "weighting": "pareto"}}}}"#),
        ),
        (
            "fusion_net",
            format!(r#"{{{net}, "loss": "bce", "robust": {{"generalised": {{"q": 0.5}}}}}}"#),
        ),
        (
            "fusion_net",
            format!(r#"{{{net}, "robust": {{"truncated": {{"share": 0.1, "warmup": 5}}}}}}"#),
        ),
        ("dmrs", other(r#""layers": [16, 8], "robust": {"reweighted": {"beta": 0.1}}"#)),
        ("dmrs", other(r#""layers": [16, 8], "loss": "bpr", "robust": {"truncated": {}}"#)),
        (
            "two_tower",
            other(r#""l2": 0.001, "candidates": "all", "robust": {"generalised": {"q": 0.3}}"#),
        ),
    ] {
        let tiny: &'static str = Box::leak(tiny.into_boxed_str());
        let entry = ModelEntry { tiny, ..registry.get(name).unwrap().clone() };
        check_recommender(&entry, &Device::flex());
    }
}

/// Forms of a model that its parameters choose and `tiny` does not.
#[test]
fn other_forms_keep_the_contract() {
    let registry = registry();
    for (name, tiny) in [
        ("two_tower", r#"{"dim": 8, "lr": 0.03, "batch_size": 256, "l2": 0.001, "workers": 3}"#),
        (
            "two_tower",
            r#"{"dim": 8, "users": "history", "lr": 0.03, "batch_size": 128, "l2": 0.001}"#,
        ),
        (
            "two_tower",
            r#"{"dim": 8, "users": "id_history", "lr": 0.03, "batch_size": 256, "l2": 0.001,
                "candidates": "all", "workers": 2, "fusion": "heads"}"#,
        ),
        (
            "history_transformer",
            r#"{"dim": 8, "body": "gru", "blocks": 1, "max_len": 6, "dropout": 0.1,
                "loss": "in_batch", "lr": 0.02, "batch_size": 32}"#,
        ),
        ("itemknn_content", r#"{"k": 41, "cut": "source"}"#),
        ("itemknn_content", r#"{"k": 20, "shrink": 1.0, "weights": {"image": 2.0}}"#),
        ("mmgf", r#"{"filter": "quadratic", "weights": {"text": 1.0, "image": 1.0}}"#),
        ("mmgcn", r#"{"dim": 8, "concatenate": true, "lr": 0.02, "batch_size": 128}"#),
        ("grcn", r#"{"dim": 8, "refine": "epoch", "lr": 0.02, "batch_size": 128}"#),
        ("slmrec", r#"{"dim": 8, "task": "mask", "lr": 0.02, "batch_size": 128}"#),
        ("slmrec", r#"{"dim": 8, "task": "none", "lr": 0.02, "batch_size": 128}"#),
    ] {
        let entry = ModelEntry { tiny, ..registry.get(name).unwrap().clone() };
        check_recommender(&entry, &Device::flex());
    }
}

#[test]
fn a_loaded_model_takes_other_features() {
    let world = World::new();
    let context = FitContext { device: Device::flex(), seed: SeedStream::new(1) };
    let scores = |model: &dyn Recommender| {
        let users: Vec<UserIdx> = world.users().collect();
        let mut out = Matrix::default();
        model.score(&users, &mut out).unwrap();
        out
    };
    for entry in registry().iter() {
        let tiny = serde_json::from_str(entry.tiny).unwrap();
        let fit = (entry.build)(&tiny).unwrap();
        let model = fit_all(&*fit, world.data(), &context, 1);
        let loaded = (entry.load)(&model.state()).unwrap();
        let (whole, again) = (&world.features, loaded.with_features(&world.features).unwrap());
        for (a, b) in scores(&*model).as_slice().iter().zip(scores(&*again).as_slice()) {
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{}: {a} {b}", entry.name);
        }
        // The state of a model over other features is that of a model as well.
        let twice = (entry.load)(&again.state()).unwrap().with_features(whole).unwrap();
        assert_eq!(scores(&*again).as_slice(), scores(&*twice).as_slice(), "{}", entry.name);
    }
}
