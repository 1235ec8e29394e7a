//! A JSON document as rows: an array of objects, an array inside an object, objects one after
//! the other, or JSON Lines under the name of JSON.
//!
//! The document is read twice from its start, once to see which of these it is and which keys
//! its first objects have, and is never held. The line of a row is that of its opening brace. An
//! object that is no JSON costs that row; brackets that do not fit end the run, because nobody
//! can tell what is a row after them.

use super::cells::{SAMPLE, Seen, object, write_object};
use super::json_split::{Elements, Kind};
use super::jsonl::Jsonl;
use super::lines::{Line, Lines, too_long};
use super::source::Source;
use super::{Row, RowReader, Step, empty};
use crate::IngestError;
use crate::log::Flaw;
use crate::report::FaultCode;

/// How the rows lie in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `{…}` line by line.
    Lines,
    /// `[ {…}, {…} ]`.
    Array,
    /// `{ …: [ {…}, {…} ], … }`, with the array so many bytes after the start.
    Member(u64),
    /// `{…} {…}`, over any number of lines.
    Objects,
}

/// Opens a document; `source` gives its bytes from the start, as often as it is asked.
pub(crate) fn open(
    file: &str,
    source: &dyn Fn() -> Result<Source, IngestError>,
    columns: &[&str],
) -> Result<Box<dyn RowReader>, IngestError> {
    let shape = shape(file, source)?;
    if shape == Shape::Lines {
        return Ok(Box::new(Jsonl::open(file, source()?, source()?, columns)?));
    }
    let mut sample = Json::start(file, source()?, shape, columns)?;
    let mut seen = Seen::new(columns);
    for _ in 0..SAMPLE {
        match sample.element()? {
            None => break,
            Some((_, Kind::Object)) => {
                if let Ok(object) = object(&sample.buffer) {
                    seen.add(&object);
                }
            }
            Some(_) => {}
        }
    }
    seen.check(file)?;
    Ok(Box::new(Json::start(file, source()?, shape, columns)?))
}

/// Finds out how the rows lie.
fn shape(
    file: &str,
    source: &dyn Fn() -> Result<Source, IngestError>,
) -> Result<Shape, IngestError> {
    let mut elements = Elements::new(file, source()?)?;
    match elements.peek()? {
        None => return Err(empty(file, "nothing")),
        Some(b'[') => return Ok(Shape::Array),
        Some(b'{') => {}
        Some(_) => {
            let found = elements.found()?;
            return Err(elements.damaged("a JSON array or object", &found));
        }
    }
    match whole_line(file, source()?)? {
        // A first line that is an object, and more lines: JSON Lines.
        Some(true) => Ok(Shape::Lines),
        // The only line; it may have the rows in a member.
        Some(false) => match member(&mut elements) {
            Ok(Some(at)) => Ok(Shape::Member(at)),
            // A Python literal has other quotes, and may look as if it never ended.
            Ok(None) | Err(IngestError::Damaged { .. }) => Ok(Shape::Lines),
            Err(other) => Err(other),
        },
        None => {
            let found = member(&mut elements)?;
            Ok(match (elements.peek()?, found) {
                (None, Some(at)) => Shape::Member(at),
                _ => Shape::Objects,
            })
        }
    }
}

/// Whether more lines follow the first, if that is an object from its start to its end.
fn whole_line(file: &str, source: Source) -> Result<Option<bool>, IngestError> {
    let mut lines = Lines::new(file, source);
    let mut buffer = Vec::new();
    let mut first = None;
    loop {
        let (_, kind) = lines.next(&mut buffer)?;
        match kind {
            Line::End => return Ok(first),
            Line::Text if buffer.trim_ascii().is_empty() => {}
            _ if first.is_some() => return Ok(Some(true)),
            Line::Text if object(&buffer).is_ok() => first = Some(false),
            _ => return Ok(None),
        }
    }
}

/// Passes over an object; gives the place of the first array among its members whose first
/// element is an object.
fn member(elements: &mut Elements<Source>) -> Result<Option<u64>, IngestError> {
    let mut nothing = Vec::new();
    elements.take_if(b'{')?;
    loop {
        if elements.take_if(b'}')? {
            return Ok(None);
        }
        // What is no JSON is for the reader of the rows to report.
        if elements.peek()? != Some(b'"') {
            elements.nested(1, None)?;
            return Ok(None);
        }
        elements.nested(0, None)?;
        if !elements.take_if(b':')? {
            elements.nested(1, None)?;
            return Ok(None);
        }
        if elements.peek()? == Some(b'[') {
            let at = elements.offset;
            elements.take(b'[');
            if elements.peek()? == Some(b'{') {
                // A cut-off end is found when the rows are read.
                return match elements.nested(2, None) {
                    Ok(_) | Err(IngestError::Damaged { .. }) => Ok(Some(at)),
                    Err(other) => Err(other),
                };
            }
            elements.nested(1, None)?;
        } else {
            elements.value(&mut nothing)?;
        }
        elements.take_if(b',')?;
    }
}

/// Reads a document element by element.
struct Json {
    elements: Elements<Source>,
    shape: Shape,
    first: bool,
    ended: bool,
    keys: Vec<String>,
    buffer: Vec<u8>,
}

impl Json {
    fn start(
        file: &str,
        source: Source,
        shape: Shape,
        columns: &[&str],
    ) -> Result<Self, IngestError> {
        let mut elements = Elements::new(file, source)?;
        if let Shape::Member(at) = shape {
            elements.skip(at - elements.offset)?;
        }
        if shape != Shape::Objects {
            elements.take_if(b'[')?;
        }
        let keys = columns.iter().map(|c| (*c).to_owned()).collect();
        Ok(Self { elements, shape, first: true, ended: false, keys, buffer: Vec::new() })
    }

    /// Reads one element into the buffer; gives its line and what it is.
    fn element(&mut self) -> Result<Option<(u64, Kind)>, IngestError> {
        if self.ended || !self.go_on()? {
            self.ended = true;
            return Ok(None);
        }
        self.first = false;
        // The blanks before it are not its lines.
        self.elements.peek()?;
        let line = self.elements.line;
        Ok(Some((line, self.elements.value(&mut self.buffer)?)))
    }

    /// Takes what stands between two elements; whether there is another one.
    fn go_on(&mut self) -> Result<bool, IngestError> {
        if self.shape == Shape::Objects {
            return Ok(self.elements.peek()?.is_some());
        }
        if self.elements.take_if(b']')? {
            if let Shape::Member(_) = self.shape {
                self.elements.nested(1, None)?;
            }
            if self.elements.peek()?.is_some() {
                let found = self.elements.found()?;
                return Err(self.elements.damaged("the end of the file after the rows", &found));
            }
            return Ok(false);
        }
        if !self.first && !self.elements.take_if(b',')? {
            let found = self.elements.found()?;
            return Err(self.elements.damaged("a comma or the end of the array", &found));
        }
        Ok(true)
    }
}

impl RowReader for Json {
    fn next(&mut self, row: &mut Row) -> Result<Step, IngestError> {
        let Some((line, kind)) = self.element()? else { return Ok(Step::End) };
        row.start(line);
        Ok(match kind {
            Kind::Object => match object(&self.buffer) {
                Ok(object) => write_object(&object, &self.keys, row),
                Err(flaw) => Step::Bad(flaw),
            },
            Kind::TooLong => Step::Bad(too_long("an object")),
            Kind::Other(found) => Step::Bad(Flaw::new(FaultCode::BadJson, "a JSON object", found)),
        })
    }

    fn blank_lines(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn shape_of(text: &'static str) -> Shape {
        shape("f", &move || Ok(Box::new(Cursor::new(text)))).unwrap()
    }

    fn read(text: &str, columns: &[&str]) -> Result<Vec<(u64, String)>, String> {
        let source = || Ok(Box::new(Cursor::new(text.to_owned())) as Source);
        let mut reader = open("f", &source, columns).map_err(|e| e.to_string())?;
        let mut row = Row::default();
        let mut out = Vec::new();
        loop {
            match reader.next(&mut row).map_err(|e| e.to_string())? {
                Step::Row => {
                    let cells: Vec<_> = (0..columns.len()).map(|c| row.cell(c)).collect();
                    out.push((row.line, cells.join("|")));
                }
                Step::Bad(flaw) => out.push((row.line, format!("!{}", flaw.code))),
                Step::End => return Ok(out),
            }
        }
    }

    #[test]
    fn the_shape_is_seen_from_the_content() {
        assert_eq!(shape_of("\n [ ]"), Shape::Array);
        assert_eq!(shape_of("{\"a\": 1}\n{\"a\": 2}\n"), Shape::Lines);
        assert_eq!(shape_of("{'a': 1}\n{'a': 2}\n"), Shape::Lines);
        assert_eq!(shape_of("{\"a\": [1]}"), Shape::Lines);
        assert_eq!(shape_of("{\"n\": [1, 2], \"r\": [{\"a\": 1}]}"), Shape::Member(19));
        assert_eq!(shape_of("{\n\"r\": [\n{\"a\": 1}]\n}\n"), Shape::Member(7));
        assert_eq!(shape_of("{\n\"r\": [{\"a\": 1}]\n}\n{\n\"r\": []}"), Shape::Objects);
        assert_eq!(shape_of("{\n\"a\": {\"b\": [{}]}\n}"), Shape::Objects);
        assert_eq!(shape_of("{\"a\": 1} {\"a\": 2}"), Shape::Objects);
    }

    #[test]
    fn rows_have_the_line_of_their_brace_in_every_shape() {
        let rows = |text: &str| read(text, &["a", "b.c"]).unwrap();
        let expected = [(2, "1|x".to_owned()), (4, "2|".to_owned())];
        let one = "{\"a\": 1,\n \"b\": {\"c\": \"x\"}}";
        assert_eq!(rows(&format!("[\n{one},\n{{\"a\": 2}} ]\n")), expected);
        assert_eq!(rows(&format!("\n{one}\n{{\"a\": 2}}\n")), expected);
        let member = format!(
            "{{\"n\": \"[{{\", \"m\": [], \"r\": [\n{one},\n{{\"a\": 2}}], \"z\": [{{}}]}}"
        );
        assert_eq!(rows(&member), expected);
    }

    #[test]
    fn an_element_that_is_no_object_costs_that_row() {
        let rows = read("[{\"a\": 1}, 7, [[]],\n{\"a\" 1}, null, {\"a\": 2}]", &["a"]).unwrap();
        let seen: Vec<_> = rows.iter().map(|(l, t)| (*l, t.as_str())).collect();
        let bad = "!bad_json";
        assert_eq!(seen, [(1, "1"), (1, bad), (1, bad), (2, bad), (2, bad), (2, "2")]);
    }

    #[test]
    fn brackets_that_do_not_fit_end_the_run_at_their_line() {
        for (text, part) in [
            (
                "[{\"a\": 1},\n{\"a\": 2}",
                "line 2: expected a comma or the end of the array, found the end",
            ),
            ("[{\"a\": 1},\n{\"a\": ", "line 2: expected the end of what line 2 begins"),
            (
                "[{\"a\": 1}\n{\"a\": 2}]",
                "line 2: expected a comma or the end of the array, found '{'",
            ),
            ("[{\"a\": 1},\n]", "line 2: expected a value, found ']'"),
            ("[{\"a\": 1}]\nx", "line 2: expected the end of the file after the rows, found 'x'"),
            ("{\n\"r\": [{\"a\": 1}]", "line 2: expected the end of what line 2 begins"),
            ("{\n\"r\": [{\"a\": 1}]} ]", "line 2: expected a value, found ']'"),
            ("x", "line 1: expected a JSON array or object, found 'x'"),
            ("\0", "line 1: expected a JSON array or object, found byte 0x00"),
            ("", "f is empty"),
        ] {
            let error = read(text, &["a"]).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_column_that_no_object_has_is_missing() {
        let error = read("[{\"a\": 1}, {\"b\": 2}]", &["c"]).unwrap_err();
        assert_eq!(error, "f: expected a column \"c\", found the columns a, b");
        assert_eq!(read("[]", &["c"]).unwrap(), []);
    }
}
