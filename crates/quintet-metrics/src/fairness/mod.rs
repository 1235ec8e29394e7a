//! How equally groups of items and of users are treated.
//!
//! - [`Groups`]: who belongs where; items may belong to several groups or to none.
//! - [`statistical_parity`], [`equal_opportunity`]: RSP and REO over item groups.
//! - [`item_exposure`] with [`Groups::shares`] and [`total_variation`]: exposure against a target.
//! - [`calibration`], [`popularity_lift`]: whether lists are like what users had before.
//! - [`group_gaps`]: any per-user metric by groups of users.
//!
//! [`crate::beyond::BeyondAccuracy`] calls what concerns items for every grouping that it knows.

mod calibration;
mod divergence;
mod exposure;
mod gaps;
mod groups;
mod opportunity;

pub(crate) use calibration::calibration_columns;
pub use calibration::{Calibration, calibration, popularity_lift};
pub use divergence::{jensen_shannon, kullback_leibler, total_variation};
pub use exposure::{Discount, item_exposure};
pub use gaps::{GroupGaps, group_gaps};
pub use groups::Groups;
pub use opportunity::{GroupRates, equal_opportunity, statistical_parity};
