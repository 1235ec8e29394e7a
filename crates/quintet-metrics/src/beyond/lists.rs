//! Ranked lists and whose they are, checked once.

use quintet_core::{ItemIdx, UserIdx};

use crate::rank::{check, check_list};
use crate::{EvalError, RankedLists};

/// The lists of some users, best first, read up to `k`.
#[derive(Debug, Clone, Copy)]
pub struct UserLists<'a> {
    users: &'a [UserIdx],
    lists: &'a [Vec<ItemIdx>],
    n_items: usize,
    k: usize,
}

impl<'a> UserLists<'a> {
    /// `lists[i]` is for `users[i]`; empty where there is none. `size` is `(n_users, n_items)`.
    ///
    /// # Errors
    /// A cutoff of 0, not one list a user, a user or an item out of range, a user that comes
    /// twice, or an item that is twice in a list.
    pub fn new(
        users: &'a [UserIdx],
        lists: &'a [Vec<ItemIdx>],
        k: usize,
        size: (usize, usize),
    ) -> Result<Self, EvalError> {
        let (n_users, n_items) = size;
        if k == 0 {
            let (setting, expected) = ("cutoffs", "whole numbers from 1");
            return Err(EvalError::Setting { setting, expected, found: "0".into() });
        }
        check("ranked lists, one a user", users.len(), lists.len())?;
        let mut known = vec![false; n_users];
        let mut named_by = vec![u32::MAX; n_items];
        for (user, list) in users.iter().zip(lists) {
            match known.get_mut(user.index()) {
                None => {
                    let (what, index, len) = ("user", user.index(), n_users);
                    return Err(EvalError::OutOfRange { what, index, len });
                }
                Some(known) if *known => {
                    let what = format!("lists of user {user}");
                    return Err(EvalError::Shape { what, expected: 1, found: 2 });
                }
                Some(known) => *known = true,
            }
            check_list(*user, list, &mut named_by)?;
        }
        Ok(Self { users, lists, n_items, k })
    }

    /// The users.
    pub fn users(&self) -> &'a [UserIdx] {
        self.users
    }

    /// Each user with the first `k` items of the list.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (UserIdx, &'a [ItemIdx])> + 'a {
        let k = self.k;
        self.users.iter().zip(self.lists).map(move |(u, list)| (*u, &list[..list.len().min(k)]))
    }

    /// The lists at `position`, cut at `k`.
    pub(super) fn at(&self, position: usize) -> (UserIdx, &'a [ItemIdx]) {
        let list = &self.lists[position];
        (self.users[position], &list[..list.len().min(self.k)])
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// The cutoff; at least 1.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The same lists for metrics that do not ask whose they are.
    pub(super) fn ranked(&self, n_candidates: usize) -> RankedLists<'a> {
        RankedLists::new(self.lists, self.n_items, n_candidates, self.k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_checked() {
        let item = |i| ItemIdx(i);
        let users = [UserIdx(2), UserIdx(0)];
        let lists = [vec![item(1), item(0), item(2)], vec![]];
        let got = UserLists::new(&users, &lists, 2, (3, 3)).unwrap();
        let seen: Vec<_> = got.iter().map(|(u, list)| (u.0, list.len())).collect();
        assert_eq!(seen, [(2, 2), (0, 0)]);

        let told = |users: &[UserIdx], lists: &[Vec<ItemIdx>], k| {
            UserLists::new(users, lists, k, (3, 3)).unwrap_err().to_string()
        };
        assert!(told(&users, &lists, 0).starts_with("cutoffs: expected whole numbers from 1"));
        assert!(told(&users[..1], &lists, 1).ends_with("expected 1, found 2"));
        let twice = told(&users[..1], &[vec![item(1), item(1)]], 1);
        assert_eq!(twice, "the ranked list of user 2 names item 1 more than once");
        let item = told(&users[..1], &[vec![item(3)]], 1);
        assert_eq!(item, "item 3 is out of range: there are 3");
        let user = told(&[UserIdx(3)], &[vec![]], 1);
        assert_eq!(user, "user 3 is out of range: there are 3");
        let user = told(&[UserIdx(1); 2], &lists, 1);
        assert_eq!(user, "lists of user 1: expected 1, found 2");
    }
}
