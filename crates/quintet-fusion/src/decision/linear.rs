//! Ridge and logistic regression in 64 bits, with standard errors.
//!
//! ```text
//! ridge      min Σ (y - x·w - b)² + λ ‖w‖²
//! logistic   min Σ softplus(z) - y z + λ/2 ‖w‖² ,  z = x·w + b        Newton's method
//! ```
//! The intercept has no penalty. Standard errors: `σ² A⁻¹ XᵀX A⁻¹` with `A = XᵀX + λ Id` for
//! ridge, `σ²` from the residuals over `n - tr(A⁻¹ XᵀX)`; the inverse of the Hessian for logistic.
//! Hoerl & Kennard, "Ridge Regression", Technometrics 1970. Cost `O(n d² + d³)`, times the steps of
//! Newton. Parameters `d + 1`.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, Side};
use quintet_core::Matrix;
use quintet_tensor::FitError;

const NAME: &str = "linear";

/// A fitted linear model.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearFit {
    /// One a column.
    pub coefficients: Vec<f64>,
    /// The constant.
    pub intercept: f64,
    /// Standard errors of the coefficients, then of the intercept.
    pub standard_errors: Vec<f64>,
}

/// Ridge regression of `y` on the rows of `x`, `[n, d]`; `l2` is the `λ` above.
///
/// # Errors
/// The lengths differ, a number is not finite, or the columns do not determine the fit.
pub fn fit_ridge(x: &Matrix, y: &[f64], l2: f64) -> Result<LinearFit, FitError> {
    check(x, y.len(), l2)?;
    if let Some(row) = y.iter().position(|v| !v.is_finite()) {
        return Err(data(format!("the target of row {row} is {}", y[row])));
    }
    let d = x.cols();
    let mut products = Mat::<f64>::zeros(d + 1, d + 1);
    let mut right = Mat::<f64>::zeros(d + 1, 1);
    for (row, target) in y.iter().enumerate() {
        let features = with_one(x.row(row));
        add_outer(&mut products, &features, 1.0);
        (0..=d).for_each(|a| right[(a, 0)] += features[a] * target);
    }
    let mut penalised = products.clone();
    (0..d).for_each(|a| penalised[(a, a)] += l2);
    let factor = penalised.llt(Side::Lower).map_err(|_| undetermined())?;
    let solution = factor.solve(&right);
    let inverse = factor.inverse();
    let used = &inverse * &products;
    let freedom: f64 = y.len() as f64 - (0..=d).map(|a| used[(a, a)]).sum::<f64>();
    let residuals: f64 = y
        .iter()
        .enumerate()
        .map(|(row, target)| (target - along(&with_one(x.row(row)), &solution)).powi(2))
        .sum();
    let variance = if freedom > 0.0 { residuals / freedom } else { f64::NAN };
    let spread = &used * &inverse;
    Ok(finish(&solution, (0..=d).map(|a| (variance * spread[(a, a)]).sqrt())))
}

/// Logistic regression of labels on the rows of `x`, `[n, d]`; `l2` is the `λ` above.
///
/// # Errors
/// The lengths differ, a number is not finite, a label does not occur, or the labels can be
/// separated without error and `l2` is 0: the coefficients then have no bound.
pub fn fit_logistic(x: &Matrix, labels: &[bool], l2: f64) -> Result<LinearFit, FitError> {
    const STEPS: usize = 100;
    check(x, labels.len(), l2)?;
    if labels.iter().all(|l| *l) || labels.iter().all(|l| !*l) {
        return Err(data("the labels are all equal, both are needed".into()));
    }
    let d = x.cols();
    let mut w = Mat::<f64>::zeros(d + 1, 1);
    let mut value = objective(x, labels, l2, &w);
    for _ in 0..STEPS {
        let (slope, hessian) = derivatives(x, labels, l2, &w);
        let factor = hessian.llt(Side::Lower).map_err(|_| undetermined())?;
        let step = factor.solve(&slope);
        let decrease: f64 = (0..=d).map(|a| step[(a, 0)] * slope[(a, 0)]).sum();
        if decrease <= 1e-18 * labels.len() as f64 {
            let inverse = factor.inverse();
            return Ok(finish(&w, (0..=d).map(|a| inverse[(a, a)].sqrt())));
        }
        // Halved until the objective falls: whole steps can overshoot far from the minimum.
        let mut share = 1.0;
        loop {
            let next = Mat::from_fn(d + 1, 1, |a, _| w[(a, 0)] - share * step[(a, 0)]);
            let found = objective(x, labels, l2, &next);
            if found <= value || share < 1e-8 {
                (w, value) = (next, found);
                break;
            }
            share *= 0.5;
        }
    }
    Err(data(format!("Newton's method has not settled after {STEPS} steps; raise the l2 of {l2}")))
}

fn objective(x: &Matrix, labels: &[bool], l2: f64, w: &Mat<f64>) -> f64 {
    let loss = labels.iter().enumerate().map(|(row, label)| {
        let z = along(&with_one(x.row(row)), w);
        z.max(0.0) + (-z.abs()).exp().ln_1p() - if *label { z } else { 0.0 }
    });
    let square: f64 = (0..x.cols()).map(|a| w[(a, 0)].powi(2)).sum();
    loss.sum::<f64>() + 0.5 * l2 * square
}

fn derivatives(x: &Matrix, labels: &[bool], l2: f64, w: &Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let d = x.cols();
    let (mut slope, mut hessian) = (Mat::zeros(d + 1, 1), Mat::zeros(d + 1, d + 1));
    for (row, label) in labels.iter().enumerate() {
        let features = with_one(x.row(row));
        let p = 1.0 / (1.0 + (-along(&features, w)).exp());
        let apart = p - f64::from(u8::from(*label));
        (0..=d).for_each(|a| slope[(a, 0)] += apart * features[a]);
        add_outer(&mut hessian, &features, p * (1.0 - p));
    }
    for a in 0..d {
        slope[(a, 0)] += l2 * w[(a, 0)];
        hessian[(a, a)] += l2;
    }
    (slope, hessian)
}

fn with_one(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).chain([1.0]).collect()
}

fn along(features: &[f64], w: &Mat<f64>) -> f64 {
    features.iter().enumerate().map(|(a, f)| f * w[(a, 0)]).sum()
}

fn add_outer(sum: &mut Mat<f64>, features: &[f64], weight: f64) {
    for (a, x) in features.iter().enumerate() {
        for (b, y) in features.iter().enumerate() {
            sum[(a, b)] += weight * x * y;
        }
    }
}

fn finish(solution: &Mat<f64>, errors: impl Iterator<Item = f64>) -> LinearFit {
    let d = solution.nrows() - 1;
    LinearFit {
        coefficients: (0..d).map(|a| solution[(a, 0)]).collect(),
        intercept: solution[(d, 0)],
        standard_errors: errors.collect(),
    }
}

fn check(x: &Matrix, n: usize, l2: f64) -> Result<(), FitError> {
    if x.rows() != n || n == 0 {
        return Err(data(format!("{} rows and {n} targets, one each is needed", x.rows())));
    }
    if !(l2.is_finite() && l2 >= 0.0) {
        return Err(FitError::Config {
            model: super::title(NAME),
            reason: format!("l2 is {l2}, a number of at least 0 is needed"),
        });
    }
    Ok(x.check_finite("features of a linear fit")?)
}

fn undetermined() -> FitError {
    data("the columns depend on each other and do not determine the fit; raise l2".into())
}

fn data(reason: String) -> FitError {
    FitError::Data { model: super::title(NAME), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_by_hand() {
        // y = 1 + 2x with residuals (1, -1, -1, 1) / 5, which are orthogonal to 1 and x.
        let x = Matrix::from_vec(4, 1, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        let fit = fit_ridge(&x, &[1.2, 2.8, 4.8, 7.2], 0.0).unwrap();
        assert!((fit.coefficients[0] - 2.0).abs() < 1e-12 && (fit.intercept - 1.0).abs() < 1e-12);
        // σ² = 4 · 0.04 / 2, Σ (x - 1.5)² = 5.
        assert!((fit.standard_errors[0] - (0.08f64 / 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let x = Matrix::from_vec(4, 1, vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        let text = |r: Result<LinearFit, FitError>| r.unwrap_err().to_string();
        assert!(text(fit_logistic(&x, &[true; 4], 1.0)).contains("both are needed"));
        assert!(text(fit_logistic(&x, &[true; 3], 1.0)).contains("4 rows and 3 targets"));
        assert!(text(fit_ridge(&x, &[0.0; 4], -1.0)).contains("l2"));
        let same = Matrix::from_vec(3, 2, vec![1.0, 1.0, 2.0, 2.0, 3.0, 3.0]).unwrap();
        assert!(text(fit_ridge(&same, &[0.0; 3], 0.0)).contains("depend on each other"));
        // Separable without a penalty.
        assert!(fit_logistic(&x, &[false, false, true, true], 0.0).is_err());
    }
}
