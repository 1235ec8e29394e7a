//! Whether a file goes on to the end that its own format announces.
//!
//! For the formats whose decoders do not tell a short file from a corrupt one.

use image::ImageFormat;

/// Whether the container of `bytes` says that something is missing at the end. Formats that are
/// not looked at are never cut short.
pub(crate) fn is_cut_short(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => !jpeg_ends(bytes),
        ImageFormat::WebP => !riff_ends(bytes),
        _ => false,
    }
}

/// Whether all bytes are there that the RIFF header counts (from the ninth byte on).
fn riff_ends(bytes: &[u8]) -> bool {
    match bytes.get(4..8) {
        Some(&[a, b, c, d]) => {
            bytes.len() as u64 - 8 >= u64::from(u32::from_le_bytes([a, b, c, d]))
        }
        _ => false,
    }
}

/// Whether a JPEG has an end-of-image marker outside its segments. A marker inside a segment, as
/// that of a thumbnail in the Exif data, does not count.
fn jpeg_ends(bytes: &[u8]) -> bool {
    jpeg_markers(bytes).any(|(code, _)| code == 0xd9)
}

/// The markers of a JPEG up to the end of the image, each with the content of its segment (marker
/// syntax: ITU-T T.81, 1992, annex B.1.1).
pub(crate) fn jpeg_markers(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 2; // after the start-of-image marker
    std::iter::from_fn(move || {
        while let Some(&[prefix, code]) = bytes.get(at..at + 2) {
            if prefix != 0xff {
                at += 1; // entropy-coded data, or garbage between segments
                continue;
            }
            match code {
                0xd9 => {
                    at = bytes.len();
                    return Some((code, &bytes[..0]));
                }
                // A fill byte: the marker begins one byte later.
                0xff => at += 1,
                // Markers without a length, and stuffed zeros of entropy-coded data.
                0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
                _ => {
                    let &[high, low] = bytes.get(at + 2..at + 4)? else { return None };
                    // The length counts its own two bytes, so below 2 it is a lie.
                    let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                    let (from, to) = (at + 4, (at + 2 + length).min(bytes.len()));
                    at += 2 + length;
                    return Some((code, bytes.get(from..to).unwrap_or_default()));
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_marker_counts_only_outside_of_segments() {
        assert!(jpeg_ends(&[0xff, 0xd8, 0xff, 0xd9]));
        assert!(!jpeg_ends(&[0xff, 0xd8]));
        // An APP1 segment of length 6 that holds ff d9.
        let thumbnail = [0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2];
        assert!(!jpeg_ends(&thumbnail));
        assert!(jpeg_ends(&[&thumbnail[..], &[0xff, 0xd9]].concat()));
        // Stuffed zeros, restart markers, fill bytes, and bytes after the end.
        let scan =
            [0xff, 0xd8, 0xff, 0xda, 0, 3, 9, 7, 0xff, 0, 0xff, 0xd0, 5, 0xff, 0xff, 0xd9, 8];
        assert!(jpeg_ends(&scan));
        assert!(!jpeg_ends(&scan[..15]));
    }

    #[test]
    fn a_riff_file_holds_as_many_bytes_as_its_header_counts() {
        let file = b"RIFF\x05\0\0\0WEBPx";
        assert!(riff_ends(file));
        assert!(!riff_ends(&file[..12]) && !riff_ends(b"RIFF"));
        assert!(is_cut_short(&file[..12], ImageFormat::WebP));
        assert!(!is_cut_short(&file[..12], ImageFormat::Png));
    }
}
