#![doc = include_str!("../README.md")]
// This crate is test code: a suite says that a contract is broken by panicking, and prints what
// it left out, as any `#[test]` function does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod compare;
mod content;
mod devices;
mod encoder;
mod fusion;
mod gradient;
mod hostile;
mod learner;
mod learning;
mod metric;
mod rating;
mod rating_world;
mod recommender;
mod samples;
mod trainer;
mod views;
mod world;

pub use devices::devices;
pub use encoder::{check_encoder, check_encoder_with};
pub use fusion::{check_fusion, check_fusion_with};
pub use hostile::{Measured, files_below, hostile_media, measure_files, measured_apart};
pub use learner::check_learner;
pub use metric::check_metric;
pub use rating::check_rating;
pub use rating_world::RatingWorld;
pub use recommender::check_recommender;
pub use samples::{Broken, Samples};
pub use trainer::{EPOCHS, fit_all};
pub use world::World;
