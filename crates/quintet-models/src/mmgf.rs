//! MM-GF: filters of the interaction graph and of the features, without training.
//!
//! Roh, Kim, Park & Shin, "Training-free Adjustable Polynomial Graph Filtering for Ultra-fast
//! Multimodal Recommendation", arXiv 2503.04406, 2025.
//!
//! ```text
//! N(M) = D_r^{-α} M D_c^{α-1}          sums of rows and columns
//! P = (N(R)ᵀ N(R))^p                   each number
//! x̂ = (x - median) / IQR of its column, less the smallest of all numbers;  X = N(x̂)
//! P_m = (X Xᵀ)^p                       each number
//! score(u, ·) = R_u (f(P) + Σ_m w_m f(P_m))
//! f(P) = P,  2P - P²  or  P + β (-P³ + 10 P² - 29 P)      each number
//! ```
//! Differences: interactions of training alone, each 1; powers in the polynomials are those of each
//! number, as in the authors' program; a column without spread is divided by 1; an item without a
//! modality counts as the item of all medians, so that it is neither favoured nor left behind;
//! modalities other than text and pictures weigh 1 unless said otherwise. Weights depend on the
//! scale of `P_m`: tune them.
//! Cost: `n_items² · Σ d_m` multiply-adds in blocks, and the dense matrix of `4 n_items²` bytes,
//! which must not be larger than `max_memory_mib`.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{FeatureSet, Interactions, Matrix, Modality, ModalityFeatures, UserIdx};
use quintet_tensor::FitError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::graph::{at_least_zero, refuse};
use crate::item_matrix::{ItemMatrix, ItemMatrixRecipe};

/// Rows of the matrix that a thread fills together.
const ROWS: usize = 64;

/// What becomes of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MmGfFilter {
    /// `P`.
    #[default]
    Linear,
    /// `2P - P²`.
    Quadratic,
    /// `P + β (-P³ + 10 P² - 29 P)`.
    Cubic,
}

/// Parameters; the defaults are those published for the data set Baby.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MmGfConfig {
    /// α: how much of the normalisation is that of rows.
    pub alpha: f32,
    /// p: the power of each number of a graph.
    pub power: f32,
    /// What becomes of each graph.
    pub filter: MmGfFilter,
    /// β of the cubic filter.
    pub beta: f32,
    /// w: how much the graph of each modality weighs; 1 where it is not named.
    pub weights: BTreeMap<Modality, f32>,
    /// Which modalities are read; all that have features by default.
    pub modalities: Option<Vec<Modality>>,
    /// The most memory that the matrix of items may take, in MiB.
    pub max_memory_mib: usize,
}

impl Default for MmGfConfig {
    fn default() -> Self {
        Self {
            alpha: 0.89,
            power: 0.67,
            filter: MmGfFilter::Linear,
            beta: 0.1,
            weights: BTreeMap::from([(Modality::Text, 600.0), (Modality::Image, 0.1)]),
            modalities: None,
            max_memory_mib: 8192,
        }
    }
}

impl ItemMatrixRecipe for MmGfConfig {
    const NAME: &'static str = "mmgf";
    const SUMMARY: &'static str = "polynomial filters of interactions and features (Roh 2025)";
    const TINY: &'static str = "{}";

    fn modalities(&self) -> Option<&[Modality]> {
        self.modalities.as_deref()
    }

    fn check(&self) -> Result<(), FitError> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return refuse(Self::NAME, "alpha", "in [0, 1]", self.alpha);
        }
        if !(self.power.is_finite() && self.power > 0.0) {
            return refuse(Self::NAME, "power", "above 0", self.power);
        }
        for (modality, weight) in &self.weights {
            at_least_zero(Self::NAME, &format!("weights.{modality}"), *weight)?;
        }
        at_least_zero(Self::NAME, "beta", self.beta)
    }

    fn matrix(&self, train: &Interactions, features: &FeatureSet) -> Result<ItemMatrix, FitError> {
        let n = train.n_items();
        self.check_memory(n)?;
        let graphs: Vec<(Matrix, f32)> = features
            .iter()
            .map(|f| {
                let weight = self.weights.get(&f.modality).copied().unwrap_or(1.0);
                (self.normalised(scaled(f)), weight)
            })
            .filter(|(x, weight)| *weight > 0.0 && x.cols() > 0)
            .collect();
        let together = Together::new(train, self.alpha);
        let mut whole = Matrix::zeros(n, n);
        whole.as_mut_slice().par_chunks_mut(ROWS * n.max(1)).enumerate().for_each(
            |(block, out)| {
                let first = block * ROWS;
                for (row, out) in out.chunks_exact_mut(n).enumerate() {
                    together.add(first + row, out);
                    out.iter_mut().for_each(|v| *v = self.filtered(*v));
                }
                let mut part = vec![0.0f32; out.len()];
                let rows = out.len() / n;
                for (x, weight) in &graphs {
                    let all = MatRef::from_row_major_slice(x.as_slice(), n, x.cols());
                    let product = MatMut::from_row_major_slice_mut(&mut part, rows, n);
                    let own = all.subrows(first, rows);
                    matmul(product, Accum::Replace, own, all.transpose(), 1.0, Par::Seq);
                    let cells = out.iter_mut().zip(&part);
                    cells.for_each(|(out, v)| *out += weight * self.filtered(*v));
                }
            },
        );
        whole.check_finite("weights of mmgf")?;
        Ok(ItemMatrix::Dense(whole))
    }
}

impl MmGfConfig {
    fn check_memory(&self, n: usize) -> Result<(), FitError> {
        let mib = 4.0 * (n as f64).powi(2) / f64::from(1 << 20);
        if mib <= self.max_memory_mib as f64 {
            return Ok(());
        }
        let reason = format!(
            "{n} items need {mib:.0} MiB, and max_memory_mib is {}; raise it, keep the items that \
             are used most, or take itemknn_content",
            self.max_memory_mib
        );
        Err(FitError::Config { model: Self::NAME.into(), reason })
    }

    /// `f(v^p)`.
    fn filtered(&self, v: f32) -> f32 {
        // Of numbers that are not negative; rounding may leave a little below.
        let v = if v > 0.0 { v.powf(self.power) } else { 0.0 };
        match self.filter {
            MmGfFilter::Linear => v,
            MmGfFilter::Quadratic => 2.0 * v - v * v,
            MmGfFilter::Cubic => v + self.beta * v * ((10.0 - v) * v - 29.0),
        }
    }

    /// `N(x)`.
    fn normalised(&self, mut x: Matrix) -> Matrix {
        let mut columns = vec![0.0f64; x.cols()];
        for row in 0..x.rows() {
            columns.iter_mut().zip(x.row(row)).for_each(|(sum, v)| *sum += f64::from(*v));
        }
        let alpha = f64::from(self.alpha);
        let columns: Vec<f64> = columns.into_iter().map(|sum| power(sum, alpha - 1.0)).collect();
        for row in 0..x.rows() {
            let row = x.row_mut(row);
            let by = power(row.iter().map(|v| f64::from(*v)).sum(), -alpha);
            let cells = row.iter_mut().zip(&columns);
            cells.for_each(|(v, column)| *v = (f64::from(*v) * by * column) as f32);
        }
        x
    }
}

/// What sums to nothing is left out.
fn power(sum: f64, exponent: f64) -> f64 {
    if sum > 0.0 { sum.powf(exponent) } else { 0.0 }
}

/// `N(R)ᵀ N(R)`, a row at a time.
struct Together {
    /// Items by user and users by item.
    train: Interactions,
    by_item: Interactions,
    /// Of a user, squared: it stands on both sides.
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Together {
    fn new(train: &Interactions, alpha: f32) -> Self {
        let alpha = f64::from(alpha);
        let lengths = train.indptr().windows(2).map(|w| (w[1] - w[0]) as f64);
        let counts = train.item_counts();
        Self {
            users: lengths.map(|n| power(n, -2.0 * alpha) as f32).collect(),
            items: counts.iter().map(|&n| power(f64::from(n), alpha - 1.0) as f32).collect(),
            by_item: train.transpose(),
            train: train.clone(),
        }
    }

    fn add(&self, item: usize, out: &mut [f32]) {
        for user in self.by_item.items(UserIdx::new(item)) {
            let both = self.users[user.index()] * self.items[item];
            for other in self.train.items(UserIdx(user.0)) {
                out[other.index()] += both * self.items[other.index()];
            }
        }
    }
}

/// Columns on one scale, all numbers at least 0; items without the modality have the medians.
fn scaled(f: &ModalityFeatures) -> Matrix {
    let present: Vec<usize> = (0..f.present.len()).filter(|&item| f.present[item]).collect();
    let mut out = Matrix::zeros(f.matrix.rows(), f.dim());
    if present.is_empty() {
        return out;
    }
    let scales: Vec<(f64, f64)> = (0..f.dim())
        .into_par_iter()
        .map(|column| {
            let mut numbers: Vec<f32> = present.iter().map(|&i| f.matrix.row(i)[column]).collect();
            numbers.sort_unstable_by(f32::total_cmp);
            let spread = quantile(&numbers, 0.75) - quantile(&numbers, 0.25);
            (quantile(&numbers, 0.5), if spread > 0.0 { spread } else { 1.0 })
        })
        .collect();
    for &item in &present {
        let cells = out.row_mut(item).iter_mut().zip(f.matrix.row(item)).zip(&scales);
        cells.for_each(|((o, v), (median, by))| *o = ((f64::from(*v) - median) / by) as f32);
    }
    let smallest = out.as_slice().iter().copied().fold(f32::INFINITY, f32::min);
    out.as_mut_slice().iter_mut().for_each(|v| *v -= smallest);
    out
}

/// Between the two nearest of sorted numbers, in proportion.
fn quantile(sorted: &[f32], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    f64::from(a) + (place - below as f64) * (f64::from(b) - f64::from(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::parity::{features_of, matrix};
    use crate::item_matrix::ItemMatrixModel;
    use quintet_core::{ItemIdx, Recommender};
    use serde_json::Value;

    #[test]
    fn the_matrices_and_scores_are_those_of_pytorch() {
        let text = include_str!("../tests/fixtures/graph_torch/mmgf.json");
        let case: Value = serde_json::from_str(text).unwrap();
        let pairs: Vec<(u32, u32)> = serde_json::from_value(case["train"].clone()).unwrap();
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let train = Interactions::from_pairs(size("n_users"), size("n_items"), pairs).unwrap();
        let features = features_of(&case, train.n_items());
        for of in case["cases"].as_array().unwrap() {
            let config: MmGfConfig = serde_json::from_value(of["params"].clone()).unwrap();
            let model = ItemMatrixModel::new(config, train.clone(), &features).unwrap();
            let expected = matrix(&of["matrix"]);
            for (place, e) in expected.as_slice().iter().enumerate() {
                let (i, j) = (place / train.n_items(), place % train.n_items());
                let found = model.matrix().get(ItemIdx::new(i), ItemIdx::new(j));
                assert!((found - e).abs() < 1e-5 * (1.0 + e.abs()), "{i} {j}: {found} {e}");
            }
            let users: Vec<UserIdx> = (0..train.n_users()).map(UserIdx::new).collect();
            let mut found = Matrix::default();
            model.score(&users, &mut found).unwrap();
            for (found, e) in found.as_slice().iter().zip(matrix(&of["scores"]).as_slice()) {
                assert!((found - e).abs() < 1e-5 * (1.0 + e.abs()), "{found} {e}");
            }
        }
    }

    #[test]
    fn filters_by_hand() {
        let config = |filter| MmGfConfig { power: 0.5, filter, ..MmGfConfig::default() };
        assert_eq!(config(MmGfFilter::Linear).filtered(0.25), 0.5);
        assert_eq!(config(MmGfFilter::Quadratic).filtered(0.25), 0.75);
        // .5 + .1 (-.125 + 2.5 - 14.5)
        assert!((config(MmGfFilter::Cubic).filtered(0.25) + 0.7125).abs() < 1e-6);
        assert_eq!(config(MmGfFilter::Cubic).filtered(-1e-9), 0.0);
    }

    #[test]
    fn a_matrix_too_large_is_refused_with_its_size() {
        let config = MmGfConfig { max_memory_mib: 3, ..MmGfConfig::default() };
        let text = config.check_memory(1024).unwrap_err().to_string();
        for part in ["1024 items", "4 MiB", "max_memory_mib is 3"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(MmGfConfig { max_memory_mib: 4, ..config }.check_memory(1024).is_ok());
    }

    #[test]
    fn quantiles_lie_between_numbers_and_a_flat_column_is_not_divided() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.25, 0.5, 0.75].map(|q| quantile(&sorted, q)), [1.75, 3.0, 5.0]);
        let rows = vec![1.0, 5.0, 9.0, 5.0, 7.0, 0.0];
        let rows = Matrix::from_vec(3, 2, rows).unwrap();
        let f = ModalityFeatures::new(Modality::Text, rows, vec![true, true, false]).unwrap();
        // Medians 5 and 5, spread 4 and none; less the smallest, -1.
        assert_eq!(scaled(&f).as_slice(), [0.0, 1.0, 2.0, 1.0, 1.0, 1.0]);
    }
}
