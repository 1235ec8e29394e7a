//! What stops an ingest. What does not stop it is a [`crate::Fault`] of the report.

use std::io;
use std::path::PathBuf;

use quintet_core::CoreError;
use quintet_data::DataError;
use thiserror::Error;

use crate::report::Fault;

/// The error of everything in this crate: it names the file, the line or the item, what was
/// expected and what was found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The configuration asks for something that cannot be done.
    #[error("[ingest] {key}: expected {expected}, found {found}")]
    Config {
        /// The key, such as `media.pattern`.
        key: String,
        /// What is allowed.
        expected: String,
        /// What came.
        found: String,
    },
    /// A path of the configuration is absolute or leads out of the data root.
    #[error("{path:?}: expected a path inside the data root, found {found}")]
    OutsideRoot {
        /// The path as it was given.
        path: String,
        /// In which way it leaves the root.
        found: &'static str,
    },
    /// A file or folder cannot be opened or read.
    #[error("{file}: {source}")]
    Io {
        /// The file, relative to the data root.
        file: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A table has no rows.
    #[error("{file} is empty: expected {expected}, found {found}")]
    Empty {
        /// The file.
        file: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The header line of a table cannot be read.
    #[error("{file}, line {line}: expected a header line of column names, found {found}")]
    Header {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        found: String,
    },
    /// A file ends or changes in a way that no row after it can be read: packed data that is cut
    /// off or damaged or too much, or a JSON document whose brackets do not fit.
    #[error("{file}, line {line}: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        file: String,
        /// The last line that was reached, counted from 1; 0 when there was none.
        line: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A table lacks a column.
    #[error("{file}: expected a column {column:?}, found the columns {}", list(found))]
    MissingColumn {
        /// The file.
        file: String,
        /// The column that was asked for.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column has a type that cannot be read as text or number.
    #[error("{file}, column {column:?}: expected text, numbers or time stamps, found {found}")]
    ColumnType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// A Parquet file is truncated, damaged or uses a codec that is not compiled in.
    #[error("{file}: expected a whole Parquet file, found: {source}")]
    Parquet {
        /// The file.
        file: String,
        /// What the reader said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The rows of a Parquet file cannot be decoded.
    #[error("{file}: expected readable Parquet rows after row {row}, found: {source}")]
    ParquetRows {
        /// The file.
        file: String,
        /// How many rows could be read.
        row: u64,
        /// What the reader said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// An Arrow file is truncated, damaged, or asks for more than it holds.
    #[error("{file}: expected whole Arrow data after row {row}, found: {source}")]
    Arrow {
        /// The file.
        file: String,
        /// How many rows could be read.
        row: u64,
        /// What the reader said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// A query cannot be planned or run, or a table of its cannot be read.
    #[error("{what}: {message}")]
    Sql {
        /// Which query or table of `[ingest.sql]`.
        what: String,
        /// What the engine said.
        message: String,
    },
    /// A folder is none of the known MovieLens forms.
    #[error(
        "{folder:?}: expected a MovieLens folder (u.data and u.item of 100k, ratings.dat and \
         movies.dat of 1M, or ratings.csv and movies.csv of latest), found {}",
        list(found)
    )]
    NotMovieLens {
        /// The folder.
        folder: String,
        /// What is in it.
        found: Vec<String>,
    },
    /// A file or folder has not the form that was named, or none that is known.
    #[error("{path:?}: expected {expected}, found {}", list(found))]
    Layout {
        /// The file or folder.
        path: String,
        /// What should be there.
        expected: String,
        /// The files or columns that are there.
        found: Vec<String>,
    },
    /// A dataset cannot be held by the format that it is exported to.
    #[error("export of {what}: expected {expected}, found {found}")]
    Export {
        /// The table or column.
        what: String,
        /// What the format can hold.
        expected: &'static str,
        /// What the dataset has.
        found: String,
    },
    /// With `strict = true` the first fault ends the run.
    #[error("{0} (strict = true stops at the first fault)")]
    Strict(Box<Fault>),
    /// With `duplicates = "error"` the first pair that occurs twice ends the run.
    #[error("{0} (duplicates = \"error\" stops at the first duplicate pair)")]
    Duplicate(Box<Fault>),
    /// Every interaction was reported and none is left.
    #[error(
        "no interaction is left: {rows} rows were read and {rows} reported{}",
        first_fault(first)
    )]
    NothingLeft {
        /// How many rows there were.
        rows: u64,
        /// The first fault of an interactions file.
        first: Option<Box<Fault>>,
    },
    /// The books do not balance. This is a bug of this crate, found before it can lose a row.
    #[error(
        "{what}: {rows_in} in, but {kept} kept + {reported} reported; \
         this is a bug in quintet-ingest"
    )]
    Accounting {
        /// The file or media folder.
        what: String,
        /// How many came.
        rows_in: u64,
        /// How many are in the dataset.
        kept: u64,
        /// How many are in the report.
        reported: u64,
    },
    /// The report cannot be turned into JSON.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file that was to be written.
        path: PathBuf,
        /// What the writer said.
        #[source]
        source: serde_json::Error,
    },
    /// The dataset is not valid or a file of it cannot be written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Ids or indices do not fit together.
    #[error(transparent)]
    Core(#[from] CoreError),
}

impl IngestError {
    /// Wraps an I/O error with the file's name as the user wrote it.
    pub(crate) fn io(file: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Io { file, source }
    }
}

/// A list for an error message, cut short when it or a name of it is long.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 30;
    const LONGEST: usize = 60;
    fn short(name: &str) -> String {
        match name.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.to_owned(),
        }
    }
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN).map(|name| short(name)).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn first_fault(fault: &Option<Box<Fault>>) -> String {
    fault.as_ref().map(|f| format!("; the first: {f}")).unwrap_or_default()
}
