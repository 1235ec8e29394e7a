//! JSON Lines: one object a line, as JSON or as a Python literal.

use std::io::BufRead;

use super::cells::{SAMPLE, Seen, object, write_object};
use super::lines::{Line, Lines, too_long};
use super::{Row, RowReader, Step, empty};
use crate::IngestError;

/// Reads a JSON Lines file row by row.
pub(crate) struct Jsonl<R> {
    lines: Lines<R>,
    keys: Vec<String>,
    buffer: Vec<u8>,
    blank: u64,
}

impl<R: BufRead> Jsonl<R> {
    /// Opens a file that is read twice: a sample for its keys, then all of it.
    pub(crate) fn open(
        file: &str,
        sample: R,
        input: R,
        columns: &[&str],
    ) -> Result<Self, IngestError> {
        let mut lines = Lines::new(file, sample);
        let mut seen = Seen::new(columns);
        let mut buffer = Vec::new();
        let mut rows = 0;
        while rows < SAMPLE {
            match lines.next(&mut buffer)?.1 {
                Line::End => break,
                Line::Text if buffer.trim_ascii().is_empty() => continue,
                Line::Text | Line::TooLong => rows += 1,
            }
            if let Ok(object) = object(&buffer) {
                seen.add(&object);
            }
        }
        if rows == 0 {
            return Err(empty(file, "nothing"));
        }
        seen.check(file)?;
        Ok(Self {
            lines: Lines::new(file, input),
            keys: columns.iter().map(|c| (*c).to_owned()).collect(),
            buffer: Vec::new(),
            blank: 0,
        })
    }
}

impl<R: BufRead + Send> RowReader for Jsonl<R> {
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError> {
        loop {
            let (line, kind) = self.lines.next(&mut self.buffer)?;
            row.start(line);
            match kind {
                Line::End => return Ok(Step::End),
                Line::TooLong => return Ok(Step::Bad(too_long("a line"))),
                Line::Text if self.buffer.trim_ascii().is_empty() => self.blank += 1,
                Line::Text => {
                    return Ok(match object(&self.buffer) {
                        Ok(object) => write_object(&object, &self.keys, row),
                        Err(flaw) => Step::Bad(flaw),
                    });
                }
            }
        }
    }

    fn blank_lines(&self) -> u64 {
        self.blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, columns: &[&str]) -> Vec<(u64, String)> {
        let mut reader = Jsonl::open("f", text.as_bytes(), text.as_bytes(), columns).unwrap();
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

    #[test]
    fn values_become_cells_and_bad_lines_faults() {
        let text = "{\"id\": 7, \"g\": [\"a\", \"b\"]}\n\n{\"id\": \"x\", \"g\": null}\n{oops\n\
                    [1]\n{\"id\": {\"a\": 1}}\n{\"g\": true}\n";
        let rows = read(text, &["id", "g"]);
        let seen: Vec<_> = rows.iter().map(|(l, t)| (*l, t.as_str())).collect();
        let bad = "!bad_json";
        assert_eq!(
            seen,
            [(1, "7|a, b"), (3, "x|"), (4, bad), (5, bad), (6, "!bad_cell"), (7, "|true")]
        );
    }

    #[test]
    fn python_literals_nested_lists_and_paths_are_read() {
        let text = "{'id': '7', 'c': [['Books', 'Art'], ['New']], 'r': {'n': 1}}\n\
                    {\"id\": 8, \"r\": {\"n\": null}}\n{'id': 9, 'c': foo()}\n";
        let rows = read(text, &["id", "c", "r.n"]);
        let seen: Vec<_> = rows.iter().map(|(l, t)| (*l, t.as_str())).collect();
        assert_eq!(seen, [(1, "7|Books, Art, New|1"), (2, "8||"), (3, "!bad_json")]);
    }

    #[test]
    fn a_key_that_no_object_has_is_a_missing_column() {
        let text = "{\"a\": 1}\n{\"b\": 2}\n";
        let err = Jsonl::open("f", text.as_bytes(), text.as_bytes(), &["c"]).err().unwrap();
        assert_eq!(err.to_string(), "f: expected a column \"c\", found the columns a, b");
    }
}
