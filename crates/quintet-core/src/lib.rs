#![doc = include_str!("../README.md")]

mod behaviours;
mod capability;
mod error;
mod features;
mod held;
mod ids;
mod interactions;
mod matrix;
mod modality;
mod newcomers;
mod rating;
mod recommender;
mod registry;
mod seed;
mod sequences;
mod sparse_features;
mod state;
mod topk;

pub use behaviours::Behaviours;
pub use capability::Capability;
pub use error::CoreError;
pub use features::{FeatureSet, ModalityFeatures};
pub use held::{Held, Phase, Test, Valid};
pub use ids::{IdMap, ItemIdx, UserIdx, id_number};
pub use interactions::{Interactions, Triplet};
pub use matrix::Matrix;
pub use modality::Modality;
pub use newcomers::{Newcomers, check_fold_in};
pub use rating::{
    BuildRating, Fallback, FitRating, Learns, LoadRating, Prediction, PredictionCounts,
    RatingEntry, RatingError, RatingPair, RatingPredictor,
};
pub use recommender::{Factors, Reason, Recommender, ScoreError};
pub use registry::{Named, Registry, RegistryError};
pub use seed::SeedStream;
pub use sequences::Sequences;
pub use sparse_features::SparseFeatures;
pub use state::{ModelState, StateError, StateTensor};
pub use topk::{Scored, top_k};
