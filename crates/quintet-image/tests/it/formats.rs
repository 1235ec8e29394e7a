//! One picture in every format.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, Rgb32FImage, RgbImage};
use quintet_image::{ColourGradient, decode_image};
use quintet_tensor::Encoder;

/// All formats that are read.
const FORMATS: [ImageFormat; 9] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Ico,
    ImageFormat::Pnm,
    ImageFormat::Qoi,
];

fn picture() -> DynamicImage {
    RgbImage::from_fn(48, 32, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, 90])).into()
}

fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    // Icons are written with transparency only.
    let image = if format == ImageFormat::Ico { image.to_rgba8().into() } else { image.clone() };
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn vector(bytes: &[u8], name: &str) -> Vec<f32> {
    let image = decode_image(bytes, name).unwrap_or_else(|e| panic!("{e}"));
    ColourGradient::default().prepare(&image).unwrap()
}

#[test]
fn every_format_shows_the_same_picture() {
    let expected = ColourGradient::default().prepare(&picture()).unwrap();
    for format in FORMATS {
        let found = vector(&written(&picture(), format), &format!("{format:?}"));
        let alike: f32 = found.iter().zip(&expected).map(|(a, b)| a * b).sum();
        // GIF and JPEG lose something.
        let least = match format {
            ImageFormat::Gif | ImageFormat::Jpeg => 0.9,
            _ => 0.99999,
        };
        assert!(alike > least, "{format:?}: {alike}");
    }
}

#[test]
fn a_file_that_ends_anywhere_is_refused_or_whole() {
    for format in FORMATS {
        let whole = written(&picture(), format);
        for end in (0..whole.len()).step_by(7) {
            if let Err(e) = decode_image(&whole[..end], "cut") {
                assert!(
                    ["empty", "truncated", "corrupt", "unsupported"].contains(&e.code()),
                    "{e}"
                );
            }
        }
    }
}

#[test]
fn numbers_that_are_no_colours_do_not_reach_a_vector() {
    let odd = [f32::NAN, f32::INFINITY, -1.0, 0.5, 7.0, f32::NEG_INFINITY];
    let image =
        Rgb32FImage::from_fn(6, 4, |x, y| Rgb([odd[x as usize], odd[(x + y) as usize % 6], 0.2]));
    let bytes = written(&image.into(), ImageFormat::Tiff);
    assert!(vector(&bytes, "float").iter().all(|v| v.is_finite()));
}
