//! The pipeline: what is encoded, and what reaches the models.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod clip;
mod counting;
mod encode;
mod ensemble;
mod fusion;
mod learn;
mod prepare;
mod run_files;
mod seeds;
mod tasks;
