//! Stretches of the users' histories, and batches of stretches of like length.

use std::ops::Range;

use quintet_core::{SeedStream, Sequences, UserIdx};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Which part of a long history is learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stretches {
    /// All of it, in stretches of `max_len` from its end, so that every item but the first is
    /// predicted once an epoch.
    #[default]
    All,
    /// The last `max_len` items.
    Last,
}

/// One stretch: every item but the last is read, every item but the first predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) user: u32,
    /// Places in the user's history, two or more and `max_len + 1` at most.
    pub(crate) range: Range<usize>,
}

impl Window {
    /// How many items are predicted.
    pub(crate) fn positions(&self) -> usize {
        self.range.len() - 1
    }
}

/// Cuts all histories; those of one item give none.
pub(crate) fn cut(sequences: &Sequences, max_len: usize, stretches: Stretches) -> Vec<Window> {
    let mut windows = Vec::new();
    for user in (0..sequences.n_users()).map(UserIdx::new) {
        let mut end = sequences.items(user).len();
        while end >= 2 {
            let range = end.saturating_sub(max_len + 1)..end;
            // The first item of a stretch is the last one that the stretch before it predicts.
            end = range.start + 1;
            windows.push(Window { user: user.0, range });
            if stretches == Stretches::Last {
                break;
            }
        }
    }
    windows
}

/// The batches of an epoch, as places in `windows`: shuffled, then put in order of length, so that
/// few positions of a batch are padding; the batches come in random order.
pub(crate) fn batches(
    windows: &[Window],
    batch_size: usize,
    seed: SeedStream,
    (purpose, epoch): (&str, u64),
) -> Vec<Vec<usize>> {
    let mut rng = seed.rng(purpose, epoch);
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.shuffle(&mut rng);
    // Stable, so that windows of one length stay shuffled.
    order.sort_by_key(|at| windows[*at].positions());
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut rng);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::ItemIdx;

    fn sequences() -> Sequences {
        // 8 items, 1 item, none, 2 items.
        let lengths = [8u32, 1, 0, 2];
        let events = (0..4u32).flat_map(|u| {
            (0..lengths[u as usize]).map(move |i| (UserIdx(u), ItemIdx(i), i64::from(i)))
        });
        Sequences::from_events(4, 8, events).unwrap()
    }

    #[test]
    fn stretches_come_from_the_end_and_predict_every_item_once() {
        let window = |user, range| Window { user, range };
        let all = cut(&sequences(), 3, Stretches::All);
        // Predicted: 5 to 7, 2 to 4, and 1.
        let expected = [window(0, 4..8), window(0, 1..5), window(0, 0..2), window(3, 0..2)];
        assert_eq!(all, expected);
        assert_eq!(all.iter().map(Window::positions).sum::<usize>(), 7 + 1);
        let last = cut(&sequences(), 3, Stretches::Last);
        assert_eq!(last, [window(0, 4..8), window(3, 0..2)]);
    }

    #[test]
    fn batches_hold_every_window_once_and_like_lengths() {
        let windows = cut(&sequences(), 3, Stretches::All);
        let of = |epoch| batches(&windows, 2, SeedStream::new(1), ("t", epoch));
        let found = of(1);
        assert_eq!(found, of(1));
        let mut places: Vec<usize> = found.iter().flatten().copied().collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3]);
        for batch in &found {
            let lengths: Vec<usize> = batch.iter().map(|at| windows[*at].positions()).collect();
            assert!(lengths == [3, 3] || lengths == [1, 1], "{lengths:?}");
        }
    }
}
