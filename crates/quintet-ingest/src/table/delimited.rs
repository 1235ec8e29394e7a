//! CSV, TSV and their relatives.

use std::collections::VecDeque;
use std::io::BufRead;

use super::block::{BlockLayout, RawBlock};
use super::lines::{LONGEST_LINE, Line, Lines, too_long};
use super::split::{Split, Splitter};
use super::{Layout, Row, RowReader, Step, empty, find_columns};
use crate::IngestError;
use crate::config::{Encoding, config};
use crate::log::Flaw;
use crate::report::FaultCode;

/// The most lines that one quoted field may span. A quote that is not closed within them is a
/// fault of its own line, and the lines after it are read as rows.
const MOST_LINES: usize = 1_000;

/// How many bad rows a file without a header may start with.
const MOST_BAD: usize = 1_000;

/// Bytes that are parsed together, where rows can be read many at a time.
const BLOCK: usize = if cfg!(test) { 100 } else { 1 << 20 };

/// Reads a delimited file row by row, or block by block.
pub(crate) struct Delimited<R> {
    lines: Lines<R>,
    splitter: Splitter,
    encoding: Encoding,
    width: usize,
    columns: Vec<usize>,
    buffer: Vec<u8>,
    /// The line of a record that is already split, for the first one of a file without header.
    held: Option<u64>,
    /// What is wrong with the lines before that one.
    bad: VecDeque<(u64, Flaw)>,
    blank: u64,
    /// How rows can be read many at a time; none once a quote was met, which may span lines.
    blocks: Option<BlockLayout>,
}

/// One record, split but not yet checked.
enum Record {
    Fields(u64),
    Bad(u64, Flaw),
    End,
}

impl<R: BufRead> Delimited<R> {
    pub(crate) fn open(
        file: &str,
        input: R,
        layout: &Layout,
        columns: &[&str],
    ) -> Result<Self, IngestError> {
        let mut reader = Self {
            lines: Lines::new(file, input),
            splitter: Splitter::new(delimiter_bytes(file, layout)?, layout.quote),
            encoding: layout.encoding,
            width: 0,
            columns: Vec::new(),
            buffer: Vec::new(),
            held: None,
            bad: VecDeque::new(),
            blank: 0,
            blocks: None,
        };
        let line = reader.first_record(file, layout.header)?;
        reader.width = reader.splitter.len();
        let known: Vec<String> = if layout.header {
            if let Some(at) = reader.buffer.iter().position(|b| *b == 0) {
                let found = format!("a NUL byte at byte {} (UTF-16? save it as UTF-8)", at + 1);
                return Err(IngestError::Header { file: file.to_owned(), line, found });
            }
            let mut name = String::new();
            (0..reader.width)
                .map(|i| {
                    name.clear();
                    decode(reader.splitter.field(i), reader.encoding, &mut name);
                    name.trim().to_owned()
                })
                .collect()
        } else {
            reader.held = Some(line);
            (1..=reader.width).map(|i| i.to_string()).collect()
        };
        reader.columns = find_columns(file, &known, columns)?;
        let chosen = reader.columns.iter();
        if let Some(name) = chosen.map(|c| &known[*c]).find(|name| is_twice(&known, name)) {
            let found = format!("two columns {name:?}");
            return Err(IngestError::Header { file: file.to_owned(), line, found });
        }
        if let ([delimiter], Encoding::Utf8) = (layout.delimiter.as_bytes(), layout.encoding) {
            reader.blocks = Some(BlockLayout::Text {
                delimiter: *delimiter,
                quote: layout.quote,
                width: reader.width,
                columns: reader.columns.clone(),
            });
        }
        Ok(reader)
    }

    /// The line of the first record that can be split, which says how many fields a row has. It
    /// is the first of all where there is a header.
    fn first_record(&mut self, file: &str, header: bool) -> Result<u64, IngestError> {
        loop {
            match self.record()? {
                Record::Fields(line) => return Ok(line),
                Record::Bad(line, flaw) if !header && self.bad.len() < MOST_BAD => {
                    self.bad.push_back((line, flaw));
                }
                Record::Bad(line, flaw) => {
                    let found = flaw.found;
                    return Err(IngestError::Header { file: file.to_owned(), line, found });
                }
                Record::End => {
                    return Err(match self.bad.pop_front() {
                        Some((line, flaw)) => {
                            let found = flaw.found;
                            IngestError::Header { file: file.to_owned(), line, found }
                        }
                        None => empty(file, "nothing"),
                    });
                }
            }
        }
    }

    /// Reads and splits the next record, over as many lines as it takes.
    fn record(&mut self) -> Result<Record, IngestError> {
        let line = loop {
            match self.lines.next(&mut self.buffer)? {
                (_, Line::End) => return Ok(Record::End),
                (line, Line::TooLong) => return Ok(Record::Bad(line, too_long("a line"))),
                (_, Line::Text) if self.buffer.is_empty() => self.blank += 1,
                (line, Line::Text) => break line,
            }
        };
        if let Err(flaw) = check_encoding(&self.buffer, self.encoding) {
            return Ok(Record::Bad(line, flaw));
        }
        self.splitter.start();
        match self.splitter.feed(&self.buffer) {
            Split::Complete => Ok(Record::Fields(line)),
            Split::Bad(at) => Ok(Record::Bad(line, after_quote(at))),
            Split::Open => self.go_on(line),
        }
    }

    /// Reads the lines of a field that spans several; puts them back if it never ends.
    fn go_on(&mut self, line: u64) -> Result<Record, IngestError> {
        let mut extra = Vec::new();
        let mut size = self.buffer.len();
        while extra.len() < MOST_LINES && size <= LONGEST_LINE {
            let (number, kind) = self.lines.next(&mut self.buffer)?;
            match kind {
                Line::Text => {}
                // It is a fault of its own.
                Line::TooLong => {
                    self.lines.put_back_too_long(number);
                    break;
                }
                Line::End => break,
            }
            size += self.buffer.len() + 1;
            let readable = check_encoding(&self.buffer, self.encoding).is_ok();
            let split = if readable { self.splitter.feed(&self.buffer) } else { Split::Bad(0) };
            extra.push((number, std::mem::take(&mut self.buffer)));
            match split {
                Split::Complete => return Ok(Record::Fields(line)),
                Split::Open => {}
                Split::Bad(_) => break,
            }
        }
        self.lines.put_back(extra);
        let flaw = Flaw::new(
            FaultCode::BadQuote,
            "a closing quote before the next delimiter",
            "a quoted field that is not closed",
        );
        Ok(Record::Bad(line, flaw))
    }
}

impl<R: BufRead + Send> RowReader for Delimited<R> {
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError> {
        let record = match self.bad.pop_front() {
            Some((line, flaw)) => Record::Bad(line, flaw),
            None => match self.held.take() {
                Some(line) => Record::Fields(line),
                None => self.record()?,
            },
        };
        let line = match record {
            Record::Fields(line) => line,
            Record::Bad(line, flaw) => {
                row.start(line);
                return Ok(Step::Bad(flaw));
            }
            Record::End => return Ok(Step::End),
        };
        row.start(line);
        let Self { splitter, width, columns, encoding, .. } = &*self;
        if let Err(flaw) = take(splitter, *width, columns, *encoding, row) {
            return Ok(Step::Bad(flaw));
        }
        Ok(Step::Row)
    }

    fn blank_lines(&self) -> u64 {
        self.blank
    }

    fn block_layout(&self) -> Option<BlockLayout> {
        self.blocks.clone()
    }

    fn recycle(&mut self, raw: RawBlock) {
        if let RawBlock::Text { bytes, .. } = raw {
            self.lines.recycle(bytes);
        }
    }

    fn next_block(&mut self) -> Result<Option<RawBlock>, IngestError> {
        let Some(BlockLayout::Text { quote, .. }) = &self.blocks else { return Ok(None) };
        if self.held.is_some() {
            return Ok(None);
        }
        let quote = *quote;
        let Some((first_line, bytes)) = self.lines.block(BLOCK)? else { return Ok(None) };
        if quote && memchr::memchr(b'"', &bytes).is_some() {
            self.blocks = None;
            self.lines.put_back_block(first_line, bytes);
            return Ok(None);
        }
        Ok(Some(RawBlock::Text { first_line, bytes }))
    }
}

fn is_twice(known: &[String], name: &str) -> bool {
    known.iter().filter(|k| *k == name).count() > 1
}

/// Reads one line that is a record of its own, as [`Delimited`] does.
pub(crate) fn split_line(
    line: &[u8],
    splitter: &mut Splitter,
    width: usize,
    columns: &[usize],
    row: &mut Row,
) -> Result<(), Flaw> {
    check_encoding(line, Encoding::Utf8)?;
    splitter.start();
    if let Split::Bad(at) = splitter.feed(line) {
        return Err(after_quote(at));
    }
    take(splitter, width, columns, Encoding::Utf8, row)
}

/// Puts the asked fields of a record into a row.
fn take(
    splitter: &Splitter,
    width: usize,
    columns: &[usize],
    encoding: Encoding,
    row: &mut Row,
) -> Result<(), Flaw> {
    if splitter.len() != width {
        let (expected, found) = (width, splitter.len());
        let expected = format!("{expected} fields");
        return Err(Flaw::new(FaultCode::RaggedRow, expected, format!("{found}")));
    }
    for &column in columns {
        decode(splitter.field(column), encoding, &mut row.text);
        row.end();
    }
    Ok(())
}

fn check_encoding(line: &[u8], encoding: Encoding) -> Result<(), Flaw> {
    if encoding == Encoding::Latin1 {
        return Ok(());
    }
    let Err(error) = std::str::from_utf8(line) else { return Ok(()) };
    let at = error.valid_up_to();
    let found = format!("byte 0x{:02X} at byte {} of the line", line[at], at + 1);
    Err(Flaw::new(FaultCode::InvalidUtf8, "UTF-8 text", found))
}

fn after_quote(at: usize) -> Flaw {
    let expected = "a delimiter after a closing quote";
    Flaw::new(FaultCode::BadQuote, expected, format!("other text at byte {at} of the line"))
}

/// The delimiter as the file has it.
fn delimiter_bytes(file: &str, layout: &Layout) -> Result<Vec<u8>, IngestError> {
    let delimiter = &layout.delimiter;
    match layout.encoding {
        Encoding::Utf8 => Ok(delimiter.as_bytes().to_vec()),
        Encoding::Latin1 => {
            let bytes = delimiter.chars().map(|c| u8::try_from(u32::from(c)));
            bytes.collect::<Result<_, _>>().map_err(|_| {
                let key = format!("table {file:?} delimiter");
                config(&key, "characters of Latin-1", &format!("{delimiter:?}"))
            })
        }
    }
}

fn decode(field: &[u8], encoding: Encoding, out: &mut String) {
    match encoding {
        // The line was checked, and a delimiter is whole characters.
        Encoding::Utf8 => out.push_str(&String::from_utf8_lossy(field)),
        Encoding::Latin1 => out.extend(field.iter().map(|b| char::from(*b))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(delimiter: &str, header: bool, encoding: Encoding) -> Layout {
        Layout { delimiter: delimiter.into(), header, quote: true, encoding }
    }

    fn read(text: &[u8], layout: &Layout, columns: &[&str]) -> Vec<(u64, String)> {
        let mut reader = Delimited::open("f.csv", text, layout, columns).unwrap();
        let mut row = Row::default();
        let mut out = Vec::new();
        loop {
            match reader.next(&mut row).unwrap() {
                Step::Row => {
                    let cells: Vec<_> = (0..columns.len()).map(|c| row.cell(c)).collect();
                    out.push((row.line, cells.join("|")));
                }
                Step::Bad(flaw) => out.push((row.line, format!("!{}", flaw.code))),
                Step::End => return out,
            }
        }
    }

    fn seen(rows: &[(u64, String)]) -> Vec<(u64, &str)> {
        rows.iter().map(|(l, t)| (*l, t.as_str())).collect()
    }

    #[test]
    fn rows_have_the_lines_of_the_file_and_columns_the_order_asked_for() {
        let text = b"a,b,c\n1,\"x\ny\",3\n\n4,5,6\n7,8\n";
        let rows = read(text, &layout(",", true, Encoding::Utf8), &["c", "b"]);
        assert_eq!(seen(&rows), [(2, "3|x\ny"), (5, "6|5"), (6, "!ragged_row")]);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_only() {
        let text = b"a,b\n1,\"x\n2,y\n3,z\n";
        let rows = read(text, &layout(",", true, Encoding::Utf8), &["a", "b"]);
        assert_eq!(seen(&rows), [(2, "!bad_quote"), (3, "2|y"), (4, "3|z")]);
    }

    #[test]
    fn a_stray_quote_does_not_swallow_the_rows_up_to_the_next_one() {
        let text = b"a,b\n1,\"x\n2,\"y\"\n3,z\n";
        let rows = read(text, &layout(",", true, Encoding::Utf8), &["a", "b"]);
        assert_eq!(seen(&rows), [(2, "!bad_quote"), (3, "2|y"), (4, "3|z")]);
    }

    #[test]
    fn bad_bytes_are_a_fault_in_utf_8_and_letters_in_latin_1() {
        let text = b"1|Am\xE9lie\n2|b\n3|\xE9\n";
        let rows = read(text, &layout("|", false, Encoding::Latin1), &["2"]);
        assert_eq!(seen(&rows), [(1, "Amélie"), (2, "b"), (3, "é")]);
        let text = b"1|a\n2|Am\xE9lie\n3|c\n";
        let rows = read(text, &layout("|", false, Encoding::Utf8), &["2"]);
        assert_eq!(seen(&rows), [(1, "a"), (2, "!invalid_utf8"), (3, "c")]);
    }

    #[test]
    fn a_missing_column_lists_those_there_are() {
        let layout = layout(",", true, Encoding::Utf8);
        let err = Delimited::open("f.csv", &b"a,b\n1,2\n"[..], &layout, &["rating"]);
        let err = err.err().unwrap().to_string();
        assert_eq!(err, "f.csv: expected a column \"rating\", found the columns a, b");
    }
}
