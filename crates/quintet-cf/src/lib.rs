#![doc = include_str!("../README.md")]

mod bpr;
mod bpr_sgd;
mod factor_table;
mod folding;
mod hybrid_mf;
mod ials;
mod item_knn;
mod lightgcn;
mod logistic_mf;
mod popularity;
mod random;
mod warp;

pub use bpr::BprConfig;
pub use bpr_sgd::BprSgdConfig;
pub use hybrid_mf::{HybridLoss, HybridMfConfig, Schedule};
pub use ials::{Confidence, Ials, IalsConfig, InitialFactors, Solver};
pub use item_knn::{ItemKnn, ItemKnnConfig};
pub use lightgcn::LightGcnConfig;
pub use logistic_mf::LogisticMfConfig;
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use warp::{RankWeight, WarpConfig};

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(popularity::entry())?;
    r.add(item_knn::entry())?;
    r.add(bpr::entry())?;
    r.add(lightgcn::entry())?;
    r.add(ials::entry())?;
    r.add(bpr_sgd::entry())?;
    r.add(logistic_mf::entry())?;
    r.add(warp::entry())?;
    r.add(hybrid_mf::entry())?;
    Ok(())
}
