#![doc = include_str!("../README.md")]

mod content;
mod content_model;
mod freedom;
mod graph;
mod item_matrix;
mod itemknn_content;
mod mmgf;
mod projections;
mod two_tower;
mod vbpr;
mod vbpr_benchmark;
mod vbpr_paper;

pub use freedom::FreedomConfig;
pub use itemknn_content::{ContentCut, ItemKnnContentConfig};
pub use mmgf::{MmGfConfig, MmGfFilter};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use two_tower::{Candidates, TwoTowerConfig};
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
    r.add(graph::entry::<FreedomConfig>())?;
    r.add(item_matrix::entry::<ItemKnnContentConfig>())?;
    r.add(item_matrix::entry::<MmGfConfig>())?;
    r.add(graph::entry::<VbprBenchmarkConfig>())?;
    r.add(graph::entry::<VbprPaperConfig>())?;
    Ok(())
}
