#![doc = include_str!("../README.md")]

mod atomic;
mod dataset;
mod dataset_io;
mod dataset_tables;
mod error;
mod features;
mod npy;
mod parquet_io;
mod sampler;
mod shape;
mod split;
mod split_assign;
mod state_io;

pub use atomic::{replace_dir_atomic, write_atomic};
pub use dataset::{Dataset, Event, Item, MediaFile, MediaStatus, User};
pub use error::DataError;
pub use features::{
    FeatureInfo, FeatureSpec, ItemError, Precision, list_features, read_feature_info,
    read_features, write_features,
};
pub use sampler::{
    InBatchNegatives, NegativeStrategy, TripletBatch, TripletEpoch, TripletSampler, WarpNegatives,
};
pub use shape::{ShapeConfig, ShapeReport, Shaped, shape};
pub use split::{PartReport, Split, SplitConfig, SplitReport, split};
pub use state_io::{read_state, write_state};
