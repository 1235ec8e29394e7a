//! Regularised canonical correlation analysis of two views, and the linear map it gives.
//!
//! On centred pairs, after PCA to at most `reduce` components each:
//! `T = (C_xx + r_x Id)^{-1/2} C_xy (C_yy + r_y Id)^{-1/2} = U Σ Vᵀ`,
//! `A = (C_xx + r_x Id)^{-1/2} U_k`, `B = (C_yy + r_y Id)^{-1/2} V_k`, correlations `ρ = diag Σ`,
//! `ŷ = μ_y + (C_yy + r_y Id)^{1/2} V_k diag(ρ) Aᵀ (x - μ_x)`; `r` is `regularisation` times the mean
//! eigenvalue. Shared vectors may be weighted by `ρ^p` for retrieval (Gong et al., IJCV 2014).
//! Papers: Hotelling, "Relations Between Two Sets of Variates", Biometrika 1936; Vinod,
//! "Canonical Ridge and Econometrics of Joint Production", J. Econometrics 1976.
//! Parameters: `2 k (r_x + r_y)` and those of two PCA. Cost: `O(n r² + r³)` after the PCA.

use faer::Mat;
use quintet_core::{CoreError, Matrix};
use serde::{Deserialize, Serialize};

use super::error::check;
use super::linalg::{
    add_diagonal, column_sign, covariance, gather, gather_all, product, scale_columns, spectral,
    thin_svd, to_matrix,
};
use super::{MappingError, Pca, PcaParams};

const METHOD: &str = "cca";

/// Parameters of [`Cca`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CcaParams {
    /// Number of pairs of components; 0 keeps as many as the smaller rank.
    pub components: usize,
    /// Principal components of each view that go in; 0 keeps all.
    pub reduce: usize,
    /// Added to the covariances, times their mean eigenvalue; above 0.
    pub regularisation: f64,
    /// Shared vectors are multiplied by the correlations to this power; not negative.
    pub power: f64,
}

impl Default for CcaParams {
    fn default() -> Self {
        Self { components: 0, reduce: 200, regularisation: 1e-2, power: 0.0 }
    }
}

/// One view: the way in, its canonical directions, and the way back.
#[derive(Debug, Clone)]
struct View {
    pca: Pca,
    /// `(C + r Id)^{-1/2} U_k`, `[r, k]`.
    directions: Mat<f64>,
    /// `(C + r Id)^{1/2} U_k`, `[r, k]`.
    back: Mat<f64>,
}

/// Fitted canonical correlations.
#[derive(Debug, Clone)]
pub struct Cca {
    x: View,
    y: View,
    correlations: Vec<f64>,
    power: f64,
}

impl Cca {
    /// Fits on the pairs in rows `rows` of `x`, `[n_items, d_x]`, and `y`, `[n_items, d_y]`.
    /// `names` are the names of both in errors.
    ///
    /// # Errors
    /// Fewer than two pairs, numbers that are not finite, a view without variance, more
    /// components than the smaller rank, or parameters out of range.
    pub fn fit(
        names: [&str; 2],
        x: &Matrix,
        y: &Matrix,
        rows: &[u32],
        params: &CcaParams,
    ) -> Result<Self, MappingError> {
        let CcaParams { regularisation: reg, power, .. } = *params;
        check(reg > 0.0 && reg.is_finite(), METHOD, "regularisation", "above 0", reg)?;
        check(power >= 0.0 && power.is_finite(), METHOD, "power", "not negative", power)?;
        let pair = || format!("{} and {}", names[0], names[1]);
        if rows.len() < 2 {
            let (what, found) = (pair(), rows.len());
            return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found });
        }
        if x.rows() != y.rows() {
            let what = format!("rows of {}", pair());
            return Err(CoreError::Shape { what, expected: x.rows(), found: y.rows() }.into());
        }
        let (pca_x, x) = reduced(names[0], x, rows, params.reduce)?;
        let (pca_y, y) = reduced(names[1], y, rows, params.reduce)?;
        let rank = pca_x.components().min(pca_y.components());
        if params.components > rank {
            let (what, wanted) = (pair(), params.components);
            return Err(MappingError::Rank { method: METHOD, what, wanted, rank });
        }
        let k = if params.components == 0 { rank } else { params.components };
        let ([into_x, back_x], [into_y, back_y]) = (roots(&x, reg)?, roots(&y, reg)?);
        let half = product(into_x.as_ref(), covariance(&x, &y).as_ref());
        let (u, values, v) = thin_svd(METHOD, &product(half.as_ref(), into_y.as_ref()))?;
        let lead = |m: &Mat<f64>| Mat::from_fn(m.nrows(), k, |r, c| m[(r, c)]);
        let (mut u, mut v) = (lead(&u), lead(&v));
        // In the space of the features: the signs must not depend on the axes of the PCA.
        let loadings =
            product(pca_x.axes().as_ref(), product(into_x.as_ref(), u.as_ref()).as_ref());
        let signs: Vec<f64> = (0..k).map(|c| column_sign(&loadings, c)).collect();
        scale_columns(&mut u, &signs);
        scale_columns(&mut v, &signs);
        let view = |pca, into: Mat<f64>, back: Mat<f64>, u: &Mat<f64>| View {
            pca,
            directions: product(into.as_ref(), u.as_ref()),
            back: product(back.as_ref(), u.as_ref()),
        };
        Ok(Self {
            x: view(pca_x, into_x, back_x, &u),
            y: view(pca_y, into_y, back_y, &v),
            correlations: values[..k].to_vec(),
            power,
        })
    }

    /// The regularised correlations of the training pairs, falling.
    pub fn correlations(&self) -> &[f64] {
        &self.correlations
    }

    /// Shared vectors of the first view, `[n, d_x] → [n, k]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn transform_x(&self, x: &Matrix) -> Result<Matrix, MappingError> {
        self.weighted(self.x.shared(x)?)
    }

    /// Shared vectors of the second view, `[n, d_y] → [n, k]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn transform_y(&self, y: &Matrix) -> Result<Matrix, MappingError> {
        self.weighted(self.y.shared(y)?)
    }

    /// What the first view says about the second, `[n, d_x] → [n, d_y]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn map_x_to_y(&self, x: &Matrix) -> Result<Matrix, MappingError> {
        Ok(self.y.restore(self.x.shared(x)?, &self.correlations))
    }

    /// What the second view says about the first, `[n, d_y] → [n, d_x]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn map_y_to_x(&self, y: &Matrix) -> Result<Matrix, MappingError> {
        Ok(self.x.restore(self.y.shared(y)?, &self.correlations))
    }

    /// The correlation of each pair of components over the pairs in `rows`; 0 where one of them
    /// does not vary. With few training pairs those of [`Cca::correlations`] are an artefact.
    ///
    /// # Errors
    /// Fewer than two pairs, another width, or a number that is not finite.
    pub fn held_out_correlations(
        &self,
        x: &Matrix,
        y: &Matrix,
        rows: &[u32],
    ) -> Result<Vec<f64>, MappingError> {
        if rows.len() < 2 {
            let (what, found) = ("held-out pairs".to_owned(), rows.len());
            return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found });
        }
        let pick = |m: &Matrix| gather("held-out features", m, rows).map(|g| to_matrix(&g));
        let (a, b) = (self.x.shared(&pick(x)?)?, self.y.shared(&pick(y)?)?);
        Ok((0..self.correlations.len()).map(|c| correlation(&a, &b, c)).collect())
    }

    fn weighted(&self, mut z: Mat<f64>) -> Result<Matrix, MappingError> {
        let weights: Vec<f64> = self.correlations.iter().map(|r| r.powf(self.power)).collect();
        scale_columns(&mut z, &weights);
        Ok(to_matrix(&z))
    }
}

impl View {
    fn shared(&self, x: &Matrix) -> Result<Mat<f64>, MappingError> {
        let x = self.pca.project(gather_all("features", x, self.pca.dim())?);
        Ok(product(x.as_ref(), self.directions.as_ref()))
    }

    fn restore(&self, mut shared: Mat<f64>, correlations: &[f64]) -> Matrix {
        scale_columns(&mut shared, correlations);
        to_matrix(&self.pca.restore(product(shared.as_ref(), self.back.transpose())))
    }
}

/// A PCA of the rows and the rows in it.
pub(crate) fn reduced(
    what: &str,
    x: &Matrix,
    rows: &[u32],
    components: usize,
) -> Result<(Pca, Mat<f64>), MappingError> {
    let x = gather(what, x, rows)?;
    let params = PcaParams { components, ..PcaParams::default() };
    let pca = Pca::fit_at_most(what, x.clone(), &params)?;
    let x = pca.project(x);
    Ok((pca, x))
}

/// `(C + r Id)^{-1/2}` and `(C + r Id)^{1/2}`.
pub(crate) fn roots(x: &Mat<f64>, regularisation: f64) -> Result<[Mat<f64>; 2], MappingError> {
    let mut c = covariance(x, x);
    let mean = (0..c.nrows()).map(|i| c[(i, i)]).sum::<f64>() / c.nrows().max(1) as f64;
    let r = regularisation * mean;
    add_diagonal(&mut c, r);
    Ok([
        spectral(METHOD, &c, |v| 1.0 / v.max(r).sqrt())?,
        spectral(METHOD, &c, |v| v.max(r).sqrt())?,
    ])
}

/// Pearson's correlation of column `c` of both.
fn correlation(a: &Mat<f64>, b: &Mat<f64>, c: usize) -> f64 {
    let n = a.nrows();
    let mean = |m: &Mat<f64>| (0..n).map(|r| m[(r, c)]).sum::<f64>() / n as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        (0..n).map(|r| f(a[(r, c)] - ma, b[(r, c)] - mb)).sum::<f64>()
    };
    let (aa, bb) = (sum(&|a, _| a * a), sum(&|_, b| b * b));
    if aa > 0.0 && bb > 0.0 { sum(&|a, b| a * b) / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Matrix, Matrix) {
        let x = Matrix::from_vec(3, 1, vec![-1.0, 0.0, 1.0]).unwrap();
        let y = Matrix::from_vec(3, 1, vec![9.0, 8.0, 11.0]).unwrap();
        (x, y)
    }

    #[test]
    fn one_column_by_hand() {
        let (x, y) = pair();
        // Variances 1 and 7/3, covariance 1, both variances times 1.25:
        // ρ = 1 / (1.25 sqrt(7/3)), A = 1 / sqrt(1.25).
        let params = CcaParams { regularisation: 0.25, ..Default::default() };
        let cca = Cca::fit(["x", "y"], &x, &y, &[0, 1, 2], &params).unwrap();
        let rho = 1.0 / (1.25 * (7.0f64 / 3.0).sqrt());
        assert!((cca.correlations()[0] - rho).abs() < 1e-12);
        let shared = cca.transform_x(&x).unwrap();
        assert!((f64::from(shared.as_slice()[2]) - 1.0 / 1.25f64.sqrt()).abs() < 1e-6);
        // The map is the ridge map, ŷ = 28/3 + x · 1 / 1.25.
        let mapped = cca.map_x_to_y(&x).unwrap();
        assert!((f64::from(mapped.as_slice()[2]) - (28.0 / 3.0 + 0.8)).abs() < 1e-5);
        let back = cca.map_y_to_x(&y).unwrap();
        // x̂ = 0 + (11 - 28/3) · 1 / (1.25 · 7/3)
        assert!((f64::from(back.as_slice()[2]) - 5.0 / 3.0 / (1.25 * 7.0 / 3.0)).abs() < 1e-5);
        // Without regularisation: 1 / sqrt(1 · 7/3).
        let held = cca.held_out_correlations(&x, &y, &[0, 1, 2]).unwrap();
        assert!((held[0] - 1.0 / (7.0f64 / 3.0).sqrt()).abs() < 1e-6, "{held:?}");
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let (x, y) = pair();
        let fit = |rows: &[u32], params: CcaParams| {
            Cca::fit(["text", "image"], &x, &y, rows, &params).unwrap_err().to_string()
        };
        let text = fit(&[1], CcaParams::default());
        assert!(text.contains("text and image has 1 training rows"), "{text}");
        let text = fit(&[0, 1], CcaParams { components: 2, ..Default::default() });
        assert!(text.contains("2 components") && text.contains("is 1"), "{text}");
        let text = fit(&[0, 1], CcaParams { regularisation: 0.0, ..Default::default() });
        assert!(text.contains("regularisation must be above 0"), "{text}");
        assert!(fit(&[1, 1], CcaParams::default()).contains("text does not vary"));
    }
}
