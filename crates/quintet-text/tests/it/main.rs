//! Integration tests of the text encoders.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod contract;
mod hostile;
mod learning;
mod parity;
mod pretrained;
mod sentence;
mod trained;
mod training;
