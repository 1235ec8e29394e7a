//! Tables of any format as rows of text cells, each with the line it comes from.
//!
//! A reader hands out the columns that were asked for, in the order they were asked for. A row
//! that cannot be read is one flaw with a line; the rows after it are still read.

mod arrow_check;
mod arrow_rows;
mod batches;
mod block;
mod cells;
mod delimited;
mod json;
mod json_split;
mod jsonl;
mod lines;
mod parquet_check;
mod parquet_rows;
mod python;
mod source;
mod split;

use std::fs::File;
use std::io::Read;
use std::path::Path;

#[cfg(feature = "sql")]
pub(crate) use batches::{Asked, BatchRows, Batches};
pub(crate) use lines::{Line, Lines, too_long};
pub(crate) use source::open as open_source;

pub(crate) use block::{Block, BlockLayout, BlockParser, NEW, ODD, RawBlock};

use crate::IngestError;
use crate::config::{Encoding, TableFile, TableFormat, TimeUnit, config};
use crate::log::{FileId, Flaw, Log, Origin, shown};
use crate::paths::Root;
use crate::report::FaultCode;
use source::Source;

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

trait RowReader: Send {
    /// Reads the next row; sets the row's line in the case of [`Step::Bad`] too.
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError>;

    /// How many lines so far had nothing on them, those of blocks apart.
    fn blank_lines(&self) -> u64;

    /// Takes back a block that is done with.
    fn recycle(&mut self, _: RawBlock) {}

    /// How many rows there are, where the file says so.
    fn promised_rows(&self) -> Option<u64> {
        None
    }

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

/// What can be opened as a table.
pub(crate) trait TableSource {
    /// Opens it and finds the columns.
    fn open(&self, root: &Root, columns: &[&str], log: &mut Log) -> Result<Table, IngestError>;
}

/// The format of a file with what is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Delimited(Layout),
    Jsonl,
    Json,
    /// Time stamp columns are handed out as whole numbers of this unit.
    Parquet(TimeUnit),
    /// As for Parquet.
    Arrow(TimeUnit),
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
                match kind {
                    TableFormat::Parquet => Format::Parquet(unit),
                    TableFormat::Arrow => Format::Arrow(unit),
                    TableFormat::Json => Format::Json,
                    _ => Format::Jsonl,
                }
            }
        };
        Ok(Self { file: table.path.clone(), role, format })
    }
}

/// The format that is named, or else the one that the extension stands for.
fn table_format(path: &str, named: Option<TableFormat>) -> Result<TableFormat, IngestError> {
    let extension = |path: &Path| {
        path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
    };
    let (mut inner, mut end) = (Path::new(path).to_owned(), extension(Path::new(path)));
    let packed = matches!(end.as_str(), "gz" | "zst" | "zstd");
    if packed {
        inner.set_extension("");
        end = extension(&inner);
    }
    let format = match end.as_str() {
        _ if named.is_some() => named,
        "csv" => Some(TableFormat::Csv),
        "tsv" | "tab" | "inter" | "item" | "user" => Some(TableFormat::Tsv),
        "jsonl" | "ndjson" => Some(TableFormat::Jsonl),
        "json" => Some(TableFormat::Json),
        "parquet" | "pq" => Some(TableFormat::Parquet),
        "arrow" | "arrows" | "ipc" | "feather" => Some(TableFormat::Arrow),
        _ => None,
    };
    let key = format!("table {path:?} format");
    match format {
        Some(TableFormat::Parquet | TableFormat::Arrow) if packed => {
            Err(config(&key, "a Parquet or Arrow file as it is", "one that is packed as a whole"))
        }
        Some(format) => Ok(format),
        None => {
            let expected =
                "csv, tsv, jsonl, json, parquet or arrow, by the extension or by `format`";
            Err(config(&key, expected, &format!("the extension {end:?}")))
        }
    }
}

/// Blocks of rows that are read and not yet parsed.
pub(crate) struct Ahead {
    /// How they are laid out; none where rows have to be read on their own.
    pub(crate) layout: Option<BlockLayout>,
    pub(crate) raws: Vec<RawBlock>,
    /// Why there are no more rows, where that is an error.
    pub(crate) damage: Option<IngestError>,
}

/// After so many single rows the caller hears of them.
const SAID: u64 = 4_096;

/// An open table. Reading it keeps the books.
pub(crate) struct Table {
    id: FileId,
    /// So many of the first columns that are asked for are ids.
    ids: usize,
    /// Bytes of the file; 0 where there is none.
    length: u64,
    reader: Box<dyn RowReader>,
    row: Row,
}

impl TableSource for TableSpec {
    fn open(&self, root: &Root, columns: &[&str], log: &mut Log) -> Result<Table, IngestError> {
        let path = root.resolve(&self.file)?;
        if !path.is_file() {
            let found = std::io::Error::other("expected a file, found a folder or device");
            return Err(IngestError::Io { file: self.file.clone(), source: found });
        }
        let length = std::fs::metadata(&path).map_err(IngestError::io(&self.file))?.len();
        let id = log.open(self.role, &self.file, &path)?;
        let reader = open_reader(self, &path, columns)?;
        Ok(Table { length, ..Table::new(id, self.role, reader, log) })
    }
}

impl Table {
    /// A table of some role that is open in the books.
    fn new(id: FileId, role: &str, reader: Box<dyn RowReader>, log: &Log) -> Self {
        log.progress.start(log.name(id), "rows", None);
        let ids = if role == "interactions" { 2 } else { 1 };
        Self { id, ids, length: 0, reader, row: Row::default() }
    }

    /// About how many rows there will be, from one block of them: never more than the file has
    /// bytes, whatever it promises.
    pub(crate) fn expected_rows(&self, raw: &RawBlock, rows: usize) -> u64 {
        let rows = match raw {
            RawBlock::Batch { .. } => self.reader.promised_rows().unwrap_or(0),
            RawBlock::Text { bytes, .. } if bytes.is_empty() => 0,
            RawBlock::Text { bytes, .. } => {
                // A little more, because later ids tend to be longer and may well be shorter.
                (1.02 * self.length as f64 * rows as f64 / bytes.len() as f64) as u64
            }
        };
        rows.min(self.length).min(u64::from(u32::MAX))
    }

    /// A table of batches that come from elsewhere than a file.
    #[cfg(feature = "sql")]
    pub(crate) fn of_batches(id: FileId, role: &str, rows: BatchRows, log: &Log) -> Self {
        Self::new(id, role, Box::new(rows), log)
    }

    /// Opens a file and finds the columns.
    pub(crate) fn open(
        root: &Root,
        spec: &TableSpec,
        columns: &[&str],
        log: &mut Log,
    ) -> Result<Self, IngestError> {
        spec.open(root, columns, log)
    }

    /// Reads up to the next good row; bad ones go into the report.
    pub(crate) fn next(&mut self, log: &mut Log) -> Result<bool, IngestError> {
        loop {
            match self.reader.next(&mut self.row)? {
                Step::Row => {
                    self.count(log);
                    match nul_in_id(&self.row, self.ids) {
                        Some(flaw) => log.drop_row(self.origin(), None, flaw)?,
                        None => return Ok(true),
                    }
                }
                Step::Bad(flaw) => {
                    self.count(log);
                    log.drop_row(self.origin(), None, flaw)?;
                }
                Step::End => {
                    log.progress.advance(log.file(self.id).rows_in % SAID);
                    log.progress.finish();
                    log.file(self.id).blank_lines += self.reader.blank_lines();
                    if log.file(self.id).rows_in == 0 {
                        return Err(empty(log.name(self.id), "no row"));
                    }
                    return Ok(false);
                }
            }
        }
    }

    /// Counts a row, and says so now and then.
    fn count(&self, log: &mut Log) {
        let rows = &mut log.file(self.id).rows_in;
        *rows += 1;
        if rows.is_multiple_of(SAID) {
            log.progress.advance(SAID);
        }
    }

    /// Reads up to so many blocks of rows, where the format allows it.
    pub(crate) fn read_ahead(&mut self, most: usize) -> Ahead {
        let layout = self.reader.block_layout();
        let mut ahead = Ahead { layout, raws: Vec::with_capacity(most), damage: None };
        while ahead.raws.len() < most && ahead.damage.is_none() {
            match self.reader.next_block() {
                Ok(Some(raw)) => ahead.raws.push(raw),
                Ok(None) => break,
                Err(error) => ahead.damage = Some(error),
            }
        }
        ahead
    }

    /// Puts a row of a block into [`Table::row`], as [`Table::next`] would have.
    pub(crate) fn read_block_row(
        &mut self,
        raw: &RawBlock,
        layout: &BlockLayout,
        block: &Block,
        at: usize,
    ) -> Result<(), Flaw> {
        let flaw = block::read_row(raw, layout, block, at, &mut self.row);
        flaw.or_else(|| nul_in_id(&self.row, self.ids)).map_or(Ok(()), Err)
    }

    /// Takes back blocks that are done with.
    pub(crate) fn recycle(&mut self, raws: Vec<RawBlock>) {
        raws.into_iter().for_each(|raw| self.reader.recycle(raw));
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

fn open_reader(
    spec: &TableSpec,
    path: &Path,
    columns: &[&str],
) -> Result<Box<dyn RowReader>, IngestError> {
    let file = &spec.file;
    let raw = || File::open(path).map_err(IngestError::io(file));
    Ok(match &spec.format {
        Format::Parquet(unit) => Box::new(parquet_rows::open(file, raw()?, *unit, columns)?),
        Format::Arrow(unit) => Box::new(arrow_rows::open(file, raw()?, *unit, columns)?),
        text => open_text(file, text, &|| source::open(file, path), columns)?,
    })
}

/// The columns of a table; of JSON, the keys of its first objects.
pub(crate) fn column_names(root: &Root, spec: &TableSpec) -> Result<Vec<String>, IngestError> {
    // No table has this column, so the error says which ones there are.
    let path = root.resolve(&spec.file)?;
    match open_reader(spec, &path, &["\0"]) {
        Err(IngestError::MissingColumn { found, .. }) => Ok(found),
        Err(error) => Err(error),
        Ok(_) => Ok(Vec::new()),
    }
}

/// The first good rows of a table.
pub(crate) fn first_rows(
    root: &Root,
    spec: &TableSpec,
    columns: &[&str],
    most: usize,
) -> Result<Vec<Vec<String>>, IngestError> {
    let mut reader = open_reader(spec, &root.resolve(&spec.file)?, columns)?;
    let (mut row, mut rows) = (Row::default(), Vec::new());
    while rows.len() < most {
        match reader.next(&mut row)? {
            Step::Row => rows.push((0..columns.len()).map(|c| row.cell(c).to_owned()).collect()),
            Step::Bad(_) => {}
            Step::End => break,
        }
    }
    Ok(rows)
}

/// Opens a text table; `source` gives its bytes from the start, as often as it is asked.
fn open_text(
    file: &str,
    format: &Format,
    source: &dyn Fn() -> Result<Source, IngestError>,
    columns: &[&str],
) -> Result<Box<dyn RowReader>, IngestError> {
    Ok(match format {
        Format::Delimited(layout) => {
            Box::new(delimited::Delimited::open(file, source()?, layout, columns)?)
        }
        Format::Json => json::open(file, source, columns)?,
        _ => Box::new(jsonl::Jsonl::open(file, source()?, source()?, columns)?),
    })
}

/// Reads a text table that is held in memory; gives how many rows it has and how many of them
/// are faults.
pub(crate) fn read_bytes<R: Read + Send + 'static>(
    format: &Format,
    bytes: &dyn Fn() -> R,
    columns: &[&str],
) -> Result<(u64, u64), IngestError> {
    let file = "bytes";
    let source = || source::unpack(bytes()).map_err(IngestError::io(file));
    let mut reader = open_text(file, format, &source, columns)?;
    let mut row = Row::default();
    let (mut rows, mut faults) = (0, 0);
    loop {
        match reader.next(&mut row)? {
            Step::Row => {
                rows += 1;
                (0..columns.len()).for_each(|c| {
                    std::hint::black_box(row.cell(c));
                });
            }
            Step::Bad(_) => faults += 1,
            Step::End => return Ok((rows, faults)),
        }
    }
}

/// The flaw of an id with a NUL byte in it, as binary data has and no table of ids: what shows
/// and stores it may end it there, and two ids become one.
pub(crate) fn nul_in_id(row: &Row, ids: usize) -> Option<Flaw> {
    let id = (0..ids).map(|column| row.cell(column)).find(|id| id.contains('\0'))?;
    Some(Flaw::new(FaultCode::NulInId, "an id without NUL bytes", shown(id)))
}

/// The error for a table without rows.
fn empty(file: &str, found: &'static str) -> IngestError {
    IngestError::Empty { file: file.to_owned(), expected: "a header line and rows", found }
}

/// Positions of the columns that are asked for; `user_id` also stands for `user_id:token`, as
/// RecBole writes it, unless there is a column of just that name.
fn find_columns(file: &str, known: &[String], asked: &[&str]) -> Result<Vec<usize>, IngestError> {
    asked
        .iter()
        .map(|name| {
            let exact = known.iter().position(|k| k == name);
            let typed = || known.iter().position(|k| untyped(k) == Some(name));
            exact.or_else(typed).ok_or_else(|| IngestError::MissingColumn {
                file: file.to_owned(),
                column: (*name).to_owned(),
                found: known.to_vec(),
            })
        })
        .collect()
}

/// The name of a column of an atomic file of RecBole without its type.
pub(crate) fn untyped(name: &str) -> Option<&str> {
    let (name, kind) = name.rsplit_once(':')?;
    matches!(kind, "token" | "token_seq" | "float" | "float_seq").then_some(name)
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
        assert!(err.contains("u.data") && err.contains("jsonl, json, parquet or arrow"), "{err}");
        let mut named = file("u.data");
        named.format = Some(TableFormat::Tsv);
        let Format::Delimited(layout) = spec(&named).unwrap().format else { panic!("not tsv") };
        assert_eq!((layout.delimiter.as_str(), layout.quote, layout.header), ("\t", false, true));
    }

    #[test]
    fn the_extension_below_the_packing_names_the_format() {
        let kind = |path: &str| table_format(path, None);
        assert_eq!(kind("a.csv.gz").unwrap(), TableFormat::Csv);
        assert_eq!(kind("d.x/a.json.ZST").unwrap(), TableFormat::Json);
        assert_eq!(kind("ml-100k.item.zstd").unwrap(), TableFormat::Tsv);
        assert_eq!(kind("a.feather").unwrap(), TableFormat::Arrow);
        assert_eq!(table_format("a.gz", Some(TableFormat::Csv)).unwrap(), TableFormat::Csv);
        assert!(kind("a.gz").unwrap_err().to_string().contains("found the extension \"\""));
        assert!(kind("a.parquet.gz").unwrap_err().to_string().contains("packed as a whole"));
    }

    #[test]
    fn a_typed_name_of_recbole_is_found_without_its_type() {
        let known: Vec<String> =
            ["a:token", "b:float", "b", "c:d"].into_iter().map(str::to_owned).collect();
        let find = |names: &[&str]| find_columns("f", &known, names);
        assert_eq!(find(&["a", "a:token", "b", "b:float"]).unwrap(), [0, 0, 2, 1]);
        assert!(find(&["c"]).is_err());
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
