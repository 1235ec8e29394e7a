//! Every registered fusion layer on every device, through the contract suite.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod decision;

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
    }
}

#[test]
fn registering_twice_is_refused() {
    let mut registry = quintet_fusion::registry().unwrap();
    let err = quintet_fusion::register(&mut registry).unwrap_err().to_string();
    assert!(err.contains("concat") && err.contains("twice"), "{err}");
}
