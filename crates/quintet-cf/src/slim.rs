//! SLIM: every item as a sparse sum of others.
//!
//! Ning & Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011;
//! Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models via
//! Coordinate Descent", J. Stat. Softw. 2010 (covariance updates, active set). For every target
//! `j`, with `G = XᵀX`:
//!
//! ```text
//! minimise ½‖X_j − X w‖² + (l2/2)‖w‖² + l1 ‖w‖₁,   w_j = 0,   w ≥ 0 unless told otherwise
//! w_k ← S(G_kj − Σ_{l≠k} G_kl w_l, l1) / (G_kk + l2)
//! ```
//!
//! Software that divides the error by `2 n_users` and has `alpha` and `l1_ratio` means
//! `l1 = n_users · alpha · l1_ratio`, `l2 = n_users · alpha · (1 − l1_ratio)`. With `neighbours`
//! only those items may enter a column that explain the most of it on their own (fsSLIM of the
//! paper, which takes the nearest by cosine: where many items are rare, these are rare ones). Where values and
//! weights are not negative, an item with `G_kj ≤ l1` cannot enter and is left out at once.
//! Cost: the sparse `XᵀX`, 8 bytes a number; a sweep of a column costs the rows of `G` of what
//! changed. Columns are fitted in parallel.

use quintet_core::Interactions;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ease_sparse::{gram_of, nearest};
use crate::items::{Influence, ItemWeights};
use crate::similarity::Cut;
use crate::sparse::{Gram, Offer, with_ones};

const NAME: &str = "slim";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlimConfig {
    /// λ: how much a weight costs by its size.
    pub l1: f32,
    /// β: how much a weight costs by its square; with `l1`, above 0 together.
    pub l2: f32,
    /// Whether weights may be below 0, which is nearer to EASE.
    pub negative: bool,
    /// Items that may enter a column; all by default.
    pub neighbours: Option<usize>,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// A column is done when no weight changes by more in a sweep.
    pub tolerance: f64,
    /// At most so many sweeps a column.
    pub sweeps: usize,
    /// The most memory that the products of the items may take, in MiB.
    pub max_memory_mib: usize,
}

impl Default for SlimConfig {
    fn default() -> Self {
        Self {
            l1: 1.0,
            l2: 10.0,
            negative: false,
            neighbours: None,
            use_values: false,
            tolerance: 1e-4,
            sweeps: 100,
            max_memory_mib: 8192,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "every item as a sparse sum of others, elastic net (Ning 2011)",
        build: |params| Ok(Box::new(parse_params::<SlimConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemWeights::load(NAME, state)?)),
        tiny: r#"{"l1": 0.5, "l2": 2.0}"#,
    }
}

impl Fit for SlimConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let mut models = self.fit_path(data.train, &[self.l1])?;
        match models.pop() {
            Some(model) => Ok(Fitting::Fitted(Box::new(model))),
            None => {
                let reason = "l1: expected a number, found none".into();
                Err(FitError::Config { model: NAME.into(), reason })
            }
        }
    }
}

impl SlimConfig {
    /// Fits one model for each of `l1`, each column starting from its weights under the one
    /// before: descending costs make a path that is soon walked.
    ///
    /// # Errors
    /// The parameters are out of range, or the products of the items take too much memory.
    pub fn fit_path(&self, train: &Interactions, l1: &[f32]) -> Result<Vec<ItemWeights>, FitError> {
        self.check(l1)?;
        let history = if self.use_values { train.clone() } else { with_ones(train)? };
        let gram = gram_of(NAME, &history, self.max_memory_mib)?;
        // Without negative products an item that shares nothing with the target cannot help it.
        let screen = !self.negative && history.iter().all(|t| t.value >= 0.0);
        let n = history.n_items();
        let columns: Vec<Vec<Vec<Offer>>> = (0..n)
            .into_par_iter()
            .map_init(
                || Column::new(n),
                |column, j| {
                    let candidates = self.candidates(&gram, j, screen, l1);
                    column.begin(&gram, j);
                    let path = l1.iter().map(|&l1| {
                        column.solve(self, &gram, &candidates, f64::from(l1));
                        column.weights()
                    });
                    let path = path.collect();
                    column.clear();
                    path
                },
            )
            .collect();
        let mut steps: Vec<Vec<Vec<Offer>>> = l1.iter().map(|_| Vec::with_capacity(n)).collect();
        for column in columns {
            steps.iter_mut().zip(column).for_each(|(step, weights)| step.push(weights));
        }
        steps
            .into_iter()
            .map(|lists| {
                let influence = Influence::from_lists(lists, Cut::Target)?;
                Ok(ItemWeights::new(NAME, history.clone(), influence, self.use_values))
            })
            .collect()
    }

    fn check(&self, l1: &[f32]) -> Result<(), FitError> {
        let refuse = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        for (key, value) in l1.iter().map(|l1| ("l1", l1)).chain([("l2", &self.l2)]) {
            if !(value.is_finite() && *value >= 0.0) {
                return refuse(format!("{key} must be at least 0; found {value}"));
            }
        }
        if self.l2 == 0.0 && l1.contains(&0.0) {
            return refuse("l1 and l2 must not both be 0".into());
        }
        if self.neighbours == Some(0) || self.sweeps == 0 {
            return refuse("neighbours and sweeps must be at least 1; found 0".into());
        }
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            return refuse(format!("tolerance must be above 0; found {}", self.tolerance));
        }
        Ok(())
    }

    /// The items that may enter the column of `target`, ascending.
    fn candidates(&self, gram: &Gram, target: usize, screen: bool, l1: &[f32]) -> Vec<u32> {
        let least = l1.iter().copied().fold(f32::INFINITY, f32::min);
        if let Some(k) = self.neighbours {
            return nearest(gram, target, k, self.l2);
        }
        let (columns, values) = gram.row(target);
        let own = target as u32;
        if screen {
            let enter = columns.iter().zip(values).filter(|(k, g)| **k != own && **g > least);
            enter.map(|(k, _)| *k).collect()
        } else {
            (0..gram.n() as u32).filter(|k| *k != own).collect()
        }
    }
}

/// The weights of one target while they are found; all zero between targets.
struct Column {
    /// By item: its weight.
    w: Vec<f64>,
    /// By item: `G_kj − Σ_l G_kl w_l`.
    rest: Vec<f64>,
    /// Items whose weight is or was not 0.
    active: Vec<u32>,
    is_active: Vec<bool>,
}

impl Column {
    fn new(n: usize) -> Self {
        Self { w: vec![0.0; n], rest: vec![0.0; n], active: Vec::new(), is_active: vec![false; n] }
    }

    fn begin(&mut self, gram: &Gram, target: usize) {
        let (columns, values) = gram.row(target);
        for (&k, &g) in columns.iter().zip(values) {
            self.rest[k as usize] = f64::from(g);
        }
    }

    /// Sweeps over the weights that are not 0 until they stand still, then over all candidates;
    /// done when that lets nobody in.
    fn solve(&mut self, config: &SlimConfig, gram: &Gram, candidates: &[u32], l1: f64) {
        let mut sweeps = 0;
        while sweeps < config.sweeps {
            sweeps += 1;
            let mut change = 0.0f64;
            let mut entered = false;
            for &k in candidates {
                change = change.max(self.step(config, gram, k, l1));
                if self.w[k as usize] != 0.0 && !self.is_active[k as usize] {
                    self.is_active[k as usize] = true;
                    self.active.push(k);
                    entered = true;
                }
            }
            if change <= config.tolerance && !entered {
                return;
            }
            while sweeps < config.sweeps {
                sweeps += 1;
                let mut change = 0.0f64;
                for place in 0..self.active.len() {
                    change = change.max(self.step(config, gram, self.active[place], l1));
                }
                if change <= config.tolerance {
                    break;
                }
            }
        }
    }

    /// Sets one weight to its best and says by how much it changed.
    fn step(&mut self, config: &SlimConfig, gram: &Gram, k: u32, l1: f64) -> f64 {
        let item = k as usize;
        let square = f64::from(gram.square(item));
        let old = self.w[item];
        let pull = self.rest[item] + square * old;
        let denominator = square + f64::from(config.l2);
        let new = if pull > l1 && denominator > 0.0 {
            (pull - l1) / denominator
        } else if config.negative && pull < -l1 && denominator > 0.0 {
            (pull + l1) / denominator
        } else {
            0.0
        };
        let change = new - old;
        if change != 0.0 {
            self.w[item] = new;
            let (columns, values) = gram.row(item);
            for (&l, &g) in columns.iter().zip(values) {
                self.rest[l as usize] -= change * f64::from(g);
            }
        }
        change.abs()
    }

    fn weights(&self) -> Vec<Offer> {
        let all = self.active.iter().map(|&k| (k, self.w[k as usize] as f32));
        all.filter(|offer| offer.1 != 0.0).collect()
    }

    fn clear(&mut self) {
        for k in self.active.drain(..) {
            self.w[k as usize] = 0.0;
            self.is_active[k as usize] = false;
        }
        self.rest.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::UserIdx;

    /// By how much the conditions of Karush, Kuhn and Tucker are missed at most.
    fn missed(x: &Interactions, model: &ItemWeights, config: &SlimConfig, l1: f64) -> f64 {
        let n = x.n_items();
        let column = |j: usize| -> Vec<f64> {
            let of =
                |u| f64::from(u8::from(x.contains(UserIdx::new(u), quintet_core::ItemIdx::new(j))));
            (0..x.n_users()).map(of).collect()
        };
        let dense: Vec<Vec<f64>> = (0..n).map(column).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut worst = 0.0f64;
        for j in 0..n {
            let mut error = dense[j].clone();
            for (k, other) in dense.iter().enumerate() {
                let w = f64::from(model.weight(k, j));
                error.iter_mut().zip(other).for_each(|(e, x)| *e -= w * x);
            }
            for k in (0..n).filter(|k| *k != j) {
                let w = f64::from(model.weight(k, j));
                let slope = dot(&dense[k], &error) - f64::from(config.l2) * w;
                worst = worst.max(match () {
                    () if w > 0.0 => (slope - l1).abs(),
                    () if w < 0.0 => (slope + l1).abs(),
                    () if config.negative => slope.abs() - l1,
                    () => slope - l1,
                });
            }
        }
        worst
    }

    proptest! {
        #[test]
        fn the_conditions_of_the_optimum_hold(
            pairs in proptest::collection::btree_set((0u32..14, 0u32..8), 10..60),
            negative: bool,
            l2 in 0.1f32..5.0,
        ) {
            let x = Interactions::from_pairs(14, 8, pairs.iter().copied()).unwrap();
            let config = SlimConfig {
                negative, l2, tolerance: 1e-12, sweeps: 10_000, ..SlimConfig::default()
            };
            for (model, l1) in config.fit_path(&x, &[2.0, 0.5, 0.1]).unwrap().iter().zip([2.0, 0.5, 0.1]) {
                let missed = missed(&x, model, &config, f64::from(l1 as f32));
                prop_assert!(missed < 1e-5, "l1 {l1}: {missed}");
            }
        }
    }

    #[test]
    fn one_weight_by_hand_and_a_warm_start_changes_nothing() {
        // Items 0 and 1 share 2 of 3 and 2 users: w_01 = (2 − 0.5) / (3 + 1).
        let x = Interactions::from_pairs(3, 2, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]).unwrap();
        let config = SlimConfig { l2: 1.0, tolerance: 1e-12, ..SlimConfig::default() };
        let path = config.fit_path(&x, &[1.0, 0.5]).unwrap();
        assert!((path[1].weight(0, 1) - 1.5 / 4.0).abs() < 1e-6);
        assert_eq!(path[1], config.fit_path(&x, &[0.5]).unwrap()[0]);
    }

    #[test]
    fn costs_of_nothing_are_refused() {
        let x = Interactions::from_pairs(1, 1, [(0, 0)]).unwrap();
        let config = SlimConfig { l1: 0.0, l2: 0.0, ..SlimConfig::default() };
        let error = config.fit_path(&x, &[0.0]).unwrap_err().to_string();
        assert!(error.contains("l1 and l2"), "{error}");
    }
}
