//! Ranks items for many users: blocks of scores, masked, cut to the k best.
//!
//! Users are taken in blocks, blocks in parallel, and nothing of a block but its lists outlives
//! it. A model in dot-product form is scored a few users and items at a time, straight from
//! registers into the lists (`panels.rs`): memory is one copy of the item factors and
//! `O(threads · block · k)`. Of other models, and where ranks of all held-out items are asked for,
//! the scores of a block are kept while it is ranked: `O(threads · block · items)`, at most
//! 16 MiB a thread unless the block was chosen by hand. The lists do not depend on the size of
//! the blocks or the number of threads.

use quintet_core::{
    Factors, Interactions, ItemIdx, Matrix, Recommender, ScoreError, Scored, UserIdx,
};
use rayon::prelude::*;

use crate::EvalError;
use crate::best::Best;
use crate::full_rank::Row;
use crate::panels::{Panels, Rows, are_safe, score_some};

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
    /// `[n_users, n_items]`: the items that take part for each user, on top of `candidates`.
    pub lists: Option<&'a Interactions>,
    /// Users scored at once; `None` chooses by the size of the catalogue.
    pub block_users: Option<usize>,
}

impl RankOptions<'_> {
    /// The `k` best of all items.
    pub fn new(k: usize) -> Self {
        Self { k, candidates: None, lists: None, block_users: None }
    }
}

/// The best items for each of `users` without those in `seen`, best first, ties by item position.
///
/// Items scored `-inf` never rank. A model with [`Recommender::factors`] is ranked by them.
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
    let ranker = Ranker::new(model, users, seen, options, false)?;
    let mut lists: Vec<Vec<Scored>> = vec![Vec::new(); users.len()];
    let block = ranker.block_users();
    let blocks = users.par_chunks(block).zip(lists.par_chunks_mut(block));
    let ranked: Vec<Result<(), EvalError>> = blocks
        .map_init(Scratch::default, |scratch, (users, lists)| {
            ranker.rank(users, scratch, |at, ranking| {
                lists[at].extend(ranking.best.scored());
                Ok(())
            })
        })
        .collect();
    // Errors are looked at in the order of users, so that the same one is reported every time.
    ranked.into_iter().collect::<Result<(), _>>()?;
    Ok(lists)
}

/// What is the same for every block.
pub(crate) struct Ranker<'a> {
    model: &'a dyn Recommender,
    seen: &'a Interactions,
    options: RankOptions<'a>,
    /// The candidates, ascending; all items when `None`.
    ids: Option<Vec<ItemIdx>>,
    /// Of a model in dot-product form whose scores are all finite.
    panels: Option<Panels<'a>>,
    /// The same, where each user has items of their own.
    factors: Option<Factors<'a>>,
    /// Makes every list at least as long as its user's row here.
    depths: Option<&'a Interactions>,
    keeps_rows: bool,
}

/// Memory that a thread uses again for every block.
#[derive(Default)]
pub(crate) struct Scratch {
    best: Vec<Best>,
    scores: Matrix,
    rows: Rows,
    ids: Vec<ItemIdx>,
    some: Vec<f32>,
}

/// One user's ranking, while the block lives.
pub(crate) struct Ranking<'a> {
    pub(crate) best: &'a Best,
    /// All scores, where they were asked for.
    pub(crate) row: Option<Row<'a>>,
}

impl<'a> Ranker<'a> {
    /// Checks the tables and lays the item factors out. With `keeps_rows` all scores of a user are
    /// shown with the list.
    pub(crate) fn new(
        model: &'a dyn Recommender,
        users: &[UserIdx],
        seen: &'a Interactions,
        options: &RankOptions<'a>,
        keeps_rows: bool,
    ) -> Result<Self, EvalError> {
        check_sizes(model, users, seen, options)?;
        let ids: Option<Vec<ItemIdx>> = options.candidates.map(|candidates| {
            (0..candidates.len()).filter(|item| candidates[*item]).map(ItemIdx::new).collect()
        });
        let fits = |f: &Factors<'_>| {
            (f.users.rows(), f.items.rows(), f.bias.len())
                == (model.n_users(), model.n_items(), model.n_items())
                && f.users.cols() == f.items.cols()
        };
        // Where a score might not be finite, the model's own scores are asked and looked through.
        let factors = model.factors().filter(fits).filter(|factors| are_safe(*factors, users));
        let (factors, panels) = match (factors, options.lists) {
            (Some(factors), None) => (None, Panels::new(factors, ids.as_deref(), !keeps_rows)),
            (factors, _) => (factors, None),
        };
        let options = *options;
        Ok(Self { model, seen, options, ids, factors, panels, depths: None, keeps_rows })
    }

    /// Makes every list at least as long as the user's row of `depths`.
    pub(crate) fn with_depths(mut self, depths: Option<&'a Interactions>) -> Self {
        self.depths = depths;
        self
    }

    pub(crate) fn block_users(&self) -> usize {
        let by_memory = BLOCK_SCORES / self.model.n_items().max(1);
        self.options.block_users.unwrap_or_else(|| by_memory.clamp(1, BLOCK_USERS))
    }

    /// Ranks the users of one block and shows the list of each, by its place in the block.
    pub(crate) fn rank(
        &self,
        users: &[UserIdx],
        scratch: &mut Scratch,
        mut show: impl FnMut(usize, Ranking<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        if scratch.best.len() < users.len() {
            scratch.best.resize_with(users.len(), Best::default);
        }
        for (best, user) in scratch.best.iter_mut().zip(users) {
            let depth = self.depths.map_or(0, |depths| depths.items(*user).len());
            best.start(self.options.k.max(depth).min(self.model.n_items()));
        }
        match &self.panels {
            Some(panels) if !self.keeps_rows => {
                let Scratch { best, rows, .. } = scratch;
                let best = &mut best[..users.len()];
                let seen: Vec<&[ItemIdx]> = users.iter().map(|u| self.seen.items(*u)).collect();
                panels.best(users, &seen, best, rows);
                for (at, best) in best.iter_mut().enumerate() {
                    best.finish();
                    show(at, Ranking { best, row: None })?;
                }
                Ok(())
            }
            _ => self.rank_rows(users, scratch, show),
        }
    }

    /// With the scores of the block in memory.
    fn rank_rows(
        &self,
        users: &[UserIdx],
        scratch: &mut Scratch,
        mut show: impl FnMut(usize, Ranking<'_>) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let Scratch { best, scores, rows, ids, some } = scratch;
        match (&self.panels, self.factors) {
            (Some(panels), _) => panels.scores(users, scores, rows),
            (None, Some(_)) => {}
            (None, None) => self.ask(users, scores)?,
        }
        for (at, (&user, best)) in users.iter().zip(best).enumerate() {
            let seen = self.seen.items(user);
            let listed = self.listed(user, ids);
            let row = match (listed, self.factors) {
                (Some(listed), Some(factors)) => {
                    score_some(factors, user, listed, some);
                    &mut some[..]
                }
                (Some(listed), None) if self.panels.is_none() => {
                    let row = scores.row(at);
                    some.clear();
                    some.extend(listed.iter().map(|item| row[item.index()]));
                    &mut some[..]
                }
                _ => scores.row_mut(at),
            };
            best.scan(row, listed, seen);
            best.finish();
            let row = self.keeps_rows.then_some(Row { scores: row, ids: listed, seen });
            show(at, Ranking { best, row })?;
        }
        Ok(())
    }

    /// The items that take part for `user`, ascending; all when `None`.
    fn listed<'b>(&'b self, user: UserIdx, ids: &'b mut Vec<ItemIdx>) -> Option<&'b [ItemIdx]> {
        let Some(lists) = self.options.lists else { return self.ids.as_deref() };
        let listed = lists.items(user);
        let Some(candidates) = self.options.candidates else { return Some(listed) };
        ids.clear();
        ids.extend(listed.iter().copied().filter(|item| candidates[item.index()]));
        Some(ids)
    }

    /// The model's own scores, each of them a number.
    fn ask(&self, users: &[UserIdx], scores: &mut Matrix) -> Result<(), EvalError> {
        let Self { model, .. } = self;
        model.score(users, scores)?;
        let of_model = |what: &str| format!("{what} scored by model {}", model.name());
        check(of_model("users"), users.len(), scores.rows())?;
        check(of_model("items"), model.n_items(), scores.cols())?;
        let mut rows = users.iter().enumerate();
        rows.try_for_each(|(at, user)| refuse_nan(*model, *user, scores.row(at)))
    }
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
    if let Some(lists) = options.lists {
        check(of_model("items of the candidate lists"), model.n_items(), lists.n_items())?;
        check(of_model("users of the candidate lists"), model.n_users(), lists.n_users())?;
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

/// Every item of a list known, and there once. `named_by` holds for each item the last user whose
/// list named it, so that no list is sorted; nobody's lists are checked twice.
pub(crate) fn check_list(
    user: UserIdx,
    list: &[ItemIdx],
    named_by: &mut [u32],
) -> Result<(), EvalError> {
    let len = named_by.len();
    for item in list {
        match named_by.get_mut(item.index()) {
            None => return Err(EvalError::OutOfRange { what: "item", index: item.index(), len }),
            Some(named) if *named == user.0 => {
                return Err(EvalError::RepeatedItem { user: user.0, item: item.0 });
            }
            Some(named) => *named = user.0,
        }
    }
    Ok(())
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
