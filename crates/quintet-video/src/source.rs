//! A clip on disk: what kind it is, how long its frames last, and its frames on request.

use std::cmp::Ordering;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{
    AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    RgbImage, RgbaImage,
};
use quintet_tensor::{DecodeKind, EncodeError};

use crate::timeline::{self, DEFAULT_DELAY, MAX_FRAMES, check_size};
use crate::walk::{Walk, decode, unreadable};

/// What errors say was expected.
pub(crate) const READS: &str = "GIF, animated WebP or a folder of frames";
/// Longest side of the frames that are handed on, pixels.
const FRAME_SIDE: u32 = 256;
/// What a decoder of a still picture may allocate: 8 bytes a pixel of the largest frame.
const MAX_ALLOC: u64 = 8 * timeline::MAX_PIXELS + (64 << 20);
/// Endings of the files in a folder that are frames.
const FRAME_ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

#[derive(Debug, Clone)]
enum Content {
    Gif,
    WebP,
    Still(ImageFormat),
    Folder(Vec<PathBuf>),
}

/// A clip whose structure has been checked and whose frames are decoded on request.
///
/// It is what [`FrameMotion`](crate::FrameMotion) reads: an animated GIF or WebP, a folder of
/// JPEG or PNG frames in natural name order (`frame2` before `frame10`), or a still picture as
/// a clip of one frame. The kind is found by content, never by name. At most 4,096 frames and
/// 2³⁰ pixels from the beginning count.
#[derive(Debug, Clone)]
pub struct ClipSource {
    path: PathBuf,
    content: Content,
    /// Milliseconds each frame is shown.
    delays: Vec<u32>,
}

impl ClipSource {
    /// Opens a file or folder and reads its structure, but no pixel.
    ///
    /// # Errors
    /// It cannot be read, is empty, ends early, is too large or of a kind that is not read.
    pub fn open(path: &Path) -> Result<Self, EncodeError> {
        let meta = std::fs::metadata(path).map_err(|e| unreadable(path, e))?;
        if meta.is_dir() {
            let frames = frame_files(path)?;
            let delays = vec![DEFAULT_DELAY; frames.len()];
            return Ok(Self { path: path.to_owned(), content: Content::Folder(frames), delays });
        }
        let (content, delays) = match kind_of(path)? {
            ImageFormat::Gif => (Content::Gif, timeline::gif(path)?),
            ImageFormat::WebP => match timeline::webp(path)? {
                Some(delays) => (Content::WebP, delays),
                None => (Content::Still(ImageFormat::WebP), vec![DEFAULT_DELAY]),
            },
            still => (Content::Still(still), vec![DEFAULT_DELAY]),
        };
        Ok(Self { path: path.to_owned(), content, delays })
    }

    /// Frames that count.
    pub fn n_frames(&self) -> usize {
        self.delays.len()
    }

    /// How long the frames are shown, seconds; 0 for a single frame, 0.1 a frame in a folder.
    pub fn seconds(&self) -> f64 {
        if self.delays.len() < 2 {
            return 0.0;
        }
        self.delays.iter().map(|&d| f64::from(d)).sum::<f64>() / 1_000.0
    }

    /// Milliseconds each frame is shown.
    pub(crate) fn delays(&self) -> &[u32] {
        &self.delays
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands the frames at `wanted` (ascending, each once) to `take`: opaque on white, shrunk to
    /// at most 256 pixels a side. One full frame is in memory at a time.
    ///
    /// # Errors
    /// A frame cannot be decoded, or `take` fails.
    pub(crate) fn frames(
        &self,
        wanted: &[usize],
        take: &mut dyn FnMut(RgbImage) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let open =
            || File::open(&self.path).map(BufReader::new).map_err(|e| unreadable(&self.path, e));
        let failed = |e| image_error(&self.path, e);
        match &self.content {
            Content::Gif => {
                let decoder = GifDecoder::new(open()?).map_err(failed)?;
                self.animation(decoder.into_frames(), wanted, take)
            }
            Content::WebP => {
                let decoder = WebPDecoder::new(open()?).map_err(failed)?;
                self.animation(decoder.into_frames(), wanted, take)
            }
            Content::Still(format) => take(shrink(flatten(still(&self.path, *format)?))),
            Content::Folder(files) => wanted.iter().try_for_each(|&i| {
                let format = kind_of(&files[i])?;
                if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
                    let found = format!("{format:?}");
                    return Err(decode(&files[i], DecodeKind::Unsupported, "PNG or JPEG", &found));
                }
                take(shrink(flatten(still(&files[i], format)?)))
            }),
        }
    }

    fn animation(
        &self,
        mut frames: image::Frames,
        wanted: &[usize],
        take: &mut dyn FnMut(RgbImage) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut at = 0;
        for &index in wanted {
            // Each frame is painted over the one before, so none can be left out.
            let frame = loop {
                let frame = frames.next().ok_or_else(|| {
                    let expected = format!("{} frames", self.delays.len());
                    decode(&self.path, DecodeKind::Truncated, &expected, &at.to_string())
                })?;
                let frame = frame.map_err(|e| image_error(&self.path, e))?;
                at += 1;
                if at > index {
                    break frame;
                }
            };
            take(shrink(flatten(frame.into_buffer())))?;
        }
        Ok(())
    }
}

/// The format of a picture or animation, by its first bytes.
fn kind_of(path: &Path) -> Result<ImageFormat, EncodeError> {
    let mut walk = Walk::open(path)?;
    let mut head = Vec::with_capacity(16);
    while head.len() < 16 && walk.pos() < walk.len() {
        head.push(walk.byte("a header")?);
    }
    match head.as_slice() {
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(ImageFormat::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(ImageFormat::WebP),
        [0x89, b'P', b'N', b'G', 13, 10, 26, 10, ..] => Ok(ImageFormat::Png),
        [0xff, 0xd8, 0xff, ..] => Ok(ImageFormat::Jpeg),
        [b'B', b'M', _, _, _, _, _, _, _, _, _, ..] => Ok(ImageFormat::Bmp),
        _ if head.len() < 12 && begins_like_a_clip(&head) => Err(walk.truncated("a whole header")),
        other => Err(decode(path, DecodeKind::Unsupported, READS, &foreign(other))),
    }
}

fn begins_like_a_clip(head: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [b"GIF89a", b"GIF87a", b"RIFF", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"];
    starts.iter().any(|s| s.starts_with(&head[..head.len().min(s.len())]))
}

/// What a file of another kind seems to be.
fn foreign(head: &[u8]) -> String {
    let compressed = match head {
        [_, _, _, _, b'f', b't', b'y', b'p', b'q', b't', ..] => "QuickTime",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => return "AVIF".to_owned(),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', b'e' | b'i', ..] => {
            return "HEIF".to_owned();
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "MP4",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "Matroska or WebM",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => "AVI",
        [b'F', b'L', b'V', ..] => "FLV",
        [b'O', b'g', b'g', b'S', ..] => "Ogg",
        [0, 0, 1, 0xb3 | 0xba, ..] => "MPEG",
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => "a raw video stream",
        _ => return format!("bytes {:02x?}", &head[..head.len().min(4)]),
    };
    format!("{compressed}, which needs an encoder for compressed video")
}

/// The frames in a folder, in natural order of their names.
fn frame_files(folder: &Path) -> Result<Vec<PathBuf>, EncodeError> {
    let mut frames = Vec::new();
    let mut others = 0usize;
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if ending.is_some_and(|e| FRAME_ENDINGS.contains(&e.as_str())) && path.is_file() {
            frames.push((path.to_string_lossy().into_owned(), path));
        } else {
            others += 1;
        }
    }
    if frames.is_empty() {
        let found = match others {
            0 => "an empty folder".to_owned(),
            n => format!("none among {n} entries"),
        };
        return Err(decode(folder, DecodeKind::Empty, "frames (jpg, jpeg or png)", &found));
    }
    frames.sort_by(|a, b| natural(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)));
    frames.truncate(MAX_FRAMES);
    Ok(frames.into_iter().map(|(_, path)| path).collect())
}

/// Compares names with their runs of digits taken as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (x, y) = match (a.first(), b.first()) {
            (Some(x), Some(y)) => (*x, *y),
            _ => return a.len().cmp(&b.len()),
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, rest_a) = digits(a);
            let (n, rest_b) = digits(b);
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        } else if x != y {
            return x.cmp(&y);
        } else {
            (a, b) = (&a[1..], &b[1..]);
        }
    }
}

/// The leading run of digits without its leading zeros, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let first = text[..end].iter().position(|&c| c != b'0').unwrap_or(end);
    (&text[first..end], &text[end..])
}

/// Decodes a still picture.
fn still(path: &Path, format: ImageFormat) -> Result<RgbaImage, EncodeError> {
    let failed = |e| image_error(path, e);
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    if format == ImageFormat::Jpeg && !jpeg_is_whole(&bytes) {
        let found = format!("the end of the file after {} bytes", bytes.len());
        return Err(decode(path, DecodeKind::Truncated, "a whole JPEG", &found));
    }
    if format == ImageFormat::Png {
        let png = PngDecoder::new(Cursor::new(&bytes)).map_err(failed)?;
        if png.is_apng().map_err(failed)? {
            return Err(decode(path, DecodeKind::Unsupported, READS, "animated PNG"));
        }
    }
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    check_size(path, decoder.dimensions().into())?;
    let turned = match format {
        ImageFormat::Jpeg => Some(decoder.orientation().map_err(failed)?),
        _ => None,
    };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    if let Some(orientation) = turned {
        picture.apply_orientation(orientation);
    }
    Ok(picture.into_rgba8())
}

/// Whether the last scan of a JPEG is followed by an end-of-image marker. The decoder fills what
/// is missing with grey, which would be taken for data.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|w| w == [0xff, marker]);
    match (last(0xda), last(0xd9)) {
        (Some(scan), Some(end)) => end > scan,
        // Without a scan there is nothing to cut short; the decoder says what is wrong.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// Lays a picture on white.
fn flatten(picture: RgbaImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        let over =
            |c: u8| ((u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
        image::Rgb([over(r), over(g), over(b)])
    })
}

/// Shrinks a picture to at most [`FRAME_SIDE`] a side; smaller ones stay as they are.
fn shrink(picture: RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= FRAME_SIDE {
        return picture;
    }
    let side = |s: u32| {
        let scaled =
            (u64::from(s) * u64::from(FRAME_SIDE) + u64::from(longest) / 2) / u64::from(longest);
        (scaled as u32).max(1)
    };
    image::imageops::thumbnail(&picture, side(width), side(height))
}

fn image_error(path: &Path, error: ImageError) -> EncodeError {
    let ended = |e: &std::io::Error| e.kind() == std::io::ErrorKind::UnexpectedEof;
    let whole = "a picture that can be decoded";
    match error {
        ImageError::IoError(source) if !ended(&source) => match source.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::Other => {
                decode(path, DecodeKind::Corrupt, whole, &source.to_string())
            }
            _ => unreadable(path, source),
        },
        ImageError::IoError(_) => decode(path, DecodeKind::Truncated, whole, "the end of the file"),
        ImageError::Unsupported(e) => decode(path, DecodeKind::Unsupported, whole, &e.to_string()),
        other => {
            let mut cause: Option<&(dyn Error + 'static)> = Some(&other);
            let mut kind = DecodeKind::Corrupt;
            while let Some(e) = cause {
                let io = e.downcast_ref::<std::io::Error>().is_some_and(ended);
                // The GIF and PNG decoders have an end of their own.
                if io || e.to_string().to_ascii_lowercase().contains("unexpected end") {
                    kind = DecodeKind::Truncated;
                }
                cause = e.source();
            }
            decode(path, kind, whole, &other.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, Rgba};

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["f10.png", "f2.png", "f02.png", "F1.png", "f1.png", "f.png", "f2a.png"];
        names.sort_by(|a, b| natural(a, b).then_with(|| a.cmp(b)));
        assert_eq!(names, ["F1.png", "f.png", "f1.png", "f02.png", "f2.png", "f2a.png", "f10.png"]);
        assert_eq!(natural("99999999999999999999998", "99999999999999999999999"), Ordering::Less);
    }

    #[test]
    fn transparent_pixels_become_white() {
        let picture = RgbaImage::from_fn(3, 1, |x, _| Rgba([10, 20, 30, [0, 255, 51][x as usize]]));
        let flat = flatten(picture);
        assert_eq!(flat.get_pixel(0, 0), &Rgb([255, 255, 255]));
        assert_eq!(flat.get_pixel(1, 0), &Rgb([10, 20, 30]));
        // 20 % of 10 and 80 % of 255: 2 + 204.
        assert_eq!(flat.get_pixel(2, 0)[0], 206);
    }

    #[test]
    fn only_large_pictures_shrink_and_keep_their_shape() {
        assert_eq!(shrink(RgbImage::new(256, 3)).dimensions(), (256, 3));
        assert_eq!(shrink(RgbImage::new(1_024, 512)).dimensions(), (256, 128));
        assert_eq!(shrink(RgbImage::new(1, 4_000)).dimensions(), (1, 256));
    }

    #[test]
    fn a_jpeg_needs_an_end_after_its_last_scan() {
        assert!(jpeg_is_whole(b"\xff\xd8\xff\xda..\xff\xd9"));
        assert!(jpeg_is_whole(b"\xff\xd8\xff\xda..\xff\xd9 trailing"));
        // The end of the preview inside does not count.
        assert!(!jpeg_is_whole(b"\xff\xd8(\xff\xda.\xff\xd9)\xff\xda.."));
        assert!(!jpeg_is_whole(b"\xff\xd8\xff\xda.."));
    }
}
