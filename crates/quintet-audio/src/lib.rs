#![doc = include_str!("../README.md")]

mod dct;
mod features;
mod log_mel;
mod mel;
#[cfg(test)]
mod parity;
mod spectrum;
mod statistics;
mod wav;

pub use log_mel::{LogMel, LogMelConfig};
pub use wav::WavSource;

use quintet_core::{Registry, RegistryError};
use quintet_tensor::EncoderEntry;

/// Adds every audio encoder to a registry: `log-mel`.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    log_mel::register(r)
}
