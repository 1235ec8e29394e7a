#![doc = include_str!("../README.md")]

mod content;
mod content_model;
mod dmrs;
mod freedom;
mod graph;
mod jmf;
mod mvmf;
mod mvmf_domains;
#[cfg(test)]
mod parity;
mod projections;
mod ridge;
mod two_tower;
mod vbpr;

pub use dmrs::{DmrsConfig, DmrsLoss};
pub use freedom::FreedomConfig;
pub use jmf::JmfConfig;
pub use mvmf::MvmfConfig;
pub use mvmf_domains::{MvmfDomain, MvmfDomains};
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
    r.add(jmf::entry())?;
    r.add(mvmf::entry())?;
    r.add(dmrs::entry())?;
    Ok(())
}
