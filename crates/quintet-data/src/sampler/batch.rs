//! The triplets of one step, as columns.

/// Some triplets, as columns of the same number of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TripletBatch {
    /// `[batch]` user positions.
    pub users: Vec<u32>,
    /// `[batch]` positions of items that the user has in training.
    pub positives: Vec<u32>,
    /// `[batch, n]` positions of training items that the user does not have, row by row; `n` is
    /// [`TripletBatch::n_negatives`]. Drawn with replacement.
    pub negatives: Vec<u32>,
    /// `[batch]` seeds for the draws of [`crate::TripletSampler::warp`]; empty for the other
    /// strategies.
    pub draw_seeds: Vec<u64>,
}

impl TripletBatch {
    /// Number of rows: pairs of a user and a positive.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Number of negatives of each row; 0 for an empty batch.
    pub fn n_negatives(&self) -> usize {
        self.negatives.len().checked_div(self.len()).unwrap_or(0)
    }

    /// The negatives of one row.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn negatives_of(&self, row: usize) -> &[u32] {
        let n = self.n_negatives();
        &self.negatives[row * n..(row + 1) * n]
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.users.clear();
        self.positives.clear();
        self.negatives.clear();
        self.draw_seeds.clear();
    }

    /// Appends rows of another batch with as many negatives a row.
    pub(super) fn append(&mut self, from: &Self, rows: std::ops::Range<usize>) {
        let n = from.n_negatives();
        self.users.extend_from_slice(&from.users[rows.clone()]);
        self.positives.extend_from_slice(&from.positives[rows.clone()]);
        self.negatives.extend_from_slice(&from.negatives[rows.start * n..rows.end * n]);
        if !from.draw_seeds.is_empty() {
            self.draw_seeds.extend_from_slice(&from.draw_seeds[rows]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_appended_with_their_negatives() {
        let from = TripletBatch {
            users: vec![1, 2, 3],
            positives: vec![4, 5, 6],
            negatives: vec![10, 11, 20, 21, 30, 31],
            draw_seeds: vec![7, 8, 9],
        };
        assert_eq!((from.n_negatives(), from.negatives_of(1)), (2, &[20, 21][..]));
        let mut batch = TripletBatch::default();
        assert_eq!((batch.n_negatives(), batch.is_empty()), (0, true));
        batch.append(&from, 2..3);
        batch.append(&from, 0..1);
        assert_eq!(
            (batch.users.as_slice(), batch.positives.as_slice()),
            (&[3, 1][..], &[6, 4][..])
        );
        assert_eq!((batch.negatives, batch.draw_seeds), (vec![30, 31, 10, 11], vec![9, 7]));
    }
}
