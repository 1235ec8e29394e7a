//! Stretches of histories, and batches of stretches of like length.

use std::ops::Range;

use quintet_core::{Sequences, UserIdx};
use rand::Rng;
use rand::seq::SliceRandom;

/// One stretch: all but the last item are read, all but the first predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) user: u32,
    /// Places in the user's history, two at least.
    pub(super) range: Range<usize>,
}

impl Window {
    /// How many items are predicted.
    pub(super) fn positions(&self) -> usize {
        self.range.len() - 1
    }
}

/// Cuts every history, from its end, so that each item but the first is predicted once from up to
/// `max_len` before it.
pub(super) fn cut(sequences: &Sequences, max_len: usize) -> Vec<Window> {
    let of_user = |user: usize| {
        let mut end = sequences.items(UserIdx::new(user)).len();
        std::iter::from_fn(move || {
            let range = end.saturating_sub(max_len + 1)..end;
            // What is read first here is what the stretch before predicts last.
            end = range.start + 1;
            (range.len() >= 2).then_some(Window { user: user as u32, range })
        })
    };
    (0..sequences.n_users()).flat_map(of_user).collect()
}

/// Batches of places in `windows`, in random order; lengths within a batch are alike, so that
/// little of it is padding.
pub(super) fn batches(windows: &[Window], size: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.shuffle(rng);
    // Stable: stretches of one length stay shuffled.
    order.sort_by_key(|at| windows[*at].positions());
    let mut batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
    batches.shuffle(rng);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use quintet_core::{ItemIdx, SeedStream};

    #[test]
    fn every_item_but_the_first_is_predicted_once() {
        let lengths = [6u32, 1, 0, 2];
        let events = (0..4u32).flat_map(|u| {
            (0..lengths[u as usize]).map(move |i| (UserIdx(u), ItemIdx(i), i64::from(i)))
        });
        let sequences = Sequences::from_events(4, 6, events).unwrap();
        let window = |user, range| Window { user, range };
        let all = cut(&sequences, 3);
        assert_eq!(all, [window(0, 2..6), window(0, 0..3), window(3, 0..2)]);
        assert_eq!(all.iter().map(Window::positions).sum::<usize>(), 5 + 1);
        let mut rng = SeedStream::new(1).rng("t", 0);
        let mut places = batches(&all, 2, &mut rng).concat();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
    }
}
