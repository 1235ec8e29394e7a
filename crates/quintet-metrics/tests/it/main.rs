//! The integration tests, one binary.

mod common;
mod contract;
mod evaluator;
mod hand;
mod properties;
mod ranx;
