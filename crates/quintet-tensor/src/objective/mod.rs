//! Objectives. Each returns `[1]`, the mean over the batch.
//!
//! Losses are to be minimised; the measures of diversity say in which
//! direction they go. One file a family. Cost: `O(numbers in the input)` unless a file says otherwise.

mod contrastive;
mod diversity;
mod gradnorm;
mod multitask;
mod pairwise;
mod pointwise;
mod robust;
mod softmax;

pub use contrastive::{InfoNce, alignment, cosine_bootstrap, direct_au, info_nce, uniformity};
pub use diversity::{
    category_entropy, determinantal_loss, log_popularity, soft_intra_list_distance,
};
pub use gradnorm::GradNorm;
pub use multitask::{
    UncertaintyWeights, combine_gradients, pareto_weights, project_conflicts, weighted_sum,
};
pub use pairwise::{bpr_loss, hinge_loss, softplus, warp_loss};
pub use pointwise::{bce_rows, bce_with_logits, cross_entropy, mse};
pub use robust::{Robust, robust_mean};
pub use softmax::{sampled_softmax, softmax_rows};
