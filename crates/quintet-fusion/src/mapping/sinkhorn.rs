//! Entropic optimal transport by Sinkhorn's iteration in the log domain.
//!
//! Minimises `⟨P, C⟩ + ε Σ P_ij (ln P_ij - 1)` over plans with marginals `a` and `b`:
//! `P_ij = exp((f_i + g_j - C_ij) / ε)`, with `f_i ← ε ln a_i - ε ln Σ_j exp((g_j - C_ij) / ε)` and
//! the same for `g`, in turn. Barycentric map: `x_i ↦ Σ_j P_ij y_j / Σ_j P_ij`.
//! Papers: Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", NIPS 2013;
//! Peyré & Cuturi, "Computational Optimal Transport", 2019, section 4.4 (log domain).
//! Parameters: none. Cost: `O(n m)` exponentials an iteration, and the plan in memory.

use quintet_core::{CoreError, Matrix};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::MappingError;
use super::error::check;

const METHOD: &str = "sinkhorn";

/// Parameters of [`sinkhorn`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkhornParams {
    /// ε, in the unit of the costs; above 0.
    pub epsilon: f64,
    /// Iterations stop when the row sums are this close to their marginal (sum of distances).
    pub tolerance: f64,
    /// At most this many iterations, at least 1.
    pub iterations: usize,
}

impl Default for SinkhornParams {
    fn default() -> Self {
        Self { epsilon: 0.05, tolerance: 1e-9, iterations: 1000 }
    }
}

/// What [`sinkhorn`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    rows: usize,
    cols: usize,
    mass: Vec<f64>,
    /// Sum over the rows of the distance of their mass from the marginal.
    pub error: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Whether `error` is at most the tolerance.
    pub converged: bool,
}

impl Plan {
    /// `[rows, cols]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The mass that goes from source `row` to every target.
    ///
    /// # Panics
    /// When there is no such source.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.mass[row * self.cols..(row + 1) * self.cols]
    }

    /// The mean target of each source, `[rows, dim]`; zero for sources without mass.
    ///
    /// # Errors
    /// `targets` has another number of rows than the plan has columns.
    pub fn barycentres(&self, targets: &Matrix) -> Result<Matrix, MappingError> {
        if targets.rows() != self.cols {
            let what = "rows of transport targets".to_owned();
            return Err(
                CoreError::Shape { what, expected: self.cols, found: targets.rows() }.into()
            );
        }
        let mut out = Matrix::zeros(self.rows, targets.cols());
        for r in 0..self.rows {
            let total: f64 = self.row(r).iter().sum();
            let mut sums = vec![0.0f64; targets.cols()];
            for (j, mass) in self.row(r).iter().enumerate() {
                sums.iter_mut().zip(targets.row(j)).for_each(|(s, &t)| *s += mass * f64::from(t));
            }
            if total > 0.0 {
                out.row_mut(r).iter_mut().zip(sums).for_each(|(o, s)| *o = (s / total) as f32);
            }
        }
        Ok(out)
    }
}

/// The plan between weights `a` and `b` under `costs`, row by row, `[a.len(), b.len()]`.
///
/// # Errors
/// A cost that is not finite; a marginal that is empty, negative or not finite; sums that differ
/// by more than 1e-6 of their size or are 0; parameters out of range.
pub fn sinkhorn(
    costs: &[f64],
    a: &[f64],
    b: &[f64],
    params: &SinkhornParams,
) -> Result<Plan, MappingError> {
    check_params(params)?;
    check_marginals(a, b)?;
    let (rows, cols) = (a.len(), b.len());
    if costs.len() != rows * cols {
        let what = "transport costs".to_owned();
        return Err(CoreError::Shape { what, expected: rows * cols, found: costs.len() }.into());
    }
    if let Some(p) = costs.iter().position(|c| !c.is_finite()) {
        let (row, col, value) = (p / cols, p % cols, costs[p] as f32);
        return Err(CoreError::NotFinite { what: "transport cost".into(), row, col, value }.into());
    }
    let epsilon = params.epsilon;
    let across: Vec<f64> =
        (0..cols).flat_map(|j| (0..rows).map(move |i| costs[i * cols + j])).collect();
    let (mut f, mut g) = (vec![0.0; rows], vec![0.0; cols]);
    let mut plan = Plan { rows, cols, mass: vec![], error: 0.0, iterations: 0, converged: false };
    while plan.iterations < params.iterations && !plan.converged {
        f = potentials(costs, &g, a, epsilon);
        g = potentials(&across, &f, b, epsilon);
        plan.iterations += 1;
        // After the columns are right, the rows tell how far the plan is.
        let wanted = potentials(costs, &g, a, epsilon);
        let moved = f.iter().zip(&wanted).zip(a);
        plan.error = moved
            .map(|((f, w), a)| if *a > 0.0 { a * ((f - w) / epsilon).exp_m1().abs() } else { 0.0 })
            .sum();
        plan.converged = plan.error <= params.tolerance;
    }
    plan.mass = costs
        .par_chunks(cols)
        .zip(&f)
        .flat_map_iter(|(row, f)| {
            row.iter().zip(&g).map(move |(c, g)| ((f + g - c) / epsilon).exp())
        })
        .collect();
    Ok(plan)
}

/// `ε ln w_i - ε ln Σ_j exp((other_j - C_ij) / ε)`; -∞ where the weight is 0.
fn potentials(costs: &[f64], other: &[f64], weights: &[f64], epsilon: f64) -> Vec<f64> {
    let row = |(costs, weight): (&[f64], &f64)| {
        let logits = || costs.iter().zip(other).map(|(c, o)| (o - c) / epsilon);
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits().map(|l| (l - largest).exp()).sum();
        epsilon * (weight.ln() - largest - sum.ln())
    };
    costs.par_chunks(other.len()).zip(weights).map(row).collect()
}

fn check_params(params: &SinkhornParams) -> Result<(), MappingError> {
    let SinkhornParams { epsilon, tolerance, iterations } = *params;
    check(epsilon > 0.0 && epsilon.is_finite(), METHOD, "epsilon", "above 0", epsilon)?;
    check(tolerance >= 0.0, METHOD, "tolerance", "not negative", tolerance)?;
    check(iterations > 0, METHOD, "iterations", "at least 1", iterations)
}

fn check_marginals(a: &[f64], b: &[f64]) -> Result<(), MappingError> {
    let bad = |side, reason| Err(MappingError::Marginal { method: METHOD, side, reason });
    for (side, weights) in [("source", a), ("target", b)] {
        if let Some(i) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return bad(side, format!("weight {i} is {}, it must not be negative", weights[i]));
        }
        if weights.iter().sum::<f64>() <= 0.0 {
            return bad(side, format!("the {} weights sum to 0", weights.len()));
        }
    }
    let (sa, sb): (f64, f64) = (a.iter().sum(), b.iter().sum());
    if (sa - sb).abs() > 1e-6 * sa.max(sb) {
        return bad("target", format!("the weights sum to {sb}, those of the source to {sa}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_points_by_hand() {
        // P = [[p, ½ - p], [½ - p, p]] with p / (½ - p) = e^{1/ε} = 3.
        let params = SinkhornParams { epsilon: 1.0 / 3f64.ln(), ..Default::default() };
        let plan = sinkhorn(&[0.0, 1.0, 1.0, 0.0], &[0.5; 2], &[0.5; 2], &params).unwrap();
        assert!(plan.converged);
        for (p, e) in plan.mass.iter().zip([0.375, 0.125, 0.125, 0.375]) {
            assert!((p - e).abs() < 1e-12, "{plan:?}");
        }
        // ¾ · 0 + ¼ · 8
        let y = Matrix::from_vec(2, 1, vec![0.0, 8.0]).unwrap();
        assert_eq!(plan.barycentres(&y).unwrap().as_slice(), [2.0, 6.0]);
    }

    #[test]
    fn small_epsilon_and_empty_sources_stay_finite() {
        let params = SinkhornParams { epsilon: 1e-4, ..Default::default() };
        let costs = [0.0, 900.0, 900.0, 0.0, 5.0, 5.0];
        let plan = sinkhorn(&costs, &[0.5, 0.5, 0.0], &[0.5; 2], &params).unwrap();
        assert_eq!(plan.mass, [0.5, 0.0, 0.0, 0.5, 0.0, 0.0]);
    }

    #[test]
    fn bad_marginals_and_parameters_are_named() {
        let run = |a: &[f64], b: &[f64], epsilon| {
            let params = SinkhornParams { epsilon, ..Default::default() };
            sinkhorn(&vec![0.0; a.len() * b.len()], a, b, &params).unwrap_err().to_string()
        };
        assert!(run(&[1.0, -1.0], &[1.0], 1.0).contains("source marginal: weight 1 is -1"));
        assert!(run(&[1.0], &[f64::NAN], 1.0).contains("target marginal: weight 0 is NaN"));
        assert!(run(&[], &[1.0], 1.0).contains("the 0 weights sum to 0"));
        assert!(run(&[1.0], &[2.0], 1.0).contains("sum to 2"));
        assert!(run(&[1.0], &[1.0], 0.0).contains("epsilon must be above 0"));
        let one = SinkhornParams { iterations: 1, tolerance: 0.0, ..Default::default() };
        let costs = [0.0, 1.0, 2.0, 0.5];
        assert!(!sinkhorn(&costs, &[0.9, 0.1], &[0.5; 2], &one).unwrap().converged);
    }
}
