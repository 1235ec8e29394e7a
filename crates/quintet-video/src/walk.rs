//! Steps through a file's structure without reading more than it must.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use quintet_tensor::{DecodeKind, EncodeError};

/// Largest file that is opened, bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A [`EncodeError::Decode`] for a path.
pub(crate) fn decode(path: &Path, kind: DecodeKind, expected: &str, found: &str) -> EncodeError {
    EncodeError::Decode {
        origin: path.display().to_string(),
        kind,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// A [`EncodeError::Read`] for a path.
pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> EncodeError {
    EncodeError::Read { path: path.display().to_string(), source }
}

/// A place in a file of known length; every step is checked against the end of the file.
pub(crate) struct Walk<'a> {
    path: &'a Path,
    file: BufReader<File>,
    pos: u64,
    len: u64,
}

impl<'a> Walk<'a> {
    /// Starts at the beginning of a regular file.
    ///
    /// # Errors
    /// It cannot be read, is too large or has no byte.
    pub(crate) fn open(path: &'a Path) -> Result<Self, EncodeError> {
        let meta = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
        if !meta.is_file() {
            return Err(decode(path, DecodeKind::Unsupported, "a file", "no regular file"));
        }
        if meta.len() == 0 {
            return Err(decode(path, DecodeKind::Empty, crate::source::READS, "0 bytes"));
        }
        if meta.len() > MAX_BYTES {
            return Err(EncodeError::TooLarge {
                origin: path.display().to_string(),
                what: "size in bytes",
                limit: MAX_BYTES,
                found: meta.len(),
            });
        }
        let file = BufReader::new(File::open(path).map_err(|e| unreadable(path, e))?);
        Ok(Self { path, file, pos: 0, len: meta.len() })
    }

    /// Where it is, bytes from the beginning.
    pub(crate) fn pos(&self) -> u64 {
        self.pos
    }

    /// Length of the file, bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next `N` bytes, which are part of `what`.
    pub(crate) fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N], EncodeError> {
        if self.len - self.pos < N as u64 {
            return Err(self.truncated(what));
        }
        let mut out = [0; N];
        self.file.read_exact(&mut out).map_err(|e| unreadable(self.path, e))?;
        self.pos += N as u64;
        Ok(out)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self, what: &str) -> Result<u8, EncodeError> {
        Ok(self.bytes::<1>(what)?[0])
    }

    /// Steps over `n` bytes.
    pub(crate) fn skip(&mut self, n: u64, what: &str) -> Result<(), EncodeError> {
        if self.len - self.pos < n {
            return Err(self.truncated(what));
        }
        self.file.seek_relative(n as i64).map_err(|e| unreadable(self.path, e))?;
        self.pos += n;
        Ok(())
    }

    /// The file ends where `expected` should be.
    pub(crate) fn truncated(&self, expected: &str) -> EncodeError {
        let found = format!("the end of the file after {} bytes", self.len);
        decode(self.path, DecodeKind::Truncated, expected, &found)
    }

    /// The bytes contradict the format.
    pub(crate) fn corrupt(&self, expected: &str, found: &str) -> EncodeError {
        decode(self.path, DecodeKind::Corrupt, expected, found)
    }
}
