//! The crate from outside.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod import;
mod impute;
mod sampling;
mod shapes;
mod splits;
