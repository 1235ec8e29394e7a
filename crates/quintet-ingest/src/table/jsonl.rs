//! JSON Lines: one object a line.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::lines::{LONGEST_LINE, Line, Lines};
use super::{Row, RowReader, Step, empty, find_columns};
use crate::IngestError;
use crate::log::Flaw;
use crate::report::FaultCode;

/// How many lines are looked at to learn which keys there are.
const SAMPLE: usize = 1_000;

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
        let mut known: Vec<String> = Vec::new();
        let mut buffer = Vec::new();
        let mut rows = 0;
        while rows < SAMPLE {
            match lines.next(&mut buffer)?.1 {
                Line::End => break,
                Line::Text if buffer.trim_ascii().is_empty() => continue,
                Line::Text | Line::TooLong => rows += 1,
            }
            let object = serde_json::from_slice::<Map<String, Value>>(&buffer);
            for key in object.iter().flatten().map(|(key, _)| key) {
                if !known.contains(key) {
                    known.push(key.clone());
                }
            }
        }
        if rows == 0 {
            return Err(empty(file, "nothing"));
        }
        // Without a single object there is no column to miss; every line is a fault.
        if !known.is_empty() {
            find_columns(file, &known, columns)?;
        }
        Ok(Self {
            lines: Lines::new(file, input),
            keys: columns.iter().map(|c| (*c).to_owned()).collect(),
            buffer: Vec::new(),
            blank: 0,
        })
    }
}

impl<R: BufRead> RowReader for Jsonl<R> {
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError> {
        loop {
            let (line, kind) = self.lines.next(&mut self.buffer)?;
            row.start(line);
            match kind {
                Line::End => return Ok(Step::End),
                Line::TooLong => {
                    let expected = format!("a line of at most {} MiB", LONGEST_LINE >> 20);
                    let flaw = Flaw::new(FaultCode::LineTooLong, expected, "a longer one");
                    return Ok(Step::Bad(flaw));
                }
                Line::Text if self.buffer.trim_ascii().is_empty() => self.blank += 1,
                Line::Text => return Ok(self.parse(row)),
            }
        }
    }

    fn blank_lines(&self) -> u64 {
        self.blank
    }
}

impl<R> Jsonl<R> {
    fn parse(&self, row: &mut Row) -> Step {
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let found = format!("byte 0x{:02X} at byte {}", self.buffer[at], at + 1);
                let flaw = Flaw::new(FaultCode::InvalidUtf8, "UTF-8 text", found);
                return Step::Bad(flaw);
            }
        };
        let object = match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(object) => object,
            Err(error) => {
                let found = format!("{error}").replace("at line 1 column", "at character");
                return Step::Bad(Flaw::new(FaultCode::BadJson, "a JSON object", found));
            }
        };
        for key in &self.keys {
            if let Some(value) = object.get(key)
                && let Err(kind) = write_value(value, &mut row.text)
            {
                let expected = "text, a number, true, false, null or a list of these";
                let found = format!("{kind} in {key:?}");
                return Step::Bad(Flaw::new(FaultCode::BadCell, expected, found));
            }
            row.end();
        }
        Step::Row
    }
}

/// A value as a cell; a list becomes its members with commas between them.
fn write_value(value: &Value, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Null => {}
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => out.push_str(text),
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                if value.is_array() {
                    return Err("a list in a list");
                }
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(value, out)?;
            }
        }
        Value::Object(_) => return Err("an object"),
    }
    Ok(())
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
    fn a_key_that_no_object_has_is_a_missing_column() {
        let text = "{\"a\": 1}\n{\"b\": 2}\n";
        let err = Jsonl::open("f", text.as_bytes(), text.as_bytes(), &["c"]).err().unwrap();
        assert_eq!(err.to_string(), "f: expected a column \"c\", found the columns a, b");
    }
}
