//! UserKNN: what the people who are most like somebody used.
//!
//! Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", CSCW
//! 1994; Herlocker et al., "An Algorithmic Framework for Performing Collaborative Filtering",
//! SIGIR 1999. `score(u, i) = Σ_{v ∈ N_k(u)} s_uv r_vi`, with the similarities of
//! [`Similarity`] over the weights of [`Weighting`]; a user is the document and
//! an item the word. A newcomer is compared with every stored history. Explanations split each
//! `s_uv` by what the items of the user add to `w_u · w_v`, so that they sum to the score.
//! Cost: `½ Σ_i n_i²` additions to build, memory `O(nnz + k · n_users)`.

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    Triplet, UserIdx, top_k,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::similarity::{Cut, Nearness, Shrinkage, Similarity, length_of, newcomer};
use crate::sparse::{Weigher, Weighting, with_ones};

const NAME: &str = "userknn";

/// Parameters; they mean what they mean for `itemknn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserKnnConfig {
    /// Neighbours kept for each user.
    pub k: usize,
    /// Trust in similarities with little support.
    pub shrink: f32,
    /// How it acts.
    pub shrinkage: Shrinkage,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
    /// How much an interaction weighs when users are compared.
    pub weighting: Weighting,
    /// BM25: how soon more of the same counts no more.
    pub bm25_k1: f64,
    /// BM25: how much busy users are held down, between 0 and 1.
    pub bm25_b: f64,
    /// By default `dot` for `bm25` and `cosine` for all else.
    pub similarity: Option<Similarity>,
    /// Asymmetric: the exponent of the neighbour, between 0 and 1.
    pub alpha: f32,
    /// Tversky: the weights of what only the user and only the neighbour have.
    pub tversky: (f32, f32),
    /// Fewest items that two neighbours share.
    pub min_support: u32,
}

impl Default for UserKnnConfig {
    fn default() -> Self {
        Self {
            k: 100,
            shrink: 0.0,
            shrinkage: Shrinkage::Additive,
            use_values: false,
            weighting: Weighting::None,
            bm25_k1: 1.2,
            bm25_b: 0.75,
            similarity: None,
            alpha: 0.5,
            tversky: (1.0, 1.0),
            min_support: 1,
        }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "what the most similar users used: cosine, TF-IDF or BM25, k nearest",
        build: |params| Ok(Box::new(parse_params::<UserKnnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(UserKnn::load(state)?)),
        tiny: r#"{"k": 10}"#,
    }
}

impl UserKnnConfig {
    fn resolved(&self) -> Self {
        let bm25 = self.weighting == Weighting::Bm25;
        let similarity = if bm25 { Similarity::Dot } else { Similarity::Cosine };
        Self { similarity: Some(self.similarity.unwrap_or(similarity)), ..self.clone() }
    }

    fn nearness(&self) -> Nearness {
        Nearness {
            k: self.k,
            weighting: self.weighting,
            bm25: (self.bm25_k1, self.bm25_b),
            similarity: self.resolved().similarity.unwrap_or(Similarity::Cosine),
            alpha: self.alpha,
            tversky: self.tversky,
            shrink: self.shrink,
            shrinkage: self.shrinkage,
            min_support: self.min_support,
            itself: false,
            cut: Cut::Target,
        }
    }
}

impl Fit for UserKnnConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self.resolved()).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        self.nearness().check(NAME)?;
        Ok(Fitting::Fitted(Box::new(UserKnn::build(data.train, self)?)))
    }
}

/// The fitted model: everybody's nearest, and the histories to compare newcomers with.
#[derive(Debug, Clone, PartialEq)]
pub struct UserKnn {
    config: UserKnnConfig,
    history: Interactions,
    /// `[items, users]`.
    by_item: Interactions,
    /// `[users, users]`: row `u` holds the neighbours of `u` with `s_uv`.
    neighbours: Interactions,
    weigher: Weigher,
    /// By user: the sum of their values, and the length of their weights.
    lengths: Vec<f64>,
    norms: Vec<f32>,
}

impl UserKnn {
    fn build(train: &Interactions, config: &UserKnnConfig) -> Result<Self, FitError> {
        let history = if config.use_values { train.clone() } else { with_ones(train)? };
        let lists = config.nearness().nearest(NAME, &history.transpose())?;
        let (n, nnz) = (lists.len(), lists.iter().map(Vec::len).sum());
        let cells = lists.into_iter().enumerate().flat_map(|(u, list)| {
            let user = UserIdx::new(u);
            list.into_iter().map(move |(v, value)| Triplet { user, item: ItemIdx(v), value })
        });
        let neighbours = Interactions::from_sorted(n, n, nnz, cells)?;
        Ok(Self::new(config.clone(), history, neighbours))
    }

    fn new(config: UserKnnConfig, history: Interactions, neighbours: Interactions) -> Self {
        let by_item = history.transpose();
        let weigher = config.nearness().weigher(&by_item);
        let lengths: Vec<f64> = (0..history.n_users()).map(|u| length_of(&history, u)).collect();
        let mut model =
            Self { config, history, by_item, neighbours, weigher, lengths, norms: Vec::new() };
        let norm = |u: usize| {
            let user = UserIdx::new(u);
            let (items, values) = (model.history.items(user), model.history.values(user));
            let weights = items.iter().zip(values).map(|(i, &r)| model.weight(u, i.index(), r));
            weights.map(|w| w * w).sum::<f32>().sqrt()
        };
        model.norms = (0..model.history.n_users()).map(norm).collect();
        model
    }

    fn load(state: &ModelState) -> Result<Self, FitError> {
        let config: UserKnnConfig = serde_json::from_str(state.text("config")?)
            .map_err(|e| state.mismatch("config", "parameters of userknn", &e.to_string()))?;
        let (history, near) = (state.interactions("history")?, state.interactions("neighbours")?);
        let n = history.n_users();
        if (near.n_users(), near.n_items()) != (n, n) {
            let found = format!("[{}, {}]", near.n_users(), near.n_items());
            return Err(state.mismatch("neighbours", &format!("[{n}, {n}]"), &found).into());
        }
        Ok(Self::new(config, history, near))
    }

    fn weight(&self, user: usize, item: usize, value: f32) -> f32 {
        self.weigher.weight(f64::from(value), self.lengths[user], item) as f32
    }

    fn check_user(&self, user: UserIdx) -> Result<(), ScoreError> {
        let (index, len) = (user.index(), self.n_users());
        if index < len { Ok(()) } else { Err(ScoreError::OutOfRange { what: "user", index, len }) }
    }

    fn add(&self, neighbour: UserIdx, similarity: f32, out: &mut [f32]) {
        let (items, values) = (self.history.items(neighbour), self.history.values(neighbour));
        for (i, r) in items.iter().zip(values) {
            out[i.index()] += similarity * r;
        }
    }

    /// The similarity of a newcomer with everybody; 0 below the least support.
    fn compare(&self, row: &[(u32, f32)]) -> Vec<f32> {
        let length = row.iter().map(|c| f64::from(c.1)).sum();
        let mut dots = vec![(0.0f32, 0u32); self.n_users()];
        let mut square = 0.0f32;
        for &(item, value) in row {
            let own = self.weigher.weight(f64::from(value), length, item as usize) as f32;
            square += own * own;
            let users = self.by_item.items(UserIdx(item));
            for (v, &r) in users.iter().zip(self.by_item.values(UserIdx(item))) {
                let dot = &mut dots[v.index()];
                dot.0 += own * self.weight(v.index(), item as usize, r);
                dot.1 += 1;
            }
        }
        let (nearness, norm) = (self.config.nearness(), square.sqrt());
        let similarity = |(v, (dot, common)): (usize, (f32, u32))| {
            if common < self.config.min_support.max(1) {
                return 0.0;
            }
            nearness.of(dot, norm, self.norms[v], common as f32)
        };
        dots.into_iter().enumerate().map(similarity).collect()
    }
}

impl Recommender for UserKnn {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.history.n_users()
    }

    fn n_items(&self) -> usize {
        self.history.n_items()
    }

    fn capability(&self) -> Capability {
        Capability::personal().with_explanations().with_fold_in()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        users.iter().try_for_each(|&u| self.check_user(u))?;
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        out.as_mut_slice().par_chunks_mut(n_items).zip(users).for_each(|(row, &user)| {
            let near = self.neighbours.items(user).iter().zip(self.neighbours.values(user));
            near.for_each(|(v, s)| self.add(UserIdx(v.0), *s, row));
        });
        Ok(())
    }

    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        assert_eq!(out.len(), self.n_items(), "the scores hold every item");
        let row = newcomer(items, values, self.n_items(), !self.config.use_values)?;
        let similar = self.compare(&row);
        out.fill(0.0);
        let mut near = top_k(&similar, self.config.k, |v| similar[v.index()] <= 0.0);
        // In the order in which neighbours of known users are summed.
        near.sort_unstable_by_key(|s| s.item);
        near.iter().for_each(|s| self.add(UserIdx(s.item.0), s.score, out));
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        state.put_interactions("history", &self.history);
        state.put_interactions("neighbours", &self.neighbours);
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        state.meta.insert("config".into(), config);
        state
    }

    /// The cosine of the items' users.
    fn similar_items(
        &self,
        item: ItemIdx,
        k: usize,
    ) -> Result<Vec<quintet_core::Scored>, ScoreError> {
        let (index, len) = (item.index(), self.n_items());
        if index >= len {
            return Err(ScoreError::OutOfRange { what: "item", index, len });
        }
        let square =
            |i: usize| self.by_item.values(UserIdx::new(i)).iter().map(|r| r * r).sum::<f32>();
        let mut row = vec![0.0f32; len];
        let users = self.by_item.items(UserIdx(item.0)).iter();
        for (v, own) in users.zip(self.by_item.values(UserIdx(item.0))) {
            self.add(UserIdx(v.0), *own, &mut row);
        }
        let own = square(index);
        for (i, dot) in row.iter_mut().enumerate().filter(|(_, dot)| **dot != 0.0) {
            *dot /= (own * square(i)).sqrt();
        }
        Ok(top_k(&row, k, |i| i == item || row[i.index()] <= 0.0))
    }

    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.check_user(user)?;
        let (index, len) = (item.index(), self.n_items());
        if index >= len {
            return Err(ScoreError::OutOfRange { what: "item", index, len });
        }
        let own = self.history.items(user).iter().zip(self.history.values(user));
        let own: Vec<(ItemIdx, f32)> =
            own.map(|(&j, &r)| (j, self.weight(user.index(), j.index(), r))).collect();
        let mut shares = vec![0.0f32; own.len()];
        let near = self.neighbours.items(user).iter().zip(self.neighbours.values(user));
        for (v, s) in near {
            let neighbour = UserIdx(v.0);
            let theirs = self.history.items(neighbour);
            let Ok(place) = theirs.binary_search(&item) else { continue };
            let adds = s * self.history.values(neighbour)[place];
            let product = |&(j, w): &(ItemIdx, f32)| {
                theirs.binary_search(&j).map_or(0.0, |place| {
                    let r = self.history.values(neighbour)[place];
                    w * self.weight(neighbour.index(), j.index(), r)
                })
            };
            let products: Vec<f32> = own.iter().map(product).collect();
            let dot: f32 = products.iter().sum();
            if dot != 0.0 {
                shares.iter_mut().zip(products).for_each(|(share, p)| *share += adds * p / dot);
            }
        }
        let mut found: Vec<(ItemIdx, f32)> = own.iter().map(|c| c.0).zip(shares).collect();
        found.retain(|(j, share)| *share != 0.0 && history.contains(j));
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let reasons = found.into_iter().take(k);
        Ok(reasons.map(|(item, weight)| Reason::Because { item, weight }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users 0 and 1 share items 0 and 1; user 2 shares item 2 with user 1.
    fn world() -> Interactions {
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3)];
        Interactions::from_pairs(4, 4, pairs).unwrap()
    }

    #[test]
    fn scores_by_hand_and_explanations_sum_to_them() {
        let model = UserKnn::build(&world(), &UserKnnConfig::default()).unwrap();
        let mut scores = Matrix::default();
        model.score(&[UserIdx(0), UserIdx(3)], &mut scores).unwrap();
        // s(0,1) = 2 / (√2 √3), and user 0 shares nothing with user 2.
        let s = 2.0 / 6.0f32.sqrt();
        for (found, expected) in scores.row(0).iter().zip([s, s, s, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{:?}", scores.row(0));
        }
        assert_eq!(scores.row(1), [0.0; 4]);
        let all: Vec<ItemIdx> = (0..4).map(ItemIdx).collect();
        let reasons = model.explain(UserIdx(0), ItemIdx(2), &all, 9).unwrap();
        let weights: f32 = reasons
            .iter()
            .map(|r| if let Reason::Because { weight, .. } = r { *weight } else { 0.0 })
            .sum();
        assert!(reasons.len() == 2 && (weights - s).abs() < 1e-6, "{reasons:?}");
    }

    #[test]
    fn a_newcomer_who_did_the_same_finds_the_same_neighbours_and_the_user_too() {
        for weighting in [Weighting::None, Weighting::Tfidf, Weighting::Bm25] {
            let config = UserKnnConfig { weighting, ..UserKnnConfig::default() };
            let model = UserKnn::build(&world(), &config).unwrap();
            let (mut known, mut new) = (Matrix::default(), vec![f32::NAN; 4]);
            model.score(&[UserIdx(0)], &mut known).unwrap();
            let items = [ItemIdx(1), ItemIdx(0)];
            model.fold_in(&items, &[1.0, 1.0], &mut new).unwrap();
            // The stored self adds to its own items alone.
            for i in [2, 3] {
                assert!((known.row(0)[i] - new[i]).abs() < 1e-6, "{known:?} {new:?}");
            }
        }
    }
}
