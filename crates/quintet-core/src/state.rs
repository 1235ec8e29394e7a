//! The saved form of a model or a trainer: named arrays and named strings.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{Interactions, ItemIdx, Matrix, Triplet, UserIdx};

/// One named array.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StateTensor {
    /// Real numbers, `[rows, cols]`.
    Real(Matrix),
    /// Whole numbers, `[len]`.
    Whole(Vec<i64>),
}

/// What can be wrong with a saved state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// An entry is not there.
    #[error("{kind} state has no entry {key:?}; it holds: {known}")]
    Missing {
        /// Which kind of state.
        kind: String,
        /// The missing key.
        key: String,
        /// The keys that are there.
        known: String,
    },
    /// An entry has the wrong type or shape.
    #[error("{kind} state, entry {key:?}: expected {expected}, found {found}")]
    Mismatch {
        /// Which kind of state.
        kind: String,
        /// The key.
        key: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

/// Everything needed to rebuild a model (or go on training it), free of any file format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelState {
    /// What this is the state of: the registry name of a model.
    pub kind: String,
    /// Named arrays.
    pub tensors: BTreeMap<String, StateTensor>,
    /// Named strings.
    pub meta: BTreeMap<String, String>,
}

impl ModelState {
    /// An empty state of `kind`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// Adds a matrix.
    pub fn put(&mut self, key: impl Into<String>, matrix: Matrix) {
        self.tensors.insert(key.into(), StateTensor::Real(matrix));
    }

    /// Adds whole numbers.
    pub fn put_whole(&mut self, key: impl Into<String>, values: Vec<i64>) {
        self.tensors.insert(key.into(), StateTensor::Whole(values));
    }

    /// Reads a matrix.
    ///
    /// # Errors
    /// The key is missing or holds whole numbers.
    pub fn matrix(&self, key: &str) -> Result<&Matrix, StateError> {
        match self.tensors.get(key) {
            Some(StateTensor::Real(m)) => Ok(m),
            Some(StateTensor::Whole(_)) => {
                Err(self.mismatch(key, "a real matrix", "whole numbers"))
            }
            None => Err(self.missing(key, self.tensors.keys())),
        }
    }

    /// Reads a matrix of a known shape.
    ///
    /// # Errors
    /// As [`ModelState::matrix`], or another shape.
    pub fn shaped(&self, key: &str, rows: usize, cols: usize) -> Result<&Matrix, StateError> {
        let m = self.matrix(key)?;
        if (m.rows(), m.cols()) != (rows, cols) {
            let found = format!("[{}, {}]", m.rows(), m.cols());
            return Err(self.mismatch(key, &format!("[{rows}, {cols}]"), &found));
        }
        Ok(m)
    }

    /// Reads whole numbers.
    ///
    /// # Errors
    /// The key is missing or holds real numbers.
    pub fn whole(&self, key: &str) -> Result<&[i64], StateError> {
        match self.tensors.get(key) {
            Some(StateTensor::Whole(v)) => Ok(v),
            Some(StateTensor::Real(_)) => Err(self.mismatch(key, "whole numbers", "a real matrix")),
            None => Err(self.missing(key, self.tensors.keys())),
        }
    }

    /// Adds a sparse matrix as arrays `name.indptr`, `name.items`, `name.values` and `name.shape`.
    pub fn put_interactions(&mut self, name: &str, m: &Interactions) {
        let key = |part: &str| format!("{name}.{part}");
        self.put_whole(key("indptr"), m.indptr().iter().map(|&p| p as i64).collect());
        self.put_whole(key("items"), m.indices().iter().map(|i| i64::from(i.0)).collect());
        self.put_whole(key("shape"), vec![m.n_users() as i64, m.n_items() as i64]);
        let values: Vec<f32> = m.iter().map(|t| t.value).collect();
        if let Ok(values) = Matrix::from_vec(1, values.len(), values) {
            self.put(key("values"), values);
        }
    }

    /// Reads what [`ModelState::put_interactions`] wrote.
    ///
    /// # Errors
    /// An array is missing, or they do not fit each other.
    pub fn interactions(&self, name: &str) -> Result<Interactions, StateError> {
        let key = |part: &str| format!("{name}.{part}");
        let (indptr, items) = (self.whole(&key("indptr"))?, self.whole(&key("items"))?);
        let values = self.shaped(&key("values"), 1, items.len())?.as_slice();
        let &[n_users, n_items] = self.whole(&key("shape"))? else {
            return Err(self.mismatch(&key("shape"), "two numbers", "another length"));
        };
        let fits = n_users >= 0
            && indptr.len() as i64 == n_users + 1
            && indptr.first() == Some(&0)
            && indptr.last() == Some(&(items.len() as i64))
            && indptr.windows(2).all(|w| w[0] <= w[1])
            && items.iter().all(|i| (0..n_items).contains(i));
        if !fits {
            return Err(self.mismatch(&key("indptr"), "ascending row offsets", "others"));
        }
        let cells = indptr.windows(2).enumerate().flat_map(|(user, w)| {
            (w[0] as usize..w[1] as usize).map(move |at| Triplet {
                user: UserIdx::new(user),
                item: ItemIdx(items[at] as u32),
                value: values[at],
            })
        });
        Interactions::from_triplets(n_users as usize, n_items as usize, cells).map_err(|e| {
            self.mismatch(&key("items"), "each pair once, with a number", &e.to_string())
        })
    }

    /// Reads a string.
    ///
    /// # Errors
    /// The key is missing.
    pub fn text(&self, key: &str) -> Result<&str, StateError> {
        self.meta.get(key).map(String::as_str).ok_or_else(|| self.missing(key, self.meta.keys()))
    }

    /// The error for an entry that does not fit.
    pub fn mismatch(&self, key: &str, expected: &str, found: &str) -> StateError {
        StateError::Mismatch {
            kind: self.kind.clone(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    fn missing<'a>(&self, key: &str, known: impl Iterator<Item = &'a String>) -> StateError {
        StateError::Missing {
            kind: self.kind.clone(),
            key: key.to_owned(),
            known: known.cloned().collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_matrix_comes_back_and_a_torn_one_is_an_error() {
        let cells = [(0, 2, 0.5), (2, 0, -1.0), (2, 1, 4.0)].map(|(user, item, value)| Triplet {
            user: UserIdx(user),
            item: ItemIdx(item),
            value,
        });
        let m = Interactions::from_triplets(3, 4, cells).unwrap();
        let mut state = ModelState::new("m");
        state.put_interactions("history", &m);
        assert_eq!(state.interactions("history"), Ok(m));
        assert!(matches!(state.interactions("other"), Err(StateError::Missing { .. })));
        for (key, torn) in [
            ("indptr", vec![0, 1, 1]),
            ("indptr", vec![0, 2, 1, 3]),
            ("items", vec![2, 0, 4]),
            ("items", vec![2, 1, 1]),
            ("items", vec![2, 0]),
            ("shape", vec![3]),
            ("shape", vec![-1, 4]),
        ] {
            let mut state = state.clone();
            state.put_whole(format!("history.{key}"), torn.clone());
            let found = state.interactions("history");
            assert!(matches!(found, Err(StateError::Mismatch { .. })), "{key} {torn:?}: {found:?}");
        }
    }
}
