//! Ridge map from the features of one modality to those of another.
//!
//! Minimises `‖Y - X M‖² + λ' ‖M‖²` over centred rows:
//! `ŷ = μ_y + C_yx (C_xx + λ Id)^{-1} (x - μ_x)`, with `λ' = (n - 1) λ`.
//! Paper: Hoerl & Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
//! Technometrics 1970. The baseline that every learned completion must beat.
//! Parameters: `d_x d_y + d_x + d_y`. Cost: `O(n d_x (d_x + d_y) + d_x³)`; with fewer rows than
//! columns, `d_x` in the cube becomes `n`.

use faer::Mat;
use quintet_core::{CoreError, Matrix};
use serde::{Deserialize, Serialize};

use super::MappingError;
use super::error::check;
use super::linalg::{
    add_diagonal, centre, gather, gather_all, product, shift, spectral, to_matrix,
};

const METHOD: &str = "ridge";

/// Parameters of [`RidgeMap`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RidgeParams {
    /// `λ'`, added to the diagonal of `XᵀX`; above 0.
    pub l2: f64,
}

impl Default for RidgeParams {
    fn default() -> Self {
        Self { l2: 1.0 }
    }
}

/// A fitted ridge map.
#[derive(Debug, Clone)]
pub struct RidgeMap {
    mean_x: Vec<f64>,
    mean_y: Vec<f64>,
    /// `[d_x, d_y]`.
    map: Mat<f64>,
}

impl RidgeMap {
    /// Fits on rows `rows` of `x`, `[n_items, d_x]`, and `y`, `[n_items, d_y]`. `what` names the
    /// pair in errors.
    ///
    /// # Errors
    /// Fewer than two rows, numbers that are not finite, or `l2` not above 0.
    pub fn fit(
        what: &str,
        x: &Matrix,
        y: &Matrix,
        rows: &[u32],
        params: &RidgeParams,
    ) -> Result<Self, MappingError> {
        check(params.l2 > 0.0 && params.l2.is_finite(), METHOD, "l2", "above 0", params.l2)?;
        if rows.len() < 2 {
            let (what, found) = (what.to_owned(), rows.len());
            return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found });
        }
        if x.rows() != y.rows() {
            let what = format!("rows of {what}");
            return Err(CoreError::Shape { what, expected: x.rows(), found: y.rows() }.into());
        }
        let (mut x, mut y) = (gather(what, x, rows)?, gather(what, y, rows)?);
        let (mean_x, mean_y) = (centre(&mut x), centre(&mut y));
        let inverse = |mut gram: Mat<f64>| {
            add_diagonal(&mut gram, params.l2);
            // Rounding may leave an eigenvalue a little below λ'.
            spectral(METHOD, &gram, |v| 1.0 / v.max(params.l2))
        };
        let map = if x.ncols() <= x.nrows() {
            let gram = inverse(product(x.transpose(), x.as_ref()))?;
            product(gram.as_ref(), product(x.transpose(), y.as_ref()).as_ref())
        } else {
            let gram = inverse(product(x.as_ref(), x.transpose()))?;
            product(x.transpose(), product(gram.as_ref(), y.as_ref()).as_ref())
        };
        Ok(Self { mean_x, mean_y, map })
    }

    /// The coefficients from `x` to column `to` of `y`, `[d_x]`.
    ///
    /// # Panics
    /// When `y` has no such column.
    pub fn coefficients(&self, to: usize) -> Vec<f64> {
        (0..self.map.nrows()).map(|r| self.map[(r, to)]).collect()
    }

    /// `[n, d_x] → [n, d_y]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn map(&self, x: &Matrix) -> Result<Matrix, MappingError> {
        let mut x = gather_all("features", x, self.mean_x.len())?;
        shift(&mut x, &self.mean_x, -1.0);
        let mut y = product(x.as_ref(), self.map.as_ref());
        shift(&mut y, &self.mean_y, 1.0);
        Ok(to_matrix(&y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_by_hand() {
        let x = Matrix::from_vec(3, 1, vec![1.0, 2.0, 3.0]).unwrap();
        let y = Matrix::from_vec(3, 1, vec![0.0, 4.0, 8.0]).unwrap();
        let map = RidgeMap::fit("x → y", &x, &y, &[0, 1, 2], &RidgeParams { l2: 2.0 }).unwrap();
        // XᵀX = 2, XᵀY = 8: 8 / (2 + 2) = 2; ŷ(5) = 4 + 2 · 3.
        assert!((map.coefficients(0)[0] - 2.0).abs() < 1e-12);
        let five = Matrix::from_vec(1, 1, vec![5.0]).unwrap();
        assert!((map.map(&five).unwrap().as_slice()[0] - 10.0).abs() < 1e-5);
        // Four equal columns are wider than long and take the other way.
        let wide = Matrix::from_vec(3, 4, [1.0, 2.0, 3.0].iter().flat_map(|&v| [v; 4]).collect());
        let map = RidgeMap::fit("x → y", &wide.unwrap(), &y, &[0, 1, 2], &RidgeParams { l2: 2.0 });
        // 8 / (4 · 2 + 2)
        assert!(map.unwrap().coefficients(0).iter().all(|c| (c - 0.8).abs() < 1e-12));
    }

    #[test]
    fn impossible_parameters_are_refused() {
        let x = Matrix::zeros(3, 1);
        for l2 in [0.0, -1.0, f64::NAN] {
            let err = RidgeMap::fit("x → y", &x, &x, &[0, 1], &RidgeParams { l2 }).unwrap_err();
            assert!(err.to_string().contains("l2 must be above 0"), "{err}");
        }
        let err = RidgeMap::fit("x → y", &x, &x, &[1], &RidgeParams::default()).unwrap_err();
        assert!(err.to_string().contains("x → y has 1 training rows"), "{err}");
        // A constant column has no influence, and the mean is predicted.
        let map = RidgeMap::fit("x → y", &x, &x, &[0, 1], &RidgeParams::default()).unwrap();
        assert_eq!(map.map(&x).unwrap().as_slice(), [0.0; 3]);
    }
}
