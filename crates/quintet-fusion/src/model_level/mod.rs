//! Fusion of models rather than of features: sub-networks that each stand for the whole, weights
//! for their losses, and sums of graphs.

pub(crate) mod blend;
pub(crate) mod co_training;
pub(crate) mod graphs;
pub(crate) mod heads;

pub use blend::{BlendParams, HeadLosses, Losses, blend_weights};
pub use co_training::{CoTraining, CoTrainingParams};
pub use graphs::{GraphSumParams, ItemGraph, knn_graph, weighted_sum};
pub use heads::{JointHeads, JointHeadsParams};
