#![doc = include_str!("../README.md")]

mod bpr;
mod item_knn;
mod lightgcn;
mod popularity;
pub mod rating;

pub use bpr::BprConfig;
pub use item_knn::{ItemKnn, ItemKnnConfig};
pub use lightgcn::LightGcnConfig;
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use rating::register_rating;

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(popularity::entry())?;
    r.add(item_knn::entry())?;
    r.add(bpr::entry())?;
    r.add(lightgcn::entry())?;
    Ok(())
}
