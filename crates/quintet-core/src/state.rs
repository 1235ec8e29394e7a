//! The saved form of a model or a trainer: named arrays and named strings.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::Matrix;

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
