#![doc = include_str!("../README.md")]

mod content;
mod content_model;
mod dmrs;
mod freedom;
mod fusion_net;
mod graph;
mod history_transformer;
mod jmf;
mod mvmf;
mod mvmf_domains;
#[cfg(test)]
mod parity;
mod projections;
mod ridge;
mod softmax_batch;
mod two_tower;
mod vbpr;

pub use dmrs::{DmrsConfig, DmrsLoss};
pub use freedom::FreedomConfig;
pub use fusion_net::{Diversity, FusionNetConfig, RankingLoss, Weighting};
pub use history_transformer::{HistoryLoss, HistoryTransformerConfig, ItemVectors};
pub use jmf::JmfConfig;
pub use mvmf::MvmfConfig;
pub use mvmf_domains::{MvmfDomain, MvmfDomains};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use softmax_batch::Candidates;
pub use two_tower::TwoTowerConfig;
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
    r.add(fusion_net::entry())?;
    r.add(history_transformer::entry())?;
    Ok(())
}
