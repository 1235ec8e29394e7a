#![doc = include_str!("../README.md")]

mod device;
mod encoder;
mod error;
mod factor_model;
mod fit;
mod fusion;
mod graph;
mod host;
mod layer;
mod loss;
mod optim;
mod selfcheck;
mod table;
mod views;

pub use burn::tensor::Device;
pub use device::{DeviceChoice, DeviceReport, OpenDevice, compiled_devices, open_device};
pub use encoder::{
    Encoder, EncoderEntry, EncoderFace, EncoderInfo, EncoderSpec, MediaEncoder, Open, RawMedia,
};
pub use error::{DecodeKind, DeviceError, EncodeError, FitError};
pub use factor_model::FactorModel;
pub use fit::{EpochStats, Fit, FitContext, Fitting, ModelEntry, Trainer, TrainingData, parse_params};
pub use fusion::{Fusion, FusionEntry, FusionShape};
pub use graph::Propagation;
pub use host::{index_tensor, matrix_to_tensor, tensor_to_matrix, tensor_to_vec};
pub use layer::{Layer, LayerNorm, Linear, Weight, load_weights, save_weights};
pub use loss::{bpr_loss, in_batch_softmax, norm_penalty, softplus};
pub use optim::{Adam, AdamConfig};
pub use selfcheck::{SelfCheck, self_check};
pub use table::{EmbeddingTable, unique_ids};
pub use views::Views;
