//! Events grouped by user and sorted by item: the first step of merging, k-core and splits.

use rayon::prelude::*;

use crate::Events;

/// Rows of events by user, then item, then position.
///
/// A row is one number, its item in the upper and its position in the lower 32 bits, so that
/// sorting a user's rows compares plain numbers that lie side by side.
#[derive(Debug, Clone)]
pub struct ByUser {
    /// `keys[starts[u]..starts[u + 1]]` are the rows of user `u`.
    starts: Vec<u32>,
    keys: Vec<u64>,
}

impl ByUser {
    /// Groups all events.
    ///
    /// # Panics
    /// When there are 2³² events or more, or an event of a user beyond `n_users`.
    pub fn new(events: &Events, n_users: usize) -> Self {
        assert!(u32::try_from(events.len()).is_ok(), "{} events exceed 32 bits", events.len());
        Self::of(events, n_users, 0..events.len() as u32)
    }

    /// Groups some rows, which come in ascending order.
    ///
    /// # Panics
    /// When an event is of a user beyond `n_users`, or a row does not exist.
    pub fn of(
        events: &Events,
        n_users: usize,
        rows: impl ExactSizeIterator<Item = u32> + Clone + Send + Sync,
    ) -> Self {
        let users = events.users();
        let mut starts = vec![0u32; n_users + 1];
        rows.clone().for_each(|row| starts[users[row as usize].index() + 1] += 1);
        for u in 0..n_users {
            starts[u + 1] += starts[u];
        }
        let mut keys = vec![0u64; rows.len()];
        // Every thread looks at all rows, in their order, and takes those of its own users: the
        // places that it writes to are then fewer, and its own.
        let mut shares = Vec::new();
        let (mut rest, mut from) = (&mut keys[..], 0);
        for share in 1..=threads_for(rows.len()) {
            let end = rows.len() * share / threads_for(rows.len());
            let to = starts.partition_point(|start| (*start as usize) < end).clamp(from, n_users);
            let (mine, others) = rest.split_at_mut((starts[to] - starts[from]) as usize);
            shares.push((from..to, mine));
            (rest, from) = (others, to);
        }
        shares.into_par_iter().for_each(|(range, keys)| {
            let first = starts[range.start];
            let mut next: Vec<u32> = starts[range.clone()].iter().map(|s| s - first).collect();
            for row in rows.clone() {
                let user = users[row as usize].index();
                if range.contains(&user) {
                    let slot = &mut next[user - range.start];
                    keys[*slot as usize] = key(events, row);
                    *slot += 1;
                }
            }
        });
        let mut grouped = Self { starts, keys };
        grouped.for_each_part(&|histories, keys| {
            let first = histories[0];
            for ends in histories.windows(2) {
                let history = &mut keys[(ends[0] - first) as usize..(ends[1] - first) as usize];
                if !history.is_sorted() {
                    history.sort_unstable();
                }
            }
        });
        grouped
    }

    /// Hands out the keys in parts of whole users, in parallel.
    fn for_each_part(&mut self, work: &(impl Fn(&[u32], &mut [u64]) + Sync)) {
        const USERS: usize = 1024;
        let mut parts = Vec::with_capacity(self.starts.len() / USERS + 1);
        let (starts, mut rest) = (&self.starts[..], &mut self.keys[..]);
        let mut from = 0;
        while from + 1 < starts.len() {
            let to = (from + USERS).min(starts.len() - 1);
            let (part, after) = rest.split_at_mut((starts[to] - starts[from]) as usize);
            parts.push((&starts[from..=to], part));
            (rest, from) = (after, to);
        }
        parts.into_par_iter().for_each(|(histories, keys)| work(histories, keys));
    }

    /// The rows of every user, also of those without any, in the order of the users.
    pub fn histories(&self) -> impl IndexedParallelIterator<Item = &[u64]> {
        self.starts.par_windows(2).map(|ends| &self.keys[ends[0] as usize..ends[1] as usize])
    }

    /// All rows, by user, then item, then position.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// All rows, given away.
    pub(crate) fn into_keys(self) -> Vec<u64> {
        self.keys
    }

    /// Where the rows of each user start, `[n_users + 1]`.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }
}

/// How many threads share the grouping of so many rows. Each looks at all of them, so that more
/// than a few do not help.
fn threads_for(rows: usize) -> usize {
    const WORTH_IT: usize = if cfg!(test) { 10 } else { 1 << 17 };
    if rows < WORTH_IT { 1 } else { rayon::current_num_threads().clamp(1, 8) }
}

fn key(events: &Events, row: u32) -> u64 {
    u64::from(events.items()[row as usize].0) << 32 | u64::from(row)
}

/// The item of a key.
pub fn item_of(key: u64) -> u32 {
    (key >> 32) as u32
}

/// The row of a key.
pub fn row_of(key: u64) -> u32 {
    key as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, UserIdx};

    proptest! {
        #[test]
        fn rows_come_by_user_item_and_position(
            pairs in proptest::collection::vec((0u32..3000, 0u32..9), 0..200)
        ) {
            let event = |&(u, i): &(u32, u32)| Event {
                user: UserIdx(u), item: ItemIdx(i), event: "e", value: 1.0, timestamp: None,
                part: None,
            };
            let events: Events = pairs.iter().map(event).collect();
            let grouped = ByUser::new(&events, 3000);
            let mut want: Vec<_> = pairs.iter().zip(0u32..).map(|(p, r)| (p.0, p.1, r)).collect();
            want.sort_unstable();
            let rows: Vec<u32> = grouped.keys().iter().map(|k| row_of(*k)).collect();
            prop_assert_eq!(rows, want.iter().map(|w| w.2).collect::<Vec<_>>());
            prop_assert!(grouped.keys().iter().zip(&want).all(|(k, w)| item_of(*k) == w.1));
            let sizes: Vec<usize> = grouped.histories().map(<[u64]>::len).collect();
            for (user, size) in sizes.into_iter().enumerate() {
                prop_assert_eq!(size, pairs.iter().filter(|p| p.0 as usize == user).count());
            }
        }
    }
}
