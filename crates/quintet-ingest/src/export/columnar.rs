//! Tables as Parquet and Arrow, some thousands of rows at a time.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::sheet::{Cell, Kind, Sheet};
use super::text::name_of;
use crate::IngestError;

/// Rows that are turned into columns at a time.
const ROWS: usize = 8192;

pub(super) fn parquet(sheet: &Sheet, path: &Path) -> Result<(), IngestError> {
    let file = name_of(path);
    let out = std::fs::File::create(path).map_err(IngestError::io(&file))?;
    let failed = |source: ParquetError| IngestError::Parquet { file: file.clone(), source };
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = schema(sheet);
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(failed)?;
    for start in (0..sheet.rows).step_by(ROWS) {
        let batch = batch(sheet, &schema, start).map_err(|e| failed(e.into()))?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

pub(super) fn arrow(sheet: &Sheet, path: &Path) -> Result<(), IngestError> {
    let file = name_of(path);
    let out = std::fs::File::create(path).map_err(IngestError::io(&file))?;
    let failed = |source: ArrowError| IngestError::Arrow { file: file.clone(), row: 0, source };
    let schema = schema(sheet);
    let mut writer = FileWriter::try_new_buffered(out, &schema).map_err(failed)?;
    for start in (0..sheet.rows).step_by(ROWS) {
        writer.write(&batch(sheet, &schema, start).map_err(failed)?).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn schema(sheet: &Sheet) -> Arc<Schema> {
    let field = |(name, kind): &(String, Kind)| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Float => DataType::Float32,
            Kind::Int => DataType::Int64,
        };
        Field::new(name, data_type, true)
    };
    Arc::new(Schema::new(sheet.columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(sheet: &Sheet, schema: &Arc<Schema>, start: usize) -> Result<RecordBatch, ArrowError> {
    let end = sheet.rows.min(start + ROWS);
    let array = |column: usize| -> ArrayRef {
        let cells = (start..end).map(|row| (sheet.cell)(row, column));
        match sheet.columns[column].1 {
            Kind::Text => Arc::new(cells.map(Cell::text).collect::<StringArray>()),
            Kind::Float => Arc::new(
                cells
                    .map(|cell| if let Cell::Float(value) = cell { Some(value) } else { None })
                    .collect::<Float32Array>(),
            ),
            Kind::Int => Arc::new(
                cells
                    .map(|cell| if let Cell::Int(value) = cell { Some(value) } else { None })
                    .collect::<Int64Array>(),
            ),
        }
    };
    RecordBatch::try_new(schema.clone(), (0..sheet.columns.len()).map(array).collect())
}
