//! Columns of Arrow as rows of text cells: what Parquet and Arrow files have in common.
//!
//! The line of a row is its number in the file, counted from 1.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit as ArrowUnit};

use super::block::{BlockLayout, RawBlock};
use super::{Row, RowReader, Step, find_columns};
use crate::IngestError;
use crate::config::TimeUnit;

/// What is said when a decoder panics on a stranger's file.
pub(crate) const GAVE_UP: &str = "data on which the decoder gave up";

/// Batches from a decoder.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// How an error of a decoder becomes one of the file, after so many rows.
pub(crate) type Failed = fn(file: String, row: u64, source: ArrowError) -> IngestError;

/// Runs a decoder; none when it panics. A decoder that panics costs the file, not the process.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// The columns that are asked for: their positions in the file, and among those that are read.
pub(crate) struct Asked {
    /// The columns to read, in the order of the file.
    pub(crate) read: Vec<usize>,
    /// For each column that is asked for, its place in `read`.
    places: Vec<usize>,
}

impl Asked {
    /// Finds the columns and checks their types.
    pub(crate) fn find(file: &str, schema: &Schema, columns: &[&str]) -> Result<Self, IngestError> {
        let known: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let asked = find_columns(file, &known, columns)?;
        for &column in &asked {
            let field = schema.field(column);
            if !readable(field.data_type()) {
                return Err(IngestError::ColumnType {
                    file: file.to_owned(),
                    column: field.name().clone(),
                    found: field.data_type().to_string(),
                });
            }
        }
        // The projection keeps the order of the file, whatever the order of the asking.
        let mut read = asked.clone();
        read.sort_unstable();
        read.dedup();
        let places = asked.iter().map(|c| read.partition_point(|other| other < c)).collect();
        Ok(Self { read, places })
    }
}

/// Reads batches row by row.
pub(crate) struct BatchRows {
    file: String,
    batches: Batches,
    failed: Failed,
    unit: TimeUnit,
    columns: Vec<usize>,
    batch: Option<RecordBatch>,
    next_in_batch: usize,
    number: u64,
    promised: Option<u64>,
}

impl BatchRows {
    pub(crate) fn new(
        file: &str,
        batches: Batches,
        asked: Asked,
        unit: TimeUnit,
        failed: Failed,
    ) -> Self {
        Self {
            file: file.to_owned(),
            batches,
            failed,
            unit,
            columns: asked.places,
            batch: None,
            next_in_batch: 0,
            number: 0,
            promised: None,
        }
    }

    /// With the number of rows that the file promises.
    pub(crate) fn promising(self, rows: u64) -> Self {
        Self { promised: Some(rows), ..self }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, IngestError> {
        let gave_up = || Some(Err(ArrowError::ExternalError(GAVE_UP.into())));
        let batch = guarded(|| self.batches.next()).unwrap_or_else(gave_up);
        batch.transpose().map_err(|e| (self.failed)(self.file.clone(), self.number, e))
    }
}

impl RowReader for BatchRows {
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError> {
        while self.batch.as_ref().is_none_or(|b| self.next_in_batch >= b.num_rows()) {
            match self.next_batch()? {
                Some(batch) => self.batch = Some(batch),
                None => return Ok(Step::End),
            }
            self.next_in_batch = 0;
        }
        self.number += 1;
        row.start(self.number);
        if let Some(batch) = &self.batch {
            write_cells(batch, &self.columns, self.next_in_batch, self.unit, row);
        }
        self.next_in_batch += 1;
        Ok(Step::Row)
    }

    fn blank_lines(&self) -> u64 {
        0
    }

    fn promised_rows(&self) -> Option<u64> {
        self.promised
    }

    fn block_layout(&self) -> Option<BlockLayout> {
        Some(BlockLayout::Batch { columns: self.columns.clone(), unit: self.unit })
    }

    fn next_block(&mut self) -> Result<Option<RawBlock>, IngestError> {
        if self.batch.is_some() {
            return Ok(None);
        }
        let Some(rows) = self.next_batch()? else { return Ok(None) };
        let first_row = self.number + 1;
        self.number += rows.num_rows() as u64;
        Ok(Some(RawBlock::Batch { first_row, rows }))
    }
}

/// Puts the asked cells of one row of a batch into a row.
pub(crate) fn write_cells(
    batch: &RecordBatch,
    columns: &[usize],
    at: usize,
    unit: TimeUnit,
    row: &mut Row,
) {
    for &column in columns {
        write_cell(batch.column(column), at, unit, &mut row.text);
        row.end();
    }
}

fn readable(kind: &DataType) -> bool {
    use DataType as D;
    match kind {
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Boolean | D::Null | D::Timestamp(..) => true,
        D::Dictionary(_, value) => readable(value),
        D::List(field) => matches!(field.data_type(), D::Utf8 | D::LargeUtf8 | D::Utf8View),
        kind => kind.is_integer() || matches!(kind, D::Float32 | D::Float64),
    }
}

/// One value as text; nothing for null. Types that are not [`readable`] do not come here.
fn write_cell(column: &dyn Array, i: usize, unit: TimeUnit, out: &mut String) {
    use DataType as D;
    if column.is_null(i) {
        return;
    }
    macro_rules! number {
        ($kind:ty) => {{
            let _ = write!(out, "{}", column.as_primitive::<$kind>().value(i));
        }};
    }
    match column.data_type() {
        D::Utf8 => out.push_str(column.as_string::<i32>().value(i)),
        D::LargeUtf8 => out.push_str(column.as_string::<i64>().value(i)),
        D::Utf8View => out.push_str(column.as_string_view().value(i)),
        D::Boolean => out.push_str(if column.as_boolean().value(i) { "true" } else { "false" }),
        D::Int8 => number!(Int8Type),
        D::Int16 => number!(Int16Type),
        D::Int32 => number!(Int32Type),
        D::Int64 => number!(Int64Type),
        D::UInt8 => number!(UInt8Type),
        D::UInt16 => number!(UInt16Type),
        D::UInt32 => number!(UInt32Type),
        D::UInt64 => number!(UInt64Type),
        D::Float32 => number!(Float32Type),
        D::Float64 => number!(Float64Type),
        D::Timestamp(stamp, _) => {
            let _ = write!(out, "{}", in_unit(time(column, i, stamp), stamp, unit));
        }
        D::Dictionary(..) => {
            if let Some(dictionary) = column.as_any_dictionary_opt()
                && let Some(key) = key(dictionary.keys(), i)
            {
                write_cell(dictionary.values(), key, unit, out);
            }
        }
        D::List(_) => {
            let values = column.as_list::<i32>().value(i);
            for k in 0..values.len() {
                if k > 0 {
                    out.push_str(", ");
                }
                write_cell(&values, k, unit, out);
            }
        }
        _ => {}
    }
}

/// The position in a dictionary that a key stands for.
fn key(keys: &dyn Array, i: usize) -> Option<usize> {
    use DataType as D;
    macro_rules! key {
        ($kind:ty) => {
            usize::try_from(keys.as_primitive::<$kind>().value(i)).ok()
        };
    }
    match keys.data_type() {
        D::Int8 => key!(Int8Type),
        D::Int16 => key!(Int16Type),
        D::Int32 => key!(Int32Type),
        D::Int64 => key!(Int64Type),
        D::UInt8 => key!(UInt8Type),
        D::UInt16 => key!(UInt16Type),
        D::UInt32 => key!(UInt32Type),
        D::UInt64 => key!(UInt64Type),
        _ => None,
    }
}

fn time(column: &dyn Array, i: usize, stamp: &ArrowUnit) -> i64 {
    match stamp {
        ArrowUnit::Second => column.as_primitive::<TimestampSecondType>().value(i),
        ArrowUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().value(i),
        ArrowUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().value(i),
        ArrowUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().value(i),
    }
}

/// A time of a typed column as the whole number that the configured unit expects.
fn in_unit(time: i64, stamp: &ArrowUnit, unit: TimeUnit) -> i64 {
    let per_second = match stamp {
        ArrowUnit::Second => 1,
        ArrowUnit::Millisecond => 1_000,
        ArrowUnit::Microsecond => 1_000_000,
        ArrowUnit::Nanosecond => 1_000_000_000,
    };
    let seconds = time.div_euclid(per_second);
    if unit == TimeUnit::Ms { seconds.saturating_mul(1_000) } else { seconds }
}
