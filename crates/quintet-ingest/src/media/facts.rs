//! What the header of a file says of its size and length, without decoding it.
//!
//! Everything here reads a slice that is in memory already, never allocates by a number from the
//! file, and walks forward, so that its time is bounded by the length of the file.

use std::io::Cursor;
use std::panic::catch_unwind;

use lofty::config::ParseOptions;
use lofty::file::{AudioFile, FileType};
use lofty::probe::Probe as LoftyProbe;

use super::kind::Kind;
use super::numbers::{array, be16, be32, be64, find, le16, le32, le64};
use super::{boxes, ebml, ogg, structure};

/// What a header says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Facts {
    /// Pixels.
    pub(crate) width: Option<u32>,
    /// Pixels.
    pub(crate) height: Option<u32>,
    pub(crate) seconds: Option<f32>,
    /// Pictures of a film.
    pub(crate) frames: Option<u32>,
    /// Samples a second.
    pub(crate) rate: Option<u32>,
    pub(crate) channels: Option<u16>,
}

impl Facts {
    /// A length, if it is one: finite, not negative, below ten years.
    pub(super) fn length(seconds: Option<f64>) -> Self {
        let seconds = seconds.filter(|s| (0.0..3e8).contains(s)).map(|s| s as f32);
        Self { seconds, ..Self::default() }
    }

    /// Sound.
    pub(super) fn sound(rate: u32, channels: u16, seconds: Option<f64>) -> Self {
        let (rate, channels) = (Some(rate).filter(|r| *r > 0), Some(channels).filter(|c| *c > 0));
        Self { rate, channels, ..Self::length(seconds) }
    }

    /// A size; a side of zero is no size.
    pub(super) fn size(width: u32, height: u32) -> Self {
        let there = width > 0 && height > 0;
        Self { width: there.then_some(width), height: there.then_some(height), ..Self::default() }
    }

    /// The facts in a bracket, for a message; empty if there are none.
    pub(crate) fn shown(&self) -> String {
        let mut parts = Vec::new();
        if let (Some(width), Some(height)) = (self.width, self.height) {
            parts.push(format!("{width} × {height} pixels"));
        }
        parts.extend(self.frames.map(|n| format!("{n} frames")));
        parts.extend(self.rate.map(|n| format!("{n} Hz")));
        parts.extend(self.channels.map(|n| format!("{n} channels")));
        parts.extend(self.seconds.map(|s| format!("{s:.1} s")));
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

/// What the header of a file of this kind says; nothing where it is damaged.
pub(crate) fn facts(bytes: &[u8], kind: Kind) -> Facts {
    // A library that panics on a stranger's file costs the facts, not the run.
    catch_unwind(|| of_kind(bytes, kind)).ok().flatten().unwrap_or_default()
}

fn of_kind(bytes: &[u8], kind: Kind) -> Option<Facts> {
    match kind {
        Kind::Jpeg | Kind::Png | Kind::Gif | Kind::WebP | Kind::Bmp => still(bytes),
        Kind::Apng => {
            let motion = structure::apng(bytes)?;
            let frames = Some(motion.frames);
            let seconds = Facts::length(Some(motion.milliseconds as f64 / 1000.0)).seconds;
            Some(Facts { frames, seconds, ..still(bytes)? })
        }
        Kind::Tiff | Kind::Ico | Kind::Pnm | Kind::Qoi => {
            let size = imagesize::blob_size(bytes).ok()?;
            Some(Facts::size(size.width.try_into().ok()?, size.height.try_into().ok()?))
        }
        Kind::Avif | Kind::Heif => boxes::picture(bytes),
        Kind::Wav | Kind::Rf64 | Kind::Rifx => wav(bytes),
        Kind::Flac => ogg::flac(bytes),
        Kind::OggVorbis | Kind::OggOpus | Kind::OggFlac | Kind::OggSpeex | Kind::OggTheora => {
            ogg::facts(bytes, kind)
        }
        Kind::Mp3 => by_lofty(bytes, FileType::Mpeg),
        Kind::Aac => by_lofty(bytes, FileType::Aac),
        Kind::Aiff => by_lofty(bytes, FileType::Aiff),
        Kind::Ape => by_lofty(bytes, FileType::Ape),
        Kind::WavPack => by_lofty(bytes, FileType::WavPack),
        Kind::Musepack => by_lofty(bytes, FileType::Mpc),
        Kind::Au => au(bytes),
        Kind::Caf => caf(bytes),
        Kind::M4a | Kind::Mp4 | Kind::Mov | Kind::ThreeGp => boxes::facts(bytes),
        Kind::Matroska | Kind::WebM | Kind::MatroskaSound => ebml::facts(bytes),
        Kind::Avi => avi(bytes),
        Kind::Flv => flv(bytes),
        Kind::MpegPs => mpeg_picture(bytes),
        Kind::Svg | Kind::MpegTs | Kind::Named(..) | Kind::Unknown => None,
    }
}

/// Pictures that are decoded here, by the header reader of their decoder.
fn still(bytes: &[u8]) -> Option<Facts> {
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    Some(Facts::size(width, height))
}

/// Tagged sound, by the library for it: Xing and VBRI headers, rates, frame counts.
fn by_lofty(bytes: &[u8], file_type: FileType) -> Option<Facts> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let probe = LoftyProbe::with_file_type(Cursor::new(bytes), file_type).options(options);
    let file = probe.read().ok()?;
    let properties = file.properties();
    let seconds = Some(properties.duration().as_secs_f64()).filter(|s| *s > 0.0);
    let channels = properties.channels().unwrap_or(0);
    Some(Facts::sound(properties.sample_rate()?, u16::from(channels), seconds))
}

/// The format chunk and the length of the sound, also where the coding is not PCM.
fn wav(bytes: &[u8]) -> Option<Facts> {
    let big = bytes.starts_with(b"RIFX");
    let long = |at| if big { be32(bytes, at) } else { le32(bytes, at) };
    let short = |at| if big { be16(bytes, at) } else { le16(bytes, at) };
    let (mut at, mut wide, mut format) = (12, None, None);
    loop {
        let (name, length) = (array::<4>(bytes, at)?, long(at + 4)?);
        let start = at + 8;
        match &name {
            // RF64: the length of the sound, which does not fit into 32 bits (EBU 3306).
            b"ds64" => wide = le64(bytes, start + 8),
            b"fmt " => format = Some((short(start + 2)?, long(start + 4)?, long(start + 8)?)),
            b"data" => {
                let (channels, rate, bytes_a_second) = format?;
                let declared = if length == u32::MAX { wide? } else { u64::from(length) };
                let there = declared.min((bytes.len() - start) as u64);
                let seconds =
                    (bytes_a_second > 0).then(|| there as f64 / f64::from(bytes_a_second));
                return Some(Facts::sound(rate, channels, seconds));
            }
            _ => {}
        }
        at = start.checked_add(length as usize)?.checked_add((length & 1) as usize)?;
    }
}

/// The header of Sun and NeXT sound.
fn au(bytes: &[u8]) -> Option<Facts> {
    let (offset, declared, coding) = (be32(bytes, 4)?, be32(bytes, 8)?, be32(bytes, 12)?);
    let (rate, channels) = (be32(bytes, 16)?, u16::try_from(be32(bytes, 20)?).ok()?);
    let width = match coding {
        1 | 2 | 27 => Some(1),
        3 => Some(2),
        4 => Some(3),
        5 | 6 => Some(4),
        7 => Some(8),
        _ => None,
    };
    let there = (bytes.len() as u64).saturating_sub(u64::from(offset)).min(u64::from(declared));
    let a_second = width.map(|w: u32| f64::from(w) * f64::from(channels) * f64::from(rate));
    Some(Facts::sound(rate, channels, a_second.map(|n| there as f64 / n)))
}

/// The description and the number of frames of Core Audio sound.
fn caf(bytes: &[u8]) -> Option<Facts> {
    let rate = f64::from_bits(be64(bytes, 20)?);
    let (packet_bytes, packet_frames) = (be32(bytes, 36)?, be32(bytes, 40)?);
    let channels = u16::try_from(be32(bytes, 44)?).ok()?;
    let (mut at, mut frames) = (8, None);
    while let (Some(name), Some(length)) = (array::<4>(bytes, at), be64(bytes, at + 4)) {
        let start = at + 12;
        match &name {
            b"pakt" => frames = be64(bytes, start + 8).or(frames),
            b"data" if packet_bytes > 0 => {
                // Four bytes of an edit count come before the sound.
                let there = (bytes.len().saturating_sub(start + 4) as u64).min(length);
                frames = Some(there / u64::from(packet_bytes) * u64::from(packet_frames));
            }
            _ => {}
        }
        let Some(next) = usize::try_from(length).ok().and_then(|n| start.checked_add(n)) else {
            break;
        };
        at = next;
    }
    let known = (1.0..1e7).contains(&rate);
    known.then(|| Facts::sound(rate as u32, channels, frames.map(|n| n as f64 / rate)))
}

/// The main header of an AVI.
fn avi(bytes: &[u8]) -> Option<Facts> {
    if bytes.get(20..28)? != b"hdrlavih" {
        return None;
    }
    let (time, frames) = (le32(bytes, 32)?, le32(bytes, 48)?);
    let seconds = (time > 0 && frames > 0).then(|| f64::from(time) * f64::from(frames) / 1e6);
    let frames = Some(frames).filter(|n| *n > 0);
    let size = Facts::size(le32(bytes, 64)?, le32(bytes, 68)?);
    Some(Facts { frames, seconds: Facts::length(seconds).seconds, ..size })
}

/// The numbers of the script tag that Flash films start with.
fn flv(bytes: &[u8]) -> Option<Facts> {
    let start = &bytes[..bytes.len().min(64 << 10)];
    let number = |name: &[u8]| {
        let at = find(start, name)? + name.len();
        // The marker of a number, and the number.
        (*start.get(at)? == 0).then_some(())?;
        be64(start, at + 1).map(f64::from_bits).filter(|n| n.is_finite())
    };
    let side = |name| number(name).filter(|n| (1.0..1e6).contains(n)).map(|n| n as u32);
    let size = Facts::size(side(b"width").unwrap_or(0), side(b"height").unwrap_or(0));
    Some(Facts { seconds: Facts::length(number(b"duration")).seconds, ..size })
}

/// The first sequence header of MPEG-1 or 2 (ISO 13818-2, section 6.2.2.1).
fn mpeg_picture(bytes: &[u8]) -> Option<Facts> {
    let start = &bytes[..bytes.len().min(1 << 20)];
    let at = find(start, b"\0\0\x01\xB3")? + 4;
    let packed = be32(start, at)? >> 8;
    Some(Facts::size(packed >> 12, packed & 0xFFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_shown_as_a_person_would() {
        assert_eq!(Facts::default().shown(), "");
        let facts = Facts { frames: Some(50), ..Facts::size(4, 3) };
        assert_eq!(facts.shown(), " (4 × 3 pixels, 50 frames)");
        assert_eq!(Facts::sound(8000, 1, Some(2.0)).shown(), " (8000 Hz, 1 channels, 2.0 s)");
        assert_eq!(Facts::size(0, 9), Facts::default());
        assert_eq!(Facts::length(Some(f64::NAN)).seconds, None);
    }

    /// A film header of 2 s by itself, without anything behind it.
    fn avi_header() -> Vec<u8> {
        let mut avi = b"RIFF\0\0\0\0AVI LIST\xC0\0\0\0hdrlavih\x38\0\0\0".to_vec();
        let numbers = [40_000u32, 0, 0, 0, 50, 0, 1, 0, 320, 240];
        avi.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        avi
    }

    #[test]
    fn headers_of_small_formats() {
        let facts = super::facts(&avi_header(), Kind::Avi);
        assert_eq!((facts.width, facts.height), (Some(320), Some(240)));
        assert_eq!((facts.frames, facts.seconds), (Some(50), Some(2.0)));
        let mut au = b".snd".to_vec();
        au.extend([24u32, u32::MAX, 3, 8000, 2].iter().flat_map(|n| n.to_be_bytes()));
        au.extend([0; 32_000]);
        assert_eq!(super::facts(&au, Kind::Au), Facts::sound(8000, 2, Some(1.0)));
        let mut wav = b"RIFX\0\0\0\0WAVEfmt \0\0\0\x10".to_vec();
        wav.extend([0, 1, 0, 1]);
        wav.extend([8000u32, 16_000].iter().flat_map(|n| n.to_be_bytes()));
        wav.extend(b"\0\x02\0\x10data\0\0\x7D\0");
        wav.resize(wav.len() + 32_000, 0);
        assert_eq!(super::facts(&wav, Kind::Rifx), Facts::sound(8000, 1, Some(2.0)));
        let film = b"\0\0\x01\xBAjunk\0\0\x01\xB3\x16\0\xF0\x15";
        assert_eq!(super::facts(film, Kind::MpegPs), Facts::size(352, 240));
        let mut flv = b"FLV\x01\x05duration\0".to_vec();
        flv.extend(2.5f64.to_be_bytes());
        assert_eq!(super::facts(&flv, Kind::Flv).seconds, Some(2.5));
    }

    #[test]
    fn every_cut_of_a_header_is_survived() {
        let avi = avi_header();
        for kind in [Kind::Avi, Kind::Wav, Kind::Caf, Kind::Au, Kind::Flv, Kind::Mp4, Kind::WebM] {
            for end in 0..avi.len() {
                assert_eq!(super::facts(&avi[..end], kind).seconds, None, "{kind:?} at {end}");
            }
        }
    }
}
