#![doc = include_str!("../README.md")]

mod autoencoder;
mod bpr;
mod folding;
mod item_knn;
mod lightgcn;
mod multivae;
mod neumf;
#[cfg(test)]
mod parity;
mod popularity;
mod recvae;
mod simplex;
mod ultragcn;

pub use bpr::BprConfig;
pub use item_knn::{ItemKnn, ItemKnnConfig};
pub use lightgcn::{LightGcnConfig, LightGcnPenalty};
pub use multivae::MultiVaeConfig;
pub use neumf::{NeuMfConfig, NeuMfKind};
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use recvae::RecVaeConfig;
pub use simplex::{SimplexAggregation, SimplexConfig};
pub use ultragcn::UltraGcnConfig;

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(popularity::entry())?;
    r.add(item_knn::entry())?;
    r.add(bpr::entry())?;
    r.add(lightgcn::entry())?;
    r.add(simplex::entry())?;
    r.add(ultragcn::entry())?;
    r.add(neumf::entry())?;
    r.add(multivae::entry())?;
    r.add(multivae::denoising_entry())?;
    r.add(recvae::entry())?;
    Ok(())
}
