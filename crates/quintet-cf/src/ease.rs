//! EASE: the closed form of a linear model of items that does not use the item itself.
//!
//! Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019. With `G = XᵀX` and
//! `P = (G + λ I)⁻¹`, `B_ij = −P_ij / P_jj` for `i ≠ j` and 0 on the diagonal minimises
//! `‖X − XB‖² + λ‖B‖²`; `score(u, ·) = X_u B`. With item features `F`, rows of length 1,
//! `G = XᵀX + γ F Fᵀ`: Jeunen, Van Balen, Goethals, "Closed-Form Models for Collaborative
//! Filtering with Side-Information", RecSys 2020 (there, features are more rows of `X`).
//!
//! The inverse is computed in place ([`closed_form`](crate::closed_form)), in 32 bits where the
//! condition number allows it. Cost: `n_items³` multiplications, `4 n_items²` bytes in 32 bits,
//! `12 n_items²` in 64 while it is fitted; `4 n_items²` afterwards.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::traits::RealField;
use faer::{Accum, MatMut, MatRef, Par};
use quintet_core::{FeatureSet, Interactions, Matrix, Modality, UserIdx};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::closed_form::{invert_spd, mirror};
use crate::items::{Influence, ItemWeights};
use crate::sparse::{Order, Terms, lower_gram, with_ones};

const NAME: &str = "ease";

/// The largest condition number that is inverted in 32 bits when the precision is not said: the
/// weights are then right to about 1e-4 of the largest.
const CONDITION_F32: f64 = 2e3;

/// In how many bits the inverse is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In 32 where the condition number is small enough.
    #[default]
    Auto,
    /// In 32.
    F32,
    /// In 64.
    F64,
}

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EaseConfig {
    /// λ: what is added to the diagonal, above 0; it grows with the square of the values.
    pub l2: f32,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// γ: the weight of item features; 0 reads none.
    pub content: f32,
    /// The modalities that are read; all of them by default.
    pub modalities: Option<Vec<Modality>>,
    /// In how many bits.
    pub precision: Precision,
    /// The most memory that the fit may take, in MiB.
    pub max_memory_mib: usize,
}

impl Default for EaseConfig {
    fn default() -> Self {
        Self {
            l2: 200.0,
            use_values: false,
            content: 0.0,
            modalities: None,
            precision: Precision::Auto,
            max_memory_mib: 8192,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "linear model of items in closed form (Steck 2019)",
        build: |params| Ok(Box::new(parse_params::<EaseConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemWeights::load(NAME, state)?)),
        tiny: r#"{"l2": 5.0}"#,
    }
}

impl Fit for EaseConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let model = self.fit(data.train, data.features)?;
        Ok(Fitting::Fitted(Box::new(model)))
    }
}

impl EaseConfig {
    pub(crate) fn fit(
        &self,
        train: &Interactions,
        features: &FeatureSet,
    ) -> Result<ItemWeights, FitError> {
        let refuse = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if !(self.l2.is_finite() && self.l2 > 0.0) {
            return refuse(format!("l2 must be above 0; found {}", self.l2));
        }
        if !(self.content.is_finite() && self.content >= 0.0) {
            return refuse(format!("content must be at least 0; found {}", self.content));
        }
        let blocks = if self.content > 0.0 { self.blocks(features)? } else { Vec::new() };
        let history = if self.use_values { train.clone() } else { with_ones(train)? };
        let double = match self.precision {
            Precision::Auto => {
                // Blocks of unit rows raise the largest eigenvalue by at most γ n each.
                let content = f64::from(self.content) * (blocks.len() * train.n_items()) as f64;
                (largest_eigenvalue(&history) + content) / f64::from(self.l2) > CONDITION_F32
            }
            Precision::F32 => false,
            Precision::F64 => true,
        };
        let n = train.n_items();
        let bytes = (n as f64).powi(2) * if double { 12.0 } else { 4.0 };
        if bytes > self.max_memory_mib as f64 * f64::from(1 << 20) {
            return refuse(format!(
                "{n} items need {:.0} MiB, and max_memory_mib is {}; raise it, keep the items that \
                 are used most, or take ease_sparse",
                bytes / f64::from(1 << 20),
                self.max_memory_mib
            ));
        }
        let weights = if double {
            self.weights::<f64>(&history, &blocks)?.iter().map(|&w| w as f32).collect()
        } else {
            self.weights::<f32>(&history, &blocks)?
        };
        let weights = Matrix::from_vec(n, n, weights)?;
        weights.check_finite("weights of ease")?;
        Ok(ItemWeights::new(NAME, history, Influence::Dense(weights), self.use_values))
    }

    /// Features with rows of length 1 (or 0), a block a modality.
    fn blocks(&self, features: &FeatureSet) -> Result<Vec<Matrix>, FitError> {
        let wanted = self.modalities.as_deref();
        if let Some(m) = wanted.and_then(|w| w.iter().find(|m| features.get(**m).is_none())) {
            let known: Vec<&str> = features.iter().map(|f| f.modality.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(FitError::MissingModality { model: NAME.into(), modality: *m, known });
        }
        let chosen = wanted.map_or_else(|| features.clone(), |w| features.only(w));
        if chosen.is_empty() {
            let reason = "content is above 0, and there are no features of any modality".into();
            return Err(FitError::Data { model: NAME.into(), reason });
        }
        let unit = |mut m: Matrix| {
            for row in 0..m.rows() {
                let row = m.row_mut(row);
                let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt() as f32;
                row.iter_mut().filter(|_| length > 0.0).for_each(|v| *v /= length);
            }
            m
        };
        Ok(chosen.iter().map(|f| unit(f.matrix.clone())).collect())
    }

    /// `B`, `[n_items, n_items]` by source and target.
    fn weights<T>(&self, history: &Interactions, blocks: &[Matrix]) -> Result<Vec<T>, FitError>
    where
        T: RealField + Copy + From<f32> + Send + Sync,
    {
        let n = history.n_items();
        let par = Par::rayon(0);
        let binary = history.iter().all(|t| t.value == 1.0);
        let values: Vec<f32> =
            if binary { Vec::new() } else { history.iter().map(|t| t.value).collect() };
        let terms = Terms::new(history, (!binary).then_some(&values[..]), None, Order::Given);
        let mut a = vec![T::from(0.0); n * n];
        lower_gram(&terms, &mut a);
        drop(terms);
        // Row by row the lower half is written; column by column it is the upper one.
        mirror_up(&mut a, n);
        for block in blocks {
            let numbers: Vec<T> = block.as_slice().iter().map(|&v| T::from(v)).collect();
            let f = MatRef::from_row_major_slice(&numbers, n, block.cols());
            matmul(
                MatMut::from_column_major_slice_mut(&mut a, n, n),
                BlockStructure::TriangularLower,
                Accum::Add,
                f,
                BlockStructure::Rectangular,
                f.transpose(),
                BlockStructure::Rectangular,
                T::from(self.content),
                par,
            );
        }
        (0..n).for_each(|i| a[i * n + i] += T::from(self.l2));
        invert_spd(MatMut::from_column_major_slice_mut(&mut a, n, n), par).map_err(|_| {
            let reason = format!(
                "the products of the items with l2 = {} on the diagonal cannot be inverted; raise \
                 l2, or set precision = \"f64\"",
                self.l2
            );
            FitError::Data { model: NAME.into(), reason }
        })?;
        mirror(&mut a, n);
        let scale: Vec<T> = (0..n).map(|j| T::from(-1.0) / a[j * n + j]).collect();
        a.par_chunks_mut(n.max(1)).enumerate().for_each(|(source, row)| {
            row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= *s);
            row[source] = T::from(0.0);
        });
        Ok(a)
    }
}

/// Copies the lower half of a matrix, held row by row, onto the upper one.
fn mirror_up<T: Copy>(a: &mut [T], n: usize) {
    const TILE: usize = 64;
    for from in (0..n).step_by(TILE) {
        for to in (from..n).step_by(TILE) {
            for col in from..n.min(from + TILE) {
                for row in to.max(col + 1)..n.min(to + TILE) {
                    a[col * n + row] = a[row * n + col];
                }
            }
        }
    }
}

/// The largest eigenvalue of `XᵀX`, by the power method from a start that no eigenvector is
/// orthogonal to where values are not negative; within a few percent, from below.
fn largest_eigenvalue(x: &Interactions) -> f64 {
    const STEPS: usize = 12;
    let mut v = vec![1.0f64; x.n_items()];
    let mut value = 0.0;
    for _ in 0..STEPS {
        let mut next = vec![0.0f64; x.n_items()];
        for u in 0..x.n_users() {
            let (items, values) = (x.items(UserIdx::new(u)), x.values(UserIdx::new(u)));
            let dot: f64 =
                items.iter().zip(values).map(|(i, &r)| f64::from(r) * v[i.index()]).sum();
            items.iter().zip(values).for_each(|(i, &r)| next[i.index()] += f64::from(r) * dot);
        }
        value = next.iter().map(|x| x * x).sum::<f64>().sqrt();
        if value == 0.0 {
            return 0.0;
        }
        v = next.into_iter().map(|x| x / value).collect();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Interactions {
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (3, 0)];
        Interactions::from_pairs(4, 3, pairs).unwrap()
    }

    /// The weights of each target by its normal equations over the other items, which is what
    /// the closed form must equal.
    #[test]
    fn each_column_solves_its_regression() {
        // G = [3 2 1; 2 3 2; 1 2 2], λ = 1.
        for precision in [Precision::F32, Precision::F64] {
            let config = EaseConfig { l2: 1.0, precision, ..EaseConfig::default() };
            let model = config.fit(&world(), &FeatureSet::new(3)).unwrap();
            // Target 0: [4 2; 2 3] w = [2; 1], so w = [4; 0] / 8.
            // Target 2: [4 2; 2 4] w = [1; 2], so w = [0; 6] / 12.
            let expected = [(1, 0, 0.5), (2, 0, 0.0), (0, 2, 0.0), (1, 2, 0.5), (1, 1, 0.0)];
            for (source, target, w) in expected {
                let found = model.weight(source, target);
                assert!((found - w).abs() < 1e-6, "{source} {target}: {found}, {w}");
            }
        }
    }

    #[test]
    fn too_much_memory_and_a_bad_l2_are_errors_that_say_what_to_do() {
        let config = EaseConfig { max_memory_mib: 0, ..EaseConfig::default() };
        let error = config.fit(&world(), &FeatureSet::new(3)).unwrap_err().to_string();
        assert!(error.contains("max_memory_mib"), "{error}");
        let config = EaseConfig { l2: 0.0, ..EaseConfig::default() };
        let error = config.fit(&world(), &FeatureSet::new(3)).unwrap_err().to_string();
        assert!(error.contains("l2 must be above 0"), "{error}");
    }

    #[test]
    fn the_power_method_finds_the_largest_eigenvalue() {
        // One user with both of two items, nobody else: G = [1 1; 1 1].
        let x = Interactions::from_pairs(1, 2, [(0, 0), (0, 1)]).unwrap();
        assert!((largest_eigenvalue(&x) - 2.0).abs() < 1e-9);
    }
}
