//! The books of one run: every row that comes in, and every fault, in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;

use crate::IngestError;
use crate::progress::IngestProgress;
use crate::report::{DerivedReport, Fault, FaultCode, FileReport, LISTED_PER_CODE, Severity};

/// Files up to so many bytes are hashed before they are read.
const HASHED_AT_ONCE: u64 = 1 << 20;

/// Position of a table in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) u32);

/// A row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) file: FileId,
    pub(crate) line: u64,
}

/// What is wrong, without where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) code: FaultCode,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Flaw {
    pub(crate) fn new(
        code: FaultCode,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { code, expected: expected.into(), found: found.into() }
    }
}

/// Collects faults and balances.
pub(crate) struct Log<'a> {
    strict: bool,
    hashing: Vec<(FileId, JoinHandle<Result<blake3::Hash, IngestError>>)>,
    pub(crate) progress: &'a dyn IngestProgress,
    pub(crate) files: Vec<FileReport>,
    pub(crate) derived: Vec<DerivedReport>,
    /// What is read and no table of its own: its name and hash.
    pub(crate) read: Vec<(String, String)>,
    pub(crate) counts: BTreeMap<FaultCode, usize>,
    pub(crate) faults: Vec<Fault>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(strict: bool, progress: &'a dyn IngestProgress) -> Self {
        Self {
            strict,
            progress,
            hashing: Vec::new(),
            files: Vec::new(),
            derived: Vec::new(),
            read: Vec::new(),
            counts: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Opens the books of a table. Its content is hashed, beside the reading where it is long:
    /// [`Log::finish_hashes`] waits for that.
    pub(crate) fn open(
        &mut self,
        role: &str,
        file: &str,
        path: &Path,
    ) -> Result<FileId, IngestError> {
        let length = std::fs::metadata(path).map_err(IngestError::io(file))?.len();
        if length <= HASHED_AT_ONCE {
            let hash = file_hash(file, path)?;
            return Ok(self.open_hashed(role, file, hash.to_hex().to_string()));
        }
        let id = self.open_hashed(role, file, String::new());
        let (file, path) = (file.to_owned(), path.to_owned());
        self.hashing.push((id, std::thread::spawn(move || file_hash(&file, &path))));
        Ok(id)
    }

    /// Waits for the hashes of all tables.
    pub(crate) fn finish_hashes(&mut self) -> Result<(), IngestError> {
        for (id, hash) in std::mem::take(&mut self.hashing) {
            let stopped = || std::io::Error::other("the thread that hashes the file stopped");
            let hash = match hash.join() {
                Ok(hash) => hash?,
                Err(_) => return Err(IngestError::io(self.name(id))(stopped())),
            };
            self.file(id).blake3 = hash.to_hex().to_string();
        }
        Ok(())
    }

    /// Opens the books of a table whose hash is known.
    pub(crate) fn open_hashed(&mut self, role: &str, file: &str, blake3: String) -> FileId {
        self.files.push(FileReport {
            file: file.to_owned(),
            role: role.to_owned(),
            blake3,
            rows_in: 0,
            rows_kept: 0,
            rows_reported: 0,
            blank_lines: 0,
        });
        FileId((self.files.len() - 1) as u32)
    }

    /// The balance of a table.
    pub(crate) fn file(&mut self, id: FileId) -> &mut FileReport {
        &mut self.files[id.0 as usize]
    }

    /// The name of a table.
    pub(crate) fn name(&self, id: FileId) -> &str {
        &self.files[id.0 as usize].file
    }

    /// Reports a row that does not go into the dataset.
    pub(crate) fn drop_row(
        &mut self,
        origin: Origin,
        item: Option<&str>,
        flaw: Flaw,
    ) -> Result<(), IngestError> {
        self.file(origin.file).rows_reported += 1;
        self.note_row(origin, item, flaw)
    }

    /// Whether one more fault of a code would be listed, and so needs its text.
    pub(crate) fn lists(&self, code: FaultCode) -> bool {
        self.strict || self.counts.get(&code).copied().unwrap_or(0) < LISTED_PER_CODE
    }

    /// Counts a row that does not go into the dataset, where [`Log::lists`] says no.
    pub(crate) fn drop_unlisted(&mut self, origin: Origin, code: FaultCode) {
        self.file(origin.file).rows_reported += 1;
        *self.counts.entry(code).or_default() += 1;
    }

    /// Reports something about a row that goes into the dataset all the same.
    pub(crate) fn note_row(
        &mut self,
        origin: Origin,
        item: Option<&str>,
        flaw: Flaw,
    ) -> Result<(), IngestError> {
        let fault = self.fault(origin, item, flaw);
        self.push(fault)
    }

    /// A fault of a row, not yet reported.
    pub(crate) fn fault(&self, origin: Origin, item: Option<&str>, flaw: Flaw) -> Fault {
        Fault {
            severity: flaw.code.severity(),
            code: flaw.code,
            file: self.name(origin.file).to_owned(),
            line: Some(origin.line),
            item: item.map(str::to_owned),
            expected: flaw.expected,
            found: flaw.found,
        }
    }

    /// Reports something about a file as a whole, such as a media file.
    pub(crate) fn note_file(
        &mut self,
        file: String,
        item: Option<&str>,
        flaw: Flaw,
    ) -> Result<(), IngestError> {
        self.push(Fault {
            severity: flaw.code.severity(),
            code: flaw.code,
            file,
            line: None,
            item: item.map(str::to_owned),
            expected: flaw.expected,
            found: flaw.found,
        })
    }

    fn push(&mut self, fault: Fault) -> Result<(), IngestError> {
        if self.strict && fault.severity < Severity::Info {
            return Err(IngestError::Strict(Box::new(fault)));
        }
        let count = self.counts.entry(fault.code).or_default();
        *count += 1;
        if *count <= LISTED_PER_CODE {
            self.faults.push(fault);
        }
        Ok(())
    }

    /// Checks that every row that came in is either kept or reported.
    pub(crate) fn balance(&self) -> Result<(), IngestError> {
        for f in &self.files {
            if f.rows_in != f.rows_kept + f.rows_reported {
                return Err(IngestError::Accounting {
                    what: f.file.clone(),
                    rows_in: f.rows_in,
                    kept: f.rows_kept,
                    reported: f.rows_reported,
                });
            }
        }
        Ok(())
    }
}

/// The hash of a file's content.
pub(crate) fn file_hash(file: &str, path: &Path) -> Result<blake3::Hash, IngestError> {
    let mut hasher = blake3::Hasher::new();
    let source = std::fs::File::open(path).map_err(IngestError::io(file))?;
    hasher.update_reader(source).map_err(IngestError::io(file))?;
    Ok(hasher.finalize())
}

/// Text from a source as it may be shown: quoted, control characters escaped, not too long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_with_one_file(strict: bool) -> (Log<'static>, Origin) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        fs_err::write(&path, "x").unwrap();
        let mut log = Log::new(strict, &crate::Quiet);
        let file = log.open("items", "t.csv", &path).unwrap();
        (log, Origin { file, line: 2 })
    }

    #[test]
    fn counts_stay_exact_when_the_list_is_cut() {
        let (mut log, origin) = log_with_one_file(false);
        for _ in 0..LISTED_PER_CODE + 5 {
            log.drop_row(origin, None, Flaw::new(FaultCode::EmptyId, "an id", "\"\"")).unwrap();
        }
        assert_eq!(log.faults.len(), LISTED_PER_CODE);
        assert_eq!(log.counts[&FaultCode::EmptyId], LISTED_PER_CODE + 5);
        assert_eq!(log.file(origin.file).rows_reported as usize, LISTED_PER_CODE + 5);
    }

    #[test]
    fn a_row_that_is_neither_kept_nor_reported_is_found() {
        let (mut log, origin) = log_with_one_file(false);
        log.file(origin.file).rows_in = 3;
        log.file(origin.file).rows_kept = 2;
        let err = log.balance().unwrap_err().to_string();
        assert!(err.contains("3 in, but 2 kept + 0 reported"), "{err}");
    }

    #[test]
    fn strict_stops_at_a_warning_but_not_at_an_info() {
        let (mut log, origin) = log_with_one_file(true);
        log.note_row(origin, None, Flaw::new(FaultCode::AddedItem, "a", "b")).unwrap();
        let flaw = Flaw::new(FaultCode::DuplicateRow, "a", "b");
        assert!(matches!(log.note_row(origin, None, flaw), Err(IngestError::Strict(_))));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shown("a\tb"), "\"a\\tb\"");
        let long = "é".repeat(100);
        assert_eq!(shown(&long).chars().count(), 60 + 3);
    }
}
