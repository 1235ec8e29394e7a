//! A model that is a table of scores, and short ways to build data.

use quintet_core::{
    Capability, Interactions, ItemIdx, Matrix, ModelState, Recommender, ScoreError, UserIdx,
};

/// Scores that are written down instead of computed.
pub(crate) struct Table(Matrix);

impl Table {
    pub(crate) fn new(rows: usize, cols: usize, scores: Vec<f32>) -> Self {
        Self(Matrix::from_vec(rows, cols, scores).unwrap())
    }
}

impl Recommender for Table {
    fn name(&self) -> &str {
        "table"
    }

    fn n_users(&self) -> usize {
        self.0.rows()
    }

    fn n_items(&self) -> usize {
        self.0.cols()
    }

    fn capability(&self) -> Capability {
        Capability::personal()
    }

    fn score(&self, users: &[UserIdx], out: &mut Matrix) -> Result<(), ScoreError> {
        out.reset(users.len(), self.n_items());
        for (row, user) in users.iter().enumerate() {
            out.row_mut(row).copy_from_slice(self.0.row(user.index()));
        }
        Ok(())
    }

    fn state(&self) -> ModelState {
        ModelState::new("table")
    }
}

pub(crate) fn pairs(n_users: usize, n_items: usize, pairs: &[(u32, u32)]) -> Interactions {
    Interactions::from_pairs(n_users, n_items, pairs.iter().copied()).unwrap()
}

pub(crate) fn items(list: &[u32]) -> Vec<ItemIdx> {
    list.iter().copied().map(ItemIdx).collect()
}
