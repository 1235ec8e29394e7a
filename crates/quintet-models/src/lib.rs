#![doc = include_str!("../README.md")]

mod bm3;
mod content;
mod content_model;
mod damrs;
mod deepstyle;
mod dmrs;
mod dragon;
mod encoder_tower;
mod federated_two_tower;
mod freedom;
mod fusion_net;
mod gathered;
mod graph;
mod grcn;
mod history_pool;
mod history_transformer;
mod item_matrix;
mod itemknn_content;
mod jmf;
mod lattice;
mod lgmrec;
mod lirdrec;
mod mentor;
mod mgcn;
mod mmgcf;
mod mmgcn;
mod mmgf;
mod mvmf;
mod mvmf_domains;
mod network;
#[cfg(test)]
mod parity;
mod pgl;
mod projections;
mod ridge;
mod slmrec;
mod smore;
mod softmax_batch;
mod two_tower;
mod vbpr;
mod vbpr_benchmark;
mod vbpr_paper;

pub use bm3::Bm3Config;
pub use damrs::DamrsConfig;
pub use deepstyle::DeepStyleConfig;
pub use dmrs::{DmrsConfig, DmrsLoss};
pub use dragon::DragonConfig;
pub use encoder_tower::{EncoderTower, EncoderTowerConfig};
pub use federated_two_tower::FederatedTwoTowerConfig;
pub use freedom::FreedomConfig;
pub use fusion_net::{Diversity, FusionNetConfig, RankingLoss, Tasks, Weighting};
pub use graph::AttributeView;
pub use grcn::{GrcnConfig, GrcnRefine};
pub use history_pool::UserVectors;
pub use history_transformer::{HistoryBody, HistoryLoss, HistoryTransformerConfig, ItemVectors};
pub use itemknn_content::{ContentCut, ItemKnnContentConfig};
pub use jmf::JmfConfig;
pub use lattice::LatticeConfig;
pub use lgmrec::LgmrecConfig;
pub use lirdrec::LirdrecConfig;
pub use mentor::MentorConfig;
pub use mgcn::MgcnConfig;
pub use mmgcf::{Fuse, MmgcfConfig, Weighting as MmgcfWeighting};
pub use mmgcn::MmgcnConfig;
pub use mmgf::{MmGfConfig, MmGfFilter};
pub use mvmf::MvmfConfig;
pub use mvmf_domains::{MvmfDomain, MvmfDomains};
pub use pgl::{PglConfig, Subgraph};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use slmrec::{SlmrecConfig, SlmrecTask};
pub use smore::SmoreConfig;
pub use softmax_batch::Candidates;
pub use two_tower::TwoTowerConfig;
pub use vbpr::VbprConfig;
pub use vbpr_benchmark::VbprBenchmarkConfig;
pub use vbpr_paper::VbprPaperConfig;

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(vbpr::entry())?;
    r.add(two_tower::entry())?;
    r.add(federated_two_tower::entry())?;
    r.add(graph::entry::<FreedomConfig>())?;
    r.add(item_matrix::entry::<ItemKnnContentConfig>())?;
    r.add(item_matrix::entry::<MmGfConfig>())?;
    r.add(graph::entry::<VbprBenchmarkConfig>())?;
    r.add(graph::entry::<VbprPaperConfig>())?;
    r.add(graph::entry::<DeepStyleConfig>())?;
    r.add(graph::entry::<MmgcnConfig>())?;
    r.add(graph::entry::<GrcnConfig>())?;
    r.add(graph::entry::<SlmrecConfig>())?;
    r.add(graph::entry::<PglConfig>())?;
    r.add(graph::entry::<MmgcfConfig>())?;
    r.add(graph::entry::<DragonConfig>())?;
    r.add(graph::entry::<MentorConfig>())?;
    r.add(graph::entry::<DamrsConfig>())?;
    r.add(graph::entry::<LirdrecConfig>())?;
    r.add(graph::entry::<LatticeConfig>())?;
    r.add(graph::entry::<Bm3Config>())?;
    r.add(graph::entry::<MgcnConfig>())?;
    r.add(graph::entry::<SmoreConfig>())?;
    r.add(graph::entry::<LgmrecConfig>())?;
    r.add(jmf::entry())?;
    r.add(mvmf::entry())?;
    r.add(dmrs::entry())?;
    r.add(fusion_net::entry())?;
    r.add(history_transformer::entry())?;
    Ok(())
}
