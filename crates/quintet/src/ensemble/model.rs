//! A fitted ensemble.

use std::sync::Arc;

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, Modality, ModelState, Reason, Recommender,
    ScoreError, Scored, UserIdx,
};
use quintet_fusion::decision::{Ballot, DecisionFusion, ItemFacts, ScoreRow};
use quintet_tensor::{FitError, parse_params};
use rayon::prelude::*;

use super::{EnsembleParams, NAME, combination, members, put_under, take_under};

/// What members say, combined.
pub(super) struct Ensemble {
    params: EnsembleParams,
    members: Vec<Arc<dyn Recommender>>,
    decision: Arc<dyn DecisionFusion>,
    /// Training interactions.
    history: Arc<Interactions>,
    facts: Arc<ItemFacts>,
}

impl Ensemble {
    pub(super) fn new(
        params: EnsembleParams,
        members: Vec<Arc<dyn Recommender>>,
        decision: Arc<dyn DecisionFusion>,
        history: Arc<Interactions>,
        facts: Arc<ItemFacts>,
    ) -> Result<Self, FitError> {
        let expected = (history.n_users(), history.n_items());
        for (member, params) in members.iter().zip(&params.members) {
            let found = (member.n_users(), member.n_items());
            if found != expected {
                let label = params.label();
                let reason = format!(
                    "member {label} knows {found:?} users and items, the history has {expected:?}"
                );
                return Err(FitError::Data { model: NAME.into(), reason });
            }
        }
        Ok(Self { params, members, decision, history, facts })
    }

    pub(super) fn load(state: &ModelState) -> Result<Self, FitError> {
        let text = state.text("params")?;
        let value = serde_json::from_str(text)
            .map_err(|e| state.mismatch("params", "parameters in JSON", &e.to_string()))?;
        let params: EnsembleParams = parse_params(NAME, &value)?;
        let known = members()?;
        let loaded = params.members.iter().enumerate().map(|(at, member)| {
            let part = take_under(&format!("member.{at}."), state)?;
            Ok(Arc::from((known.get(&member.model)?.load)(&part)?))
        });
        let loaded = loaded.collect::<Result<Vec<_>, FitError>>()?;
        let mut decision = combination(&params, loaded.len())?;
        decision.load("decision.", state)?;
        let history = Arc::new(state.interactions("history")?);
        let flags = state.matrix("facts.modalities")?;
        if flags.rows() != history.n_items() {
            let (expected, found) = (history.n_items(), flags.rows());
            let (expected, found) = (format!("{expected} rows"), found.to_string());
            return Err(state.mismatch("facts.modalities", &expected, &found).into());
        }
        let flags_of = |item| flags.row(item).iter().map(|f| *f > 0.5).collect();
        let modalities = (0..flags.rows()).map(flags_of).collect();
        let facts = ItemFacts { counts: history.item_counts(), modalities };
        // Empty lists: whether what was learned fits the numbers of members and modalities.
        let rows = vec![vec![None; history.n_items()]; loaded.len()];
        decision.fuse(&Ballot { rows: &rows, user: 0, user_count: 0, facts: &facts })?;
        Self::new(params, loaded, Arc::from(decision), history, Arc::new(facts))
    }

    /// The history of a user, unless it is to stay in the lists.
    fn seen(&self, user: UserIdx) -> &[ItemIdx] {
        if self.params.exclude_seen { self.history.items(user) } else { &[] }
    }

    fn borrowed(&self) -> Vec<&dyn Recommender> {
        self.members.iter().map(AsRef::as_ref).collect()
    }

    fn fuse(&self, ballot: &Ballot<'_>, out: &mut [f32]) -> Result<(), ScoreError> {
        // The rows are of one length and finite, and loading tried the rest.
        let fused = self.decision.fuse(ballot).map_err(|_| not_a_number(NAME, ballot.user, 0))?;
        out.iter_mut().zip(fused).for_each(|(out, score)| *out = score as f32);
        Ok(())
    }

    fn check_user(&self, user: UserIdx) -> Result<(), ScoreError> {
        let (index, len) = (user.index(), self.history.n_users());
        if index >= len {
            return Err(ScoreError::OutOfRange { what: "user", index, len });
        }
        Ok(())
    }

    fn check_items(&self, items: &[ItemIdx]) -> Result<(), ScoreError> {
        let len = self.history.n_items();
        match items.iter().find(|i| i.index() >= len) {
            Some(item) => Err(ScoreError::OutOfRange { what: "item", index: item.index(), len }),
            None => Ok(()),
        }
    }

    fn ballot<'a>(&'a self, rows: &'a [ScoreRow], user: UserIdx) -> Ballot<'a> {
        let user_count = self.history.items(user).len();
        Ballot { rows, user: user.index(), user_count, facts: &self.facts }
    }
}

fn not_a_number(model: &str, user: usize, item: usize) -> ScoreError {
    ScoreError::NotANumber { model: model.to_owned(), user: user as u32, item }
}

/// The row of one model without what was seen; -∞ is the same as absent.
fn row_of(
    model: &str,
    user: usize,
    scores: &[f32],
    seen: &[ItemIdx],
) -> Result<ScoreRow, ScoreError> {
    let mut row = Vec::with_capacity(scores.len());
    for (item, &score) in scores.iter().enumerate() {
        if score.is_nan() || score == f32::INFINITY {
            return Err(not_a_number(model, user, item));
        }
        row.push((score > f32::NEG_INFINITY).then_some(score));
    }
    seen.iter().for_each(|item| row[item.index()] = None);
    Ok(row)
}

/// What each member says for a user, asked alone: in a batch, sums can be rounded otherwise, and
/// ranks of nearly equal scores would depend on the batch.
pub(super) fn member_rows(
    members: &[&dyn Recommender],
    user: UserIdx,
    seen: &[ItemIdx],
) -> Result<Vec<ScoreRow>, ScoreError> {
    let mut scores = Matrix::default();
    let row = |member: &&dyn Recommender| {
        member.score(&[user], &mut scores)?;
        row_of(member.name(), user.index(), scores.row(0), seen)
    };
    members.iter().map(row).collect()
}

impl Recommender for Ensemble {
    fn name(&self) -> &str {
        NAME
    }

    fn n_users(&self) -> usize {
        self.history.n_users()
    }

    fn n_items(&self) -> usize {
        self.history.n_items()
    }

    /// Abilities that one member lacks, the ensemble lacks: a list of that member would be noise.
    fn capability(&self) -> Capability {
        let all: Vec<Capability> = self.members.iter().map(|m| m.capability()).collect();
        let mut capability = Capability::default().with_explanations();
        capability.personal = all.iter().any(|c| c.personal);
        capability.cold_items = all.iter().all(|c| c.cold_items);
        capability.cold_users = all.iter().all(|c| c.cold_users);
        capability.folds_in = all.iter().all(|c| c.folds_in);
        let mut read: Vec<Modality> = all.iter().flat_map(|c| c.modalities.clone()).collect();
        read.sort();
        read.dedup();
        capability.with_modalities(read)
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        users.iter().try_for_each(|user| self.check_user(*user))?;
        let width = self.n_items();
        out.reset(users.len(), width);
        if width == 0 {
            return Ok(());
        }
        let members = self.borrowed();
        let rows = out.as_mut_slice().par_chunks_mut(width).zip(users);
        rows.try_for_each(|(out, &user)| {
            let rows = member_rows(&members, user, self.seen(user))?;
            self.fuse(&self.ballot(&rows, user), out)
        })
    }

    /// Of somebody unknown; weights per user are then those of everybody.
    fn fold_in(
        &self,
        items: &[ItemIdx],
        values: &[f32],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        if !self.capability().folds_in {
            return Err(ScoreError::NoFoldIn { model: NAME.into() });
        }
        assert_eq!(out.len(), self.n_items(), "one score an item");
        self.check_items(items)?;
        let seen = if self.params.exclude_seen { items } else { &[] };
        let mut scores = vec![0.0; self.n_items()];
        let row = |member: &Arc<dyn Recommender>| {
            member.fold_in(items, values, &mut scores)?;
            row_of(member.name(), self.n_users(), &scores, seen)
        };
        let rows = self.members.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        // One past the last user: nobody's own weights.
        let (user, user_count) = (self.n_users(), items.len());
        self.fuse(&Ballot { rows: &rows, user, user_count, facts: &self.facts }, out)
    }

    /// Those of the first member that knows any.
    fn similar_items(&self, item: ItemIdx, k: usize) -> Result<Vec<Scored>, ScoreError> {
        self.check_items(&[item])?;
        for member in &self.members {
            let similar = member.similar_items(item, k)?;
            if !similar.is_empty() {
                return Ok(similar);
            }
        }
        Ok(Vec::new())
    }

    /// The member that adds most to the score, then the reasons of that member.
    fn explain(
        &self,
        user: UserIdx,
        item: ItemIdx,
        history: &[ItemIdx],
        k: usize,
    ) -> Result<Vec<Reason>, ScoreError> {
        self.check_user(user)?;
        self.check_items(&[item])?;
        // An item of the history has a place in the lists when it is the one asked for.
        let seen: Vec<ItemIdx> = self.seen(user).iter().copied().filter(|i| *i != item).collect();
        let rows = member_rows(&self.borrowed(), user, &seen)?;
        let addends = self
            .decision
            .addends(&self.ballot(&rows, user), item.index())
            .map_err(|_| not_a_number(NAME, user.index(), item.index()))?;
        // The first of equal ones.
        let largest = (0..addends.len()).rev().max_by(|&a, &b| addends[a].total_cmp(&addends[b]));
        let Some(largest) = largest else { return Ok(Vec::new()) };
        let name = self.params.members[largest].label().to_owned();
        let mut reasons = vec![Reason::Part { name, weight: addends[largest] as f32 }];
        reasons.extend(self.members[largest].explain(user, item, history, k)?);
        Ok(reasons)
    }

    fn state(&self) -> ModelState {
        let mut state = ModelState::new(NAME);
        let params = serde_json::to_string(&self.params).unwrap_or_default();
        state.meta.insert("params".into(), params);
        for (at, member) in self.members.iter().enumerate() {
            put_under(&format!("member.{at}."), member.state(), &mut state);
        }
        self.decision.save("decision.", &mut state);
        state.put_interactions("history", &self.history);
        let flags: Vec<f32> =
            self.facts.modalities.iter().flatten().map(|f| f32::from(u8::from(*f))).collect();
        let width = self.facts.modalities.first().map_or(0, Vec::len);
        if let Ok(flags) = Matrix::from_vec(self.facts.modalities.len(), width, flags) {
            state.put("facts.modalities", flags);
        }
        state
    }
}
