//! From an untrusted file to pixels, with every limit checked before memory is taken.
//!
//! The format is told by the content, never by the file's name: PNG, JPEG, GIF, WebP, BMP, TIFF,
//! ICO, PNM and QOI. Of an animation or a file of several pages only the first picture is decoded,
//! of an icon the largest. An orientation in the Exif data is applied.

use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use image::error::ParameterErrorKind;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use quintet_tensor::{DecodeKind, EncodeError, RawMedia};

use crate::colour_gradient::NAME;
use crate::container::is_cut_short;
use crate::jpeg;

/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Largest image that is decoded, width × height.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Longest side of an image, in pixels; a JPEG cannot be longer.
pub const MAX_SIDE: u32 = 65_535;

/// Most memory that the decoded image and its decoder may take, in bytes.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;

const FORMATS: &str = "a PNG, JPEG, GIF, WebP, BMP, TIFF, ICO, PNM or QOI image";

/// Reads and decodes an image file.
///
/// # Errors
/// A text came; the file cannot be read or is larger than [`MAX_FILE_BYTES`]; or as
/// [`decode_image`].
pub fn open_image(media: &RawMedia) -> Result<DynamicImage, EncodeError> {
    let RawMedia::File(path) = media else {
        return Err(EncodeError::WrongMedia {
            encoder: NAME.to_owned(),
            expected: "a file",
            found: media.kind(),
        });
    };
    decode_image(&read_limited(path)?, &media.origin())
}

/// Decodes an image held in memory; `origin` is what errors call it.
///
/// # Errors
/// - [`EncodeError::Decode`]: the bytes are empty, end too early, contradict their format, or
///   are in none of the formats.
/// - [`EncodeError::TooLarge`]: the image has more than [`MAX_PIXELS`], a side longer than
///   [`MAX_SIDE`] or needs more than [`MAX_DECODED_BYTES`].
pub fn decode_image(bytes: &[u8], origin: &str) -> Result<DynamicImage, EncodeError> {
    if bytes.is_empty() {
        return Err(bad(origin, DecodeKind::Empty, FORMATS, "0 bytes"));
    }
    let Ok(format) = image::guess_format(bytes) else {
        return Err(bad(origin, DecodeKind::Unsupported, FORMATS, &first_bytes(bytes)));
    };
    let cut = is_cut_short(bytes, format);
    let failed = |e: ImageError| {
        let undecodable = matches!(e, ImageError::Decoding(_) | ImageError::IoError(_));
        match undecodable && (cut || ends_early(&e)) {
            true => truncated(bytes.len(), &e.to_string(), origin),
            false => from_image_error(&e, format, origin),
        }
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    check_size(decoder.dimensions(), decoder.total_bytes(), origin)?;
    // The output counts towards the limit, so only the rest is left to the decoder.
    limits.reserve(decoder.total_bytes()).map_err(failed)?;
    decoder.set_limits(limits).map_err(failed)?;
    // The JPEG decoder fills what is missing with grey and reports nothing.
    if format == ImageFormat::Jpeg && cut {
        return Err(truncated(bytes.len(), "no end-of-image marker", origin));
    }
    // Broken metadata does not make the picture unreadable: it stays as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let exact = if format == ImageFormat::Jpeg { jpeg::decode(bytes) } else { None };
    let mut image = match exact {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(failed)?,
    };
    image.apply_orientation(orientation);
    Ok(image)
}

fn check_size(
    (width, height): (u32, u32),
    decoded_bytes: u64,
    origin: &str,
) -> Result<(), EncodeError> {
    if width == 0 || height == 0 {
        let found = format!("{width} × {height}");
        return Err(bad(origin, DecodeKind::Empty, "at least one pixel", &found));
    }
    let pixels = u64::from(width) * u64::from(height);
    let side = u64::from(width.max(height));
    let checks = [
        ("longest side in pixels", u64::from(MAX_SIDE), side),
        ("width × height", MAX_PIXELS, pixels),
        ("decoded size in bytes", MAX_DECODED_BYTES, decoded_bytes),
    ];
    match checks.into_iter().find(|(_, limit, found)| found > limit) {
        None => Ok(()),
        Some((what, limit, found)) => {
            Err(EncodeError::TooLarge { origin: origin.to_owned(), what, limit, found })
        }
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, EncodeError> {
    let name = path.display().to_string();
    let unreadable = |source| EncodeError::Read { path: name.clone(), source };
    let check = |found| match found > MAX_FILE_BYTES {
        false => Ok(()),
        true => Err(EncodeError::TooLarge {
            origin: name.clone(),
            what: "size in bytes",
            limit: MAX_FILE_BYTES,
            found,
        }),
    };
    // Asked before opening: a named pipe would block.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    check(metadata.len())?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows a file that has grown since.
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    check(bytes.len() as u64)?;
    Ok(bytes)
}

fn bad(origin: &str, kind: DecodeKind, expected: &str, found: &str) -> EncodeError {
    EncodeError::Decode {
        origin: origin.to_owned(),
        kind,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

fn first_bytes(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{} bytes that begin with {}", bytes.len(), hex.join(" "))
}

fn truncated(len: usize, found: &str, origin: &str) -> EncodeError {
    let found = format!("{len} bytes that end too early ({found})");
    bad(origin, DecodeKind::Truncated, "a complete image", &found)
}

fn from_image_error(error: &ImageError, format: ImageFormat, origin: &str) -> EncodeError {
    let found = error.to_string();
    match error {
        ImageError::Limits(_) => {
            let expected = format!(
                "an image that decodes within {} MiB, no side above {MAX_SIDE} pixels",
                MAX_DECODED_BYTES >> 20
            );
            bad(origin, DecodeKind::Unsupported, &expected, &found)
        }
        ImageError::Unsupported(_) if format.reading_enabled() => {
            let expected = format!("a variant of {format:?} that the decoder reads");
            bad(origin, DecodeKind::Unsupported, &expected, &found)
        }
        ImageError::Unsupported(_) => bad(origin, DecodeKind::Unsupported, FORMATS, &found),
        ImageError::Parameter(e) if matches!(e.kind(), ParameterErrorKind::NoMoreData) => {
            bad(origin, DecodeKind::Empty, "at least one frame", "none")
        }
        _ => bad(origin, DecodeKind::Corrupt, "a well-formed image", &found),
    }
}

/// Whether the cause, however deep, is that the bytes ran out.
fn ends_early(error: &ImageError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = cause {
        let ran_out =
            e.downcast_ref().is_some_and(|e: &io::Error| e.kind() == io::ErrorKind::UnexpectedEof)
                || matches!(e.downcast_ref(), Some(gif::DecodingError::UnexpectedEof));
        if ran_out {
            return true;
        }
        cause = e.source();
    }
    matches!(error, ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof)
}
