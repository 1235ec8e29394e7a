//! Saved model and trainer states as safetensors files.
//!
//! The format is that of <https://huggingface.co/docs/safetensors>: the length of a JSON header,
//! the header, the numbers. The header is written here with its keys in order, so that equal
//! states are equal bytes (the `safetensors` crate keeps metadata in a hash map and would write
//! them in any order); files are read through the crate, which checks every offset.

use std::collections::BTreeMap;
use std::path::Path;

use quintet_core::{Matrix, ModelState, StateTensor};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::{DataError, write_atomic};

/// Header key of the strings; no tensor can have this name.
const METADATA: &str = "__metadata__";
/// Metadata key of the layout, and its value.
const FORMAT: (&str, &str) = ("format", "quintet-state-1");
/// Metadata key of [`ModelState::kind`].
const KIND: &str = "kind";
/// Before each key of [`ModelState::meta`], so that none is taken for one of the two above.
const META_PREFIX: &str = "meta.";

/// One tensor in the header.
#[derive(Serialize)]
struct Entry {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Writes a state; the file appears whole or not at all. Equal states give equal bytes.
///
/// # Errors
/// A number that is not finite (named by tensor, row and column), a tensor with the reserved
/// name `__metadata__`, or a file that cannot be written.
pub fn write_state(path: &Path, state: &ModelState) -> Result<(), DataError> {
    write_atomic(path, &state_bytes(path, state)?)
}

/// Reads a state that [`write_state`] wrote.
///
/// # Errors
/// A file that cannot be read, is cut or is no safetensors file; one that is no state; a tensor
/// of another type or rank; a number that is not finite. The message names the file.
pub fn read_state(path: &Path) -> Result<ModelState, DataError> {
    let bytes = fs_err::read(path)?;
    let broken = |source| DataError::State { path: path.to_owned(), source };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
    let empty = Default::default();
    let strings = header.metadata().as_ref().unwrap_or(&empty);
    let found = strings.get(FORMAT.0).map(String::as_str);
    let (Some(kind), true) = (strings.get(KIND), found == Some(FORMAT.1)) else {
        return Err(content(
            path,
            format!("a state of the format {:?} that names its kind", FORMAT.1),
            found.map_or("no format".into(), |f| format!("format {f:?}")),
        ));
    };
    let mut state = ModelState::new(kind);
    for (key, value) in strings {
        if let Some(key) = key.strip_prefix(META_PREFIX) {
            state.meta.insert(key.to_owned(), value.clone());
        }
    }
    for (name, view) in SafeTensors::deserialize(&bytes).map_err(broken)?.iter() {
        let tensor = match (view.dtype(), view.shape()) {
            (Dtype::F32, &[rows, cols]) => {
                let numbers = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                let matrix = Matrix::from_vec(rows, cols, numbers.collect())?;
                matrix.check_finite(&entry_name(path, name))?;
                StateTensor::Real(matrix)
            }
            (Dtype::I64, &[_]) => {
                let numbers = view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b));
                StateTensor::Whole(numbers.collect())
            }
            (dtype, shape) => {
                let expected = format!("tensor {name:?} to be F32 [rows, cols] or I64 [len]");
                return Err(content(path, expected, format!("{dtype} {shape:?}")));
            }
        };
        state.tensors.insert(name.to_owned(), tensor);
    }
    Ok(state)
}

fn content(path: &Path, expected: String, found: String) -> DataError {
    DataError::Content { path: path.to_owned(), expected, found }
}

fn entry_name(path: &Path, tensor: &str) -> String {
    format!("{}: tensor {tensor:?}", path.display())
}

fn state_bytes(path: &Path, state: &ModelState) -> Result<Vec<u8>, DataError> {
    if state.tensors.contains_key(METADATA) {
        let expected = format!("a tensor name other than {METADATA:?}, which is reserved");
        return Err(content(path, expected, format!("{METADATA:?}")));
    }
    let mut data = Vec::new();
    let mut entries: Vec<(&str, Entry)> = Vec::new();
    // Whole numbers come first, so that every tensor lies at a multiple of its element size.
    for (name, tensor) in &state.tensors {
        if let StateTensor::Whole(values) = tensor {
            let start = data.len();
            data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            let data_offsets = (start, data.len());
            entries.push((name, Entry { dtype: "I64", shape: vec![values.len()], data_offsets }));
        }
    }
    for (name, tensor) in &state.tensors {
        match tensor {
            StateTensor::Whole(_) => {}
            StateTensor::Real(matrix) => {
                matrix.check_finite(&entry_name(path, name))?;
                let start = data.len();
                data.extend(matrix.as_slice().iter().flat_map(|v| v.to_le_bytes()));
                let shape = vec![matrix.rows(), matrix.cols()];
                let data_offsets = (start, data.len());
                entries.push((name, Entry { dtype: "F32", shape, data_offsets }));
            }
            other => {
                let expected = format!("tensor {name:?} of real or whole numbers");
                return Err(content(path, expected, format!("{other:?}")));
            }
        }
    }
    let mut header = header_json(state, &entries).map_err(|source| DataError::Json {
        path: path.to_owned(),
        row: None,
        source,
    })?;
    // The numbers start at a multiple of 8 bytes; the format allows spaces after the header.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + data.len());
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(data);
    Ok(bytes)
}

/// The header: the strings, then the tensors in the order of their numbers.
fn header_json(state: &ModelState, entries: &[(&str, Entry)]) -> serde_json::Result<Vec<u8>> {
    let mut strings = BTreeMap::from([
        (FORMAT.0.to_owned(), FORMAT.1.to_owned()),
        (KIND.to_owned(), state.kind.clone()),
    ]);
    for (key, value) in &state.meta {
        strings.insert(format!("{META_PREFIX}{key}"), value.clone());
    }
    let mut header = serde_json::Map::new();
    header.insert(METADATA.to_owned(), serde_json::to_value(strings)?);
    for (name, entry) in entries {
        header.insert((*name).to_owned(), serde_json::to_value(entry)?);
    }
    serde_json::to_vec(&header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> ModelState {
        let mut state = ModelState::new("bpr");
        state.put("users", Matrix::from_vec(2, 2, vec![1.0, -0.0, 3.5, f32::MIN]).unwrap());
        state.put("nothing", Matrix::zeros(0, 4));
        state.put_whole("steps", vec![i64::MIN, 7]);
        state.meta.insert("kind".into(), "not the kind".into());
        state.meta.insert("größe".into(), "64".into());
        state
    }

    #[test]
    fn a_cut_file_is_an_error_at_every_length() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("model.safetensors");
        write_state(&path, &sample()).unwrap();
        assert_eq!(read_state(&path).unwrap(), sample());
        let whole = fs_err::read(&path).unwrap();
        for len in 0..whole.len() {
            fs_err::write(&path, &whole[..len]).unwrap();
            let err = read_state(&path).unwrap_err();
            assert!(matches!(err, DataError::State { .. }), "{len}: {err}");
            assert!(err.to_string().contains("model.safetensors"), "{err}");
        }
        assert!(read_state(&root.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn what_is_no_state_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("m.safetensors");
        let write = |header: &str, data: &[u8]| {
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
            fs_err::write(&path, bytes).unwrap();
            read_state(&path).unwrap_err().to_string()
        };
        assert!(write("{}", b"").contains("found no format"));
        let meta = r#""__metadata__":{"format":"quintet-state-1","kind":"x"}"#;
        let half = format!(
            "{{{meta},\"w\":{{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[0,4]}}}}"
        );
        let text = write(&half, &[0; 4]);
        assert!(text.contains("tensor \"w\"") && text.contains("F16 [1, 2]"), "{text}");
        let nan = format!(
            "{{{meta},\"w\":{{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]}}}}"
        );
        let text = write(&nan, &f32::NAN.to_le_bytes());
        assert!(text.contains("tensor \"w\" row 0, column 0 is NaN"), "{text}");
        // A size that overflows is refused before anything is allocated.
        let huge = format!(
            "{{{meta},\"w\":{{\"dtype\":\"F32\",\"shape\":[{0},{0}],\"data_offsets\":[0,4]}}}}",
            u64::MAX / 2
        );
        write(&huge, &[0; 4]);
    }

    #[test]
    fn what_must_not_be_saved_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("m.safetensors");
        let mut state = ModelState::new("x");
        state.put("w", Matrix::from_vec(1, 1, vec![f32::INFINITY]).unwrap());
        assert!(write_state(&path, &state).is_err());
        let mut state = ModelState::new("x");
        state.put_whole("__metadata__", vec![]);
        assert!(write_state(&path, &state).is_err());
        assert!(!path.exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn states_come_back_and_bytes_are_fixed(
            reals in proptest::collection::btree_map(".{0,5}", (0usize..4, 0usize..4, -9.0f32..9.0), 0..4),
            wholes in proptest::collection::btree_map("[a-z.]{6,8}", proptest::collection::vec(any::<i64>(), 0..4), 0..4),
            meta in proptest::collection::btree_map(".{0,5}", ".{0,9}", 0..5),
            kind in ".{0,5}"
        ) {
            let mut state = ModelState::new(kind);
            state.meta = meta;
            for (key, (rows, cols, v)) in reals {
                let data = (0..rows * cols).map(|i| v + i as f32).collect();
                state.put(key, Matrix::from_vec(rows, cols, data).unwrap());
            }
            for (key, values) in wholes {
                state.put_whole(key, values);
            }
            let root = tempfile::tempdir().unwrap();
            let (a, b) = (root.path().join("a"), root.path().join("b"));
            write_state(&a, &state).unwrap();
            let back = read_state(&a).unwrap();
            prop_assert_eq!(&back, &state);
            write_state(&b, &back).unwrap();
            prop_assert_eq!(fs_err::read(a).unwrap(), fs_err::read(b).unwrap());
        }
    }
}
