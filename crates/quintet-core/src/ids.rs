//! Dense positions of users and items, and the bijection to the ids of the outside world.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CoreError;

macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The position as a slice index.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }

            /// The index for a slice position.
            ///
            /// # Panics
            /// When `position` does not fit in 32 bits; tables are limited to 2³² rows.
            #[inline]
            pub fn new(position: usize) -> Self {
                assert!(position <= u32::MAX as usize, "position {position} exceeds 32 bits");
                Self(position as u32)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index_type!(
    /// Position of a user in every table of one dataset.
    UserIdx
);
index_type!(
    /// Position of an item in every table of one dataset.
    ItemIdx
);

/// A bijection between outside ids (any string) and positions `0..len`.
///
/// ```
/// use quintet_core::IdMap;
/// let ids = IdMap::from_ids(["b".into(), "a".into()])?;
/// assert_eq!(ids.position("a"), Some(1));
/// assert_eq!(ids.id(0), Some("b"));
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap {
    ids: Vec<String>,
    positions: HashMap<String, u32>,
}

impl IdMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// A map in the order given.
    ///
    /// # Errors
    /// [`CoreError::DuplicateId`] when an id occurs twice.
    pub fn from_ids(ids: impl IntoIterator<Item = String>) -> Result<Self, CoreError> {
        let mut map = Self::new();
        for (second, id) in ids.into_iter().enumerate() {
            if let Some(first) = map.position(&id) {
                return Err(CoreError::DuplicateId { id, first, second });
            }
            map.intern(&id);
        }
        Ok(map)
    }

    /// The position of `id`, appended if it is new.
    pub fn intern(&mut self, id: &str) -> usize {
        if let Some(&position) = self.positions.get(id) {
            return position as usize;
        }
        let position = self.ids.len();
        self.positions.insert(id.to_owned(), position as u32);
        self.ids.push(id.to_owned());
        position
    }

    /// The position of `id`, if it is known.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).map(|&p| p as usize)
    }

    /// The id at `position`, if there is one.
    pub fn id(&self, position: usize) -> Option<&str> {
        self.ids.get(position).map(String::as_str)
    }

    /// All ids by position.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duplicate_id_names_both_places() {
        let err = IdMap::from_ids(["x".into(), "y".into(), "x".into()]).unwrap_err();
        assert_eq!(err, CoreError::DuplicateId { id: "x".into(), first: 0, second: 2 });
    }

    proptest! {
        #[test]
        fn the_map_is_a_bijection(ids in proptest::collection::vec(".{0,6}", 0..50)) {
            let mut map = IdMap::new();
            for id in &ids {
                map.intern(id);
            }
            for id in &ids {
                let position = map.position(id).unwrap();
                prop_assert_eq!(map.id(position), Some(id.as_str()));
            }
            for position in 0..map.len() {
                prop_assert_eq!(map.position(map.id(position).unwrap()), Some(position));
            }
        }
    }
}
