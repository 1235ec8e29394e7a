//! Elements of Matroska and WebM (RFC 8794, RFC 9559): kind, sizes, length.

use super::facts::Facts;
use super::kind::{Family, Kind};

/// An element: its id with the marker bits, and its content, cut at the end of its parent.
struct Element<'a> {
    id: u32,
    body: &'a [u8],
}

const HEADER: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;

fn elements(bytes: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let id_length = bytes.get(at)?.leading_zeros() as usize + 1;
        if id_length > 4 {
            return None;
        }
        let id = number(bytes.get(at..at + id_length)?);
        let size_at = at + id_length;
        let marker = *bytes.get(size_at)?;
        let size_length = marker.leading_zeros() as usize + 1;
        if size_length > 8 {
            return None;
        }
        let start = size_at + size_length;
        let coded = number(bytes.get(size_at..start)?);
        let most = (1u64 << (7 * size_length)) - 1;
        // All ones: the size was not known when the header was written; up to the parent's end.
        let size = if coded & most == most { u64::MAX } else { coded & most };
        let end = usize::try_from(size).map_or(bytes.len(), |n| start.saturating_add(n));
        let body = &bytes[start..end.min(bytes.len())];
        at = end.min(bytes.len());
        Some(Element { id: u32::try_from(id).ok()?, body })
    })
}

/// A whole number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |sum, b| sum << 8 | u64::from(*b))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

fn child(bytes: &[u8], id: u32) -> Option<&[u8]> {
    elements(bytes).find(|e| e.id == id).map(|e| e.body)
}

/// Video is 1, sound is 2.
fn tracks(segment: &[u8], kind: u64) -> impl Iterator<Item = &[u8]> {
    let list = child(segment, 0x1654_AE6B).unwrap_or_default();
    let entries = elements(list).filter(|e| e.id == 0xAE).map(|e| e.body);
    entries.filter(move |track| child(track, 0x83).map(number) == Some(kind))
}

/// The kind by the document type, and by whether there are pictures.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    let header = child(bytes, HEADER)?;
    let film = match child(header, 0x4282).unwrap_or(b"matroska") {
        b"webm" => Kind::WebM,
        b"matroska" => Kind::Matroska,
        _ => return Some(Kind::Named("an EBML document", Family::Other)),
    };
    let segment = child(bytes, SEGMENT).unwrap_or_default();
    let only_sound = tracks(segment, 1).next().is_none() && tracks(segment, 2).next().is_some();
    Some(if only_sound { Kind::MatroskaSound } else { film })
}

/// Size, rate and length.
pub(super) fn facts(bytes: &[u8]) -> Option<Facts> {
    let segment = child(bytes, SEGMENT)?;
    let info = child(segment, 0x1549_A966).unwrap_or_default();
    // Nanoseconds a tick.
    let scale = child(info, 0x2A_D7B1).map_or(1_000_000, number);
    let duration = child(info, 0x4489).and_then(float);
    let seconds = duration.map(|ticks| ticks * scale as f64 / 1e9).filter(|s| *s > 0.0);
    let size = tracks(segment, 1).next().and_then(|track| {
        let video = child(track, 0xE0)?;
        let side = |id| u32::try_from(number(child(video, id)?)).ok();
        Some(Facts::size(side(0xB0)?, side(0xBA)?))
    });
    let sound = tracks(segment, 2).next().and_then(|track| {
        let audio = child(track, 0xE1)?;
        // 8000 Hz and one channel are what the standard says where nothing is said.
        let rate = child(audio, 0xB5).and_then(float).unwrap_or(8000.0);
        let channels = child(audio, 0x9F).map_or(1, number);
        Some(Facts::sound(rate as u32, u16::try_from(channels).ok()?, None))
    });
    let (size, sound) = (size.unwrap_or_default(), sound.unwrap_or_default());
    let seconds = Facts::length(seconds).seconds;
    Some(Facts { seconds, rate: sound.rate, channels: sound.channels, ..size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: u32, body: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | body.len() as u8);
        out.extend(body);
        out
    }

    fn file(document: &[u8], tracks: &[Vec<u8>]) -> Vec<u8> {
        let info =
            [element(0x2A_D7B1, &[0x0F, 0x42, 0x40]), element(0x4489, &2500f32.to_be_bytes())];
        let segment =
            [element(0x1549_A966, &info.concat()), element(0x1654_AE6B, &tracks.concat())].concat();
        let mut out = element(HEADER, &element(0x4282, document));
        out.extend([0x18, 0x53, 0x80, 0x67, 0xFF]);
        out.extend(segment);
        out
    }

    fn video() -> Vec<u8> {
        let size = [element(0xB0, &[1, 64]), element(0xBA, &[240])].concat();
        element(0xAE, &[element(0x83, &[1]), element(0xE0, &size)].concat())
    }

    fn audio() -> Vec<u8> {
        let rate = [element(0xB5, &48_000f32.to_be_bytes()), element(0x9F, &[2])].concat();
        element(0xAE, &[element(0x83, &[2]), element(0xE1, &rate)].concat())
    }

    #[test]
    fn the_document_type_and_the_tracks_give_the_kind() {
        assert_eq!(kind(&file(b"webm", &[video(), audio()])), Some(Kind::WebM));
        assert_eq!(kind(&file(b"matroska", &[video()])), Some(Kind::Matroska));
        assert_eq!(kind(&file(b"webm", &[audio()])), Some(Kind::MatroskaSound));
        assert!(matches!(kind(&file(b"other", &[])), Some(Kind::Named(..))));
        assert_eq!(kind(b"\x42\x82"), None);
    }

    #[test]
    fn sizes_and_lengths() {
        let facts = facts(&file(b"webm", &[video(), audio()])).unwrap();
        let sound = Facts::sound(48_000, 2, Some(2.5));
        assert_eq!(facts, Facts { width: Some(320), height: Some(240), ..sound });
    }

    #[test]
    fn every_cut_is_survived() {
        let whole = file(b"webm", &[video(), audio()]);
        let height = [0xBA, 0x81, 240];
        let there = 3 + whole.windows(3).position(|w| w == height).unwrap();
        for end in 0..whole.len() {
            let width = super::facts(&whole[..end]).and_then(|f| f.width);
            assert_eq!(width, (end >= there).then_some(320), "cut at {end}");
        }
    }
}
