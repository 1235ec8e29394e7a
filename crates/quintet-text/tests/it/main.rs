//! Integration tests of the text encoders.

mod contract;
mod parity;
