//! What training spends its time in, each with a fused form for the numbers of this process and a
//! portable one for every other device. Both compute the same function; sums may be rounded
//! differently.

mod contrast;
mod curves;
mod linear;
mod pairs;
mod rows;
mod sparse;

pub use contrast::contrast_rows;
pub use curves::{gelu, leaky_relu, sigmoid, tanh};
pub(crate) use linear::affine;
pub use pairs::{join_columns, pair_margins, row_squares, triple_margins};
pub(crate) use rows::layer_norm;
pub use rows::{select_rows, unit_rows};
pub use sparse::{ItemGraph, Layers, SparseProduct, SparseRows};
