//! Frame headers of MPEG audio: a synchronisation word alone is found in any file, two frames
//! that follow each other are not (ISO 11172-3, section 2.4.1.3; ISO 13818-7, section 6.2).

use super::kind::{Family, Kind};
use super::numbers::be32;

/// How far behind the start, or behind a tag, the first frame may be.
const MOST_JUNK: usize = 16 << 10;

/// Bit rates in kbit/s: MPEG-1 layers I, II, III, then MPEG-2 layer I and layers II and III.
const RATES: [[u32; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// The bits that all frames of a stream share: synchronisation, version, layer, sample rate.
const SHARED: u32 = 0xFFFE_0C00;

/// Length of a frame in bytes; `None` if it is no header, or one without a bit rate.
fn frame_length(header: u32) -> Option<usize> {
    if header >> 21 != 0x7FF {
        return None;
    }
    let (version, layer) = (header >> 19 & 3, header >> 17 & 3);
    let (rate, frequency) = ((header >> 12 & 15) as usize, (header >> 10 & 3) as usize);
    if version == 1 || layer == 0 || !(1..15).contains(&rate) || frequency == 3 {
        return None;
    }
    // Layer 3 is I, 2 is II, 1 is III; version 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5.
    let row = match (version, layer) {
        (3, layer) => 3 - layer as usize,
        (_, 3) => 3,
        _ => 4,
    };
    let bits = RATES[row][rate - 1] * 1000;
    let halved = match version {
        3 => 0,
        2 => 1,
        _ => 2,
    };
    let hertz = [44_100, 48_000, 32_000][frequency] >> halved;
    let padding = header >> 9 & 1;
    let length = match (layer, version) {
        (3, _) => (12 * bits / hertz + padding) * 4,
        (1, 0 | 2) => 72 * bits / hertz + padding,
        _ => 144 * bits / hertz + padding,
    };
    Some(length as usize)
}

/// Whether an MPEG audio frame starts at `at` and another follows it, or the file ends there.
fn two_frames(bytes: &[u8], at: usize) -> Option<Kind> {
    let header = be32(bytes, at)?;
    let next = at + frame_length(header)?;
    let follows = match be32(bytes, next) {
        Some(other) => header & SHARED == other & SHARED && frame_length(other).is_some(),
        None => next == bytes.len(),
    };
    // A tag may come after the only frame.
    let tagged = bytes.get(next..next + 3) == Some(b"TAG");
    (follows || tagged).then_some(match header >> 17 & 3 {
        1 => Kind::Mp3,
        2 => Kind::Named("MPEG audio of layer II", Family::Sound),
        _ => Kind::Named("MPEG audio of layer I", Family::Sound),
    })
}

/// Whether an ADTS frame starts at `at` and another follows it, or the file ends there.
fn two_adts_frames(bytes: &[u8], at: usize) -> bool {
    let length = |at: usize| {
        let header = bytes.get(at..at + 7)?;
        let is_adts = header[0] == 0xFF && header[1] & 0xF6 == 0xF0 && header[2] >> 2 & 15 < 13;
        let length = usize::from(header[3] & 3) << 11
            | usize::from(header[4]) << 3
            | usize::from(header[5]) >> 5;
        (is_adts && length >= 7).then_some(length)
    };
    let Some(next) = length(at).map(|n| at + n) else { return false };
    next == bytes.len() || length(next).is_some()
}

/// The first MPEG audio or AAC stream within a stretch from `start`.
pub(super) fn stream(bytes: &[u8], start: usize) -> Option<Kind> {
    let end = bytes.len().min(start.saturating_add(MOST_JUNK));
    let window = bytes.get(start..end)?;
    let starts = window.iter().enumerate().filter(|(_, b)| **b == 0xFF).map(|(i, _)| start + i);
    starts.into_iter().find_map(|at| {
        if two_adts_frames(bytes, at) { Some(Kind::Aac) } else { two_frames(bytes, at) }
    })
}

/// The length of the ID3v2 tag at the start, header included; 0 if there is none.
pub(super) fn id3_length(bytes: &[u8]) -> usize {
    let Some(header) = bytes.get(..10).filter(|h| h.starts_with(b"ID3")) else { return 0 };
    if header[6..].iter().any(|b| *b >= 0x80) {
        return 0;
    }
    let size = header[6..].iter().fold(0, |sum, b| sum << 7 | usize::from(*b));
    let footer = if header[5] & 0x10 != 0 { 10 } else { 0 };
    10 + size + footer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes each.
    pub(crate) fn frames(n: usize) -> Vec<u8> {
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x00]);
        frame.repeat(n)
    }

    #[test]
    fn the_length_of_a_frame() {
        assert_eq!(frame_length(0xFFFB_9000), Some(417));
        assert_eq!(frame_length(0xFFFB_9200), Some(418));
        // MPEG-2 layer III, 64 kbit/s, 22.05 kHz: 72 · 64000 / 22050 = 208.
        assert_eq!(frame_length(0xFFF3_8000), Some(208));
        // MPEG-1 layer I, 384 kbit/s, 48 kHz: 12 · 384000 / 48000 · 4 = 384.
        assert_eq!(frame_length(0xFFFF_C400), Some(384));
        for no_header in [0, 0xFFFB_0000, 0xFFFB_F000, 0xFFFB_9C00, 0xFFEB_9000] {
            assert_eq!(frame_length(no_header), None, "{no_header:08X}");
        }
    }

    #[test]
    fn one_synchronisation_word_is_no_stream() {
        let mut lone = frames(1);
        lone.extend([0; 500]);
        assert_eq!(stream(&lone, 0), None);
        assert_eq!(stream(&frames(1), 0), Some(Kind::Mp3));
        let mut junk = vec![0; 100];
        junk.extend(frames(3));
        assert_eq!(stream(&junk, 0), Some(Kind::Mp3));
    }

    #[test]
    fn adts_is_no_mp3() {
        // 44.1 kHz, two channels, 16 bytes a frame.
        let frame = [0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(stream(&frame.repeat(2), 0), Some(Kind::Aac));
    }

    #[test]
    fn a_tag_is_as_long_as_it_says() {
        assert_eq!(id3_length(b"ID3\x04\0\0\0\0\x01\x02more"), 10 + 130);
        assert_eq!(id3_length(b"ID3\x04\0\x10\0\0\0\x05more"), 25);
        assert_eq!(id3_length(b"ID3\x04\0\0\xFF\0\0\x05more"), 0);
        assert_eq!(id3_length(b"MP3"), 0);
    }
}
