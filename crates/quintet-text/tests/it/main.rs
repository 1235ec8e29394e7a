//! Integration tests of the text encoders.

mod parity;
