#![doc = include_str!("../README.md")]

mod blocks;
mod concat;
pub mod decision;
mod gated;
mod weighted;

pub use concat::{Concat, ConcatParams};
pub use gated::{Gated, GatedParams};
pub use weighted::{Weighted, WeightedParams};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::FusionEntry;

/// Adds every fusion layer of this crate.
///
/// # Errors
/// A name is taken already.
pub fn register(r: &mut Registry<FusionEntry>) -> Result<(), RegistryError> {
    r.add(concat::ENTRY)?;
    r.add(gated::ENTRY)?;
    r.add(weighted::ENTRY)
}

/// A registry with the fusion layers of this crate alone.
///
/// # Errors
/// Two layers have the same name.
pub fn registry() -> Result<Registry<FusionEntry>, RegistryError> {
    let mut r = Registry::new("fusion");
    register(&mut r)?;
    Ok(r)
}
