//! Cross-modal mapping: shared spaces of modalities, and features made up for absent ones.

mod error;
mod linalg;
mod pca;
mod ridge;
mod sinkhorn;

pub use error::MappingError;
pub use pca::{Pca, PcaParams, PcaSolver};
pub use ridge::{RidgeMap, RidgeParams};
pub use sinkhorn::{Plan, SinkhornParams, sinkhorn};
