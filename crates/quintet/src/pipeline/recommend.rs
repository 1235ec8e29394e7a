//! A list for one user, with reasons.

use quintet_core::{ItemIdx, Reason, Recommender, UserIdx};
use serde::Serialize;

use super::{PipelineError, Prepared, TrainedModel};

/// Who gets how many.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The user's own id.
    pub user: &'a str,
    /// Length of the list.
    pub k: usize,
    /// How many reasons an item.
    pub reasons: usize,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// From 1.
    pub rank: usize,
    /// The item's own id.
    pub item: String,
    /// Its title.
    pub title: String,
    /// The model's score.
    pub score: f32,
    /// Whether nobody used it in training.
    pub new: bool,
    /// Why, strongest first.
    pub reasons: Vec<String>,
}

/// The best items that the user has not used yet, each with reasons where the model has any. A
/// brand-new user is folded in by what is known of them where the model can.
///
/// # Errors
/// The user is unknown, or the model gives a score that is not a number.
pub fn recommend(
    prepared: &Prepared,
    trained: &TrainedModel,
    request: Request<'_>,
) -> Result<Vec<Recommendation>, PipelineError> {
    let users = &prepared.dataset.users;
    let position =
        users.iter().position(|u| u.id == request.user).ok_or_else(|| PipelineError::User {
            id: request.user.to_owned(),
            known: users.len(),
            first: users.first().map(|u| u.id.clone()).unwrap_or_default(),
        })?;
    let user = UserIdx::new(position);
    let history = prepared.split.seen_for_test.items(user);
    let counts = prepared.split.train.item_counts();
    let model = prepared.with_newcomers(trained.model.as_ref());
    let list = model.recommend(user, request.k, history)?;
    list.iter()
        .enumerate()
        .map(|(place, scored)| {
            let reasons = model.explain(user, scored.item, history, request.reasons)?;
            let item = &prepared.dataset.items[scored.item.index()];
            Ok(Recommendation {
                rank: place + 1,
                item: item.id.clone(),
                title: item.title.clone(),
                score: scored.score,
                new: counts[scored.item.index()] == 0,
                reasons: reasons.iter().map(|r| explain_text(prepared, r)).collect(),
            })
        })
        .collect()
}

/// One reason as a person reads it.
pub fn explain_text(prepared: &Prepared, reason: &Reason) -> String {
    let title = |i: ItemIdx| {
        let item = &prepared.dataset.items[i.index()];
        if item.title.is_empty() { item.id.clone() } else { item.title.clone() }
    };
    match reason {
        Reason::Because { item, weight } => format!("like {:?} ({weight:.2})", title(*item)),
        Reason::Part { name, weight } => format!("{name} {weight:+.2}"),
        Reason::Content { modality, weight } => format!("{modality} {weight:+.2}"),
        other => format!("{other:?}"),
    }
}
