//! The validation report: what came in, what was kept, and one line for everything that was not.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use quintet_core::Modality;
use quintet_data::{ShapeReport, write_atomic};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::clean_text::TextReport;
use crate::media::{DuplicateReport, MediaCode};
use crate::report_html::{self, Chapters};
use crate::report_stats::DatasetStats;

/// How many faults of one code are listed one by one; the counts are always exact.
pub const LISTED_PER_CODE: usize = 1_000;

/// How much a fault costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A row or a media file is lost.
    Error,
    /// Something was merged or has no place; nothing of its own is lost.
    Warning,
    /// Something was done that the configuration asked for, or is worth a note only.
    Info,
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultCode {
    /// A line is not UTF-8.
    InvalidUtf8,
    /// A row has more or fewer fields than the header.
    RaggedRow,
    /// A line, or an object of a JSON document, is longer than 16 MiB.
    LineTooLong,
    /// A quoted field is not closed, or something follows its closing quote.
    BadQuote,
    /// A line, or an element of a JSON document, is not a JSON object.
    BadJson,
    /// A JSON value cannot be read as text or number.
    BadCell,
    /// An id has a NUL byte in it.
    NulInId,
    /// An id is empty.
    EmptyId,
    /// The kind of an event is empty.
    EmptyEvent,
    /// A value is not a number.
    BadNumber,
    /// A value is NaN or infinite.
    NotFinite,
    /// A time stamp is no time, lies before 1970 or after 2200.
    BadTimestamp,
    /// A time stamp lies outside `not_before` and `not_after`.
    TimeOutOfRange,
    /// The part of an event is none of train, valid and test.
    BadPart,
    /// A kind of event has no weight although `weights` are given.
    UnweightedEvent,
    /// The item of an interaction is not in the catalogue.
    UnknownItem,
    /// The user of an interaction is not in the users table.
    UnknownUser,
    /// An item id occurs a second time in the catalogue.
    DuplicateItem,
    /// A user id occurs a second time in the users table.
    DuplicateUser,
    /// An interaction repeats user, item, event and time stamp of another.
    DuplicateRow,
    /// An interaction repeats user, item and event of another at another time.
    DuplicatePair,
    /// A row of a join table names an item that is not in the catalogue.
    UnknownJoinId,
    /// An item was added because `unknown_items = "add"`.
    AddedItem,
    /// A user was added because `unknown_users = "add"`.
    AddedUser,
    /// A latitude or longitude is no number, or lies outside the globe.
    BadCoordinate,
    /// A place has other coordinates than in its first row, which stay.
    OtherCoordinate,
    /// A row describes an item without interactions, and only those with some are kept.
    UnusedItem,
    /// A file that belongs to the source and is not read.
    FileNotRead,
    /// A media file cannot be used.
    MediaError,
    /// A media file belongs to no item.
    MediaUnmatched,
    /// An item has a second file of the same modality.
    MediaDuplicate,
    /// An item names a media file that is not there.
    MediaAbsent,
    /// An item names further media files; the first one is used.
    MediaFurther,
    /// The extension of a media file is that of another kind.
    MediaExtension,
    /// Cleaning left nothing of an item's text, or too little.
    TextEmptied,
}

impl FaultCode {
    /// The name used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::RaggedRow => "ragged_row",
            Self::LineTooLong => "line_too_long",
            Self::BadQuote => "bad_quote",
            Self::BadJson => "bad_json",
            Self::BadCell => "bad_cell",
            Self::NulInId => "nul_in_id",
            Self::EmptyId => "empty_id",
            Self::EmptyEvent => "empty_event",
            Self::BadNumber => "bad_number",
            Self::NotFinite => "not_finite",
            Self::BadTimestamp => "bad_timestamp",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::BadPart => "bad_part",
            Self::UnweightedEvent => "unweighted_event",
            Self::UnknownItem => "unknown_item",
            Self::UnknownUser => "unknown_user",
            Self::DuplicateItem => "duplicate_item",
            Self::DuplicateUser => "duplicate_user",
            Self::DuplicateRow => "duplicate_row",
            Self::DuplicatePair => "duplicate_pair",
            Self::UnknownJoinId => "unknown_join_id",
            Self::AddedItem => "added_item",
            Self::AddedUser => "added_user",
            Self::BadCoordinate => "bad_coordinate",
            Self::OtherCoordinate => "other_coordinate",
            Self::UnusedItem => "unused_item",
            Self::FileNotRead => "file_not_read",
            Self::MediaError => "media_error",
            Self::MediaUnmatched => "media_unmatched",
            Self::MediaDuplicate => "media_duplicate",
            Self::MediaAbsent => "media_absent",
            Self::MediaFurther => "media_further",
            Self::MediaExtension => "media_extension",
            Self::TextEmptied => "text_emptied",
        }
    }

    /// How much a fault of this code costs.
    pub fn severity(self) -> Severity {
        match self {
            Self::AddedItem
            | Self::AddedUser
            | Self::OtherCoordinate
            | Self::UnusedItem
            | Self::FileNotRead
            | Self::MediaFurther
            | Self::MediaExtension
            | Self::TextEmptied => Severity::Info,
            Self::DuplicateRow
            | Self::DuplicatePair
            | Self::MediaUnmatched
            | Self::MediaDuplicate
            | Self::MediaAbsent => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// How much it costs.
    pub severity: Severity,
    /// What kind it is.
    pub code: FaultCode,
    /// The file, relative to the data root.
    pub file: String,
    /// The line of a text file or the row of a Parquet or Arrow file, counted from 1.
    pub line: Option<u64>,
    /// The item's id, where there is one.
    pub item: Option<String>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(item) = &self.item {
            write!(f, ", item {item:?}")?;
        }
        write!(f, ": {}: expected {}, found {}", self.code, self.expected, self.found)
    }
}

/// The balance of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// The file, relative to the data root.
    pub file: String,
    /// What it is read as: `interactions`, `items`, `users`, `genres` or `join`.
    pub role: String,
    /// BLAKE3 of the file in hex.
    pub blake3: String,
    /// Rows that were read; a header line and blank lines are no rows.
    pub rows_in: u64,
    /// Rows that are in the dataset.
    pub rows_kept: u64,
    /// Rows that are not, each of them counted under one code.
    pub rows_reported: u64,
    /// Lines without anything on them.
    pub blank_lines: u64,
}

/// The balance of one table that queries made of others: `rows_in` is the sum of `left_out` and
/// `shape.rows_in`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DerivedReport {
    /// What queries call it.
    pub name: String,
    /// Rows that its query gave.
    pub rows_in: u64,
    /// Rows that are no event, by their reason.
    pub left_out: BTreeMap<FaultCode, u64>,
    /// Where the events went.
    pub shape: ShapeReport,
    /// How the events that were left are divided, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<DerivedSplit>,
}

/// How the events of a derived table are divided: `shape.rows_out` is the sum of the numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedSplit {
    /// Name of the strategy.
    pub strategy: String,
    /// What models learn from.
    pub train: u64,
    /// What choices look at.
    pub valid: u64,
    /// What the report looks at.
    pub test: u64,
    /// Validation events left out, because their user has none in train.
    pub dropped_valid: u64,
    /// Test events left out, because their user has none in train.
    pub dropped_test: u64,
}

impl DerivedReport {
    /// Whether every row is accounted for.
    pub fn adds_up(&self) -> bool {
        let parts = |s: &DerivedSplit| {
            s.train + s.valid + s.test + s.dropped_valid + s.dropped_test
                == self.shape.rows_out as u64
        };
        let events = self.rows_in - self.left_out.values().sum::<u64>();
        events == self.shape.rows_in as u64
            && self.shape.adds_up()
            && self.split.as_ref().is_none_or(parts)
    }

    fn summary(&self) -> String {
        let s = &self.shape;
        let mut line = format!(
            "{} (derived): {} rows in = {} events + {} reported; shaped to {} of {} users and {} \
             items",
            self.name,
            self.rows_in,
            s.rows_in,
            self.left_out.values().sum::<u64>(),
            s.rows_out,
            s.users_out,
            s.items_out
        );
        if let Some(p) = &self.split {
            let dropped = p.dropped_valid + p.dropped_test;
            line.push_str(&format!(
                "; {}: train {}, validation {}, test {}, left out {dropped}",
                p.strategy, p.train, p.valid, p.test
            ));
        }
        line
    }
}

/// The balance of one media folder: `ok + missing + error` is the number of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReport {
    /// What the files are.
    pub modality: Modality,
    /// The folder, relative to the data root.
    pub folder: String,
    /// Files and folders of frames that were found; with `column`, paths that were named, less
    /// first ones that are not there.
    pub found: u64,
    /// Items with a usable file.
    pub ok: u64,
    /// Items without a file.
    pub missing: u64,
    /// Items with a file that cannot be used.
    pub error: u64,
    /// Files that belong to no item.
    pub unmatched: u64,
    /// Second and further files of an item.
    pub duplicate: u64,
    /// The unusable files by their reason; their sum is `error`.
    #[serde(default)]
    pub errors: BTreeMap<MediaCode, u64>,
}

/// Everything an ingest has to say about its sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestReport {
    /// What a person calls the dataset.
    pub name: String,
    /// Users in the dataset.
    pub users: usize,
    /// Items in the dataset.
    pub items: usize,
    /// Events in the dataset.
    pub events: usize,
    /// Items that have text.
    pub items_with_text: usize,
    /// The balance of every table.
    pub files: Vec<FileReport>,
    /// The balance of every table that queries made of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<DerivedReport>,
    /// The balance of every media folder.
    pub media: Vec<MediaReport>,
    /// What cleaning did to the items' texts, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextReport>,
    /// Items that show the same.
    #[serde(default)]
    pub duplicates: DuplicateReport,
    /// What the dataset looks like; all zero in reports of before.
    #[serde(default)]
    pub stats: DatasetStats,
    /// How many faults of each code there are, exact.
    pub counts: BTreeMap<FaultCode, usize>,
    /// The faults, at most [`LISTED_PER_CODE`] of each code, in the order they were met.
    pub faults: Vec<Fault>,
}

impl IngestReport {
    /// How many faults of a code there are.
    pub fn count(&self, code: FaultCode) -> usize {
        self.counts.get(&code).copied().unwrap_or(0)
    }

    /// How many faults of a severity there are.
    pub fn total(&self, severity: Severity) -> usize {
        self.counts.iter().filter(|(c, _)| c.severity() == severity).map(|(_, n)| n).sum()
    }

    /// Whether nothing at all was reported.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// A few lines for a terminal: sizes, time span, sparsity, the 5-core, balances, and for each
    /// code its count and first fault.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{}: {} users, {} items ({} with text), {} events",
            self.name, self.users, self.items, self.items_with_text, self.events
        )];
        lines.extend(self.stats.summary());
        lines.extend(self.derived.iter().map(DerivedReport::summary));
        for f in &self.files {
            lines.push(format!(
                "{} ({}): {} rows in = {} kept + {} reported",
                f.file, f.role, f.rows_in, f.rows_kept, f.rows_reported
            ));
        }
        for m in &self.media {
            lines.push(format!(
                "{} ({}): {} ok, {} missing, {} unusable, {} without an item",
                m.folder, m.modality, m.ok, m.missing, m.error, m.unmatched
            ));
        }
        lines.extend(self.text.as_ref().map(TextReport::summary));
        lines.extend(self.duplicates.summary());
        for (code, count) in &self.counts {
            let first = self.faults.iter().find(|f| f.code == *code);
            let first = first.map(|f| format!("; first: {f}")).unwrap_or_default();
            lines.push(format!("{code}: {count}{first}"));
        }
        if self.is_clean() {
            lines.push("no faults".to_owned());
        }
        lines
    }

    /// Writes `report.json` and `report.html` into a directory that exists.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), IngestError> {
        let page = report_html::page(&Chapters { ingest: self, shape: None, split: None });
        write(dir, self, &page)
    }
}

/// Writes the numbers and the page of a report.
pub(crate) fn write(dir: &Path, numbers: &impl Serialize, page: &str) -> Result<(), IngestError> {
    let path = dir.join("report.json");
    let mut json = serde_json::to_vec_pretty(numbers)
        .map_err(|source| IngestError::Json { path: path.clone(), source })?;
    json.push(b'\n');
    write_atomic(&path, &json)?;
    write_atomic(&dir.join("report.html"), page.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_is_called() {
        for code in [
            FaultCode::NulInId,
            FaultCode::InvalidUtf8,
            FaultCode::MediaDuplicate,
            FaultCode::BadNumber,
        ] {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("{:?}", code.as_str()));
        }
    }

    #[test]
    fn a_fault_is_one_line_with_file_line_item_expected_and_found() {
        let fault = Fault {
            severity: Severity::Error,
            code: FaultCode::BadNumber,
            file: "r.csv".into(),
            line: Some(3),
            item: Some("7".into()),
            expected: "a number".into(),
            found: "\"x\"".into(),
        };
        assert_eq!(
            fault.to_string(),
            "r.csv, line 3, item \"7\": bad_number: expected a number, found \"x\""
        );
    }
}
