//! Files of weights: reading them, their hash, and the errors that name them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use quintet_tensor::{DecodeKind, EncodeError, weights_hash};
use serde::de::DeserializeOwned;

/// What the file of arrays of a folder is called.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// The file, opened.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, EncodeError> {
    File::open(path).map(BufReader::new).map_err(|e| unreadable(path, e))
}

pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> EncodeError {
    EncodeError::Read { path: path.display().to_string(), source }
}

/// A JSON file.
pub(crate) fn json<T: DeserializeOwned>(encoder: &str, path: &Path) -> Result<T, EncodeError> {
    serde_json::from_reader(open(path)?).map_err(|e| refused(encoder, path, &e.to_string()))
}

/// The hash of a file, which has to be the one that is expected, if any is.
pub(crate) fn hash(
    encoder: &str,
    path: &Path,
    expected: Option<&str>,
) -> Result<String, EncodeError> {
    let hash = weights_hash(path)?;
    match expected.filter(|expected| *expected != hash) {
        Some(expected) => {
            Err(refused(encoder, path, &format!("expected blake3 {expected}, found {hash}")))
        }
        None => Ok(hash),
    }
}

/// The error of a file that says what an encoder cannot do.
pub(crate) fn refused(encoder: &str, path: &Path, reason: &str) -> EncodeError {
    let reason = format!("{}: {reason}", path.display());
    EncodeError::Config { encoder: encoder.to_owned(), reason }
}

/// The error of a damaged file.
pub(crate) fn damaged(path: &Path, expected: &str, found: String) -> EncodeError {
    EncodeError::Decode {
        origin: path.display().to_string(),
        kind: DecodeKind::Corrupt,
        expected: expected.to_owned(),
        found,
    }
}
