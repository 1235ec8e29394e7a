//! The bytes of a text table: plain, gzip or Zstandard, told apart by the first bytes.
//!
//! A packed file is unpacked while it is read, and never held as a whole. What comes out is
//! limited, so that a small file cannot keep a machine busy for days: at most
//! [`MOST_UNPACKED`] bytes, and past the first [`FREE`] bytes at most [`MOST_RATIO`] times what
//! was read. Tables of text are packed 3 to 30 times; a file of zeros 220 to 1,030 times with
//! gzip, and more than 10,000 times with Zstandard.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::IngestError;

/// Bytes of a text table, unpacked where need be.
pub(crate) type Source = Box<dyn BufRead + Send>;

/// The most bytes that come out of one packed file.
const MOST_UNPACKED: u64 = 256 << 30;
/// So many bytes may come out of a packed file whatever its ratio is.
const FREE: u64 = 64 << 20;
/// The most bytes that come out for each byte that goes in.
const MOST_RATIO: u64 = 200;
/// Zstandard keeps at most 2 to this power bytes of what came out before.
const WINDOW_LOG_MAX: u32 = 27;
/// Bytes that are read at a time.
const BLOCK: usize = 1 << 16;

/// What a file is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// What the first bytes of a file say.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            // A frame, or one that is to be skipped (RFC 8878, sections 3.1.1 and 3.1.2).
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        }
    }
}

/// Opens a file and unpacks it where it is packed.
pub(crate) fn open(file: &str, path: &Path) -> Result<Source, IngestError> {
    let raw = File::open(path).map_err(IngestError::io(file))?;
    unpack(raw).map_err(IngestError::io(file))
}

/// Unpacks bytes where they are packed.
pub(crate) fn unpack<R: Read + Send + 'static>(raw: R) -> io::Result<Source> {
    let mut input = BufReader::with_capacity(BLOCK, Counted { inner: raw, bytes: 0 });
    let Some(packing) = Packing::of(input.fill_buf()?) else {
        return Ok(Box::new(input));
    };
    let decoder: Box<dyn Decoder> = match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(BufReader::with_capacity(BLOCK, Unpacked { decoder, packing, bytes: 0 })))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// A decoder that knows how many packed bytes it has read.
trait Decoder: Read + Send {
    fn packed(&self) -> u64;
}

impl<R: Read + Send> Decoder for MultiGzDecoder<BufReader<Counted<R>>> {
    fn packed(&self) -> u64 {
        self.get_ref().get_ref().bytes
    }
}

impl<R: Read + Send> Decoder for zstd::stream::read::Decoder<'_, BufReader<Counted<R>>> {
    fn packed(&self) -> u64 {
        self.get_ref().get_ref().bytes
    }
}

/// What comes out of a decoder, within the limits.
struct Unpacked {
    decoder: Box<dyn Decoder>,
    packing: Packing,
    bytes: u64,
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer).map_err(|e| damage(self.packing, e))?;
        self.bytes += read as u64;
        match too_much(self.bytes, self.decoder.packed()) {
            Some(damage) => Err(io::Error::other(damage)),
            None => Ok(read),
        }
    }
}

/// Whether more came out than a table would.
fn too_much(unpacked: u64, packed: u64) -> Option<Damage> {
    if unpacked > MOST_UNPACKED {
        let expected = format!("at most {} GiB of unpacked text", MOST_UNPACKED >> 30);
        return Some(Damage { expected, found: "more".to_owned() });
    }
    if unpacked > FREE && unpacked / MOST_RATIO > packed {
        let expected = format!("at most {MOST_RATIO} bytes of text out of one packed byte");
        let found = format!(
            "{} MiB out of {packed} bytes; unpack the file first if it is in order",
            unpacked >> 20
        );
        return Some(Damage { expected, found });
    }
    None
}

fn damage(packing: Packing, error: io::Error) -> io::Error {
    // What the system says about the file is not about its content.
    if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
        return error;
    }
    let found = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the end of the file before the end of the data".to_owned(),
        _ => error.to_string(),
    };
    io::Error::other(Damage { expected: format!("whole {} data", packing.name()), found })
}

/// What is wrong with packed data.
#[derive(Debug)]
struct Damage {
    expected: String,
    found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl Error for Damage {}

/// The error for a source that ends while it is read, with the last line that was reached.
pub(crate) fn read_error(file: &str, line: u64, error: io::Error) -> IngestError {
    let file = file.to_owned();
    match error.get_ref().and_then(|e| e.downcast_ref::<Damage>()) {
        Some(Damage { expected, found }) => {
            IngestError::Damaged { file, line, expected: expected.clone(), found: found.clone() }
        }
        None => IngestError::Io { file, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut source = unpack(Cursor::new(bytes.to_vec())).map_err(|e| e.to_string())?;
        source.read_to_end(&mut out).map_err(|e| read_error("f", 7, e).to_string())?;
        Ok(out)
    }

    #[test]
    fn plain_and_packed_bytes_are_told_apart_by_content() {
        let zstd = zstd::encode_all(&b"one\n"[..], 1).unwrap();
        assert_eq!(Packing::of(&zstd), Some(Packing::Zstd));
        for bytes in [b"one\n".to_vec(), gzip(b"one\n"), zstd] {
            assert_eq!(read(&bytes).unwrap(), b"one\n");
        }
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn all_members_and_frames_are_read() {
        assert_eq!(read(&[gzip(b"one\n"), gzip(b"two\n")].concat()).unwrap(), b"one\ntwo\n");
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        assert_eq!(read(&[frame(b"one\n"), frame(b"two\n")].concat()).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn data_that_is_cut_or_changed_is_an_error_with_the_line() {
        let text: Vec<u8> =
            (0..2_000u32).flat_map(|i| format!("{i},{}\n", i * i).into_bytes()).collect();
        for (bytes, name) in
            [(gzip(&text), "gzip"), (zstd::encode_all(&text[..], 1).unwrap(), "Zstandard")]
        {
            for cut in [4, 11, bytes.len() / 2, bytes.len() - 1] {
                let error = read(&bytes[..cut]).unwrap_err();
                assert!(error.starts_with("f, line 7: expected whole "), "{cut}: {error}");
                assert!(error.contains(name) && error.contains("end of the file"), "{error}");
            }
        }
        let mut bytes = gzip(&text);
        let at = bytes.len() - 6;
        bytes[at] ^= 1;
        assert!(read(&bytes).unwrap_err().contains("expected whole gzip data"));
    }

    #[test]
    fn limits_are_of_the_ratio_past_the_free_part_and_of_the_whole() {
        assert!(too_much(FREE, 1).is_none());
        assert!(too_much(FREE + MOST_RATIO, FREE / MOST_RATIO + 1).is_none());
        let ratio = too_much(FREE + 2 * MOST_RATIO, FREE / MOST_RATIO).unwrap();
        assert!(ratio.to_string().contains("at most 200 bytes"), "{ratio}");
        let whole = too_much(MOST_UNPACKED + 1, MOST_UNPACKED).unwrap();
        assert!(whole.to_string().contains("256 GiB"), "{whole}");
    }
}
