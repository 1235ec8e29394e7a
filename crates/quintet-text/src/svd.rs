//! Truncated singular value decomposition of a sparse matrix.
//!
//! Paper: Halko, Martinsson, Tropp, "Finding Structure with Randomness", SIAM Review 53 (2011),
//! algorithms 4.4 (randomised subspace iteration) and 5.1. <https://arxiv.org/abs/0909.4061>
//! Differences: the small matrix is decomposed through a QR of its transpose, so that only a
//! square of the sketch's width meets the dense SVD; singular values below the resolution of
//! `f32` are dropped with their vectors.
//! Cost: `2 + 2 · power_iterations` sparse products with `dim + 10` columns, and as many QR.
//!
//! Text has a long tail of nearly equal singular values, and there the method is least exact:
//! with 4 iterations on 1,682 film titles and plots, the worst of 128 values is 5 % below what
//! 20 iterations give.
//!
//! Every dense step runs on one thread: the blocking of a parallel one follows the number of
//! threads, and with it the last bits.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_householder,
};
use faer::linalg::qr::no_pivoting::factor as qr;
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Conj, Mat, Par};
use quintet_core::SeedStream;
use quintet_tensor::EncodeError;
use rand_distr::{Distribution, StandardNormal};

use crate::sparse::{Dense, SparseRows, SparseVector};
use crate::tfidf_svd::NAME;

/// Columns of the sketch beyond those asked for (section 4.2 of the paper: 5 or 10).
const OVERSAMPLING: usize = 10;

/// A singular value below this share of the largest is rounding of the `f32` input.
const RESOLUTION: f64 = 1e-6;

/// The leading right singular vectors of a matrix, and their singular values.
#[derive(Debug, Clone, PartialEq)]
pub struct TruncatedSvd {
    singular_values: Vec<f64>,
    /// `[features, dim]`.
    components: Vec<f32>,
}

impl TruncatedSvd {
    /// Decomposes `matrix` and keeps `dim` vectors, or as many as its numerical rank. In each
    /// vector the entry of largest magnitude is positive.
    ///
    /// # Errors
    /// [`EncodeError::Corpus`] when the matrix is zero or the dense decomposition does not
    /// converge.
    pub fn fit(
        matrix: &SparseRows,
        dim: usize,
        power_iterations: usize,
        seed: SeedStream,
    ) -> Result<Self, EncodeError> {
        let transposed = matrix.transpose();
        let width = (dim + OVERSAMPLING).min(matrix.rows()).min(matrix.cols());
        let mut rng = seed.rng("tfidf-svd/sketch", 0);
        let mut sketch = Dense::zeros(matrix.cols(), width);
        sketch.data.fill_with(|| StandardNormal.sample(&mut rng));

        let mut range = thin_qr(&matrix.times(&sketch)).0;
        for _ in 0..power_iterations {
            let corange = thin_qr(&transposed.times(&range)).0;
            range = thin_qr(&matrix.times(&corange)).0;
        }
        // (Qᵀ A)ᵀ = Aᵀ Q = Q₂ R, and R = U S Wᵀ, so the right singular vectors are Q₂ U.
        let (basis, triangle) = thin_qr(&transposed.times(&range));
        let (left, values) = small_svd(&triangle)?;
        let floor = values.first().map_or(0.0, |first| first * RESOLUTION);
        let kept = values.iter().take(dim).take_while(|&&s| s > floor).count();
        if kept == 0 {
            return Err(failed("the term matrix has rank 0"));
        }
        let mut vectors = product(&basis, &left, kept);
        fix_signs(&mut vectors);
        Ok(Self {
            singular_values: values[..kept].to_vec(),
            components: vectors.data.iter().map(|&v| v as f32).collect(),
        })
    }

    /// Number of vectors kept.
    pub fn dim(&self) -> usize {
        self.singular_values.len()
    }

    /// The singular values, falling.
    pub fn singular_values(&self) -> &[f64] {
        &self.singular_values
    }

    /// The right singular vectors as the columns of `[features, dim]`, row by row.
    pub fn components(&self) -> &[f32] {
        &self.components
    }

    /// The coordinates of a row of the matrix, or of any other, along the vectors: `[dim]`.
    ///
    /// # Panics
    /// When a position is not below the number of features.
    pub fn project(&self, row: &SparseVector) -> Vec<f64> {
        let dim = self.dim();
        let mut sums = vec![0.0f64; dim];
        for (&at, &weight) in row.indices.iter().zip(&row.values) {
            let component = &self.components[at as usize * dim..(at as usize + 1) * dim];
            for (sum, &v) in sums.iter_mut().zip(component) {
                *sum += f64::from(weight) * f64::from(v);
            }
        }
        sums
    }
}

fn failed(reason: &str) -> EncodeError {
    EncodeError::Corpus { encoder: NAME.to_owned(), reason: reason.to_owned() }
}

/// An orthonormal basis of the columns of a tall matrix, and the triangle: `matrix = Q R`.
fn thin_qr(matrix: &Dense) -> (Dense, Mat<f64>) {
    let (m, n) = (matrix.rows, matrix.cols);
    let mut factors = Mat::from_fn(m, n, |i, j| matrix.data[i * n + j]);
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::<f64>::zeros(block, n);
    let scratch = qr::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    qr::qr_in_place(factors.as_mut(), coefficients.as_mut(), Par::Seq, stack, Default::default());

    let triangle = Mat::from_fn(n, n, |i, j| if i <= j { factors[(i, j)] } else { 0.0 });
    // Householder vectors lie below the diagonal, with an implied 1 on it.
    for j in 0..n {
        for i in 0..j {
            factors[(i, j)] = 0.0;
        }
        factors[(j, j)] = 1.0;
    }
    let mut q = Mat::<f64>::identity(m, n);
    let mut memory = MemBuffer::new(apply_scratch::<f64>(m, block, n));
    let stack = MemStack::new(&mut memory);
    let (basis, block) = (factors.as_ref(), coefficients.as_ref());
    apply_householder(basis, block, Conj::No, q.as_mut(), Par::Seq, stack);

    let mut rows = Dense::zeros(m, n);
    for j in 0..n {
        for i in 0..m {
            rows.data[i * n + j] = q[(i, j)];
        }
    }
    (rows, triangle)
}

/// Left singular vectors and singular values of a small square matrix.
fn small_svd(square: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>), EncodeError> {
    let n = square.nrows();
    let mut values = Diag::<f64>::zeros(n);
    let mut left = Mat::<f64>::zeros(n, n);
    let (thin, none) = (ComputeSvdVectors::Thin, ComputeSvdVectors::No);
    let scratch = svd_scratch::<f64>(n, n, thin, none, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (s, u) = (values.as_mut(), Some(left.as_mut()));
    svd(square.as_ref(), s, u, None, Par::Seq, stack, Default::default())
        .map_err(|e| failed(&format!("the singular values do not converge: {e:?}")))?;
    let values: Vec<f64> = (0..n).map(|i| values.column_vector()[i]).collect();
    match values.iter().all(|v| v.is_finite()) {
        true => Ok((left, values)),
        false => Err(failed("a singular value is not finite")),
    }
}

/// The first `cols` columns of `tall × square`.
fn product(tall: &Dense, square: &Mat<f64>, cols: usize) -> Dense {
    let mut out = Dense::zeros(tall.rows, cols);
    for (row, sums) in out.data.chunks_exact_mut(cols).enumerate() {
        for (k, &v) in tall.row(row).iter().enumerate() {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum += v * square[(k, j)];
            }
        }
    }
    out
}

/// A singular vector is known up to its sign: the first entry of largest magnitude decides.
fn fix_signs(vectors: &mut Dense) {
    for j in 0..vectors.cols {
        let column = (0..vectors.rows).map(|i| vectors.data[i * vectors.cols + j]);
        let largest = column.fold(0.0f64, |best, v| if v.abs() > best.abs() { v } else { best });
        if largest < 0.0 {
            vectors.data.iter_mut().skip(j).step_by(vectors.cols).for_each(|v| *v = -*v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `left × right`, with `left` `[n, rank]` and `right` `[rank, m]` of fixed small numbers.
    fn low_rank(n: usize, m: usize, rank: usize) -> SparseRows {
        let number = |a: usize, b: usize| ((a * 7 + b * 13 + a * b) % 11) as f32 - 5.0;
        let rows: Vec<SparseVector> = (0..n)
            .map(|i| SparseVector {
                indices: (0..m as u32).collect(),
                values: (0..m)
                    .map(|j| (0..rank).map(|k| number(i, k) * number(j, k + 20)).sum())
                    .collect(),
            })
            .collect();
        SparseRows::from_rows(m, &rows)
    }

    fn dense(matrix: &SparseRows) -> Dense {
        let mut identity = Dense::zeros(matrix.cols(), matrix.cols());
        (0..matrix.cols()).for_each(|i| identity.data[i * (matrix.cols() + 1)] = 1.0);
        matrix.times(&identity)
    }

    #[test]
    fn a_low_rank_matrix_comes_back_from_orthonormal_vectors() {
        let matrix = low_rank(40, 30, 4);
        let svd = TruncatedSvd::fit(&matrix, 20, 3, SeedStream::new(5)).unwrap();
        assert_eq!(svd.dim(), 4, "dim is clipped to the rank");
        assert!(svd.singular_values().windows(2).all(|s| s[0] >= s[1]));
        let v = |i: usize, k: usize| f64::from(svd.components()[i * 4 + k]);
        for a in 0..4 {
            for b in 0..4 {
                let dot: f64 = (0..30).map(|i| v(i, a) * v(i, b)).sum();
                assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-6, "{a} {b} {dot}");
            }
        }
        // A = (A V) Vᵀ, because V spans the rows.
        let full = dense(&matrix);
        for i in 0..40 {
            let row = SparseVector {
                indices: (0..30).collect(),
                values: full.row(i).iter().map(|&x| x as f32).collect(),
            };
            let coordinates = svd.project(&row);
            for j in 0..30 {
                let back: f64 = (0..4).map(|k| coordinates[k] * v(j, k)).sum();
                assert!((back - full.row(i)[j]).abs() < 1e-3, "{back} {}", full.row(i)[j]);
            }
        }
    }

    #[test]
    fn singular_values_of_a_diagonal_are_its_entries() {
        let rows: Vec<SparseVector> = [3.0, -5.0, 1.0]
            .iter()
            .zip(0u32..)
            .map(|(&d, i)| SparseVector { indices: vec![i], values: vec![d] })
            .collect();
        let svd =
            TruncatedSvd::fit(&SparseRows::from_rows(3, &rows), 2, 4, SeedStream::new(1)).unwrap();
        let s = svd.singular_values();
        assert!((s[0] - 5.0).abs() < 1e-9 && (s[1] - 3.0).abs() < 1e-9, "{s:?}");
        // The vectors are the axes, positive by the rule of signs, though the entry is −5.
        let expected = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        for (found, expected) in svd.components().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{:?}", svd.components());
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let matrix = low_rank(300, 200, 30);
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| TruncatedSvd::fit(&matrix, 16, 3, SeedStream::new(9)).unwrap())
        };
        assert_eq!(fit(1), fit(4));
    }

    #[test]
    fn a_zero_matrix_is_refused() {
        let matrix = SparseRows::from_rows(3, &vec![SparseVector::default(); 4]);
        let err = TruncatedSvd::fit(&matrix, 2, 1, SeedStream::new(1)).unwrap_err();
        assert_eq!(err.code(), "corpus");
    }
}
