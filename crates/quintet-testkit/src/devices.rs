//! The devices a suite runs on.

use burn::tensor::Device;
use quintet_tensor::{DeviceChoice, open_device};

/// Every device that is compiled in and opens, `flex` first; prints which were left out and why.
///
/// # Panics
/// When no device opens: a suite over none would pass without a test.
pub fn devices() -> Vec<Device> {
    let mut choices = DeviceChoice::ALL.to_vec();
    choices.retain(|c| *c != DeviceChoice::Auto);
    choices.sort_by_key(|c| *c != DeviceChoice::Flex);
    let mut devices = Vec::new();
    for choice in choices {
        match open_device(choice) {
            Ok(open) => {
                println!("device {choice}: {}", open.note);
                devices.push(open.device);
            }
            Err(e) => println!("device {choice} left out: {e}"),
        }
    }
    assert!(
        !devices.is_empty(),
        "no device opens; a crate that uses the suites enables `quintet-tensor/flex` for its tests"
    );
    devices
}

/// Whether equal work gives equal bytes on `device`: on CPUs, not on GPUs, whose sums run in an
/// order of their own.
pub(crate) fn is_bitwise(device: &Device) -> bool {
    let name = format!("{device:?}");
    ["Flex", "NdArray"].iter().any(|cpu| name.contains(cpu))
}
