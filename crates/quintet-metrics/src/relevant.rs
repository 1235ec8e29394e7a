//! Which held-out items count for whom.

use quintet_core::{Interactions, ItemIdx, UserIdx};

/// Held-out items, of which only some take part.
#[derive(Clone, Copy)]
pub(crate) struct Relevant<'a> {
    pub(crate) truth: &'a Interactions,
    /// `[n_items]`.
    pub(crate) candidates: Option<&'a [bool]>,
    /// `[n_users, n_items]`.
    pub(crate) lists: Option<&'a Interactions>,
    /// The group of every item, and the one that counts. Other held-out items still compete.
    pub(crate) group: Option<(&'a [u32], u32)>,
    /// The largest grade of the scale.
    pub(crate) max_grade: f32,
}

/// Memory for the items of one user.
#[derive(Default)]
pub(crate) struct Truth {
    items: Vec<ItemIdx>,
    grades: Vec<f32>,
}

impl<'a> Relevant<'a> {
    /// Whether a held-out item of `user` takes part and counts.
    pub(crate) fn counts(&self, user: UserIdx, item: ItemIdx) -> bool {
        self.candidates.is_none_or(|c| c[item.index()])
            && self.lists.is_none_or(|lists| lists.contains(user, item))
            && self.group.is_none_or(|(groups, group)| groups[item.index()] == group)
    }

    /// The items that count for `user`, ascending.
    pub(crate) fn items(&self, user: UserIdx) -> impl Iterator<Item = ItemIdx> {
        self.truth.items(user).iter().copied().filter(move |item| self.counts(user, *item))
    }

    /// As [`Relevant::items`], with their grades.
    pub(crate) fn of<'b>(&self, user: UserIdx, memory: &'b mut Truth) -> (&'b [ItemIdx], &'b [f32])
    where
        'a: 'b,
    {
        let (items, grades) = (self.truth.items(user), self.truth.values(user));
        if self.candidates.is_none() && self.lists.is_none() && self.group.is_none() {
            return (items, grades);
        }
        memory.items.clear();
        memory.grades.clear();
        for (&item, &grade) in items.iter().zip(grades) {
            if self.counts(user, item) {
                memory.items.push(item);
                memory.grades.push(grade);
            }
        }
        (&memory.items, &memory.grades)
    }
}

impl Relevant<'_> {
    /// How many items can be in a list at all; at least 1.
    pub(crate) fn n_candidates(&self) -> usize {
        let takes_part = |item: usize| self.candidates.is_none_or(|c| c[item]);
        let n = match self.lists {
            None => (0..self.truth.n_items()).filter(|item| takes_part(*item)).count(),
            Some(lists) => {
                let counts = lists.item_counts();
                (0..counts.len()).filter(|&item| counts[item] > 0 && takes_part(item)).count()
            }
        };
        n.max(1)
    }
}
