//! How surprising a list is, and how much of the surprise is useful.
//!
//! `PM_u` is what a primitive recommender would show: the `k` most popular items that take part
//! and that the user has not had, ties by position. `UNEXP = L_u \ PM_u`.
//!
//! - `unexpectedness = |UNEXP| / |L_u|`.
//! - `serendipity = |UNEXP ∩ relevant| / |L_u|`, at most the precision of the list.
//! - `serendipity_of_unexpected = |UNEXP ∩ relevant| / |UNEXP|`, the quotient of the paper; 0 where
//!   nothing is unexpected.
//!
//! Relevant are the held-out items. Empty lists are left out.
//!
//! Papers: Ge, Delgado-Battenfeld, Jannach, "Beyond Accuracy: Evaluating Recommender Systems by
//! Coverage and Serendipity", RecSys 2010; Murakami, Mori, Orihara, "Metrics for Evaluating the
//! Serendipity of Recommendation Lists", JSAI 2007 (the primitive recommender).
//! Cost: O(k + history) a user.

use quintet_core::{Interactions, ItemIdx, UserIdx};

use super::Column;

/// What a popularity recommender shows to a user.
#[derive(Clone, Copy)]
pub(super) struct Primitive<'a> {
    /// The items that take part, most popular first.
    pub(super) order: &'a [ItemIdx],
    /// What users had before.
    pub(super) history: &'a Interactions,
    /// Length of its lists.
    pub(super) k: usize,
}

impl Primitive<'_> {
    /// The items of `list` that it would not have shown.
    fn unexpected(&self, user: UserIdx, list: &[ItemIdx]) -> Vec<ItemIdx> {
        let had = self.history.items(user);
        let new = |item: &&ItemIdx| had.binary_search(*item).is_err();
        let mut shown: Vec<ItemIdx> = self.order.iter().filter(new).take(self.k).copied().collect();
        shown.sort_unstable();
        list.iter().copied().filter(|item| shown.binary_search(item).is_err()).collect()
    }
}

/// The metrics, each a value a user.
pub(super) fn columns<'a>(
    primitive: Primitive<'a>,
    truth: Option<&'a Interactions>,
) -> Vec<Column<'a>> {
    let share =
        |part: usize, list: &[ItemIdx]| (!list.is_empty()).then(|| part as f64 / list.len() as f64);
    let mut columns = vec![Column::new("unexpectedness", move |user, list| {
        share(primitive.unexpected(user, list).len(), list)
    })];
    if let Some(truth) = truth {
        let useful = move |user: UserIdx, unexpected: &[ItemIdx]| {
            unexpected.iter().filter(|item| truth.contains(user, **item)).count()
        };
        columns.push(Column::new("serendipity", move |user, list| {
            share(useful(user, &primitive.unexpected(user, list)), list)
        }));
        columns.push(Column::new("serendipity_of_unexpected", move |user, list| {
            let unexpected = primitive.unexpected(user, list);
            let value = share(useful(user, &unexpected), &unexpected).unwrap_or(0.0);
            (!list.is_empty()).then_some(value)
        }));
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // By popularity 0 1 2 3 4; user 0 had item 0, so two popular ones are 1 and 2.
        let history = Interactions::from_pairs(2, 5, [(0, 0)]).unwrap();
        let truth = Interactions::from_pairs(2, 5, [(0, 1), (0, 3)]).unwrap();
        let order = [0, 1, 2, 3, 4].map(ItemIdx);
        let primitive = Primitive { order: &order, history: &history, k: 2 };
        let columns = columns(primitive, Some(&truth));
        let values = |user: u32, list: &[u32]| -> Vec<Option<f64>> {
            let list: Vec<ItemIdx> = list.iter().copied().map(ItemIdx).collect();
            columns.iter().map(|c| (c.value)(UserIdx(user), &list)).collect()
        };
        // 1 is relevant but expected; 3 is relevant and unexpected; 4 only unexpected.
        let third = Some(1.0 / 3.0);
        assert_eq!(values(0, &[1, 3, 4]), [Some(2.0 / 3.0), third, Some(0.5)]);
        assert_eq!(values(0, &[2, 1]), [Some(0.0); 3]);
        // User 1 would be shown 0 and 1.
        assert_eq!(values(1, &[0, 2]), [Some(0.5), Some(0.0), Some(0.0)]);
        assert_eq!(values(1, &[]), [None; 3]);
    }
}
