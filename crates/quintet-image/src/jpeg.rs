//! JPEG as libjpeg decodes it, bit for bit.
//!
//! Networks were trained on what libjpeg makes of a file. Decoders differ in how they round the
//! transform and spread the colours over the pixels, by up to 13 steps of 255 on real posters, so
//! the usual case goes to the original. What it does not take (four colours, 12 bits) or gives up
//! on, goes the way of all other formats.

use std::panic::catch_unwind;

use image::{DynamicImage, GrayImage, RgbImage};

use crate::container::jpeg_markers;
use crate::open::MAX_DECODED_BYTES;

/// Most passes over the image that a progressive file may make; the usual ones make ten.
const MAX_SCANS: usize = 100;

/// What the markers say.
struct Frame {
    width: u64,
    height: u64,
    colours: u8,
    scans: usize,
}

impl Frame {
    /// None where there is no frame of 8 bits.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut frame: Option<Self> = None;
        for (code, segment) in jpeg_markers(bytes) {
            match (code, segment, &mut frame) {
                // Start of frame; three of these codes are other things.
                (0xc0..=0xcf, &[8, a, b, c, d, colours, ..], None)
                    if !matches!(code, 0xc4 | 0xc8 | 0xcc) =>
                {
                    let [height, width] = [[a, b], [c, d]].map(|n| u16::from_be_bytes(n).into());
                    frame = Some(Self { width, height, colours, scans: 0 });
                }
                (0xda, _, Some(frame)) => frame.scans += 1,
                _ => {}
            }
        }
        frame
    }

    /// The coefficients of more than one scan are all kept, two bytes each, beside the pixels.
    fn memory(&self) -> u64 {
        let pixels = self.width * self.height * u64::from(self.colours);
        if self.scans > 1 { 3 * pixels } else { pixels }
    }
}

/// The image, or none where another decoder has to see.
pub(crate) fn decode(bytes: &[u8]) -> Option<DynamicImage> {
    let frame = Frame::of(bytes)?;
    let usual = matches!(frame.colours, 1 | 3) && (1..=MAX_SCANS).contains(&frame.scans);
    if !usual || frame.memory() > MAX_DECODED_BYTES {
        return None;
    }
    // The library reports what it cannot decode by unwinding.
    catch_unwind(|| pixels(bytes, frame.colours)).ok().flatten()
}

fn pixels(bytes: &[u8], colours: u8) -> Option<DynamicImage> {
    let decoder = mozjpeg::Decompress::new_mem(bytes).ok()?;
    let (width, height) = (decoder.width() as u32, decoder.height() as u32);
    let mut started = match colours {
        1 => decoder.grayscale().ok()?,
        _ => decoder.rgb().ok()?,
    };
    let pixels: Vec<u8> = started.read_scanlines().ok()?;
    match colours {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pixels/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    #[test]
    fn the_usual_kinds_are_taken_and_others_left() {
        for (name, scans, many) in [("photo.jpg", 1, false), ("photo_progressive.jpg", 2, true)] {
            let bytes = file(name);
            let frame = Frame::of(&bytes).unwrap();
            assert!(frame.scans >= scans && (frame.scans > 1) == many, "{name}: {}", frame.scans);
            assert!(matches!(decode(&bytes), Some(DynamicImage::ImageRgb8(_))), "{name}");
        }
        assert!(matches!(decode(&file("grey.jpg")), Some(DynamicImage::ImageLuma8(_))));
        assert!(decode(&file("cmyk.jpg")).is_none());
    }

    #[test]
    fn damaged_bytes_are_left_to_the_other_decoder() {
        let whole = file("photo.jpg");
        let decoded = |bytes: &[u8]| decode(bytes).is_some();
        for cut in [0, 2, 20, 200, 400] {
            let _ = decoded(&whole[..cut]);
        }
        // Every byte of the headers, one after the other.
        for at in 0..whole.len().min(700) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = decoded(&bytes);
        }
        assert!(!decoded(b"") && !decoded(&[0xff, 0xd8, 0xff, 0xd9]));
    }
}
