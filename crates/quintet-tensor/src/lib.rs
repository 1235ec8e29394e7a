#![doc = include_str!("../README.md")]

mod ahead;
mod candidates;
mod device;
mod dropout;
mod encoder;
mod encoder_face;
mod error;
mod factor_model;
mod fit;
mod fusion;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod gpu;
mod graph;
mod gru_cell;
mod host;
mod layer;
mod learner;
mod nearest;
pub mod nn;
mod nodes;
mod objective;
mod ops;
mod optim;
#[cfg(feature = "flex")]
mod optim_fused;
mod optimiser;
mod pair_kernels;
mod pairwise;
mod privacy;
mod selfcheck;
mod shards;
mod slices;
mod table;
#[cfg(feature = "flex")]
mod tracked;
mod views;
mod weights;

pub use burn::tensor::Device;
pub use candidates::{CandidateGradients, candidate_scores};
pub use device::{DeviceChoice, DeviceReport, OpenDevice, compiled_devices, open_device};
pub use dropout::Dropout;
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
pub use fusion::{BuildFusion, Fused, Fusion, FusionEntry, FusionShape, ShareKind, knock_out};
pub use graph::{NodeGradients, Propagation, PropagationScratch};
pub use gru_cell::GruCell;
pub use host::{index_tensor, matrix_to_tensor, tensor_to_matrix, tensor_to_vec};
pub use layer::{
    Layer, LayerNorm, Linear, Weight, load_weights, normal_matrix, save_weights, xavier_normal,
    xavier_uniform,
};
pub use learner::{
    BuildTuned, EncoderLearner, LearnerStart, StartLearner, TunedEncoder, files_beside, unwritten,
};
pub use nearest::nearest_items;
pub use nodes::NodeSet;
pub use objective::{
    GradNorm, InfoNce, Robust, UncertaintyWeights, alignment, bce_rows, bce_with_logits, bpr_loss,
    category_entropy, combine_gradients, cosine_bootstrap, cross_entropy, determinantal_loss,
    direct_au, hinge_loss, info_nce, log_popularity, mse, pareto_weights, project_conflicts,
    robust_mean, sampled_softmax, soft_intra_list_distance, softmax_rows, softplus, uniformity,
    warp_loss, weighted_sum,
};
pub use ops::{
    ItemGraph, Layers, SparseProduct, SparseRows, contrast_rows, gelu, join_columns, leaky_relu,
    pair_margins, row_squares, select_rows, sigmoid, tanh, triple_margins, unit_rows,
};
pub use optim::{Adam, AdamConfig};
pub use optimiser::{Mirror, Optimiser, OptimiserConfig, OptimiserKind, Schedule, WeightGradients};
pub use pair_kernels::{PlacedTriple, bpr_gradients, bpr_slopes};
pub use pairwise::{
    PairBatch, UnusedBias, check_interactions, check_training_params, clear_unused_items,
    loss_value, run_epoch, score_pairs, squared_penalty, step_table,
};
pub use privacy::{Federation, epsilon};
pub use selfcheck::{SelfCheck, self_check};
pub use shards::{
    RowGradients, check_workers, copy_weights, on_workers, shard_ranges, step_shards,
};
pub use slices::{add_outer, add_product, add_scaled, dot};
pub use table::{EmbeddingTable, unique_ids};
pub use views::Views;
pub use weights::{WeightError, WeightFile, weights_hash};
