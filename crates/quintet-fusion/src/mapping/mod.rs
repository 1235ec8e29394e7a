//! Cross-modal mapping: shared spaces of modalities, and features made up for absent ones.

mod align;
mod align_loss;
mod align_report;
mod cca;
mod complete;
mod deep_cca;
mod error;
mod linalg;
mod maxvar;
mod pca;
mod ridge;
mod sinkhorn;
mod trained;

pub use align::{Aligned, Alignment, Objective};
pub use align_loss::{coral, info_nce, mmd, reversal_schedule, reverse_gradient};
pub use align_report::{AlignmentReport, Retrieval};
pub use cca::{Cca, CcaParams};
pub use complete::{
    AutoencoderParams, BuildCompletion, CganParams, Completed, Completion, CompletionEntry,
    FittedCompletion, OtParams, completions,
};
pub use deep_cca::{Correlation, DeepCca, DeepCcaParams, correlation};
pub use error::MappingError;
pub use maxvar::MaxVar;
pub use pca::{Pca, PcaParams, PcaSolver};
pub use ridge::{RidgeMap, RidgeParams};
pub use sinkhorn::{Plan, SinkhornParams, sinkhorn};
