//! Every registered model on every device, through the contract suite.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod next_item;

use quintet_core::Registry;
use quintet_testkit::{check_recommender, devices};

#[test]
fn every_model_keeps_the_contract_on_every_device() {
    let mut registry = Registry::new("model");
    quintet_cf::register(&mut registry).unwrap();
    for device in devices() {
        for entry in registry.iter() {
            check_recommender(entry, &device);
        }
    }
}
