#![doc = include_str!("../README.md")]

mod atomic;
mod by_user;
mod dataset;
mod dataset_io;
mod dataset_tables;
mod error;
mod events;
mod features;
mod npy;
mod parquet_io;
mod sampler;
mod shape;
mod split;
mod split_assign;
mod split_config;
mod state_io;

pub use atomic::{replace_dir_atomic, write_atomic};
pub use by_user::{ByUser, item_of, row_of};
pub use dataset::{Dataset, Item, MediaFile, MediaStatus, User};
pub use error::DataError;
pub use events::{Event, Events, Part};
pub use features::{
    FeatureInfo, FeatureSpec, ItemError, Precision, list_features, read_feature_info,
    read_features, write_features,
};
pub use sampler::{TripletBatch, TripletSampler};
pub use shape::{ShapeConfig, ShapeReport, Shaped, shape, shape_events};
pub use split::{PartReport, Split, SplitReport, split};
pub use split_config::SplitConfig;
pub use state_io::{read_state, write_state};
