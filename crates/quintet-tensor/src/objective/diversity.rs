//! Measures of how varied a list of candidates is, for objectives beside a ranking loss.
//!
//! ```text
//! soft intra-list distance   Σ_{i≠j} p_i p_j (1 - f_i·f_j) = 1 - ‖Σ_i p_i f_i‖²
//! category entropy           -Σ_c π_c ln π_c ,  π = Σ_i p_i cat_i
//! log popularity             Σ_i p_i ln n_i
//! determinantal              -[ln det K_Y - ln det(K + Id)] ,  K = diag(q) F Fᵀ diag(q) + ε Id
//! ```
//! with `p = softmax(s / τ)`, `q = e^{s/2}` and vectors `f` of length 1. Wilhelm et al.,
//! "Practical Diversified Recommendations on YouTube with Determinantal Point Processes", CIKM
//! 2018. Vectors get no gradient: a model would satisfy the term by moving its items apart.
//! Never use one without a ranking loss: a flat `p` is the most diverse.
//! No parameters; cost `O(batch · n · dim)`, determinantal `O(batch · n² (dim + n))`.

use burn::prelude::*;

/// Mean intra-list distance under `p`: the higher, the more varied.
///
/// Subtract it from a loss, or add `1 - distance` where a loss must not be negative.
///
/// - `p`: `[batch, n]`, rows sum to 1
/// - `vectors`: `[batch, n, dim]`, each of length 1
///
/// # Panics
/// When the shapes disagree.
pub fn soft_intra_list_distance(p: Tensor<2>, vectors: Tensor<3>) -> Tensor<1> {
    let mean = expected(p, vectors); // [batch, dim]
    mean.powi_scalar(2).sum_dim(1).mean().neg() + 1.0
}

/// Mean entropy, in nats, of the categories under `p`: the higher, the more varied.
///
/// - `p`: `[batch, n]`, rows sum to 1
/// - `categories`: `[batch, n, n_categories]`, each row sums to 1
///
/// # Panics
/// When the shapes disagree.
pub fn category_entropy(p: Tensor<2>, categories: Tensor<3>) -> Tensor<1> {
    let shares = expected(p, categories); // [batch, n_categories]
    let logs = shares.clone().clamp_min(1e-12).log();
    (shares * logs).sum_dim(1).mean().neg()
}

/// Mean log popularity under `p`: the lower, the more novel.
///
/// - `p`: `[batch, n]`, rows sum to 1
/// - `log_counts`: `[batch, n]`, `ln` of how many training users each item has
///
/// # Panics
/// When the shapes disagree.
pub fn log_popularity(p: Tensor<2>, log_counts: Tensor<2>) -> Tensor<1> {
    assert_eq!(p.dims(), log_counts.dims(), "one count a candidate");
    (p * log_counts.detach()).sum_dim(1).mean()
}

/// Negative log-likelihood of the chosen candidates under a determinantal point process.
///
/// - `scores`: `[batch, n]`; keep `n` at 50 or below
/// - `vectors`: `[batch, n, dim]`, each of length 1
/// - `chosen`: `[batch, n]`, 1 for the positives, else 0
/// - `epsilon`: what is added to the diagonal of `K`
///
/// # Panics
/// When the shapes disagree, or `epsilon` is not above 0.
pub fn determinantal_loss(
    scores: Tensor<2>,
    vectors: Tensor<3>,
    chosen: Tensor<2>,
    epsilon: f32,
) -> Tensor<1> {
    let [batch, n] = scores.dims();
    assert_eq!(vectors.dims()[..2], [batch, n], "one vector a candidate");
    assert_eq!(chosen.dims(), [batch, n], "one flag a candidate");
    assert!(epsilon > 0.0, "epsilon {epsilon} is not above 0");
    let device = scores.device();
    let quality = (scores * 0.5).exp().reshape([batch, n, 1]);
    let scaled = vectors.detach() * quality; // [batch, n, dim]
    let products = scaled.clone().matmul(scaled.transpose()); // [batch, n, n]
    let one = Tensor::<2>::eye(n, &device).reshape([1, n, n]);
    let kernel = products + one.clone() * epsilon;
    // Rows and columns of the others become those of Id, which add ln 1 to the determinant.
    let chosen = chosen.detach();
    let both = chosen.clone().reshape([batch, n, 1]) * chosen.clone().reshape([batch, 1, n]);
    let others = one.clone() * (chosen.neg() + 1.0).reshape([batch, n, 1]);
    let of_chosen = kernel.clone() * both + others;
    (log_det(kernel + one) - log_det(of_chosen)).mean()
}

/// `Σ_i p_i x_i`, `[batch, width]`; `x` gets no gradient.
fn expected(p: Tensor<2>, x: Tensor<3>) -> Tensor<2> {
    let ([batch, n], [_, _, width]) = (p.dims(), x.dims());
    assert_eq!(x.dims()[..2], [batch, n], "one row a candidate");
    p.reshape([batch, 1, n]).matmul(x.detach()).reshape([batch, width])
}

/// Log determinants, `[batch, 1]`, of symmetric positive definite matrices `[batch, n, n]`, by
/// elimination: the pivots of a Cholesky factorisation, squared, are the Schur complements.
fn log_det(mut matrix: Tensor<3>) -> Tensor<2> {
    let [batch, n, _] = matrix.dims();
    let mut pivots = Vec::with_capacity(n);
    for left in (1..=n).rev() {
        let pivot = matrix.clone().narrow(1, 0, 1).narrow(2, 0, 1); // [batch, 1, 1]
        if left > 1 {
            let column = matrix.clone().narrow(1, 1, left - 1).narrow(2, 0, 1);
            let row = column.clone().transpose() / pivot.clone();
            let rest = matrix.narrow(1, 1, left - 1).narrow(2, 1, left - 1);
            matrix = rest - column.matmul(row);
        }
        pivots.push(pivot.log().reshape([batch, 1]));
    }
    Tensor::cat(pivots, 1).sum_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_to_vec;

    fn number(value: Tensor<1>) -> f32 {
        tensor_to_vec(value).unwrap()[0]
    }

    #[test]
    fn measures_by_hand() {
        let device = Device::flex();
        let p = Tensor::<2>::from_data([[0.5, 0.5, 0.0]], &device);
        let f = Tensor::<3>::from_data([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]], &device);
        // 1 - (0.25 + 0.25): two orthogonal items, equally likely.
        assert!((number(soft_intra_list_distance(p.clone(), f.clone())) - 0.5).abs() < 1e-6);
        // The vectors read as categories: two of them, equally likely.
        assert!((number(category_entropy(p.clone(), f.clone())) - 2f32.ln()).abs() < 1e-6);
        // One category alone has no entropy, and 0 ln 0 is 0.
        let first = Tensor::<2>::from_data([[1.0, 0.0, 0.0]], &device);
        assert!(number(category_entropy(first, f)).abs() < 1e-6);
        let logs = Tensor::<2>::from_data([[1.0, 3.0, 100.0]], &device);
        assert!((number(log_popularity(p, logs)) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_determinantal_list_of_two_by_hand() {
        let device = Device::flex();
        let scores = Tensor::<2>::zeros([1, 2], &device);
        let same = Tensor::<3>::from_data([[[1.0, 0.0], [1.0, 0.0]]], &device);
        let chosen = Tensor::<2>::from_data([[1.0, 1.0]], &device);
        // K = [[1.5, 1], [1, 1.5]], det 1.25; K + Id = [[2.5, 1], [1, 2.5]], det 5.25.
        let found = number(determinantal_loss(scores.clone(), same.clone(), chosen, 0.5));
        assert!((found - (5.25f32 / 1.25).ln()).abs() < 1e-5, "{found}");
        // Of the first alone: K_Y = 1.5.
        let chosen = Tensor::<2>::from_data([[1.0, 0.0]], &device);
        let found = number(determinantal_loss(scores, same, chosen, 0.5));
        assert!((found - (5.25f32 / 1.5).ln()).abs() < 1e-5, "{found}");
    }
}
