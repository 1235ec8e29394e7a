#![doc = include_str!("../README.md")]

mod catalog;
mod clean_text;
mod columns;
mod config;
mod config_sources;
mod config_sql;
mod duplicates;
mod error;
mod events;
mod export;
#[doc(hidden)]
pub mod fuzzing;
mod guess;
mod ingest;
mod layouts;
mod log;
mod media;
mod movielens;
mod parse;
mod paths;
mod places;
mod progress;
mod report;
mod report_data;
mod report_html;
mod report_stats;
mod sql;
mod table;

pub use clean_text::{TextConfig, TextReport, UnicodeForm, UrlPolicy};
pub use config::{
    DuplicatePolicy, Encoding, IngestConfig, InteractionColumns, ItemColumns, JoinConfig,
    MediaCheck, MediaConfig, MovieLensConfig, TableFile, TableFormat, TablesConfig, TimeUnit,
    UnknownPolicy, UserColumns,
};
pub use config_sources::{
    AmazonConfig, CheckinColumns, CheckinsConfig, LightGcnConfig, MmRecConfig, PlaceColumns,
    RecBoleConfig,
};
pub use config_sql::{SqlConfig, SqlDerive, SqlFormat, SqlQuery, SqlTable};
pub use error::IngestError;
pub use export::{ExportFormat, export, export_config};
pub use guess::{ColumnGuess, Confidence, Guess, Role, guess};
pub use ingest::{Ingested, ingest, ingest_with};
pub use layouts::mmrec_features;
pub use media::{
    DuplicateCount, DuplicateGroup, DuplicateListing, DuplicateReport, LISTED_GROUPS, Likeness,
    MediaCode, duplicate_groups, media_hash,
};
pub use progress::{IngestProgress, Quiet};
pub use report::{
    DerivedReport, DerivedSplit, Fault, FaultCode, FileReport, IngestReport, LISTED_PER_CODE,
    MediaReport, Severity,
};
pub use report_data::DataReport;
pub use report_stats::{
    AttributeStats, Bucket, CORES, ContentStats, CoreStats, DatasetStats, EVENTS_FOR_ALL_CORES,
    EventsPer, KindStats, ModalityStats, Overlap, PartStats, Spread, TimeBucket, TimeStats,
    TimeStep, ValueBin, ValueStats,
};
