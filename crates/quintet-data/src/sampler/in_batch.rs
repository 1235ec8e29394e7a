//! In-batch negatives: the other positives of a batch, and what keeps them honest.
//!
//! A positive of another row may be an item that the user has too, and popular items come up as
//! negatives more often than others. The first are masked; for the second the logarithm of the
//! probability of an item is subtracted from its logits (Yi et al., "Sampling-Bias-Corrected
//! Neural Modeling for Large Corpus Item Recommendations", RecSys 2019, section 3.2). The paper
//! estimates the probability from a stream; here it is known: the item's share of the pairs of an
//! epoch.

use quintet_core::CoreError;

use super::known::Known;
use super::{TripletBatch, TripletSampler};
use crate::DataError;

/// The end of a chain of columns.
const END: u32 = u32::MAX;

/// The candidates that the rows of a batch share. Use one again to save its memory.
#[derive(Debug, Clone, Default)]
pub struct InBatchNegatives {
    /// `[batch]` the candidates: the positive of each row, in the order of the rows. Column `i`
    /// is the positive of row `i`.
    pub items: Vec<u32>,
    /// `[batch]` natural logarithm of the probability that a random row of an epoch has this
    /// item. Subtract it from the logits of its column, those of the positive included.
    pub log_q: Vec<f32>,
    /// Row offsets into `columns`, `[batch + 1]`.
    starts: Vec<usize>,
    /// The masked columns of each row, ascending.
    columns: Vec<u32>,
    /// `[n_ranks]` the first column that holds an item, [`END`] for none.
    head: Vec<u32>,
    /// `[batch]` the next column that holds the same item.
    next: Vec<u32>,
}

impl InBatchNegatives {
    /// The columns that are no negatives of a row, ascending: the user has the item. The row's
    /// own column is not among them.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn masked(&self, row: usize) -> &[u32] {
        &self.columns[self.starts[row]..self.starts[row + 1]]
    }

    /// Replaces `mask` by `[batch, batch]`, row by row: `true` for the columns that are masked.
    pub fn mask_into(&self, mask: &mut Vec<bool>) {
        let n = self.items.len();
        mask.clear();
        mask.resize(n * n, false);
        for row in 0..n {
            for &column in self.masked(row) {
                mask[row * n + column as usize] = true;
            }
        }
    }

    /// Chains the columns of every item.
    fn chain(&mut self, known: &Known) {
        self.head.resize(known.n_ranks() as usize, END);
        self.next.clear();
        self.next.resize(self.items.len(), END);
        // Backwards, so that chains ascend.
        for column in (0..self.items.len()).rev() {
            let head = &mut self.head[known.rank(self.items[column]) as usize];
            self.next[column] = std::mem::replace(head, column as u32);
        }
    }

    /// Appends the masked columns of one row, whose user has the items of these ranks.
    fn mask_row(&mut self, row: usize, own: &[u32]) {
        let start = self.columns.len();
        for &rank in own {
            let mut column = self.head[rank as usize];
            while column != END {
                if column as usize != row {
                    self.columns.push(column);
                }
                column = self.next[column as usize];
            }
        }
        self.columns[start..].sort_unstable();
        self.starts.push(self.columns.len());
    }

    /// Empties the chains in time linear in the batch, not in the catalogue.
    fn unchain(&mut self, known: &Known) {
        for &item in &self.items {
            self.head[known.rank(item) as usize] = END;
        }
    }
}

impl TripletSampler {
    /// Finds, for a batch of any strategy, which positives are negatives of which rows, and how
    /// probable they are. It takes time linear in the items of the users of the batch and in
    /// what is masked.
    ///
    /// # Errors
    /// A user that is out of range, or a positive that is no training item.
    pub fn in_batch(
        &self,
        batch: &TripletBatch,
        found: &mut InBatchNegatives,
    ) -> Result<(), DataError> {
        self.check_rows(batch)?;
        let known = self.known();
        if found.head.len() != known.n_ranks() as usize {
            found.head.clear();
        }
        found.items.clone_from(&batch.positives);
        found.chain(known);
        found.columns.clear();
        found.starts.clear();
        found.starts.push(0);
        for (row, &user) in batch.users.iter().enumerate() {
            found.mask_row(row, known.own(user));
        }
        found.unchain(known);
        found.log_q.clear();
        found.log_q.extend(batch.positives.iter().map(|&item| self.log_q(item)));
        Ok(())
    }

    /// Natural logarithm of the probability that a random row of an epoch has this item; minus
    /// infinity for an item that no row has.
    ///
    /// # Panics
    /// When there is no such item.
    pub fn log_q(&self, item: u32) -> f32 {
        let count = match self.known().rank(item) {
            Known::NO_RANK => 0,
            rank => self.row_counts[rank as usize],
        };
        (f64::from(count) / self.n_pairs() as f64).ln() as f32
    }

    /// Whether all users and positives of a batch can be looked up.
    pub(super) fn check_rows(&self, batch: &TripletBatch) -> Result<(), DataError> {
        let known = self.known();
        let out_of_range = |what, index: u32, len| {
            DataError::from(CoreError::OutOfRange { what, index: index as usize, len })
        };
        if batch.users.len() != batch.positives.len() {
            let (expected, found) = (batch.users.len(), batch.positives.len());
            return Err(
                CoreError::Shape { what: "positives of a batch".into(), expected, found }.into()
            );
        }
        for (&user, &item) in batch.users.iter().zip(&batch.positives) {
            if user as usize >= known.n_users() {
                return Err(out_of_range("user", user, known.n_users()));
            }
            if item as usize >= known.n_items() {
                return Err(out_of_range("item", item, known.n_items()));
            }
            if known.n_free(user) == 0 || known.rank(item) == Known::NO_RANK {
                return Err(DataError::Config {
                    key: "batch",
                    expected: "users who lack a training item, and training items".to_owned(),
                    found: format!("user {user} with item {item}"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NegativeStrategy;
    use proptest::prelude::*;
    use quintet_core::{Interactions, ItemIdx, SeedStream, UserIdx};

    fn sampler(train: &Interactions) -> TripletSampler {
        TripletSampler::with_strategy(train, NegativeStrategy::InBatch {}, 1).unwrap()
    }

    #[test]
    fn log_q_and_mask_by_hand() {
        // Item 0 has three pairs, item 1 two, item 2 one, item 3 none.
        let pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 2)];
        let sampler = sampler(&Interactions::from_pairs(3, 4, pairs).unwrap());
        let batch = TripletBatch {
            users: vec![0, 2, 1, 2],
            positives: vec![1, 2, 0, 0],
            ..TripletBatch::default()
        };
        let mut found = InBatchNegatives::default();
        sampler.in_batch(&batch, &mut found).unwrap();
        assert_eq!(found.items, [1, 2, 0, 0]);
        // User 0 has 0 and 1, user 1 too, user 2 has 0 and 2. The own column is never masked.
        let masked: Vec<&[u32]> = (0..4).map(|row| found.masked(row)).collect();
        assert_eq!(masked, [&[2, 3][..], &[2, 3], &[0, 3], &[1, 2]]);
        // ln(2/6), ln(1/6), ln(3/6).
        let half = -std::f32::consts::LN_2;
        let want = [-1.098_612_3, -1.791_759_5, half, half];
        assert!(found.log_q.iter().zip(want).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        assert_eq!(sampler.log_q(3), f32::NEG_INFINITY);
        let mut mask = vec![true; 3];
        found.mask_into(&mut mask);
        assert_eq!(mask[..4], [false, false, true, true]);
        assert_eq!((mask.len(), mask.iter().filter(|m| **m).count()), (16, 8));
    }

    #[test]
    fn pairs_that_no_epoch_has_do_not_count() {
        // User 0 has every training item: only the pair of user 1 is drawn.
        let train = Interactions::from_pairs(2, 2, [(0, 0), (0, 1), (1, 0)]).unwrap();
        let sampler = sampler(&train);
        assert_eq!((sampler.log_q(0), sampler.log_q(1)), (0.0, f32::NEG_INFINITY));
        let batch = TripletBatch { users: vec![0], positives: vec![1], ..TripletBatch::default() };
        let error = sampler.in_batch(&batch, &mut InBatchNegatives::default()).unwrap_err();
        assert!(error.to_string().contains("user 0 with item 1"), "{error}");
    }

    #[test]
    fn rows_that_cannot_be_looked_up_are_errors() {
        let train = Interactions::from_pairs(2, 3, [(0, 0), (1, 1)]).unwrap();
        let sampler = sampler(&train);
        let error = |users: Vec<u32>, positives: Vec<u32>| {
            let batch = TripletBatch { users, positives, ..TripletBatch::default() };
            let result = sampler.in_batch(&batch, &mut InBatchNegatives::default());
            result.unwrap_err().to_string()
        };
        assert_eq!(error(vec![2], vec![0]), "user index 2 is out of range: there are 2");
        assert_eq!(error(vec![0], vec![3]), "item index 3 is out of range: there are 3");
        assert!(error(vec![0], vec![2]).contains("user 0 with item 2"));
        assert_eq!(error(vec![0], vec![]), "positives of a batch: expected 1, found 0");
    }

    proptest! {
        #[test]
        fn masked_is_what_the_user_has(
            pairs in proptest::collection::btree_set((0u32..8, 0u32..10), 1..60),
            seed in 0u64..20, batch_size in 1usize..30
        ) {
            let train = Interactions::from_pairs(8, 10, pairs.iter().copied()).unwrap();
            let sampler = sampler(&train);
            let mut found = InBatchNegatives::default();
            for batch in sampler.epoch(SeedStream::new(seed), 0, batch_size) {
                prop_assert_eq!((batch.n_negatives(), batch.draw_seeds.len()), (0, 0));
                sampler.in_batch(&batch, &mut found).unwrap();
                for (row, &user) in batch.users.iter().enumerate() {
                    let want: Vec<u32> = (0..batch.len())
                        .filter(|&c| {
                            c != row && train.contains(UserIdx(user), ItemIdx(batch.positives[c]))
                        })
                        .map(|c| c as u32)
                        .collect();
                    prop_assert_eq!(found.masked(row), &want[..]);
                }
            }
        }
    }
}
