//! A look at the footer of a Parquet file before the decoder sees it.
//!
//! The decoder takes memory for as many row groups as the footer promises, before it reads one.
//! A number that was made up would end the process, not the file. So the number is compared with
//! the bytes that the footer has.
//!
//! The footer is a struct of Thrift in the compact protocol, with the list of row groups as its
//! field 4 (Apache Parquet format, `parquet.thrift`, `FileMetaData`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// The footer's length and the magic bytes after it.
const TAIL: u64 = 8;
/// The field of the row groups.
const ROW_GROUPS: i64 = 4;
/// How deep structs and lists may lie in each other.
const DEEPEST: u32 = 64;

/// Checks that the row groups can be as many as the footer says. What else is wrong with the
/// file, the decoder says.
pub(crate) fn row_groups(file: &mut File) -> Result<(), String> {
    let Some(footer) = footer(file).map_err(|e| e.to_string())? else { return Ok(()) };
    match promised(&footer) {
        Some(n) if n > footer.len() as u64 => {
            Err(format!("a footer of {} bytes that promises {n} row groups", footer.len()))
        }
        _ => Ok(()),
    }
}

/// The footer, where the file's end has the form of one.
fn footer(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    if length < TAIL {
        return Ok(None);
    }
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(length - TAIL))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != *b"PAR1" || size > length - TAIL {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(length - TAIL - size))?;
    let mut footer = Vec::new();
    file.take(size).read_to_end(&mut footer)?;
    Ok(Some(footer))
}

/// How many row groups a footer promises; none where it cannot be read so far.
fn promised(footer: &[u8]) -> Option<u64> {
    let mut thrift = Thrift { bytes: footer };
    let mut field = 0;
    loop {
        let kind = thrift.field(&mut field)?;
        if field == ROW_GROUPS && kind == LIST {
            return thrift.list().map(|(n, _)| n);
        }
        thrift.skip(kind, 0)?;
    }
}

// Types of the compact protocol (Apache Thrift, `thrift-compact-protocol.md`).
const STOP: u8 = 0;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Reads as much of the compact protocol as is needed to pass over values.
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn pass(&mut self, n: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(n).ok()?..)?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The head of a field: its type; its number goes on from the one before. None at the end.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let head = self.byte()?;
        if head & 0x0F == STOP {
            return None;
        }
        let step = i64::from(head >> 4);
        if step == 0 {
            let zigzag = self.number()?;
            *number = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        } else {
            *number = number.checked_add(step)?;
        }
        Some(head & 0x0F)
    }

    /// The head of a list: how many, and of which type.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let n = match head >> 4 {
            15 => self.number()?,
            n => u64::from(n),
        };
        Some((n, head & 0x0F))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth == DEEPEST {
            return None;
        }
        match kind {
            // A truth value of a field is in its type.
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let n = self.number()?;
                self.pass(n)
            }
            LIST | SET => {
                let (n, kind) = self.list()?;
                (0..n).try_for_each(|_| self.element(kind, depth))
            }
            MAP => {
                let n = self.number()?;
                let kinds = if n == 0 { 0 } else { self.byte()? };
                (0..n).try_for_each(|_| {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 0x0F, depth)
                })
            }
            STRUCT => {
                let mut number = 0;
                loop {
                    // The end of the struct and the end of the bytes look the same.
                    if self.bytes.first().is_none_or(|b| b & 0x0F == STOP) {
                        return self.pass(1);
                    }
                    let kind = self.field(&mut number)?;
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => None,
        }
    }

    /// A member of a list or map, where a truth value is a byte of its own.
    fn element(&mut self, kind: u8, depth: u32) -> Option<()> {
        match kind {
            1 | 2 => self.pass(1),
            kind => self.skip(kind, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Version 2, no schema, 3 rows, then the list of row groups.
    const BEFORE: &[u8] = &[0x15, 0x04, 0x19, 0x0C, 0x16, 0x06, 0x19];

    fn footer(rest: &[u8]) -> Vec<u8> {
        [BEFORE, rest].concat()
    }

    #[test]
    fn the_number_of_row_groups_is_found() {
        assert_eq!(promised(&footer(&[0x1C])), Some(1));
        assert_eq!(promised(&footer(&[0xFC, 0xAC, 0x02])), Some(300));
        assert_eq!(promised(&footer(&[])), None);
        assert_eq!(promised(&[]), None);
        // Fields that are not known are passed over: text, a map, a struct in a list.
        let odd = [0x18, 2, b'a', b'b', 0x1B, 1, 0x88, 0, 0, 0x19, 0x1C, 0x11, 0x00, 0x19, 0x2C];
        assert_eq!(promised(&odd), Some(2));
    }

    #[test]
    fn a_number_that_is_made_up_is_refused_before_memory_is_taken() {
        let mut file = tempfile::tempfile().unwrap();
        let footer = footer(&[0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]);
        let tail = [&(footer.len() as u32).to_le_bytes()[..], b"PAR1"].concat();
        std::io::Write::write_all(&mut file, &[b"PAR1".to_vec(), footer, tail].concat()).unwrap();
        let error = row_groups(&mut file).unwrap_err();
        assert_eq!(error, "a footer of 13 bytes that promises 2147483647 row groups");
    }

    #[test]
    fn lists_in_lists_do_not_go_down_for_ever() {
        assert_eq!(promised(&[0x19; 10_000]), None);
    }
}
