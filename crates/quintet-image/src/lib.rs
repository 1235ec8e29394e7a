#![doc = include_str!("../README.md")]

mod canvas;
mod colour_gradient;
mod container;
mod histogram;
mod open;

pub use colour_gradient::{ColourGradient, ColourGradientConfig, NAME as COLOUR_GRADIENT};
pub use open::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, decode_image, open_image};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::EncoderEntry;

/// Registers the image encoders.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<EncoderEntry>) -> Result<(), RegistryError> {
    r.add(colour_gradient::entry())?;
    Ok(())
}
