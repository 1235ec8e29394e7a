//! From sources to a report, one call a stage, each with its directory.
//!
//! | stage | reads | writes |
//! |---|---|---|
//! | [`ingest_stage`] | sources | `dataset/` |
//! | [`train_encoders_stage`] | `dataset/` | `encoders/<modality>/` |
//! | [`encode_stage`] | `dataset/`, `encoders/` | `features/`, `cache/` |
//! | [`train_stage`] | both | `models/<label>/` |
//! | [`evaluate_stage`] | all of them | `metrics.json`, `per_user.json`, `per_user.parquet` |
//! | [`examples_stage`] | all of them | `examples.json` |
//! | [`rate_stage`] | `dataset/` | `models/<label>/`, `ratings.json` |
//! | [`write_report`] | what the others wrote | `report.html` |
//! | [`tune_stage`] | `dataset/`, `features/` | `tune/` |
//! | [`seeds_stage`] | `dataset/`, `features/` | `seeds/` |
//! | [`recommend`] | all of them | nothing |

mod attributes;
mod behaviours;
mod beyond;
mod complete;
mod config;
mod cross_validation;
mod encode;
mod error;
mod evaluate;
mod examples;
mod facts;
mod foreign;
mod fusion;
mod judge;
mod kept;
mod learn;
mod media;
mod prepare;
mod projector;
mod rating;
mod recommend;
mod report;
mod runs;
mod seeds;
mod slices;
mod stages;
mod thumbnail;
mod train;
mod tune;
mod users;
mod weights;

pub use attributes::AttributesSpec;
pub use complete::CompleteSpec;
pub use config::{EncodeSpec, EvaluateSpec, ModelSpec, RecommendSpec, RunConfig};
pub use cross_validation::{CrossValidated, CvTable, cross_validate};
pub use encode::{EncodePlaces, EncodeReport, ModalityReport, encode_stage, read_features_stage};
pub use error::PipelineError;
pub use evaluate::{
    Comparison, Interval, ModalityWeight, ModelResult, NewItems, PerUser, RunResult,
    evaluate_models, evaluate_stage,
};
pub use examples::{Example, ExampleItem, ExampleLine, Examples, examples_stage};
pub use facts::{RunFacts, moment};
pub use foreign::ForeignFeatures;
pub use fusion::{
    FusionChoice, FusionRequest, FusionRow, FusionTable, PROJECTIONS, RemovalRow, RemovalTable,
    compare_fusions, remove_modalities,
};
pub use judge::{MeanSpread, Paired};
pub use learn::{EncoderTraining, TrainedEncoder, train_encoders_stage};
pub use prepare::{Prepared, prepare, report_stage};
pub use projector::{ProjectorExport, export_projector};
pub use rating::{RatingResult, rate_stage};
pub use recommend::{Recommendation, Request, explain_text, recommend};
pub use report::write_report;
pub use runs::{
    BestModel, MetricDiff, ModelDiff, RunDiff, RunSummary, compare_runs, find_runs, summary_of,
};
pub use seeds::{SeedsRow, SeedsTable, seeds_stage};
pub use slices::SliceResult;
pub use stages::{Groups, Workspace, ingest_stage};
pub use train::{TrainedModel, load_models, train_models, train_stage};
pub use tune::{TuneResult, tune_stage};
pub use weights::{StoredWeights, WeightPart, WeightStore};
