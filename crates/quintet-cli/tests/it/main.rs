//! The program from outside: what it prints, how it ends, what it leaves on the disk.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bad_input;
mod bad_media;
mod bad_run_file;
mod crashes;
mod exports;
mod foreign_features;
#[cfg(unix)]
mod full_disk;
mod fusion;
mod guess;
mod help;
mod killed;
mod ratings;
mod reports;
mod support;
mod tuning;
mod weights;
mod whole_way;
