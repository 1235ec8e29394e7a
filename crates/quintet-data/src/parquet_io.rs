//! Parquet tables in and out, with errors that name file, column, row and type.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::DataError;

/// Rows that are turned into columns at a time: bounds the memory beside the data itself.
pub(crate) const BATCH_ROWS: usize = 8192;

/// One column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
}

/// A column where every row has a value.
pub(crate) fn required(name: &'static str, data_type: DataType) -> Column {
    Column { name, data_type, nullable: false }
}

/// A column where a row may have no value.
pub(crate) fn optional(name: &'static str, data_type: DataType) -> Column {
    Column { name, data_type, nullable: true }
}

/// Writes rows as a Parquet file; `to_columns` turns a slice of rows into one array a column.
pub(crate) fn write_table<T>(
    path: &Path,
    columns: &[Column],
    rows: &[T],
    to_columns: impl Fn(&[T]) -> Result<Vec<ArrayRef>, DataError>,
) -> Result<(), DataError> {
    write_ranges(path, columns, rows.len(), |range| to_columns(&rows[range]))
}

/// Writes a table that is no slice; `to_columns` turns a range of rows into one array a column.
pub(crate) fn write_ranges(
    path: &Path,
    columns: &[Column],
    n_rows: usize,
    to_columns: impl Fn(Range<usize>) -> Result<Vec<ArrayRef>, DataError>,
) -> Result<(), DataError> {
    let parquet = |source| DataError::WriteParquet { path: path.to_owned(), source };
    let fields: Vec<Field> =
        columns.iter().map(|c| Field::new(c.name, c.data_type.clone(), c.nullable)).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("quintet ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let file = fs_err::File::create(path)?.into_file();
    let mut writer =
        ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(parquet)?;
    for start in (0..n_rows).step_by(BATCH_ROWS) {
        let range = start..n_rows.min(start + BATCH_ROWS);
        let batch = RecordBatch::try_new(schema.clone(), to_columns(range)?)
            .map_err(|source| arrow(path, source))?;
        writer.write(&batch).map_err(parquet)?;
    }
    writer.close().map_err(parquet)?;
    Ok(())
}

/// Reads a Parquet file batch by batch.
pub(crate) struct TableReader {
    path: PathBuf,
    columns: Vec<Column>,
    batches: ParquetRecordBatchReader,
    next_row: usize,
    n_rows: usize,
}

impl TableReader {
    /// Opens a file and checks that it has the columns, with their types. Further columns are
    /// not read.
    ///
    /// # Errors
    /// A file that is not Parquet, a missing column, a column of another type.
    pub(crate) fn open(path: &Path, columns: &[Column]) -> Result<Self, DataError> {
        let parquet = |source| DataError::Parquet { path: path.to_owned(), source };
        let file = fs_err::File::open(path)?.into_file();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
        let schema = builder.schema().clone();
        let mut roots = Vec::with_capacity(columns.len());
        for column in columns {
            let Some((position, field)) = schema.column_with_name(column.name) else {
                return Err(missing_column(path, column.name, &schema));
            };
            if field.data_type() != &column.data_type {
                return Err(wrong_type(path, column.name, &column.data_type, field.data_type()));
            }
            roots.push(position);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let n_rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batches =
            builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(parquet)?;
        Ok(Self { path: path.to_owned(), columns: columns.to_vec(), batches, next_row: 0, n_rows })
    }

    /// How many rows the file says it has.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The next rows, or none at the end.
    ///
    /// # Errors
    /// Broken pages, or a row without a value in a required column.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, DataError> {
        let Some(rows) = self.batches.next() else {
            return Ok(None);
        };
        let rows = rows.map_err(|source| arrow(&self.path, source))?;
        let batch = Batch { path: self.path.clone(), first_row: self.next_row, rows };
        self.next_row += batch.len();
        for column in self.columns.iter().filter(|c| !c.nullable) {
            let values = batch.raw(column.name)?;
            if let Some(row) = (0..values.len()).find(|&row| values.is_null(row)) {
                return Err(batch.cell(column.name, row, "a value", "none"));
            }
        }
        Ok(Some(batch))
    }
}

/// Some rows of a table.
pub(crate) struct Batch {
    path: PathBuf,
    first_row: usize,
    rows: RecordBatch,
}

impl Batch {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// A text column.
    pub(crate) fn text(&self, name: &'static str) -> Result<&StringArray, DataError> {
        self.typed(name, &DataType::Utf8)
    }

    /// A column as the array type that goes with `data_type`.
    pub(crate) fn typed<A: Array + 'static>(
        &self,
        name: &'static str,
        data_type: &DataType,
    ) -> Result<&A, DataError> {
        let raw = self.raw(name)?;
        raw.as_any()
            .downcast_ref::<A>()
            .ok_or_else(|| wrong_type(&self.path, name, data_type, raw.data_type()))
    }

    /// The error for one cell; `row` counts within this batch.
    pub(crate) fn cell(
        &self,
        column: &str,
        row: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> DataError {
        DataError::Cell {
            path: self.path.clone(),
            column: column.to_owned(),
            row: self.first_row + row,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The error for JSON that does not parse; `row` counts within this batch.
    pub(crate) fn json(&self, row: usize, source: serde_json::Error) -> DataError {
        DataError::Json { path: self.path.clone(), row: Some(self.first_row + row), source }
    }

    fn raw(&self, name: &str) -> Result<&ArrayRef, DataError> {
        self.rows
            .column_by_name(name)
            .ok_or_else(|| missing_column(&self.path, name, self.rows.schema_ref()))
    }
}

/// The value of a nullable column, if the row has one.
pub(crate) fn text_at(column: &StringArray, row: usize) -> Option<String> {
    column.is_valid(row).then(|| column.value(row).to_owned())
}

fn arrow(path: &Path, source: ArrowError) -> DataError {
    DataError::Arrow { path: path.to_owned(), source }
}

fn missing_column(path: &Path, name: &str, schema: &Schema) -> DataError {
    let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    DataError::MissingColumn {
        path: path.to_owned(),
        column: name.to_owned(),
        known: known.join(", "),
    }
}

fn wrong_type(path: &Path, name: &str, expected: &DataType, found: &DataType) -> DataError {
    DataError::ColumnType {
        path: path.to_owned(),
        column: name.to_owned(),
        expected: type_name(expected),
        found: found.to_string(),
    }
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 => "text (Utf8)",
        DataType::Float32 => "numbers (Float32)",
        DataType::Int64 => "whole numbers (Int64)",
        DataType::UInt32 => "whole numbers (UInt32)",
        DataType::UInt64 => "whole numbers (UInt64)",
        _ => "another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_names(path: &Path) {
        let rows = ["a".to_owned(), "b".to_owned()];
        write_table(path, &[required("id", DataType::Utf8)], &rows, |rows| {
            Ok(vec![Arc::new(StringArray::from_iter_values(rows)) as ArrayRef])
        })
        .unwrap();
    }

    #[test]
    fn a_missing_column_and_a_wrong_type_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("t.parquet");
        write_names(&path);
        let err = TableReader::open(&path, &[required("item", DataType::Utf8)]).err().unwrap();
        let text = err.to_string();
        assert!(text.contains("t.parquet: no column \"item\"; it has: id"), "{text}");
        let err = TableReader::open(&path, &[required("id", DataType::Float32)]).err().unwrap();
        let text = err.to_string();
        assert!(text.contains("column \"id\": expected numbers (Float32), found Utf8"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_parquet_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("t.parquet");
        for bytes in [&b""[..], b"PAR1", b"id,title\n1,x\n"] {
            std::fs::write(&path, bytes).unwrap();
            let err = TableReader::open(&path, &[]).err().unwrap();
            assert!(matches!(err, DataError::Parquet { .. }), "{err}");
        }
    }

    #[test]
    fn a_row_without_a_required_value_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("t.parquet");
        write_table(&path, &[optional("id", DataType::Utf8)], &[Some("a"), None], |rows| {
            Ok(vec![Arc::new(StringArray::from(rows.to_vec())) as ArrayRef])
        })
        .unwrap();
        let mut table = TableReader::open(&path, &[required("id", DataType::Utf8)]).unwrap();
        let err = table.next_batch().err().unwrap().to_string();
        assert!(err.contains("column \"id\", row 1: expected a value, found none"), "{err}");
    }
}
