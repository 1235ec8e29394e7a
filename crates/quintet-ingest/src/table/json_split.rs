//! The elements of a JSON document, one after the other, without holding the document.
//!
//! Only brackets, strings and the signs between elements are looked at; what an element is, its
//! reader finds out. An element beyond the limit is passed over without being held.

use std::io::BufRead;

use super::lines::LONGEST_LINE;
use super::source::read_error;
use crate::IngestError;

/// What [`Elements::value`] passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An object, and it is in the buffer.
    Object,
    /// An object beyond [`LONGEST_LINE`].
    TooLong,
    /// Something else, in words.
    Other(&'static str),
}

/// Whether bytes are inside a string, and how deep inside brackets.
#[derive(Default)]
struct Nest {
    depth: u64,
    string: bool,
    escape: bool,
}

impl Nest {
    /// Takes one byte; whether it ends what the first one opened.
    fn step(&mut self, byte: u8) -> bool {
        if self.string {
            match byte {
                _ if self.escape => self.escape = false,
                b'\\' => self.escape = true,
                b'"' => {
                    self.string = false;
                    return self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// Walks through a JSON document.
pub(crate) struct Elements<R> {
    file: String,
    input: R,
    /// The line of the next byte, counted from 1.
    pub(crate) line: u64,
    /// How many bytes came before the next one.
    pub(crate) offset: u64,
}

impl<R: BufRead> Elements<R> {
    /// Starts behind the byte order mark, where there is one.
    pub(crate) fn new(file: &str, input: R) -> Result<Self, IngestError> {
        let mut new = Self { file: file.to_owned(), input, line: 1, offset: 0 };
        let head = new.fill()?;
        if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
            new.input.consume(3);
            new.offset = 3;
        } else if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
            return Err(new.damaged("UTF-8", "UTF-16 text; save it as UTF-8"));
        }
        Ok(new)
    }

    /// The error for a document that cannot be read from here on.
    pub(crate) fn damaged(&self, expected: &str, found: &str) -> IngestError {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        IngestError::Damaged { file: self.file.clone(), line: self.line, expected, found }
    }

    fn fill(&mut self) -> Result<&[u8], IngestError> {
        let (file, line) = (&self.file, self.line);
        self.input.fill_buf().map_err(|e| read_error(file, line, e))
    }

    /// Takes one byte that [`Self::peek`] has seen.
    pub(crate) fn take(&mut self, byte: u8) {
        self.input.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
    }

    /// The next byte that is no blank.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, IngestError> {
        loop {
            match self.fill()?.first().copied() {
                Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) => self.take(byte),
                other => return Ok(other),
            }
        }
    }

    /// The next byte in words, for a message.
    pub(crate) fn found(&mut self) -> Result<String, IngestError> {
        Ok(match self.peek()? {
            None => "the end of the file".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("{:?}", char::from(byte)),
            Some(byte) => format!("byte 0x{byte:02X}"),
        })
    }

    /// Takes the next byte that is no blank if it is this one.
    pub(crate) fn take_if(&mut self, wanted: u8) -> Result<bool, IngestError> {
        let there = self.peek()? == Some(wanted);
        if there {
            self.take(wanted);
        }
        Ok(there)
    }

    /// Takes bytes without looking at them, but for the line ends.
    pub(crate) fn skip(&mut self, mut bytes: u64) -> Result<(), IngestError> {
        while bytes > 0 {
            let there = self.fill()?;
            if there.is_empty() {
                return Err(self.damaged("the file as it was a moment ago", "a shorter one"));
            }
            let used = there.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            let lines = there[..used].iter().filter(|b| **b == b'\n').count();
            self.line += lines as u64;
            self.offset += used as u64;
            bytes -= used as u64;
            self.input.consume(used);
        }
        Ok(())
    }

    /// Passes over one value; an object of at most [`LONGEST_LINE`] bytes goes into the buffer.
    pub(crate) fn value(&mut self, buffer: &mut Vec<u8>) -> Result<Kind, IngestError> {
        buffer.clear();
        let kind = match self.peek()? {
            Some(b'{') => {
                let fits = self.nested(0, Some(buffer))?;
                return Ok(if fits { Kind::Object } else { Kind::TooLong });
            }
            Some(b'[') => Kind::Other("a list"),
            Some(b'"') => Kind::Other("a string"),
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'-' => {
                self.scalar()?;
                return Ok(Kind::Other("a number or a word"));
            }
            _ => {
                let found = self.found()?;
                return Err(self.damaged("a value", &found));
            }
        };
        self.nested(0, None)?;
        Ok(kind)
    }

    /// Passes over everything up to the bracket or quote that closes what is open at this depth,
    /// or, at depth 0, what the next byte opens. Whether it fitted into the buffer.
    pub(crate) fn nested(
        &mut self,
        depth: u64,
        mut buffer: Option<&mut Vec<u8>>,
    ) -> Result<bool, IngestError> {
        let start = self.line;
        let mut nest = Nest { depth, ..Nest::default() };
        let mut fits = true;
        loop {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                let expected = format!("the end of what line {start} begins");
                return Err(self.damaged(&expected, "the end of the file"));
            }
            let end = bytes.iter().position(|byte| nest.step(*byte)).map(|at| at + 1);
            let used = end.unwrap_or(bytes.len());
            if let Some(buffer) = &mut buffer {
                fits = fits && buffer.len() + used <= LONGEST_LINE;
                if fits {
                    buffer.extend_from_slice(&bytes[..used]);
                } else {
                    buffer.clear();
                }
            }
            let lines = bytes[..used].iter().filter(|b| **b == b'\n').count();
            self.line += lines as u64;
            self.offset += used as u64;
            self.input.consume(used);
            if end.is_some() {
                return Ok(fits);
            }
        }
    }

    /// Passes over a number or a word.
    fn scalar(&mut self) -> Result<(), IngestError> {
        loop {
            match self.fill()?.first().copied() {
                Some(byte) if byte.is_ascii_alphanumeric() || b"+-._".contains(&byte) => {
                    self.take(byte);
                }
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    #[test]
    fn values_are_passed_over_whatever_is_inside() {
        let text =
            "\u{FEFF} {\"a\": \"}\\\"]\",\n \"b\": [{}]}\n, [1, \"]\"], \"x,\", -1.5e3, null }";
        // A buffer of three bytes makes every state cross a block.
        let mut e = Elements::new("f", BufReader::with_capacity(3, text.as_bytes())).unwrap();
        let mut buffer = Vec::new();
        let mut kinds = Vec::new();
        loop {
            let line = {
                e.peek().unwrap();
                e.line
            };
            kinds.push((line, e.value(&mut buffer).unwrap()));
            if !e.take_if(b',').unwrap() {
                break;
            }
        }
        let word = Kind::Other("a number or a word");
        let (list, string) = (Kind::Other("a list"), Kind::Other("a string"));
        assert_eq!(kinds, [(1, Kind::Object), (3, list), (3, string), (3, word), (3, word)]);
        assert_eq!(e.found().unwrap(), "'}'");
        assert_eq!(e.offset, text.len() as u64 - 1);
    }

    #[test]
    fn what_never_ends_is_an_error_with_both_lines() {
        let mut e = Elements::new("f", &b"\n{\"a\":\n [1"[..]).unwrap();
        let error = e.value(&mut Vec::new()).unwrap_err().to_string();
        assert_eq!(
            error,
            "f, line 3: expected the end of what line 2 begins, found the end of the file"
        );
    }

    #[test]
    fn an_object_beyond_the_limit_is_passed_over() {
        let text = format!("{{\"a\": \"{}\"}} {{}}", "x".repeat(LONGEST_LINE));
        let mut e = Elements::new("f", BufReader::new(text.as_bytes())).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(e.value(&mut buffer).unwrap(), Kind::TooLong);
        assert!(buffer.is_empty());
        assert_eq!(e.value(&mut buffer).unwrap(), Kind::Object);
        assert_eq!(buffer, b"{}");
    }
}
