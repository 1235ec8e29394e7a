//! From sources to a report, one call a stage, each with its directory.
//!
//! | stage | reads | writes |
//! |---|---|---|
//! | [`ingest_stage`] | sources | `dataset/` |
//! | [`encode_stage`] | `dataset/` | `features/`, `cache/` |
//! | [`train_stage`] | both | `models/<label>/` |
//! | [`evaluate_stage`] | all of them | `metrics.json`, `per_user.json` |
//! | [`rate_stage`] | `dataset/` | `models/<label>/`, `ratings.json` |
//! | [`recommend`] | all of them | nothing |

mod attributes;
mod beyond;
mod complete;
mod config;
mod encode;
mod error;
mod evaluate;
mod foreign;
mod fusion;
mod media;
mod prepare;
mod rating;
mod recommend;
mod stages;
mod train;
mod weights;

pub use attributes::AttributesSpec;
pub use complete::CompleteSpec;
pub use config::{EncodeSpec, EvaluateSpec, ModelSpec, RecommendSpec, RunConfig};
pub use encode::{EncodePlaces, EncodeReport, ModalityReport, encode_stage, read_features_stage};
pub use error::PipelineError;
pub use evaluate::{
    Comparison, Interval, ModalityWeight, ModelResult, NewItems, PerUser, RunResult,
    evaluate_models, evaluate_stage,
};
pub use foreign::ForeignFeatures;
pub use fusion::{
    FusionChoice, FusionRequest, FusionRow, FusionTable, PROJECTIONS, Paired, RemovalRow,
    RemovalTable, compare_fusions, remove_modalities,
};
pub use prepare::{Prepared, prepare, report_stage};
pub use rating::{RatingResult, rate_stage};
pub use recommend::{Recommendation, Request, explain_text, recommend};
pub use stages::{Groups, Workspace, ingest_stage};
pub use train::{TrainedModel, load_models, train_models, train_stage};
pub use weights::{StoredWeights, WeightPart, WeightStore};
