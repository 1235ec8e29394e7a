#![doc = include_str!("../README.md")]

mod bm3;
mod content;
mod content_model;
mod freedom;
mod graph;
mod lattice;
mod lgmrec;
mod mgcn;
mod projections;
mod smore;
mod two_tower;
mod vbpr;

pub use bm3::Bm3Config;
pub use freedom::FreedomConfig;
pub use lattice::LatticeConfig;
pub use lgmrec::LgmrecConfig;
pub use mgcn::MgcnConfig;
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use smore::SmoreConfig;
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
    r.add(graph::entry::<LatticeConfig>())?;
    r.add(graph::entry::<Bm3Config>())?;
    r.add(graph::entry::<MgcnConfig>())?;
    r.add(graph::entry::<SmoreConfig>())?;
    r.add(graph::entry::<LgmrecConfig>())?;
    Ok(())
}
