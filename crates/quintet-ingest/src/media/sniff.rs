//! What a file is, by its content; its name is not asked.

use super::kind::{Family, Kind};
use super::numbers::{find, le32};
use super::{boxes, ebml, mpeg, ogg};

/// Files that their first bytes give away.
const MARKS: [(&[u8], Kind); 24] = [
    (b"\xFF\xD8\xFF", Kind::Jpeg),
    (b"GIF87a", Kind::Gif),
    (b"GIF89a", Kind::Gif),
    (b"II*\0", Kind::Tiff),
    (b"MM\0*", Kind::Tiff),
    (b"II+\0", Kind::Tiff),
    (b"MM\0+", Kind::Tiff),
    (b"qoif", Kind::Qoi),
    (b"fLaC", Kind::Flac),
    (b".snd", Kind::Au),
    (b"caff\0\x01", Kind::Caf),
    (b"MAC ", Kind::Ape),
    (b"wvpk", Kind::WavPack),
    (b"MPCK", Kind::Musepack),
    (b"MP+", Kind::Musepack),
    (b"FLV\x01", Kind::Flv),
    (b"\0\0\x01\xBA", Kind::MpegPs),
    (b"\0\0\x01\xB3", Kind::MpegPs),
    (b"RIFX", Kind::Rifx),
    (b"RF64", Kind::Rf64),
    (b"BW64", Kind::Rf64),
    (b"8BPS", Kind::Named("a Photoshop picture", Family::Picture)),
    (b"\xFF\x0A", Kind::Named("a JPEG XL picture", Family::Picture)),
    (b"\0\0\0\x0CjP  ", Kind::Named("a JPEG 2000 picture", Family::Picture)),
];

/// The same for kinds that are known by name only.
const NAMED: [(&[u8], &str, Family); 24] = [
    (b"\0\0\0\x0CJXL ", "a JPEG XL picture", Family::Picture),
    (b"v/1\x01", "an OpenEXR picture", Family::Picture),
    (b"#?RADIANCE", "a Radiance picture", Family::Picture),
    (b"DDS ", "a DirectDraw picture", Family::Picture),
    (b"farbfeld", "a farbfeld picture", Family::Picture),
    (b"MThd", "a MIDI score", Family::Other),
    (b"#!AMR", "AMR sound", Family::Sound),
    (b"DSD ", "DSD sound", Family::Sound),
    (b"FRM8", "DSD sound", Family::Sound),
    (b"TTA1", "True Audio sound", Family::Sound),
    (b"tBaK", "TAK sound", Family::Sound),
    (b"Creative Voice File", "Creative Voice sound", Family::Sound),
    (b"\x0B\x77", "AC-3 sound", Family::Sound),
    (b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "a Windows Media file", Family::Film),
    (b"ADIF", "AAC sound in ADIF", Family::Sound),
    (b"DKIF", "an IVF film", Family::Film),
    (b"%PDF", "a PDF document", Family::Other),
    (b"PK\x03\x04", "a ZIP archive or office document", Family::Other),
    (b"\x1F\x8B", "a gzip archive", Family::Other),
    (b"BZh", "a bzip2 archive", Family::Other),
    (b"\xFD7zXZ\0", "an xz archive", Family::Other),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive", Family::Other),
    (b"Rar!\x1A\x07", "a RAR archive", Family::Other),
    (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", Family::Other),
];

/// Tells the kind of a file from its content.
pub(crate) fn sniff(bytes: &[u8]) -> Kind {
    if bytes.starts_with(b"\x89PNG\r\n\x1A\n") {
        return png(bytes);
    }
    if let Some(kind) = riff(bytes).or_else(|| iff(bytes)) {
        return kind;
    }
    if bytes.starts_with(b"OggS") {
        return ogg::kind(bytes);
    }
    if let Some((_, kind)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return *kind;
    }
    if let Some((_, name, family)) = NAMED.iter().find(|(mark, ..)| bytes.starts_with(mark)) {
        return Kind::Named(name, *family);
    }
    let small = bmp(bytes).or_else(|| icon(bytes)).or_else(|| pnm(bytes));
    small
        .or_else(|| bytes.starts_with(b"\x1A\x45\xDF\xA3").then(|| ebml::kind(bytes))?)
        .or_else(|| boxes::kind(bytes))
        .or_else(|| h264(bytes))
        .or_else(|| tagged(bytes))
        .or_else(|| markup(bytes))
        .or_else(|| transport_stream(bytes))
        .or_else(|| mpeg::stream(bytes, 0))
        .unwrap_or(Kind::Unknown)
}

/// An animation says so before its first data (PNG, third edition, section 11.3.5.1).
fn png(bytes: &[u8]) -> Kind {
    let data = find(bytes, b"IDAT").unwrap_or(bytes.len());
    if find(&bytes[..data], b"acTL").is_some() { Kind::Apng } else { Kind::Png }
}

fn riff(bytes: &[u8]) -> Option<Kind> {
    if !bytes.starts_with(b"RIFF") {
        return None;
    }
    Some(match bytes.get(8..12)? {
        b"WEBP" => Kind::WebP,
        b"WAVE" => Kind::Wav,
        b"AVI " => Kind::Avi,
        b"RMID" => Kind::Named("a MIDI score", Family::Other),
        b"ACON" => Kind::Named("an animated cursor", Family::Picture),
        _ => return None,
    })
}

fn iff(bytes: &[u8]) -> Option<Kind> {
    let aiff = bytes.starts_with(b"FORM") && matches!(bytes.get(8..12)?, b"AIFF" | b"AIFC");
    aiff.then_some(Kind::Aiff)
}

/// Two letters are little; the size of the second header must be one of those that exist.
fn bmp(bytes: &[u8]) -> Option<Kind> {
    let header = bytes.starts_with(b"BM").then(|| le32(bytes, 14))??;
    (12..=256).contains(&header).then_some(Kind::Bmp)
}

/// Icons and cursors: a first entry whose reserved byte is zero.
fn icon(bytes: &[u8]) -> Option<Kind> {
    let starts = bytes.starts_with(b"\0\0\x01\0") || bytes.starts_with(b"\0\0\x02\0");
    let entries = u16::from_le_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    let fits = (1..=256).contains(&entries) && *bytes.get(9)? == 0;
    (starts && fits).then_some(Kind::Ico)
}

/// `P1` to `P7` and then a number or a comment.
fn pnm(bytes: &[u8]) -> Option<Kind> {
    let [b'P', b'1'..=b'7', blank, next, ..] = bytes else { return None };
    let fits = next.is_ascii_digit() || *next == b'#' || bytes[1] == b'7';
    (blank.is_ascii_whitespace() && fits).then_some(Kind::Pnm)
}

/// Tags come before MP3, but also before AAC and FLAC.
fn tagged(bytes: &[u8]) -> Option<Kind> {
    let length = mpeg::id3_length(bytes);
    if length == 0 {
        return None;
    }
    let Some(rest) = bytes.get(length..).filter(|rest| !rest.is_empty()) else {
        // The file ends inside the tag; MP3 is what mostly follows one.
        return Some(Kind::Mp3);
    };
    let marks = MARKS.iter().filter(|(_, kind)| matches!(kind, Kind::Flac | Kind::Ape));
    let other = marks.into_iter().find(|(mark, _)| rest.starts_with(mark)).map(|m| m.1);
    let none = Kind::Named("an ID3 tag without sound behind it", Family::Other);
    Some(other.or_else(|| mpeg::stream(bytes, length)).unwrap_or(none))
}

/// A transport stream: a packet of 188 bytes after the other, or of 192 with a time before each.
fn transport_stream(bytes: &[u8]) -> Option<Kind> {
    let repeats =
        |first: usize, step: usize| (0..3).all(|i| bytes.get(first + i * step) == Some(&0x47));
    (repeats(0, 188) || repeats(4, 192)).then_some(Kind::MpegTs)
}

/// A raw stream starts with a parameter set or a delimiter (ITU-T H.264, annex B).
fn h264(bytes: &[u8]) -> Option<Kind> {
    let unit = bytes.strip_prefix(b"\0").unwrap_or(bytes).strip_prefix(b"\0\0\x01")?;
    // Parameter sets matter to others, so that their importance is not zero.
    let first = matches!(unit.first()?, 0x27 | 0x47 | 0x67 | 0x09);
    first.then_some(Kind::Named("a raw H.264 film", Family::Film))
}

/// Pages, drawings and other text with tags.
fn markup(bytes: &[u8]) -> Option<Kind> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    if bytes.first() != Some(&b'<') {
        return None;
    }
    let start = bytes[..bytes.len().min(4096)].to_ascii_lowercase();
    let has = |tag: &[u8]| find(&start, tag);
    let page = has(b"<html").or_else(|| has(b"<!doctype html")).or_else(|| has(b"<head"));
    Some(match (has(b"<svg"), page) {
        (Some(drawing), page) if page.is_none_or(|page| drawing < page) => Kind::Svg,
        (_, Some(_)) => Kind::Named("an HTML page", Family::Other),
        _ if start.starts_with(b"<?xml") => Kind::Named("an XML document", Family::Other),
        _ => Kind::Named("an HTML or XML page", Family::Other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_kind() {
        let known: [(&[u8], Kind); 22] = [
            (b"RIFF\0\0\0\0WAVEfmt ", Kind::Wav),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::WebP),
            (b"RIFF\0\0\0\0AVI LIST", Kind::Avi),
            (b"FORM\0\0\0\0AIFFCOMM", Kind::Aiff),
            (b"GIF89a....", Kind::Gif),
            (b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR", Kind::Png),
            (b"\x89PNG\r\n\x1A\n\0\0\0\x08acTL\0\0\0\0IDAT", Kind::Apng),
            (b"\x89PNG\r\n\x1A\n\0\0\0\x08IDATacTL", Kind::Png),
            (b"\0\0\0\x10ftypisom\0\0\0\0", Kind::Mp4),
            (b"\0\0\0\x10ftypqt  \0\0\0\0", Kind::Mov),
            (b"\0\0\0\x10ftypheic\0\0\0\0", Kind::Heif),
            (b"\x1A\x45\xDF\xA3\x87\x42\x82\x84webm", Kind::WebM),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", Kind::Bmp),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0", Kind::Ico),
            (b"P6\n3 2\n255\n", Kind::Pnm),
            (b"<?xml version='1.0'?><!-- a --><svg/>", Kind::Svg),
            (b"II*\0", Kind::Tiff),
            (b"fLaC\0\0\0\x22", Kind::Flac),
            (b"ID3\x04\0\0\0\0\0\x01\0fLaC", Kind::Flac),
            (b"ID3\x04\0\0\0\0\x01\0\0", Kind::Mp3),
            (b"FLV\x01", Kind::Flv),
            (b".snd", Kind::Au),
        ];
        for (bytes, kind) in known {
            assert_eq!(sniff(bytes), kind, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_media_has_a_name() {
        for (bytes, name) in [
            (&b"<!doctype html><p>"[..], "an HTML page"),
            (b"  <html><svg>", "an HTML page"),
            (b"%PDF-1.4", "a PDF document"),
            (b"\x1F\x8B\x08", "a gzip archive"),
            (b"PK\x03\x04", "a ZIP archive or office document"),
            (b"ID3\x04\0\0\0\0\0\x01\0no sound", "an ID3 tag without sound behind it"),
        ] {
            assert_eq!(sniff(bytes), Kind::Named(name, Family::Other));
        }
    }

    #[test]
    fn a_few_letters_are_no_kind() {
        for bytes in [
            &b""[..],
            b"BM",
            b"BMW, the cars of a whole century",
            b"P",
            b"Plain text",
            b"P5 is a name",
            b"RIFF",
            b"ID3",
            b"\0\0\x01\0",
            b"G",
            b"MP3",
        ] {
            assert_eq!(sniff(bytes), Kind::Unknown, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn raw_streams() {
        let mut packet = vec![0u8; 188];
        packet[0] = 0x47;
        assert_eq!(sniff(&packet.repeat(3)), Kind::MpegTs);
        assert_eq!(sniff(&packet), Kind::Unknown);
        assert_eq!(sniff(b"\0\0\0\x01\x67\x42"), Kind::Named("a raw H.264 film", Family::Film));
        assert_eq!(sniff(b"\0\0\x01\x07"), Kind::Unknown);
    }
}
