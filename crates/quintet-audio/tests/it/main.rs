//! The audio encoders through their registry face, on real files.

mod files;
mod hostile;
mod support;
