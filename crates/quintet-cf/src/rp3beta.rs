//! RP3β: a walk of three steps over the user–item graph, popular ends held down.
//!
//! Paudel, Christoffel, Newell, Bernstein, "Updatable, Accurate, Diverse, and Scalable
//! Recommendations for Interactive Applications", ACM TiiS 2017. With `β = 0` it is P3α: Cooper,
//! Lee, Radinsky, Siantos, "Random Walks in Recommender Systems: Exact Computation and
//! Simulations", WWW 2014 companion. With `p_uj = r_uj / Σ_j r_uj`, `p_ju = r_uj / Σ_u r_uj` and
//! `d_i` users of item `i`:
//!
//! ```text
//! w_ji = Σ_u p_ju^α p_ui^α / d_i^β,   score(u, i) = Σ_{j ∈ R(u)} r_uj w_ji
//! ```
//!
//! Differences: the step from the user is `r_uj` and not `p_uj^α`, which is the same order for
//! binary data; of each item (of the user, by default) the `k` largest `w` are kept, as in
//! Ferrari Dacrema, Cremonesi, Jannach, "Are We Really Making Much Progress?", RecSys 2019; an
//! item is not led to itself. Cost: `½ Σ_u n_u²` additions, memory `O(nnz + k · n_items)`.

use quintet_core::Interactions;
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::item_knn::check_cap;
use crate::items::{Influence, ItemWeights};
use crate::similarity::Cut;
use crate::sparse::{NearestOptions, Offer, Order, Terms, capped, neighbours, with_ones};

const NAME: &str = "rp3beta";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rp3BetaConfig {
    /// Exponent of the steps, above 0.
    pub alpha: f32,
    /// Exponent of the popularity of the end; 0 is P3α.
    pub beta: f32,
    /// Weights kept for each item.
    pub k: usize,
    /// Whose weights are cut to `k`.
    pub cut: Cut,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// Items a user when walks are counted: the latest ones, or every so many; all by default.
    pub history_cap: Option<usize>,
}

impl Default for Rp3BetaConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 0.6,
            k: 100,
            cut: Cut::Source,
            use_values: false,
            history_cap: None,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "three steps over the user-item graph, popular items held down (Paudel 2017)",
        build: |params| Ok(Box::new(parse_params::<Rp3BetaConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemWeights::load(NAME, state)?)),
        tiny: r#"{"k": 15}"#,
    }
}

impl Fit for Rp3BetaConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        let refuse = |reason: String| Err(FitError::Config { model: NAME.into(), reason });
        if self.k == 0 {
            return refuse("k must be at least 1; found 0".into());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return refuse(format!("alpha must be above 0; found {}", self.alpha));
        }
        if !(self.beta.is_finite() && self.beta >= 0.0) {
            return refuse(format!("beta must be at least 0; found {}", self.beta));
        }
        check_cap(NAME, self.history_cap)?;
        let history = if self.use_values { data.train.clone() } else { with_ones(data.train)? };
        if let Some(t) = history.iter().find(|t| t.value <= 0.0) {
            let reason = format!(
                "values are steps of a walk and must be above 0; user {} and item {} have {}",
                t.user, t.item, t.value
            );
            return Err(FitError::Data { model: NAME.into(), reason });
        }
        let cap = self.history_cap.map(|cap| capped(&history, data.sequences, cap)).transpose()?;
        let lists = self.walks(cap.as_ref().unwrap_or(&history));
        let influence = Influence::from_lists(lists, self.cut)?;
        let model = ItemWeights::new(NAME, history, influence, self.use_values);
        Ok(Fitting::Fitted(Box::new(model)))
    }
}

impl Rp3BetaConfig {
    fn walks(&self, history: &Interactions) -> Vec<Vec<Offer>> {
        let binary = history.iter().all(|t| t.value == 1.0);
        // Of Σ_u (r_uj r_ui)^α s_u^(−α) t_j^(−α) d_i^(−β) the sum is symmetric.
        let mut totals = vec![0.0f64; history.n_users()];
        let mut of_item = vec![0.0f64; history.n_items()];
        for t in history.iter() {
            totals[t.user.index()] += f64::from(t.value);
            of_item[t.item.index()] += f64::from(t.value);
        }
        let alpha = f64::from(self.alpha);
        let cells: Option<Vec<f32>> = (!binary).then(|| {
            let weight = |r: f32, u: usize| f64::from(r).powf(alpha) * totals[u].powf(-alpha / 2.0);
            history.iter().map(|t| weight(t.value, t.user.index()) as f32).collect()
        });
        let squares = binary.then(|| totals.iter().map(|s| s.powf(-alpha) as f32).collect());
        let terms = Terms::new(history, cells.as_deref(), squares, Order::Popularity);
        let by_rank = |of: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            terms.order().iter().enumerate().map(|(r, &i)| of(r, i as usize) as f32).collect()
        };
        let begin = by_rank(&|_, item| of_item[item].powf(-alpha));
        let end = by_rank(&|rank, _| (terms.n_terms(rank) as f64).powf(-f64::from(self.beta)));
        let (row, col) = if self.cut == Cut::Source { (begin, end) } else { (end, begin) };
        let options = NearestOptions {
            k: self.k,
            itself: false,
            min_support: 1,
            counts: false,
            symmetric: false,
        };
        neighbours(&terms, options, |p| p.dot * row[p.row] * col[p.col])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_by_hand() {
        // User 0 has items 0 and 1, user 1 has items 0, 1 and 2.
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)];
        let history = Interactions::from_pairs(2, 3, pairs).unwrap();
        let config = Rp3BetaConfig { alpha: 1.0, beta: 1.0, ..Rp3BetaConfig::default() };
        let walks = config.walks(&history);
        // From item 2: the only way is user 1 (p = 1), who goes on to each with 1/3; two users
        // have items 0 and 1.
        assert_eq!(walks[2].len(), 2);
        for (found, item) in walks[2].iter().zip([0, 1]) {
            assert!(found.0 == item && (found.1 - 1.0 / 6.0).abs() < 1e-7, "{walks:?}");
        }
        // From item 0 to item 1: (½ · ½ + ½ · ⅓) / 2; to item 2: ½ · ⅓ / 1.
        assert!((walks[0][0].1 - 5.0 / 24.0).abs() < 1e-7 && walks[0][0].0 == 1);
        assert!((walks[0][1].1 - 1.0 / 6.0).abs() < 1e-7 && walks[0][1].0 == 2);
        // Valued the same, the general way gives the same walks.
        let twice = quintet_core::Interactions::from_triplets(
            2,
            3,
            history.iter().map(|t| quintet_core::Triplet { value: 2.0, ..t }),
        );
        for (a, b) in walks.iter().flatten().zip(config.walks(&twice.unwrap()).iter().flatten()) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-6);
        }
    }
}
