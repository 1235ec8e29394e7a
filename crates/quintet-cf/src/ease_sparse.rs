//! EASE for many items: each target regressed on a few items alone.
//!
//! Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019, section 3.2: the
//! support of the weights is chosen first, then the closed form is solved within it. Here the
//! support of target `j` are the `neighbours` that explain the most of it on their own,
//! `G_kj² / (G_kk + λ)` (the paper thresholds correlations, which prefers rare items), and every
//! column has a solution of its own: `(G_CC + λ I) w = G_Cj`, which minimises
//! `‖X_j − X_C w‖² + λ‖w‖²` exactly. (The paper also shares one inverse between several columns
//! of a support, which is faster and not exact.) With all items in the support it is EASE.
//! Cost: `O(n_items · neighbours³)` and the sparse `XᵀX`, 8 bytes a number; nothing of the size
//! `n_items²`.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::{solve_in_place, solve_in_place_scratch};
use faer::{Mat, Par};
use quintet_core::Interactions;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::items::{Influence, ItemWeights};
use crate::similarity::Cut;
use crate::sparse::{Best, Gram, Offer, Order, Terms, with_ones};

const NAME: &str = "ease_sparse";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EaseSparseConfig {
    /// λ: what is added to the diagonal, above 0.
    pub l2: f32,
    /// Items that each target is regressed on.
    pub neighbours: usize,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// The most memory that the products of the items may take, in MiB.
    pub max_memory_mib: usize,
}

impl Default for EaseSparseConfig {
    fn default() -> Self {
        Self { l2: 200.0, neighbours: 200, use_values: false, max_memory_mib: 8192 }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "EASE on a few items a target, for many items (Steck 2019)",
        build: |params| Ok(Box::new(parse_params::<EaseSparseConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemWeights::load(NAME, state)?)),
        tiny: r#"{"l2": 5.0, "neighbours": 20}"#,
    }
}

impl Fit for EaseSparseConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Fitted(Box::new(self.fit(data.train)?)))
    }
}

impl EaseSparseConfig {
    fn fit(&self, train: &Interactions) -> Result<ItemWeights, FitError> {
        let refuse = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if !(self.l2.is_finite() && self.l2 > 0.0) {
            return refuse(format!("l2 must be above 0; found {}", self.l2));
        }
        if self.neighbours == 0 {
            return refuse("neighbours must be at least 1; found 0".into());
        }
        let history = if self.use_values { train.clone() } else { with_ones(train)? };
        let gram = gram_of(NAME, &history, self.max_memory_mib)?;
        let columns: Result<Vec<Vec<Offer>>, FitError> =
            (0..history.n_items()).into_par_iter().map(|j| self.column(&gram, j)).collect();
        let influence = Influence::from_lists(columns?, Cut::Target)?;
        Ok(ItemWeights::new(NAME, history, influence, self.use_values))
    }

    /// The weights of one target on those items.
    fn column(&self, gram: &Gram, target: usize) -> Result<Vec<Offer>, FitError> {
        let support = nearest(gram, target, self.neighbours, self.l2);
        let n = support.len();
        let mut a = Mat::<f64>::zeros(n, n);
        let mut w = Mat::<f64>::zeros(n, 1);
        for (col, &i) in support.iter().enumerate() {
            w[(col, 0)] = f64::from(gram.get(target, i));
            for (row, &other) in support.iter().enumerate().skip(col) {
                a[(row, col)] = f64::from(gram.get(i as usize, other));
            }
            a[(col, col)] += f64::from(self.l2);
        }
        let par = Par::Seq;
        let factor = cholesky_in_place_scratch::<f64>(n, par, Default::default());
        let solve = solve_in_place_scratch::<f64>(n, 1, par);
        let mut memory = MemBuffer::new(factor.or(solve));
        let stack = MemStack::new(&mut memory);
        cholesky_in_place(a.as_mut(), Default::default(), par, stack, Default::default()).map_err(
            |_| {
                let reason = format!("item {target} cannot be regressed with l2 = {}", self.l2);
                FitError::Data { model: NAME.into(), reason }
            },
        )?;
        solve_in_place(a.as_ref(), w.as_mut(), par, stack);
        Ok(support.into_iter().enumerate().map(|(i, item)| (item, w[(i, 0)] as f32)).collect())
    }
}

/// The products of all items.
///
/// # Errors
/// [`FitError::Config`] when they would take more than `max_memory_mib`.
pub(crate) fn gram_of(
    model: &str,
    history: &Interactions,
    max_memory_mib: usize,
) -> Result<Gram, FitError> {
    let binary = history.iter().all(|t| t.value == 1.0);
    let values: Option<Vec<f32>> = (!binary).then(|| history.iter().map(|t| t.value).collect());
    let terms = Terms::new(history, values.as_deref(), None, Order::Given);
    Gram::new(&terms, max_memory_mib.saturating_mul(1 << 20)).map_err(|bytes| {
        let reason = format!(
            "the products of {} items need {} MiB, and max_memory_mib is {max_memory_mib}",
            history.n_items(),
            bytes.div_ceil(1 << 20),
        );
        FitError::Config { model: model.into(), reason }
    })
}

/// The up to `k` items that explain the most of `item` on their own, `G_kj² / (G_kk + l2)`,
/// ascending; all others when `k` is their number or more.
pub(crate) fn nearest(gram: &Gram, item: usize, k: usize, l2: f32) -> Vec<u32> {
    if k + 1 >= gram.n() {
        return (0..gram.n() as u32).filter(|other| *other as usize != item).collect();
    }
    let mut best = Best::default();
    let (columns, values) = gram.row(item);
    for (&other, &product) in columns.iter().zip(values) {
        let explains = product * product / (gram.square(other as usize) + l2);
        if other as usize != item && explains > 0.0 && explains >= best.least() {
            best.push(k, other, explains);
        }
    }
    let mut items: Vec<u32> = best.finish(k).into_iter().map(|offer| offer.0).collect();
    items.sort_unstable();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ease::EaseConfig;
    use quintet_core::FeatureSet;

    #[test]
    fn on_all_items_it_is_ease_and_on_one_a_ratio() {
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (3, 0)];
        let train = Interactions::from_pairs(4, 3, pairs).unwrap();
        let config = EaseSparseConfig { l2: 1.0, neighbours: 9, ..EaseSparseConfig::default() };
        let sparse = config.fit(&train).unwrap();
        assert_eq!(config.name(), NAME);
        let ease = EaseConfig { l2: 1.0, ..EaseConfig::default() };
        let whole = ease.fit(&train, &FeatureSet::new(3)).unwrap();
        for source in 0..3 {
            for target in 0..3 {
                let (a, b) = (sparse.weight(source, target), whole.weight(source, target));
                assert!((a - b).abs() < 1e-6, "{source} {target}: {a} {b}");
            }
        }
        // Item 1 explains the most of item 2: 2 / (3 + 1).
        let config = EaseSparseConfig { neighbours: 1, ..config };
        let one = config.fit(&train).unwrap();
        assert!((one.weight(1, 2) - 0.5).abs() < 1e-6 && one.weight(0, 2) == 0.0);
    }
}
