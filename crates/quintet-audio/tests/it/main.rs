//! The audio encoders through their registry face, on real files.

mod contract;
mod files;
mod hostile;
mod support;
