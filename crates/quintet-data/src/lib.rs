#![doc = include_str!("../README.md")]

mod atomic;
mod attributes;
mod by_user;
mod dataset;
mod dataset_io;
mod dataset_tables;
mod error;
mod events;
mod feature_ids;
mod feature_import;
mod feature_store;
mod feature_writer;
mod features;
mod impute;
mod impute_config;
mod impute_graph;
mod impute_nearest;
mod npy;
mod npy_head;
mod npy_rows;
mod parquet_io;
mod sampler;
mod sessions;
mod shape;
mod shape_config;
mod split;
mod split_assign;
mod split_config;
mod state_io;
mod user_results;
mod vector_cache;

pub use atomic::{replace_dir_atomic, write_atomic};
pub use attributes::{
    AttributeColumn, AttributeConfig, AttributeEncoder, AttributeReport, Attributed, BadCell,
    CategoricalColumn, CategoricalEncoding, ColumnReport, EncodedAttributes, FittedCategorical,
    FittedColumn, FittedNumeric, InferredColumn, InferredKind, LISTED_CELLS, NumericScale,
};
pub use by_user::{ByUser, item_of, row_of};
pub use dataset::{Dataset, Item, MediaFile, MediaStatus, User};
pub use error::DataError;
pub use events::{Event, Events, Part};
pub use feature_ids::{IdColumn, ImportIds};
pub use feature_import::{ImportReport, ImportSpec, import_features};
pub use feature_store::FeatureStore;
pub use feature_writer::FeatureWriter;
pub use features::{
    FeatureInfo, FeatureSpec, ItemError, Precision, list_features, read_feature_info,
    read_features, write_features,
};
pub use impute::{ImputeReport, Imputed, impute};
pub use impute_config::ImputeConfig;
pub use npy_rows::{fuzz_npy, read_npy_matrix};
pub use sampler::{
    InBatchNegatives, NegativeStrategy, TripletBatch, TripletEpoch, TripletSampler, WarpNegatives,
};
pub use sessions::{LengthBucket, SessionConfig, SessionReport, Sessions, sessions};
pub use shape::{Shaped, shape, shape_events};
pub use shape_config::{ShapeConfig, ShapeReport};
pub use split::{PartReport, Split, SplitReport, split};
pub use split_config::SplitConfig;
pub use state_io::{read_state, write_state};
pub use user_results::{
    MeasuredUsers, ModelValues, UserResult, UserResults, read_user_results, write_user_results,
};
pub use vector_cache::{ContentHash, VectorCache};
