//! Every registered image encoder on every device, through the contract suite.

use quintet_core::Registry;
use quintet_testkit::{check_encoder, devices};

#[test]
fn every_encoder_keeps_the_contract_on_every_device() {
    let mut registry = Registry::new("encoder");
    quintet_image::register(&mut registry).unwrap();
    for device in devices() {
        // Those with the weights of others have them in `networks`.
        for entry in registry.iter().filter(|entry| entry.weights.is_none()) {
            check_encoder(entry, &device);
        }
    }
}
