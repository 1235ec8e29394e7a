//! Boxes of MP4, QuickTime, 3GPP, HEIF and AVIF (ISO 14496-12): brands, tracks, sizes, lengths.
//!
//! A walk over a slice: every step moves forward by a box header at least, and a box that reaches
//! beyond its parent is cut there.

use super::facts::Facts;
use super::kind::Kind;
use super::numbers::{array, be16, be32, be64};

/// One box: its name and its content.
struct Block<'a> {
    name: [u8; 4],
    body: &'a [u8],
}

fn blocks(bytes: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (size, name) = (be32(bytes, at)?, array(bytes, at + 4)?);
        let (header, size) = match size {
            // Up to the end of the file, or a size of 64 bits behind the name.
            0 => (8, bytes.len() - at),
            1 => (16, usize::try_from(be64(bytes, at + 8)?).ok()?),
            size => (8, size as usize),
        };
        if size < header {
            return None;
        }
        let end = at.saturating_add(size).min(bytes.len());
        let body = bytes.get(at + header..end)?;
        at = end;
        Some(Block { name, body })
    })
}

fn child<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    blocks(bytes).find(|b| b.name == *name).map(|b| b.body)
}

fn descend<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |inside, name| child(inside, name))
}

fn tracks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let movie = child(bytes, b"moov").unwrap_or_default();
    blocks(movie).filter(|b| &b.name == b"trak").map(|b| b.body)
}

fn handler(track: &[u8]) -> Option<[u8; 4]> {
    array(descend(track, &[b"mdia", b"hdlr"])?, 8)
}

/// The kind of a file that starts with a box; `None` if it does not.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    let first = blocks(bytes).next()?;
    // QuickTime films of the last century have no brand.
    if [b"moov", b"mdat", b"wide", b"pnot"].contains(&&first.name) {
        return child(bytes, b"moov").map(|_| by_tracks(bytes, Kind::Mov));
    }
    if &first.name != b"ftyp" {
        return None;
    }
    let brand: [u8; 4] = array(first.body, 0)?;
    let others = first.body.get(8..).unwrap_or_default();
    let has = |brands: &[&[u8; 4]]| others.chunks_exact(4).any(|b| brands.iter().any(|x| *x == b));
    Some(match &brand {
        b"avif" | b"avis" => Kind::Avif,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Kind::Heif,
        b"mif1" | b"mif2" | b"msf1" | b"miaf" if has(&[b"avif", b"avis"]) => Kind::Avif,
        b"mif1" | b"mif2" | b"msf1" | b"miaf" => Kind::Heif,
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " => by_tracks(bytes, Kind::M4a),
        b"qt  " => by_tracks(bytes, Kind::Mov),
        [b'3', b'g', b'p' | b'2' | b'g' | b'r' | b's', _] => by_tracks(bytes, Kind::ThreeGp),
        b"crx " => Kind::Named("a Canon raw picture", super::kind::Family::Picture),
        b"jxl " => Kind::Named("a JPEG XL picture", super::kind::Family::Picture),
        b"jp2 " => Kind::Named("a JPEG 2000 picture", super::kind::Family::Picture),
        _ => by_tracks(bytes, Kind::Mp4),
    })
}

/// What the tracks show, which the brand may not know: sound only, or pictures too.
fn by_tracks(bytes: &[u8], brand: Kind) -> Kind {
    let (mut sound, mut film) = (false, false);
    for name in tracks(bytes).filter_map(handler) {
        sound |= &name == b"soun";
        film |= &name == b"vide";
    }
    match (sound, film, brand) {
        (true, false, _) => Kind::M4a,
        (_, true, Kind::M4a) => Kind::Mp4,
        _ => brand,
    }
}

/// A duration over its time scale; both a version of 32 and one of 64 bits exist. All ones
/// stand for an unknown length.
fn seconds(header: &[u8]) -> Option<f64> {
    let (scale, duration) = match header.first()? {
        1 => (be32(header, 20)?, be64(header, 24).filter(|d| *d != u64::MAX)?),
        _ => (be32(header, 12)?, u64::from(be32(header, 16).filter(|d| *d != u32::MAX)?)),
    };
    (scale > 0 && duration > 0).then(|| duration as f64 / f64::from(scale))
}

/// Size, length and frames of the first film track, else rate and length of the first sound.
pub(super) fn facts(bytes: &[u8]) -> Option<Facts> {
    let first = |name: &[u8; 4]| tracks(bytes).find(|t| handler(t).as_ref() == Some(name));
    let whole = descend(bytes, &[b"moov", b"mvhd"]).and_then(seconds);
    let of_track = |track| descend(track, &[b"mdia", b"mdhd"]).and_then(seconds).or(whole);
    let sound = first(b"soun").and_then(|track| {
        let entry = descend(track, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(8..)?;
        let entry = blocks(entry).next()?.body;
        Some(Facts::sound(be32(entry, 24)? >> 16, be16(entry, 16)?, of_track(track)))
    });
    let Some(track) = first(b"vide") else {
        return sound.or(whole.map(|s| Facts::length(Some(s))));
    };
    let (width, height) = coded_size(track).or_else(|| shown_size(track)).unwrap_or_default();
    let table = descend(track, &[b"mdia", b"minf", b"stbl"]);
    let listed = table.and_then(|t| {
        // Sizes of samples one by one, or packed into few bits.
        child(t, b"stsz").or_else(|| child(t, b"stz2")).and_then(|sizes| be32(sizes, 8))
    });
    let frames = listed.unwrap_or(0).saturating_add(fragment_frames(bytes, track));
    let (rate, channels) = sound.map_or((None, None), |s| (s.rate, s.channels));
    let frames = Some(frames).filter(|n| *n > 0);
    let seconds = Facts::length(of_track(track).or_else(|| fragments_seconds(bytes))).seconds;
    Some(Facts { frames, seconds, rate, channels, ..Facts::size(width, height) })
}

/// The size in the sample description: that of the coded picture.
fn coded_size(track: &[u8]) -> Option<(u32, u32)> {
    let entry = descend(track, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(8..)?;
    let entry = blocks(entry).next()?.body;
    let size = (u32::from(be16(entry, 24)?), u32::from(be16(entry, 26)?));
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// The size in the track header, in 16.16 fixed point: that of the picture as it is shown.
fn shown_size(track: &[u8]) -> Option<(u32, u32)> {
    let header = child(track, b"tkhd")?;
    let at = if *header.first()? == 1 { 88 } else { 76 };
    Some((be32(header, at)? >> 16, be32(header, at + 4)? >> 16))
}

/// Frames in the fragments of a track (section 8.8).
fn fragment_frames(bytes: &[u8], track: &[u8]) -> u32 {
    let header = child(track, b"tkhd").unwrap_or_default();
    let Some(id) = be32(header, if header.first() == Some(&1) { 20 } else { 12 }) else { return 0 };
    blocks(bytes)
        .filter(|b| &b.name == b"moof")
        .flat_map(|b| blocks(b.body).filter(|b| &b.name == b"traf"))
        .filter(|b| child(b.body, b"tfhd").and_then(|h| be32(h, 4)) == Some(id))
        .flat_map(|b| blocks(b.body).filter(|b| &b.name == b"trun"))
        .filter_map(|run| be32(run.body, 4))
        .fold(0, u32::saturating_add)
}

/// The length that the header of a fragmented film announces.
fn fragments_seconds(bytes: &[u8]) -> Option<f64> {
    let scale = be32(descend(bytes, &[b"moov", b"mvhd"])?, 12)?;
    let header = descend(bytes, &[b"moov", b"mvex", b"mehd"])?;
    let duration = match header.first()? {
        1 => be64(header, 4)?,
        _ => u64::from(be32(header, 4)?),
    };
    (scale > 0).then(|| duration as f64 / f64::from(scale))
}

/// The largest picture of a HEIF or AVIF file, turned as its properties say
/// (ISO 23008-12, sections 6.5.3 and 6.5.10).
pub(super) fn picture(bytes: &[u8]) -> Option<Facts> {
    let meta = child(bytes, b"meta")?.get(4..)?;
    let properties = descend(meta, &[b"iprp", b"ipco"])?;
    let (mut largest, mut turned) = ((0, 0), false);
    for block in blocks(properties) {
        match &block.name {
            b"ispe" => {
                let (width, height) = (be32(block.body, 4)?, be32(block.body, 8)?);
                let area = |(w, h): (u32, u32)| u64::from(w) * u64::from(h);
                if area((width, height)) > area(largest) {
                    largest = (width, height);
                }
            }
            b"irot" => turned = block.body.first()? & 1 == 1,
            _ => {}
        }
    }
    let (width, height) = if turned { (largest.1, largest.0) } else { largest };
    Some(Facts::size(width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend(name);
        out.extend(body);
        out
    }

    /// Numbers of 32 bits.
    fn longs(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn track(kind: &[u8; 4], entry: &[u8], samples: u32) -> Vec<u8> {
        let handler = [&longs(&[0, 0])[..], kind].concat();
        let described = [longs(&[0, 1]), block(b"code", entry)].concat();
        let table = [block(b"stsd", &described), block(b"stsz", &longs(&[0, 0, samples]))];
        let media = [
            block(b"mdhd", &longs(&[0, 0, 0, 600, 1500])),
            block(b"hdlr", &handler),
            block(b"minf", &block(b"stbl", &table.concat())),
        ];
        block(b"trak", &block(b"mdia", &media.concat()))
    }

    fn film(brand: &[u8; 4], tracks: &[Vec<u8>]) -> Vec<u8> {
        let header = block(b"mvhd", &longs(&[0, 0, 0, 1000, 9000]));
        let movie = [header, tracks.concat()].concat();
        [block(b"ftyp", &[brand, &[0; 4][..]].concat()), block(b"moov", &movie)].concat()
    }

    fn pictures() -> Vec<u8> {
        let mut entry = vec![0; 24];
        entry.extend([0x01, 0x40, 0, 0xF0]);
        track(b"vide", &entry, 50)
    }

    fn sound() -> Vec<u8> {
        let mut entry = vec![0; 16];
        entry.extend([0, 2, 0, 16, 0, 0, 0, 0]);
        entry.extend((44_100u32 << 16).to_be_bytes());
        track(b"soun", &entry, 99)
    }

    #[test]
    fn tracks_tell_a_film_from_sound() {
        let both = film(b"isom", &[sound(), pictures()]);
        assert_eq!(kind(&both), Some(Kind::Mp4));
        assert_eq!(kind(&film(b"isom", &[sound()])), Some(Kind::M4a));
        assert_eq!(kind(&film(b"M4A ", &[sound(), pictures()])), Some(Kind::Mp4));
        assert_eq!(kind(&film(b"3gp5", &[pictures()])), Some(Kind::ThreeGp));
        assert_eq!(kind(&block(b"ftyp", b"mif1\0\0\0\0miafavif")), Some(Kind::Avif));
        assert_eq!(kind(&both[20..]), None);
        assert_eq!(kind(&both[16..]), Some(Kind::Mov));
    }

    #[test]
    fn sizes_and_lengths_of_tracks() {
        let facts = super::facts(&film(b"isom", &[sound(), pictures()])).unwrap();
        assert_eq!((facts.width, facts.height), (Some(320), Some(240)));
        assert_eq!((facts.frames, facts.seconds), (Some(50), Some(2.5)));
        assert_eq!((facts.rate, facts.channels), (Some(44_100), Some(2)));
        let facts = super::facts(&film(b"M4A ", &[sound()])).unwrap();
        assert_eq!(facts, Facts::sound(44_100, 2, Some(2.5)));
    }

    #[test]
    fn a_picture_is_turned_as_it_says() {
        let properties =
            [block(b"ispe", &longs(&[0, 64, 48])), block(b"ispe", &longs(&[0, 8, 8]))].concat();
        let file = |properties: &[u8]| {
            let inside = block(b"iprp", &block(b"ipco", properties));
            block(b"meta", &[&[0; 4], &inside[..]].concat())
        };
        assert_eq!(picture(&file(&properties)), Some(Facts::size(64, 48)));
        let turned = [properties, block(b"irot", &[3])].concat();
        assert_eq!(picture(&file(&turned)), Some(Facts::size(48, 64)));
    }

    #[test]
    fn every_cut_and_every_wrong_byte_is_survived() {
        let whole = film(b"isom", &[sound(), pictures()]);
        for end in 0..whole.len() {
            let _ = (kind(&whole[..end]), super::facts(&whole[..end]));
            let mut wrong = whole.clone();
            wrong[end] ^= 0xFF;
            let found = super::facts(&wrong);
            assert!(found.is_none_or(|f| f.width.is_none_or(|w| w < 1 << 16)), "byte {end}");
        }
    }
}
