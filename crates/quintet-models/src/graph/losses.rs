//! Losses that several models share. A batch is `B` triples of a user, a positive and a negative.
//!
//! ```text
//! BPR       mean_b softplus(-(s(u, i) - s(u, j)))         Rendle et al., UAI 2009
//! EmbNorm   (‖a‖_F + ‖b‖_F + …) / B                       plain norms of the batch's rows
//! L2half    (‖a‖²_F + ‖b‖²_F + …) / (2 B)                 B as configured, also for a short batch
//! C(a, b)   1 - mean_b cos(a_b, b_b)
//! ```

use burn::prelude::*;
use quintet_tensor::{bpr_loss, row_squares, score_pairs, select_rows, softplus, unit_rows};

/// A batch of triples as positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Triples<'a> {
    pub(crate) users: &'a [u32],
    pub(crate) positives: &'a [u32],
    pub(crate) negatives: &'a [u32],
}

impl Triples<'_> {
    /// Number of triples.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Positives, then negatives.
    pub(crate) fn items(&self) -> Vec<u32> {
        [self.positives, self.negatives].concat()
    }

    /// Users, positives and negatives as rows of a table of `n_users` users, then items.
    pub(crate) fn nodes(&self, n_users: usize) -> Vec<u32> {
        let items = self.positives.iter().chain(self.negatives).map(|i| n_users as u32 + i);
        self.users.iter().copied().chain(items).collect()
    }

    /// The rows of the users, positives and negatives, `[batch, dim]` each.
    pub(crate) fn rows(&self, users: &Tensor<2>, items: &Tensor<2>) -> [Tensor<2>; 3] {
        [
            select_rows(users.clone(), self.users),
            select_rows(items.clone(), self.positives),
            select_rows(items.clone(), self.negatives),
        ]
    }
}

/// BPR over rows of users, positives and negatives.
pub(crate) fn bpr([users, positives, negatives]: [Tensor<2>; 3]) -> Tensor<1> {
    bpr_loss(score_pairs(users.clone(), positives), score_pairs(users, negatives))
}

/// BPR from how far negatives are ahead, `[batch, 1]`.
pub(crate) fn bpr_of(margins: Tensor<2>) -> Tensor<1> {
    softplus(margins).mean()
}

/// Plain norms of `parts` equal parts of the rows, not squared, over the batch.
pub(crate) fn norms_of(squares: &Tensor<2>, parts: usize, batch: usize) -> Tensor<1> {
    let n = squares.dims()[0] / parts;
    let part = |which| root(squares.clone().narrow(0, which * n, n));
    sum((0..parts).map(part)) / batch.max(1) as f32
}

/// Plain norms, not squared, over the batch.
pub(crate) fn emb_norm(blocks: &[&Tensor<2>], batch: usize) -> Tensor<1> {
    sum(blocks.iter().map(|b| frobenius(b))) / batch.max(1) as f32
}

/// The root of the sum of squares.
pub(crate) fn frobenius(block: &Tensor<2>) -> Tensor<1> {
    root(row_squares(block.clone()))
}

/// The root of the sum of squares that are given.
fn root(squares: Tensor<2>) -> Tensor<1> {
    // The floor keeps the gradient of the root finite for a block of zeros.
    squares.sum().clamp_min(1e-24).sqrt()
}

/// Half of the squares, over the nominal batch.
pub(crate) fn l2_half(blocks: &[&Tensor<2>], nominal: usize) -> Tensor<1> {
    sum(blocks.iter().map(|b| row_squares((*b).clone()).sum())) / (2 * nominal.max(1)) as f32
}

/// Mean cosine distance of matching rows; no side is detached.
pub(crate) fn cosine_distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (unit_rows(a) * unit_rows(b)).sum_dim(1).mean().neg() + 1.0
}

fn sum(parts: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    // Callers name at least one block.
    parts.reduce(|a, b| a + b).unwrap_or_else(|| unreachable!("a loss over no blocks"))
}
