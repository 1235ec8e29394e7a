//! One media file: what it is, how large, and whether it can be used.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hound::{SampleFormat, WavReader};
use image::codecs::gif::GifDecoder;
use image::codecs::webp::WebPDecoder;
use image::{
    AnimationDecoder, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
};
use quintet_core::Modality;

use super::sniff::{Kind, sniff};
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
        Err(_) => Some(Damage::new("corrupt", "the decoder gave up on it")),
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
    let unreadable = |e: std::io::Error| Damage::new("unreadable", e.to_string());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
        if paths.len() > MOST_FRAMES {
            return Err(Damage::new("too_large", format!("more than {MOST_FRAMES} frames")));
        }
    }
    if paths.is_empty() {
        return Err(Damage::new("empty", "the folder has no frame"));
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
            Probe { damage: Some(Damage::new("outside", reason)), ..Probe::default() }
        };
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(frame.blake3.as_bytes());
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

fn read(path: &Path, modality: Modality, probe: &mut Probe) -> Result<Vec<u8>, Damage> {
    let unreadable = |e: std::io::Error| Damage::new("unreadable", e.to_string());
    let data = std::fs::metadata(path).map_err(unreadable)?;
    if !data.is_file() {
        return Err(Damage::new("wrong_kind", "it is not a file"));
    }
    probe.bytes = data.len();
    let most = if modality == Modality::Text { MOST_TEXT } else { MOST_BYTES };
    if probe.bytes > most {
        let reason = format!("{} bytes, and at most {most} are read", probe.bytes);
        return Err(Damage::new("too_large", reason));
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
        return Err(Damage::new("empty", "the file has no bytes"));
    }
    if modality == Modality::Text {
        probe.text = Some(text(bytes)?);
        return Ok(());
    }
    let kind = sniff(bytes);
    let (fits, expected) = match modality {
        Modality::Audio => (kind == Kind::Wav, "WAV sound"),
        Modality::Video => (kind.is_animation(), "a GIF, a WebP or a folder of frames"),
        _ => (kind.is_image(), "a JPEG, PNG, GIF, WebP or BMP picture"),
    };
    if !fits {
        let code = if matches!(kind, Kind::Other(_)) { "unsupported" } else { "wrong_kind" };
        return Err(Damage::new(code, format!("expected {expected}, found {}", kind.name())));
    }
    match kind {
        Kind::Wav => wav(bytes, check, probe),
        kind => picture(bytes, kind, modality, check, probe),
    }
}

fn text(bytes: &[u8]) -> Result<String, Damage> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => {
            Err(Damage::new("empty", "the file has nothing but blanks"))
        }
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            let line = 1 + bytes[..at].iter().filter(|b| **b == b'\n').count();
            let reason = format!("expected UTF-8, found byte 0x{:02X} in line {line}", bytes[at]);
            Err(Damage::new("invalid_utf8", reason))
        }
    }
}

fn wav(bytes: &[u8], check: MediaCheck, probe: &mut Probe) -> Result<(), Damage> {
    structure::wav(bytes)?;
    let damage = |e: hound::Error| match e {
        hound::Error::Unsupported => Damage::new("unsupported", "a WAV coding other than PCM"),
        e => Damage::new("corrupt", e.to_string()),
    };
    let reader = WavReader::new(Cursor::new(bytes)).map_err(damage)?;
    let spec = reader.spec();
    if spec.sample_rate == 0 || spec.channels == 0 {
        let (rate, channels) = (spec.sample_rate, spec.channels);
        let reason = format!("{rate} samples a second on {channels} channels");
        return Err(Damage::new("corrupt", reason));
    }
    let length = reader.duration();
    if length == 0 {
        return Err(Damage::new("empty", "the file has no sample"));
    }
    probe.seconds = Some((f64::from(length) / f64::from(spec.sample_rate)) as f32);
    if check == MediaCheck::Header {
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
                    return Err(Damage::new("corrupt", format!("sample {i} is {sample}")));
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
    let (format, motion) = match kind {
        Kind::Jpeg => (ImageFormat::Jpeg, structure::jpeg(bytes).map(|()| None)?),
        Kind::Png => (ImageFormat::Png, structure::png(bytes).map(|()| None)?),
        Kind::Gif => (ImageFormat::Gif, Some(structure::gif(bytes)?)),
        Kind::WebP => (ImageFormat::WebP, Some(structure::webp(bytes)?)),
        _ => (ImageFormat::Bmp, None),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let decoder = reader.into_decoder().map_err(image_damage)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    (probe.width, probe.height) = (Some(width), Some(height));
    if pixels == 0 {
        return Err(Damage::new("corrupt", format!("the picture is {width} × {height}")));
    }
    if pixels > MOST_PIXELS || decoder.total_bytes() > MOST_MEMORY {
        let reason = format!("{width} × {height} pixels, and at most {MOST_PIXELS} are decoded");
        return Err(Damage::new("too_large", reason));
    }
    if modality == Modality::Video
        && let Some(motion) = motion
    {
        probe.frames = Some(motion.frames);
        probe.seconds = (motion.milliseconds > 0).then(|| motion.milliseconds as f32 / 1000.0);
    }
    if check == MediaCheck::Header {
        return Ok(());
    }
    match motion {
        Some(motion) if kind == Kind::Gif || motion.frames > 1 => {
            animation(bytes, kind, motion, pixels)
        }
        _ => DynamicImage::from_decoder(decoder).map(|_| ()).map_err(image_damage),
    }
}

/// Decodes every frame, one after the other.
fn animation(bytes: &[u8], kind: Kind, motion: Motion, pixels: u64) -> Result<(), Damage> {
    let all = pixels.saturating_mul(u64::from(motion.frames));
    if all > MOST_ANIMATION_PIXELS {
        let frames = motion.frames;
        let reason = format!(
            "{frames} frames of {pixels} pixels, and at most {MOST_ANIMATION_PIXELS} are decoded"
        );
        return Err(Damage::new("too_large", reason));
    }
    let decoded = if kind == Kind::Gif {
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
        return Err(Damage::new("corrupt", reason));
    }
    Ok(())
}

fn count<'a>(decoder: impl AnimationDecoder<'a>) -> Result<u32, Damage> {
    let mut frames = 0;
    for frame in decoder.into_frames() {
        frame.map_err(image_damage)?;
        frames += 1;
    }
    Ok(frames)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    limits
}

fn image_damage(error: ImageError) -> Damage {
    let code = match &error {
        ImageError::Limits(_) => "too_large",
        ImageError::Unsupported(_) => "unsupported",
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => "truncated",
        _ => "corrupt",
    };
    Damage::new(code, error.to_string())
}
