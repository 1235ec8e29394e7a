//! The errors of the core types.

use thiserror::Error;

/// What can be wrong with ids, interactions, matrices and features.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CoreError {
    /// An id occurs twice where ids must be unique.
    #[error("id {id:?} occurs twice (positions {first} and {second}); ids must be unique")]
    DuplicateId {
        /// The id.
        id: String,
        /// Position of the first occurrence.
        first: usize,
        /// Position of the second occurrence.
        second: usize,
    },
    /// An index lies outside its table.
    #[error("{what} index {index} is out of range: there are {len}")]
    OutOfRange {
        /// What is indexed, such as `user`.
        what: &'static str,
        /// The index that came.
        index: usize,
        /// The number of entries there are.
        len: usize,
    },
    /// The same pair occurs twice.
    #[error("user {user} and item {item} occur together more than once; merge the pairs first")]
    DuplicatePair {
        /// User position.
        user: u32,
        /// Item position.
        item: u32,
    },
    /// A pair comes after one that it should come before.
    #[error("user {user} and item {item} come too late; pairs must be by user, then item")]
    Unsorted {
        /// User position.
        user: u32,
        /// Item position.
        item: u32,
    },
    /// A length or shape does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What was measured.
        what: String,
        /// The expected size.
        expected: usize,
        /// The size that came.
        found: usize,
    },
    /// A number is NaN or infinite.
    #[error("{what} row {row}, column {col} is {value}; only finite numbers are allowed")]
    NotFinite {
        /// Which table.
        what: String,
        /// Row of the number.
        row: usize,
        /// Column of the number.
        col: usize,
        /// The number.
        value: f32,
    },
    /// A name is not a modality.
    #[error("unknown modality {name:?}; known: text, image, audio, video, place")]
    UnknownModality {
        /// The name that came.
        name: String,
    },
}
