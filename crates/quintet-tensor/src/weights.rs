//! Weights that others trained, from safetensors files and under their own names.
//!
//! The header is read and checked first, the numbers array by array when they are asked for: a
//! file of gigabytes is never held as a whole. Nothing in a file is executed, and no size in it
//! is believed before it is compared with the file's length.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use thiserror::Error;

/// Largest header that is read, bytes; that of a model of thousands of arrays has one megabyte.
const LARGEST_HEADER: u64 = 64 << 20;

/// Why weights cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{}: expected a whole safetensors file, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The arrays are not those of the architecture. All of them are named at once.
    #[error("{}: the weights do not fit {architecture}: {}", path.display(), problems(missing, misshapen, unexpected))]
    Keys {
        /// The file.
        path: PathBuf,
        /// What was to be built.
        architecture: String,
        /// Arrays that the architecture has and the file lacks.
        missing: Vec<String>,
        /// Arrays of another shape or type, each with what was expected and found.
        misshapen: Vec<String>,
        /// Arrays that the file has and the architecture does not.
        unexpected: Vec<String>,
    },
}

/// The lists of a [`WeightError::Keys`], each cut short.
fn problems(missing: &[String], misshapen: &[String], unexpected: &[String]) -> String {
    const SHOWN: usize = 12;
    let lists = [("missing", missing), ("misshapen", misshapen), ("unexpected", unexpected)];
    let said = lists.into_iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| {
        let more = names.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{what} {}{more}", names[..names.len().min(SHOWN)].join(", "))
    });
    said.collect::<Vec<_>>().join("; ")
}

/// Where an array lies in its file.
#[derive(Debug, Clone)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    from: u64,
    bytes: usize,
}

/// A safetensors file, opened and its header checked.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    file: Mutex<File>,
    entries: BTreeMap<String, Entry>,
}

impl WeightFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, or is not a whole safetensors file.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let unreadable = |source| WeightError::Read { path: path.to_owned(), source };
        let wrong = |found: String| WeightError::Format { path: path.to_owned(), found };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(|_| wrong(format!("{length} bytes")))?;
        let header = u64::from_le_bytes(head);
        if header > LARGEST_HEADER || header > length - 8 {
            return Err(wrong(format!("a header of {header} bytes in a file of {length}")));
        }
        let mut text = vec![0; header as usize];
        file.read_exact(&mut text).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|e| wrong(format!("a header with {e}")))?;
        let mut entries = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let n = info.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            let expected = n.and_then(|n| n.checked_mul(info.dtype.bitsize())).map(|bits| bits / 8);
            let inside = end as u64 <= length - 8 - header;
            if expected.is_none() || end.checked_sub(start) != expected || !inside {
                let found = format!(
                    "{name}: bytes {start} to {end} for the shape {:?} in a file of {length}",
                    info.shape
                );
                return Err(wrong(found));
            }
            let (dtype, shape) = (info.dtype, info.shape.clone());
            let entry = Entry { dtype, shape, from: 8 + header + start as u64, bytes: end - start };
            entries.insert(name, entry);
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), entries })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the arrays, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of an array, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// Whether an array holds floating-point numbers. Whole numbers (position ids, counts of
    /// batches) are no weights.
    pub fn is_float(&self, name: &str) -> bool {
        let float =
            |e: &Entry| matches!(e.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
        self.entries.get(name).is_some_and(float)
    }

    /// An array as 32-bit numbers, in row-major order; half precision and 64 bits are cast.
    ///
    /// # Errors
    /// There is no such array, its numbers are not floating-point, or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, WeightError> {
        let wrong = |found: String| WeightError::Format { path: self.path.clone(), found };
        let Some(entry) = self.entries.get(name) else {
            return Err(wrong(format!("no array {name}")));
        };
        let mut bytes = vec![0; entry.bytes];
        let read = {
            let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            file.seek(SeekFrom::Start(entry.from)).and_then(|_| file.read_exact(&mut bytes))
        };
        read.map_err(|source| WeightError::Read { path: self.path.clone(), source })?;
        fn cast<const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            let (numbers, _) = bytes.as_chunks::<N>();
            numbers.iter().map(|n| of(*n)).collect()
        }
        Ok(match entry.dtype {
            Dtype::F32 => cast(&bytes, f32::from_le_bytes),
            Dtype::F16 => cast(&bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => cast(&bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => cast(&bytes, |b| f64::from_le_bytes(b) as f32),
            other => return Err(wrong(format!("{name} of type {other:?}"))),
        })
    }
}

/// The blake3 hash of a file, by which features name what made them.
///
/// # Errors
/// The file cannot be read.
pub fn weights_hash(path: &Path) -> Result<String, WeightError> {
    let unreadable = |source| WeightError::Read { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn arrays_of_every_precision_are_read_as_they_are() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]},
            "c":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]},
            "n":{"dtype":"I64","shape":[],"data_offsets":[14,22]},
            "__metadata__":{"format":"pt"}}"#;
        let mut data = Vec::new();
        data.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
        data.extend([0.5f32, 4.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        data.extend(bf16::from_f32(3.0).to_le_bytes());
        data.extend(7i64.to_le_bytes());
        let (_dir, path) = file(header, &data);
        let weights = WeightFile::open(&path).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c", "n"]);
        assert_eq!(weights.read("a").unwrap(), [1.5, -2.0]);
        assert_eq!(
            (weights.read("b").unwrap(), weights.shape("b")),
            (vec![0.5, 4.0], Some(&[1, 2][..]))
        );
        assert_eq!(weights.read("c").unwrap(), [3.0]);
        assert!(!weights.is_float("n") && weights.is_float("c"));
        assert!(weights.read("n").unwrap_err().to_string().contains("I64"));
        assert!(weights.read("z").unwrap_err().to_string().contains("no array z"));
    }

    #[test]
    fn a_file_that_lies_about_its_sizes_is_an_error_before_memory_is_taken() {
        let of = |header: &str, data: &[u8]| {
            let (_dir, path) = file(header, data);
            WeightFile::open(&path).unwrap_err().to_string()
        };
        let cut = of(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 4]);
        assert!(cut.contains("m.safetensors") && cut.contains("a: bytes 0 to 8"), "{cut}");
        let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
        assert!(!of(huge, &[0; 8]).is_empty());
        assert!(of("not json", &[]).contains("a header with"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
        assert!(WeightFile::open(&path).unwrap_err().to_string().contains("a header of"));
        std::fs::write(&path, b"abc").unwrap();
        assert!(WeightFile::open(&path).unwrap_err().to_string().contains("3 bytes"));
    }
}
