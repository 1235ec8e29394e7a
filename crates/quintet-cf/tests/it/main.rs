//! Every registered model on every device, through the contract suite.

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
