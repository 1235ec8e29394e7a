#![doc = include_str!("../README.md")]

mod frame_motion;
mod motion;
mod sample;
mod source;
mod timeline;
mod walk;

pub use frame_motion::{FrameMotion, FrameMotionConfig, PreparedClip};
pub use source::ClipSource;

use image::DynamicImage;
use quintet_core::{Registry, RegistryError};
use quintet_tensor::{Encoder, EncoderEntry};

/// Adds every video encoder to a registry: `frame-motion`.
///
/// `frames` makes the encoder of single frames. It comes from the caller, so that this crate
/// names no image encoder.
///
/// # Errors
/// A name is taken.
pub fn register<F>(r: &mut Registry<EncoderEntry>, frames: fn() -> F) -> Result<(), RegistryError>
where
    F: Encoder<Raw = DynamicImage> + 'static,
    F::Prepared: Clone,
{
    frame_motion::register(r, frames)
}
