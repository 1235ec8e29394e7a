//! A tiny frame encoder, and files for the tests.

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use image::codecs::gif::GifEncoder;
use image::codecs::webp::WebPEncoder;
use image::{Delay, DynamicImage, ExtendedColorType, Frame, Rgb, RgbImage};
use quintet_core::{Modality, Registry, SeedStream};
use quintet_tensor::{Device, EncodeError, Encoder, EncoderInfo, MediaEncoder, RawMedia};
use serde_json::Value;

/// The mean of each colour.
pub(crate) struct MeanColour {
    info: EncoderInfo,
}

impl MeanColour {
    /// The encoder.
    pub(crate) fn new() -> Self {
        let name = "mean-colour".to_owned();
        let limits = "none".to_owned();
        Self { info: EncoderInfo { name, modality: Modality::Image, dim: 3, limits } }
    }
}

impl Encoder for MeanColour {
    type Raw = DynamicImage;
    type Prepared = [f32; 3];

    fn info(&self) -> &EncoderInfo {
        &self.info
    }

    fn prepare(&self, raw: &DynamicImage) -> Result<[f32; 3], EncodeError> {
        let picture = raw.to_rgb8();
        let mut sum = [0.0; 3];
        for p in picture.pixels() {
            (0..3).for_each(|c| sum[c] += f32::from(p[c]) / 255.0);
        }
        let n = (picture.width() * picture.height()) as f32;
        Ok(sum.map(|s| s / n))
    }

    fn forward(&self, batch: &[[f32; 3]], device: &Device) -> Result<Tensor<2>, EncodeError> {
        Ok(Tensor::from_data(TensorData::new(batch.concat(), [batch.len(), 3]), device))
    }
}

/// Width of the vectors over [`MeanColour`].
pub(crate) const DIM: usize = 3 * 3 + 32;
/// Where the motion part begins.
pub(crate) const MOTION: usize = 9;

/// Builds `frame-motion` with parameters.
pub(crate) fn encoder(params: &Value) -> Result<Box<dyn MediaEncoder>, EncodeError> {
    let mut registry = Registry::new("encoder");
    quintet_video::register(&mut registry, MeanColour::new).unwrap();
    (registry.get("frame-motion").unwrap().build)(params)?.fit(
        &[],
        SeedStream::new(1),
        &Device::flex(),
    )
}

/// Encodes some clips with the defaults.
pub(crate) fn encode(paths: &[&Path]) -> Vec<Result<Vec<f32>, EncodeError>> {
    let media: Vec<RawMedia> = paths.iter().map(|p| RawMedia::File(p.to_path_buf())).collect();
    let media: Vec<&RawMedia> = media.iter().collect();
    encoder(&Value::Null).unwrap().encode(&media, &Device::default())
}

/// Encodes one clip with the defaults.
pub(crate) fn encode_one(path: &Path) -> Result<Vec<f32>, EncodeError> {
    encode(&[path]).remove(0)
}

/// A bright square of 6 pixels on dark grey, 48 × 32.
pub(crate) fn square(x: u32, y: u32) -> RgbImage {
    RgbImage::from_fn(48, 32, |px, py| {
        let inside = (x..x + 6).contains(&px) && (y..y + 6).contains(&py);
        if inside { Rgb([250, 200, 40]) } else { Rgb([30, 30, 40]) }
    })
}

/// A square that goes from left to right.
pub(crate) fn rightwards() -> Vec<RgbImage> {
    (0..12).map(|t| square(3 * t, 12)).collect()
}

/// Writes frames of 10 ms units as an animated GIF.
pub(crate) fn write_gif(path: &Path, frames: &[RgbImage], delays: &[u32]) {
    let mut encoder = GifEncoder::new_with_speed(File::create(path).unwrap(), 1);
    for (frame, &delay) in frames.iter().zip(delays) {
        let rgba = DynamicImage::ImageRgb8(frame.clone()).into_rgba8();
        let delay = Delay::from_numer_denom_ms(10 * delay, 1);
        encoder.encode_frame(Frame::from_parts(rgba, 0, 0, delay)).unwrap();
    }
}

/// Writes frames as numbered PNG files into a new folder.
pub(crate) fn write_folder(folder: &Path, frames: &[RgbImage]) {
    std::fs::create_dir(folder).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        frame.save(folder.join(format!("frame{i}.png"))).unwrap();
    }
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut out = kind.to_vec();
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(content);
    out.extend(vec![0; content.len() % 2]);
    out
}

fn u24(v: u32) -> [u8; 3] {
    let b = v.to_le_bytes();
    [b[0], b[1], b[2]]
}

/// Frames as an animated WebP (lossless), 100 ms each.
pub(crate) fn webp_bytes(frames: &[RgbImage]) -> Vec<u8> {
    let (width, height) = frames[0].dimensions();
    let size = [u24(width - 1), u24(height - 1)].concat();
    let mut body = b"WEBP".to_vec();
    body.extend(chunk(b"VP8X", &[&[2, 0, 0, 0][..], &size].concat()));
    body.extend(chunk(b"ANIM", &[0; 6]));
    for frame in frames {
        let mut still = Cursor::new(Vec::new());
        WebPEncoder::new_lossless(&mut still)
            .encode(frame.as_raw(), width, height, ExtendedColorType::Rgb8)
            .unwrap();
        let still = still.into_inner();
        assert_eq!(&still[12..16], b"VP8L");
        let head = [&[0; 6][..], &size, &u24(100), &[0]].concat();
        body.extend(chunk(b"ANMF", &[&head[..], &still[12..]].concat()));
    }
    chunk(b"RIFF", &body)
}

/// Cosine of two vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(p, q)| p * q).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The folder of shared test data, where it exists.
pub(crate) fn shared(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os("QUINTET_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let path = root.join(below);
    if !path.is_dir() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}
