//! Tables of any format as rows of text cells, each with the line it comes from.
//!
//! A reader hands out the columns that were asked for, in the order they were asked for. A row
//! that cannot be read is one flaw with a line; the rows after it are still read.

mod block;
mod delimited;
mod jsonl;
mod lines;
mod parquet_rows;
mod split;

pub(crate) use block::{Block, BlockLayout, BlockParser, NEW, ODD, RawBlock};

use std::io::BufReader;
use std::path::Path;

use crate::IngestError;
use crate::config::{Encoding, TableFile, TableFormat, TimeUnit, config};
use crate::log::{FileId, Flaw, Log, Origin};
use crate::paths::Root;

/// The cells of one row.
#[derive(Debug, Default)]
pub(crate) struct Row {
    line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Row {
    fn start(&mut self, line: u64) {
        self.line = line;
        self.text.clear();
        self.ends.clear();
    }

    /// Ends a cell whose text was just appended.
    fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    /// The cell of the column that was asked for at `column`; empty where the row has none.
    pub(crate) fn cell(&self, column: usize) -> &str {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.text[start..self.ends[column]]
    }
}

/// What a reader found.
enum Step {
    /// A row is in the buffer.
    Row,
    /// There is a row, and it cannot be read.
    Bad(Flaw),
    /// There are no more rows.
    End,
}

trait RowReader {
    /// Reads the next row; sets the row's line in the case of [`Step::Bad`] too.
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError>;

    /// How many lines so far had nothing on them, those of blocks apart.
    fn blank_lines(&self) -> u64;

    /// How blocks are laid out, if the reader hands out any.
    fn block_layout(&self) -> Option<BlockLayout> {
        None
    }

    /// Reads many rows at a time; none when the next row has to be read on its own, or there is
    /// no more.
    fn next_block(&mut self) -> Result<Option<RawBlock>, IngestError> {
        Ok(None)
    }
}

/// How a delimited file is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) delimiter: String,
    pub(crate) header: bool,
    pub(crate) quote: bool,
    pub(crate) encoding: Encoding,
}

/// The format of a file with what is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Delimited(Layout),
    Jsonl,
    /// Time stamp columns are handed out as whole numbers of this unit.
    Parquet(TimeUnit),
}

/// A file and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSpec {
    pub(crate) file: String,
    pub(crate) role: &'static str,
    pub(crate) format: Format,
}

impl TableSpec {
    /// The specification that a configuration stands for.
    pub(crate) fn new<C>(
        role: &'static str,
        table: &TableFile<C>,
        unit: TimeUnit,
    ) -> Result<Self, IngestError> {
        let format = match table_format(&table.path, table.format)? {
            kind @ (TableFormat::Csv | TableFormat::Tsv) => {
                let csv = kind == TableFormat::Csv;
                let comma = if csv { "," } else { "\t" };
                let delimiter = table.delimiter.clone().unwrap_or_else(|| comma.to_owned());
                if delimiter.is_empty() || delimiter.contains(['"', '\n', '\r']) {
                    let key = format!("table {:?} delimiter", table.path);
                    let expected = "one or more characters other than quotes and line ends";
                    return Err(config(&key, expected, &format!("{delimiter:?}")));
                }
                Format::Delimited(Layout {
                    delimiter,
                    header: table.header.unwrap_or(true),
                    quote: table.quote.unwrap_or(csv),
                    encoding: table.encoding.unwrap_or_default(),
                })
            }
            kind => {
                let given = [
                    ("delimiter", table.delimiter.is_some()),
                    ("header", table.header.is_some()),
                    ("quote", table.quote.is_some()),
                    ("encoding", table.encoding.is_some()),
                ];
                if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                    let key = format!("table {:?} {name}", table.path);
                    return Err(config(
                        &key,
                        "this key for csv and tsv only",
                        &format!("{kind:?}"),
                    ));
                }
                if kind == TableFormat::Jsonl { Format::Jsonl } else { Format::Parquet(unit) }
            }
        };
        Ok(Self { file: table.path.clone(), role, format })
    }
}

/// The format that is named, or else the one that the extension stands for.
fn table_format(path: &str, named: Option<TableFormat>) -> Result<TableFormat, IngestError> {
    if let Some(format) = named {
        return Ok(format);
    }
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Ok(TableFormat::Csv),
        "tsv" | "tab" | "inter" => Ok(TableFormat::Tsv),
        "jsonl" | "ndjson" => Ok(TableFormat::Jsonl),
        "parquet" | "pq" => Ok(TableFormat::Parquet),
        _ => Err(config(
            &format!("table {path:?} format"),
            "csv, tsv, jsonl or parquet, by the extension or by `format`",
            &format!("the extension {extension:?}"),
        )),
    }
}

/// An open table. Reading it keeps the books.
pub(crate) struct Table {
    id: FileId,
    reader: Box<dyn RowReader>,
    row: Row,
}

impl Table {
    /// Opens a file and finds the columns.
    pub(crate) fn open(
        root: &Root,
        spec: &TableSpec,
        columns: &[&str],
        log: &mut Log,
    ) -> Result<Self, IngestError> {
        let path = root.resolve(&spec.file)?;
        if !path.is_file() {
            let found = std::io::Error::other("expected a file, found a folder or device");
            return Err(IngestError::Io { file: spec.file.clone(), source: found });
        }
        let id = log.open(spec.role, &spec.file, &path)?;
        let open = || std::fs::File::open(&path).map_err(IngestError::io(&spec.file));
        let file = &spec.file;
        let reader: Box<dyn RowReader> = match &spec.format {
            Format::Delimited(layout) => {
                let input = BufReader::with_capacity(1 << 16, open()?);
                Box::new(delimited::Delimited::open(file, input, layout, columns)?)
            }
            Format::Jsonl => {
                let sample = BufReader::new(open()?);
                let input = BufReader::with_capacity(1 << 16, open()?);
                Box::new(jsonl::Jsonl::open(file, sample, input, columns)?)
            }
            Format::Parquet(unit) => {
                Box::new(parquet_rows::ParquetRows::open(file, open()?, *unit, columns)?)
            }
        };
        Ok(Self { id, reader, row: Row::default() })
    }

    /// Reads up to the next good row; bad ones go into the report.
    pub(crate) fn next(&mut self, log: &mut Log) -> Result<bool, IngestError> {
        loop {
            match self.reader.next(&mut self.row)? {
                Step::Row => {
                    log.file(self.id).rows_in += 1;
                    return Ok(true);
                }
                Step::Bad(flaw) => {
                    log.file(self.id).rows_in += 1;
                    log.drop_row(self.origin(), None, flaw)?;
                }
                Step::End => {
                    log.file(self.id).blank_lines += self.reader.blank_lines();
                    if log.file(self.id).rows_in == 0 {
                        return Err(empty(log.name(self.id), "no row"));
                    }
                    return Ok(false);
                }
            }
        }
    }

    /// Reads many rows at a time, where the format allows it.
    pub(crate) fn next_block(&mut self) -> Result<Option<RawBlock>, IngestError> {
        self.reader.next_block()
    }

    /// How the blocks of [`Table::next_block`] are laid out, if there are any.
    pub(crate) fn block_layout(&self) -> Option<BlockLayout> {
        self.reader.block_layout()
    }

    /// Puts a row of a block into [`Table::row`], as [`Table::next`] would have.
    pub(crate) fn read_block_row(
        &mut self,
        raw: &RawBlock,
        layout: &BlockLayout,
        block: &Block,
        at: usize,
    ) -> Result<(), Flaw> {
        block::read_row(raw, layout, block, at, &mut self.row).map_or(Ok(()), Err)
    }

    /// Where this table is in the books.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// The row that [`Table::next`] read.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Where that row is.
    pub(crate) fn origin(&self) -> Origin {
        Origin { file: self.id, line: self.row.line }
    }
}

/// The error for a table without rows.
fn empty(file: &str, found: &'static str) -> IngestError {
    IngestError::Empty { file: file.to_owned(), expected: "a header line and rows", found }
}

/// Positions of the columns that are asked for.
fn find_columns(file: &str, known: &[String], asked: &[&str]) -> Result<Vec<usize>, IngestError> {
    asked
        .iter()
        .map(|name| {
            known.iter().position(|k| k == name).ok_or_else(|| IngestError::MissingColumn {
                file: file.to_owned(),
                column: (*name).to_owned(),
                found: known.to_vec(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ItemColumns;

    fn file(path: &str) -> TableFile<ItemColumns> {
        TableFile { path: path.into(), ..TableFile::default() }
    }

    #[test]
    fn the_extension_names_the_format_unless_it_is_named() {
        let spec = |f: &TableFile<ItemColumns>| TableSpec::new("items", f, TimeUnit::S);
        assert_eq!(spec(&file("a.JSONL")).unwrap().format, Format::Jsonl);
        let err = spec(&file("u.data")).unwrap_err().to_string();
        assert!(err.contains("u.data") && err.contains("csv, tsv, jsonl or parquet"), "{err}");
        let mut named = file("u.data");
        named.format = Some(TableFormat::Tsv);
        let Format::Delimited(layout) = spec(&named).unwrap().format else { panic!("not tsv") };
        assert_eq!((layout.delimiter.as_str(), layout.quote, layout.header), ("\t", false, true));
    }

    #[test]
    fn a_key_that_would_do_nothing_is_refused() {
        let mut table = file("a.parquet");
        table.quote = Some(true);
        let err = TableSpec::new("items", &table, TimeUnit::S).unwrap_err().to_string();
        assert!(err.contains("quote") && err.contains("csv and tsv only"), "{err}");
        let mut table = file("a.csv");
        table.delimiter = Some(String::new());
        assert!(TableSpec::new("items", &table, TimeUnit::S).is_err());
    }
}
