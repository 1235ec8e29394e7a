#![doc = include_str!("../README.md")]

mod tokens;
mod blocks;
mod bottleneck;
mod concat;
mod cross_attention;
mod gated;
mod model_level;
mod moe;
mod sample;
mod self_attention;
mod weighted;

pub use bottleneck::{Bottleneck, BottleneckParams};
pub use concat::{Concat, ConcatParams};
pub use cross_attention::{CrossAttention, CrossAttentionParams};
pub use gated::{Gated, GatedParams};
pub use model_level::{
    BlendParams, CoTraining, CoTrainingParams, GraphSumParams, HeadLosses, ItemGraph, JointHeads,
    JointHeadsParams, Losses, blend_weights, knn_graph, weighted_sum,
};
pub use moe::{BalanceLoss, Moe, MoeParams};
pub use sample::{
    AsOf, IdJoin, IdSource, JoinKind, Mixed, ModalityTimes, Padding, SequenceParams, SequenceViews,
    Stamp, TimeJoin, TimeJoinParams, feature_noise, join_by_id, join_by_time, mix_up,
    modality_dropout,
};
pub use self_attention::{SelfAttention, SelfAttentionParams};
pub use weighted::{Weighted, WeightedParams};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::FusionEntry;

/// Adds every fusion layer of this crate.
///
/// # Errors
/// A name is taken already.
pub fn register(r: &mut Registry<FusionEntry>) -> Result<(), RegistryError> {
    r.add(bottleneck::ENTRY)?;
    r.add(model_level::co_training::ENTRY)?;
    r.add(concat::ENTRY)?;
    r.add(cross_attention::ENTRY)?;
    r.add(gated::ENTRY)?;
    r.add(model_level::heads::ENTRY)?;
    r.add(moe::ENTRY)?;
    r.add(self_attention::ENTRY)?;
    r.add(weighted::ENTRY)
}

/// A registry with the fusion layers of this crate alone.
///
/// # Errors
/// Two layers have the same name.
pub fn registry() -> Result<Registry<FusionEntry>, RegistryError> {
    let mut r = Registry::new("fusion");
    register(&mut r)?;
    Ok(r)
}
