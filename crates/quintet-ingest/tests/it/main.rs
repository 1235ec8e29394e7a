//! Integration tests: whole ingests of small folders with planted faults, and of real data.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod blocks;
mod catalogue;
mod duplicates;
mod exports;
mod faults;
mod formats;
mod formats_more;
mod golden;
mod guesses;
mod hostile_tables;
mod inputs;
mod layouts;
mod media;
mod media_kinds;
mod media_places;
mod movielens;
mod planted;
mod properties;
mod report;
#[cfg(feature = "sql")]
mod sql;
mod stops;
mod support;
mod texts;
