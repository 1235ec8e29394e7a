#![doc = include_str!("../README.md")]

mod bpr;
mod closed_form;
mod ease;
mod ease_sparse;
mod item_knn;
mod items;
mod lightgcn;
mod popularity;
pub mod rating;
mod random;
mod rp3beta;
mod similarity;
mod slim;
mod sparse;
mod user_knn;

pub use bpr::BprConfig;
pub use ease::{EaseConfig, Precision};
pub use ease_sparse::EaseSparseConfig;
pub use item_knn::ItemKnnConfig;
pub use items::ItemWeights;
pub use lightgcn::LightGcnConfig;
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use rating::register_rating;
pub use random::{Random, RandomConfig};
pub use rp3beta::Rp3BetaConfig;
pub use similarity::{Cut, Shrinkage, Similarity};
pub use slim::SlimConfig;
pub use sparse::Weighting;
pub use user_knn::{UserKnn, UserKnnConfig};

/// Adds every model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register(r: &mut Registry<ModelEntry>) -> Result<(), RegistryError> {
    r.add(popularity::entry())?;
    r.add(item_knn::entry())?;
    r.add(random::entry())?;
    r.add(user_knn::entry())?;
    r.add(rp3beta::entry())?;
    r.add(ease::entry())?;
    r.add(ease_sparse::entry())?;
    r.add(slim::entry())?;
    r.add(bpr::entry())?;
    r.add(lightgcn::entry())?;
    Ok(())
}
