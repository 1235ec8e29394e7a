//! Cross-modal mapping: shared spaces of modalities, and features made up for absent ones.

mod cca;
mod complete;
mod error;
mod linalg;
mod maxvar;
mod pca;
mod ridge;
mod sinkhorn;
mod trained;

pub use cca::{Cca, CcaParams};
pub use complete::{
    AutoencoderParams, BuildCompletion, CganParams, Completed, Completion, CompletionEntry,
    FittedCompletion, OtParams, completions,
};
pub use error::MappingError;
pub use maxvar::MaxVar;
pub use pca::{Pca, PcaParams, PcaSolver};
pub use ridge::{RidgeMap, RidgeParams};
pub use sinkhorn::{Plan, SinkhornParams, sinkhorn};
