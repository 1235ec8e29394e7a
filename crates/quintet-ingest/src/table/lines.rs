//! Lines of a text file, with numbers, a length limit and a way to put some back.
//!
//! A line ends with `\n` or `\r\n`. In a file that has `\r` but no `\n` in its first 64 KiB, as
//! old Macs wrote them, a line ends with `\r`. A lone `\r` of any other file is part of a cell.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use super::source::read_error;
use crate::IngestError;
use crate::log::Flaw;
use crate::report::FaultCode;

/// The longest line, bytes. A longer one is one fault, and is skipped without being held.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// How many bytes are looked at to learn how lines end.
const LOOK: usize = 1 << 16;

/// The last byte of the lines of a file with these first bytes.
pub(crate) fn line_end(head: &[u8]) -> u8 {
    let head = &head[..head.len().min(LOOK)];
    // A `\r` that is the last byte may be the first half of a `\r\n`.
    let lone = head.iter().position(|b| *b == b'\r').is_some_and(|at| at + 1 < head.len());
    if lone && !head.contains(&b'\n') { b'\r' } else { b'\n' }
}

/// The flaw of a row beyond [`LONGEST_LINE`].
pub(crate) fn too_long(what: &str) -> Flaw {
    let expected = format!("{what} of at most {} MiB", LONGEST_LINE >> 20);
    Flaw::new(FaultCode::LineTooLong, expected, "a longer one")
}

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
    /// Memory of blocks that are done with.
    spare: Vec<Vec<u8>>,
    file: String,
    input: R,
    number: u64,
    /// Lines that were put back; without text, one that was too long.
    pending: VecDeque<(u64, Option<Vec<u8>>)>,
    /// The last byte of a line, once it is known.
    end: Option<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(file: &str, input: R) -> Self {
        let (spare, pending) = (Vec::new(), VecDeque::new());
        Self { spare, file: file.to_owned(), input, number: 0, pending, end: None }
    }

    /// Reads the next line into `buffer` and gives its number, counted from 1.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<(u64, Line), IngestError> {
        buffer.clear();
        match self.pending.pop_front() {
            Some((number, Some(line))) => {
                *buffer = line;
                return Ok((number, Line::Text));
            }
            Some((number, None)) => return Ok((number, Line::TooLong)),
            None => {}
        }
        let end = self.end()?;
        let limit = LONGEST_LINE as u64 + 1;
        let read = (&mut self.input).take(limit).read_until(end, buffer);
        let read = read.map_err(|e| read_error(&self.file, self.number, e))?;
        if read == 0 {
            return Ok((self.number, Line::End));
        }
        self.number += 1;
        if buffer.last() == Some(&end) {
            buffer.pop();
            if end == b'\n' && buffer.last() == Some(&b'\r') {
                buffer.pop();
            }
        } else if buffer.len() > LONGEST_LINE {
            self.skip_rest(end)?;
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
            self.pending.push_front((line.0, Some(line.1)));
        }
    }

    /// Reads about `size` bytes of whole lines, which go on with the number that comes with them;
    /// none when the next line has to be read on its own, or there is no more.
    pub(crate) fn block(&mut self, size: usize) -> Result<Option<(u64, Vec<u8>)>, IngestError> {
        // The first line may have a byte order mark; lines of old Macs are rare.
        if !self.pending.is_empty() || self.number == 0 || self.end()? != b'\n' {
            return Ok(None);
        }
        let number = self.number;
        let io = |error| read_error(&self.file, number, error);
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.reserve_exact(size + (size >> 4));
        (&mut self.input).take(size as u64).read_to_end(&mut bytes).map_err(io)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() == size && bytes.last() != Some(&b'\n') {
            let limit = LONGEST_LINE as u64 + 1;
            (&mut self.input).take(limit).read_until(b'\n', &mut bytes).map_err(io)?;
        }
        let first = self.number + 1;
        self.number += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        let ended = bytes.last() == Some(&b'\n');
        if !ended {
            self.number += 1;
        }
        // Only the last line can be longer than a block.
        let text = &bytes[..bytes.len() - usize::from(ended)];
        let start = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
        if text.len() - start > LONGEST_LINE {
            if !ended {
                self.skip_rest(b'\n')?;
            }
            bytes.truncate(start);
            self.pending.push_back((self.number, None));
        }
        Ok(Some((first, bytes)))
    }

    /// Takes back the memory of a block that is done with: fresh memory costs as much as parsing.
    pub(crate) fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare.push(bytes);
    }

    /// Puts the lines of a block back.
    pub(crate) fn put_back_block(&mut self, first: u64, mut bytes: Vec<u8>) {
        let ended = bytes.last() == Some(&b'\n');
        if ended {
            bytes.pop();
        }
        let mut lines: Vec<(u64, Vec<u8>)> = (first..)
            .zip(bytes.split(|b| *b == b'\n'))
            .map(|(number, line)| (number, line.to_vec()))
            .collect();
        // Without a `\n` after it, the `\r` of the last line belongs to its cell.
        let n_ended = lines.len() - usize::from(!ended);
        for (_, line) in &mut lines[..n_ended] {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        self.put_back(lines);
    }

    /// Puts a line back that was too long, so that it is read next.
    pub(crate) fn put_back_too_long(&mut self, number: u64) {
        self.pending.push_front((number, None));
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

    /// How the lines of this file end.
    fn end(&mut self) -> Result<u8, IngestError> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let head = self.input.fill_buf().map_err(|e| read_error(&self.file, 0, e))?;
        let end = line_end(head);
        self.end = Some(end);
        Ok(end)
    }

    fn skip_rest(&mut self, end: u8) -> Result<(), IngestError> {
        loop {
            let bytes = self.input.fill_buf();
            let bytes = bytes.map_err(|e| read_error(&self.file, self.number, e))?;
            if bytes.is_empty() {
                return Ok(());
            }
            let newline = bytes.iter().position(|b| *b == end);
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
    fn a_lone_carriage_return_ends_lines_only_where_nothing_else_does() {
        let texts = |text: &[u8]| all(text).into_iter().map(|(_, _, t)| t).collect::<Vec<_>>();
        assert_eq!(texts(b"a,b\r1,2\r\r3,4"), ["a,b", "1,2", "", "3,4"]);
        assert_eq!(texts(b"a\rb\n1\r\n\r\n"), ["a\rb", "1", ""]);
        assert_eq!(texts(b"a\r"), ["a\r"]);
        assert_eq!((line_end(b"a\rb"), line_end(b"a\r"), line_end(b"")), (b'\r', b'\n', b'\n'));
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
    fn blocks_are_the_same_lines() {
        let text: Vec<u8> = (0..50).flat_map(|i| format!("line {i}\r\n").into_bytes()).collect();
        for size in [1, 7, 64, 10_000] {
            let mut lines = Lines::new("f", &text[..]);
            let mut buffer = Vec::new();
            assert_eq!(lines.next(&mut buffer).unwrap(), (1, Line::Text));
            let mut joined = Vec::new();
            while let Some((first, bytes)) = lines.block(size).unwrap() {
                assert_eq!(first as usize, 2 + joined.iter().filter(|b| **b == b'\n').count());
                assert!(bytes.ends_with(b"\n"));
                joined.extend(bytes);
            }
            assert_eq!(joined, text[8..]);
        }
        let mut lines = Lines::new("f", &text[..]);
        lines.next(&mut Vec::new()).unwrap();
        let (first, bytes) = lines.block(20).unwrap().unwrap();
        lines.put_back_block(first, bytes);
        assert_eq!(lines.block(20).unwrap(), None);
        let mut buffer = Vec::new();
        for i in 1..50 {
            assert_eq!(lines.next(&mut buffer).unwrap(), (i + 1, Line::Text));
            assert_eq!(buffer, format!("line {i}").into_bytes());
        }
        assert_eq!(lines.next(&mut buffer).unwrap().1, Line::End);
    }

    #[test]
    fn an_over_long_line_ends_its_block() {
        let mut text = b"h\na\n".to_vec();
        text.resize(text.len() + LONGEST_LINE + 1, b'x');
        text.extend(b"\nb\nc");
        let mut lines = Lines::new("f", &text[..]);
        lines.next(&mut Vec::new()).unwrap();
        let (first, bytes) = lines.block(4).unwrap().unwrap();
        assert!((first, &bytes[..]) == (2, b"a\n"), "{first} {}", bytes.len());
        assert_eq!(lines.block(4).unwrap(), None);
        assert_eq!(lines.next(&mut Vec::new()).unwrap(), (3, Line::TooLong));
        assert_eq!(lines.block(9).unwrap(), Some((4, b"b\nc".to_vec())));
        assert_eq!(lines.block(9).unwrap(), None);
    }

    #[test]
    fn a_carriage_return_at_the_end_of_the_file_stays_when_a_block_is_put_back() {
        let text = b"h\na\r\n\r\nb\r";
        let read = |by_block: bool| {
            let mut lines = Lines::new("f", &text[..]);
            let mut buffer = Vec::new();
            lines.next(&mut buffer).unwrap();
            if by_block {
                let (first, bytes) = lines.block(100).unwrap().unwrap();
                lines.put_back_block(first, bytes);
            }
            let mut out = Vec::new();
            while let (number, Line::Text) = lines.next(&mut buffer).unwrap() {
                out.push((number, buffer.clone()));
            }
            out
        };
        assert_eq!(read(true), [(2, b"a".to_vec()), (3, vec![]), (4, b"b\r".to_vec())]);
        assert_eq!(read(true), read(false));
    }

    #[test]
    fn utf_16_is_named() {
        let err = Lines::new("f", &b"\xFF\xFEa\0"[..]).next(&mut Vec::new()).unwrap_err();
        assert!(err.to_string().contains("UTF-16"), "{err}");
    }
}
