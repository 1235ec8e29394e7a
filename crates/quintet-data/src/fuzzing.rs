//! The entry of the fuzz targets in `fuzz/`; no part of the interface.

use std::path::Path;

use crate::DataError;
use crate::npy::read_npy;

/// Reads an `.npy` file of a shape as 32-bit numbers, 16-bit numbers and truth values; gives how
/// many values there are.
///
/// # Errors
/// What the reader says when the file is none of the three.
pub fn npy(path: &Path, shape: &[usize]) -> Result<usize, DataError> {
    let single = read_npy::<f32>(path, shape).map(|(values, _)| values.len());
    let half = read_npy::<half::f16>(path, shape).map(|(values, _)| values.len());
    let truth = read_npy::<bool>(path, shape).map(|(values, _)| values.len());
    single.or(half).or(truth)
}
