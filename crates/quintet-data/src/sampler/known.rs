//! Which items a user has: a question that a sampler asks for every draw.
//!
//! Every user has a bitmap with a power of two of bits, 16 to 32 for each item of the user, and
//! an item sets the bit that the lower bits of its position name. A bit that is not set settles
//! the question with one read from memory; one that is set, for uniform draws at most one in 16,
//! is looked up in the sorted items. For users of more than a sixteenth of the catalogue the
//! bitmap has a bit for every item and is the answer itself.

use quintet_core::Interactions;

/// Bits of a user's bitmap for each item of the user, at least. Of 4, 8, 16 and 32 the fastest
/// for 100,000 users × 50,000 items × 5 million pairs.
const BITS_PER_ITEM: usize = 16;

/// Where a user's bitmap lies.
#[derive(Debug, Clone, Copy)]
struct Bitmap {
    /// Its first word in `Known::words`.
    first: u32,
    /// One less than its number of bits, a power of two.
    mask: u32,
}

/// The training items of every user. Items are named by rank: the position among the items that
/// occur in training. About 8 bytes a training pair.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The item of every rank, ascending.
    items: Vec<u32>,
    /// The rank of every item, `[n_items]`; [`Known::NO_RANK`] for items without training.
    ranks: Vec<u32>,
    /// How many training pairs every rank has.
    counts: Vec<u32>,
    /// Row offsets into `own`, `[n_users + 1]`.
    indptr: Vec<usize>,
    /// The ranks of each user, ascending.
    own: Vec<u32>,
    bitmaps: Vec<Bitmap>,
    words: Vec<u64>,
}

impl Known {
    /// In place of a rank: the item does not occur in training.
    pub(super) const NO_RANK: u32 = u32::MAX;

    /// Indexes training data.
    ///
    /// # Panics
    /// When there are 2³² pairs or more.
    pub(super) fn new(train: &Interactions) -> Self {
        assert!(u32::try_from(train.nnz()).is_ok(), "{} pairs exceed 32 bits", train.nnz());
        let mut ranks = vec![Self::NO_RANK; train.n_items()];
        let (mut items, mut counts) = (Vec::new(), Vec::new());
        for (item, &count) in train.item_counts().iter().enumerate() {
            if count > 0 {
                ranks[item] = items.len() as u32;
                items.push(item as u32);
                counts.push(count);
            }
        }
        let own: Vec<u32> = train.indices().iter().map(|i| ranks[i.index()]).collect();
        let mut known = Self {
            items,
            ranks,
            counts,
            indptr: train.indptr().to_vec(),
            own,
            bitmaps: Vec::with_capacity(train.n_users()),
            words: vec![0],
        };
        for user in 0..train.n_users() {
            let bitmap = known.add_bitmap(user);
            known.bitmaps.push(bitmap);
        }
        known
    }

    /// Writes the bitmap of a user behind the others. A user without items shares the first
    /// word, which is empty. No offset exceeds the number of pairs.
    fn add_bitmap(&mut self, user: usize) -> Bitmap {
        let own = &self.own[self.indptr[user]..self.indptr[user + 1]];
        if own.is_empty() {
            return Bitmap { first: 0, mask: 63 };
        }
        let every_item = self.items.len().next_power_of_two();
        let n_bits = (own.len() * BITS_PER_ITEM).next_power_of_two().min(every_item).max(64);
        let bitmap = Bitmap { first: self.words.len() as u32, mask: (n_bits - 1) as u32 };
        self.words.resize(self.words.len() + n_bits / 64, 0);
        let words = &mut self.words[bitmap.first as usize..];
        for rank in own {
            let bit = rank & bitmap.mask;
            words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        bitmap
    }

    /// How many users there are.
    pub(super) fn n_users(&self) -> usize {
        self.bitmaps.len()
    }

    /// How many items the catalogue has, those without training included.
    pub(super) fn n_items(&self) -> usize {
        self.ranks.len()
    }

    /// How many items occur in training.
    pub(super) fn n_ranks(&self) -> u32 {
        self.items.len() as u32
    }

    /// How many pairs there are.
    pub(super) fn n_pairs(&self) -> usize {
        self.own.len()
    }

    /// The item of every rank.
    pub(super) fn items(&self) -> &[u32] {
        &self.items
    }

    /// The rank of an item, or [`Known::NO_RANK`].
    pub(super) fn rank(&self, item: u32) -> u32 {
        self.ranks[item as usize]
    }

    /// How many training pairs every rank has.
    pub(super) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Row offsets of [`Known::all`], `[n_users + 1]`.
    pub(super) fn indptr(&self) -> &[usize] {
        &self.indptr
    }

    /// The ranks of all users, one user after the other.
    pub(super) fn all(&self) -> &[u32] {
        &self.own
    }

    /// The ranks of a user, ascending.
    pub(super) fn own(&self, user: u32) -> &[u32] {
        &self.own[self.indptr[user as usize]..self.indptr[user as usize + 1]]
    }

    /// How many training items the user does not have.
    pub(super) fn n_free(&self, user: u32) -> u32 {
        self.n_ranks() - self.own(user).len() as u32
    }

    /// Whether the user has the item of this rank.
    #[inline]
    pub(super) fn has(&self, user: u32, rank: u32) -> bool {
        self.may_have(user, rank)
            && (self.bitmaps[user as usize].mask >= self.n_ranks() - 1
                || self.own(user).binary_search(&rank).is_ok())
    }

    /// What the bitmap says of [`Known::has`]: `false` is certain.
    #[inline]
    pub(super) fn may_have(&self, user: u32, rank: u32) -> bool {
        let bitmap = self.bitmaps[user as usize];
        let bit = rank & bitmap.mask;
        let word = self.words[bitmap.first as usize + (bit / 64) as usize];
        (word >> (bit % 64)) & 1 == 1
    }

    /// The rank number `nth` of those that the user does not have, by binary search.
    ///
    /// `nth` must be below [`Known::n_free`].
    pub(super) fn nth_free(&self, user: u32, nth: u32) -> u32 {
        // own[k] - k ranks before own[k] are not the user's, and that grows with k: the ranks of
        // the user that lie before the answer are those where it is at most `nth`.
        let own = self.own(user);
        let (mut low, mut high) = (0, own.len());
        while low < high {
            let middle = (low + high) / 2;
            if own[middle] - middle as u32 <= nth {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        nth + low as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quintet_core::{ItemIdx, UserIdx};

    #[test]
    fn ranks_leave_out_items_without_training() {
        let train = Interactions::from_pairs(2, 5, [(0, 1), (0, 4), (1, 4)]).unwrap();
        let known = Known::new(&train);
        assert_eq!((known.items(), known.counts()), (&[1, 4][..], &[1, 2][..]));
        assert_eq!((known.rank(4), known.rank(0)), (1, Known::NO_RANK));
        assert_eq!((known.n_free(0), known.n_free(1)), (0, 1));
        assert_eq!(known.nth_free(1, 0), 0);
    }

    #[test]
    fn a_set_bit_of_a_small_bitmap_is_looked_up() {
        // User 0 has item 3 of 1,000: 64 bits. Items 67 and 131 fall on the same bit.
        let mut pairs: Vec<(u32, u32)> = (0..1000).map(|i| (1, i)).collect();
        pairs.push((0, 3));
        let known = Known::new(&Interactions::from_pairs(3, 1000, pairs).unwrap());
        assert_eq!(known.bitmaps[0].mask, 63);
        assert_eq!(known.bitmaps[1].mask, 1023);
        assert!(known.has(0, 3) && !known.has(0, 67) && !known.has(0, 131) && !known.has(0, 4));
        assert!((0..1000).all(|i| known.has(1, i) && !known.has(2, i)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_matrix(
            pairs in proptest::collection::btree_set((0u32..5, 0u32..300), 0..400)
        ) {
            let train = Interactions::from_pairs(5, 300, pairs.iter().copied()).unwrap();
            let known = Known::new(&train);
            for user in 0..5 {
                let mut free = Vec::new();
                for (rank, &item) in (0..).zip(known.items()) {
                    let has = train.contains(UserIdx(user), ItemIdx(item));
                    prop_assert_eq!(known.has(user, rank), has);
                    prop_assert_eq!(known.rank(item), rank);
                    free.extend((!has).then_some(rank));
                }
                prop_assert_eq!(known.n_free(user) as usize, free.len());
                let by_search: Vec<u32> =
                    (0..known.n_free(user)).map(|nth| known.nth_free(user, nth)).collect();
                prop_assert_eq!(by_search, free);
            }
        }
    }
}
