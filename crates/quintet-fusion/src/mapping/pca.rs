//! Principal components and whitening.
//!
//! Centred by `μ`, with `C = XᵀX / (n - 1) = V Λ Vᵀ`: `y = V_kᵀ (x - μ)`, whitened
//! `y / sqrt(Λ + ε)`. Exact by the eigenvectors of `C`, or of `XXᵀ` where there are fewer rows than
//! columns; for wide and long features by subspace iteration on `k + oversampling` random columns.
//! Papers: Hotelling, "Analysis of a Complex of Statistical Variables into Principal Components",
//! J. Educational Psychology 1933; Halko, Martinsson & Tropp, "Finding Structure with
//! Randomness", SIAM Review 2011, algorithm 4.4.
//! Parameters: `dim + k dim + k`. Cost: exact `O(n d m + m³)` with `m = min(n, d)`; randomised
//! `O(n d (k + 10) q)`.

use faer::Mat;
use quintet_core::{Matrix, SeedStream};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::MappingError;
use super::error::check;
use super::linalg::{
    centre, column_sign, eigen, gather, gather_all, product, scale_columns, shift, thin_svd,
    to_matrix,
};

const METHOD: &str = "pca";

/// Up to this many rows or columns, [`PcaSolver::Auto`] is exact.
const EXACT_UP_TO: usize = 1024;

/// A variance below this share of the largest is rounding of the `f32` input.
const RESOLUTION: f64 = 1e-12;

/// How the axes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PcaSolver {
    /// Exact up to 1024 rows or columns, randomised beyond.
    #[default]
    Auto,
    /// Eigenvectors of the covariance.
    Exact,
    /// Randomised range finder.
    Randomised,
}

/// Parameters of [`Pca`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PcaParams {
    /// Number of components; 0 keeps every direction in which the rows vary.
    pub components: usize,
    /// Whether components are scaled to variance 1.
    pub whiten: bool,
    /// Added to the variances before whitening, not negative.
    pub epsilon: f64,
    /// How the axes are found.
    pub solver: PcaSolver,
    /// Products with the covariance of the randomised solver.
    pub power_iterations: usize,
    /// Random columns beyond `components`.
    pub oversampling: usize,
    /// Seed of the randomised solver.
    pub seed: u64,
}

impl Default for PcaParams {
    fn default() -> Self {
        Self {
            components: 0,
            whiten: false,
            epsilon: 0.0,
            solver: PcaSolver::Auto,
            power_iterations: 4,
            oversampling: 10,
            seed: 0,
        }
    }
}

/// Fitted principal components.
#[derive(Debug, Clone)]
pub struct Pca {
    mean: Vec<f64>,
    /// `[dim, k]`.
    axes: Mat<f64>,
    variances: Vec<f64>,
    total: f64,
    whiten: Option<f64>,
}

impl Pca {
    /// Fits on the rows `rows` of `x`, `[n_items, dim]`. `what` names the features in errors.
    ///
    /// # Errors
    /// Fewer than two rows, numbers that are not finite, no variance, more components than the
    /// rank, or a negative ε.
    pub fn fit(
        what: &str,
        x: &Matrix,
        rows: &[u32],
        params: &PcaParams,
    ) -> Result<Self, MappingError> {
        let pca = Self::fit_at_most(what, gather(what, x, rows)?, params)?;
        if pca.components() < params.components {
            return Err(MappingError::Rank {
                method: METHOD,
                what: what.to_owned(),
                wanted: params.components,
                rank: pca.components(),
            });
        }
        Ok(pca)
    }

    /// As [`Pca::fit`], with fewer components where the rank is lower.
    pub(crate) fn fit_at_most(
        what: &str,
        mut x: Mat<f64>,
        params: &PcaParams,
    ) -> Result<Self, MappingError> {
        let good = params.epsilon >= 0.0 && params.epsilon.is_finite();
        check(good, METHOD, "epsilon", "finite and not negative", params.epsilon)?;
        let (n, dim) = (x.nrows(), x.ncols());
        if n < 2 {
            let what = what.to_owned();
            return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found: n });
        }
        let size = (0..dim).flat_map(|c| (0..n).map(move |r| (r, c)));
        let size = size.map(|p| x[p].abs()).fold(0.0, f64::max);
        let mean = centre(&mut x);
        let squares = |m: &Mat<f64>, c: usize| (0..n).map(|r| m[(r, c)].powi(2)).sum::<f64>();
        let total = (0..dim).map(|c| squares(&x, c)).sum::<f64>() / (n - 1) as f64;
        // Below it, what is left after centring is the rounding of the mean.
        if total <= (size * 1e-14).powi(2) * dim as f64 {
            return Err(MappingError::NoVariance {
                method: METHOD,
                what: what.to_owned(),
                rows: n,
            });
        }
        let small = n.min(dim);
        let exact = match params.solver {
            PcaSolver::Auto => small <= EXACT_UP_TO || params.components == 0,
            PcaSolver::Exact => true,
            PcaSolver::Randomised => params.components == 0,
        };
        let keep = if params.components == 0 { small } else { params.components.min(small) };
        let (mut variances, mut axes) =
            if exact { exact_axes(&x)? } else { random_axes(&x, keep, params)? };
        let rank = variances.iter().take_while(|&&v| v > variances[0] * RESOLUTION).count();
        let keep = keep.min(rank);
        variances.truncate(keep);
        axes = Mat::from_fn(dim, keep, |r, c| axes[(r, c)]);
        let signs: Vec<f64> = (0..keep).map(|c| column_sign(&axes, c)).collect();
        scale_columns(&mut axes, &signs);
        Ok(Self { mean, axes, variances, total, whiten: params.whiten.then_some(params.epsilon) })
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.variances.len()
    }

    /// Width of the features.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The mean of the training rows, `[dim]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Axis `component`, `[dim]`, of length 1; its largest entry is positive.
    ///
    /// # Panics
    /// When there is no such component.
    pub fn axis(&self, component: usize) -> Vec<f64> {
        (0..self.dim()).map(|r| self.axes[(r, component)]).collect()
    }

    /// The axes as columns.
    pub(crate) fn axes(&self) -> &Mat<f64> {
        &self.axes
    }

    /// The variance along each component, falling.
    pub fn explained_variance(&self) -> &[f64] {
        &self.variances
    }

    /// The shares of the components in the variance of the features.
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        self.variances.iter().map(|v| v / self.total).collect()
    }

    /// `[n, dim] → [n, k]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn transform(&self, x: &Matrix) -> Result<Matrix, MappingError> {
        Ok(to_matrix(&self.project(gather_all("features", x, self.dim())?)))
    }

    /// `[n, k] → [n, dim]`: the closest rows of the space that the axes span.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn inverse_transform(&self, y: &Matrix) -> Result<Matrix, MappingError> {
        Ok(to_matrix(&self.restore(gather_all("components", y, self.components())?)))
    }

    pub(crate) fn project(&self, mut x: Mat<f64>) -> Mat<f64> {
        shift(&mut x, &self.mean, -1.0);
        let mut y = product(x.as_ref(), self.axes.as_ref());
        if let Some(spread) = self.spread() {
            scale_columns(&mut y, &spread.iter().map(|s| 1.0 / s).collect::<Vec<_>>());
        }
        y
    }

    pub(crate) fn restore(&self, mut y: Mat<f64>) -> Mat<f64> {
        if let Some(spread) = self.spread() {
            scale_columns(&mut y, &spread);
        }
        let mut x = product(y.as_ref(), self.axes.transpose());
        shift(&mut x, &self.mean, 1.0);
        x
    }

    /// `sqrt(Λ + ε)` where components are whitened.
    fn spread(&self) -> Option<Vec<f64>> {
        let epsilon = self.whiten?;
        Some(self.variances.iter().map(|v| (v + epsilon).sqrt()).collect())
    }
}

/// All variances and axes of centred rows.
fn exact_axes(x: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), MappingError> {
    let n1 = (x.nrows() - 1) as f64;
    if x.ncols() <= x.nrows() {
        let (values, axes) = eigen(METHOD, &product(x.transpose(), x.as_ref()))?;
        return Ok((values.into_iter().map(|v| v.max(0.0) / n1).collect(), axes));
    }
    // XXᵀ u = λ u gives the axis Xᵀu / sqrt(λ).
    let (values, left) = eigen(METHOD, &product(x.as_ref(), x.transpose()))?;
    let mut axes = product(x.transpose(), left.as_ref());
    let floor = values[0] * RESOLUTION;
    let lengths = values.iter().map(|&v| if v > floor { 1.0 / v.sqrt() } else { 0.0 });
    scale_columns(&mut axes, &lengths.collect::<Vec<_>>());
    Ok((values.into_iter().map(|v| v.max(0.0) / n1).collect(), axes))
}

/// The leading `keep` variances and axes by randomised subspace iteration.
fn random_axes(
    x: &Mat<f64>,
    keep: usize,
    params: &PcaParams,
) -> Result<(Vec<f64>, Mat<f64>), MappingError> {
    let width = (keep + params.oversampling).min(x.nrows()).min(x.ncols());
    let mut rng = SeedStream::new(params.seed).rng("pca/sketch", 0);
    let sketch = Mat::from_fn(x.ncols(), width, |_, _| StandardNormal.sample(&mut rng));
    let mut range = thin_svd(METHOD, &product(x.as_ref(), sketch.as_ref()))?.0;
    for _ in 0..params.power_iterations {
        let corange = thin_svd(METHOD, &product(x.transpose(), range.as_ref()))?.0;
        range = thin_svd(METHOD, &product(x.as_ref(), corange.as_ref()))?.0;
    }
    let (axes, values, _) = thin_svd(METHOD, &product(x.transpose(), range.as_ref()))?;
    let n1 = (x.nrows() - 1) as f64;
    Ok((values.into_iter().map(|s| s * s / n1).collect(), axes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Matrix {
        // Along (3, 4) / 5 by -5, 0, 5 around (10, 20, 7); the last column is constant.
        Matrix::from_vec(3, 3, vec![7.0, 16.0, 7.0, 10.0, 20.0, 7.0, 13.0, 24.0, 7.0]).unwrap()
    }

    #[test]
    fn a_line_has_one_axis() {
        for solver in [PcaSolver::Exact, PcaSolver::Randomised] {
            let params = PcaParams { components: 1, solver, ..Default::default() };
            let pca = Pca::fit("text", &three(), &[0, 1, 2], &params).unwrap();
            for (a, e) in pca.axis(0).iter().zip([0.6, 0.8, 0.0]) {
                assert!((a - e).abs() < 1e-12);
            }
            // (25 + 0 + 25) / 2
            assert!((pca.explained_variance()[0] - 25.0).abs() < 1e-10);
            assert!((pca.explained_variance_ratio()[0] - 1.0).abs() < 1e-12);
            let y = pca.transform(&three()).unwrap();
            assert!((y.as_slice()[0] + 5.0).abs() < 1e-5 && (y.as_slice()[2] - 5.0).abs() < 1e-5);
            let back = pca.inverse_transform(&y).unwrap();
            assert!(
                back.as_slice().iter().zip(three().as_slice()).all(|(a, b)| (a - b).abs() < 1e-4)
            );
        }
    }

    #[test]
    fn whitened_components_have_variance_one() {
        let params = PcaParams { whiten: true, ..Default::default() };
        let y = Pca::fit("text", &three(), &[0, 1, 2], &params).unwrap().transform(&three());
        // -5, 0, 5 over the standard deviation 5
        let y = y.unwrap();
        assert!(y.as_slice().iter().zip([-1.0, 0.0, 1.0]).all(|(a, e)| (a - e).abs() < 1e-6));
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let fit = |x: &Matrix, rows: &[u32], components| {
            let params = PcaParams { components, ..Default::default() };
            Pca::fit("image", x, rows, &params).unwrap_err().to_string()
        };
        assert!(fit(&three(), &[0], 0).contains("image has 1 training rows"));
        assert!(fit(&three(), &[1, 1], 0).contains("image does not vary"));
        let rank = fit(&three(), &[0, 1, 2], 2);
        assert!(rank.contains("2 components") && rank.contains("rank of image is 1"), "{rank}");
        assert!(fit(&three(), &[0, 3], 0).contains("rows of image"));
        let nan = Matrix::from_vec(2, 1, vec![0.0, f32::NAN]).unwrap();
        assert!(fit(&nan, &[0, 1], 0).contains("image row 1, column 0 is NaN"));
    }
}
