//! Every registered fusion layer on every device, through the contract suite.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod decision;
mod mapping;
mod mapping_parity;
mod parameters;
mod parity;
mod tokens;

use quintet_testkit::{check_fusion, check_fusion_with, devices};
use serde_json::json;

#[test]
fn every_fusion_layer_keeps_the_contract_on_every_device() {
    let registry = quintet_fusion::registry().unwrap();
    for device in devices() {
        for entry in registry.iter() {
            check_fusion(entry, &device);
        }
    }
}

#[test]
fn other_parameters_keep_the_contract_too() {
    let registry = quintet_fusion::registry().unwrap();
    for device in devices() {
        let fixed = json!({ "weights": { "text": 0.2, "image": 0.5, "audio": 0.3 } });
        check_fusion_with(registry.get("weighted").unwrap(), &fixed, &device);
        let no_flags = json!({ "presence_flags": false });
        check_fusion_with(registry.get("concat").unwrap(), &no_flags, &device);
        let layers = [
            ("attention", json!({ "width": 3 })),
            ("bilinear", json!({ "rank": 3 })),
            ("film", json!({ "condition": "audio" })),
            ("lmf", json!({ "rank": 4 })),
            ("mlp", json!({ "hidden": 12, "layers": 1, "dropout": 0.5 })),
            // ReLU has kinks, which differences do not see: the fixtures check its gradient.
            ("mlp", json!({ "hidden": 8, "layers": 3, "dropout": 0.0 })),
            ("squeeze_excite", json!({ "reduction": 1 })),
            ("tensor", json!({ "width": 3 })),
        ];
        for (name, params) in &layers {
            check_fusion_with(registry.get(name).unwrap(), params, &device);
        }
        for (name, params) in tokens::parameters() {
            check_fusion_with(registry.get(name).unwrap(), &params, &device);
        }
    }
}

#[test]
fn registering_twice_is_refused() {
    let mut registry = quintet_fusion::registry().unwrap();
    let first = registry.iter().next().unwrap().name;
    let err = quintet_fusion::register(&mut registry).unwrap_err().to_string();
    assert!(err.contains(first) && err.contains("twice"), "{err}");
}
