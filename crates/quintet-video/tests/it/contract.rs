//! Every registered video encoder on every device, through the contract suite.

use quintet_core::Registry;
use quintet_testkit::{check_encoder, devices};

#[test]
fn every_encoder_keeps_the_contract_on_every_device() {
    let mut registry = Registry::new("encoder");
    quintet_video::register(&mut registry, crate::support::MeanColour::new).unwrap();
    for device in devices() {
        for entry in registry.iter() {
            check_encoder(entry, &device);
        }
    }
}
