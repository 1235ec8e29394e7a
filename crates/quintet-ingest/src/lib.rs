#![doc = include_str!("../README.md")]

mod catalog;
mod clean_text;
mod columns;
mod config;
mod duplicates;
mod error;
mod events;
#[doc(hidden)]
pub mod fuzzing;
mod ingest;
mod log;
mod media;
mod movielens;
mod parse;
mod paths;
mod places;
mod report;
mod report_html;
mod table;

pub use clean_text::{TextConfig, TextReport, UnicodeForm, UrlPolicy};
pub use config::{
    DuplicatePolicy, Encoding, IngestConfig, InteractionColumns, ItemColumns, JoinConfig,
    MediaCheck, MediaConfig, MovieLensConfig, TableFile, TableFormat, TablesConfig, TimeUnit,
    UnknownPolicy, UserColumns,
};
pub use error::IngestError;
pub use ingest::{Ingested, ingest};
pub use media::{
    DuplicateCount, DuplicateGroup, DuplicateListing, DuplicateReport, LISTED_GROUPS, Likeness,
    MediaCode, duplicate_groups,
};
pub use report::{
    Fault, FaultCode, FileReport, IngestReport, LISTED_PER_CODE, MediaReport, Severity,
};
