#![doc = include_str!("../README.md")]

mod bpr;
mod gru4rec;
mod item_knn;
mod lightgcn;
mod popularity;
mod sasrec;
mod sequence;

pub use bpr::BprConfig;
pub use gru4rec::Gru4RecConfig;
pub use item_knn::{ItemKnn, ItemKnnConfig};
pub use lightgcn::LightGcnConfig;
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use sasrec::SasRecConfig;
pub use sequence::{NextItemLoss, Stretches};

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(popularity::entry())?;
    r.add(item_knn::entry())?;
    r.add(bpr::entry())?;
    r.add(lightgcn::entry())?;
    r.add(sasrec::entry())?;
    r.add(gru4rec::entry())?;
    Ok(())
}
