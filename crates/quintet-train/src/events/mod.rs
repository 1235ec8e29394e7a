//! TensorBoard event files, so that curves of many runs can be laid over each other.
//!
//! An event file is a row of records, each a length, its checksum, the bytes and theirs:
//!
//! ```text
//! u64 length | u32 masked CRC-32C of the length | bytes | u32 masked CRC-32C of the bytes
//! ```
//!
//! The bytes of a record are a protobuf message `Event` (`event.rs`), the first one naming the
//! version of the format. Records are appended as epochs end. What a killed process left
//! half-written, and epochs after the checkpoint that a run goes on from, are cut off when it
//! starts again, so that no step is told twice.

mod crc32c;
mod event;

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::{File, OpenOptions};

use crate::EpochRecord;

/// Larger files are not ours to go on with; a new one is begun beside them.
const LARGEST: u64 = 64 << 20;
/// How TensorBoard knows event files.
const PREFIX: &str = "events.out.tfevents.";

/// The event file of one model.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    /// The last step in the file.
    last: Option<u64>,
}

impl EventLog {
    /// Opens the event file in `dir`, which is created, without anything after step `until`.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(dir: &Path, until: u64) -> std::io::Result<Self> {
        fs_err::create_dir_all(dir)?;
        match newest(dir)? {
            Some(path) => Self::go_on(&path, until),
            None => Self::begin(dir),
        }
    }

    /// Appends numbers, each under its tag, as one step.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> std::io::Result<()> {
        self.file.write_all(&frame(&event::scalars(now(), step, values)))?;
        self.last = Some(step);
        Ok(())
    }

    /// Appends those epochs of a log that the file does not have yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn epochs(&mut self, log: &[EpochRecord]) -> std::io::Result<()> {
        for record in log {
            let step = record.epoch as u64;
            if self.last.is_some_and(|last| step <= last) {
                continue;
            }
            let valid = record.valid.iter().map(|(key, value)| (format!("valid/{key}"), *value));
            let mut tags = vec![
                ("train/loss".to_owned(), record.loss),
                ("seconds/train".to_owned(), record.train_seconds),
                ("seconds/valid".to_owned(), record.valid_seconds),
            ];
            tags.extend(valid);
            let values: Vec<(&str, f64)> = tags.iter().map(|(t, v)| (t.as_str(), *v)).collect();
            self.scalars(step, &values)?;
        }
        Ok(())
    }

    fn begin(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join(format!("{PREFIX}{:010}.quintet", now() as u64));
        let mut file = File::create(path)?;
        file.write_all(&frame(&event::version(now())))?;
        Ok(Self { file, last: None })
    }

    fn go_on(path: &Path, until: u64) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        if file.metadata()?.len() <= LARGEST {
            file.read_to_end(&mut bytes)?;
        }
        let (mut end, mut last) = (0, None);
        for record in Records(&bytes) {
            let Some(step) = event::step(record.bytes).filter(|step| *step <= until) else { break };
            last = if end == 0 { None } else { Some(step) };
            end += record.length;
        }
        if end == 0 {
            // Not a file of ours, or one that breaks off within its first record.
            let parent = path.parent().unwrap_or(Path::new("."));
            fs_err::remove_file(path)?;
            return Self::begin(parent);
        }
        file.set_len(end as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, last })
    }
}

/// The event file with the greatest name, which begins with its time.
fn newest(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found.pop())
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A record around some bytes.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(bytes.len() + 16);
    out.extend(length);
    out.extend(crc32c::masked(&length).to_le_bytes());
    out.extend(bytes);
    out.extend(crc32c::masked(bytes).to_le_bytes());
    out
}

/// Whole records, up to the first that is not.
struct Records<'a>(&'a [u8]);

struct Record<'a> {
    bytes: &'a [u8],
    /// With its frame.
    length: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (length, rest) = self.0.split_first_chunk::<8>()?;
        let (check, rest) = rest.split_first_chunk::<4>()?;
        let n = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let bytes = rest.get(..n)?;
        let (data_check, rest) = rest[n..].split_first_chunk::<4>()?;
        let whole = crc32c::masked(length).to_le_bytes() == *check
            && crc32c::masked(bytes).to_le_bytes() == *data_check;
        self.0 = rest;
        whole.then_some(Record { bytes, length: n + 16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(dir: &Path) -> Vec<u64> {
        let bytes = fs_err::read(newest(dir).unwrap().unwrap()).unwrap();
        Records(&bytes).map(|r| event::step(r.bytes).unwrap()).collect()
    }

    #[test]
    fn a_record_is_framed_as_the_format_says() {
        let bytes = frame(b"abc");
        assert_eq!(bytes[..8], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bytes.len(), &bytes[12..15]), (19, &b"abc"[..]));
        let back: Vec<&[u8]> = Records(&bytes).map(|r| r.bytes).collect();
        assert_eq!(back, [b"abc"]);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 4;
            assert!(Records(&other).next().is_none(), "byte {at}");
            assert!(Records(&bytes[..at]).next().is_none(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_goes_on_after_the_step_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(dir.path(), 0).unwrap();
        for step in 1..=5 {
            log.scalars(step, &[("loss", 1.0 / step as f64)]).unwrap();
        }
        assert_eq!(steps(dir.path()), [0, 1, 2, 3, 4, 5]);
        let mut log = EventLog::open(dir.path(), 3).unwrap();
        log.scalars(4, &[("loss", 9.0)]).unwrap();
        assert_eq!(steps(dir.path()), [0, 1, 2, 3, 4]);
        // What is half-written goes, and so does all that is damaged.
        let path = newest(dir.path()).unwrap().unwrap();
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, &whole[..whole.len() - 3]).unwrap();
        drop(EventLog::open(dir.path(), 9).unwrap());
        assert_eq!(steps(dir.path()), [0, 1, 2, 3]);
        fs_err::write(&path, b"something else").unwrap();
        drop(EventLog::open(dir.path(), 9).unwrap());
        assert_eq!(steps(dir.path()), [0]);
    }
}
