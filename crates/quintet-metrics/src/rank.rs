//! Ranks all items for many users: blocks of scores, masked, cut to the k best.
//!
//! Users are scored in blocks, blocks in parallel; a block's scores live only until its lists are
//! cut, so memory is `O(threads · block · items + users · k)`. The lists do not depend on the
//! size of the blocks or the number of threads.

use quintet_core::{Interactions, Matrix, Recommender, ScoreError, Scored, UserIdx, top_k};
use rayon::prelude::*;

use crate::EvalError;

/// Users scored at once unless said otherwise.
const BLOCK_USERS: usize = 64;

/// Most scores that a block holds by default: 16 MiB a thread, also for huge catalogues.
const BLOCK_SCORES: usize = 4 << 20;

/// How [`rank_users`] ranks.
#[derive(Debug, Clone, Copy)]
pub struct RankOptions<'a> {
    /// Length of the lists; a list is shorter when fewer items remain.
    pub k: usize,
    /// `[n_items]`: the items that take part; all when `None`.
    pub candidates: Option<&'a [bool]>,
    /// Users scored at once; `None` chooses by the size of the catalogue.
    pub block_users: Option<usize>,
}

impl RankOptions<'_> {
    /// The `k` best of all items.
    pub fn new(k: usize) -> Self {
        Self { k, candidates: None, block_users: None }
    }
}

/// The best items for each of `users` without those in `seen`, best first, ties by item position.
///
/// Items scored `-inf` never rank.
///
/// # Errors
/// Tables of different sizes, an unknown user, a model that fails, or a score that is not a
/// number ([`ScoreError::NotANumber`]); of several errors the first in the order of `users`.
pub fn rank_users(
    model: &dyn Recommender,
    users: &[UserIdx],
    seen: &Interactions,
    options: &RankOptions<'_>,
) -> Result<Vec<Vec<Scored>>, EvalError> {
    check_sizes(model, users, seen, options)?;
    let by_memory = BLOCK_SCORES / model.n_items().max(1);
    let block = options.block_users.unwrap_or_else(|| by_memory.clamp(1, BLOCK_USERS));
    let blocks: Vec<Result<Vec<Vec<Scored>>, EvalError>> = users
        .par_chunks(block)
        .map_init(Matrix::default, |scores, chunk| rank_block(model, chunk, seen, options, scores))
        .collect();
    // Errors are looked at in the order of users, so that the same one is reported every time.
    let mut lists = Vec::with_capacity(users.len());
    for block in blocks {
        lists.extend(block?);
    }
    Ok(lists)
}

/// Ranks the users of one block; `scores` is memory to reuse.
fn rank_block(
    model: &dyn Recommender,
    users: &[UserIdx],
    seen: &Interactions,
    options: &RankOptions<'_>,
    scores: &mut Matrix,
) -> Result<Vec<Vec<Scored>>, EvalError> {
    model.score(users, scores)?;
    let of_model = |what: &str| format!("{what} scored by model {}", model.name());
    check(of_model("users"), users.len(), scores.rows())?;
    check(of_model("items"), model.n_items(), scores.cols())?;
    let rank = |(row, &user): (usize, &UserIdx)| {
        let row = scores.row(row);
        refuse_nan(model, user, row)?;
        let seen = seen.items(user);
        Ok(top_k(row, options.k, |item| {
            options.candidates.is_some_and(|c| !c[item.index()])
                || seen.binary_search(&item).is_ok()
        }))
    };
    users.iter().enumerate().map(rank).collect()
}

/// A broken model is an error even where the broken score would have been masked.
fn refuse_nan(model: &dyn Recommender, user: UserIdx, row: &[f32]) -> Result<(), EvalError> {
    // Without an early exit the compiler checks many scores at once.
    if !row.iter().fold(false, |found, s| found | s.is_nan()) {
        return Ok(());
    }
    let item = row.iter().position(|s| s.is_nan()).unwrap_or(0);
    Err(ScoreError::NotANumber { model: model.name().into(), user: user.0, item }.into())
}

fn check_sizes(
    model: &dyn Recommender,
    users: &[UserIdx],
    seen: &Interactions,
    options: &RankOptions<'_>,
) -> Result<(), EvalError> {
    let of_model = |what: &str| format!("{what} as model {} knows them", model.name());
    check(of_model("items of the seen interactions"), model.n_items(), seen.n_items())?;
    check(of_model("users of the seen interactions"), model.n_users(), seen.n_users())?;
    if let Some(candidates) = options.candidates {
        check(of_model("items of the candidate mask"), model.n_items(), candidates.len())?;
    }
    if options.block_users == Some(0) {
        return Err(EvalError::Setting {
            setting: "block_users",
            expected: "at least 1",
            found: "0".into(),
        });
    }
    match users.iter().find(|u| u.index() >= seen.n_users()) {
        None => Ok(()),
        Some(u) => {
            Err(EvalError::OutOfRange { what: "user", index: u.index(), len: seen.n_users() })
        }
    }
}

/// Two sizes that must be one.
pub(crate) fn check(
    what: impl Into<String>,
    expected: usize,
    found: usize,
) -> Result<(), EvalError> {
    if expected == found {
        Ok(())
    } else {
        Err(EvalError::Shape { what: what.into(), expected, found })
    }
}
