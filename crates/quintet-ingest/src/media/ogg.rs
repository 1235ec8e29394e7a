//! Ogg pages (RFC 3533): what the first packets say, and where the last page says it ends.

use super::facts::Facts;
use super::kind::{Family, Kind};
use super::numbers::{array, be16, be24, be32, be64, le16, le32, le64};

/// A page: only what is needed here.
struct Page<'a> {
    serial: u32,
    starts: bool,
    granule: u64,
    body: &'a [u8],
    end: usize,
}

fn page(bytes: &[u8], at: usize) -> Option<Page<'_>> {
    let header = bytes.get(at..)?;
    if !header.starts_with(b"OggS") {
        return None;
    }
    let segments = usize::from(*header.get(26)?);
    let length: usize = header.get(27..27 + segments)?.iter().map(|b| usize::from(*b)).sum();
    let start = at + 27 + segments;
    let end = bytes.len().min(start + length);
    Some(Page {
        serial: le32(header, 14)?,
        starts: header[5] & 2 != 0,
        granule: le64(header, 6)?,
        body: &bytes[start..end],
        end,
    })
}

/// The pages that open the streams; all of them come before any other page.
fn openings(bytes: &[u8]) -> impl Iterator<Item = Page<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let page = page(bytes, at).filter(|page| page.starts)?;
        at = page.end;
        Some(page)
    })
}

fn kind_of(packet: &[u8]) -> Option<Kind> {
    let known: [(&[u8], Kind); 5] = [
        (b"\x80theora", Kind::OggTheora),
        (b"\x01vorbis", Kind::OggVorbis),
        (b"OpusHead", Kind::OggOpus),
        (b"\x7FFLAC", Kind::OggFlac),
        (b"Speex   ", Kind::OggSpeex),
    ];
    known.into_iter().find(|(start, _)| packet.starts_with(start)).map(|(_, kind)| kind)
}

/// A film if one of the streams is one, else the first sound.
pub(super) fn kind(bytes: &[u8]) -> Kind {
    let mut found = Kind::Named("an Ogg stream", Family::Other);
    for kind in openings(bytes).filter_map(|page| kind_of(page.body)) {
        match (found, kind) {
            (_, Kind::OggTheora) => return kind,
            (Kind::Named(..), _) => found = kind,
            _ => {}
        }
    }
    found
}

/// The last position that the pages of a stream name.
fn last_granule(bytes: &[u8], serial: u32) -> Option<u64> {
    let mut end = bytes.len();
    while let Some(at) = bytes[..end].windows(4).rposition(|window| window == b"OggS") {
        // A page without the end of a packet names no position.
        let page = page(bytes, at).filter(|p| p.serial == serial && p.granule != u64::MAX);
        if let Some(page) = page {
            return Some(page.granule);
        }
        end = at + 3;
    }
    None
}

/// Size, rate and length of the stream that gives the file its kind.
pub(super) fn facts(bytes: &[u8], kind: Kind) -> Option<Facts> {
    let first = openings(bytes).find(|page| kind_of(page.body) == Some(kind))?;
    let packet = first.body;
    // Zero is the position of the headers: a file that ends behind them.
    let granule = last_granule(bytes, first.serial).filter(|g| (1..1 << 62).contains(g));
    if kind == Kind::OggTheora {
        return theora(packet, granule);
    }
    // Sample rate, channels, samples before the sound, and positions in a second.
    let (rate, channels, skip, ticks) = match kind {
        Kind::OggVorbis => (le32(packet, 12)?, u16::from(*packet.get(11)?), 0, le32(packet, 12)?),
        // Positions count at 48 kHz whatever the source had (RFC 7845, section 4).
        Kind::OggOpus => (48_000, u16::from(*packet.get(9)?), le16(packet, 10)?, 48_000),
        Kind::OggSpeex => {
            (le32(packet, 36)?, u16::try_from(le32(packet, 48)?).ok()?, 0, le32(packet, 36)?)
        }
        _ => {
            let info = stream_info(packet.get(17..)?)?;
            (info.rate?, info.channels?, 0, info.rate?)
        }
    };
    let samples = granule.map(|g| g.saturating_sub(u64::from(skip)));
    Some(Facts::sound(rate, channels, samples.map(|s| s as f64 / f64::from(ticks))))
}

/// The identification header of Theora (specification, section 6.2).
fn theora(packet: &[u8], granule: Option<u64>) -> Option<Facts> {
    let (rate, per) = (be32(packet, 22)?, be32(packet, 26)?);
    // Six bits of quality, then five of the shift between key frames and the others.
    let shift = be16(packet, 40)? >> 5 & 31;
    let frames = granule.map(|g| (g >> shift) + (g & ((1 << shift) - 1)));
    let seconds = frames.map(|n| n as f64 * f64::from(per) / f64::from(rate));
    Some(Facts {
        width: be24(packet, 14),
        height: be24(packet, 17),
        frames: frames.and_then(|n| u32::try_from(n).ok()),
        ..Facts::length(seconds)
    })
}

/// The block STREAMINFO of FLAC (RFC 9639, section 8.2).
pub(super) fn stream_info(block: &[u8]) -> Option<Facts> {
    let packed = be64(block, 10)?;
    let rate = (packed >> 44) as u32;
    let channels = (packed >> 41 & 7) as u16 + 1;
    let samples = packed & 0xF_FFFF_FFFF;
    let seconds = (samples > 0).then(|| samples as f64 / f64::from(rate));
    (rate > 0).then(|| Facts::sound(rate, channels, seconds))
}

/// FLAC by itself.
pub(super) fn flac(bytes: &[u8]) -> Option<Facts> {
    let start = super::mpeg::id3_length(bytes);
    let bytes = bytes.get(start..)?;
    let head: [u8; 5] = array(bytes, 0)?;
    (head.starts_with(b"fLaC") && head[4] & 0x7F == 0).then(|| stream_info(bytes.get(8..)?))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(flags: u8, granule: u64, serial: u32, body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend(granule.to_le_bytes());
        page.extend(serial.to_le_bytes());
        page.extend([0; 8]);
        page.extend([1, body.len() as u8]);
        page.extend(body);
        page
    }

    #[test]
    fn the_last_page_of_the_right_stream_gives_the_length() {
        let mut vorbis = b"\x01vorbis\0\0\0\0\x02".to_vec();
        vorbis.extend(44_100u32.to_le_bytes());
        let mut ogg = page_of(2, 0, 7, b"fishead\0");
        ogg.extend(page_of(2, 0, 9, &vorbis));
        ogg.extend(page_of(0, 88_200, 9, b"data"));
        ogg.extend(page_of(4, 999, 7, b""));
        ogg.extend(page_of(4, u64::MAX, 9, b""));
        assert_eq!(kind(&ogg), Kind::OggVorbis);
        let facts = facts(&ogg, Kind::OggVorbis).unwrap();
        assert_eq!((facts.rate, facts.channels, facts.seconds), (Some(44_100), Some(2), Some(2.0)));
    }

    #[test]
    fn a_film_with_sound_is_a_film() {
        let mut theora = b"\x80theora\x03\x02\x01\0\x14\0\x0F".to_vec();
        theora.extend([0, 1, 64, 0, 0, 240, 0, 0]);
        theora.extend([0, 0, 0, 25, 0, 0, 0, 1]);
        theora.extend([0; 10]);
        // The shift 6.
        theora.extend([0x00, 0xC0]);
        let mut ogg = page_of(2, 0, 1, b"\x01vorbis\0\0\0\0\x02\x44\xAC\0\0");
        ogg.extend(page_of(2, 0, 2, &theora));
        ogg.extend(page_of(0, 64 << 6 | 11, 2, b""));
        assert_eq!(kind(&ogg), Kind::OggTheora);
        let facts = facts(&ogg, Kind::OggTheora).unwrap();
        assert_eq!((facts.width, facts.height), (Some(320), Some(240)));
        assert_eq!((facts.frames, facts.seconds), (Some(75), Some(3.0)));
    }

    #[test]
    fn the_numbers_of_a_flac_header() {
        // 48 kHz, stereo, 16 bits, 96,000 samples.
        let packed = 48_000u64 << 44 | 1 << 41 | 15 << 36 | 96_000;
        let mut flac = b"fLaC\0\0\0\x22".to_vec();
        flac.extend([0; 10]);
        flac.extend(packed.to_be_bytes());
        let facts = super::flac(&flac).unwrap();
        assert_eq!((facts.rate, facts.channels, facts.seconds), (Some(48_000), Some(2), Some(2.0)));
        assert_eq!(super::flac(&flac[..20]), None);
    }
}
