#![doc = include_str!("../README.md")]

mod ensemble;
#[cfg(feature = "pipeline")]
pub mod pipeline;
mod registries;

pub use ensemble::{EnsembleParams, MemberParams};
pub use quintet_cf as cf;
pub use quintet_core as core;
pub use quintet_data as data;
pub use quintet_fusion as fusion;
#[cfg(feature = "pipeline")]
pub use quintet_ingest as ingest;
pub use quintet_metrics as metrics;
pub use quintet_models as models;
pub use quintet_rules as rules;
pub use quintet_tensor as tensor;
pub use quintet_train as train;
pub use registries::Registries;
