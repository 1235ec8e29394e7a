//! ItemKNN: items used by the same people.
//!
//! Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001;
//! Deshpande & Karypis, "Item-based Top-N Recommendation Algorithms", ACM TOIS 2004.
//! `s_ij = R_i · R_j / (‖R_i‖ ‖R_j‖ + shrink)` (additive shrinkage), the `k` largest of each
//! item `i` are kept, `score(u, i) = Σ_{j ∈ R(u) ∩ N_k(i)} s_ij r_uj`.
//! Cost: `Σ_u n_u²` to build, memory `O(k · n_items)`.

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Reason, Recommender, ScoreError,
    Triplet, UserIdx, top_k,
};
use quintet_tensor::{Fit, FitContext, FitError, Fitting, ModelEntry, TrainingData, parse_params};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME: &str = "itemknn";

/// Parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ItemKnnConfig {
    /// Neighbours kept for each item.
    pub k: usize,
    /// Added to the denominator of the cosine: trust in similarities with little support.
    pub shrink: f32,
    /// Whether values (ratings) count; otherwise every interaction is 1.
    pub use_values: bool,
}

impl Default for ItemKnnConfig {
    fn default() -> Self {
        Self { k: 50, shrink: 10.0, use_values: false }
    }
}

pub(crate) fn entry() -> ModelEntry {
    ModelEntry {
        name: NAME,
        summary: "items used by the same people: cosine with shrinkage, k nearest",
        build: |params| Ok(Box::new(parse_params::<ItemKnnConfig>(NAME, params)?)),
        load: |state| Ok(Box::new(ItemKnn::load(state)?)),
        tiny: r#"{"k": 10, "shrink": 0.0}"#,
    }
}

impl Fit for ItemKnnConfig {
    fn name(&self) -> &str {
        NAME
    }

    fn config(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn start(&self, data: TrainingData<'_>, _: &FitContext) -> Result<Fitting, FitError> {
        if self.k == 0 || !self.shrink.is_finite() || self.shrink < 0.0 {
            return Err(FitError::Config {
                model: NAME.into(),
                reason: format!("k must be at least 1 and shrink at least 0; found {self:?}"),
            });
        }
        Ok(Fitting::Fitted(Box::new(ItemKnn::build(data.train, self)?)))
    }
}

/// The fitted model: neighbour lists and the histories they are applied to.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemKnn {
    history: Interactions,
    /// Row `j` holds the items `i` that have `j` among their neighbours, with `s_ij`.
    influence: Interactions,
}

impl ItemKnn {
    fn build(train: &Interactions, config: &ItemKnnConfig) -> Result<Self, FitError> {
        let history = if config.use_values { train.clone() } else { binary(train)? };
        let by_item = history.transpose();
        let norms: Vec<f32> = (0..history.n_items())
            .map(|i| by_item.values(UserIdx::new(i)).iter().map(|v| v * v).sum::<f32>().sqrt())
            .collect();
        let neighbours: Vec<Vec<Triplet>> = (0..history.n_items())
            .into_par_iter()
            .map_init(
                || vec![0.0f32; history.n_items()],
                |row, i| {
                    row.fill(0.0);
                    let users = by_item.items(UserIdx::new(i));
                    for (u, weight) in users.iter().zip(by_item.values(UserIdx::new(i))) {
                        let user = UserIdx(u.0);
                        for (j, value) in history.items(user).iter().zip(history.values(user)) {
                            row[j.index()] += weight * value;
                        }
                    }
                    for (s, norm) in row.iter_mut().zip(&norms) {
                        *s /= (norms[i] * norm + config.shrink).max(f32::MIN_POSITIVE);
                    }
                    top_k(row, config.k, |j| j.index() == i || row[j.index()] <= 0.0)
                        .into_iter()
                        .map(|s| Triplet {
                            user: UserIdx(s.item.0),
                            item: ItemIdx::new(i),
                            value: s.score,
                        })
                        .collect()
                },
            )
            .collect();
        let n = history.n_items();
        let influence = Interactions::from_triplets(n, n, neighbours.into_iter().flatten())?;
        Ok(Self { history, influence })
    }

    fn load(state: &ModelState) -> Result<Self, FitError> {
        Ok(Self { history: load_csr(state, "history")?, influence: load_csr(state, "influence")? })
    }
}

fn binary(train: &Interactions) -> Result<Interactions, FitError> {
    let ones = train.iter().map(|t| Triplet { value: 1.0, ..t });
    Ok(Interactions::from_triplets(train.n_users(), train.n_items(), ones)?)
}

fn save_csr(state: &mut ModelState, name: &str, m: &Interactions) {
    let rows: Vec<i64> = m.indptr().iter().map(|&p| p as i64).collect();
    state.put_whole(format!("{name}.indptr"), rows);
    state.put_whole(format!("{name}.items"), m.indices().iter().map(|i| i64::from(i.0)).collect());
    state.put_whole(format!("{name}.shape"), vec![m.n_users() as i64, m.n_items() as i64]);
    let values: Vec<f32> = m.iter().map(|t| t.value).collect();
    if let Ok(values) = Matrix::from_vec(1, values.len(), values) {
        state.put(format!("{name}.values"), values);
    }
}

fn load_csr(state: &ModelState, name: &str) -> Result<Interactions, FitError> {
    let key = |part: &str| format!("{name}.{part}");
    let (indptr, items) = (state.whole(&key("indptr"))?, state.whole(&key("items"))?);
    let values = state.shaped(&key("values"), 1, items.len())?.as_slice();
    let &[n_users, n_items] = state.whole(&key("shape"))? else {
        return Err(state.mismatch(&key("shape"), "two numbers", "another length").into());
    };
    let fits = indptr.len() as i64 == n_users + 1
        && indptr.first() == Some(&0)
        && indptr.last() == Some(&(items.len() as i64))
        && indptr.windows(2).all(|w| w[0] <= w[1]);
    if !fits || items.iter().any(|&i| i < 0 || i >= n_items) {
        return Err(state.mismatch(&key("indptr"), "ascending row offsets", "others").into());
    }
    let cells = indptr.windows(2).enumerate().flat_map(|(u, w)| {
        (w[0] as usize..w[1] as usize).map(move |e| Triplet {
            user: UserIdx::new(u),
            item: ItemIdx(items[e] as u32),
            value: values[e],
        })
    });
    Ok(Interactions::from_triplets(n_users as usize, n_items as usize, cells)?)
}

impl Recommender for ItemKnn {
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
        Capability::personal().with_explanations()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        let len = self.n_users();
        if let Some(u) = users.iter().find(|u| u.index() >= len) {
            return Err(ScoreError::OutOfRange { what: "user", index: u.index(), len });
        }
        out.reset(users.len(), self.n_items());
        let n_items = self.n_items().max(1);
        out.as_mut_slice().par_chunks_mut(n_items).zip(users).for_each(|(row, &user)| {
            for (j, value) in self.history.items(user).iter().zip(self.history.values(user)) {
                let source = UserIdx(j.0);
                let targets = self.influence.items(source);
                for (i, s) in targets.iter().zip(self.influence.values(source)) {
                    row[i.index()] += s * value;
                }
            }
        });
        Ok(())
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        save_csr(&mut state, "history", &self.history);
        save_csr(&mut state, "influence", &self.influence);
        state
    }

    fn similar_items(
        &self,
        item: ItemIdx,
        k: usize,
    ) -> Result<Vec<quintet_core::Scored>, ScoreError> {
        let len = self.n_items();
        if item.index() >= len {
            return Err(ScoreError::OutOfRange { what: "item", index: item.index(), len });
        }
        let mut row = vec![0.0f32; len];
        let source = UserIdx(item.0);
        for (i, s) in self.influence.items(source).iter().zip(self.influence.values(source)) {
            row[i.index()] = *s;
        }
        Ok(top_k(&row, k, |i| i == item || row[i.index()] <= 0.0))
    }

    fn explain(
        &self,
        _: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        let len = self.n_items();
        if item.index() >= len {
            return Err(ScoreError::OutOfRange { what: "item", index: item.index(), len });
        }
        let mut found: Vec<(ItemIdx, f32)> = history
            .iter()
            .filter(|j| j.index() < len)
            .filter_map(|&j| {
                let row = self.influence.items(UserIdx(j.0));
                let place = row.binary_search(&item).ok()?;
                Some((j, self.influence.values(UserIdx(j.0))[place]))
            })
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok(found
            .into_iter()
            .take(k)
            .map(|(item, weight)| Reason::Because { item, weight })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_with_shrinkage_by_hand() {
        // Items 0 and 1 share users 0 and 1; item 2 shares user 0 with item 0 and 1.
        let pairs = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2)];
        let train = Interactions::from_pairs(3, 3, pairs).unwrap();
        let config = ItemKnnConfig { k: 2, shrink: 1.0, use_values: false };
        let model = ItemKnn::build(&train, &config).unwrap();
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
}
