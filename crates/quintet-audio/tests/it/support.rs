//! Files and vectors for the tests.

use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use quintet_core::{Registry, SeedStream};
use quintet_tensor::{Device, EncodeError, MediaEncoder, RawMedia};
use serde_json::Value;

/// Builds `log-mel` with parameters.
pub(crate) fn encoder(params: &Value) -> Result<Box<dyn MediaEncoder>, EncodeError> {
    let mut registry = Registry::new("encoder");
    quintet_audio::register(&mut registry).unwrap();
    (registry.get("log-mel").unwrap().build)(params)?.fit(&[], SeedStream::new(1), &Device::flex())
}

/// Encodes some files with the defaults.
pub(crate) fn encode(paths: &[&Path]) -> Vec<Result<Vec<f32>, EncodeError>> {
    let media: Vec<RawMedia> = paths.iter().map(|p| RawMedia::File(p.to_path_buf())).collect();
    let media: Vec<&RawMedia> = media.iter().collect();
    encoder(&Value::Null).unwrap().encode(&media, &Device::default())
}

/// Encodes one file with the defaults.
pub(crate) fn encode_one(path: &Path) -> Result<Vec<f32>, EncodeError> {
    encode(&[path]).remove(0)
}

/// A tone, full scale ±1.
pub(crate) fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<f64> {
    let n = (f64::from(rate) * seconds) as usize;
    (0..n)
        .map(|i| 0.5 * (2.0 * std::f64::consts::PI * hz * i as f64 / f64::from(rate)).sin())
        .collect()
}

/// Writes samples, the same in every channel, as integers.
pub(crate) fn write_int(path: &Path, samples: &[f64], rate: u32, channels: u16, bits: u16) {
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(path, spec).unwrap();
    let full = 2f64.powi(i32::from(bits) - 1) - 1.0;
    for s in samples {
        for _ in 0..channels {
            writer.write_sample((s * full).round() as i32).unwrap();
        }
    }
    writer.finalize().unwrap();
}

/// Writes samples as floats.
pub(crate) fn write_float(path: &Path, samples: &[f64], rate: u32) {
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 32,
        sample_format: SampleFormat::Float,
    };
    let mut writer = WavWriter::create(path, spec).unwrap();
    for s in samples {
        writer.write_sample(*s as f32).unwrap();
    }
    writer.finalize().unwrap();
}

/// The largest difference of two vectors.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
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
