//! Small pictures that stand in a page.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageReader, Limits, Rgb, RgbImage};

/// Longest side, pixels.
const SIDE: u32 = 72;
const QUALITY: u8 = 72;
/// A larger one is left out.
const MOST_BYTES: usize = 8 << 10;
/// Sides and memory of a file that is opened.
const MOST_SIDE: u32 = 16_384;
const MOST_MEMORY: u64 = 256 << 20;

/// A picture file as a data address of a small JPEG; none where it cannot be read.
pub(super) fn thumbnail(path: &Path) -> Option<String> {
    let mut reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let small = on_white(&reader.decode().ok()?.thumbnail(SIDE, SIDE).into_rgba8());
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small).ok()?;
    let bytes = bytes.into_inner();
    let small_enough = bytes.len() <= MOST_BYTES;
    small_enough.then(|| format!("data:image/jpeg;base64,{}", base64(&bytes)))
}

/// JPEG has no transparency.
fn on_white(picture: &image::RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0;
        let over = |c: u8| {
            let alpha = u32::from(alpha);
            ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([over(r), over(g), over(b)])
    })
}

/// Standard alphabet with padding: RFC 4648, §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(group);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_standard() {
        let got = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|s| base64(s.as_bytes()));
        let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(got, expected);
        assert_eq!(base64(&[255, 254, 253, 0]), "//79AA==");
    }

    #[test]
    fn a_picture_becomes_small_and_a_broken_file_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let clear = image::RgbaImage::from_pixel(300, 150, image::Rgba([200, 0, 0, 0]));
        clear.save(&path).unwrap();
        let address = thumbnail(&path).unwrap();
        assert!(address.starts_with("data:image/jpeg;base64,/9j/"), "{address}");
        assert!(address.len() < MOST_BYTES);
        std::fs::write(&path, b"\x89PNG\r\n\x1a\nnothing more").unwrap();
        assert_eq!(thumbnail(&path), None);
        assert_eq!(thumbnail(&dir.path().join("gone.png")), None);
        assert_eq!(on_white(&clear).get_pixel(0, 0).0, [255; 3]);
    }
}
