#![doc = include_str!("../README.md")]

mod content;
mod content_model;
mod damrs;
mod dragon;
mod freedom;
mod graph;
mod lirdrec;
mod mentor;
mod mmgcf;
mod pgl;
mod projections;
mod two_tower;
mod vbpr;

pub use damrs::DamrsConfig;
pub use dragon::DragonConfig;
pub use freedom::FreedomConfig;
pub use lirdrec::LirdrecConfig;
pub use mentor::MentorConfig;
pub use mmgcf::{Fuse, MmgcfConfig, Weighting};
pub use pgl::{PglConfig, Subgraph};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use two_tower::{Candidates, TwoTowerConfig};
pub use vbpr::VbprConfig;

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(vbpr::entry())?;
    r.add(two_tower::entry())?;
    r.add(graph::entry::<FreedomConfig>())?;
    r.add(graph::entry::<PglConfig>())?;
    r.add(graph::entry::<MmgcfConfig>())?;
    r.add(graph::entry::<DragonConfig>())?;
    r.add(graph::entry::<MentorConfig>())?;
    r.add(graph::entry::<DamrsConfig>())?;
    r.add(graph::entry::<LirdrecConfig>())?;
    Ok(())
}
