//! Tables as text: CSV, TSV, JSON Lines and JSON, row by row.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use fs_err::File;

use super::sheet::{Cell, Sheet};
use crate::IngestError;

/// Bytes that are written at a time.
const BUFFER: usize = 1 << 16;
/// 2^64: numbers of JSON beyond it are written as text.
const TWO_TO_64: f32 = 18_446_744_073_709_551_616.0;

/// The name of a file for an error.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Writes a file as a whole by way of a buffer.
pub(super) fn with_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), IngestError> {
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(IngestError::io(&name_of(path)))
}

/// CSV and its relatives after RFC 4180, quoted where it has to be.
pub(super) fn delimited(sheet: &Sheet, path: &Path, delimiter: u8) -> Result<(), IngestError> {
    with_file(path, |out| {
        let mut out = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
        out.write_record(sheet.columns.iter().map(|(name, _)| name)).map_err(io::Error::other)?;
        let mut scratch = String::new();
        for row in 0..sheet.rows {
            for column in 0..sheet.columns.len() {
                (sheet.cell)(row, column).write(&mut scratch);
                out.write_field(&scratch).map_err(io::Error::other)?;
            }
            out.write_record(None::<&[u8]>).map_err(io::Error::other)?;
        }
        out.flush()
    })
}

/// JSON objects, a line each; in brackets if they are one document.
pub(super) fn json(sheet: &Sheet, path: &Path, document: bool) -> Result<(), IngestError> {
    with_file(path, |out| {
        if document {
            out.write_all(b"[\n")?;
        }
        let names: Vec<String> = sheet
            .columns
            .iter()
            .map(|(name, _)| serde_json::to_string(name))
            .collect::<Result<_, _>>()?;
        for row in 0..sheet.rows {
            if row > 0 {
                out.write_all(if document { b",\n" } else { b"\n" })?;
            }
            for (column, name) in names.iter().enumerate() {
                out.write_all(if column == 0 { b"{" } else { b"," })?;
                out.write_all(name.as_bytes())?;
                out.write_all(b":")?;
                match (sheet.cell)(row, column) {
                    // A key that no row had would be a missing column.
                    Cell::None => out.write_all(b"null")?,
                    Cell::Text(text) => serde_json::to_writer(&mut *out, text)?,
                    // Readers that keep whole numbers of 64 bits refuse larger ones, but not text.
                    Cell::Float(value) if value.abs() >= TWO_TO_64 => write!(out, "\"{value}\"")?,
                    Cell::Float(value) => serde_json::to_writer(&mut *out, &value)?,
                    Cell::Int(value) => serde_json::to_writer(&mut *out, &value)?,
                }
            }
            out.write_all(b"}")?;
        }
        out.write_all(if document { b"\n]\n" } else { b"\n" })
    })
}
