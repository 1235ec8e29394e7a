//! Integration tests of the image encoders.

mod contract;
mod files;
mod hostile;
