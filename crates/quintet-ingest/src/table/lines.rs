//! Lines of a text file, with numbers, a length limit and a way to put some back.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use crate::IngestError;

/// The longest line, bytes. A longer one is one fault, and is skipped without being held.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// What [`Lines::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Text,
    /// A line beyond [`LONGEST_LINE`]; it was skipped.
    TooLong,
    /// No more lines.
    End,
}

/// Reads line by line.
pub(crate) struct Lines<R> {
    file: String,
    input: R,
    number: u64,
    pending: VecDeque<(u64, Vec<u8>)>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(file: &str, input: R) -> Self {
        Self { file: file.to_owned(), input, number: 0, pending: VecDeque::new() }
    }

    /// Reads the next line into `buffer` and gives its number, counted from 1.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<(u64, Line), IngestError> {
        if let Some((number, line)) = self.pending.pop_front() {
            *buffer = line;
            return Ok((number, Line::Text));
        }
        buffer.clear();
        let limit = LONGEST_LINE as u64 + 1;
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', buffer)
            .map_err(IngestError::io(&self.file))?;
        if read == 0 {
            return Ok((self.number, Line::End));
        }
        self.number += 1;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
            if buffer.last() == Some(&b'\r') {
                buffer.pop();
            }
        } else if buffer.len() > LONGEST_LINE {
            self.skip_rest()?;
            buffer.clear();
            return Ok((self.number, Line::TooLong));
        }
        if self.number == 1 {
            self.byte_order_mark(buffer)?;
        }
        Ok((self.number, Line::Text))
    }

    /// Puts lines back, so that they are read next, in this order.
    pub(crate) fn put_back(&mut self, lines: Vec<(u64, Vec<u8>)>) {
        for line in lines.into_iter().rev() {
            self.pending.push_front(line);
        }
    }

    fn byte_order_mark(&self, buffer: &mut Vec<u8>) -> Result<(), IngestError> {
        if buffer.starts_with(&[0xEF, 0xBB, 0xBF]) {
            buffer.drain(..3);
        } else if buffer.starts_with(&[0xFF, 0xFE]) || buffer.starts_with(&[0xFE, 0xFF]) {
            return Err(IngestError::Header {
                file: self.file.clone(),
                line: 1,
                found: "UTF-16 text; save it as UTF-8".to_owned(),
            });
        }
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), IngestError> {
        loop {
            let bytes = self.input.fill_buf().map_err(IngestError::io(&self.file))?;
            if bytes.is_empty() {
                return Ok(());
            }
            let newline = bytes.iter().position(|b| *b == b'\n');
            let used = newline.map_or(bytes.len(), |at| at + 1);
            self.input.consume(used);
            if newline.is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, Line, String)> {
        let mut lines = Lines::new("f", text);
        let mut buffer = Vec::new();
        let mut out = Vec::new();
        loop {
            let (number, line) = lines.next(&mut buffer).unwrap();
            if line == Line::End {
                return out;
            }
            out.push((number, line, String::from_utf8_lossy(&buffer).into_owned()));
        }
    }

    #[test]
    fn line_ends_of_both_kinds_and_none_at_the_end() {
        let lines = all(b"\xEF\xBB\xBFa\r\n\nb");
        let texts: Vec<_> = lines.iter().map(|(n, _, t)| (*n, t.as_str())).collect();
        assert_eq!(texts, [(1, "a"), (2, ""), (3, "b")]);
    }

    #[test]
    fn an_over_long_line_is_skipped_and_the_next_one_has_its_number() {
        let mut text = b"a\n".to_vec();
        text.resize(text.len() + LONGEST_LINE + 1, b'x');
        text.extend(b"\nb\n");
        let lines = all(&text);
        assert_eq!(lines[1], (2, Line::TooLong, String::new()));
        assert_eq!(lines[2], (3, Line::Text, "b".to_owned()));
    }

    #[test]
    fn utf_16_is_named() {
        let err = Lines::new("f", &b"\xFF\xFEa\0"[..]).next(&mut Vec::new()).unwrap_err();
        assert!(err.to_string().contains("UTF-16"), "{err}");
    }
}
