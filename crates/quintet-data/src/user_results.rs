//! The results of models user by user, as one Parquet table.
//!
//! One row a model and user: `model`, `user` (text), `warm` (true or false), `length` (UInt32),
//! then one Float64 column a metric, in the order of its key. Data frame libraries read it as it
//! is; the columns of metrics are those that a run measures.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, PrimitiveArray, RecordBatch, StringArray,
    UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::parquet_io::BATCH_ROWS;
use crate::{DataError, write_atomic};

/// The columns that are no metrics, in their order.
const KEYS: [(&str, DataType); 4] = [
    ("model", DataType::Utf8),
    ("user", DataType::Utf8),
    ("warm", DataType::Boolean),
    ("length", DataType::UInt32),
];

/// Who was measured, `[n_users]` each: the same for all models of a run.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredUsers<'a> {
    /// Their own ids.
    pub ids: &'a [&'a str],
    /// Whether they have an interaction in the training part.
    pub warm: &'a [bool],
    /// How many items their list has.
    pub lengths: &'a [u32],
}

/// One model's values, aligned with the metrics, each `[n_users]`.
#[derive(Debug, Clone)]
pub struct ModelValues<'a> {
    /// Its label.
    pub model: &'a str,
    /// One slice a metric.
    pub values: Vec<&'a [f64]>,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct UserResult {
    /// The label of the model.
    pub model: String,
    /// The user's own id.
    pub user: String,
    /// Whether the user has an interaction in the training part.
    pub warm: bool,
    /// How many items the user's list has.
    pub length: u32,
    /// One value a metric.
    pub values: Vec<f64>,
}

/// Rows of the table, with the keys of their metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct UserResults {
    /// The keys of the metrics, such as `"ndcg@10"`.
    pub metrics: Vec<String>,
    /// The rows, in the order of the file.
    pub rows: Vec<UserResult>,
}

/// Writes the table; a reader sees the old file or the new one, never a part.
///
/// # Errors
/// A file that cannot be written. The message has the path.
///
/// # Panics
/// Slices of different lengths, or another number of values than metrics.
pub fn write_user_results(
    path: &Path,
    metrics: &[&str],
    users: MeasuredUsers<'_>,
    models: &[ModelValues<'_>],
) -> Result<(), DataError> {
    let n = users.ids.len();
    assert_eq!((users.warm.len(), users.lengths.len()), (n, n), "one value a user");
    for model in models {
        assert_eq!(model.values.len(), metrics.len(), "{}: one slice a metric", model.model);
        assert!(model.values.iter().all(|v| v.len() == n), "{}: one value a user", model.model);
    }
    let parquet = |source| DataError::WriteParquet { path: path.to_owned(), source };
    let keys = KEYS.into_iter().map(|(name, kind)| Field::new(name, kind, false));
    let values = metrics.iter().map(|key| Field::new(*key, DataType::Float64, false));
    let schema = Arc::new(Schema::new(keys.chain(values).collect::<Vec<_>>()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("quintet ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    // Into memory first: most users share a few values, which takes a byte or two each.
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).map_err(parquet)?;
    for model in models {
        for start in (0..n).step_by(BATCH_ROWS) {
            let columns = columns(users, model, start..n.min(start + BATCH_ROWS));
            let batch =
                RecordBatch::try_new(schema.clone(), columns).map_err(|e| arrow(path, e))?;
            writer.write(&batch).map_err(parquet)?;
        }
    }
    writer.close().map_err(parquet)?;
    write_atomic(path, &bytes)
}

fn columns(
    users: MeasuredUsers<'_>,
    model: &ModelValues<'_>,
    range: std::ops::Range<usize>,
) -> Vec<ArrayRef> {
    let labels = StringArray::from_iter_values(range.clone().map(|_| model.model));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(labels),
        Arc::new(StringArray::from_iter_values(&users.ids[range.clone()])),
        Arc::new(BooleanArray::from(users.warm[range.clone()].to_vec())),
        Arc::new(UInt32Array::from_iter_values(users.lengths[range.clone()].iter().copied())),
    ];
    for values in &model.values {
        let values = values[range.clone()].iter().copied();
        columns.push(Arc::new(Float64Array::from_iter_values(values)));
    }
    columns
}

/// Reads the table, or the rows of one user, by the user's own id.
///
/// # Errors
/// A file that is not there, is not readable Parquet, or has other columns than
/// [`write_user_results`] gives it.
pub fn read_user_results(path: &Path, user: Option<&str>) -> Result<UserResults, DataError> {
    let parquet = |source| DataError::Parquet { path: path.to_owned(), source };
    let file = fs_err::File::open(path)?.into_file();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let metrics = metrics_of(path, builder.schema())?;
    let mut rows = Vec::new();
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(parquet)? {
        let batch = batch.map_err(|e| arrow(path, e))?;
        let cells = Cells::of(path, &batch)?;
        let asked = |row: &usize| user.is_none_or(|id| cells.users.value(*row) == id);
        rows.extend((0..batch.num_rows()).filter(asked).map(|row| cells.row(row)));
    }
    Ok(UserResults { metrics, rows })
}

/// The keys of the metrics, after a check of all columns.
fn metrics_of(path: &Path, schema: &Schema) -> Result<Vec<String>, DataError> {
    let wrong = |name: &str, expected: &'static str, found: String| DataError::ColumnType {
        path: path.to_owned(),
        column: name.to_owned(),
        expected,
        found,
    };
    for (place, (name, kind)) in KEYS.iter().enumerate() {
        let found = schema.fields().get(place);
        if found.is_none_or(|f| f.name() != *name || f.data_type() != kind || f.is_nullable()) {
            let found = found.map_or("nothing".to_owned(), |f| format!("{f}"));
            return Err(wrong(name, "model, user, warm and length as first columns", found));
        }
    }
    let metrics = schema.fields().iter().skip(KEYS.len());
    metrics
        .map(|f| match f.data_type() {
            DataType::Float64 if !f.is_nullable() => Ok(f.name().clone()),
            other => Err(wrong(f.name(), "numbers (Float64)", other.to_string())),
        })
        .collect()
}

/// The typed columns of some rows.
struct Cells<'a> {
    models: &'a StringArray,
    users: &'a StringArray,
    warm: &'a BooleanArray,
    lengths: &'a UInt32Array,
    values: Vec<&'a Float64Array>,
}

impl<'a> Cells<'a> {
    fn of(path: &Path, batch: &'a RecordBatch) -> Result<Self, DataError> {
        Ok(Self {
            models: typed(path, batch, 0)?,
            users: typed(path, batch, 1)?,
            warm: typed(path, batch, 2)?,
            lengths: typed::<PrimitiveArray<UInt32Type>>(path, batch, 3)?,
            values: (KEYS.len()..batch.num_columns())
                .map(|at| typed::<PrimitiveArray<Float64Type>>(path, batch, at))
                .collect::<Result<_, _>>()?,
        })
    }

    fn row(&self, row: usize) -> UserResult {
        UserResult {
            model: self.models.value(row).to_owned(),
            user: self.users.value(row).to_owned(),
            warm: self.warm.value(row),
            length: self.lengths.value(row),
            values: self.values.iter().map(|column| column.value(row)).collect(),
        }
    }
}

fn typed<'a, T: 'static>(
    path: &Path,
    batch: &'a RecordBatch,
    at: usize,
) -> Result<&'a T, DataError> {
    let column = batch.column(at);
    column.as_any().downcast_ref().ok_or_else(|| {
        let found = column.data_type();
        arrow(path, ArrowError::SchemaError(format!("column {at}: unexpected type {found}")))
    })
}

fn arrow(path: &Path, source: ArrowError) -> DataError {
    DataError::Arrow { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) {
        let users = MeasuredUsers { ids: &["ann", "bob"], warm: &[true, false], lengths: &[20, 7] };
        let models = [
            ModelValues { model: "bpr", values: vec![&[0.5, 0.0], &[1.0, 0.25]] },
            ModelValues { model: "popularity", values: vec![&[0.0, 0.1], &[0.2, 0.3]] },
        ];
        write_user_results(path, &["ndcg@10", "recall@10"], users, &models).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back_whole_or_for_one_user() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("per_user.parquet");
        write(&path);
        let all = read_user_results(&path, None).unwrap();
        assert_eq!(all.metrics, ["ndcg@10", "recall@10"]);
        let row = |model: &str, user: &str, warm, length, values: [f64; 2]| UserResult {
            model: model.into(),
            user: user.into(),
            warm,
            length,
            values: values.to_vec(),
        };
        let bob = [
            row("bpr", "bob", false, 7, [0.0, 0.25]),
            row("popularity", "bob", false, 7, [0.1, 0.3]),
        ];
        assert_eq!(all.rows.len(), 4);
        assert_eq!(all.rows[0], row("bpr", "ann", true, 20, [0.5, 1.0]));
        assert_eq!(read_user_results(&path, Some("bob")).unwrap().rows, bob);
        assert!(read_user_results(&path, Some("eve")).unwrap().rows.is_empty());
    }

    #[test]
    fn a_damaged_file_and_one_with_other_columns_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("per_user.parquet");
        write(&path);
        let bytes = fs_err::read(&path).unwrap();
        fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read_user_results(&path, None).unwrap_err().to_string();
        assert!(error.contains("per_user.parquet: not a readable Parquet file"), "{error}");
        let other = root.path().join("other.parquet");
        let column = crate::parquet_io::required("id", DataType::Utf8);
        crate::parquet_io::write_table(&other, &[column], &["a"], |rows| {
            Ok(vec![Arc::new(StringArray::from_iter_values(rows)) as ArrayRef])
        })
        .unwrap();
        let error = read_user_results(&other, None).unwrap_err().to_string();
        assert!(error.contains("other.parquet") && error.contains("\"model\""), "{error}");
    }
}
