//! WAV files: where their samples lie, and the samples as mono.
//!
//! The RIFF chunks are walked here, so that sizes are checked against the file before anything is
//! allocated, padding bytes are honoured and errors can say what is missing; the format chunk
//! and the samples are decoded by `hound`.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hound::{Sample, SampleFormat, WavReader, WavSpec};
use quintet_tensor::{DecodeKind, EncodeError};

/// Largest file that is opened, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Rates that are analysed, Hz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// A file with more chunks before its samples is taken for corrupt.
const MAX_CHUNKS: usize = 10_000;
/// Samples handed on at once.
const BLOCK: usize = 8_192;

/// A WAV file whose header has been checked and whose samples are there in full.
///
/// It is what [`LogMel`](crate::LogMel) reads: the samples stay in the file until they are
/// analysed, block by block, so that memory does not grow with the length of the sound.
#[derive(Debug, Clone)]
pub struct WavSource {
    path: PathBuf,
    /// A header that `hound` reads, up to the samples.
    header: Vec<u8>,
    data_start: u64,
    data_len: u64,
    spec: WavSpec,
    frames: u64,
}

impl WavSource {
    /// Opens a file and checks its header: PCM of 8, 16, 24 or 32 bits or float of 32 bits, any
    /// number of channels, 1 to 384 kHz, at most 256 MiB.
    ///
    /// # Errors
    /// The file cannot be read, is too large, is no WAV file, has a format that is not read,
    /// holds no sample, or ends before the samples that its header declares.
    pub fn open(path: &Path) -> Result<Self, EncodeError> {
        let read = |source| EncodeError::Read { path: path.display().to_string(), source };
        let meta = std::fs::metadata(path).map_err(read)?;
        if !meta.is_file() {
            let found = if meta.is_dir() { "a folder" } else { "no regular file" };
            return Err(decode(path, DecodeKind::Unsupported, "a WAV file", found));
        }
        if meta.len() > MAX_BYTES {
            return Err(EncodeError::TooLarge {
                origin: path.display().to_string(),
                what: "size in bytes",
                limit: MAX_BYTES,
                found: meta.len(),
            });
        }
        let file = BufReader::new(File::open(path).map_err(read)?);
        let layout = Walk { path, file, pos: 0, len: meta.len() }.layout()?;
        Self::checked(path, layout)
    }

    fn checked(path: &Path, layout: Layout) -> Result<Self, EncodeError> {
        let header = layout.header();
        let reader = WavReader::new(Cursor::new(&header)).map_err(|e| hound_error(path, e))?;
        let spec = reader.spec();
        let frames = u64::from(reader.duration());
        let container = u32::from(layout.block_align / spec.channels.max(1));
        let readable = match spec.sample_format {
            SampleFormat::Int => {
                matches!(
                    (container, spec.bits_per_sample),
                    (1, 8) | (2, 16) | (3 | 4, 24) | (4, 32)
                )
            }
            SampleFormat::Float => (container, spec.bits_per_sample) == (4, 32),
        };
        if !readable {
            let found = format!("{} bits in {container} bytes", spec.bits_per_sample);
            return Err(decode(path, DecodeKind::Unsupported, FORMATS, &found));
        }
        if !RATES.contains(&spec.sample_rate) {
            let found = format!("{} Hz", spec.sample_rate);
            return Err(decode(path, DecodeKind::Unsupported, "a rate of 1 to 384 kHz", &found));
        }
        if frames == 0 {
            return Err(decode(path, DecodeKind::Empty, "samples", "a data chunk of 0 bytes"));
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            data_start: layout.data_start,
            data_len: layout.data_len,
            spec,
            frames,
        })
    }

    /// Samples a second, Hz.
    pub fn rate(&self) -> u32 {
        self.spec.sample_rate
    }

    /// Channels.
    pub fn channels(&self) -> u16 {
        self.spec.channels
    }

    /// Length, seconds.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.spec.sample_rate)
    }

    /// Hands the first `max_frames` samples to `take`, block by block: the mean of the channels,
    /// full scale ±1.
    ///
    /// # Errors
    /// The file changed, cannot be read, or holds a float that is not finite.
    pub(crate) fn mono(
        &self,
        max_frames: u64,
        take: impl FnMut(&[f32]),
    ) -> Result<(), EncodeError> {
        let read = |source| EncodeError::Read { path: self.path.display().to_string(), source };
        let mut file = File::open(&self.path).map_err(read)?;
        file.seek(SeekFrom::Start(self.data_start)).map_err(read)?;
        let samples = BufReader::with_capacity(1 << 16, file.take(self.data_len));
        let reader = WavReader::new(Cursor::new(&self.header).chain(samples))
            .map_err(|e| hound_error(&self.path, e))?;
        let frames = self.frames.min(max_frames);
        match self.spec.sample_format {
            SampleFormat::Float => self.blocks(reader, frames, |s: f32| s, take),
            SampleFormat::Int => {
                let full = 2f64.powi(i32::from(self.spec.bits_per_sample) - 1);
                self.blocks(reader, frames, |s: i32| (f64::from(s) / full) as f32, take)
            }
        }
    }

    fn blocks<R: Read, S: Sample>(
        &self,
        reader: WavReader<R>,
        frames: u64,
        scale: impl Fn(S) -> f32,
        mut take: impl FnMut(&[f32]),
    ) -> Result<(), EncodeError> {
        let mut samples = reader.into_samples::<S>();
        let mut block = Vec::with_capacity(BLOCK);
        for frame in 0..frames {
            let mut sum = 0.0f64;
            for _ in 0..self.spec.channels {
                let sample = match samples.next() {
                    Some(s) => scale(s.map_err(|e| hound_error(&self.path, e))?),
                    None => return Err(self.shorter(frame)),
                };
                if !sample.is_finite() {
                    let found = format!("{sample} at sample {frame}");
                    return Err(decode(&self.path, DecodeKind::Corrupt, "finite samples", &found));
                }
                sum += f64::from(sample);
            }
            block.push((sum / f64::from(self.spec.channels)) as f32);
            if block.len() == BLOCK {
                take(&block);
                block.clear();
            }
        }
        take(&block);
        Ok(())
    }

    fn shorter(&self, frame: u64) -> EncodeError {
        let (expected, found) = (format!("{} samples", self.frames), format!("{frame}"));
        decode(&self.path, DecodeKind::Truncated, &expected, &found)
    }
}

const FORMATS: &str = "PCM of 8, 16, 24 or 32 bits or float of 32 bits";

fn decode(path: &Path, kind: DecodeKind, expected: &str, found: &str) -> EncodeError {
    EncodeError::Decode {
        origin: path.display().to_string(),
        kind,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

fn hound_error(path: &Path, error: hound::Error) -> EncodeError {
    match error {
        hound::Error::IoError(source) => match source.kind() {
            // `hound` reports the end of its input as `Other`.
            std::io::ErrorKind::Other | std::io::ErrorKind::UnexpectedEof => {
                decode(path, DecodeKind::Truncated, "more bytes", "the end of the file")
            }
            _ => EncodeError::Read { path: path.display().to_string(), source },
        },
        hound::Error::FormatError(reason) => {
            decode(path, DecodeKind::Corrupt, "a consistent WAV header", reason)
        }
        other => decode(path, DecodeKind::Unsupported, FORMATS, &other.to_string()),
    }
}

/// What the chunks of a file say.
struct Layout {
    /// The part of the format chunk that matters.
    fmt: Vec<u8>,
    block_align: u16,
    data_start: u64,
    data_len: u64,
}

impl Layout {
    /// A minimal header with the same meaning.
    fn header(&self) -> Vec<u8> {
        let data_len = (self.data_len as u32).to_le_bytes();
        let mut out = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
        out.extend((self.fmt.len() as u32).to_le_bytes());
        out.extend(&self.fmt);
        out.extend(b"data");
        out.extend(data_len);
        out
    }
}

/// Walks over the chunks of a file of `len` bytes.
struct Walk<'a> {
    path: &'a Path,
    file: BufReader<File>,
    pos: u64,
    len: u64,
}

impl Walk<'_> {
    fn layout(mut self) -> Result<Layout, EncodeError> {
        self.riff()?;
        let mut fmt = None;
        for _ in 0..MAX_CHUNKS {
            let head = self.bytes(8, "a data chunk")?;
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            match (&head[..4], fmt.take()) {
                (b"fmt ", _) => fmt = Some(self.fmt(size)?),
                (b"data", Some(fmt)) => return self.data(fmt, size),
                (b"data", None) => {
                    return Err(self.corrupt("a format chunk before the data", "none"));
                }
                (_, earlier) => {
                    self.skip(u64::from(size), "the chunk")?;
                    fmt = earlier;
                }
            }
            // Chunks begin at even places; a missing last padding byte harms nobody.
            if size % 2 == 1 && self.pos < self.len {
                self.skip(1, "padding")?;
            }
        }
        Err(self.corrupt("a data chunk", &format!("{MAX_CHUNKS} other chunks")))
    }

    fn riff(&mut self) -> Result<(), EncodeError> {
        if self.len == 0 {
            return Err(decode(self.path, DecodeKind::Empty, "a WAV file", "0 bytes"));
        }
        let head = self.bytes(self.len.min(12) as usize, "a WAV header")?;
        if head.len() < 12 && b"RIFF".starts_with(&head[..head.len().min(4)]) {
            return Err(self.truncated("a WAV header of 12 bytes"));
        }
        if head.starts_with(b"RIFF") && head[8..] == *b"WAVE" {
            return Ok(());
        }
        Err(decode(self.path, DecodeKind::Unsupported, "a WAV file", &kind_of(&head)))
    }

    fn fmt(&mut self, size: u32) -> Result<Vec<u8>, EncodeError> {
        if size < 16 {
            return Err(self.corrupt("a format chunk of 16 bytes or more", &size.to_string()));
        }
        // Longer chunks occur in the wild; their tails say nothing that is needed.
        let kept = size.min(40) as usize;
        let mut fmt = self.bytes(kept, "the format chunk")?;
        self.skip(u64::from(size) - kept as u64, "the format chunk")?;
        let tag = u16::from_le_bytes([fmt[0], fmt[1]]);
        match (tag, kept) {
            (1 | 3, _) => fmt.truncate(16),
            // The size of the extension, so that `hound` takes the part that was kept.
            (0xfffe, 40) => fmt[16..18].copy_from_slice(&22u16.to_le_bytes()),
            (0xfffe, _) => {
                return Err(
                    self.corrupt("an extensible format chunk of 40 bytes", &kept.to_string())
                );
            }
            _ => {
                let found = format!("format tag {tag:#06x}{}", tag_name(tag));
                return Err(decode(self.path, DecodeKind::Unsupported, FORMATS, &found));
            }
        }
        Ok(fmt)
    }

    fn data(self, fmt: Vec<u8>, size: u32) -> Result<Layout, EncodeError> {
        let there = self.len - self.pos;
        if u64::from(size) > there {
            let expected = format!("{size} bytes of samples");
            return Err(decode(self.path, DecodeKind::Truncated, &expected, &there.to_string()));
        }
        Ok(Layout {
            block_align: u16::from_le_bytes([fmt[12], fmt[13]]),
            fmt,
            data_start: self.pos,
            data_len: u64::from(size),
        })
    }

    fn bytes(&mut self, n: usize, what: &str) -> Result<Vec<u8>, EncodeError> {
        if self.len - self.pos < n as u64 {
            return Err(self.truncated(what));
        }
        let mut out = vec![0; n];
        self.file.read_exact(&mut out).map_err(|e| self.read(e))?;
        self.pos += n as u64;
        Ok(out)
    }

    fn skip(&mut self, n: u64, what: &str) -> Result<(), EncodeError> {
        if self.len - self.pos < n {
            return Err(self.truncated(what));
        }
        self.file.seek_relative(n as i64).map_err(|e| self.read(e))?;
        self.pos += n;
        Ok(())
    }

    fn read(&self, source: std::io::Error) -> EncodeError {
        EncodeError::Read { path: self.path.display().to_string(), source }
    }

    fn truncated(&self, expected: &str) -> EncodeError {
        let found = format!("the end of the file after {} bytes", self.len);
        decode(self.path, DecodeKind::Truncated, expected, &found)
    }

    fn corrupt(&self, expected: &str, found: &str) -> EncodeError {
        decode(self.path, DecodeKind::Corrupt, expected, found)
    }
}

fn tag_name(tag: u16) -> &'static str {
    match tag {
        0x0002 => " (ADPCM)",
        0x0006 => " (A-law)",
        0x0007 => " (µ-law)",
        0x0011 => " (IMA ADPCM)",
        0x0055 => " (MP3)",
        _ => "",
    }
}

/// What a file that is not WAV seems to be.
fn kind_of(head: &[u8]) -> String {
    let known = match head {
        [b'f', b'L', b'a', b'C', ..] => "FLAC",
        [b'O', b'g', b'g', b'S', ..] => "Ogg",
        [b'I', b'D', b'3', ..] | [0xff, 0xe2..=0xff, ..] => "MP3",
        [b'R', b'F', b'6', b'4', ..] => "RF64",
        [b'R', b'I', b'F', b'X', ..] => "RIFX (big-endian)",
        [b'F', b'O', b'R', b'M', ..] => "AIFF",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4",
        [b'R', b'I', b'F', b'F', ..] => "RIFF of another kind",
        _ => return format!("bytes {:02x?}", &head[..head.len().min(4)]),
    };
    known.to_owned()
}
