//! The audio encoders through their registry face, on real files.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod contract;
mod files;
mod hostile;
mod support;
