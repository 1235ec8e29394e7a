#![doc = include_str!("../README.md")]

mod ahead;
mod device;
mod encoder;
mod encoder_face;
mod error;
mod factor_model;
mod fit;
mod fusion;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
mod graph;
mod host;
mod layer;
mod loss;
pub mod nn;
mod optim;
mod pairwise;
mod selfcheck;
mod table;
mod views;
mod weights;

pub use burn::tensor::Device;
pub use device::{DeviceChoice, DeviceReport, OpenDevice, compiled_devices, open_device};
pub use encoder::{
    BuildEncoder, Encoder, EncoderEntry, EncoderInfo, EncoderSpec, FetchMedia, MediaEncoder,
    RawMedia, TakeVectors,
};
pub use encoder_face::{EncoderFace, Open};
pub use error::{DecodeKind, DeviceError, EncodeError, FitError};
pub use factor_model::{FactorModel, FactorPart};
pub use fit::{
    BuildModel, EpochStats, Fit, FitContext, Fitting, LoadModel, ModelEntry, Trainer, TrainingData,
    parse_params,
};
pub use fusion::{BuildFusion, Fusion, FusionEntry, FusionShape};
pub use graph::Propagation;
pub use host::{index_tensor, matrix_to_tensor, tensor_to_matrix, tensor_to_vec};
pub use layer::{Layer, LayerNorm, Linear, Weight, load_weights, save_weights};
pub use loss::{bpr_loss, sampled_softmax, softplus};
pub use optim::{Adam, AdamConfig};
pub use pairwise::{
    PairBatch, UnusedBias, check_training_params, clear_unused_items, loss_value, run_epoch,
    score_pairs, squared_penalty, step_table,
};
pub use selfcheck::{SelfCheck, self_check};
pub use table::{EmbeddingTable, unique_ids};
pub use views::Views;
pub use weights::{WeightError, WeightFile, weights_hash};
