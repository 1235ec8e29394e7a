//! Alternating ridge regressions over matrices that share factors, on plain slices.
//!
//! Every model here is a sum of squares: behaviour `R ≈ X Yᵀ` over all cells with confidences, and
//! descriptions `A ≈ X Wᵀ` of the rows that have one. With all but one side held fixed each row of
//! that side is a ridge regression of its own, and what it is solved against is a list of
//! [`system::Part`]s. Systems are built and factored in 64 bits, so that every half step lowers the
//! loss.

mod blocks;
mod data;
mod model;
#[cfg(test)]
pub(crate) mod parity;
mod parts;
mod system;
mod trainer;

pub(crate) use blocks::{Blocks, Domain};
pub(crate) use data::{ItemViews, user_view, view_weight};
pub(crate) use model::{RidgeModel, RidgeRecipe};
pub(crate) use trainer::RidgeParams;
#[cfg(test)]
pub(crate) use trainer::RidgeTrainer;
