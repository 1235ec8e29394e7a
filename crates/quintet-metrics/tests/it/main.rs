//! The integration tests, one binary.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod against_scikit_learn;
mod against_scipy;
mod beyond;
mod beyond_properties;
mod common;
mod contract;
mod evaluator;
mod hand;
mod properties;
mod ranx;
mod references;
mod slices;
