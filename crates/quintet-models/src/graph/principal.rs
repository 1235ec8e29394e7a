//! The principal subgraph of PGL's global variant, without a dense matrix of all nodes.
//!
//! ```text
//! wanted   Σ_r s_r s_{n-l+r} u_r v_rᵀ   over the leading l of n singular triplets of S
//! S = [[0, R̂], [R̂ᵀ, 0]]                every σ of R̂ is a singular value of S twice
//! found    [[0, Q], [Qᵀ, 0]],  Q = Σ_k σ_k σ_{n'-l'+k} a_k b_kᵀ,  n' = n/2, l' = l/2
//! ```
//! with `R̂ = Σ σ_k a_k b_kᵀ`: the two triplets of a pair have the same weight, so that only their
//! sum `[[0, a bᵀ], [b aᵀ, 0]]` counts and not how the pair is split. The triplets of `R̂` are
//! found by randomised subspace iteration (Halko, Martinsson & Tropp, "Finding Structure with
//! Randomness", SIAM Review 2011).
//! Cost: `O(rounds · (nnz · n + (users + items) · n²) + users · items · l)` time; memory for the
//! bases and what is kept.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};
use quintet_tensor::{FitError, SparseProduct, SparseRows, normal_matrix};
use rand::Rng;
use rayon::prelude::*;

/// Vectors beyond those that are wanted: they make the last wanted ones exact.
const EXTRA: usize = 16;

/// Products with `R̂ᵀ R̂`.
const ROUNDS: usize = 16;

/// Smaller entries are left out (PGL's constant).
const SMALLEST: f32 = 1e-3;

/// Sizes of a principal subgraph, in singular triplets of `S`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrincipalShape {
    /// Triplets that values are taken from; even.
    pub(crate) rank: usize,
    /// Triplets whose vectors are taken; even, at most `rank`.
    pub(crate) leading: usize,
}

/// The principal subgraph of the user–item graph, users first. `of_items` is the block of `S`
/// that maps items to users.
///
/// # Errors
/// The eigenvalues of a small matrix do not converge.
pub(crate) fn principal_graph(
    of_items: &SparseProduct,
    shape: PrincipalShape,
    rng: &mut impl Rng,
) -> Result<SparseProduct, FitError> {
    let [n_users, n_items] = of_items.matrix().dims();
    let rank = (shape.rank / 2).min(n_users).min(n_items);
    let leading = (shape.leading / 2).min(rank);
    let width = (rank + EXTRA).min(n_users).min(n_items);
    let (users, items) = basis(of_items, width, rng);
    let (values, turn) = eigen(&gram(&items))?;
    // Columns of `users · turn` are the a_k, those of `items · turn` the σ_k b_k.
    let sigma = |k: usize| values[k].max(0.0).sqrt();
    let a = turned(&users, &turn, leading, |_| 1.0);
    let b = turned(&items, &turn, leading, |k| sigma(rank - leading + k));
    let block = SparseRows::from_rows(n_items, kept(&a, &b, leading));
    let turned = block.transpose();
    let cells = |rows: &SparseRows, row: usize, from: usize| -> Vec<(u32, f32)> {
        let (columns, values) = rows.row(row);
        columns.iter().map(|c| c + from as u32).zip(values.iter().copied()).collect()
    };
    let of_users = (0..n_users).map(|u| cells(&block, u, n_users));
    let of_items = (0..n_items).map(|i| cells(&turned, i, 0));
    Ok(SparseProduct::symmetric(SparseRows::from_rows(n_users + n_items, of_users.chain(of_items))))
}

/// Vectors one after the other.
struct Vectors {
    len: usize,
    numbers: Vec<f64>,
}

impl Vectors {
    fn each(&self) -> std::slice::ChunksExact<'_, f64> {
        self.numbers.chunks_exact(self.len.max(1))
    }
}

/// An orthonormal basis of the leading left singular vectors, and `R̂ᵀ` times it.
fn basis(of_items: &SparseProduct, width: usize, rng: &mut impl Rng) -> (Vectors, Vectors) {
    let [n_users, n_items] = of_items.matrix().dims();
    let of_users = of_items.transpose();
    let product = |graph: &SparseProduct, x: &[f32], rows: usize| {
        let mut out = vec![0.0f32; rows * width];
        graph.matrix().multiply(x, None, 1.0, &mut out, width);
        out
    };
    let mut items = normal_matrix(n_items, width, 1.0, rng).into_vec();
    let mut users = Vectors { len: n_users, numbers: Vec::new() };
    for _ in 0..ROUNDS {
        users = orthonormal(product(of_items, &items, n_users), n_users, width);
        items = product(&of_users, &rows_of(&users, width), n_items);
        let straight = orthonormal(items.clone(), n_items, width);
        items = rows_of(&straight, width);
    }
    // Not straightened: what its columns measure are the singular values.
    let last = product(&of_users, &rows_of(&users, width), n_items);
    (users, columns_of(&last, n_items, width))
}

fn columns_of(rows: &[f32], n: usize, width: usize) -> Vectors {
    let numbers =
        (0..width).flat_map(|c| (0..n).map(move |r| f64::from(rows[r * width + c]))).collect();
    Vectors { len: n, numbers }
}

fn rows_of(vectors: &Vectors, width: usize) -> Vec<f32> {
    let n = vectors.len;
    (0..n).flat_map(|r| (0..width).map(move |c| vectors.numbers[c * n + r] as f32)).collect()
}

/// Gram–Schmidt, twice for each vector; what is left of one that depends on others is zero.
fn orthonormal(rows: Vec<f32>, n: usize, width: usize) -> Vectors {
    let mut vectors = columns_of(&rows, n, width);
    for place in 0..width {
        let (done, rest) = vectors.numbers.split_at_mut(place * n);
        let own = &mut rest[..n];
        let before = dot(own, own).sqrt();
        for _ in 0..2 {
            for other in done.chunks_exact(n.max(1)) {
                let along = dot(own, other);
                own.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let length = dot(own, own).sqrt();
        // What rounding left of a vector in the span of the others is noise.
        let by = if length > 1e-6 * before { 1.0 / length } else { 0.0 };
        own.iter_mut().for_each(|v| *v *= by);
    }
    vectors
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn gram(vectors: &Vectors) -> Mat<f64> {
    let each: Vec<&[f64]> = vectors.each().collect();
    Mat::from_fn(each.len(), each.len(), |r, c| dot(each[r], each[c]))
}

/// Eigenvalues in falling order and their vectors as columns; on one thread, whose last bits do not
/// follow the machine.
fn eigen(a: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), FitError> {
    let n = a.nrows();
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let yes = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(n, yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (s, u) = (values.as_mut(), Some(vectors.as_mut()));
    self_adjoint_evd(a.as_ref(), s, u, Par::Seq, stack, Default::default()).map_err(|e| {
        let reason = format!("the singular values of its user–item graph do not converge: {e:?}");
        FitError::Data { model: "pgl".into(), reason }
    })?;
    let falling = (0..n).rev().map(|i| values.column_vector()[i]).collect();
    Ok((falling, Mat::from_fn(n, n, |r, c| vectors[(r, n - 1 - c)])))
}

/// The first `leading` columns of `vectors · turn`, each times what `by` gives, row by row.
fn turned(
    vectors: &Vectors,
    turn: &Mat<f64>,
    leading: usize,
    by: impl Fn(usize) -> f64,
) -> Vec<f32> {
    let mut out = vec![0.0f32; vectors.len * leading];
    for k in 0..leading {
        let mut sum = vec![0.0f64; vectors.len];
        for (place, vector) in vectors.each().enumerate() {
            let factor = turn[(place, k)] * by(k);
            sum.iter_mut().zip(vector).for_each(|(s, v)| *s += factor * v);
        }
        sum.iter().enumerate().for_each(|(row, v)| out[row * leading + k] = *v as f32);
    }
    out
}

/// The entries of `a bᵀ` that are large enough, a row a task.
fn kept(a: &[f32], b: &[f32], leading: usize) -> Vec<Vec<(u32, f32)>> {
    let row = |a: &[f32]| {
        let entry = |b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let entries = b.chunks_exact(leading).enumerate().map(|(i, b)| (i as u32, entry(b)));
        entries.filter(|(_, value)| value.abs() >= SMALLEST).collect()
    };
    a.par_chunks_exact(leading).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Interactions, SeedStream};

    /// The leading triplets of a block matrix are known: each block of `r × c` ones, normalised,
    /// is `1 · a bᵀ` with `a = 1/√r`, `b = 1/√c`.
    #[test]
    fn blocks_are_their_own_principal_graph() {
        let block = |users: std::ops::Range<u32>, items: std::ops::Range<u32>| {
            users.flat_map(move |u| items.clone().map(move |i| (u, i)))
        };
        let pairs = block(0..4, 0..3).chain(block(4..6, 3..8));
        let train = Interactions::from_pairs(6, 8, pairs).unwrap();
        let graph = SparseProduct::new(SparseRows::from_interactions(&train).normalised());
        let shape = PrincipalShape { rank: 4, leading: 4 };
        let mut rng = SeedStream::new(3).rng("principal", 0);
        let found = principal_graph(&graph, shape, &mut rng).unwrap();
        assert_eq!(found.matrix().dims(), [14, 14]);
        for user in 0..6usize {
            let (columns, values) = found.matrix().row(user);
            let (first, n, weight) = if user < 4 { (6, 3, 12f32) } else { (9, 5, 10.0) };
            assert_eq!(columns, (first..first + n).collect::<Vec<u32>>());
            assert!(values.iter().all(|v| (v - 1.0 / weight.sqrt()).abs() < 1e-5), "{values:?}");
        }
        assert_eq!(found.matrix().transpose(), *found.matrix());
    }
}
