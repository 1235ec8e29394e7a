//! The video encoders through their registry face, on real files, over a tiny frame encoder.

mod clips;
mod contract;
mod damaged;
mod hostile;
mod support;
