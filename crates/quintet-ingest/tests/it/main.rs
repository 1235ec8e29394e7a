//! Integration tests: whole ingests of small folders with planted faults, and of real data.

mod faults;
mod formats;
mod media;
mod movielens;
mod properties;
mod stops;
mod support;
