//! What users did with items, apart by kind: views, clicks, purchases, ratings.

use std::collections::BTreeMap;

use crate::{CoreError, Interactions, Triplet};

/// One sparse matrix over the same users and items for each kind of event. A value is what the
/// event says, such as a rating, a count or 1.
///
/// ```
/// use quintet_core::{Behaviours, Interactions};
/// let clicks = Interactions::from_pairs(2, 3, [(0, 1), (1, 2)])?;
/// let purchases = Interactions::from_pairs(2, 3, [(0, 1)])?;
/// let all = Behaviours::new([("click".to_owned(), clicks), ("purchase".to_owned(), purchases)])?;
/// assert_eq!(all.names().collect::<Vec<_>>(), ["click", "purchase"]);
/// assert_eq!(all.get("purchase").map(Interactions::nnz), Some(1));
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviours {
    kinds: BTreeMap<String, Interactions>,
}

impl Behaviours {
    /// Takes the kinds with their names, in any order.
    ///
    /// # Errors
    /// A name that comes twice, or matrices over different users or items.
    pub fn new(kinds: impl IntoIterator<Item = (String, Interactions)>) -> Result<Self, CoreError> {
        let mut all = BTreeMap::new();
        let mut size = None;
        for (position, (name, cells)) in kinds.into_iter().enumerate() {
            let found = [cells.n_users(), cells.n_items()];
            let expected = *size.get_or_insert(found);
            for (what, at) in [("users", 0), ("items", 1)] {
                if expected[at] != found[at] {
                    return Err(CoreError::Shape {
                        what: format!("{what} of the events of kind {name:?}"),
                        expected: expected[at],
                        found: found[at],
                    });
                }
            }
            if all.contains_key(&name) {
                let first = all.keys().position(|known| *known == name).unwrap_or(0);
                return Err(CoreError::DuplicateId { id: name, first, second: position });
            }
            all.insert(name, cells);
        }
        Ok(Self { kinds: all })
    }

    /// The names of the kinds, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The interactions of one kind.
    pub fn get(&self, kind: &str) -> Option<&Interactions> {
        self.kinds.get(kind)
    }

    /// Every kind with its name, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Interactions)> {
        self.kinds.iter().map(|(name, cells)| (name.as_str(), cells))
    }

    /// The same without the cells for which `left_out` is true, whatever their kind: for a model
    /// that holds out pairs of its training data once more.
    ///
    /// # Errors
    /// None that cells of these matrices can cause.
    pub fn without(&self, left_out: impl Fn(&Triplet) -> bool) -> Result<Self, CoreError> {
        let mut kinds = BTreeMap::new();
        for (name, cells) in &self.kinds {
            let kept = cells.iter().filter(|t| !left_out(t));
            let (n_users, n_items) = (cells.n_users(), cells.n_items());
            let kept = Interactions::from_sorted(n_users, n_items, 0, kept)?;
            kinds.insert(name.clone(), kept);
        }
        Ok(Self { kinds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ItemIdx, UserIdx};

    fn pairs(n_items: usize, pairs: &[(u32, u32)]) -> Interactions {
        Interactions::from_pairs(3, n_items, pairs.iter().copied()).unwrap()
    }

    #[test]
    fn kinds_are_over_the_same_users_and_items_and_named_once() {
        let of = |name: &str, cells| (name.to_owned(), cells);
        let said = Behaviours::new([of("a", pairs(2, &[])), of("b", pairs(3, &[]))]).unwrap_err();
        assert!(said.to_string().contains("items of the events of kind \"b\""), "{said}");
        let said = Behaviours::new([of("a", pairs(2, &[])), of("a", pairs(2, &[]))]).unwrap_err();
        assert!(said.to_string().contains("\"a\" occurs twice"), "{said}");
    }

    #[test]
    fn pairs_are_left_out_of_every_kind() {
        let clicks = pairs(2, &[(0, 0), (0, 1), (2, 1)]);
        let purchases = pairs(2, &[(0, 1), (2, 1)]);
        let all =
            Behaviours::new([("click".into(), clicks), ("purchase".into(), purchases)]).unwrap();
        let rest = all.without(|t| (t.user, t.item) == (UserIdx(0), ItemIdx(1))).unwrap();
        assert_eq!(rest.get("click"), Some(&pairs(2, &[(0, 0), (2, 1)])));
        assert_eq!(rest.get("purchase"), Some(&pairs(2, &[(2, 1)])));
        assert_eq!(rest.get("view"), None);
    }
}
