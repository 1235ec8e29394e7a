//! Integration tests of the image encoders.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod contract;
mod files;
mod formats;
mod hostile;
mod learning;
mod networks;
mod pixels;
mod training;
