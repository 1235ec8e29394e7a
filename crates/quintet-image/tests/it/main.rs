//! Integration tests of the image encoders.

mod files;
mod hostile;
