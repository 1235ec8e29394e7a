//! Arrow IPC, files and streams, by way of the decoder of the `arrow-ipc` crate.
//!
//! The two are told apart by their first bytes. The messages are walked through before the
//! decoder sees them ([`super::arrow_check`]); what it panics on costs the file, not the process.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::ArrowError;

use super::arrow_check;
use super::batches::{Asked, BatchRows, GAVE_UP, guarded};
use crate::IngestError;
use crate::config::TimeUnit;

/// The first bytes of a file that is no stream.
const MAGIC: &[u8] = b"ARROW1";
/// The first bytes of the format that Feather had before it became Arrow IPC.
const FEATHER_1: &[u8] = b"FEA1";

/// Opens an Arrow file or stream.
pub(crate) fn open(
    file: &str,
    mut input: File,
    unit: TimeUnit,
    columns: &[&str],
) -> Result<BatchRows, IngestError> {
    let failed = |file, row, source| IngestError::Arrow { file, row, source };
    let arrow = |source| failed(file.to_owned(), 0, source);
    let rewind = |input: &mut File| input.rewind().map_err(IngestError::io(file));
    let mut head = Vec::new();
    (&input).take(MAGIC.len() as u64).read_to_end(&mut head).map_err(IngestError::io(file))?;
    if head.starts_with(FEATHER_1) {
        return Err(arrow(ArrowError::IpcError("Feather version 1, which is not read".into())));
    }
    rewind(&mut input)?;
    if head == MAGIC {
        decode(|| arrow_check::file(&mut input)).map_err(arrow)?;
        rewind(&mut input)?;
        // The decoder is opened twice, because it is told at once which columns to read.
        let whole = decode(|| FileReader::try_new(&input, None)).map_err(arrow)?;
        let asked = Asked::find(file, &whole.schema(), columns)?;
        drop(whole);
        rewind(&mut input)?;
        let read = Some(asked.read.clone());
        let reader = decode(|| FileReader::try_new_buffered(input, read)).map_err(arrow)?;
        Ok(BatchRows::new(file, Box::new(reader), asked, unit, failed))
    } else {
        decode(|| arrow_check::stream(&mut input)).map_err(arrow)?;
        rewind(&mut input)?;
        let whole = decode(|| StreamReader::try_new(&input, None)).map_err(arrow)?;
        let asked = Asked::find(file, &whole.schema(), columns)?;
        drop(whole);
        rewind(&mut input)?;
        let read = Some(asked.read.clone());
        let input = BufReader::with_capacity(1 << 16, input);
        let reader = decode(|| StreamReader::try_new(input, read)).map_err(arrow)?;
        Ok(BatchRows::new(file, Box::new(reader), asked, unit, failed))
    }
}

/// Runs the decoder; what it panics on is an error.
fn decode<T>(run: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    guarded(run).unwrap_or_else(|| Err(ArrowError::IpcError(GAVE_UP.into())))
}
