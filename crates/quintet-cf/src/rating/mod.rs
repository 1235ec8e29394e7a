//! Rating prediction: what would this user give this item?
//!
//! The models behind [`quintet_core::RatingEntry`]; one file each. What they share lies in
//! `fitted` (unknown users and items, clipping, the saved form), `sgd` (the inner loop of gradient
//! descent), `rows` and `similarity` (co-raters).

mod baseline;
mod check;
mod co_clustering;
mod cross_validation;
mod factor_form;
mod fitted;
mod knn;
mod mean;
mod nmf;
mod normal;
#[cfg(test)]
mod parity;
mod pmf;
mod rank;
mod rows;
mod sgd;
mod similarity;
mod slope_one;
mod svd;
mod svdpp;

pub use baseline::{BaselineConfig, BiasConfig, BiasMethod};
pub use co_clustering::CoClusteringConfig;
pub use cross_validation::{
    CrossValidation, FoldScore, cross_validate, cross_validate_by, deal_folds,
};
pub use factor_form::Link;
pub use fitted::{OutputConfig, Unknown};
pub use knn::{KnnKind, RatingItemKnnConfig, RatingKnnConfig, RatingUserKnnConfig};
pub use mean::{MeanConfig, MeanOf};
pub use nmf::NmfConfig;
pub use normal::NormalConfig;
pub use pmf::PmfConfig;
use quintet_core::{RatingEntry, Registry, RegistryError};
pub use rank::RankByRating;
pub use sgd::Visits;
pub use similarity::RatingSimilarity;
pub use slope_one::SlopeOneConfig;
pub use svd::SvdConfig;
pub use svdpp::SvdPpConfig;

/// Adds every rating model of this crate.
///
/// # Errors
/// A name is taken.
pub fn register_rating(r: &mut Registry<RatingEntry>) -> Result<(), RegistryError> {
    r.add(normal::entry())?;
    r.add(mean::entry())?;
    r.add(baseline::entry())?;
    r.add(knn::user_entry())?;
    r.add(knn::item_entry())?;
    r.add(slope_one::entry())?;
    r.add(svd::entry())?;
    r.add(svdpp::entry())?;
    r.add(nmf::entry())?;
    r.add(co_clustering::entry())?;
    r.add(pmf::entry())?;
    Ok(())
}
