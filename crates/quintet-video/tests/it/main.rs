//! The video encoders through their registry face, on real files, over a tiny frame encoder.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod clips;
mod contract;
mod damaged;
mod hostile;
mod support;
