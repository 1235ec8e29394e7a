//! The entry of the fuzz targets in `fuzz/`; no part of the interface.

use std::io::Cursor;
use std::sync::Arc;

use crate::IngestError;
use crate::config::Encoding;
use crate::table::{Format, Layout, read_bytes};

/// The columns that are asked for; the seeds of the corpus have them.
const COLUMNS: &[&str] = &["u", "i"];

/// Reads a text table. The first byte says the format, the second how a delimited file is laid
/// out, the rest is the file. Gives the rows that were read and those that are faults.
///
/// # Errors
/// What the reader says about the file.
pub fn text_table(data: &[u8]) -> Result<(u64, u64), IngestError> {
    let [kind, options, file @ ..] = data else { return Ok((0, 0)) };
    let set = |bit: u8| options & (1 << bit) != 0;
    let layout = |delimiter: &str| Layout {
        delimiter: if set(0) { "::".to_owned() } else { delimiter.to_owned() },
        header: !set(1),
        quote: !set(2),
        encoding: if set(3) { Encoding::Latin1 } else { Encoding::Utf8 },
    };
    let format = match kind % 4 {
        0 => Format::Delimited(layout(",")),
        1 => Format::Delimited(layout("\t")),
        2 => Format::Jsonl,
        _ => Format::Json,
    };
    let numbers = matches!(format, Format::Delimited(_)) && set(1);
    let columns = if numbers { &["1", "2"] } else { COLUMNS };
    let bytes: Arc<[u8]> = file.into();
    read_bytes(&format, &|| Cursor::new(Arc::clone(&bytes)), columns)
}
