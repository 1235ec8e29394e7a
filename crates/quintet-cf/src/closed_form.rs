//! The inverse of a symmetric positive definite matrix, where it stands.
//!
//! Cholesky's factor, the inverse of the factor and the product of that with itself, each
//! computed in place by halves over faer's products and triangular solves: `n³` multiplications
//! and no second matrix, where the usual way (LU) takes `2 n³` and two more.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::prelude::{Reborrow as _, ReborrowMut as _};
use faer::traits::RealField;
use faer::{Accum, Mat, MatMut, Par, unzip, zip};

/// Below this a matrix is not halved any more.
const SMALL: usize = 96;

/// Columns that are multiplied at once where the result replaces a factor.
const PANEL: usize = 256;

/// The matrix is not positive definite (to the precision of `T`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotPositive;

/// Replaces the lower half of `a` by that of its inverse; the upper half is not read, and holds
/// nothing of use afterwards.
///
/// # Errors
/// [`NotPositive`].
pub(crate) fn invert_spd<T: RealField>(mut a: MatMut<'_, T>, par: Par) -> Result<(), NotPositive> {
    let n = a.nrows();
    let scratch = cholesky_in_place_scratch::<T>(n, par, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(a.rb_mut(), Default::default(), par, stack, Default::default())
        .map_err(|_| NotPositive)?;
    invert_lower(a.rb_mut(), par);
    square_lower(a, par);
    Ok(())
}

/// `L` becomes `L⁻¹`: with `L = [A 0; B C]` it is `[A⁻¹ 0; −C⁻¹ B A⁻¹  C⁻¹]`.
fn invert_lower<T: RealField>(l: MatMut<'_, T>, par: Par) {
    let n = l.nrows();
    if n <= SMALL {
        let mut l = l;
        let mut out = Mat::<T>::zeros(n, n);
        invert_lower_triangular(out.as_mut(), l.rb(), Par::Seq);
        for col in 0..n {
            for row in col..n {
                l[(row, col)] = out[(row, col)].clone();
            }
        }
        return;
    }
    let (mut a, _, mut b, mut c) = l.split_at_mut(n / 2, n / 2);
    solve_lower_triangular_in_place(c.rb(), b.rb_mut(), par);
    zip!(b.rb_mut()).for_each(|unzip!(x)| *x = -x.clone());
    solve_upper_triangular_in_place(a.rb().transpose(), b.rb_mut().transpose_mut(), par);
    invert_lower(a.rb_mut(), par);
    invert_lower(c.rb_mut(), par);
}

/// `L` becomes the lower half of `Lᵀ L`: with the parts of before `[AᵀA + BᵀB; CᵀB; CᵀC]`.
fn square_lower<T: RealField>(l: MatMut<'_, T>, par: Par) {
    use BlockStructure::{Rectangular, TriangularLower, TriangularUpper};
    let n = l.nrows();
    if n <= SMALL {
        let mut l = l;
        let copy = l.rb().to_owned();
        let (lower, upper) = (copy.as_ref(), copy.as_ref().transpose());
        matmul(
            l.rb_mut(),
            TriangularLower,
            Accum::Replace,
            upper,
            TriangularUpper,
            lower,
            TriangularLower,
            T::one_impl(),
            Par::Seq,
        );
        return;
    }
    let (mut a, _, mut b, mut c) = l.split_at_mut(n / 2, n / 2);
    square_lower(a.rb_mut(), par);
    matmul(
        a.rb_mut(),
        TriangularLower,
        Accum::Add,
        b.rb().transpose(),
        Rectangular,
        b.rb(),
        Rectangular,
        T::one_impl(),
        par,
    );
    for begin in (0..b.ncols()).step_by(PANEL) {
        let width = PANEL.min(b.ncols() - begin);
        let mut panel = b.rb_mut().subcols_mut(begin, width);
        let copy = panel.rb().to_owned();
        matmul(
            panel.rb_mut(),
            Rectangular,
            Accum::Replace,
            c.rb().transpose(),
            TriangularUpper,
            copy.as_ref(),
            Rectangular,
            T::one_impl(),
            par,
        );
    }
    square_lower(c.rb_mut(), par);
}

/// Copies the lower half of a square matrix, held column by column, onto the upper one.
pub(crate) fn mirror<T: Copy>(a: &mut [T], n: usize) {
    /// Numbers a side of a tile, so that both places of a tile stay in the cache.
    const TILE: usize = 64;
    for from in (0..n).step_by(TILE) {
        for to in (from..n).step_by(TILE) {
            for col in from..n.min(from + TILE) {
                for row in to.max(col + 1)..n.min(to + TILE) {
                    a[row * n + col] = a[col * n + row];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        for n in [1usize, 5, 97, 230] {
            let mut a = vec![0.0f64; n * n];
            for col in 0..n {
                for row in col..n {
                    let value = ((row * 7 + col * 13) % 11) as f64 / 11.0;
                    a[col * n + row] = if row == col { n as f64 + value } else { value };
                }
            }
            let mut inverse = a.clone();
            invert_spd(MatMut::from_column_major_slice_mut(&mut inverse, n, n), Par::Seq).unwrap();
            mirror(&mut a, n);
            mirror(&mut inverse, n);
            for row in 0..n {
                for col in 0..n {
                    let sum: f64 = (0..n).map(|k| a[k * n + row] * inverse[col * n + k]).sum();
                    let expected = if row == col { 1.0 } else { 0.0 };
                    assert!((sum - expected).abs() < 1e-10, "{n}: {row}, {col}: {sum}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_is_refused() {
        let mut a = vec![1.0f64, 2.0, 2.0, 1.0];
        let a = MatMut::from_column_major_slice_mut(&mut a, 2, 2);
        assert_eq!(invert_spd(a, Par::Seq), Err(NotPositive));
    }
}
