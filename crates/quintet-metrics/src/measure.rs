//! One user's list to one row of numbers.

use quintet_core::{ItemIdx, UserIdx};

use crate::plan::{Plan, Value};
use crate::ranked::Grades;
use crate::relevant::{Relevant, Truth};
use crate::{FullRanks, RankedUser};

/// A relevant item is looked for in turn among so many, and by halves among more.
const FEW: usize = 8;

/// Ranks of all held-out items of a user that take part.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    /// Ascending.
    pub(crate) items: Vec<ItemIdx>,
    pub(crate) mid_ranks: Vec<f64>,
    /// How many items were ranked; `None` where nobody asked.
    pub(crate) n_candidates: Option<usize>,
}

impl Ranks {
    fn of(&self, item: ItemIdx) -> Option<f64> {
        self.items.binary_search(&item).ok().map(|at| self.mid_ranks[at])
    }
}

/// What is known of one user.
#[derive(Clone, Copy)]
pub(crate) struct User<'a> {
    pub(crate) idx: UserIdx,
    pub(crate) list: &'a [ItemIdx],
    pub(crate) ranks: &'a Ranks,
}

/// Memory that a thread uses again for every user.
#[derive(Default)]
pub(crate) struct Memory {
    truth: Truth,
    hits: Vec<bool>,
    found: Vec<u32>,
    found_grades: Vec<f32>,
    ideal: Vec<f32>,
    mid_ranks: Vec<f64>,
}

/// Writes the numbers of one user, and says whether any item is relevant to them at all.
pub(crate) fn measure(
    plan: &Plan,
    relevant: &Relevant<'_>,
    user: User<'_>,
    memory: &mut Memory,
    out: &mut [f64],
) -> bool {
    let Memory { truth, hits, found, found_grades, ideal, mid_ranks } = memory;
    let (truth, grades) = relevant.of(user.idx, truth);
    if truth.is_empty() {
        return false;
    }
    let depth = if plan.to_truth { plan.depth.max(truth.len()) } else { plan.depth };
    let list = &user.list[..user.list.len().min(depth)];
    look_for_hits(list, truth, hits, found);
    let grades = match plan.graded {
        false => Grades::Equal(1.0),
        true if grades.iter().all(|grade| *grade == grades[0]) => Grades::Equal(grades[0]),
        true => {
            let grade = |at: &u32| {
                truth.binary_search(&list[*at as usize]).map_or(0.0, |place| grades[place])
            };
            found_grades.clear();
            found_grades.extend(found.iter().map(grade));
            ideal.clear();
            ideal.extend_from_slice(grades);
            ideal.sort_unstable_by(|a, b| b.total_cmp(a));
            Grades::Each { hits: found_grades, ideal }
        }
    };
    let full = user.ranks.n_candidates.map(|n| {
        mid_ranks.clear();
        mid_ranks.extend(truth.iter().filter_map(|item| user.ranks.of(*item)));
        FullRanks::new(mid_ranks, n)
    });
    for (column, out) in plan.columns.iter().zip(out) {
        *out = match (column.value, full) {
            (Value::List(value, k), _) => {
                let user = RankedUser::of_found(hits, found, truth.len(), k.unwrap_or(truth.len()));
                value(&user.graded(grades, relevant.max_grade))
            }
            (Value::Full(value) | Value::Weighted(value), Some(full)) => value(&full),
            (Value::Weight, Some(full)) if full.n_truth() < full.n_candidates() => {
                full.n_truth() as f64
            }
            (Value::Weight, _) => 0.0,
            // Refused before anybody is measured.
            (Value::Full(_) | Value::Weighted(_), None) => f64::NAN,
        };
    }
    true
}

/// Which places of the list hold a relevant item.
fn look_for_hits(list: &[ItemIdx], truth: &[ItemIdx], hits: &mut Vec<bool>, found: &mut Vec<u32>) {
    hits.clear();
    found.clear();
    let few = truth.len() <= FEW;
    for (at, item) in list.iter().enumerate() {
        let hit = match few {
            // Without an early exit there is nothing to guess.
            true => truth.iter().fold(false, |hit, t| hit | (t == item)),
            false => truth.binary_search(item).is_ok(),
        };
        hits.push(hit);
        if hit {
            found.push(at as u32);
        }
    }
}
