//! What a file is, by its first bytes; its name is not asked.

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Wav,
    /// A kind that is known by name and not read here.
    Other(&'static str),
    /// None of the kinds known here.
    Unknown,
}

impl Kind {
    /// What a person calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Jpeg => "a JPEG picture",
            Kind::Png => "a PNG picture",
            Kind::Gif => "a GIF picture",
            Kind::WebP => "a WebP picture",
            Kind::Bmp => "a BMP picture",
            Kind::Wav => "WAV sound",
            Kind::Other(name) => name,
            Kind::Unknown => "a file of no known kind",
        }
    }

    /// Whether it is a picture that is read here.
    pub(crate) fn is_image(self) -> bool {
        matches!(self, Kind::Jpeg | Kind::Png | Kind::Gif | Kind::WebP | Kind::Bmp)
    }

    /// Whether it can hold moving pictures that are read here.
    pub(crate) fn is_animation(self) -> bool {
        matches!(self, Kind::Gif | Kind::WebP)
    }
}

/// First bytes of files that are not read here, for a message that says what they are.
const OTHERS: [(&[u8], &str); 16] = [
    (b"fLaC", "FLAC sound"),
    (b"OggS", "an Ogg stream"),
    (b"ID3", "MP3 sound"),
    (b"\xFF\xFB", "MP3 sound"),
    (b"\xFF\xF3", "MP3 sound"),
    (b"\x1A\x45\xDF\xA3", "a Matroska or WebM film"),
    (b"FLV\x01", "a Flash film"),
    (b"\x00\x00\x01\xBA", "an MPEG film"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"RIFX", "big-endian WAV sound"),
    (b"RF64", "RF64 sound"),
];

/// Tells the kind of a file from its first bytes.
pub(crate) fn sniff(bytes: &[u8]) -> Kind {
    let riff = bytes.starts_with(b"RIFF");
    match bytes.get(8..12) {
        Some(b"WEBP") if riff => return Kind::WebP,
        Some(b"WAVE") if riff => return Kind::Wav,
        Some(b"AVI ") if riff => return Kind::Other("an AVI film"),
        _ => {}
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => Kind::Other("an AVIF picture"),
            Some(b"heic" | b"heix" | b"mif1") => Kind::Other("a HEIF picture"),
            Some(b"M4A ") => Kind::Other("MPEG-4 sound"),
            _ => Kind::Other("an MPEG-4 film"),
        };
    }
    if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        Kind::Jpeg
    } else if bytes.starts_with(b"\x89PNG\r\n\x1A\n") {
        Kind::Png
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Kind::Gif
    } else if bytes.starts_with(b"BM") && bytes.len() > 18 {
        Kind::Bmp
    } else {
        let other = OTHERS.iter().find(|(start, _)| bytes.starts_with(start));
        let text = bytes.trim_ascii_start().first() == Some(&b'<');
        match other {
            Some((_, name)) => Kind::Other(name),
            None if text => Kind::Other("an HTML or XML page"),
            None => Kind::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_kind() {
        assert_eq!(sniff(b"RIFF\0\0\0\0WAVEfmt "), Kind::Wav);
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8 "), Kind::WebP);
        assert_eq!(sniff(b"GIF89a...."), Kind::Gif);
        assert_eq!(sniff(b"\0\0\0\x20ftypisom"), Kind::Other("an MPEG-4 film"));
        assert_eq!(sniff(b"<!doctype html>"), Kind::Other("an HTML or XML page"));
        assert_eq!(sniff(b""), Kind::Unknown);
        assert_eq!(sniff(b"BM"), Kind::Unknown);
    }
}
