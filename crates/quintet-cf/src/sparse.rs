//! Sparse kernels of the neighbour and linear models, written once.
//!
//! Rows of interactions are *terms* that connect *entities*: for models of items the users are
//! terms and the items entities, for models of users the reverse. [`Weigher`] weighs the cells,
//! [`Terms`] lays them out for products, [`neighbours`] cuts the product of all entities to the
//! nearest of each, [`Gram`] keeps it, and [`lower_gram`] writes it densely.

mod best;
mod gram;
mod nearest;
mod terms;
mod weights;

pub(crate) use best::{Best, Offer};
pub(crate) use gram::{Gram, lower_gram};
pub(crate) use nearest::{NearestOptions, Pair, neighbours};
pub(crate) use terms::{Order, Terms, capped, with_ones};
pub(crate) use weights::Weigher;
pub use weights::Weighting;
