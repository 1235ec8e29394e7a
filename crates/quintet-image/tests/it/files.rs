//! Real files in every format: whole, cut short, of odd kinds, of lying sizes.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use quintet_core::{Registry, SeedStream};
use quintet_image::{
    ColourGradient, ColourGradientConfig, MAX_FILE_BYTES, decode_image, open_image,
};
use quintet_tensor::{Device, EncodeError, Encoder, EncoderEntry, RawMedia};
use serde_json::Value;

fn picture() -> DynamicImage {
    RgbImage::from_fn(61, 47, |x, y| Rgb([(x * 4) as u8, (y * 5) as u8, (x * y % 251) as u8]))
        .into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn vector(bytes: &[u8]) -> Result<Vec<f32>, EncodeError> {
    let encoder = ColourGradient::new(&ColourGradientConfig::default()).unwrap();
    encoder.prepare(&decode_image(bytes, "test")?)
}

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp];

#[test]
fn every_format_gives_nearly_the_same_vector() {
    let png = vector(&encoded(&picture(), ImageFormat::Png)).unwrap();
    for format in FORMATS {
        let other = vector(&encoded(&picture(), format)).unwrap();
        let cosine: f32 = png.iter().zip(&other).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.97, "{format:?}: {cosine}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_vector_and_never_a_panic() {
    for format in FORMATS {
        let whole = encoded(&picture(), format);
        let step = (whole.len() / 150).max(1);
        let offsets = (0..64.min(whole.len())).chain((64..whole.len()).step_by(step));
        let mut truncated = 0;
        for cut in offsets {
            match vector(&whole[..cut]) {
                Ok(v) => assert!(v.iter().all(|x| x.is_finite()), "{format:?} cut at {cut}"),
                Err(e) => truncated += usize::from(e.code() == "truncated"),
            }
        }
        assert!(truncated > 50, "{format:?}: {truncated} cuts are called truncated");
        // Half of a file is never taken for a picture.
        let err = vector(&whole[..whole.len() / 2]).unwrap_err();
        assert_eq!(err.code(), "truncated", "{format:?}: {err}");
    }
    assert_eq!(vector(&[]).unwrap_err().code(), "empty");
}

#[test]
fn a_flipped_byte_is_an_error_or_a_vector_and_never_a_panic() {
    for format in FORMATS {
        let whole = encoded(&picture(), format);
        for at in (0..whole.len()).step_by((whole.len() / 200).max(1)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            if let Ok(v) = vector(&bytes) {
                assert!(v.iter().all(|x| x.is_finite()), "{format:?} byte {at}");
            }
        }
    }
}

#[test]
fn odd_pixel_kinds_agree_with_plain_rgb() {
    let grey = DynamicImage::from(picture().to_luma8());
    let plain = vector(&encoded(&grey.to_rgb8().into(), ImageFormat::Png)).unwrap();
    let kinds: [DynamicImage; 5] = [
        grey.clone(),
        grey.to_luma16().into(),
        grey.to_luma_alpha8().into(),
        grey.to_rgba16().into(),
        grey.to_luma_alpha16().into(),
    ];
    for kind in kinds {
        let other = vector(&encoded(&kind, ImageFormat::Png)).unwrap();
        for (a, b) in plain.iter().zip(&other) {
            assert!((a - b).abs() < 1e-3, "{:?}: {a} and {b}", kind.color());
        }
    }
}

/// A PNG chunk with its length and checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = 0xffff_ffffu32;
    for &byte in kind.iter().chain(data) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let mut out = (data.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    out.extend_from_slice(&(!crc).to_be_bytes());
    out
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn png_header(width: u32, height: u32, colour_type: u8) -> Vec<u8> {
    let mut data = width.to_be_bytes().to_vec();
    data.extend_from_slice(&height.to_be_bytes());
    data.extend_from_slice(&[8, colour_type, 0, 0, 0]);
    [PNG_SIGNATURE, &chunk(b"IHDR", &data)].concat()
}

#[test]
fn a_palette_is_looked_up() {
    // 2 × 1 pixels, palette (255, 0, 0), (0, 0, 255); one stored zlib block: filter 0, then 0, 1.
    let raw = [0u8, 0, 1];
    let adler = {
        let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), &x| {
            let a = (a + u32::from(x)) % 65_521;
            (a, (b + a) % 65_521)
        });
        b << 16 | a
    };
    let mut data = vec![0x78, 0x01, 1, 3, 0, 0xfc, 0xff];
    data.extend_from_slice(&raw);
    data.extend_from_slice(&adler.to_be_bytes());
    let png = [
        png_header(2, 1, 3),
        chunk(b"PLTE", &[255, 0, 0, 0, 0, 255]),
        chunk(b"IDAT", &data),
        chunk(b"IEND", &[]),
    ]
    .concat();
    let image = decode_image(&png, "palette").unwrap().to_rgb8();
    assert_eq!(image.as_raw()[..], [255, 0, 0, 0, 0, 255]);
}

#[test]
fn huge_declared_sizes_are_refused_from_the_header() {
    let mut bmp = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&30_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&30_000i32.to_le_bytes());
    let mut gif = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut jpeg = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    let png = png_header(60_000, 60_000, 2);
    // The image header is not enough: the decoder reads on to the first data chunk.
    let png = [png, chunk(b"IDAT", &[0x78, 0x01]), chunk(b"IEND", &[])].concat();
    let files = [("bmp", bmp), ("gif", gif), ("jpeg", jpeg), ("png", png)];
    for (name, bytes) in files {
        let err = decode_image(&bytes, name).unwrap_err();
        assert_eq!(err.code(), "too_large", "{err}");
        let message = err.to_string();
        assert!(message.starts_with(name) && message.contains("64000000"), "{message}");
    }
    let long = [png_header(2_000_000_000, 1, 2), chunk(b"IDAT", &[0x78, 0x01])].concat();
    assert!(decode_image(&long, "long").is_err());
}

#[test]
fn the_face_tells_by_content_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        RawMedia::File(path)
    };
    let png = encoded(&picture(), ImageFormat::Png);
    let media = [
        write("really-a-png.jpg", &png),
        write("text.png", b"this is no picture"),
        write("empty.png", b""),
        write("cut.png", &png[..png.len() / 2]),
        RawMedia::File(dir.path().join("absent.png")),
        RawMedia::File(dir.path().to_owned()),
        RawMedia::Text("a picture".into()),
        write("again.png", &png),
    ];
    let mut registry: Registry<EncoderEntry> = Registry::new("encoder");
    quintet_image::register(&mut registry).unwrap();
    let spec = (registry.get("colour-gradient").unwrap().build)(&Value::Null).unwrap();
    let encoder = spec.fit(&[], SeedStream::new(0), &Device::flex()).unwrap();
    let results = encoder.encode(&media.iter().collect::<Vec<_>>(), &Device::flex());
    let codes: Vec<&str> =
        results.iter().map(|r| r.as_ref().map_or_else(|e| e.code(), |_| "ok")).collect();
    let expected = [
        "ok",
        "unsupported",
        "empty",
        "truncated",
        "unreadable",
        "unreadable",
        "wrong_media",
        "ok",
    ];
    assert_eq!(codes, expected);
    assert_eq!(results[0].as_ref().unwrap(), results[7].as_ref().unwrap());
    for (result, name) in results[1..5].iter().zip(["text", "empty", "cut", "absent"]) {
        let message = result.as_ref().unwrap_err().to_string();
        assert!(message.contains(&format!("{name}.png")), "{message}");
    }
}

#[test]
fn a_file_above_the_limit_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.png");
    std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    let message = open_image(&RawMedia::File(path)).unwrap_err().to_string();
    assert!(message.contains("size in bytes is 67108865, the limit is 67108864"), "{message}");
}
