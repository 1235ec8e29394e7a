//! The crate from outside.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod import;
mod impute;
