//! Fusion of samples: which records belong together, what a user did in order, and samples made
//! out of others.

mod align;
mod augment;
mod sequence;

pub use align::{
    AsOf, IdJoin, IdSource, JoinKind, ModalityTimes, Stamp, TimeJoin, TimeJoinParams, join_by_id,
    join_by_time,
};
pub use augment::{Mixed, feature_noise, mix_up, modality_dropout};
pub use sequence::{Padding, SequenceParams, SequenceViews};
