//! A walk over the structure of a media file, from its first byte to its end marker.
//!
//! A walk finds every file that was cut off, without decoding anything; some decoders fill up
//! what is missing and say nothing. It also finds the number of frames and their times. It reads
//! lengths from the file and never allocates by them.

use super::code::MediaCode;

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Which of the reasons.
    pub(crate) code: MediaCode,
    /// What exactly.
    pub(crate) reason: String,
}

impl Damage {
    pub(crate) fn new(code: MediaCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn cut(bytes: &[u8], missing: &str) -> Self {
        Self::new(MediaCode::Truncated, format!("the file ends at byte {} {missing}", bytes.len()))
    }
}

/// Frames and their times, as a walk finds them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Motion {
    /// Number of frames.
    pub(crate) frames: u32,
    /// Sum of the frames' times, milliseconds.
    pub(crate) milliseconds: u64,
}

fn u16_be(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2).map(|b| usize::from(b[0]) << 8 | usize::from(b[1]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok()
}

fn u24_le(bytes: &[u8]) -> u64 {
    bytes.iter().take(3).rev().fold(0, |sum, b| sum << 8 | u64::from(*b))
}

/// JPEG: segments by their lengths, coded data up to the next marker, and the end-of-image
/// marker (ITU-T T.81, annex B).
pub(crate) fn jpeg(bytes: &[u8]) -> Result<(), Damage> {
    let cut = || Damage::cut(bytes, "before the end-of-image marker");
    let mut at = 2;
    let mut scans = 0;
    loop {
        // Up to the next marker; also over coded data, in which FF 00 is a byte and FF D0 to
        // FF D7 are restarts.
        at += bytes.get(at..).and_then(|r| r.iter().position(|b| *b == 0xFF)).ok_or_else(cut)?;
        let marker = *bytes.get(at + 1).ok_or_else(cut)?;
        at += 1;
        match marker {
            0x00 | 0x01 | 0xD0..=0xD8 => at += 1,
            0xFF => {}
            0xD9 if scans == 0 => {
                let reason = "the end-of-image marker comes before any picture";
                return Err(Damage::new(MediaCode::Corrupt, reason));
            }
            0xD9 => return Ok(()),
            _ => {
                scans += usize::from(marker == 0xDA);
                let length = u16_be(bytes, at + 1).ok_or_else(cut)?;
                if length < 2 {
                    let reason = format!("the segment at byte {at} has the length {length}");
                    return Err(Damage::new(MediaCode::Corrupt, reason));
                }
                at += 1 + length;
            }
        }
    }
}

/// PNG: chunks by their lengths up to `IEND` (W3C PNG, section 5).
pub(crate) fn png(bytes: &[u8]) -> Result<(), Damage> {
    let cut = || Damage::cut(bytes, "before the IEND chunk is complete");
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(u32_at(bytes, at).ok_or_else(cut)?) as usize;
        let kind = u32_at(bytes, at + 4).ok_or_else(cut)?;
        at = at.saturating_add(12).saturating_add(length);
        if at > bytes.len() {
            return Err(cut());
        }
        if &kind == b"IEND" {
            return Ok(());
        }
    }
}

/// APNG: frames and their times, as far as its chunks reach (PNG, third edition, section 11.3.5).
pub(crate) fn apng(bytes: &[u8]) -> Option<Motion> {
    let mut at = 8;
    let mut motion = Motion::default();
    while let (Some(length), Some(kind)) = (u32_at(bytes, at), u32_at(bytes, at + 4)) {
        if &kind == b"fcTL" {
            let delay = bytes.get(at + 28..at + 32)?;
            let of = u64::from(u16::from_be_bytes([delay[0], delay[1]]));
            let parts = u64::from(u16::from_be_bytes([delay[2], delay[3]]));
            // Hundredths where the parts of a second are not given.
            motion.milliseconds += of * 1000 / if parts == 0 { 100 } else { parts };
            motion.frames = motion.frames.saturating_add(1);
        }
        at = at.saturating_add(12).saturating_add(u32::from_be_bytes(length) as usize);
    }
    (motion.frames > 0).then_some(motion)
}

/// GIF: blocks and sub-blocks up to the trailer (GIF89a specification, appendix B).
pub(crate) fn gif(bytes: &[u8]) -> Result<Motion, Damage> {
    let cut = || Damage::cut(bytes, "before the trailer");
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(*bytes.get(10).ok_or_else(cut)?);
    let mut motion = Motion::default();
    let mut delay = 0;
    loop {
        match *bytes.get(at).ok_or_else(cut)? {
            0x3B if motion.frames == 0 => {
                return Err(Damage::new(MediaCode::Empty, "the GIF has no frame"));
            }
            0x3B => return Ok(motion),
            0x2C => {
                let flags = *bytes.get(at + 9).ok_or_else(cut)?;
                // Descriptor, local colours, code size.
                at = sub_blocks(bytes, at + 11 + table(flags)).ok_or_else(cut)?;
                motion.frames = motion.frames.saturating_add(1);
                motion.milliseconds += delay;
                delay = 0;
            }
            0x21 => {
                if bytes.get(at + 1) == Some(&0xF9) {
                    let low_high = bytes.get(at + 4..at + 6).ok_or_else(cut)?;
                    delay = 10 * u64::from(u16::from_le_bytes([low_high[0], low_high[1]]));
                }
                at = sub_blocks(bytes, at + 2).ok_or_else(cut)?;
            }
            other => {
                let reason = format!("byte {at} is 0x{other:02X}, which starts no block");
                return Err(Damage::new(MediaCode::Corrupt, reason));
            }
        }
    }
}

/// The position after a chain of sub-blocks, unless the file ends before.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

/// One RIFF chunk: its name and where its content is.
struct Chunk {
    name: [u8; 4],
    start: usize,
    length: usize,
}

/// The chunks of a RIFF file, whole or not; the last one may reach beyond the end.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk> + '_ {
    let mut at = 12;
    std::iter::from_fn(move || {
        let name = u32_at(bytes, at)?;
        let length = u32::from_le_bytes(u32_at(bytes, at + 4)?) as usize;
        let start = at + 8;
        // Chunks start at even bytes.
        at = start.saturating_add(length).saturating_add(length & 1);
        Some(Chunk { name, start, length })
    })
}

/// WebP: chunks up to the length that the header declares (RFC 9649, section 2).
pub(crate) fn webp(bytes: &[u8]) -> Result<Motion, Damage> {
    let declared = u32_at(bytes, 4).map(u32::from_le_bytes).unwrap_or_default() as usize;
    let end = declared.saturating_add(8);
    if end > bytes.len() {
        return Err(Damage::cut(bytes, &format!("of {end} that its header declares")));
    }
    let bytes = &bytes[..end];
    let mut motion = Motion::default();
    let mut still = false;
    for chunk in chunks(bytes) {
        if chunk.start.saturating_add(chunk.length) > bytes.len() {
            return Err(Damage::cut(bytes, "inside a chunk"));
        }
        match &chunk.name {
            b"VP8 " | b"VP8L" => still = true,
            b"ANMF" if chunk.length >= 16 => {
                motion.frames = motion.frames.saturating_add(1);
                motion.milliseconds += u24_le(&bytes[chunk.start + 12..]);
            }
            _ => {}
        }
    }
    match (motion.frames, still) {
        (0, false) => Err(Damage::new(MediaCode::Empty, "the WebP has no frame")),
        (0, true) => Ok(Motion { frames: 1, milliseconds: 0 }),
        _ => Ok(motion),
    }
}

/// WAV: chunks up to the end of the sound that is declared.
pub(crate) fn wav(bytes: &[u8]) -> Result<(), Damage> {
    for chunk in chunks(bytes) {
        let there = bytes.len() - chunk.start.min(bytes.len());
        if chunk.length > there {
            let name = String::from_utf8_lossy(&chunk.name).into_owned();
            let declared = chunk.length;
            let reason = format!("the chunk {name:?} declares {declared} bytes, {there} are there");
            return Err(Damage::new(MediaCode::Truncated, reason));
        }
        if &chunk.name == b"data" {
            return Ok(());
        }
    }
    Err(Damage::cut(bytes, "before the sound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GIF of two 1×1 frames, 0.5 s and 0.25 s, after the specification.
    fn two_frames() -> Vec<u8> {
        let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF".to_vec();
        for hundredths in [50u8, 25] {
            gif.extend([0x21, 0xF9, 4, 0, hundredths, 0, 0, 0]);
            gif.extend([0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 0x01, 0]);
        }
        gif.push(0x3B);
        gif
    }

    #[test]
    fn frames_and_times_of_a_gif_and_every_cut_of_it() {
        let gif = two_frames();
        assert_eq!(super::gif(&gif), Ok(Motion { frames: 2, milliseconds: 750 }));
        for end in 6..gif.len() {
            assert_eq!(
                super::gif(&gif[..end]).unwrap_err().code,
                MediaCode::Truncated,
                "cut at {end}"
            );
        }
    }

    #[test]
    fn a_jpeg_ends_at_its_marker_and_not_at_one_inside_the_data() {
        // Start, a comment that contains FF D9, a scan with a stuffed byte and a restart, end.
        let jpeg = b"\xFF\xD8\xFF\xFE\0\x04\xFF\xD9\xFF\xDA\0\x02ab\xFF\0c\xFF\xD0d\xFF\xD9";
        assert_eq!(super::jpeg(jpeg), Ok(()));
        for end in 3..jpeg.len() {
            assert_eq!(
                super::jpeg(&jpeg[..end]).unwrap_err().code,
                MediaCode::Truncated,
                "cut at {end}"
            );
        }
        assert_eq!(super::jpeg(b"\xFF\xD8\xFF\xD9").unwrap_err().code, MediaCode::Corrupt);
    }

    #[test]
    fn frames_and_times_of_an_animated_png() {
        let mut png = b"\x89PNG\r\n\x1A\n".to_vec();
        for delay in [[0, 1, 0, 4], [0, 50, 0, 0]] {
            png.extend(26u32.to_be_bytes());
            png.extend(b"fcTL");
            png.extend([0; 20]);
            png.extend(delay);
            png.extend([0; 6]);
        }
        assert_eq!(super::apng(&png), Some(Motion { frames: 2, milliseconds: 750 }));
        assert_eq!(super::apng(&png[..20]), None);
    }

    #[test]
    fn a_huge_declared_length_is_a_cut_file() {
        let mut png = b"\x89PNG\r\n\x1A\n".to_vec();
        png.extend(u32::MAX.to_be_bytes());
        png.extend(b"IDAT");
        assert_eq!(super::png(&png).unwrap_err().code, MediaCode::Truncated);
        let wav = b"RIFF\xFF\xFF\xFF\xFFWAVEdata\xFF\xFF\xFF\xFFab";
        let damage = super::wav(wav).unwrap_err();
        assert!(damage.reason.contains("4294967295 bytes, 2 are there"), "{damage:?}");
        assert_eq!(super::wav(b"RIFF\0\0\0\0WAVE").unwrap_err().code, MediaCode::Truncated);
    }
}
