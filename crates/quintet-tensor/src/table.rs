//! Sparse embedding tables outside the autodiff graph.
//!
//! The gradient of an embedding lookup touches the rows of the batch; a dense optimiser would
//! move all of them. Here a batch takes its unique rows as one small leaf, and only these rows
//! and their moments change (lazy row-wise Adam).

use burn::prelude::*;
use pulp::{Arch, Simd, WithSimd};
use quintet_core::{Matrix, ModelState};
use rand::Rng;
use rayon::prelude::*;

use crate::layer::xavier_uniform;
use crate::{AdamConfig, FitError, tensor_to_vec};

/// Below this many numbers a step is not worth a second thread.
const PARALLEL_FROM: usize = 1 << 15;

/// Rows that a thread takes at a time where their gradients are computed on the way.
const ROWS: usize = 128;

/// `[rows, dim]` on the host with Adam moments a row.
#[derive(Debug, Clone)]
pub struct EmbeddingTable {
    values: Matrix,
    m: Matrix,
    v: Matrix,
    step: u64,
    adam: AdamConfig,
}

impl EmbeddingTable {
    /// Xavier-uniform over the whole table: `U(±sqrt(6 / (rows + dim)))`.
    pub fn new(rows: usize, dim: usize, adam: AdamConfig, rng: &mut impl Rng) -> Self {
        Self::from_matrix(xavier_uniform(rows, dim, rng), adam)
    }

    /// Start values as given.
    pub fn from_matrix(values: Matrix, adam: AdamConfig) -> Self {
        let zeros = Matrix::zeros(values.rows(), values.cols());
        Self { m: zeros.clone(), v: zeros, values, step: 0, adam }
    }

    /// The current values, `[rows, dim]`.
    pub fn values(&self) -> &Matrix {
        &self.values
    }

    /// Number of trained numbers.
    pub fn n_parameters(&self) -> usize {
        self.values.as_slice().len()
    }

    /// Width of a row.
    pub fn dim(&self) -> usize {
        self.values.cols()
    }

    /// The rows `ids` as a leaf that keeps its gradient, `[ids.len(), dim]`.
    ///
    /// # Panics
    /// When an id is out of range.
    pub fn leaf(&self, ids: &[u32], device: &Device) -> Tensor<2> {
        let mut data = Vec::with_capacity(ids.len() * self.dim());
        for &id in ids {
            data.extend_from_slice(self.values.row(id as usize));
        }
        let rows = Tensor::<2>::from_data(
            burn::tensor::TensorData::new(data, [ids.len(), self.dim()]),
            device,
        );
        rows.require_grad()
    }

    /// One Adam step on the rows `ids` (each at most once) with `grad`, `[ids.len(), dim]`.
    ///
    /// # Errors
    /// The device failed to give the gradient.
    ///
    /// # Panics
    /// When the shapes disagree or an id is out of range.
    pub fn step(&mut self, ids: &[u32], grad: Tensor<2>) -> Result<(), FitError> {
        assert_eq!(grad.dims(), [ids.len(), self.dim()], "gradient of the rows of this batch");
        let grad = tensor_to_vec(grad).map_err(FitError::Device)?;
        self.step_rows(ids, &grad);
        Ok(())
    }

    /// One Adam step on every row with a dense gradient, `[rows, dim]`.
    ///
    /// # Panics
    /// When the shapes disagree.
    pub fn step_dense(&mut self, grad: &Matrix) {
        assert_eq!(grad.rows(), self.values.rows(), "a dense gradient has a row for each row");
        self.step += 1;
        let (adam, corrections) = (self.adam, self.adam.corrections(self.step));
        let chunk = PARALLEL_FROM;
        self.values
            .as_mut_slice()
            .par_chunks_mut(chunk)
            .zip(self.m.as_mut_slice().par_chunks_mut(chunk))
            .zip(self.v.as_mut_slice().par_chunks_mut(chunk))
            .zip(grad.as_slice().par_chunks(chunk))
            .for_each(|(((x, m), v), g)| adam_slice(&adam, corrections, x, m, v, g));
    }

    /// One Adam step on every row; `fill(row, values, gradient)` writes the gradient of a row,
    /// which is read while it is in the cache and kept nowhere. Rows run in parallel.
    pub fn step_each(&mut self, fill: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
        self.step += 1;
        let (adam, corrections) = (self.adam, self.adam.corrections(self.step));
        let dim = self.dim().max(1);
        self.values
            .as_mut_slice()
            .par_chunks_mut(ROWS * dim)
            .zip(self.m.as_mut_slice().par_chunks_mut(ROWS * dim))
            .zip(self.v.as_mut_slice().par_chunks_mut(ROWS * dim))
            .enumerate()
            .for_each_init(
                || vec![0.0f32; dim],
                |g, (part, ((x, m), v))| {
                    let moments = m.chunks_exact_mut(dim).zip(v.chunks_exact_mut(dim));
                    for (place, (x, (m, v))) in x.chunks_exact_mut(dim).zip(moments).enumerate() {
                        fill(part * ROWS + place, x, g);
                        adam_slice(&adam, corrections, x, m, v, g);
                    }
                },
            );
    }

    /// One Adam step on the rows `ids` (each at most once) with their gradients,
    /// `[ids.len(), dim]`.
    ///
    /// # Panics
    /// When the shapes disagree or an id is out of range.
    pub fn step_slices(&mut self, ids: &[u32], grad: &[f32]) {
        assert_eq!(grad.len(), ids.len() * self.dim(), "gradient of the rows of this batch");
        self.step_rows(ids, grad);
    }

    fn step_rows(&mut self, ids: &[u32], grad: &[f32]) {
        self.step += 1;
        let corrections = self.adam.corrections(self.step);
        let dim = self.dim();
        for (&id, g) in ids.iter().zip(grad.chunks_exact(dim.max(1))) {
            let row = id as usize;
            let (x, m, v) = (self.values.row_mut(row), self.m.row_mut(row), self.v.row_mut(row));
            adam_slice(&self.adam, corrections, x, m, v, g);
        }
    }

    /// Adds values and moments to `state` under `prefix`.
    pub fn save(&self, prefix: &str, state: &mut ModelState) {
        state.put(format!("{prefix}value"), self.values.clone());
        state.put(format!("{prefix}m"), self.m.clone());
        state.put(format!("{prefix}v"), self.v.clone());
        state.put_whole(format!("{prefix}step"), vec![self.step as i64]);
    }

    /// Reads back what [`EmbeddingTable::save`] wrote.
    ///
    /// # Errors
    /// An array is missing or has another shape.
    pub fn load(&mut self, prefix: &str, state: &ModelState) -> Result<(), FitError> {
        let (rows, cols) = (self.values.rows(), self.values.cols());
        let read = |part: &str| state.shaped(&format!("{prefix}{part}"), rows, cols).cloned();
        let (values, m, v) = (read("value")?, read("m")?, read("v")?);
        self.step = state.whole(&format!("{prefix}step"))?.first().copied().unwrap_or(0) as u64;
        (self.values, self.m, self.v) = (values, m, v);
        Ok(())
    }
}

fn adam_slice(
    adam: &AdamConfig,
    (c1, c2): (f32, f32),
    x: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    g: &[f32],
) {
    Arch::new().dispatch(AdamSlice { adam: *adam, corrections: (c1, c2), x, m, v, g });
}

struct AdamSlice<'a> {
    adam: AdamConfig,
    corrections: (f32, f32),
    x: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a [f32],
}

impl WithSimd for AdamSlice<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { adam, corrections: (c1, c2), x, m, v, g } = self;
        for (((x, m), v), &g) in x.iter_mut().zip(m).zip(v).zip(g) {
            *m = adam.beta1 * *m + (1.0 - adam.beta1) * g;
            *v = adam.beta2 * *v + (1.0 - adam.beta2) * g * g;
            *x -= adam.lr * (*m * c1 / ((*v * c2).sqrt() + adam.eps) + adam.weight_decay * *x);
        }
    }
}

/// The distinct ids of a batch, ascending, and where each batch entry stands among them.
///
/// ```
/// let (unique, place) = quintet_tensor::unique_ids(&[7, 3, 7]);
/// assert_eq!(unique, [3, 7]);
/// assert_eq!(place, [1, 0, 1]);
/// ```
pub fn unique_ids(ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let place = ids.iter().map(|id| unique.partition_point(|u| u < id) as u32).collect();
    (unique, place)
}
