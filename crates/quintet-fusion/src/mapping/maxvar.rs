//! Canonical correlation of more than two views, MAXVAR.
//!
//! With the centred views `X_m`, each after PCA: the shared vectors `G` are the leading
//! eigenvectors of `Σ_m X_m (X_mᵀX_m + (n - 1) r_m Id)^{-1} X_mᵀ`, the sum of the projections onto
//! the views. They are the left singular vectors of the whitened views side by side,
//! `[X_1 W_1, …, X_M W_M]`, `W_m = (C_m + r_m Id)^{-1/2} / sqrt(n - 1)`. The directions of a view are
//! `(C_m + r_m Id)^{-1} X_mᵀ G / sqrt(n - 1)`: a ridge regression of `sqrt(n - 1) G` on the view.
//! Paper: Kettenring, "Canonical Analysis of Several Sets of Variables", Biometrika 1971.
//! Parameters: `k Σ r_m` and those of the PCA. Cost: `O(n R² + R³)`, `R = Σ r_m`.

use faer::Mat;
use quintet_core::{CoreError, Matrix};

use super::cca::{reduced, roots};
use super::error::check;
use super::linalg::{column_sign, gather_all, product, scale_columns, thin_svd, to_matrix};
use super::{CcaParams, MappingError, Pca};

const METHOD: &str = "maxvar";

/// Fitted shared vectors of several views.
#[derive(Debug, Clone)]
pub struct MaxVar {
    /// The way into each view and its directions, `[r_m, k]`.
    views: Vec<(Pca, Mat<f64>)>,
    eigenvalues: Vec<f64>,
}

impl MaxVar {
    /// Fits on the rows `rows`, present in all `views`: names for errors and `[n_items, d_m]`.
    /// `power` of the parameters is not used.
    ///
    /// # Errors
    /// Fewer than two views or rows, numbers that are not finite, a view without variance, more
    /// components than the views have together, or parameters out of range.
    pub fn fit(
        views: &[(&str, &Matrix)],
        rows: &[u32],
        params: &CcaParams,
    ) -> Result<Self, MappingError> {
        let reg = params.regularisation;
        check(reg > 0.0 && reg.is_finite(), METHOD, "regularisation", "above 0", reg)?;
        check(views.len() >= 2, METHOD, "views", "at least 2", views.len())?;
        let mut parts = Vec::with_capacity(views.len());
        for (name, x) in views {
            let (pca, x) = reduced(name, x, rows, params.reduce)?;
            let [into, _] = roots(&x, reg)?;
            parts.push((pca, product(x.as_ref(), into.as_ref()), into));
        }
        let n = rows.len();
        let columns: Vec<(usize, usize)> = parts
            .iter()
            .enumerate()
            .flat_map(|(m, (_, white, _))| (0..white.ncols()).map(move |c| (m, c)))
            .collect();
        let by = 1.0 / ((n - 1) as f64).sqrt();
        let side = Mat::from_fn(n, columns.len(), |r, c| {
            let (m, c) = columns[c];
            parts[m].1[(r, c)] * by
        });
        let (shared, values, right) = thin_svd(METHOD, &side)?;
        // Centred rows span n - 1 directions at most.
        let rank = values.len().min(n - 1);
        if params.components > rank {
            let what = "all views".to_owned();
            let wanted = params.components;
            return Err(MappingError::Rank { method: METHOD, what, wanted, rank });
        }
        let k = if params.components == 0 { rank } else { params.components };
        let signs: Vec<f64> = (0..k).map(|c| column_sign(&shared, c)).collect();
        let mut fitted = Vec::with_capacity(parts.len());
        let mut start = 0;
        for (pca, white, into) in parts {
            // X_mᵀ-side of the singular vectors: W_mᵀ X_mᵀ G = V_m Σ.
            let mut v = Mat::from_fn(white.ncols(), k, |r, c| right[(start + r, c)] * values[c]);
            start += white.ncols();
            scale_columns(&mut v, &signs);
            fitted.push((pca, product(into.as_ref(), v.as_ref())));
        }
        let eigenvalues = values[..k].iter().map(|s| s * s).collect();
        Ok(Self { views: fitted, eigenvalues })
    }

    /// The eigenvalues, falling, in `[0, n_views]`: the sum over the views of the (regularised)
    /// shares of a shared component that they explain. For two views, `1 + ρ`.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// Shared vectors from view `view` alone, `[n, d_m] → [n, k]`.
    ///
    /// # Errors
    /// There is no such view, another width, or a number that is not finite.
    pub fn transform(&self, view: usize, x: &Matrix) -> Result<Matrix, MappingError> {
        let (pca, directions) = self.views.get(view).ok_or(CoreError::OutOfRange {
            what: "view",
            index: view,
            len: self.views.len(),
        })?;
        let x = pca.project(gather_all("features", x, pca.dim())?);
        Ok(to_matrix(&product(x.as_ref(), directions.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_views_give_one_plus_and_one_minus_the_correlation() {
        let x = Matrix::from_vec(3, 1, vec![-1.0, 0.0, 1.0]).unwrap();
        let y = Matrix::from_vec(3, 1, vec![9.0, 8.0, 11.0]).unwrap();
        let params = CcaParams { regularisation: 1e-9, ..Default::default() };
        let found = MaxVar::fit(&[("x", &x), ("y", &y)], &[0, 1, 2], &params).unwrap();
        // Variances 1 and 7/3, covariance 1.
        let rho = 1.0 / (7.0f64 / 3.0).sqrt();
        for (f, e) in found.eigenvalues().iter().zip([1.0 + rho, 1.0 - rho]) {
            assert!((f - e).abs() < 1e-7, "{found:?}");
        }
    }

    #[test]
    fn equal_views_agree_fully() {
        let x = Matrix::from_vec(3, 1, vec![-1.0, 0.0, 1.0]).unwrap();
        let views = [("a", &x), ("b", &x), ("c", &x)];
        let params = CcaParams { components: 1, regularisation: 1e-9, ..Default::default() };
        let found = MaxVar::fit(&views, &[0, 1, 2], &params).unwrap();
        assert!((found.eigenvalues()[0] - 3.0).abs() < 1e-7);
        // sqrt(n - 1) G has variance 1, like x; the larger entry that comes first is positive.
        let shared = found.transform(1, &x).unwrap();
        assert!((shared.as_slice()[0] - 1.0).abs() < 1e-5, "{shared:?}");
        let many = CcaParams { components: 3, ..Default::default() };
        assert!(MaxVar::fit(&views, &[0, 1, 2], &many).is_err());
        assert!(found.transform(3, &x).is_err());
        assert!(MaxVar::fit(&views[..1], &[0, 1, 2], &params).is_err());
    }
}
