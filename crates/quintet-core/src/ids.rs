//! Dense positions of users and items, and the bijection to the ids of the outside world.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
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
/// Ids that are whole numbers as a program writes them (`0`, `17`, not `017`) are found by their
/// value, without comparing text.
///
/// ```
/// use quintet_core::IdMap;
/// let ids = IdMap::from_ids(["b".into(), "17".into()])?;
/// assert_eq!(ids.position("17"), Some(1));
/// assert_eq!(ids.id(0), Some("b"));
/// # Ok::<(), quintet_core::CoreError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct IdMap {
    ids: Vec<String>,
    /// Positions of the ids that are numbers below its length; [`NONE`] where there is no such id.
    small: Vec<u32>,
    /// Positions of the ids that are larger numbers, by value.
    numbers: HashMap<u64, u32>,
    /// Positions of the others; the text is in `ids`.
    texts: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Stands for no position; there are never so many ids.
const NONE: u32 = u32::MAX;

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
    ///
    /// # Panics
    /// When there are 2³² ids already.
    pub fn intern(&mut self, id: &str) -> usize {
        if let Some(position) = self.position(id) {
            return position;
        }
        assert!(self.ids.len() < u32::MAX as usize, "ids exceed 32 bits");
        let position = self.ids.len() as u32;
        self.ids.push(id.to_owned());
        match id_number(id) {
            Some(number) => self.insert_number(number, position),
            None => {
                let (ids, hasher) = (&self.ids, &self.hasher);
                let hash = |at: &u32| hasher.hash_one(ids[*at as usize].as_str());
                self.texts.insert_unique(hasher.hash_one(id), position, hash);
            }
        }
        position as usize
    }

    /// The position of `id`, if it is known.
    pub fn position(&self, id: &str) -> Option<usize> {
        if let Some(number) = id_number(id) {
            return self.position_of_number(number);
        }
        let found = |at: &u32| self.ids[*at as usize] == id;
        self.texts.find(self.hasher.hash_one(id), found).map(|&p| p as usize)
    }

    /// The position of the id that is this number in decimal, if it is known.
    #[inline]
    pub fn position_of_number(&self, number: u64) -> Option<usize> {
        match self.small.get(usize::try_from(number).unwrap_or(usize::MAX)) {
            Some(&NONE) => None,
            Some(&position) => Some(position as usize),
            None => self.numbers.get(&number).map(|&p| p as usize),
        }
    }

    /// Ids are often numbers from 1 up; a table of them is much faster than hashing. It grows
    /// only while a fair part of it is in use.
    fn insert_number(&mut self, number: u64, position: u32) {
        let dense = number < 16 * self.ids.len() as u64 + 1024;
        if dense && number >= self.small.len() as u64 {
            self.small.resize((number as usize + 1).next_power_of_two(), NONE);
            let small = &mut self.small;
            self.numbers.retain(|&number, &mut position| {
                let moves = number < small.len() as u64;
                if moves {
                    small[number as usize] = position;
                }
                !moves
            });
        }
        match self.small.get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
            Some(slot) => *slot = position,
            None => {
                self.numbers.insert(number, position);
            }
        }
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

/// Two maps are equal when they give every id the same position.
impl PartialEq for IdMap {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids
    }
}

impl Eq for IdMap {}

/// The value of an id that is a whole number, written the one way a program writes it (`17`, not
/// `017` or `+17`), of at most 19 digits.
pub fn id_number(id: &str) -> Option<u64> {
    let bytes = id.as_bytes();
    // 19 digits always fit into 64 bits.
    if bytes.is_empty() || bytes.len() > 19 || (bytes[0] == b'0' && bytes.len() > 1) {
        return None;
    }
    let mut number = 0u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
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

    #[test]
    fn numbers_are_known_by_their_value_and_no_other_text_is() {
        let long = "9999999999999999999";
        let mut map = IdMap::new();
        for (position, id) in ["7", "07", "", "+7", "7 ", "0", "00", long, "10000000000000000000"]
            .into_iter()
            .enumerate()
        {
            assert_eq!(map.intern(id), position, "{id:?}");
            assert_eq!(map.position(id), Some(position), "{id:?}");
        }
        assert_eq!(map.position_of_number(7), Some(0));
        assert_eq!(map.position_of_number(9_999_999_999_999_999_999), Some(7));
        assert_eq!(map.position_of_number(10_000_000_000_000_000_000), None);
        assert_eq!(map.position("70"), None);
    }

    #[test]
    fn the_table_of_small_numbers_takes_over_what_was_large_before() {
        let mut map = IdMap::new();
        // 5,000 is far beyond one id, and not beyond a thousand.
        map.intern("5000");
        assert!(map.small.len() < 5000 && map.numbers.len() == 1);
        (0..1000u32).for_each(|i| assert_eq!(map.intern(&(4 * i).to_string()), i as usize + 1));
        map.intern("5001");
        assert!(map.small.len() > 5000 && map.numbers.is_empty());
        assert_eq!((map.position("5000"), map.position("3996")), (Some(0), Some(1000)));
        assert_eq!((map.position("3997"), map.position("5001")), (None, Some(1001)));
    }

    proptest! {
        #[test]
        fn the_map_is_a_bijection(ids in proptest::collection::vec("[0-2]{0,3}|.{0,6}", 0..50)) {
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
