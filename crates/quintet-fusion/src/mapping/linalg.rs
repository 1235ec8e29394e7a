//! Dense steps that the closed forms share, in `f64` over faer.
//!
//! All on one thread: the blocking of a parallel product follows the number of threads, and with
//! it the last bits.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Accum, Mat, MatRef, Par};
use quintet_core::{CoreError, Matrix};

use super::MappingError;

/// `a b`.
pub(crate) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// The named rows of a matrix in 64 bits.
///
/// # Errors
/// A row out of range or a number that is not finite; `what` names the table.
pub(crate) fn gather(what: &str, x: &Matrix, rows: &[u32]) -> Result<Mat<f64>, MappingError> {
    for &row in rows {
        let row = row as usize;
        if row >= x.rows() {
            return Err(CoreError::Shape {
                what: format!("rows of {what} for row {row}"),
                expected: row + 1,
                found: x.rows(),
            }
            .into());
        }
        if let Some(col) = x.row(row).iter().position(|v| !v.is_finite()) {
            let value = x.row(row)[col];
            return Err(CoreError::NotFinite { what: what.to_owned(), row, col, value }.into());
        }
    }
    Ok(Mat::from_fn(rows.len(), x.cols(), |r, c| f64::from(x.row(rows[r] as usize)[c])))
}

/// All rows of `x`, checked to have width `cols`.
pub(crate) fn gather_all(what: &str, x: &Matrix, cols: usize) -> Result<Mat<f64>, MappingError> {
    if x.cols() != cols {
        let what = format!("width of {what}");
        return Err(CoreError::Shape { what, expected: cols, found: x.cols() }.into());
    }
    let rows: Vec<u32> = (0..x.rows() as u32).collect();
    gather(what, x, &rows)
}

/// Rounds to 32 bits.
pub(crate) fn to_matrix(x: &Mat<f64>) -> Matrix {
    let mut out = Matrix::zeros(x.nrows(), x.ncols());
    for r in 0..x.nrows() {
        out.row_mut(r).iter_mut().enumerate().for_each(|(c, o)| *o = x[(r, c)] as f32);
    }
    out
}

/// Takes the means of the columns away and returns them.
pub(crate) fn centre(x: &mut Mat<f64>) -> Vec<f64> {
    let n = x.nrows().max(1) as f64;
    let mean: Vec<f64> =
        (0..x.ncols()).map(|c| (0..x.nrows()).map(|r| x[(r, c)]).sum::<f64>() / n).collect();
    shift(x, &mean, -1.0);
    mean
}

/// Adds `factor · by` to every row.
pub(crate) fn shift(x: &mut Mat<f64>, by: &[f64], factor: f64) {
    for (c, v) in by.iter().enumerate() {
        for r in 0..x.nrows() {
            x[(r, c)] += factor * v;
        }
    }
}

/// Multiplies column `c` by `by[c]`.
pub(crate) fn scale_columns(x: &mut Mat<f64>, by: &[f64]) {
    for (c, v) in by.iter().enumerate() {
        for r in 0..x.nrows() {
            x[(r, c)] *= v;
        }
    }
}

/// `aᵀ b / (n - 1)` of centred columns.
pub(crate) fn covariance(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let mut c = product(a.transpose(), b.as_ref());
    let by = 1.0 / (a.nrows().max(2) - 1) as f64;
    scale_columns(&mut c, &vec![by; b.ncols()]);
    c
}

/// Adds `by` to the diagonal.
pub(crate) fn add_diagonal(x: &mut Mat<f64>, by: f64) {
    for i in 0..x.nrows() {
        x[(i, i)] += by;
    }
}

/// Eigenvalues in falling order and their vectors as columns.
pub(crate) fn eigen(
    method: &'static str,
    a: &Mat<f64>,
) -> Result<(Vec<f64>, Mat<f64>), MappingError> {
    let n = a.nrows();
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let yes = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(n, yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (s, u) = (values.as_mut(), Some(vectors.as_mut()));
    self_adjoint_evd(a.as_ref(), s, u, Par::Seq, stack, Default::default()).map_err(|e| {
        MappingError::Solver { method, reason: format!("eigenvalues do not converge: {e:?}") }
    })?;
    // Eigenvalues come in rising order.
    let falling = (0..n).rev().map(|i| values.column_vector()[i]).collect();
    Ok((falling, Mat::from_fn(n, n, |r, c| vectors[(r, n - 1 - c)])))
}

/// `U`, the diagonal of `Σ`, and `V`.
pub(crate) type Svd = (Mat<f64>, Vec<f64>, Mat<f64>);

/// Thin `U Σ Vᵀ`, singular values falling.
pub(crate) fn thin_svd(method: &'static str, a: &Mat<f64>) -> Result<Svd, MappingError> {
    let (m, n) = (a.nrows(), a.ncols());
    let k = m.min(n);
    let mut values = Diag::<f64>::zeros(k);
    let (mut left, mut right) = (Mat::<f64>::zeros(m, k), Mat::<f64>::zeros(n, k));
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<f64>(m, n, thin, thin, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let (s, u, v) = (values.as_mut(), Some(left.as_mut()), Some(right.as_mut()));
    svd(a.as_ref(), s, u, v, Par::Seq, stack, Default::default()).map_err(|e| {
        MappingError::Solver { method, reason: format!("singular values do not converge: {e:?}") }
    })?;
    Ok((left, (0..k).map(|i| values.column_vector()[i]).collect(), right))
}

/// `V diag(power(λ)) Vᵀ` of a symmetric matrix.
pub(crate) fn spectral(
    method: &'static str,
    a: &Mat<f64>,
    power: impl Fn(f64) -> f64,
) -> Result<Mat<f64>, MappingError> {
    let (values, vectors) = eigen(method, a)?;
    let mut scaled = vectors.clone();
    scale_columns(&mut scaled, &values.iter().map(|&v| power(v)).collect::<Vec<_>>());
    Ok(product(scaled.as_ref(), vectors.transpose()))
}

/// The sign that makes the first entry of largest magnitude of column `c` positive.
pub(crate) fn column_sign(x: &Mat<f64>, c: usize) -> f64 {
    let column = (0..x.nrows()).map(|r| x[(r, c)]);
    // Entries that differ in the last bits only are a tie, and the first of them decides.
    let largest =
        column.fold(0.0f64, |best, v| if v.abs() > best.abs() * (1.0 + 1e-9) { v } else { best });
    if largest < 0.0 { -1.0 } else { 1.0 }
}
