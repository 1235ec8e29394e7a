//! One file a verb.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod export;
pub(crate) mod fusion;
pub(crate) mod guess;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod recommend;
pub(crate) mod report;
pub(crate) mod runs;
pub(crate) mod seeds;
pub(crate) mod stages;
pub(crate) mod tune;
pub(crate) mod weights;

use quintet::tensor::{DeviceChoice, OpenDevice, open_device};

/// Opens a device and says so when it is not the plain CPU.
pub(crate) fn device(choice: DeviceChoice) -> anyhow::Result<OpenDevice> {
    let open = open_device(choice)?;
    if open.choice != DeviceChoice::Flex || open.note.contains(';') {
        crate::print::note(&format!("device: {} ({})", open.choice, open.note));
    }
    Ok(open)
}
