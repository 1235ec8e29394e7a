//! A walk through the messages of an Arrow file or stream before the decoder sees them.
//!
//! The decoder takes memory for as many bytes as a message promises before it reads them, and a
//! promise that was made up would end the process. So every length is compared with the file,
//! the number of rows and the size after unpacking with limits, and a stream must have its mark
//! of the end, without which nobody can tell whether it was cut off between two messages.
//!
//! The layout is that of the Arrow columnar format, "Serialization and Interprocess
//! Communication (IPC)".

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use arrow_ipc::{Block, Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};
use arrow_schema::ArrowError;

/// The most rows of a batch; the format advises no more than this.
const MOST_ROWS: i64 = i32::MAX as i64;
/// The most bytes that the packed buffers of a batch may become.
const MOST_UNPACKED: u64 = 4 << 30;
/// The longest metadata of a message, bytes.
const MOST_METADATA: u64 = 64 << 20;
/// The footer's length and the magic bytes after it.
const TAIL: u64 = 10;
/// The mark that a length follows.
const CONTINUATION: [u8; 4] = [0xFF; 4];

fn wrong<T>(text: impl Into<String>) -> Result<T, ArrowError> {
    Err(ArrowError::IpcError(text.into()))
}

/// Checks a file: its footer, and each message that the footer points to.
pub(crate) fn file(input: &mut File) -> Result<(), ArrowError> {
    let length = input.metadata()?.len();
    if length < TAIL {
        return wrong(format!("a file of {length} bytes"));
    }
    input.seek(SeekFrom::Start(length - TAIL))?;
    let mut tail = [0; TAIL as usize];
    input.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != *b"ARROW1" {
        return wrong("no footer at the end of the file");
    }
    if size > length - TAIL || size > MOST_METADATA {
        return wrong(format!("a footer of {size} bytes in a file of {length}"));
    }
    let bytes = read(input, length - TAIL - size, size)?;
    let footer = root_as_footer(&bytes).or_else(|e| wrong(format!("a footer with {e}")))?;
    if footer.schema().is_none() {
        return wrong("a footer without a schema");
    }
    let blocks = footer.dictionaries().into_iter().chain(footer.recordBatches()).flatten();
    blocks.enumerate().try_for_each(|(i, block)| check_block(input, length, i, block))
}

/// Checks one message of a file.
fn check_block(input: &mut File, length: u64, i: usize, block: &Block) -> Result<(), ArrowError> {
    let part = |n: i64| u64::try_from(n).ok();
    let end = || {
        let head = part(i64::from(block.metaDataLength()))?;
        part(block.offset())?.checked_add(head)?.checked_add(part(block.bodyLength())?)
    };
    if end().is_none_or(|end| end > length) || block.metaDataLength() < 8 {
        let (offset, head, body) = (block.offset(), block.metaDataLength(), block.bodyLength());
        let at = format!("{head} + {body} bytes at {offset}");
        return wrong(format!("message {i} of {at} in a file of {length}"));
    }
    // None of the three is negative.
    let (offset, head) = (block.offset() as u64, block.metaDataLength() as u64);
    if head > MOST_METADATA {
        return wrong(format!("message {i} with metadata of {head} bytes"));
    }
    let bytes = read(input, offset, head)?;
    let start = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = parse(&bytes[start..], i)?;
    check_batches(input, &message, offset + head, block.bodyLength() as u64, i)
}

/// Checks a stream message by message, up to its end.
pub(crate) fn stream(input: &mut File) -> Result<(), ArrowError> {
    let length = input.metadata()?.len();
    let mut at = 0;
    for i in 0.. {
        let mut word = [0; 4];
        let mut next = |at: &mut u64| -> Result<Option<[u8; 4]>, ArrowError> {
            if length - *at < 4 {
                return Ok(None);
            }
            input.seek(SeekFrom::Start(*at))?;
            input.read_exact(&mut word)?;
            *at += 4;
            Ok(Some(word))
        };
        let mut size = next(&mut at)?;
        if size == Some(CONTINUATION) {
            size = next(&mut at)?;
        }
        let Some(size) = size else {
            return wrong(format!("the end of the file in place of message {i}"));
        };
        let size = u64::from(u32::from_le_bytes(size));
        if size == 0 {
            return Ok(());
        }
        if size > MOST_METADATA || size > length - at {
            let left = length - at;
            return wrong(format!("message {i} with metadata of {size} bytes, {left} are left"));
        }
        let bytes = read(input, at, size)?;
        at += size;
        let message = parse(&bytes, i)?;
        let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        if body > length - at {
            return wrong(format!("message {i} of {body} bytes, {} are left", length - at));
        }
        check_batches(input, &message, at, body, i)?;
        at += body;
    }
    Ok(())
}

fn parse(bytes: &[u8], i: usize) -> Result<Message<'_>, ArrowError> {
    root_as_message(bytes).or_else(|e| wrong(format!("message {i} with {e}")))
}

/// Checks the rows and the packed buffers of a message whose body is at a place of the file.
fn check_batches(
    input: &mut File,
    message: &Message<'_>,
    at: u64,
    body: u64,
    i: usize,
) -> Result<(), ArrowError> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|batch| batch.data())
        }
        _ => None,
    };
    let Some(batch) = batch else { return Ok(()) };
    let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
    if let Some(rows) = nodes.chain([batch.length()]).find(|n| !(0..=MOST_ROWS).contains(n)) {
        return wrong(format!("message {i} of {rows} rows"));
    }
    if batch.compression().is_some() {
        let unpacked = unpacked(input, &batch, at, body)?;
        if unpacked > MOST_UNPACKED {
            let most = MOST_UNPACKED >> 30;
            return wrong(format!("message {i} of {unpacked} unpacked bytes, over {most} GiB"));
        }
    }
    Ok(())
}

/// How many bytes the packed buffers of a batch say that they become.
fn unpacked(
    input: &mut File,
    batch: &RecordBatch<'_>,
    at: u64,
    body: u64,
) -> Result<u64, ArrowError> {
    let mut sum: u64 = 0;
    for buffer in batch.buffers().into_iter().flatten() {
        let (offset, length) = (buffer.offset(), buffer.length());
        if length == 0 {
            continue;
        }
        let place = u64::try_from(offset).ok().filter(|offset| offset.saturating_add(8) <= body);
        let Some(place) = place.filter(|_| length >= 8) else {
            return wrong(format!("a buffer of {length} bytes at {offset} in {body}"));
        };
        let mut size = [0; 8];
        input.seek(SeekFrom::Start(at + place))?;
        input.read_exact(&mut size)?;
        // -1 says that the buffer is not packed after all.
        sum = sum.saturating_add(u64::try_from(i64::from_le_bytes(size)).unwrap_or(0));
    }
    Ok(sum)
}

/// Bytes that were found to be in the file.
fn read(input: &mut File, at: u64, length: u64) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    input.seek(SeekFrom::Start(at))?;
    input.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
