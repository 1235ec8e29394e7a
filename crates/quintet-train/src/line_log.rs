//! A file with one line of JSON a record, for work that may be stopped at any moment.
//!
//! Lines are appended and synced one at a time. A killed process leaves at most a last line that
//! breaks off, which is taken away when the file is opened again.

use std::fs::TryLockError;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrainError;

/// An open file, which no other process can open as well.
#[derive(Debug)]
pub struct LineLog {
    path: PathBuf,
    file: File,
}

impl LineLog {
    /// Opens or begins the file; gives its whole lines too.
    ///
    /// # Errors
    /// Another process has it open; it cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, Vec<String>), TrainError> {
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::LogInUse { path: path.display().to_string() });
            }
            // A file system without locks: nothing is worse than before there were any.
            Err(TryLockError::Error(_)) => {}
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // What follows the last end of a line was being written when the process ended.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let lines = text[..whole].lines().map(str::to_owned).collect();
        Ok((Self { path: path.to_owned(), file }, lines))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a line that [`open`](Self::open) gave; `number` counts from 0.
    ///
    /// # Errors
    /// The line is no such record; names the file and the line.
    pub fn read<T: DeserializeOwned>(&self, number: usize, line: &str) -> Result<T, TrainError> {
        serde_json::from_str(line).map_err(|e| TrainError::Log {
            path: format!("{}, line {}", self.path.display(), number + 1),
            reason: e.to_string(),
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
        let mut text = serde_json::to_string(record)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_told_and_a_later_one_reads_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/fits.jsonl");
        let (mut log, lines) = LineLog::open(&path).unwrap();
        assert!(lines.is_empty());
        log.append(&[0.1 + 0.2, 1.0 / 3.0]).unwrap();
        let refused = LineLog::open(&path).map(drop).unwrap_err().to_string();
        assert!(refused.contains("fits.jsonl") && refused.contains("another"), "{refused}");
        drop(log);
        let (log, lines) = LineLog::open(&path).unwrap();
        assert_eq!(lines.len(), 1);
        let values: [f64; 2] = log.read(0, &lines[0]).unwrap();
        assert_eq!(values, [0.1 + 0.2, 1.0 / 3.0]);
        let error = log.read::<String>(0, &lines[0]).unwrap_err().to_string();
        assert!(error.contains("fits.jsonl, line 1"), "{error}");
    }
}
