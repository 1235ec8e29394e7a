//! Users measured block by block, in parallel, while their lists are at hand.

use quintet_core::{Interactions, ItemIdx, Phase, Recommender, UserIdx};
use rayon::prelude::*;

use crate::measure::{Memory, Ranks, User, measure};
use crate::plan::Plan;
use crate::rank::{Ranker, Ranking, Scratch, check_list};
use crate::ranked::Lists;
use crate::relevant::{Relevant, Truth};
use crate::{EvalError, Evaluation, RankOptions};

/// Users of given lists that are measured together.
const BLOCK_LISTS: usize = 256;

/// Ranks with `model` what `seen` does not mask, and measures: one result for each of `views`,
/// which are about the same held-out data. Every one of `users` has a relevant item in one view.
pub(crate) fn measure_model<P: Phase>(
    plan: &Plan,
    views: &[Relevant<'_>],
    users: Vec<UserIdx>,
    (model, seen): (&dyn Recommender, &Interactions),
    options: &RankOptions<'_>,
) -> Result<Vec<Evaluation<P>>, EvalError> {
    let Some(&first) = views.first() else { return Ok(Vec::new()) };
    let ranker = Ranker::new(model, &users, seen, options, plan.full_rank().is_some())?
        .with_depths(plan.to_truth.then_some(first.truth));
    let everything = Relevant { group: None, ..first };
    let block = ranker.block_users();
    let mut table = Table::new(plan, views.len(), users.len());
    let blocks = table.blocks(plan, block);
    let done: Vec<Result<(), EvalError>> = users
        .par_chunks(block)
        .zip(blocks)
        .map_init(Worker::default, |worker, (users, mut part)| {
            let Worker { scratch, memory, list, ranks, truth } = worker;
            ranker.rank(users, scratch, |at, Ranking { best, row }| {
                list.clear();
                list.extend(best.items());
                if let Some(mut row) = row {
                    ranks.items.clear();
                    ranks.items.extend_from_slice(everything.of(users[at], truth).0);
                    let n = row.mid_ranks(&ranks.items, &mut ranks.mid_ranks);
                    ranks.n_candidates = Some(n);
                }
                let user = User { idx: users[at], list, ranks };
                part.measure(plan, views, at, user, memory);
                Ok(())
            })
        })
        .collect();
    // Errors are looked at in the order of users, so that the same one is reported every time.
    done.into_iter().collect::<Result<(), _>>()?;
    table.finish(plan, views, users)
}

/// Measures given lists, `[n_users]`, after checking those of `users`; see [`measure_model`].
pub(crate) fn measure_lists<P: Phase>(
    plan: &Plan,
    relevant: &Relevant<'_>,
    users: Vec<UserIdx>,
    lists: &[Vec<ItemIdx>],
) -> Result<Evaluation<P>, EvalError> {
    let n_items = relevant.truth.n_items();
    let views = [*relevant];
    check_lists(lists, n_items)?;
    let mut table = Table::new(plan, 1, users.len());
    let blocks = table.blocks(plan, BLOCK_LISTS);
    let filtered = relevant.candidates.is_some() || relevant.lists.is_some();
    users.par_chunks(BLOCK_LISTS).zip(blocks).for_each_init(
        Worker::default,
        |worker, (users, mut part)| {
            let Worker { memory, list, ranks, .. } = worker;
            for (at, &idx) in users.iter().enumerate() {
                let mut given = &lists[idx.index()][..];
                if filtered {
                    list.clear();
                    let takes_part = |item: &&ItemIdx| relevant.counts(idx, **item);
                    list.extend(given.iter().filter(takes_part));
                    given = list;
                }
                part.measure(plan, &views, at, User { idx, list: given, ranks }, memory);
            }
        },
    );
    let mut results = table.finish(plan, &views, users)?;
    results.pop().ok_or(EvalError::NoUsers { phase: P::NAME, n_users: lists.len() })
}

/// Every item known and in a list once; the first list that is not says so.
fn check_lists(lists: &[Vec<ItemIdx>], n_items: usize) -> Result<(), EvalError> {
    let check = |marks: &mut Vec<u32>, (block, lists): (usize, &[Vec<ItemIdx>])| {
        marks.resize(n_items, u32::MAX);
        for (at, list) in lists.iter().enumerate() {
            check_list(UserIdx::new(block * BLOCK_LISTS + at), list, marks)?;
        }
        Ok(())
    };
    let blocks = lists.par_chunks(BLOCK_LISTS).enumerate();
    let checked: Vec<Result<(), EvalError>> = blocks.map_init(Vec::new, check).collect();
    checked.into_iter().collect()
}

/// What a thread uses again for every block.
#[derive(Default)]
struct Worker {
    scratch: Scratch,
    memory: Memory,
    list: Vec<ItemIdx>,
    ranks: Ranks,
    truth: Truth,
}

/// Numbers of all users for each view, and their lists where they are wanted.
struct Table {
    /// `[users, columns]` for each view.
    numbers: Vec<Vec<f64>>,
    /// Which users have a relevant item, for each view.
    present: Vec<Vec<bool>>,
    /// `[users, depth]`, or nothing.
    items: Vec<ItemIdx>,
    lengths: Vec<u32>,
}

/// The part of a [`Table`] that one block of users writes.
struct Part<'a> {
    numbers: Vec<&'a mut [f64]>,
    present: Vec<&'a mut [bool]>,
    items: Option<&'a mut [ItemIdx]>,
    lengths: &'a mut [u32],
}

impl Table {
    fn new(plan: &Plan, n_views: usize, n_users: usize) -> Self {
        let n_items = if plan.keeps_lists() { n_users * plan.depth } else { 0 };
        Self {
            numbers: vec![vec![0.0; n_users * plan.columns.len()]; n_views],
            present: vec![vec![false; n_users]; n_views],
            items: vec![ItemIdx(0); n_items],
            lengths: vec![0; n_users],
        }
    }

    fn blocks(&mut self, plan: &Plan, block: usize) -> Vec<Part<'_>> {
        // No columns and no lists give no chunks, hence the ones.
        let (width, depth) = (plan.columns.len().max(1), plan.depth.max(1));
        let mut numbers: Vec<_> =
            self.numbers.iter_mut().map(|n| n.chunks_mut(block * width)).collect();
        let mut present: Vec<_> = self.present.iter_mut().map(|p| p.chunks_mut(block)).collect();
        let mut items = self.items.chunks_mut(block * depth);
        let part = |lengths| Part {
            numbers: numbers.iter_mut().map(|n| n.next().unwrap_or_default()).collect(),
            present: present.iter_mut().map(|p| p.next().unwrap_or_default()).collect(),
            items: items.next(),
            lengths,
        };
        self.lengths.chunks_mut(block).map(part).collect()
    }

    fn finish<P: Phase>(
        self,
        plan: &Plan,
        views: &[Relevant<'_>],
        users: Vec<UserIdx>,
    ) -> Result<Vec<Evaluation<P>>, EvalError> {
        let Self { numbers, present, items, lengths } = self;
        let (columns, width) = (plan.columns.len(), plan.depth);
        let mut results = Vec::with_capacity(views.len());
        for ((view, mut numbers), present) in views.iter().zip(numbers).zip(present) {
            if present.iter().all(|p| *p) {
                let lists = Lists::Flat { items: &items, lengths: &lengths, width };
                results.push(plan.finish(view, users.clone(), &numbers, lists)?);
                continue;
            }
            let kept: Vec<usize> = (0..users.len()).filter(|at| present[*at]).collect();
            for (to, &from) in kept.iter().enumerate() {
                numbers.copy_within(from * columns..(from + 1) * columns, to * columns);
            }
            numbers.truncate(kept.len() * columns);
            let mut kept_items = Vec::new();
            if plan.keeps_lists() {
                kept_items.extend(kept.iter().flat_map(|at| &items[at * width..(at + 1) * width]));
            }
            let kept_lengths: Vec<u32> = kept.iter().map(|at| lengths[*at]).collect();
            let lists = Lists::Flat { items: &kept_items, lengths: &kept_lengths, width };
            let users = kept.iter().map(|at| users[*at]).collect();
            results.push(plan.finish(view, users, &numbers, lists)?);
        }
        Ok(results)
    }
}

impl Part<'_> {
    /// Writes what is known of the user at place `at` of the block.
    fn measure(
        &mut self,
        plan: &Plan,
        views: &[Relevant<'_>],
        at: usize,
        user: User<'_>,
        memory: &mut Memory,
    ) {
        let width = plan.columns.len();
        let parts = self.numbers.iter_mut().zip(&mut self.present);
        for (view, (numbers, present)) in views.iter().zip(parts) {
            let out = &mut numbers[at * width..(at + 1) * width];
            present[at] = measure(plan, view, user, memory, out);
        }
        if let Some(items) = &mut self.items {
            let list = &user.list[..user.list.len().min(plan.depth)];
            items[at * plan.depth..][..list.len()].copy_from_slice(list);
            self.lengths[at] = list.len() as u32;
        }
    }
}
