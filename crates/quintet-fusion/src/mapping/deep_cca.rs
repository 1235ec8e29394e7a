//! Deep canonical correlation analysis: two perceptrons whose outputs correlate most.
//!
//! With centred outputs `H_x`, `H_y`, `[n, k]`: `S_xx = H_xᵀH_x / (n - 1) + r Id` and alike,
//! `T = S_xx^{-1/2} S_xy S_yy^{-1/2} = U D Vᵀ`, objective `corr = tr D`, to be maximised. Gradient
//! (section 3 of the paper): `∂corr/∂H_x = (2 H_x ∇_xx + H_y ∇_xyᵀ) / (n - 1)` with
//! `∇_xy = S_xx^{-1/2} U Vᵀ S_yy^{-1/2}`, `∇_xx = -½ S_xx^{-1/2} U D Uᵀ S_xx^{-1/2}`.
//! Burn has no gradient of an inverse root, so this closed form is computed on the host in 64
//! bits and enters the graph as the constant `G` of the loss `-Σ G ∘ H`. A linear CCA on the outputs
//! of all training pairs follows, as in the paper.
//! Paper: Andrew, Arora, Bilmes & Livescu, "Deep Canonical Correlation Analysis", ICML 2013.
//! Differences: tanh; Adam on large batches (Wang et al., "Unsupervised Learning of Acoustic
//! Features via Deep CCA", ICASSP 2015) in place of L-BFGS.
//! Parameters: `Σ_v (d_v + 1) h + (h + 1) k`, and the CCA. Cost: the networks and `O(n k² + k³)` a
//! step.

use burn::prelude::*;
use faer::Mat;
use quintet_core::{CoreError, Matrix, SeedStream};
use quintet_tensor::{Adam, AdamConfig, matrix_to_tensor};
use serde::{Deserialize, Serialize};

use super::error::check;
use super::linalg::{
    add_diagonal, centre, covariance, gather_all, product, scale_columns, spectral, thin_svd,
    to_matrix,
};
use super::trained::{Activation, Mlp, Scale, Together, batches, host, training};
use super::{Cca, CcaParams, MappingError};

const METHOD: &str = "deep_cca";

/// Rows that go through a network at once.
const CHUNK: usize = 4096;

/// Parameters of [`DeepCca`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeepCcaParams {
    /// Number of pairs of components.
    pub components: usize,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// `r`, added to the covariances of the outputs; above 0.
    pub regularisation: f64,
    /// Passes over the training pairs.
    pub epochs: usize,
    /// Step size.
    pub lr: f32,
    /// Pairs a step; well above `components`, or correlations are an artefact.
    pub batch_size: usize,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Default for DeepCcaParams {
    fn default() -> Self {
        Self {
            components: 16,
            hidden: 256,
            regularisation: 1e-3,
            epochs: 50,
            lr: 1e-3,
            batch_size: 1024,
            weight_decay: 1e-4,
        }
    }
}

/// The value of the objective and its gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    /// The sum of the canonical correlations of two sets of outputs.
    pub value: f64,
    /// Its gradient by the first outputs, `[n, k]`.
    pub by_x: Matrix,
    /// Its gradient by the second outputs, `[n, k]`.
    pub by_y: Matrix,
}

/// The sum of the canonical correlations of `x` and `y`, both `[n, k]`, with `r` added to the
/// covariances, and its gradients.
///
/// # Errors
/// Fewer than two rows, unequal shapes, numbers that are not finite, or `r` not above 0.
pub fn correlation(x: &Matrix, y: &Matrix, r: f64) -> Result<Correlation, MappingError> {
    check(r > 0.0 && r.is_finite(), METHOD, "regularisation", "above 0", r)?;
    let (n, k) = (x.rows(), x.cols());
    if y.rows() != n {
        let what = "rows of the second outputs".to_owned();
        return Err(CoreError::Shape { what, expected: n, found: y.rows() }.into());
    }
    if n < 2 {
        let what = "a batch".to_owned();
        return Err(MappingError::TooFew { method: METHOD, what, needed: 2, found: n });
    }
    let (mut x, mut y) = (gather_all("first outputs", x, k)?, gather_all("second outputs", y, k)?);
    centre(&mut x);
    centre(&mut y);
    let root = |h: &Mat<f64>| {
        let mut s = covariance(h, h);
        add_diagonal(&mut s, r);
        spectral(METHOD, &s, |v| 1.0 / v.max(r).sqrt())
    };
    let (root_x, root_y) = (root(&x)?, root(&y)?);
    let half = product(root_x.as_ref(), covariance(&x, &y).as_ref());
    let (u, d, v) = thin_svd(METHOD, &product(half.as_ref(), root_y.as_ref()))?;
    // S^{-1/2} U and S^{-1/2} V
    let (a, b) = (product(root_x.as_ref(), u.as_ref()), product(root_y.as_ref(), v.as_ref()));
    let by = |own: &Mat<f64>, other: &Mat<f64>, a: &Mat<f64>, b: &Mat<f64>| {
        // 2 H ∇ = -H A D Aᵀ
        let mut inner = product(own.as_ref(), a.as_ref());
        scale_columns(&mut inner, &d.iter().map(|d| -d).collect::<Vec<_>>());
        let across = product(other.as_ref(), b.as_ref());
        let mut g = product((inner + across).as_ref(), a.transpose());
        scale_columns(&mut g, &vec![1.0 / (n - 1) as f64; k]);
        to_matrix(&g)
    };
    let (by_x, by_y) = (by(&x, &y, &a, &b), by(&y, &x, &b, &a));
    Ok(Correlation { value: d.iter().sum(), by_x, by_y })
}

/// Two fitted networks and the CCA of their outputs.
pub struct DeepCca {
    nets: [Mlp; 2],
    scales: [Scale; 2],
    cca: Cca,
    device: Device,
}

impl DeepCca {
    /// Fits on the pairs in rows `rows` of `x`, `[n_items, d_x]`, and `y`, `[n_items, d_y]`.
    ///
    /// # Errors
    /// Fewer than two pairs, numbers that are not finite, parameters out of range, or outputs
    /// that do not vary.
    pub fn fit(
        names: [&str; 2],
        (x, y): (&Matrix, &Matrix),
        rows: &[u32],
        params: &DeepCcaParams,
        seed: SeedStream,
        device: &Device,
    ) -> Result<Self, MappingError> {
        validate(params)?;
        let scale = |v: usize, m: &Matrix| Scale::fit(METHOD, names[v], m, rows);
        let scales = [scale(0, x)?, scale(1, y)?];
        let device = training(device);
        let net = |v: u64, dim: usize| {
            let widths = [dim, params.hidden, params.components];
            let mut rng = seed.rng("deep_cca/init", v);
            Mlp::new(&widths, Activation::Tanh, &mut rng, &device)
        };
        let mut nets = [net(0, x.cols()), net(1, y.cols())];
        let decay = AdamConfig { weight_decay: params.weight_decay, ..AdamConfig::new(params.lr) };
        let mut adam = Adam::new(decay);
        for epoch in 0..params.epochs {
            let batches = batches(rows, params.batch_size, seed, epoch);
            for items in batches.iter().filter(|b| b.len() >= 2) {
                let hx = nets[0].forward(scales[0].rows(x, items, &device));
                let hy = nets[1].forward(scales[1].rows(y, items, &device));
                let c = correlation(&outputs(&hx)?, &outputs(&hy)?, params.regularisation)?;
                let (gx, gy) =
                    (matrix_to_tensor(&c.by_x, &device), matrix_to_tensor(&c.by_y, &device));
                let loss = ((hx * gx).sum() + (hy * gy).sum()).neg();
                adam.step(&mut Together(&mut nets), &mut loss.backward());
            }
        }
        let out = |v: usize, m: &Matrix| forward(&nets[v], &scales[v], m, rows, &device);
        let (hx, hy) = (out(0, x)?, out(1, y)?);
        let linear = CcaParams { regularisation: params.regularisation, ..CcaParams::default() };
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let cca = Cca::fit(names, &hx, &hy, &all, &linear)?;
        Ok(Self { nets, scales, cca, device })
    }

    /// The regularised correlations of the training pairs, falling.
    pub fn correlations(&self) -> &[f64] {
        self.cca.correlations()
    }

    /// Shared vectors of the first view, `[n, d_x] → [n, k]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn transform_x(&self, x: &Matrix) -> Result<Matrix, MappingError> {
        self.cca.transform_x(&self.output(0, x)?)
    }

    /// Shared vectors of the second view, `[n, d_y] → [n, k]`.
    ///
    /// # Errors
    /// Another width, or a number that is not finite.
    pub fn transform_y(&self, y: &Matrix) -> Result<Matrix, MappingError> {
        self.cca.transform_y(&self.output(1, y)?)
    }

    /// As [`Cca::held_out_correlations`].
    ///
    /// # Errors
    /// Fewer than two pairs, another width, or a number that is not finite.
    pub fn held_out_correlations(
        &self,
        x: &Matrix,
        y: &Matrix,
        rows: &[u32],
    ) -> Result<Vec<f64>, MappingError> {
        self.cca.held_out_correlations(&self.output(0, x)?, &self.output(1, y)?, rows)
    }

    fn output(&self, view: usize, x: &Matrix) -> Result<Matrix, MappingError> {
        gather_all("features", x, self.scales[view].mean.len())?;
        let all: Vec<u32> = (0..x.rows() as u32).collect();
        forward(&self.nets[view], &self.scales[view], x, &all, &self.device)
    }
}

fn validate(p: &DeepCcaParams) -> Result<(), MappingError> {
    check(p.components > 0, METHOD, "components", "at least 1", p.components)?;
    check(p.hidden > 0, METHOD, "hidden", "at least 1", p.hidden)?;
    check(p.epochs > 0, METHOD, "epochs", "at least 1", p.epochs)?;
    check(p.batch_size > 1, METHOD, "batch_size", "at least 2", p.batch_size)?;
    check(p.lr > 0.0 && p.lr.is_finite(), METHOD, "lr", "above 0", p.lr)?;
    let r = p.regularisation;
    check(r > 0.0 && r.is_finite(), METHOD, "regularisation", "above 0", r)?;
    let good = p.weight_decay >= 0.0 && p.weight_decay.is_finite();
    check(good, METHOD, "weight_decay", "finite and not negative", p.weight_decay)
}

fn outputs(h: &Tensor<2>) -> Result<Matrix, MappingError> {
    let [rows, cols] = h.dims();
    Ok(Matrix::from_vec(rows, cols, host(h.clone().inner())?)?)
}

fn forward(
    net: &Mlp,
    scale: &Scale,
    x: &Matrix,
    rows: &[u32],
    device: &Device,
) -> Result<Matrix, MappingError> {
    let (mut data, mut width) = (Vec::new(), 0);
    for chunk in rows.chunks(CHUNK) {
        let out = outputs(&net.forward(scale.rows(x, chunk, device)))?;
        width = out.cols();
        data.extend_from_slice(out.as_slice());
    }
    Ok(Matrix::from_vec(rows.len(), width, data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let x = Matrix::from_vec(4, 2, vec![1.0, 0.5, -1.0, 2.0, 0.0, -1.5, 2.0, 0.0]).unwrap();
        let y = Matrix::from_vec(4, 2, vec![0.5, 1.0, -1.0, 0.0, 1.0, -0.5, 0.5, 2.0]).unwrap();
        let found = correlation(&x, &y, 0.1).unwrap();
        let step = 1.0 / 256.0;
        for at in 0..8 {
            let moved = |by: f32| {
                let (mut x, mut y) = (x.clone(), y.clone());
                x.as_mut_slice()[at] += by;
                y.as_mut_slice()[at] -= by;
                correlation(&x, &y, 0.1).unwrap().value
            };
            let slope = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let expected = f64::from(found.by_x.as_slice()[at] - found.by_y.as_slice()[at]);
            assert!((slope - expected).abs() < 1e-4, "{at}: {slope} and {expected}");
        }
    }
}
