//! ItemKNN: items used by the same people.
//!
//! Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001;
//! Deshpande & Karypis, "Item-based Top-N Recommendation Algorithms", ACM TOIS 2004.
//! `score(u, i) = Σ_{j ∈ R(u) ∩ N_k(i)} s_ij r_uj`, with the similarities of
//! [`Similarity`] over the weights of [`Weighting`]. Without weighting, the cosine has additive
//! shrinkage 10 and the `k` largest of each scored item are kept. With `tfidf` and `bm25` the
//! defaults are those of the `implicit` library, whose lists are reproduced: no shrinkage, the dot
//! product for `bm25`, the `k` largest of each item of the user, the item itself among them.
//! Cost: `½ Σ_u n_u²` additions to build, memory `O(nnz + k · n_items)`.

use quintet_core::{Interactions, Sequences};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::items::{Influence, ItemWeights};
use crate::similarity::{Cut, Nearness, Shrinkage, Similarity};
use crate::sparse::{Weighting, capped, with_ones};

const NAME: &str = "itemknn";

/// Parameters; what is not set depends on the weighting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemKnnConfig {
    /// Neighbours kept for each item.
    pub k: usize,
    /// Trust in similarities with little support; by default 10 without weighting, 0 with one.
    pub shrink: Option<f32>,
    /// How it acts.
    pub shrinkage: Shrinkage,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// How much an interaction weighs when items are compared.
    pub weighting: Weighting,
    /// BM25: how soon more of the same counts no more.
    pub bm25_k1: f64,
    /// BM25: how much popular items are held down, between 0 and 1.
    pub bm25_b: f64,
    /// By default `dot` for `bm25` and `cosine` for all else.
    pub similarity: Option<Similarity>,
    /// Asymmetric: the exponent of the user's item, between 0 and 1.
    pub alpha: f32,
    /// Tversky: the weights of what only the scored item and only the user's item have.
    pub tversky: (f32, f32),
    /// Fewest users that two neighbours share.
    pub min_support: u32,
    /// Whose neighbours are cut to `k`; by default `target` without weighting, `source` with one.
    pub cut: Option<Cut>,
    /// Whether an item takes one of its own `k` places; by default only with a weighting.
    pub counts_itself: Option<bool>,
    /// Items a user when items are compared: the latest ones, or every so many; all by default.
    pub history_cap: Option<usize>,
}

impl Default for ItemKnnConfig {
    fn default() -> Self {
        Self {
            k: 50,
            shrink: None,
            shrinkage: Shrinkage::Additive,
            use_values: false,
            weighting: Weighting::None,
            bm25_k1: 1.2,
            bm25_b: 0.75,
            similarity: None,
            alpha: 0.5,
            tversky: (1.0, 1.0),
            min_support: 1,
            cut: None,
            counts_itself: None,
            history_cap: None,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "items used by the same people: cosine, TF-IDF or BM25, k nearest",
        build: |params| Ok(Box::new(parse_params::<ItemKnnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemWeights::load(NAME, state)?)),
        tiny: r#"{"k": 10, "shrink": 0.0}"#,
    }
}

impl ItemKnnConfig {
    /// The parameters with all defaults filled in.
    fn resolved(&self) -> Self {
        let weighted = self.weighting != Weighting::None;
        let bm25 = self.weighting == Weighting::Bm25;
        let similarity = if bm25 { Similarity::Dot } else { Similarity::Cosine };
        let cut = if weighted { Cut::Source } else { Cut::Target };
        Self {
            shrink: Some(self.shrink.unwrap_or(if weighted { 0.0 } else { 10.0 })),
            similarity: Some(self.similarity.unwrap_or(similarity)),
            cut: Some(self.cut.unwrap_or(cut)),
            counts_itself: Some(self.counts_itself.unwrap_or(weighted)),
            ..self.clone()
        }
    }

    fn nearness(&self) -> Nearness {
        let full = self.resolved();
        Nearness {
            k: full.k,
            weighting: full.weighting,
            bm25: (full.bm25_k1, full.bm25_b),
            similarity: full.similarity.unwrap_or(Similarity::Cosine),
            alpha: full.alpha,
            tversky: full.tversky,
            shrink: full.shrink.unwrap_or(0.0),
            shrinkage: full.shrinkage,
            min_support: full.min_support,
            itself: full.counts_itself.unwrap_or(false),
            cut: full.cut.unwrap_or(Cut::Target),
        }
    }

    fn fit(
        &self,
        train: &Interactions,
        sequences: Option<&Sequences>,
    ) -> Result<ItemWeights, FitError> {
        let nearness = self.nearness();
        nearness.check(NAME)?;
        check_cap(NAME, self.history_cap)?;
        let history = if self.use_values { train.clone() } else { with_ones(train)? };
        let capped = self.history_cap.map(|cap| capped(&history, sequences, cap)).transpose()?;
        let lists = nearness.nearest(NAME, capped.as_ref().unwrap_or(&history))?;
        let influence = Influence::from_lists(lists, nearness.cut)?;
        Ok(ItemWeights::new(NAME, history, influence, self.use_values))
    }
}

/// A cap of no items would leave nothing to learn from.
pub(crate) fn check_cap(model: &str, cap: Option<usize>) -> Result<(), FitError> {
    if cap == Some(0) {
        let reason = "history_cap must be at least 1; found 0".into();
        return Err(FitError::Config { model: model.into(), reason });
    }
    Ok(())
}

impl Fit for ItemKnnConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self.resolved()).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        Ok(Fitting::Fitted(Box::new(self.fit(data.train, data.sequences)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{Interactions, ItemIdx, Matrix, Recommender, UserIdx};

    #[test]
    fn cosine_with_shrinkage_by_hand() {
        // Items 0 and 1 share users 0 and 1; item 2 shares user 0 with item 0 and 1.
        let pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2)];
        let train = Interactions::from_pairs(3, 3, pairs).unwrap();
        let config = ItemKnnConfig { k: 2, shrink: Some(1.0), ..ItemKnnConfig::default() };
        let model = config.fit(&train, None).unwrap();
        let mut scores = Matrix::default();
        model.score(&[UserIdx(2)], &mut scores).unwrap();
        // s(0,2) = 1 / (√2·√2 + 1) = 1/3, the same for item 1; item 2 has no neighbour itself.
        let expected = [1.0 / 3.0, 1.0 / 3.0, 0.0];
        for (a, b) in scores.row(0).iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{:?}", scores.row(0));
        }
        let near = model.similar_items(ItemIdx(0), 1).unwrap();
        // s(0,1) = 2 / (√2·√2 + 1) = 2/3.
        assert_eq!(near[0].item, ItemIdx(1));
        assert!((near[0].score - 2.0 / 3.0).abs() < 1e-6);
    }

    /// Item 0 has users 0, 1, 2, 3; item 1 has users 0, 1; item 2 has user 4.
    fn pair() -> Interactions {
        let pairs = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (4, 2)];
        Interactions::from_pairs(5, 3, pairs).unwrap()
    }

    fn weight(config: ItemKnnConfig, source: usize, target: usize) -> f32 {
        let config = ItemKnnConfig { shrink: Some(config.shrink.unwrap_or(0.0)), ..config };
        config.fit(&pair(), None).unwrap().weight(source, target)
    }

    #[test]
    fn every_similarity_by_hand() {
        let of =
            |similarity| ItemKnnConfig { similarity: Some(similarity), ..ItemKnnConfig::default() };
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(weight(of(Similarity::Cosine), 0, 1), 2.0 / 8.0f32.sqrt());
        close(weight(of(Similarity::Dot), 0, 1), 2.0);
        close(weight(of(Similarity::Jaccard), 0, 1), 2.0 / 4.0);
        // Target 1: nobody has it alone; target 0: two have it alone.
        let tversky = ItemKnnConfig { tversky: (0.5, 0.25), ..of(Similarity::Tversky) };
        close(weight(tversky.clone(), 0, 1), 2.0 / (2.0 + 0.25 * 2.0));
        close(weight(tversky, 1, 0), 2.0 / (2.0 + 0.5 * 2.0));
        // α = 1 is the chance of the target, given the source: both of the two who have item 1
        // have item 0, and two of four the other way round.
        for cut in [Cut::Target, Cut::Source] {
            let given = ItemKnnConfig { alpha: 1.0, cut: Some(cut), ..of(Similarity::Asymmetric) };
            close(weight(given.clone(), 1, 0), 1.0);
            close(weight(given, 0, 1), 0.5);
        }
    }

    #[test]
    fn shrinkage_and_support_by_hand() {
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        let config = ItemKnnConfig { shrink: Some(3.0), ..ItemKnnConfig::default() };
        close(weight(config.clone(), 0, 1), 2.0 / (8.0f32.sqrt() + 3.0));
        let config = ItemKnnConfig { shrinkage: Shrinkage::Significance, ..config };
        close(weight(config, 0, 1), 2.0 / 8.0f32.sqrt() * 2.0 / 5.0);
        for (min_support, expected) in [(2, 2.0 / 8.0f32.sqrt()), (3, 0.0)] {
            close(
                weight(ItemKnnConfig { min_support, ..ItemKnnConfig::default() }, 0, 1),
                expected,
            );
        }
    }

    #[test]
    fn a_cap_leaves_out_what_is_beyond_it() {
        // With one item each nobody connects two items.
        let config = ItemKnnConfig { history_cap: Some(1), ..ItemKnnConfig::default() };
        assert_eq!(weight(config, 0, 1), 0.0);
        let none = ItemKnnConfig { history_cap: Some(0), ..ItemKnnConfig::default() };
        assert!(none.fit(&pair(), None).unwrap_err().to_string().contains("history_cap"));
    }
}
