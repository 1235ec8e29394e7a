//! One media file: what it is, how large, and whether it can be used.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hound::{SampleFormat, WavReader};
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{
    AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
};
use quintet_core::Modality;

use super::code::MediaCode;
use super::facts::{Facts, facts};
use super::kind::Kind;
use super::likeness;
use super::sniff::sniff;
use super::structure::{self, Damage, Motion};
use crate::config::MediaCheck;

/// The largest file, bytes.
pub(crate) const MOST_BYTES: u64 = 256 << 20;
/// The largest text file, bytes.
const MOST_TEXT: u64 = 16 << 20;
/// The most pixels of one picture.
const MOST_PIXELS: u64 = 64_000_000;
/// The most memory that one picture may take while it is decoded, bytes.
const MOST_MEMORY: u64 = 512 << 20;
/// The most pixels of all frames of an animation together.
const MOST_ANIMATION_PIXELS: u64 = 2_000_000_000;
/// The most pictures in a folder of frames.
const MOST_FRAMES: usize = 10_000;

/// What there is to know about a media file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Probe {
    pub(crate) blake3: String,
    pub(crate) bytes: u64,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) seconds: Option<f32>,
    pub(crate) frames: Option<u32>,
    /// What it is; `None` for text, a folder of frames and what cannot be read.
    pub(crate) kind: Option<Kind>,
    /// The perceptual hash of a picture that was decoded.
    pub(crate) look: Option<u64>,
    /// The content of a text file.
    pub(crate) text: Option<String>,
    pub(crate) damage: Option<Damage>,
}

/// Looks at one file.
pub(crate) fn file(path: &Path, modality: Modality, check: MediaCheck) -> Probe {
    let mut probe = Probe::default();
    let bytes = match read(path, modality, &mut probe) {
        Ok(bytes) => bytes,
        Err(damage) => {
            probe.damage = Some(damage);
            return probe;
        }
    };
    probe.blake3 = blake3::hash(&bytes).to_hex().to_string();
    // A decoder that panics on a stranger's file costs that file, not the run.
    let outcome = catch_unwind(AssertUnwindSafe(|| look(&bytes, modality, check, &mut probe)));
    probe.damage = match outcome {
        Ok(result) => result.err(),
        Err(_) => Some(Damage::new(MediaCode::Corrupt, "the decoder gave up on it")),
    };
    probe
}

/// Looks at a folder of frames. Its hash is over the frames' names and hashes.
pub(crate) fn frames(folder: &Path, check: MediaCheck) -> Probe {
    let mut probe = Probe::default();
    probe.damage = frames_into(folder, check, &mut probe).err();
    probe
}

fn frames_into(folder: &Path, check: MediaCheck, probe: &mut Probe) -> Result<(), Damage> {
    let unreadable = |e: std::io::Error| Damage::new(MediaCode::Unreadable, e.to_string());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
        if paths.len() > MOST_FRAMES {
            return Err(Damage::new(
                MediaCode::TooLarge,
                format!("more than {MOST_FRAMES} frames"),
            ));
        }
    }
    if paths.is_empty() {
        return Err(Damage::new(MediaCode::Empty, "the folder has no frame"));
    }
    paths.sort_unstable();
    probe.frames = Some(paths.len() as u32);
    let mut hasher = blake3::Hasher::new();
    let mut first_damage = None;
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let inside = std::fs::canonicalize(path).is_ok_and(|real| real.starts_with(folder));
        let frame = if inside {
            file(path, Modality::Image, check)
        } else {
            let reason = "it is a link that leads out of its folder";
            Probe { damage: Some(Damage::new(MediaCode::Outside, reason)), ..Probe::default() }
        };
        hash_frame(&mut hasher, path, &frame.blake3);
        probe.bytes += frame.bytes;
        (probe.width, probe.height) = (probe.width.or(frame.width), probe.height.or(frame.height));
        if let Some(damage) = frame.damage {
            let reason = format!("frame {name}: {}", damage.reason);
            first_damage.get_or_insert(Damage::new(damage.code, reason));
        }
    }
    probe.blake3 = hasher.finalize().to_hex().to_string();
    first_damage.map_or(Ok(()), Err)
}

/// BLAKE3, in hex, of a media file or a folder of frames as it is now, to be compared with the one
/// in the media manifest.
///
/// # Errors
/// Something cannot be read.
pub fn media_hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    if !path.is_dir() {
        hasher.update_reader(std::fs::File::open(path)?)?;
        return Ok(hasher.finalize().to_hex().to_string());
    }
    let mut frames: Vec<_> =
        std::fs::read_dir(path)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    frames.sort_unstable();
    for frame in &frames {
        hash_frame(&mut hasher, frame, &media_hash(frame)?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Adds a frame to the hash of its folder.
fn hash_frame(folder: &mut blake3::Hasher, path: &Path, blake3: &str) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder.update(&(name.len() as u64).to_le_bytes());
    folder.update(name.as_bytes());
    folder.update(blake3.as_bytes());
}

fn read(path: &Path, modality: Modality, probe: &mut Probe) -> Result<Vec<u8>, Damage> {
    let unreadable = |e: std::io::Error| Damage::new(MediaCode::Unreadable, e.to_string());
    let data = std::fs::metadata(path).map_err(unreadable)?;
    if !data.is_file() {
        return Err(Damage::new(MediaCode::WrongKind, "it is not a file"));
    }
    probe.bytes = data.len();
    let most = if modality == Modality::Text { MOST_TEXT } else { MOST_BYTES };
    if probe.bytes > most {
        let reason = format!("{} bytes, and at most {most} are read", probe.bytes);
        return Err(Damage::new(MediaCode::TooLarge, reason));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    probe.bytes = bytes.len() as u64;
    Ok(bytes)
}

fn look(
    bytes: &[u8],
    modality: Modality,
    check: MediaCheck,
    probe: &mut Probe,
) -> Result<(), Damage> {
    if bytes.is_empty() {
        return Err(Damage::new(MediaCode::Empty, "the file has no bytes"));
    }
    if modality == Modality::Text {
        probe.text = Some(text(bytes)?);
        return Ok(());
    }
    let kind = sniff(bytes);
    probe.kind = Some(kind);
    if !kind.is_read(modality) {
        return Err(not_read(bytes, kind, modality, probe));
    }
    match kind {
        Kind::Wav => wav(bytes, check, probe),
        kind => picture(bytes, kind, modality, check, probe),
    }
}

/// A file that is not decoded here: what its header says, and why it is not used.
fn not_read(bytes: &[u8], kind: Kind, modality: Modality, probe: &mut Probe) -> Damage {
    let found = facts(bytes, kind);
    let Facts { width, height, seconds, frames, .. } = found;
    (probe.width, probe.height, probe.seconds, probe.frames) = (width, height, seconds, frames);
    let expected = match modality {
        Modality::Audio => "WAV sound",
        Modality::Video => "a GIF, a WebP or a folder of frames",
        _ => "a JPEG, PNG, GIF, WebP, BMP, TIFF, ICO, PNM or QOI picture",
    };
    let suits = kind.suits(modality);
    let code = if suits { MediaCode::Unsupported } else { MediaCode::WrongKind };
    Damage::new(code, format!("expected {expected}, found {}{}", kind.name(), found.shown()))
}

fn text(bytes: &[u8]) -> Result<String, Damage> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => {
            Err(Damage::new(MediaCode::Empty, "the file has nothing but blanks"))
        }
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
            let reason = format!("expected UTF-8, found byte 0x{:02X} in line {line}", bytes[at]);
            Err(Damage::new(MediaCode::InvalidUtf8, reason))
        }
    }
}

fn wav(bytes: &[u8], check: MediaCheck, probe: &mut Probe) -> Result<(), Damage> {
    if check != MediaCheck::Probe {
        structure::wav(bytes)?;
    }
    let damage = |e: hound::Error| match e {
        hound::Error::Unsupported => {
            Damage::new(MediaCode::Unsupported, "a WAV coding other than PCM")
        }
        e => Damage::new(MediaCode::Corrupt, e.to_string()),
    };
    let reader = WavReader::new(Cursor::new(bytes)).map_err(damage)?;
    let spec = reader.spec();
    if spec.sample_rate == 0 || spec.channels == 0 {
        let (rate, channels) = (spec.sample_rate, spec.channels);
        let reason = format!("{rate} samples a second on {channels} channels");
        return Err(Damage::new(MediaCode::Corrupt, reason));
    }
    let length = reader.duration();
    if length == 0 {
        return Err(Damage::new(MediaCode::Empty, "the file has no sample"));
    }
    probe.seconds = Some((f64::from(length) / f64::from(spec.sample_rate)) as f32);
    if check != MediaCheck::Full {
        return Ok(());
    }
    match spec.sample_format {
        SampleFormat::Int => {
            reader.into_samples::<i32>().try_for_each(|s| s.map(|_| ())).map_err(damage)
        }
        SampleFormat::Float => {
            for (i, sample) in reader.into_samples::<f32>().enumerate() {
                let sample = sample.map_err(damage)?;
                if !sample.is_finite() {
                    return Err(Damage::new(MediaCode::Corrupt, format!("sample {i} is {sample}")));
                }
            }
            Ok(())
        }
    }
}

fn picture(
    bytes: &[u8],
    kind: Kind,
    modality: Modality,
    check: MediaCheck,
    probe: &mut Probe,
) -> Result<(), Damage> {
    let format = match kind {
        Kind::Jpeg => ImageFormat::Jpeg,
        Kind::Png | Kind::Apng => ImageFormat::Png,
        Kind::Gif => ImageFormat::Gif,
        Kind::WebP => ImageFormat::WebP,
        Kind::Tiff => ImageFormat::Tiff,
        Kind::Ico => ImageFormat::Ico,
        Kind::Pnm => ImageFormat::Pnm,
        Kind::Qoi => ImageFormat::Qoi,
        _ => ImageFormat::Bmp,
    };
    let motion = match walk(bytes, kind) {
        Err(damage) if check != MediaCheck::Probe => return Err(damage),
        walked => walked.ok().flatten(),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(image_damage)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    (probe.width, probe.height) = (Some(width), Some(height));
    if pixels == 0 {
        return Err(Damage::new(MediaCode::Corrupt, format!("the picture is {width} × {height}")));
    }
    if pixels > MOST_PIXELS || decoder.total_bytes() > MOST_MEMORY {
        let reason = format!("{width} × {height} pixels, and at most {MOST_PIXELS} are decoded");
        return Err(Damage::new(MediaCode::TooLarge, reason));
    }
    if modality == Modality::Video
        && let Some(motion) = motion
    {
        probe.frames = Some(motion.frames);
        probe.seconds = (motion.milliseconds > 0).then(|| motion.milliseconds as f32 / 1000.0);
    }
    if check != MediaCheck::Full {
        return Ok(());
    }
    let first = match motion {
        Some(motion) if kind == Kind::Gif || motion.frames > 1 => {
            animation(bytes, kind, motion, pixels)?
        }
        _ => {
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            let mut small = DynamicImage::from_decoder(decoder).map_err(image_damage)?;
            small = likeness::small(&small);
            small.apply_orientation(orientation);
            small
        }
    };
    probe.look = likeness::picture_hash(&first);
    Ok(())
}

/// Walks the structure of a picture to its end; frames and times where it can have several.
fn walk(bytes: &[u8], kind: Kind) -> Result<Option<Motion>, Damage> {
    match kind {
        Kind::Jpeg => structure::jpeg(bytes).map(|()| None),
        Kind::Png | Kind::Apng => structure::png(bytes).map(|()| None),
        Kind::Gif => structure::gif(bytes).map(Some),
        Kind::WebP => structure::webp(bytes).map(Some),
        _ => Ok(None),
    }
}

/// Decodes every frame, one after the other; gives the first one, made small.
fn animation(
    bytes: &[u8],
    kind: Kind,
    motion: Motion,
    pixels: u64,
) -> Result<DynamicImage, Damage> {
    let all = pixels.saturating_mul(u64::from(motion.frames));
    if all > MOST_ANIMATION_PIXELS {
        let frames = motion.frames;
        let reason = format!(
            "{frames} frames of {pixels} pixels, and at most {MOST_ANIMATION_PIXELS} are decoded"
        );
        return Err(Damage::new(MediaCode::TooLarge, reason));
    }
    let (decoded, first) = if kind == Kind::Gif {
        let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(image_damage)?;
        decoder.set_limits(limits()).map_err(image_damage)?;
        count(decoder)?
    } else {
        let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(image_damage)?;
        decoder.set_limits(limits()).map_err(image_damage)?;
        count(decoder)?
    };
    if decoded != motion.frames {
        let reason = format!("{} frames in the file, {decoded} can be decoded", motion.frames);
        return Err(Damage::new(MediaCode::Corrupt, reason));
    }
    first.ok_or_else(|| Damage::new(MediaCode::Empty, "no frame can be decoded"))
}

fn count<'a>(decoder: impl AnimationDecoder<'a>) -> Result<(u32, Option<DynamicImage>), Damage> {
    let (mut frames, mut first) = (0, None);
    for frame in decoder.into_frames() {
        let frame = frame.map_err(image_damage)?;
        first.get_or_insert_with(|| likeness::small(&frame.into_buffer().into()));
        frames += 1;
    }
    Ok((frames, first))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    limits
}

fn image_damage(error: ImageError) -> Damage {
    let code = match &error {
        ImageError::Limits(_) => MediaCode::TooLarge,
        ImageError::Unsupported(_) => MediaCode::Unsupported,
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            MediaCode::Truncated
        }
        _ => MediaCode::Corrupt,
    };
    Damage::new(code, error.to_string())
}
