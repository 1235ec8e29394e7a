#![doc = include_str!("../README.md")]

mod attention;
mod bilinear;
mod blocks;
mod bottleneck;
mod combine;
mod concat;
mod cross_attention;
pub mod decision;
mod film;
mod gated;
mod hadamard;
mod lmf;
pub mod mapping;
mod mlp;
mod model_level;
mod moe;
mod sample;
mod self_attention;
mod spectrum;
mod squeeze_excite;
mod tensor;
mod tokens;
mod weighted;

pub use attention::{Attention, AttentionParams};
pub use bilinear::{Bilinear, BilinearParams};
pub use bottleneck::{Bottleneck, BottleneckParams};
pub use concat::{Concat, ConcatParams};
pub use cross_attention::{CrossAttention, CrossAttentionParams};
pub use film::{Film, FilmParams};
pub use gated::{Gated, GatedParams};
pub use hadamard::{Hadamard, HadamardParams};
pub use lmf::{Lmf, LmfParams};
pub use mlp::{Activation, Mlp, MlpParams};
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
pub use spectrum::{Spectrum, SpectrumParams};
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteParams};
pub use tensor::{MAX_PRODUCT, TensorFusion, TensorParams};
pub use weighted::{Weighted, WeightedParams};

use quintet_core::{Registry, RegistryError};
use quintet_tensor::FusionEntry;

/// Adds every fusion layer of this crate.
///
/// # Errors
/// A name is taken already.
pub fn register(r: &mut Registry<FusionEntry>) -> Result<(), RegistryError> {
    r.add(attention::ENTRY)?;
    r.add(bilinear::ENTRY)?;
    r.add(bottleneck::ENTRY)?;
    r.add(concat::ENTRY)?;
    r.add(cross_attention::ENTRY)?;
    r.add(film::ENTRY)?;
    r.add(gated::ENTRY)?;
    r.add(hadamard::ENTRY)?;
    r.add(lmf::ENTRY)?;
    r.add(mlp::ENTRY)?;
    r.add(moe::ENTRY)?;
    r.add(self_attention::ENTRY)?;
    r.add(spectrum::ENTRY)?;
    r.add(squeeze_excite::ENTRY)?;
    r.add(tensor::ENTRY)?;
    r.add(model_level::co_training::ENTRY)?;
    r.add(model_level::heads::ENTRY)?;
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
