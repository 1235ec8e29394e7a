//! The video encoders through their registry face, on real files, over a tiny frame encoder.

mod contract;
mod clips;
mod damaged;
mod hostile;
mod support;
