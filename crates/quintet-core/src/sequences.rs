//! What each user did, in the order of time.

use crate::{CoreError, ItemIdx, UserIdx};

/// The items of every user, oldest first; an item may come more than once.
///
/// [`Interactions`](crate::Interactions) forgets the order; models of what comes next need it.
///
/// ```
/// use quintet_core::{ItemIdx, Sequences, UserIdx};
/// let events = [(UserIdx(0), ItemIdx(2), 20), (UserIdx(0), ItemIdx(1), 10)];
/// let s = Sequences::from_events(2, 3, events)?;
/// assert_eq!(s.items(UserIdx(0)), [ItemIdx(1), ItemIdx(2)]);
/// assert!(s.items(UserIdx(1)).is_empty());
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequences {
    n_items: usize,
    indptr: Vec<usize>,
    items: Vec<ItemIdx>,
    times: Vec<i64>,
}

impl Sequences {
    /// Orders events `(who, what, when)` by time; those of one moment keep the order in which
    /// they come.
    ///
    /// # Errors
    /// A user or item outside the given sizes.
    pub fn from_events(
        n_users: usize,
        n_items: usize,
        events: impl IntoIterator<Item = (UserIdx, ItemIdx, i64)>,
    ) -> Result<Self, CoreError> {
        let mut rows: Vec<(UserIdx, ItemIdx, i64)> = events.into_iter().collect();
        for (user, item, _) in &rows {
            let (what, index, len) = match () {
                () if user.index() >= n_users => ("user", user.index(), n_users),
                () if item.index() >= n_items => ("item", item.index(), n_items),
                () => continue,
            };
            return Err(CoreError::OutOfRange { what, index, len });
        }
        rows.sort_by_key(|(user, _, time)| (*user, *time));
        let mut indptr = vec![0; n_users + 1];
        for (user, ..) in &rows {
            indptr[user.index() + 1] += 1;
        }
        for u in 0..n_users {
            indptr[u + 1] += indptr[u];
        }
        let items = rows.iter().map(|(_, item, _)| *item).collect();
        let times = rows.iter().map(|(.., time)| *time).collect();
        Ok(Self { n_items, indptr, items, times })
    }

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of items; every item of a sequence is smaller.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nobody did anything.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items of `user`, oldest first.
    ///
    /// # Panics
    /// When `user` is out of range.
    pub fn items(&self, user: UserIdx) -> &[ItemIdx] {
        &self.items[self.range(user)]
    }

    /// The moments that go with [`Sequences::items`], in the unit that came (seconds since 1970
    /// UTC for a dataset).
    ///
    /// # Panics
    /// When `user` is out of range.
    pub fn times(&self, user: UserIdx) -> &[i64] {
        &self.times[self.range(user)]
    }

    fn range(&self, user: UserIdx) -> std::ops::Range<usize> {
        self.indptr[user.index()]..self.indptr[user.index() + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_user_and_time_and_ties_keep_their_order() {
        let at = |user, item, time| (UserIdx(user), ItemIdx(item), time);
        let events = [at(1, 0, 5), at(0, 3, 9), at(1, 2, 1), at(1, 1, 5), at(0, 3, 2)];
        let s = Sequences::from_events(3, 4, events).unwrap();
        assert_eq!(s.items(UserIdx(0)), [ItemIdx(3), ItemIdx(3)]);
        assert_eq!(s.items(UserIdx(1)), [ItemIdx(2), ItemIdx(0), ItemIdx(1)]);
        assert_eq!(s.times(UserIdx(1)), [1, 5, 5]);
        assert_eq!((s.n_users(), s.n_items(), s.len()), (3, 4, 5));
        assert!(s.items(UserIdx(2)).is_empty());
    }

    #[test]
    fn an_index_out_of_range_is_an_error() {
        let user = Sequences::from_events(1, 1, [(UserIdx(1), ItemIdx(0), 0)]);
        assert_eq!(user, Err(CoreError::OutOfRange { what: "user", index: 1, len: 1 }));
        let item = Sequences::from_events(1, 1, [(UserIdx(0), ItemIdx(1), 0)]);
        assert_eq!(item, Err(CoreError::OutOfRange { what: "item", index: 1, len: 1 }));
    }
}
