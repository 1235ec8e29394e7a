//! Events in columns: 20 bytes an event in the plain case, so that tens of millions fit beside
//! everything else.

use std::collections::{BTreeSet, HashMap};

use quintet_core::{CoreError, ItemIdx, UserIdx};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::by_user::row_of;

/// One of the three parts of a split; also the label of an event in sources that come divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What models learn from.
    Train = 0,
    /// What choices look at.
    Valid = 1,
    /// What the report looks at, once.
    Test = 2,
}

impl Part {
    /// All parts, in the order of their numbers.
    pub const ALL: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        }
    }
}

/// One thing that a user did with an item: a row of [`Events`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// Who.
    pub user: UserIdx,
    /// With what.
    pub item: ItemIdx,
    /// What kind of event, such as `rating` or `click`.
    pub event: &'a str,
    /// How strongly: a rating, a count or 1.
    pub value: f32,
    /// When, in seconds since 1970-01-01 00:00 UTC.
    pub timestamp: Option<i64>,
    /// The part that the source put the event in, if it comes divided.
    pub part: Option<Part>,
}

/// A time that stands for none. It lies 292 billion years ago.
const NO_TIME: i64 = i64::MIN;
/// A part that stands for none.
const NO_PART: u8 = u8::MAX;

/// A table of events, one column a field.
///
/// Kinds of events are numbered, and a column that would say the same in every row (one kind,
/// no part) takes no memory.
///
/// ```
/// use quintet_core::{ItemIdx, UserIdx};
/// use quintet_data::{Event, Events};
/// let click = |user, item| Event {
///     user: UserIdx(user), item: ItemIdx(item), event: "click", value: 1.0,
///     timestamp: Some(7), part: None,
/// };
/// let events: Events = [click(0, 1), click(2, 1)].into_iter().collect();
/// assert_eq!(events.len(), 2);
/// assert_eq!(events.get(1), click(2, 1));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Events {
    users: Vec<UserIdx>,
    items: Vec<ItemIdx>,
    values: Vec<f32>,
    times: Vec<i64>,
    /// Names of the kinds, in the order in which they came.
    kind_names: Vec<String>,
    kind_numbers: HashMap<String, u32>,
    /// Kind of each event; empty while all are of kind 0.
    kinds: Vec<u32>,
    /// Part of each event; empty while none has one.
    parts: Vec<u8>,
}

impl Events {
    /// No events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `more` events, no more than that.
    pub fn reserve(&mut self, more: usize) {
        self.users.reserve_exact(more);
        self.items.reserve_exact(more);
        self.values.reserve_exact(more);
        self.times.reserve_exact(more);
        if !self.kinds.is_empty() {
            self.kinds.reserve_exact(more);
        }
        if !self.parts.is_empty() {
            self.parts.reserve_exact(more);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Appends an event.
    pub fn push(&mut self, event: Event<'_>) {
        let kind = self.kind(event.event);
        self.push_row(event.user, event.item, kind, event.value, event.timestamp, event.part);
    }

    /// The number of a kind of event, which is new or known.
    pub fn kind(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.kind_numbers.get(name) {
            return number;
        }
        let number = self.kind_names.len() as u32;
        self.kind_numbers.insert(name.to_owned(), number);
        self.kind_names.push(name.to_owned());
        number
    }

    /// Appends an event of a kind that [`Events::kind`] gave.
    ///
    /// # Panics
    /// When `kind` is no such number.
    pub fn push_row(
        &mut self,
        user: UserIdx,
        item: ItemIdx,
        kind: u32,
        value: f32,
        timestamp: Option<i64>,
        part: Option<Part>,
    ) {
        assert!((kind as usize) < self.kind_names.len(), "kind {kind} has no name");
        if kind > 0 && self.kinds.is_empty() {
            self.kinds = vec![0; self.users.len()];
        }
        if part.is_some() && self.parts.is_empty() {
            self.parts = vec![NO_PART; self.users.len()];
        }
        // The column exists from here on, also when this is the first event.
        if kind > 0 || !self.kinds.is_empty() {
            self.kinds.push(kind);
        }
        if part.is_some() || !self.parts.is_empty() {
            self.parts.push(part.map_or(NO_PART, |p| p as u8));
        }
        self.users.push(user);
        self.items.push(item);
        self.values.push(value);
        self.times.push(timestamp.unwrap_or(NO_TIME));
    }

    /// Appends events of one kind that [`Events::kind`] gave; `times` and `parts` are as long as
    /// the others, or empty where no event has one.
    ///
    /// # Panics
    /// When `kind` is no such number, or the columns are not of one length.
    pub fn push_rows(
        &mut self,
        users: &[UserIdx],
        items: &[ItemIdx],
        kind: u32,
        values: &[f32],
        times: &[i64],
        parts: &[Part],
    ) {
        assert!((kind as usize) < self.kind_names.len(), "kind {kind} has no name");
        let n = users.len();
        let fits = |len: usize| len == n || len == 0;
        assert!(
            items.len() == n && values.len() == n && fits(times.len()) && fits(parts.len()),
            "columns of {n}, {}, {}, {} and {} events",
            items.len(),
            values.len(),
            times.len(),
            parts.len()
        );
        let (before, after) = (self.users.len(), self.users.len() + n);
        if kind > 0 || !self.kinds.is_empty() {
            self.kinds.resize(before, 0);
            self.kinds.resize(after, kind);
        }
        if !parts.is_empty() || !self.parts.is_empty() {
            self.parts.resize(before, NO_PART);
            self.parts.extend(parts.iter().map(|part| *part as u8));
            self.parts.resize(after, NO_PART);
        }
        self.users.extend_from_slice(users);
        self.items.extend_from_slice(items);
        self.values.extend_from_slice(values);
        self.times.extend_from_slice(times);
        self.times.resize(after, NO_TIME);
    }

    /// One event.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn get(&self, row: usize) -> Event<'_> {
        Event {
            user: self.users[row],
            item: self.items[row],
            event: self.kind_name(row),
            value: self.values[row],
            timestamp: self.timestamp(row),
            part: self.part(row),
        }
    }

    /// Every event, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|row| self.get(row))
    }

    /// The user of every event.
    pub fn users(&self) -> &[UserIdx] {
        &self.users
    }

    /// The item of every event.
    pub fn items(&self) -> &[ItemIdx] {
        &self.items
    }

    /// The value of every event.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The names of the kinds of events; [`Events::kind_number`] counts in them.
    pub fn kind_names(&self) -> &[String] {
        &self.kind_names
    }

    /// The names of the kinds that some event is of, in alphabetical order.
    pub fn kinds_in_use(&self) -> BTreeSet<&str> {
        if self.kinds.is_empty() {
            let first = self.kind_names.first().filter(|_| !self.is_empty());
            return first.into_iter().map(String::as_str).collect();
        }
        let mut used = vec![false; self.kind_names.len()];
        self.kinds.iter().for_each(|k| used[*k as usize] = true);
        self.kind_names.iter().zip(used).filter(|(_, u)| *u).map(|(n, _)| n.as_str()).collect()
    }

    /// The kind of an event as a position in [`Events::kind_names`].
    pub fn kind_number(&self, row: usize) -> u32 {
        self.kinds.get(row).copied().unwrap_or(0)
    }

    /// The kind of an event.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn kind_name(&self, row: usize) -> &str {
        &self.kind_names[self.kind_number(row) as usize]
    }

    /// The time of an event, seconds since 1970 UTC.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn timestamp(&self, row: usize) -> Option<i64> {
        Some(self.times[row]).filter(|t| *t != NO_TIME)
    }

    /// The part that the source put an event in.
    pub fn part(&self, row: usize) -> Option<Part> {
        self.parts.get(row).and_then(|p| Part::ALL.get(usize::from(*p)).copied())
    }

    /// Whether any event has a part.
    pub fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// How many events have no time.
    pub fn n_without_time(&self) -> usize {
        self.times.iter().filter(|t| **t == NO_TIME).count()
    }

    /// Sets the time of an event.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn set_timestamp(&mut self, row: usize, timestamp: Option<i64>) {
        self.times[row] = timestamp.unwrap_or(NO_TIME);
    }

    /// Sets the value of an event.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn set_value(&mut self, row: usize, value: f32) {
        self.values[row] = value;
    }

    /// These rows, in this order.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn gather(&self, rows: &[u32]) -> Events {
        self.gather_by(rows, |row| *row as usize)
    }

    /// The rows of these keys of [`crate::ByUser`], in this order.
    pub(crate) fn gather_keys(&self, keys: &[u64]) -> Events {
        self.gather_by(keys, |key| row_of(*key) as usize)
    }

    fn gather_by<T: Sync>(&self, rows: &[T], at: impl Fn(&T) -> usize + Sync) -> Events {
        let all = || rows.par_iter().map(&at);
        let optional = |present: bool| if present { rows } else { &[] };
        Events {
            users: all().map(|r| self.users[r]).collect(),
            items: all().map(|r| self.items[r]).collect(),
            values: all().map(|r| self.values[r]).collect(),
            times: all().map(|r| self.times[r]).collect(),
            kinds: optional(!self.kinds.is_empty()).iter().map(|r| self.kinds[at(r)]).collect(),
            parts: optional(!self.parts.is_empty()).iter().map(|r| self.parts[at(r)]).collect(),
            kind_names: self.kind_names.clone(),
            kind_numbers: self.kind_numbers.clone(),
        }
    }

    /// Keeps the rows that are marked, in place.
    ///
    /// # Panics
    /// When there are not as many marks as events.
    pub fn retain(&mut self, keep: &[bool]) {
        assert_eq!(keep.len(), self.len(), "one mark an event");
        rayon::join(
            || (retain(&mut self.users, keep), retain(&mut self.items, keep)),
            || (retain(&mut self.values, keep), retain(&mut self.times, keep)),
        );
        retain(&mut self.kinds, keep);
        retain(&mut self.parts, keep);
    }

    /// Checks indices and values.
    ///
    /// # Errors
    /// The first event that points outside the tables or has a value that is not finite.
    pub fn check(&self, n_users: usize, n_items: usize) -> Result<(), DataError> {
        let out = |what, index, len| Err(CoreError::OutOfRange { what, index, len }.into());
        if let Some(user) = self.users.iter().find(|u| u.index() >= n_users) {
            return out("user", user.index(), n_users);
        }
        if let Some(item) = self.items.iter().find(|i| i.index() >= n_items) {
            return out("item", item.index(), n_items);
        }
        match self.values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(index) => Err(DataError::NotFinite {
                what: "event",
                index,
                field: "value",
                value: self.values[index],
            }),
        }
    }

    /// Times with [`i64::MIN`] for none; for hashing and sorting in bulk.
    pub(crate) fn raw_times(&self) -> &[i64] {
        &self.times
    }
}

/// Keeps the marked members; a column without members stays without.
fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    column.retain(|_| marks.next().copied().unwrap_or(false));
}

/// Same rows in the same order, however the kinds are numbered.
impl PartialEq for Events {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<'a> Extend<Event<'a>> for Events {
    fn extend<I: IntoIterator<Item = Event<'a>>>(&mut self, events: I) {
        events.into_iter().for_each(|e| self.push(e));
    }
}

impl<'a> FromIterator<Event<'a>> for Events {
    fn from_iter<I: IntoIterator<Item = Event<'a>>>(events: I) -> Self {
        let mut all = Events::new();
        all.extend(events);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(user: u32, kind: &str, part: Option<Part>) -> Event<'_> {
        let (user, item) = (UserIdx(user), ItemIdx(0));
        Event { user, item, event: kind, value: 1.0, timestamp: None, part }
    }

    #[test]
    fn many_rows_at_once_are_the_rows_one_by_one() {
        let users: Vec<UserIdx> = [0, 1, 1].map(UserIdx).into();
        let items: Vec<ItemIdx> = [4, 4, 5].map(ItemIdx).into();
        let values = [1.0, 2.0, 3.0];
        let cases: [(&[i64], &[Part]); 3] =
            [(&[], &[]), (&[7, 8, 9], &[]), (&[7, 8, 9], &[Part::Test, Part::Train, Part::Valid])];
        let (mut one_by_one, mut at_once) = (Events::new(), Events::new());
        // The column of kinds begins with the second kind, that of parts with the third case.
        for (name, (times, parts)) in ["view", "buy", "view"].into_iter().zip(cases) {
            let kind = at_once.kind(name);
            at_once.push_rows(&users, &items, kind, &values, times, parts);
            for at in 0..3 {
                let kind = one_by_one.kind(name);
                let (time, part) = (times.get(at).copied(), parts.get(at).copied());
                one_by_one.push_row(users[at], items[at], kind, values[at], time, part);
            }
        }
        let timeless = one_by_one.kind("buy");
        one_by_one.push_row(UserIdx(9), ItemIdx(9), timeless, 0.5, None, None);
        at_once.push_rows(&[UserIdx(9)], &[ItemIdx(9)], timeless, &[0.5], &[], &[]);
        assert_eq!(at_once, one_by_one);
        assert_eq!(at_once.len(), 10);
    }

    #[test]
    fn columns_appear_when_a_row_needs_them() {
        let rows = [
            event(0, "a", None),
            event(1, "b", None),
            event(2, "a", Some(Part::Test)),
            event(3, "b", None),
        ];
        let mut events: Events = rows.into_iter().collect();
        assert_eq!(events.iter().collect::<Vec<_>>(), rows);
        assert_eq!(events.kind_names(), ["a", "b"]);
        let back = events.gather(&[3, 0]);
        assert_eq!(back.iter().collect::<Vec<_>>(), [rows[3], rows[0]]);
        events.retain(&[false, true, true, false]);
        assert_eq!(events.iter().collect::<Vec<_>>(), [rows[1], rows[2]]);
    }

    #[test]
    fn equality_does_not_see_how_kinds_are_numbered() {
        let some: Events = [event(0, "a", None), event(1, "b", None)].into_iter().collect();
        let mut other = Events::new();
        other.kind("b");
        other.extend(some.iter());
        assert_eq!(some, other);
        other.set_timestamp(1, Some(3));
        assert_ne!(some, other);
    }

    #[test]
    fn what_points_nowhere_is_named() {
        let events: Events = [event(4, "a", None)].into_iter().collect();
        assert!(events.check(5, 1).is_ok());
        let err = events.check(4, 1).unwrap_err().to_string();
        assert!(err.contains("user index 4"), "{err}");
    }
}
