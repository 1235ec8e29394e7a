#![doc = include_str!("../README.md")]

mod autoencoder;
mod bpr;
mod bpr_sgd;
mod closed_form;
mod ease;
mod ease_sparse;
mod factor_table;
mod federated_bpr;
mod folding;
mod gru4rec;
mod hybrid_mf;
mod ials;
mod item_knn;
mod items;
mod large_pages;
mod learned;
mod lightgcn;
mod logistic_mf;
mod multivae;
mod neumf;
#[cfg(test)]
mod parity;
mod popularity;
mod query;
mod random;
pub mod rating;
mod recvae;
mod rp3beta;
mod sampling;
mod sasrec;
mod sequence;
mod similarity;
mod simplex;
mod slim;
mod sparse;
mod split_mix;
mod ultragcn;
mod user_knn;
mod warp;

pub use bpr::BprConfig;
pub use bpr_sgd::BprSgdConfig;
pub use ease::{EaseConfig, Precision};
pub use ease_sparse::EaseSparseConfig;
pub use federated_bpr::FederatedBprConfig;
pub use gru4rec::Gru4RecConfig;
pub use hybrid_mf::{HybridLoss, HybridMfConfig, Schedule};
pub use ials::{Confidence, Ials, IalsConfig, InitialFactors, Solver};
pub use item_knn::ItemKnnConfig;
pub use items::ItemWeights;
pub use lightgcn::{LightGcnConfig, LightGcnPenalty};
pub use logistic_mf::LogisticMfConfig;
pub use multivae::MultiVaeConfig;
pub use neumf::{NeuMfConfig, NeuMfKind};
pub use popularity::{Popularity, PopularityConfig};
use quintet_core::{Registry, RegistryError};
use quintet_tensor::ModelEntry;
pub use random::{Random, RandomConfig};
pub use rating::register_rating;
pub use recvae::RecVaeConfig;
pub use rp3beta::Rp3BetaConfig;
pub use sasrec::SasRecConfig;
pub use sequence::{NextItemLoss, Stretches};
pub use similarity::{Cut, Shrinkage, Similarity};
pub use simplex::{SimplexAggregation, SimplexConfig};
pub use slim::SlimConfig;
pub use sparse::Weighting;
pub use ultragcn::UltraGcnConfig;
pub use user_knn::{UserKnn, UserKnnConfig};
pub use warp::{RankWeight, WarpConfig};

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
    r.add(ials::entry())?;
    r.add(bpr_sgd::entry())?;
    r.add(logistic_mf::entry())?;
    r.add(warp::entry())?;
    r.add(hybrid_mf::entry())?;
    r.add(simplex::entry())?;
    r.add(ultragcn::entry())?;
    r.add(neumf::entry())?;
    r.add(multivae::entry())?;
    r.add(multivae::denoising_entry())?;
    r.add(recvae::entry())?;
    r.add(sasrec::entry())?;
    r.add(gru4rec::entry())?;
    r.add(federated_bpr::entry())?;
    Ok(())
}
