//! What can be wrong with datasets, feature stores, splits and saved states.

use std::io;
use std::path::PathBuf;

use quintet_core::CoreError;
use thiserror::Error;

/// The error of everything in this crate: it names the file, row or item, what was expected and
/// what was found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused; the message carries the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Ids, indices or numbers do not fit together.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A file is not readable Parquet.
    #[error("{}: not a readable Parquet file: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader or writer said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file cannot be written, such as to a full disk.
    #[error("{}: the Parquet file cannot be written: {source}", path.display())]
    WriteParquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Rows could not be read from or turned into columns.
    #[error("{}: the rows cannot be read or written as columns: {source}", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What the column library said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// A TOML file does not parse or lacks a key.
    #[error("{}{}: {}", path.display(), at("line", *line), source.message())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A JSON text does not parse or lacks a key.
    #[error("{}{}: {source}", path.display(), at("row", *row))]
    Json {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0, for JSON inside a table.
        row: Option<usize>,
        /// Where and what.
        #[source]
        source: serde_json::Error,
    },
    /// A saved state is cut or damaged.
    #[error("{}: not a whole safetensors file: {source}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A table lacks a column.
    #[error("{}: no column {column:?}; it has: {known}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that is expected.
        column: String,
        /// The columns that are there.
        known: String,
    },
    /// A column has the wrong type.
    #[error("{}, column {column:?}: expected {expected}, found {found}", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The type that is expected.
        expected: &'static str,
        /// The type that is there.
        found: String,
    },
    /// One cell of a table is not what its column allows.
    #[error("{}, column {column:?}, row {row}: expected {expected}, found {found}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The row, counted from 0.
        row: usize,
        /// What the column allows.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file does not hold what it should.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Content {
        /// The file or directory.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A line of an id file is not what it should be.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    IdLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A number of an item's vector is NaN or infinite.
    #[error(
        "{}: row {row} (item {item:?}), column {column} is {value}; only finite numbers are \
         allowed",
        path.display()
    )]
    FeatureValue {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: usize,
        /// Id of the item.
        item: String,
        /// The column, counted from 0.
        column: usize,
        /// The number, as 32 bits hold it.
        value: f32,
    },
    /// An item's vector came twice.
    #[error("{}: the row of item {item:?} was written already; an item has one vector", path.display())]
    RowTwice {
        /// The file.
        path: PathBuf,
        /// Id of the item.
        item: String,
    },
    /// A directory holds something that would be lost.
    #[error("{}: not replaced, because it is not empty and holds no {marker}", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// The file that would mark it as replaceable.
        marker: String,
    },
    /// A number that must be finite is not.
    #[error("{what} {index}: {field} is {value}; only finite numbers are allowed")]
    NotFinite {
        /// What has the field, such as `event`.
        what: &'static str,
        /// Its position.
        index: usize,
        /// The field.
        field: &'static str,
        /// The number.
        value: f32,
    },
    /// A setting is out of its range.
    #[error("{key} is {found}; expected {expected}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What is allowed.
        expected: String,
        /// What came.
        found: String,
    },
    /// A split by time met events without a time.
    #[error(
        "split {strategy:?} needs a timestamp for every event; {missing} of {total} have none \
         (the split \"random\" needs no timestamps)"
    )]
    NoTimestamps {
        /// The split.
        strategy: &'static str,
        /// How many events have none.
        missing: usize,
        /// How many events there are.
        total: usize,
    },
    /// Something that goes by time met events without a time.
    #[error("{what} needs a timestamp for every event; {missing} of {total} have none")]
    NoTimes {
        /// The setting or the step.
        what: &'static str,
        /// How many events have none.
        missing: usize,
        /// How many events there are.
        total: usize,
    },
    /// A predefined split met events that the source put into no part.
    #[error(
        "split \"predefined\" needs a part for every event; {missing} of {total} have none \
         (name the column with `part` under the interactions' columns)"
    )]
    NoParts {
        /// How many events have none.
        missing: usize,
        /// How many events there are.
        total: usize,
    },
    /// A split leaves nothing to train on.
    #[error("split {strategy:?} leaves no training data: {why}")]
    EmptyTrain {
        /// The split.
        strategy: &'static str,
        /// How it came about.
        why: String,
    },
}

/// A place within a file, where it is known.
fn at(what: &str, place: Option<usize>) -> String {
    place.map(|p| format!(", {what} {p}")).unwrap_or_default()
}
