//! Parquet, by way of the decoder of the `parquet` crate.
//!
//! The decoder checks sizes against the file but for one, which is looked at here first, and it
//! may panic on damaged data, which costs the file and not the process.

use std::fs::File;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::batches::{Asked, BatchRows, GAVE_UP, guarded};
use super::parquet_check;
use crate::IngestError;
use crate::config::TimeUnit;

/// Rows that are decoded together.
const BATCH: usize = 1 << 16;

/// Opens a Parquet file.
pub(crate) fn open(
    file: &str,
    mut input: File,
    unit: TimeUnit,
    columns: &[&str],
) -> Result<BatchRows, IngestError> {
    let parquet = |source| IngestError::Parquet { file: file.to_owned(), source };
    let gave_up = || parquet(ParquetError::General(GAVE_UP.to_owned()));
    parquet_check::row_groups(&mut input).map_err(|text| parquet(ParquetError::General(text)))?;
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(input));
    let builder = builder.ok_or_else(gave_up)?.map_err(parquet)?;
    let asked = Asked::find(file, builder.schema(), columns)?;
    let promised = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let mask = ProjectionMask::roots(builder.parquet_schema(), asked.read.iter().copied());
    let reader = guarded(|| builder.with_projection(mask).with_batch_size(BATCH).build());
    let reader = reader.ok_or_else(gave_up)?.map_err(parquet)?;
    let failed = |file, row, source| IngestError::ParquetRows { file, row, source };
    Ok(BatchRows::new(file, Box::new(reader), asked, unit, failed).promising(promised))
}
