//! Comparisons that say where two results part.

use burn::tensor::Device;
use quintet_core::{ModelState, StateTensor};

use crate::devices::is_bitwise;

/// Tolerance between a batch and its rows: another blocking of the same sums.
pub(crate) const CLOSE: f32 = 1e-5;

/// Tolerance between two equal runs on a GPU.
const RERUN: f32 = 1e-3;

/// The first place where two slices differ by more than `tolerance · (1 + |expected|)`. NaN
/// differs from everything.
fn first_apart(expected: &[f32], found: &[f32], tolerance: f32) -> Option<usize> {
    let close = |e: f32, f: f32| (e - f).abs() <= tolerance * (1.0 + e.abs());
    let apart = |(e, f): (&f32, &f32)| !close(*e, *f);
    expected.iter().zip(found).position(apart)
}

/// Asserts that two slices agree within `tolerance · (1 + |expected|)`.
pub(crate) fn assert_close(
    title: &str,
    what: &str,
    expected: &[f32],
    found: &[f32],
    tolerance: f32,
) {
    assert_eq!(expected.len(), found.len(), "{title}: {what}: lengths differ");
    if let Some(i) = first_apart(expected, found, tolerance) {
        panic!(
            "{title}: {what}: number {i} is {} and should be {} (tolerance {tolerance})",
            found[i], expected[i]
        );
    }
}

/// Asserts that two slices are equal bit by bit.
pub(crate) fn assert_bits(title: &str, what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{title}: {what}: lengths differ");
    let apart = |(e, f): (&f32, &f32)| e.to_bits() != f.to_bits();
    if let Some(i) = expected.iter().zip(found).position(apart) {
        panic!("{title}: {what}: number {i} is {:?} and should be {:?}", found[i], expected[i]);
    }
}

/// Asserts that equal work gave equal numbers: bit by bit on a CPU.
pub(crate) fn assert_rerun(
    title: &str,
    what: &str,
    expected: &[f32],
    found: &[f32],
    device: &Device,
) {
    if is_bitwise(device) {
        assert_bits(title, what, expected, found);
    } else {
        assert_close(title, what, expected, found, RERUN);
    }
}

/// Asserts that all numbers are finite.
pub(crate) fn assert_finite(title: &str, what: &str, values: &[f32]) {
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        panic!("{title}: {what}: number {i} is {}", values[i]);
    }
}

/// Asserts that two states are the same: kind, strings, names, whole numbers, and real numbers
/// bit by bit on a CPU.
pub(crate) fn assert_state(
    title: &str,
    what: &str,
    expected: &ModelState,
    found: &ModelState,
    device: &Device,
) {
    assert_eq!(expected.kind, found.kind, "{title}: {what}: kind of state");
    assert_eq!(expected.meta, found.meta, "{title}: {what}: strings of the state");
    let keys = |s: &ModelState| s.tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(expected), keys(found), "{title}: {what}: names of the arrays");
    for (key, (e, f)) in expected.tensors.iter().map(|(k, e)| (k, (e, &found.tensors[k]))) {
        let what = format!("{what}: array {key:?}");
        match (e, f) {
            (StateTensor::Real(e), StateTensor::Real(f)) => {
                assert_eq!((e.rows(), e.cols()), (f.rows(), f.cols()), "{title}: {what}: shape");
                assert_rerun(title, &what, e.as_slice(), f.as_slice(), device);
            }
            (e, f) => assert_eq!(e, f, "{title}: {what}"),
        }
    }
}
